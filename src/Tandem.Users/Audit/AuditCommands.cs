using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Http;

namespace Tandem.Users.Audit;

/// <summary><c>tandem audit …</c>: the audit trail from the operator's terminal, beside a running server or without one.</summary>
static class AuditCommands
{
    static readonly string[] Columns =
        ["number", "occurred_at", "event", "actor", "actor_id", "credential_id", "subject_id", "object_id", "network", "user_agent", "reason", "trace_id", "times", "hash"];

    public static Command Audit(ICommandHost host) => new("audit", "Check, export and note the trail of what happened to accounts, sessions and keys")
    {
        Verify(host),
        Export(host),
        Head(host),
    };

    static Command Verify(ICommandHost host)
    {
        var known = new Option<string?>("--head") { Description = "The hash of a row that was noted outside (\"audit head\"): it must still be there" };
        known.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<string?>() is { } text && (text.Length != 64 || text.Any(c => !char.IsAsciiHexDigit(c))))
                r.AddError("--head must be a hash as \"audit head\" prints it, 64 hexadecimal digits");
        });
        var command = new Command("verify", "Follow the chain of hashes; the first row that is not as it was written is named") { known };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            var verdict = await (await SealedAsync(services, ct)).VerifyAsync(parsed.GetValue(known)?.ToLowerInvariant(), ct);
            if (verdict.Broken is { } broken)
                return UserCommands.Refuse(parsed, string.Create(CultureInfo.InvariantCulture, $"the audit trail is broken: row {broken} {verdict.Fault}"));
            UserCommands.Out(parsed).WriteLine(string.Create(CultureInfo.InvariantCulture, $"{verdict.Rows} rows are as they were written; head {verdict.Hash}"));
            return 0;
        }, ct));
        return command;
    }

    static Command Export(ICommandHost host)
    {
        var from = Time("--from", "Not before this time, such as 2026-01-31 or 2026-01-31T12:00:00Z");
        var to = Time("--to", "Before this time");
        var format = new Option<string>("--format") { Description = "json (an array, an object on each line) or csv", DefaultValueFactory = _ => "json" };
        format.AcceptOnlyFromAmong("json", "csv");
        var command = new Command("export", "Print the trail, oldest row first") { from, to, format };
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            var rows = (await SealedAsync(services, ct)).ReadAsync(new AuditFilter(From: ReadTime(parsed.GetValue(from)), To: ReadTime(parsed.GetValue(to))), ct);
            await (parsed.GetValue(format) == "csv" ? CsvAsync(rows, UserCommands.Out(parsed)) : JsonAsync(rows, UserCommands.Out(parsed)));
            return 0;
        }, ct));
        return command;
    }

    static Command Head(ICommandHost host)
    {
        var command = new Command("head", "Print number and hash of the newest row, to be noted where nobody can change it");
        command.SetAction((parsed, ct) => host.RunAsync(async (services, ct) =>
        {
            var head = await (await SealedAsync(services, ct)).HeadAsync(ct);
            UserCommands.Out(parsed).WriteLine(string.Create(CultureInfo.InvariantCulture, $"{head.Number} {head.Hash}"));
            return 0;
        }, ct));
        return command;
    }

    /// <summary>With what was committed before, by whomever.</summary>
    static async Task<AuditTrail> SealedAsync(IServiceProvider services, CancellationToken ct)
    {
        var trail = services.GetRequiredService<AuditTrail>();
        await trail.SealAsync(ct);
        return trail;
    }

    static async Task JsonAsync(IAsyncEnumerable<AuditEntry> rows, TextWriter output)
    {
        var separator = "[\n";
        await foreach (var row in rows)
        {
            await output.WriteAsync(separator + JsonSerializer.Serialize(row, Json.Options));
            separator = ",\n";
        }

        await output.WriteLineAsync(separator[0] == '[' ? "[]" : "\n]");
    }

    // With line feeds. No value begins like a formula: users' own text is not in the trail, and of a client's name only letters, digits and -_. are.
    static async Task CsvAsync(IAsyncEnumerable<AuditEntry> rows, TextWriter output)
    {
        await output.WriteLineAsync(string.Join(',', Columns));
        await foreach (var row in rows)
        {
            var json = JsonSerializer.SerializeToElement(row, Json.Options);
            await output.WriteLineAsync(string.Join(',', Columns.Select(c => json.GetProperty(c) is var value && value.ValueKind == JsonValueKind.String
                ? CsvText.Quote(value.GetString() ?? "")
                : value.ValueKind == JsonValueKind.Null ? "" : value.GetRawText())));
        }
    }

    static Option<string?> Time(string name, string description)
    {
        var option = new Option<string?>(name) { Description = description };
        option.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<string?>() is { } text && ReadTime(text) is null)
                r.AddError($"{name} must be a time, such as 2026-01-31 or 2026-01-31T12:00:00Z");
        });
        return option;
    }

    static DateTime? ReadTime(string? text) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time) ? time.UtcDateTime : null;
}
