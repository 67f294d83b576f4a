using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Users;

/// <summary><c>tandem key …</c>: API keys from the operator's terminal, beside a running server or without one.</summary>
static class KeyCommands
{
    public static Command Keys(ICommandHost host) => new("key", "Make, list and revoke API keys")
    {
        Create(host),
        List(host),
        Revoke(host),
    };

    static Command Create(ICommandHost host)
    {
        var email = new Argument<string>("EMAIL") { Description = "Whose key" };
        var name = new Option<string>("--name") { Description = "What it is for", Required = true };
        var lifetime = new Option<string?>("--lifetime") { Description = "How long it lasts, hh:mm:ss or d.hh:mm:ss (default: Users:KeyLifetime)" };
        var scopes = new Option<string[]>("--scope")
        {
            Description = "What it is for, such as users:read; it then allows that beside the account's own data. Only administrators' keys have scopes",
            AllowMultipleArgumentsPerToken = true,
        };
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("create", "Print a new API key; it cannot be shown again") { email, name, lifetime, scopes, json };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            DateTimeOffset? ends = null;
            if (parsed.GetValue(lifetime) is { } text)
            {
                // A bare number would be taken as days.
                if (!text.Contains(':') || !TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var life) || life <= TimeSpan.Zero || life > TimeSpan.FromDays(36_500))
                    return UserCommands.Refuse(parsed, "--lifetime must be a duration, like 30.00:00:00 for thirty days", UserCommands.WrongUse);
                ends = services.GetRequiredService<TimeProvider>().GetUtcNow() + life;
            }

            var key = new NewKey(parsed.GetRequiredValue(name), parsed.GetValue(scopes) is { Length: > 0 } names ? names : null, ends);
            if (JsonFaults.FindInvalid(key) is { Count: > 0 } errors)
                return UserCommands.Refuse(parsed, string.Join("; ", errors.Select(e => $"{e.Key} {e.Value[0]}")), UserCommands.WrongUse);
            if (await UserCommands.FindAsync(services, parsed, email, ct) is not { } account)
                return UserCommands.Failed;
            if (await services.GetRequiredService<ApiKeys>().CreateAsync(account.Id, key, key.Scopes, Origin.Operator, ct) is not var (made, secret))
                return UserCommands.Refuse(parsed, $"{account.Email} is not active; first: tandem user activate {account.Email}");
            UserCommands.Out(parsed).WriteLine(parsed.GetValue(json) ? JsonSerializer.Serialize(NewKeyView.Of(made, secret), Json.Options) : secret);
            return 0;
        }, ct));
        return command;
    }

    static Command List(ICommandHost host)
    {
        var email = new Argument<string>("EMAIL") { Description = "Whose keys" };
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("list", "List the API keys of an account, the newest first") { email, json };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            if (await UserCommands.FindAsync(services, parsed, email, ct) is not { } account)
                return UserCommands.Failed;
            var (keys, _) = await services.GetRequiredService<ApiKeys>().ListAsync(account.Id, 0, 10_000, ct);
            if (parsed.GetValue(json))
            {
                UserCommands.Out(parsed).WriteLine(JsonSerializer.Serialize(keys.Select(KeyView.Of), new JsonSerializerOptions(Json.Options) { WriteIndented = true }));
                return 0;
            }

            foreach (var key in keys)
                UserCommands.Out(parsed).WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{key.Id}  until {key.ExpiresAt:yyyy-MM-dd}  used {key.LastUsedAt?.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture) ?? "never     "}  {key.Scopes ?? "(all)"}  {UserCommands.Printable(key.Name)}"));
            return 0;
        }, ct));
        return command;
    }

    static Command Revoke(ICommandHost host)
    {
        var id = new Argument<Guid>("ID") { Description = "Which key, as \"key list\" prints it" };
        var command = new Command("revoke", "Make an API key worth nothing") { id };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            if (!await services.GetRequiredService<ApiKeys>().RevokeAsync(null, parsed.GetRequiredValue(id), Origin.Operator, ct))
                return UserCommands.Refuse(parsed, UserProblems.KeyNotFound.Detail);
            UserCommands.Out(parsed).WriteLine($"{parsed.GetRequiredValue(id)} is revoked");
            return 0;
        }, ct));
        return command;
    }
}
