using System.Data.Common;
using System.Runtime.CompilerServices;
using Tandem.Core.Data;

namespace Tandem.Core.Backup;

/// <summary>A table of a store.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Columns">By name.</param>
/// <param name="Key">The columns of its primary key.</param>
sealed record StoredTable(string Name, IReadOnlyList<StoredColumn> Columns, IReadOnlyList<string> Key);

/// <summary>A column, with its type as the engine declares it.</summary>
sealed record StoredColumn(string Name, string Type);

/// <summary>The tables of a database, as backup, restore and grow see them: all of them alike, whichever module they belong to.</summary>
abstract class StoreTables
{
    // What the engine's own migrations keep; what is no data; files, which are copied as files; and what triggers keep, here and there.
    static readonly string[] Passed = ["core_migrations", "core_migrated", "core_heartbeat", "core_files", "core_file_chunks", GrowProgress, "users_blocks", "users_unread", "users_texts"];

    // SQLite's full-text index of the same, and the tables it is made of.
    const string PassedIndex = "users_trigrams";

    /// <summary>How far a copy between stores is; there only while one is under way.</summary>
    public const string GrowProgress = "core_grow";

    /// <summary>Are the rows of this table data that is backed up and moved?</summary>
    public static bool IsData(string table) => !Passed.Contains(table) && !table.StartsWith(PassedIndex, StringComparison.Ordinal) && !table.StartsWith("sqlite_", StringComparison.Ordinal);

    /// <summary>Is there anything at all, migrated or not?</summary>
    public abstract Task<bool> ExistsAsync(CancellationToken ct);

    /// <summary>One view of all tables, which later changes do not touch and which hinders none of them.</summary>
    public abstract Task<TableSession> ReadAsync(CancellationToken ct);

    /// <summary>A transaction that fills tables.</summary>
    public abstract Task<TableSession> FillAsync(CancellationToken ct);

    /// <summary>How many sessions of other programs of Tandem there are on the database; 0 where that is not known.</summary>
    public virtual Task<long> OthersAsync(CancellationToken ct) => Task.FromResult(0L);

    /// <summary>Has a copy into this store been broken off?</summary>
    public virtual async Task<bool> IsHalfCopiedAsync(CancellationToken ct)
    {
        if (!await ExistsAsync(ct))
            return false;
        await using var session = await ReadAsync(ct);
        return await session.HasAsync(GrowProgress, ct);
    }

    /// <summary>A table that has rows; null when there is none.</summary>
    public async Task<string?> HoldsAsync(CancellationToken ct)
    {
        if (!await ExistsAsync(ct))
            return null;
        await using var session = await ReadAsync(ct);
        foreach (var table in await session.TablesAsync(ct))
            if (await session.HasRowsAsync(table.Name, ct))
                return table.Name;
        return null;
    }
}

/// <summary>A connection in a transaction, for all tables.</summary>
abstract class TableSession(DbConnection connection) : IAsyncDisposable
{
    // Rows are small and this many are a few megabytes at most places; a transaction per batch stays short.
    public const int BatchRows = 2000;

    protected DbConnection Connection => connection;

    /// <summary>"sqlite" or "postgres".</summary>
    public abstract string Engine { get; }

    /// <summary>The tables whose rows are data; a table comes behind those that it refers to.</summary>
    public abstract Task<IReadOnlyList<StoredTable>> TablesAsync(CancellationToken ct);

    /// <summary>The last number that was given out, by table, for those that the database numbers.</summary>
    public abstract Task<IReadOnlyDictionary<string, long>> SequencesAsync(CancellationToken ct);

    /// <summary>Has the database go on behind this number.</summary>
    public abstract Task SetSequenceAsync(string table, long last, CancellationToken ct);

    /// <summary>Writes rows; their values are those of <see cref="RowText"/>, in the order of <paramref name="columns"/>.</summary>
    public abstract Task AddAsync(StoredTable table, IReadOnlyList<string> columns, IReadOnlyList<object?[]> rows, CancellationToken ct);

    /// <summary>Is there such a table?</summary>
    public abstract Task<bool> HasAsync(string table, CancellationToken ct);

    /// <summary>Looks at what the engine does not look at while rows are written, such as references.</summary>
    /// <exception cref="ArchiveException">A rule is broken.</exception>
    public virtual Task CheckAsync(CancellationToken ct) => Task.CompletedTask;

    /// <summary>Keeps what was written; a new transaction begins.</summary>
    public abstract Task CommitAsync(CancellationToken ct);

    /// <summary>The migrations that have run, in the order of their names.</summary>
    public async Task<IReadOnlyList<string>> MigrationsAsync(CancellationToken ct)
    {
        var names = new List<string>();
        await using var command = Command("select scriptname from core_migrations");
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
            names.Add(reader.GetString(0));
        return [.. names.Order(StringComparer.Ordinal)];
    }

    /// <summary>The rows, in the order of the key, as values of <see cref="RowText"/> in the order of the columns.</summary>
    /// <param name="table">Which.</param>
    /// <param name="skip">How many to leave out from the start.</param>
    /// <param name="ct">Ends the reading.</param>
    public async IAsyncEnumerable<object?[]> RowsAsync(StoredTable table, long skip, [EnumeratorCancellation] CancellationToken ct)
    {
        var order = table.Key.Count > 0 ? " order by " + string.Join(", ", table.Key.Select(Quote)) : "";
        await using var command = Command($"select {string.Join(", ", table.Columns.Select(c => Quote(c.Name)))} from {Quote(table.Name)}{order}{Offset(skip)}");
        // The longest table takes as long as it takes.
        command.CommandTimeout = 0;
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var row = new object?[table.Columns.Count];
            for (var i = 0; i < row.Length; i++)
                row[i] = await reader.IsDBNullAsync(i, ct) ? null : Plain(reader.GetValue(i));
            yield return row;
        }
    }

    /// <summary>Counts and digests of all rows.</summary>
    public async Task<RowDigest> DigestAsync(StoredTable table, CancellationToken ct)
    {
        var digest = new RowDigest();
        using var writer = new RowWriter();
        await foreach (var row in RowsAsync(table with { Key = [] }, 0, ct))
            digest.Add(writer.Write(row));
        return digest;
    }

    public async Task<bool> HasRowsAsync(string table, CancellationToken ct, string where = "true")
    {
        await using var command = Command($"select 1 from {Quote(table)} where {where} limit 1");
        return await command.ExecuteScalarAsync(ct) is not null;
    }

    public async Task ExecuteAsync(string sql, CancellationToken ct)
    {
        await using var command = Command(sql);
        command.CommandTimeout = 0;
        await command.ExecuteNonQueryAsync(ct);
    }

    public static string Quote(string name) => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    protected abstract string Offset(long skip);

    protected DbCommand Command(string sql)
    {
        var command = connection.CreateCommand();
        command.CommandText = sql;
        return command;
    }

    /// <summary>Tables behind those that they refer to; where they refer to each other, by name.</summary>
    /// <param name="tables">All of them.</param>
    /// <param name="references">Which table refers to which.</param>
    protected static IReadOnlyList<StoredTable> InOrder(IEnumerable<StoredTable> tables, ILookup<string, string> references)
    {
        var left = tables.OrderBy(t => t.Name, StringComparer.Ordinal).ToList();
        var ordered = new List<StoredTable>();
        while (left.Count > 0)
        {
            var next = left.FirstOrDefault(t => !references[t.Name].Any(r => r != t.Name && left.Any(l => l.Name == r))) ?? left[0];
            left.Remove(next);
            ordered.Add(next);
        }

        return ordered;
    }

    static object Plain(object value) => Rows.ToSqlite(value) switch
    {
        int number => (long)number,
        short number => (long)number,
        float number => (double)number,
        var plain => plain,
    };

    public async ValueTask DisposeAsync() => await connection.DisposeAsync();
}
