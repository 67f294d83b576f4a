using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;
using static Tandem.Users.UserCommands;

namespace Tandem.Users;

/// <summary><c>tandem signing-key …</c>: the keys that tokens are made with, from the operator's terminal, beside a running server or without one.</summary>
static class SigningKeyCommands
{
    public static Command SigningKeys(ICommandHost host) => new("signing-key", "List, rotate and revoke the keys that tokens are made with") { List(host), Rotate(host), Revoke(host) };

    static Command List(ICommandHost host)
    {
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("list", "List the keys, never their secrets") { json };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            Print(parsed, await services.GetRequiredService<KeyRotation>().ListAsync(ct), services.GetRequiredService<TimeProvider>().UtcNow(), parsed.GetValue(json));
            return 0;
        }, ct));
        return command;
    }

    static Command Rotate(ICommandHost host)
    {
        var atOnce = new Option<bool>("--now") { Description = "Without the hour in which the new keys are announced; whoever keeps the published keys may refuse new tokens until he reads them again" };
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("rotate", "Make new keys; what the present ones have made stays valid to its end") { atOnce, json };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            var next = await services.GetRequiredService<KeyRotation>().RotateAsync(parsed.GetValue(atOnce), Origin.Operator, ct);
            if (next.Count == 0)
                return Refuse(parsed, "New keys are announced already; \"tandem signing-key list\" shows them, and --now lets them sign at once");
            Print(parsed, next, services.GetRequiredService<TimeProvider>().UtcNow(), parsed.GetValue(json));
            return 0;
        }, ct));
        return command;
    }

    static Command Revoke(ICommandHost host)
    {
        var id = new Argument<string>("KID") { Description = "Which key, as \"signing-key list\" prints it" };
        var yes = new Option<bool>("--yes") { Description = "Everybody whose tokens it has made signs in again" };
        var command = new Command("revoke", "Make a key, and all that it has made, worth nothing at once: for one that was stolen") { id, yes };
        command.SetAction(async (parsed, ct) => parsed.GetValue(yes)
            ? await host.RunAsync(async (services, ct) =>
            {
                if (await services.GetRequiredService<KeyRotation>().RevokeAsync(parsed.GetRequiredValue(id), Origin.Operator, ct) is not { } revoked)
                    return Refuse(parsed, "There is no such key; \"tandem signing-key list\" shows those there are");
                Out(parsed).WriteLine($"{revoked.Key.Id} is revoked, and what it has made is worth nothing{(revoked.Next is { } next ? $"; {next.Id} takes its place" : "")}");
                return 0;
            }, ct)
            : Refuse(parsed, "everybody whose tokens this key has made will have to sign in again; say --yes. To replace it without that: tandem signing-key rotate", WrongUse));
        return command;
    }

    static void Print(ParseResult parsed, List<Turn> keys, DateTime now, bool json)
    {
        var views = keys.Select(k => SigningKeyView.Of(k, now)).ToList();
        if (json)
            Out(parsed).WriteLine(JsonSerializer.Serialize(views, new JsonSerializerOptions(Json.Options) { WriteIndented = true }));
        else
            foreach (var key in views)
                Out(parsed).WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{key.Id}  {key.Use,-8}  {key.State,-9}  from {key.SignsFrom:yyyy-MM-dd HH:mm}{(key.RetiredAt is { } until ? $" until {until:yyyy-MM-dd HH:mm}" : "")}"));
    }

    /// <param name="Id">The <c>kid</c>.</param>
    /// <param name="Use"><c>signs</c> all tokens but the ID tokens of clients that want RS256, which <c>rs256</c> signs, or <c>encrypts</c> those that only this server reads.</param>
    /// <param name="State"><c>announced</c>, <c>current</c> or <c>old</c>: it makes nothing any more, and what it has made is still read.</param>
    /// <param name="SignsFrom">UTC.</param>
    /// <param name="RetiredAt">UTC, when the next one begins.</param>
    sealed record SigningKeyView(string Id, string Use, string State, DateTime SignsFrom, DateTime? RetiredAt)
    {
        public static SigningKeyView Of(Turn key, DateTime now) =>
            new(key.Id, key.Purpose switch { Keys.Access => "signs", Keys.Identity => "rs256", _ => "encrypts" }, key.IsAnnounced(now) ? "announced" : key.IsOld(now) ? "old" : "current", key.SignsFrom, key.RetiredAt);
    }
}
