using System.CommandLine;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Backup;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Backup;

/// <summary><c>tandem restore</c>: an archive becomes the store, or, as a drill, one that is thrown away.</summary>
static class RestoreCommand
{
    public static Command Make(TandemApp app, HttpOptions http)
    {
        var file = new Argument<string>("FILE") { Description = "An archive of tandem backup, from whichever engine" };
        var force = new Option<bool>("--force") { Description = "Take the place of what the store holds: an embedded one is kept aside, rows on PostgreSQL are deleted" };
        var drill = new Option<bool>("--drill") { Description = "Restore into a store that is thrown away, compare every row, and say how long it took" };
        var command = new Command("restore", "Bring back what a backup holds, all or nothing") { file, force, drill, CopyOutput.Json };
        command.SetAction(async (parsed, ct) =>
        {
            var output = new CopyOutput(parsed, parsed.GetValue(CopyOutput.Json));
            var path = parsed.GetRequiredValue(file);
            await using (app)
            {
                if (!File.Exists(path))
                    return output.Refuse($"There is no file {path}.", 2);
                if (parsed.GetValue(drill))
                {
                    var proven = await DrillAsync(app, path, output, ct);
                    return Report(output, path, proven, $"{path}: {CopyOutput.Contents(proven)}; restored in {output.Seconds:0.0} s, and every count and digest is as it was written");
                }

                return app.Parts.SharesDatabase
                    ? await IntoServerAsync(app, http, path, parsed.GetValue(force), output, ct)
                    : await IntoDirectoryAsync(app, path, parsed.GetValue(force), output, ct);
            }
        });
        return command;
    }

    /// <summary>Restores into an embedded store that is deleted again.</summary>
    public static async Task<Manifest> DrillAsync(TandemApp app, string path, CopyOutput output, CancellationToken ct)
    {
        var data = new DataDirectory(Path.Combine(Path.GetTempPath(), $"tandem-drill-{Guid.NewGuid():n}"));
        try
        {
            return await RunAsync(app, path, WholeStore.Embedded(data, TimeProvider.System), _ => { }, output, ct);
        }
        finally
        {
            Directory.Delete(data.Path, recursive: true);
        }
    }

    static async Task<int> IntoDirectoryAsync(TandemApp app, string path, bool force, CopyOutput output, CancellationToken ct)
    {
        // Held to the end: no server starts on what is being replaced.
        using var alone = app.TakeServeLock();
        var data = new DataDirectory(app.Server.Data);
        if (!force && File.Exists(data.DatabaseFile))
            return output.Refuse($"{data.Path} holds a store already: name another directory with --data DIR, or say --force to put it aside.");
        using var restored = new RestoredDirectory(data, TimeProvider.System);
        var manifest = await RunAsync(app, path, WholeStore.Embedded(restored.Directory, TimeProvider.System), h => RefuseKafka(app, h), output, ct);
        var former = restored.Take();
        return Report(output, path, manifest, $"{data.Path} holds what {path} held on {manifest.StartedAt:yyyy-MM-dd HH:mm:ss} UTC: {CopyOutput.Contents(manifest)}, in {output.Seconds:0.0} s"
            + (former is null ? "" : $"\nThe former database is in {former}; delete it when it is not needed any more."));
    }

    static async Task<int> IntoServerAsync(TandemApp app, HttpOptions http, string path, bool force, CopyOutput output, CancellationToken ct)
    {
        var store = app.Build(http, serving: false, migrate: false).Services.GetRequiredService<WholeStore>();
        if (!force && await store.Tables.HoldsAsync(ct) is { } table)
            return output.Refuse($"The database holds rows already ({table}): name an empty one, or say --force to delete them.");
        if (await store.Tables.OthersAsync(ct) is > 0 and var others)
            return output.Refuse(GrowCommand.StopServers(others));
        var onKafka = false;
        var manifest = await RunAsync(app, path, store, h =>
        {
            RefuseKafka(app, h);
            onKafka = h.EventsOnKafka;
        }, output, ct);
        return Report(output, path, manifest, $"The database holds what {path} held on {manifest.StartedAt:yyyy-MM-dd HH:mm:ss} UTC: {CopyOutput.Contents(manifest)}, in {output.Seconds:0.0} s"
            + (onKafka ? "\nThe topic may hold events that came after the backup and are not in the database any more: delete it, or give Kafka:TopicPrefix another value, before a server starts." : ""));
    }

    /// <exception cref="ArchiveException">Events went through Kafka there, and do not here.</exception>
    public static void RefuseKafka(TandemApp app, ArchiveHeader header)
    {
        if (header.EventsOnKafka && (!app.Parts.SharesDatabase || string.IsNullOrEmpty(app.Parts.Settings.Sources.All["Kafka:BootstrapServers"])))
            throw new ArchiveException("Consumers' positions in these rows are those of a Kafka topic, and mean nothing without it: name PostgreSQL and Kafka (--postgres, --kafka).");
    }

    static async Task<Manifest> RunAsync(TandemApp app, string path, WholeStore store, Action<ArchiveHeader> check, CopyOutput output, CancellationToken ct)
    {
        await using var archive = new ArchiveReader(path);
        return await Restore.RunAsync(archive, store, app.Schema, check, output.Show, ct);
    }

    static int Report(CopyOutput output, string path, Manifest manifest, string lines) => output.Done(lines,
        new { Path = path, manifest.Engine, manifest.Program, manifest.StartedAt, manifest.Rows, Seconds = output.Seconds, manifest.Tables, manifest.Files });
}
