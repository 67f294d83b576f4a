namespace Tandem.Core.Backup;

/// <summary>Fills the tables of a store with rows of another and compares in the end.</summary>
/// <remarks>What goes into a table and what is read back from it must have one digest; the rows need not come in one run.</remarks>
sealed class Filling
{
    // What was committed on PostgreSQL and not yet put in order; SQLite commits in order and has no such table.
    const string Outbox = "events_outbox";
    const string Log = "events_log";

    readonly TableSession _session;
    readonly IReadOnlyList<StoredTable> _tables;
    readonly ArchiveHeader _source;
    readonly Dictionary<string, RowDigest> _read;
    readonly Dictionary<string, RowDigest> _written = [];
    readonly RowWriter _writer = new();
    long _lastEvent;

    Filling(TableSession session, IReadOnlyList<StoredTable> tables, ArchiveHeader source)
    {
        (_session, _tables, _source) = (session, tables, source);
        _read = source.Tables.ToDictionary(t => t.Name, _ => new RowDigest());
        _lastEvent = source.Sequences.GetValueOrDefault(Log);
    }

    /// <exception cref="ArchiveException">The target lacks a table or a column.</exception>
    public static async Task<Filling> StartAsync(TableSession session, ArchiveHeader source, CancellationToken ct)
    {
        var filling = new Filling(session, await session.TablesAsync(ct), source);
        foreach (var table in source.Tables)
        {
            var target = filling.TargetOf(table);
            if (target.Name == table.Name && table.Columns.FirstOrDefault(c => target.Columns.All(t => t.Name != c.Name)) is { } missing)
                throw new ArchiveException($"{table.Name}.{missing.Name} is not in this program's schema; use the program that wrote it (version {source.Program}).");
        }

        return filling;
    }

    /// <summary>Takes away what the tables hold, such as what migrations put in.</summary>
    public async Task ClearAsync(CancellationToken ct)
    {
        await _session.ExecuteAsync($"drop table if exists {StoreTables.GrowProgress}", ct);
        foreach (var table in _tables.Reverse())
            await _session.ExecuteAsync($"delete from {TableSession.Quote(table.Name)}", ct);
    }

    /// <summary>Counts and digests of what came from the source so far.</summary>
    public TableCount CountOf(StoredTable table) => new(table.Name, _read[table.Name].Rows, _read[table.Name].ToString());

    public async Task AddAsync(StoredTable table, List<object?[]> rows, CancellationToken ct)
    {
        foreach (var row in rows)
            _read[table.Name].Add(_writer.Write(row));
        var target = TargetOf(table);
        IReadOnlyList<string> columns = [.. table.Columns.Select(c => c.Name)];
        if (target.Name != table.Name)
            (columns, rows) = Ordered(columns, rows);
        if (!_written.TryGetValue(target.Name, out var written))
            _written.Add(target.Name, written = new RowDigest());
        foreach (var row in rows)
            written.Add(_writer.Write(row));
        await _session.AddAsync(target, columns, rows, ct);
    }

    /// <summary>Has the database number on behind what came, and reads everything back.</summary>
    /// <exception cref="ArchiveException">What is there is not what came.</exception>
    public async Task FinishAsync(CancellationToken ct)
    {
        foreach (var (name, last) in _source.Sequences)
            if (_tables.Any(t => t.Name == name))
                await _session.SetSequenceAsync(name, name == Log ? Math.Max(last, _lastEvent) : last, ct);
        await _session.CheckAsync(ct);
        foreach (var table in _source.Tables.Where(t => TargetOf(t).Name == t.Name))
        {
            var (there, came) = (await _session.DigestAsync(table, ct), _written.GetValueOrDefault(table.Name) ?? new RowDigest());
            if (there.Rows != came.Rows || there.ToString() != came.ToString())
                throw new ArchiveException($"{table.Name} holds {there.Rows} rows of digest {there}, but {came.Rows} of digest {came} came; nothing was kept.");
        }
    }

    StoredTable TargetOf(StoredTable table) => _tables.FirstOrDefault(t => t.Name == table.Name)
        ?? (table.Name == Outbox ? _tables.FirstOrDefault(t => t.Name == Log) : null)
        ?? throw new ArchiveException($"The table {table.Name} is not in this program's schema; use the program that wrote it (version {_source.Program}).");

    /// <summary>Events of the outbox take their places behind those of the log.</summary>
    (IReadOnlyList<string> Columns, List<object?[]> Rows) Ordered(IReadOnlyList<string> columns, List<object?[]> rows)
    {
        string[] ordered = [.. columns.Select(c => c == "number" ? "position" : c).Order(StringComparer.Ordinal)];
        var from = ordered.Select(c => c == "position" ? -1 : columns.Index().Single(s => s.Item == c).Index).ToArray();
        return (ordered, [.. rows.Select(row =>
        {
            var position = ++_lastEvent;
            return from.Select(i => i < 0 ? position : row[i]).ToArray();
        })]);
    }
}
