using System.CommandLine;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Tickets;
using static Tandem.Users.UserCommands;

namespace Tandem.Users.OpenId;

/// <summary><c>tandem client …</c>: the programs people may sign in to, from the operator's terminal.</summary>
static class ClientCommands
{
    public static Command Clients(ICommandHost host) => new("client", "Register, list and remove programs that sign people in with OpenID Connect") { Create(host), List(host), Remove(host) };

    static Command Create(ICommandHost host)
    {
        var id = new Option<string>("--id") { Description = "The client_id: small letters, digits, dots, hyphens, underscores", Required = true };
        var name = new Option<string?>("--name") { Description = "What people see when they sign in (default: the id)" };
        var redirect = Many("--redirect", "Where a browser is sent back to: https, or http on 127.0.0.1, [::1] and localhost; compared letter by letter");
        var back = Many("--post-logout-redirect", "The same for signing out");
        var grants = Many("--grant", "authorization_code, refresh_token, client_credentials, device_code, token_exchange (default: the first two with --redirect, otherwise the third)");
        var scopes = Many("--scope", "What it may ask for (default with --redirect: openid profile email offline_access)");
        var isPublic = new Option<bool>("--public") { Description = "It cannot keep a secret: a page, an app on somebody's device" };
        var trusted = new Option<bool>("--trusted") { Description = "Do not ask people whether they allow it" };
        var par = new Option<bool>("--require-par") { Description = "It sends no one to /authorize but with what POST /par gave it" };
        var logout = new Option<string?>("--backchannel-logout") { Description = "Where it is told that a session of its has ended" };
        var alg = new Option<string?>("--id-token-alg") { Description = "What its ID tokens are signed with: ES256 (default), or RS256 for a client that knows nothing else" };
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("create", "Register a client; prints its secret, once") { id, name, redirect, back, grants, scopes, isPublic, trusted, par, logout, alg, json };
        command.SetAction(async (parsed, ct) =>
        {
            var client = new NewClient(parsed.GetRequiredValue(id), parsed.GetValue(name), parsed.GetValue(redirect), parsed.GetValue(back), OrNull(parsed.GetValue(grants))?.Select(GrantOf).ToArray(),
                OrNull(parsed.GetValue(scopes)), parsed.GetValue(isPublic), parsed.GetValue(trusted), parsed.GetValue(par), parsed.GetValue(logout), parsed.GetValue(alg));
            var faults = JsonFaults.FindInvalid(client).Concat(client.FindInvalid()).ToList();
            foreach (var (field, messages) in faults)
                Refuse(parsed, $"{field} {string.Join("; ", messages)}");
            if (faults.Count > 0)
                return WrongUse;
            return await host.RunAsync(async (services, ct) =>
            {
                var secret = client.IsPublic ? null : Secret.New();
                var stored = client.ToClient(secret, services.GetRequiredService<TimeProvider>().UtcNow());
                if (!await services.GetRequiredService<ClientTable>().AddAsync(stored, Origin.Operator, ct))
                    return Refuse(parsed, ClientProblems.IdTaken.Detail);
                if (parsed.GetValue(json))
                    Out(parsed).WriteLine(JsonSerializer.Serialize(new RegisteredClient(ClientView.Of(stored), secret), Json.Options));
                else
                    Out(parsed).WriteLine(secret is null ? $"Client {stored.Id} made; it is public and has no secret" : $"Client {stored.Id} made; its secret, shown this once: {secret}");
                return 0;
            }, ct);
        });
        return command;
    }

    static Command List(ICommandHost host)
    {
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("list", "List clients by id") { json };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            // More than anybody registers by hand.
            var (clients, _) = await services.GetRequiredService<ClientTable>().ListAsync(0, 10_000, ct);
            if (parsed.GetValue(json))
            {
                Out(parsed).WriteLine(JsonSerializer.Serialize(clients.Select(ClientView.Of).ToArray(), Json.Options));
                return 0;
            }

            var width = clients.Select(c => c.Id.Length).DefaultIfEmpty(0).Max();
            foreach (var c in clients)
                Out(parsed).WriteLine($"{c.Id.PadRight(width)}  {(c.IsPublic ? "public " : "secret ")}  {(c.IsTrusted ? "trusted" : "asks   ")}  {c.GrantTypes}  {c.Scopes}  {c.RedirectUris}");
            return 0;
        }, ct));
        return command;
    }

    static Command Remove(ICommandHost host)
    {
        var id = new Argument<string>("ID") { Description = "Which client" };
        var command = new Command("remove", "Remove a client and end its sessions") { id };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            var name = parsed.GetRequiredValue(id);
            if (!await services.GetRequiredService<ClientTable>().RemoveAsync(name, services.GetRequiredService<TimeProvider>().UtcNow(), Origin.Operator, ct))
                return Refuse(parsed, "There is no such client; \"tandem client list\" shows those there are");
            Out(parsed).WriteLine($"Client {name} is removed and its sessions have ended");
            return 0;
        }, ct));
        return command;
    }

    static Option<string[]> Many(string name, string description) => new(name) { Description = description, AllowMultipleArgumentsPerToken = true };

    /// <summary>The grants that have an address for a name may be called short.</summary>
    static string GrantOf(string name) => name switch
    {
        "device_code" => NewClient.Device,
        "token_exchange" => NewClient.Exchange,
        _ => name,
    };

    static string[]? OrNull(string[]? values) => values is { Length: > 0 } ? values : null;
}
