using System.CommandLine;
using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Backup;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Http;

namespace Tandem.Backup;

/// <summary><c>tandem grow</c>: everything from the data directory to the servers that the settings name, and back.</summary>
static class GrowCommand
{
    const int WrongUse = 2;

    // The settings that say where the servers are, in the order they are printed.
    static readonly string[] Servers = ["Postgres:ConnectionString", "Redis:ConnectionString", "Kafka:BootstrapServers"];

    // Of a connection string in Npgsql's or Redis' form.
    static readonly string[] Secret = ["password", "pwd", "passfile", "sslpassword"];

    public static Command Make(TandemApp app, HttpOptions http)
    {
        var back = new Option<bool>("--to-embedded") { Description = "The other way: from the server into the data directory" };
        var fromKafka = new Option<bool>("--from-kafka") { Description = "Take the events back from Kafka into the database's own log; the brokers need not run" };
        var restart = new Option<bool>("--restart") { Description = "Throw away what a run that was broken off has copied" };
        var command = new Command("grow", "Move everything from the data directory to --postgres CONNECTION [--redis … --kafka …]; goes on where it was broken off")
        {
            back, fromKafka, restart, CopyOutput.Json,
        };
        command.SetAction(async (parsed, ct) =>
        {
            var output = new CopyOutput(parsed, parsed.GetValue(CopyOutput.Json));
            await using (app)
            {
                var eventsOnly = parsed.GetValue(fromKafka);
                if (!app.Parts.SharesDatabase && !eventsOnly)
                    return output.Refuse("Name the database: tandem grow --postgres \"Host=db;Database=tandem;Username=tandem;Password=…\".", WrongUse);
                // Held to the end: nothing serves on the data directory meanwhile.
                using var alone = app.TakeServeLock();
                var services = app.Build(http, serving: false, migrate: eventsOnly).Services;
                var store = services.GetRequiredService<WholeStore>();
                if (await store.Tables.OthersAsync(ct) is > 0 and var others)
                    return output.Refuse(StopServers(others));
                if (eventsOnly)
                    return await FromKafkaAsync(services, output, ct);
                return parsed.GetValue(back)
                    ? await BackAsync(app, store, output, ct)
                    : await ThereAsync(app, store, parsed.GetValue(restart), output, ct);
            }
        });
        return command;
    }

    public static string StopServers(long others) =>
        $"{CopyOutput.Count(others, "session")} of Tandem {(others == 1 ? "is" : "are")} on the database: stop the servers first, they would go on with what they know.";

    static async Task<int> ThereAsync(TandemApp app, WholeStore target, bool restart, CopyOutput output, CancellationToken ct)
    {
        var data = new DataDirectory(app.Server.Data);
        if (!File.Exists(data.DatabaseFile))
            return output.Refuse($"{data.Path} holds no store; name the directory with --data DIR.");
        GrownMark.Refuse(data.Path);
        if (!await target.Tables.IsHalfCopiedAsync(ct))
        {
            if (await target.Tables.HoldsAsync(ct) is { } table)
                return output.Refuse($"The database holds rows already ({table}): name an empty one.");
        }
        else if (restart)
            await ForgetAsync(target, ct);

        var source = WholeStore.Embedded(data, TimeProvider.System);
        app.Schema.Complete(source.Migrator);
        var started = Stopwatch.GetTimestamp();
        output.Say($"Read-only from now on: {data.Path} takes no change until this is done.");
        Moved moved;
        await using (var session = await new SqliteTables(data).ReadAloneAsync(ct))
        {
            var header = await ArchiveHeader.OfAsync(session, TandemApp.Version, TimeProvider.System.UtcNow(), ct);
            moved = await new Grow(source, target, app.Schema, output.Show).IntoServerAsync(session, header, ct);
        }

        GrownMark.Set(data, "PostgreSQL", TimeProvider.System.UtcNow());
        var readOnly = Math.Round(Stopwatch.GetElapsedTime(started).TotalSeconds, 3);
        var settings = Settings(app);
        return output.Done($"""
            {CopyOutput.Contents(moved)} moved and compared; read-only for {readOnly:0.0} s{(moved.Resumed > 0 ? $" ({CopyOutput.Count(moved.Resumed, "row")} were there from an earlier run)" : "")}
            From now on start with these settings (in tandem.json, or as TANDEM_SECTION__KEY in the environment), with the password in its place:
            {string.Join('\n', settings.Select(s => $"  {s.Key}  {s.Value}"))}
            {data.Path} stays as it was, marked as moved: no server starts on it by mistake. The way back: tandem grow --to-embedded
            """,
            new { To = target.Migrator.Engine, moved.Rows, moved.Files, moved.Resumed, ReadOnlySeconds = readOnly, Settings = settings, moved.Tables });
    }

    static async Task<int> BackAsync(TandemApp app, WholeStore source, CopyOutput output, CancellationToken ct)
    {
        var data = new DataDirectory(app.Server.Data);
        if (File.Exists(data.DatabaseFile) && !GrownMark.Has(data.Path))
            return output.Refuse($"{data.Path} holds a store of its own; name another directory with --data DIR.");
        if (await source.Tables.IsHalfCopiedAsync(ct) || await source.Tables.HoldsAsync(ct) is null)
            return output.Refuse("The database holds no store, or half of one; there is nothing to bring back.");
        app.Schema.Complete(source.Migrator);
        var started = Stopwatch.GetTimestamp();
        output.Say("Read-only from now on: let no server start on the database until this is done.");
        using var restored = new RestoredDirectory(data, TimeProvider.System);
        Moved moved;
        await using (var session = await source.Tables.ReadAsync(ct))
        {
            var header = await ArchiveHeader.OfAsync(session, TandemApp.Version, TimeProvider.System.UtcNow(), ct);
            if (header.EventsOnKafka)
                return output.Refuse("The events of this database go through Kafka: take them back first, with \"tandem grow --from-kafka\".");
            moved = await new Grow(source, WholeStore.Embedded(restored.Directory, TimeProvider.System), app.Schema, output.Show).IntoDirectoryAsync(session, header, ct);
        }

        var former = restored.Take();
        GrownMark.Remove(data.Path);
        var readOnly = Math.Round(Stopwatch.GetElapsedTime(started).TotalSeconds, 3);
        return output.Done($"""
            {CopyOutput.Contents(moved)} moved and compared; read-only for {readOnly:0.0} s
            From now on start with --data {data.Path} and without {string.Join(", ", Settings(app).Select(s => s.Key))}. The database stays as it was.
            """ + (former is null ? "" : $"\nThe former database file is in {former}; delete it when it is not needed any more."),
            new { To = "sqlite", moved.Rows, moved.Files, ReadOnlySeconds = readOnly, Former = former, moved.Tables });
    }

    static async Task<int> FromKafkaAsync(IServiceProvider services, CopyOutput output, CancellationToken ct)
    {
        if (services.GetService<IEventsBack>() is not { } events)
            return output.Refuse("This program has no Kafka: it does not call app.UseKafka().");
        if (await events.TakeBackAsync(ct) is not { } late)
            return output.Refuse("The events of this database do not go through Kafka; there is nothing to take back.");
        return output.Done($"""
            The events are in the database's own log again; {CopyOutput.Count(late, "event")} of consumers that were behind {(late == 1 ? "waits" : "wait")} there.
            From now on start without Kafka:BootstrapServers. The topic stays as it was and gets nothing new.
            """, new { To = "database", Waiting = late });
    }

    static async Task ForgetAsync(WholeStore target, CancellationToken ct)
    {
        await using var session = await target.Tables.FillAsync(ct);
        await session.ExecuteAsync($"drop table {StoreTables.GrowProgress}", ct);
        await session.CommitAsync(ct);
    }

    static List<KeyValuePair<string, string>> Settings(TandemApp app) =>
        [.. Servers.Select(key => KeyValuePair.Create(key, app.Parts.Settings.Sources.All[key])).Where(s => s.Value is { Length: > 0 }).Select(s => KeyValuePair.Create(s.Key, Masked(s.Value!)))]; // not null: looked at just now

    /// <summary>A connection string without what is secret in it.</summary>
    static string Masked(string connection)
    {
        // Redis has commas, Kafka is a list of hosts.
        var separator = connection.Contains(';') ? ';' : ',';
        return string.Join(separator, connection.Split(separator).Select(part => part.Split('=', 2) is [var key, _]
            && Secret.Contains(key.Trim().Replace(" ", "", StringComparison.Ordinal), StringComparer.OrdinalIgnoreCase) ? $"{key}=…" : part));
    }
}
