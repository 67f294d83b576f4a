using Tandem.Core.Files;

namespace Tandem.Core.Backup;

/// <summary>What stands at the head of an archive, so that a store can be made before its rows come.</summary>
/// <param name="Format">Of the archive; another than <see cref="Current"/> is refused.</param>
/// <param name="Program">The version of the program that wrote it.</param>
/// <param name="Engine">Where the rows are from.</param>
/// <param name="StartedAt">When the view of the store was taken (UTC): what was committed before is in it.</param>
/// <param name="Migrations">The schema: those that have run.</param>
/// <param name="Sequences">The last number given out, by table.</param>
/// <param name="EventsOnKafka">Consumers' positions are those of a Kafka topic, and mean nothing without it.</param>
/// <param name="Tables">A table comes behind those it refers to.</param>
sealed record ArchiveHeader(int Format, string Program, string Engine, DateTime StartedAt, IReadOnlyList<string> Migrations,
    IReadOnlyDictionary<string, long> Sequences, bool EventsOnKafka, IReadOnlyList<StoredTable> Tables)
{
    public const int Current = 1;

    public static async Task<ArchiveHeader> OfAsync(TableSession session, string program, DateTime now, CancellationToken ct)
    {
        var tables = await session.TablesAsync(ct);
        // The log in front of the topic has a number below those of the topic's partitions.
        var onKafka = tables.Any(t => t.Name == "events_positions") && await session.HasRowsAsync("events_positions", ct, "partition < 0");
        return new(Current, program, session.Engine, now, await session.MigrationsAsync(ct), await session.SequencesAsync(ct), onKafka, tables);
    }
}

/// <summary>What stands at the end of an archive: all there is in it, to be compared with what was read. Without it the archive is cut short.</summary>
sealed record Manifest(int Format, string Program, string Engine, DateTime StartedAt, DateTime FinishedAt, IReadOnlyList<string> Migrations,
    IReadOnlyList<TableCount> Tables, IReadOnlyList<StoredFile> Files)
{
    public long Rows => Tables.Sum(t => t.Rows);
}

/// <summary>How many rows a table has, and their digest (see <see cref="RowDigest"/>).</summary>
sealed record TableCount(string Name, long Rows, string Digest);

/// <summary>How far a copy is.</summary>
/// <param name="What">The table, or "files".</param>
/// <param name="Done">Rows or files of it so far.</param>
/// <param name="IsEnd">True once it is through.</param>
sealed record CopyProgress(string What, long Done, bool IsEnd);

/// <summary>An archive cannot be used, or a copy is not what was to be copied. The message says why and what to do.</summary>
sealed class ArchiveException(string message, Exception? inner = null) : IOException(message, inner);
