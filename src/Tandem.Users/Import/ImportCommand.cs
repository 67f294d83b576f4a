using System.CommandLine;
using System.CommandLine.Parsing;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Http;

namespace Tandem.Users.Import;

/// <summary><c>tandem user import FILE</c>.</summary>
static class ImportCommand
{
    const int RefusedShown = 20;

    public static Command Make(ICommandHost host)
    {
        var file = new Argument<string>("FILE") { Description = "CSV with a header, JSON or NDJSON, in UTF-8" };
        var format = new Option<string>("--format") { Description = $"Where it comes from: {string.Join(", ", Sources.Names)}", DefaultValueFactory = _ => "auto" };
        format.AcceptOnlyFromAmong([.. Sources.Names]);
        var trial = new Option<bool>("--dry-run") { Description = "Check everything, store nothing" };
        var update = new Option<bool>("--update") { Description = "Update accounts that are there; a password that was used or set here stays" };
        var passwords = new Option<bool>("--update-passwords") { Description = "The same, also those passwords; ends the sessions of whoever gets another one" };
        var admin = new Option<bool>("--allow-admin") { Description = "Administrators of the file become administrators; --update may change those there are" };
        var keep = new Option<bool>("--keep-ids") { Description = "Keep the ids of Tandem's own export" };
        var source = new Option<string?>("--source") { Description = "Stored beside the foreign id (default: the format)" };
        var firebase = new Option<string?>("--firebase-hash") { Description = "A file with the hash_config that Firebase's console shows" };
        var report = new Option<string?>("--report") { Description = "Write a JSON line for each record that is refused" };
        source.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<string?>() is { } name && (name.Length is 0 or > 50 || name.Any(c => c is < '!' or > '~')))
                r.AddError("--source must have 1 to 50 characters of ASCII, without blanks");
        });
        var command = new Command("import", "Bring users with their passwords from another program, or back from an export")
        {
            file, format, trial, update, passwords, admin, keep, source, firebase, report,
        };
        command.SetAction(async (parsed, ct) =>
        {
            FirebaseKey? key = null;
            if (parsed.GetValue(firebase) is { } block && (key = FirebaseKey.Read(await File.ReadAllTextAsync(block, ct))) is null)
                return UserCommands.Refuse(parsed, $"{block} has no base64_signer_key, base64_salt_separator, rounds and mem_cost of the algorithm SCRYPT", UserCommands.WrongUse);
            using var users = Open(parsed.GetRequiredValue(file));
            if (Recognise(parsed, users, parsed.GetRequiredValue(format)) is not { } known)
                return UserCommands.WrongUse;
            return await host.RunAsync(async (services, ct) =>
            {
                var settings = new ImportSettings(services.GetRequiredService<TimeProvider>().UtcNow())
                {
                    IsTrial = parsed.GetValue(trial),
                    Update = parsed.GetValue(update) || parsed.GetValue(passwords),
                    UpdatePasswords = parsed.GetValue(passwords),
                    AllowAdministrators = parsed.GetValue(admin),
                    KeepIds = parsed.GetValue(keep),
                    Source = parsed.GetValue(source),
                    Firebase = key,
                };
                return await RunAsync(parsed, users, known, settings, services.GetRequiredService<ImportTable>(), parsed.GetValue(report), ct);
            }, ct);
        });
        return command;
    }

    /// <exception cref="IOException">It is not there, or not to be read.</exception>
    static SourceFile Open(string path)
    {
        try
        {
            return new SourceFile(path);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException(e.Message, e);
        }
    }

    /// <returns>The format by name; null when it was said why there is none.</returns>
    static string? Recognise(ParseResult parsed, SourceFile users, string format)
    {
        string? known = format;
        try
        {
            if (format == "auto")
                known = users.Recognise();
            else if (format is "csv" or "json" && users.IsJson != (format == "json"))
            {
                UserCommands.Refuse(parsed, $"the file is {(users.IsJson ? "JSON" : "no JSON")}; leave --format out, or name the other one");
                return null;
            }
        }
        catch (InvalidDataException e)
        {
            UserCommands.Refuse(parsed, e.Message);
            return null;
        }

        if (known is null)
            UserCommands.Refuse(parsed, "the first record is like that of no program known here; name it by --format");
        return known;
    }

    static async Task<int> RunAsync(ParseResult parsed, SourceFile users, string format, ImportSettings settings, ImportTable table, string? report, CancellationToken ct)
    {
        // It names people: for the operator's eyes.
        await using var lines = report is null ? null : new StreamWriter(PrivateFile.Create(report, FileMode.Create));
        var run = new UserImport(table, format, settings);
        var error = parsed.InvocationConfiguration.Error;
        var progress = new Progress(error);
        var fatal = default(string);
        try
        {
            await run.RunAsync(users.Read(), (record, field, reason) =>
            {
                lines?.WriteLine(JsonSerializer.Serialize(new { record.Line, Record = record.Number, Field = field, Reason = reason }, Json.Options));
                progress.Clear();
                if (run.Counts.Refused <= RefusedShown)
                    error.WriteLine($"line {record.Line}, record {record.Number}: {UserCommands.Printable(field)} {reason}");
                else if (run.Counts.Refused == RefusedShown + 1)
                    error.WriteLine(lines is null ? "… and more; --report FILE has them all" : $"… and more, all of them in {report}");
            }, () => progress.Show(run.Counts, users.Progress), ct);
        }
        catch (InvalidDataException e)
        {
            fatal = e.Message;
        }
        catch (OperationCanceledException)
        {
            fatal = "stopped; what is counted here is stored, and the same command goes on from there";
        }

        progress.Clear();
        Summarise(parsed.InvocationConfiguration.Output, format, settings, run.Counts);
        if (fatal is not null)
            return UserCommands.Refuse(parsed, fatal);
        return run.Counts.Refused > 0 ? UserCommands.Failed : 0;
    }

    static void Summarise(TextWriter output, string format, ImportSettings settings, Counts counts)
    {
        static string N(int count) => count.ToString("N0", CultureInfo.InvariantCulture);
        output.WriteLine($"{format}: {N(counts.Read)} read, {N(counts[Outcome.Added])} {(settings.IsTrial ? "to be added" : "added")}, "
            + (settings.Update ? $"{N(counts[Outcome.Updated])} {(settings.IsTrial ? "to be updated" : "updated")}, {N(counts[Outcome.Unchanged])} as they were, " : $"{N(counts[Outcome.AlreadyThere])} already there, ")
            + $"{N(counts.Refused)} refused{(settings.IsTrial ? "; nothing is stored" : "")}");
        if (counts.WithoutPassword > 0)
            output.WriteLine($"{N(counts.WithoutPassword)} of them without a password: they cannot sign in until they have one (tandem user passwd EMAIL)");
        if (counts.NotAdministrator > 0)
            output.WriteLine($"{N(counts.NotAdministrator)} of them administrators where they come from, and plain accounts here: --allow-admin, or tandem user promote EMAIL");
    }

    /// <summary>A line that is written anew, where a person looks on.</summary>
    sealed class Progress(TextWriter error)
    {
        static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

        readonly bool _isSeen = !Console.IsErrorRedirected;
        long _shownAt;
        int _width;

        public void Show(Counts counts, double part)
        {
            if (!_isSeen || _shownAt != 0 && Stopwatch.GetElapsedTime(_shownAt) < Pause)
                return;
            _shownAt = Stopwatch.GetTimestamp();
            var line = string.Create(CultureInfo.InvariantCulture, $"{part:P0}  {counts.Read:N0} read, {counts[Outcome.Added]:N0} added, {counts.Refused:N0} refused");
            error.Write("\r" + line.PadRight(_width));
            _width = line.Length;
        }

        public void Clear()
        {
            if (_width == 0)
                return;
            error.Write("\r" + new string(' ', _width) + "\r");
            _width = 0;
        }
    }
}
