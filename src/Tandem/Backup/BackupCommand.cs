using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Backup;
using Tandem.Core.Files;
using Tandem.Core.Http;

namespace Tandem.Backup;

/// <summary><c>tandem backup</c>: everything in one archive, beside a running server or without one.</summary>
static class BackupCommand
{
    const int WrongUse = 2;

    public static Command Make(TandemApp app, HttpOptions http)
    {
        var target = new Argument<string>("FILE") { Description = "The archive to write, or a directory: then it is named tandem-TIME.tar.gz" };
        var verify = new Option<bool>("--verify") { Description = "Restore it into a store that is thrown away and compare every row" };
        var command = new Command("backup", "Write all rows and files into one archive, while others go on writing") { target, verify, CopyOutput.Json };
        command.SetAction(async (parsed, ct) =>
        {
            var output = new CopyOutput(parsed, parsed.GetValue(CopyOutput.Json));
            await using (app)
                return await WriteAsync(app, http, PathOf(parsed.GetRequiredValue(target)), parsed.GetValue(verify), output, ct);
        });
        return command;
    }

    static async Task<int> WriteAsync(TandemApp app, HttpOptions http, string path, bool verify, CopyOutput output, CancellationToken ct)
    {
        if (File.Exists(path))
            return output.Refuse($"{path} exists already; name another file, or a directory.", WrongUse);
        if (!app.Parts.SharesDatabase && !Directory.Exists(app.Server.Data))
            return output.Refuse($"There is no data directory {app.Server.Data}; name it with --data DIR.");
        StepBack();
        // Not migrated: the server beside may be of an earlier version.
        var services = app.Build(http, serving: false, migrate: false).Services;
        var store = services.GetRequiredService<WholeStore>();
        if (!await store.Tables.ExistsAsync(ct))
            return output.Refuse("The store is empty; there is nothing to back up.");

        Manifest manifest;
        var part = $"{path}.{Guid.NewGuid():n}.part";
        try
        {
            await using (var file = new FileStream(part, OwnerOnly()))
            {
                await using (var session = await store.Tables.ReadAsync(ct))
                await using (var archive = new ArchiveWriter(file))
                    manifest = await archive.WriteAsync(session, store.Files, TandemApp.Version, services.GetRequiredService<TimeProvider>(), Show, ct);
                file.Flush(flushToDisk: true);

                // Piece by piece: one large flush in the end would keep those of the server beside it waiting.
                void Show(CopyProgress progress)
                {
                    file.Flush(flushToDisk: true);
                    output.Show(progress);
                }
            }

            Durable.Move(part, path);
        }
        catch
        {
            File.Delete(part);
            throw;
        }

        var bytes = new FileInfo(path).Length;
        var took = output.Seconds;
        if (verify)
            await RestoreCommand.DrillAsync(app, path, output, ct);
        return output.Done($"""
            {path}: {CopyOutput.Contents(manifest)}, {CopyOutput.Size(bytes)}, written in {took:0.0} s{(verify ? $", restored and compared in {output.Seconds - took:0.0} s" : "")}
            It holds password hashes and signing keys: only its owner can read it; keep it like that.{(verify ? "" : $"\nCheck it with: tandem restore --drill {path}")}
            """,
            new { Path = path, Bytes = bytes, manifest.Engine, manifest.Program, manifest.StartedAt, manifest.FinishedAt, manifest.Rows, Verified = verify, Seconds = output.Seconds, manifest.Tables, manifest.Files });
    }

    /// <summary>A server on the same machine goes first.</summary>
    static void StepBack()
    {
        using var self = Process.GetCurrentProcess();
        self.PriorityClass = ProcessPriorityClass.BelowNormal;
    }

    static FileStreamOptions OwnerOnly()
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None, BufferSize = 1 << 16 };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return options;
    }

    static string PathOf(string target) => Directory.Exists(target)
        ? Path.Combine(target, $"tandem-{DateTime.UtcNow.ToString("yyyyMMdd-HHmmss", CultureInfo.InvariantCulture)}.tar.gz")
        : target;
}
