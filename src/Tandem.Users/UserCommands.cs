using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
using Tandem.Users.Import;
using Tandem.Users.Listing;
using Tandem.Users.SecondSteps;
using Tandem.Users.Tokens;

namespace Tandem.Users;

/// <summary><c>tandem user …</c> and <c>tandem token</c>: accounts from the operator's terminal, beside a running server or without one.</summary>
static class UserCommands
{
    internal const int Failed = 1;
    internal const int WrongUse = 2;

    static readonly TimeSpan LongestToken = TimeSpan.FromDays(365);

    public static Command Users(ICommandHost host) => new("user", "Make, list and change accounts")
    {
        Create(host),
        List(host),
        Passwd(host),
        Switch(host, "deactivate", "End an account's sessions and refuse it from now on", new AccountChange(IsActive: false)),
        Switch(host, "activate", "Let a deactivated account sign in again", new AccountChange(IsActive: true)),
        Switch(host, "promote", "Make an account administrator, from its next sign-in or refresh on", new AccountChange(IsAdministrator: true)),
        Switch(host, "demote", "Make an administrator a plain account, and end its sessions", new AccountChange(IsAdministrator: false)),
        SecondStepOff(host),
        ImportCommand.Make(host),
        ExportCommand.Make(host),
    };

    public static Command Token(ICommandHost host)
    {
        var email = new Argument<string>("EMAIL") { Description = "Whose token" };
        var lifetime = new Option<string?>("--lifetime") { Description = "How long it is honoured, hh:mm:ss or d.hh:mm:ss (default: Users:AccessTokenLifetime)" };
        var scopes = new Option<string[]>("--scope")
        {
            Description = "What it is for, such as users:read; it then allows that beside the account's own data, and an administrator's token nothing more",
            AllowMultipleArgumentsPerToken = true,
        };
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("token", "Print an access token for a script") { email, lifetime, scopes, json };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            var life = services.GetRequiredService<UsersOptions>().AccessTokenLifetime;
            // A bare number would be taken as days.
            if (parsed.GetValue(lifetime) is { } text && (!text.Contains(':') || !TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out life)
                || life < TimeSpan.FromSeconds(1) || life > LongestToken))
                return Refuse(parsed, $"--lifetime must be a duration between 00:00:01 and {LongestToken}, like 00:15:00", WrongUse);
            var names = parsed.GetValue(scopes) is { Length: > 0 } given ? string.Join(' ', given.SelectMany(s => s.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Distinct()) : null;
            if (await FindAsync(services, parsed, email, ct) is not { } account)
                return Failed;
            var now = services.GetRequiredService<TimeProvider>().UtcNow();
            if (await services.GetRequiredService<Sessions>().OpenAsync(account.Id, names, life, Origin.Operator with { UserAgent = "tandem token" }, now, ct) is not { } session)
                return Refuse(parsed, $"{account.Email} is not active; first: tandem user activate {account.Email}");
            var token = await services.GetRequiredService<AccessTokens>().MakeAsync(session, now, life, ct);
            Out(parsed).WriteLine(parsed.GetValue(json)
                ? JsonSerializer.Serialize(new { AccessToken = token, TokenType = "bearer", ExpiresIn = (long)life.TotalSeconds }, Json.Options)
                : token);
            return 0;
        }, ct));
        return command;
    }

    static Command Create(ICommandHost host)
    {
        var email = new Argument<string>("EMAIL") { Description = "The e-mail to sign in with" };
        var name = new Option<string?>("--name") { Description = "The person's name (default: what stands before the @)" };
        var admin = new Option<bool>("--admin") { Description = "Make it an administrator" };
        var stdin = PasswordFromInput();
        var command = new Command("create", "Make an account; asks for the password") { email, name, admin, stdin };
        command.SetAction(async (parsed, ct) =>
        {
            if (ReadPassword(parsed, stdin) is not { } password)
                return WrongUse;
            var address = parsed.GetRequiredValue(email);
            var user = new NewUser(address, parsed.GetValue(name) ?? address.Split('@')[0], password);
            if (Invalid(parsed, user))
                return WrongUse;
            return await host.RunAsync(async (services, ct) =>
            {
                if (services.GetRequiredService<CommonPasswordCheck>().IsCommon(password))
                    return Refuse(parsed, $"password {CommonPasswordCheck.Message}", WrongUse);
                var hash = await services.GetRequiredService<Passwords>().HashAsync(password, ct);
                var role = parsed.GetValue(admin) ? Role.Administrator : Role.Person;
                if (await services.GetRequiredService<UserTable>().AddAsync(user, hash, role, services.GetRequiredService<TimeProvider>().UtcNow(), Origin.Operator, null, ct) is not { } account)
                    return Refuse(parsed, UserProblems.EmailTaken.Detail);
                Out(parsed).WriteLine($"{(account.IsAdministrator ? "Administrator" : "User")} {account.Id} made: {account.Email}");
                return 0;
            }, ct);
        });
        return command;
    }

    static Command List(ICommandHost host)
    {
        var skip = new Option<int>("--skip") { Description = "How many to leave out from the start" };
        var limit = new Option<int>("--limit") { Description = "How many to print at most, 1 to 10000 (default 100)", DefaultValueFactory = _ => 100 };
        skip.Validators.Add(r => Between(r, skip, 0, int.MaxValue));
        limit.Validators.Add(r => Between(r, limit, 1, 10_000));
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("list", "List accounts by id") { skip, limit, json };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            var (accounts, total, _) = await services.GetRequiredService<AccountList>().ReadAsync(ListQuery.All, parsed.GetValue(skip), parsed.GetValue(limit), ct);
            if (parsed.GetValue(json))
            {
                Out(parsed).WriteLine(JsonSerializer.Serialize(accounts, new JsonSerializerOptions(Json.Options) { WriteIndented = true }));
                return 0;
            }

            var width = accounts.Select(a => a.Email.Length).DefaultIfEmpty(0).Max();
            foreach (var a in accounts)
                Out(parsed).WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{a.Id,6}  {a.Email.PadRight(width)}  {a.CreatedAt:yyyy-MM-dd}  {(a.IsActive ? "active  " : "inactive")}  {(a.IsAdministrator ? "admin" : "     ")}  {Printable(a.Name)}"));
            if (accounts.Count < total)
                Out(parsed).WriteLine($"{accounts.Count} of {total}; --skip and --limit show others");
            return 0;
        }, ct));
        return command;
    }

    static Command Passwd(ICommandHost host)
    {
        var email = new Argument<string>("EMAIL") { Description = "Whose password" };
        var stdin = PasswordFromInput();
        var command = new Command("passwd", "Set another password and end the account's sessions") { email, stdin };
        command.SetAction(async (parsed, ct) =>
        {
            if (ReadPassword(parsed, stdin) is not { } password || Invalid(parsed, new NewUser("any@example.com", "any", password)))
                return WrongUse;
            return await host.RunAsync(async (services, ct) =>
            {
                if (await FindAsync(services, parsed, email, ct) is not { } account)
                    return Failed;
                if (services.GetRequiredService<CommonPasswordCheck>().IsCommon(password))
                    return Refuse(parsed, $"password {CommonPasswordCheck.Message}", WrongUse);
                var hash = await services.GetRequiredService<Passwords>().HashAsync(password, ct);
                if (!await services.GetRequiredService<Ownership>().ChangePasswordAsync(account.Id, hash, services.GetRequiredService<TimeProvider>().UtcNow(), Origin.Operator, ct))
                    return Refuse(parsed, UserProblems.NotFound.Detail);
                Out(parsed).WriteLine($"The password of {account.Email} is changed and its sessions have ended");
                return 0;
            }, ct);
        });
        return command;
    }

    static Command Switch(ICommandHost host, string name, string description, AccountChange change)
    {
        var email = new Argument<string>("EMAIL") { Description = "Which account" };
        var command = new Command(name, description) { email };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            if (await FindAsync(services, parsed, email, ct) is not { } account)
                return Failed;
            if (await services.GetRequiredService<UserTable>().ChangeAsync(account.Id, change, services.GetRequiredService<TimeProvider>().UtcNow(), Origin.Operator, ct) is not { } changed)
                return Refuse(parsed, UserProblems.NotFound.Detail);
            Out(parsed).WriteLine($"{changed.Email} is {(changed.IsActive ? "active" : "not active")}{(changed.IsAdministrator ? ", administrator" : "")}");
            return 0;
        }, ct));
        return command;
    }

    static Command SecondStepOff(ICommandHost host)
    {
        var email = new Argument<string>("EMAIL") { Description = "Which account" };
        var command = new Command("second-step-off", "Remove the authenticator app of somebody who has lost it and the recovery codes") { email };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            if (await FindAsync(services, parsed, email, ct) is not { } account)
                return Failed;
            if (!await services.GetRequiredService<SecondStep>().SwitchOffAsync(account, Origin.Operator, ct))
                return Refuse(parsed, $"{account.Email} has no second step");
            Out(parsed).WriteLine($"{account.Email} signs in without a second step; who has asked for this should be known to you");
            return 0;
        }, ct));
        return command;
    }

    internal static async Task<Account?> FindAsync(IServiceProvider services, ParseResult parsed, Argument<string> email, CancellationToken ct)
    {
        var account = await services.GetRequiredService<UserTable>().FindAsync(parsed.GetRequiredValue(email), ct);
        if (account is null)
            Refuse(parsed, $"There is no account {Printable(parsed.GetRequiredValue(email))}; \"tandem user list\" shows those there are");
        return account;
    }

    static bool Invalid(ParseResult parsed, NewUser user)
    {
        var errors = JsonFaults.FindInvalid(user);
        foreach (var (field, messages) in errors)
            Refuse(parsed, $"{field} {string.Join("; ", messages)}");
        return errors.Count > 0;
    }

    static Option<bool> PasswordFromInput() => new("--password-stdin") { Description = "Read the password from the first line of standard input" };

    static string? ReadPassword(ParseResult parsed, Option<bool> stdin)
    {
        if (parsed.GetValue(stdin))
            return Console.In.ReadLine() ?? "";
        if (Console.IsInputRedirected)
        {
            Refuse(parsed, "no terminal to ask for the password on; pipe it in with --password-stdin");
            return null;
        }

        var first = Ask("Password: ");
        if (Ask("Once more: ") == first)
            return first;
        Refuse(parsed, "the two passwords differ");
        return null;
    }

    /// <summary>Without echo. The question goes to standard error, so that output can be piped on.</summary>
    static string Ask(string question)
    {
        Console.Error.Write(question);
        var text = new StringBuilder();
        while (Console.ReadKey(intercept: true) is { Key: not ConsoleKey.Enter } key)
            if (key.Key == ConsoleKey.Backspace)
                text.Length = Math.Max(0, text.Length - 1);
            else if (!char.IsControl(key.KeyChar))
                text.Append(key.KeyChar);
        Console.Error.WriteLine();
        return text.ToString();
    }

    internal static void Between(OptionResult result, Option<int> option, int least, int most)
    {
        if (result.GetValueOrDefault<int>() is var value && (value < least || value > most))
            result.AddError($"{option.Name} must be between {least} and {most}");
    }

    internal static int Refuse(ParseResult parsed, string message, int code = Failed)
    {
        parsed.InvocationConfiguration.Error.WriteLine($"tandem: {message}");
        return code;
    }

    internal static TextWriter Out(ParseResult parsed) => parsed.InvocationConfiguration.Output;

    /// <summary>A name that somebody chose must not move the cursor of the operator's terminal.</summary>
    internal static string Printable(string text) => string.Concat(text.Select(c => char.IsControl(c) ? '?' : c));
}
