using System.Globalization;
using Microsoft.Data.Sqlite;
using Tandem.Core.Data;
using Tandem.Core.Files;

namespace Tandem.Core.Backup;

/// <summary>A data directory in the making, inside of the one whose place it takes with one rename.</summary>
sealed class RestoredDirectory : IDisposable
{
    readonly DataDirectory _data;
    readonly TimeProvider _clock;

    public RestoredDirectory(DataDirectory data, TimeProvider clock)
    {
        (_data, _clock) = (data, clock);
        var path = Path.Combine(data.Path, "restoring");
        // Of a restore that was killed.
        if (System.IO.Directory.Exists(path))
            System.IO.Directory.Delete(path, recursive: true);
        Directory = new DataDirectory(path);
    }

    /// <summary>To be filled.</summary>
    public DataDirectory Directory { get; }

    /// <summary>Puts it in its place. What was there before is kept under <c>replaced-TIME</c>.</summary>
    /// <returns>Where the former store is; null when there was none.</returns>
    public string? Take()
    {
        Settle(Directory.DatabaseFile);
        // Files first: without a row that knows them they are nothing, and the database must not be there without them.
        foreach (var file in System.IO.Directory.Exists(Path.Combine(Directory.Path, "files")) ? System.IO.Directory.GetFiles(Path.Combine(Directory.Path, "files")) : [])
            Durable.Move(file, _data.Combine("files", Path.GetFileName(file)));
        string? former = null;
        if (File.Exists(_data.DatabaseFile))
        {
            Settle(_data.DatabaseFile);
            former = _data.Combine($"replaced-{_clock.GetUtcNow().UtcDateTime.ToString("yyyyMMdd-HHmmss", CultureInfo.InvariantCulture)}", "tandem.db");
            // A second name, not a move: at no moment is there no database.
            Durable.Link(_data.DatabaseFile, former);
        }

        Durable.Move(Directory.DatabaseFile, _data.DatabaseFile);
        return former is null ? null : Path.GetDirectoryName(former);
    }

    /// <summary>Brings everything into the one file: a write-ahead log left behind would be taken for the next database's own.</summary>
    static void Settle(string database)
    {
        using (var connection = new SqliteConnection($"Data Source={database};Pooling=False"))
        {
            connection.Open();
            if (Ask("pragma wal_checkpoint(truncate)") is not 0L || Ask("pragma journal_mode = delete") is not "delete")
                throw new IOException($"{database} is in use by another process; stop it first.");

            object? Ask(string pragma)
            {
                using var command = connection.CreateCommand();
                command.CommandText = pragma;
                return command.ExecuteScalar();
            }
        }

        using var file = new FileStream(database, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        file.Flush(flushToDisk: true);
    }

    public void Dispose() => System.IO.Directory.Delete(Directory.Path, recursive: true);
}
