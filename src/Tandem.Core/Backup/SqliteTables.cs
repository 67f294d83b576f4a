using Microsoft.Data.Sqlite;
using Tandem.Core.Data;

namespace Tandem.Core.Backup;

/// <summary>The tables of an embedded store. Reading hinders no writer: it sees the file as it was at its first read, out of the write-ahead log.</summary>
sealed class SqliteTables(DataDirectory data) : StoreTables
{
    public override Task<bool> ExistsAsync(CancellationToken ct) => Task.FromResult(new FileInfo(data.DatabaseFile) is { Exists: true, Length: > 0 });

    public override async Task<TableSession> ReadAsync(CancellationToken ct)
    {
        var session = new SqliteTableSession(Open());
        // The view is taken by the first read, not by begin.
        await session.ExecuteAsync("pragma query_only = on; pragma busy_timeout = 10000; begin; select 1 from sqlite_master limit 1", ct);
        return session;
    }

    /// <summary>As <see cref="ReadAsync"/>, and whoever wants to write meanwhile is told that the database is locked.</summary>
    public async Task<TableSession> ReadAloneAsync(CancellationToken ct)
    {
        var session = new SqliteTableSession(Open());
        await session.ExecuteAsync("pragma busy_timeout = 10000; begin immediate; select 1 from sqlite_master limit 1", ct);
        return session;
    }

    /// <remarks>For a file that nobody else uses yet, and that is thrown away when the filling fails: nothing is flushed until its end.</remarks>
    public override async Task<TableSession> FillAsync(CancellationToken ct)
    {
        var session = new SqliteTableSession(Open());
        await session.ExecuteAsync("pragma journal_mode = memory; pragma synchronous = off; pragma foreign_keys = off; begin immediate", ct);
        return session;
    }

    SqliteConnection Open()
    {
        var connection = new SqliteConnection($"Data Source={data.DatabaseFile};Pooling=False;Mode=ReadWrite");
        try
        {
            connection.Open();
            return connection;
        }
        catch (SqliteException e)
        {
            connection.Dispose();
            throw new StoreUnavailableException("sqlite", $"The database {data.DatabaseFile} cannot be opened: {e.Message}", e);
        }
    }
}

sealed class SqliteTableSession(SqliteConnection connection) : TableSession(connection)
{
    SqliteCommand? _insert;
    string _inserts = "";

    public override string Engine => "sqlite";

    protected override string Offset(long skip) => skip == 0 ? "" : $" limit -1 offset {skip}";

    public override async Task<IReadOnlyList<StoredTable>> TablesAsync(CancellationToken ct)
    {
        var names = (await ListAsync("select name from sqlite_master where type = 'table'", r => r.GetString(0), ct)).Where(StoreTables.IsData).ToList();
        var tables = new List<StoredTable>();
        var references = new List<(string From, string To)>();
        foreach (var name in names)
        {
            var columns = await ListAsync($"select name, lower(type), pk from pragma_table_info({Text(name)})", r => (Name: r.GetString(0), Type: r.GetString(1), Key: r.GetInt32(2)), ct);
            tables.Add(new StoredTable(name,
                [.. columns.OrderBy(c => c.Name, StringComparer.Ordinal).Select(c => new StoredColumn(c.Name, c.Type))],
                [.. columns.Where(c => c.Key > 0).OrderBy(c => c.Key).Select(c => c.Name)]));
            references.AddRange((await ListAsync($"select \"table\" from pragma_foreign_key_list({Text(name)})", r => r.GetString(0), ct)).Select(to => (name, to)));
        }

        return InOrder(tables, references.ToLookup(r => r.From, r => r.To));
    }

    public override async Task<bool> HasAsync(string table, CancellationToken ct) =>
        (await ListAsync($"select 1 from sqlite_master where type = 'table' and name = {Text(table)}", r => r.GetInt64(0), ct)).Count > 0;

    public override async Task<IReadOnlyDictionary<string, long>> SequencesAsync(CancellationToken ct)
    {
        // The table is there once a table of the schema is numbered.
        if (!await HasAsync("sqlite_sequence", ct))
            return new Dictionary<string, long>();
        return (await ListAsync("select name, seq from sqlite_sequence", r => (Name: r.GetString(0), Last: r.GetInt64(1)), ct))
            .Where(s => StoreTables.IsData(s.Name)).ToDictionary(s => s.Name, s => s.Last);
    }

    public override Task SetSequenceAsync(string table, long last, CancellationToken ct) => ExecuteAsync($"""
        insert into sqlite_sequence (name, seq) select {Text(table)}, 0 where not exists (select 1 from sqlite_sequence where name = {Text(table)});
        update sqlite_sequence set seq = max(seq, {last}) where name = {Text(table)}
        """, ct);

    public override Task AddAsync(StoredTable table, IReadOnlyList<string> columns, IReadOnlyList<object?[]> rows, CancellationToken ct)
    {
        var sql = $"insert into {Quote(table.Name)} ({string.Join(", ", columns.Select(Quote))}) values ({string.Join(", ", columns.Select((_, i) => "@p" + i))})";
        if (_inserts != sql)
        {
            _insert?.Dispose();
            (_insert, _inserts) = (connection.CreateCommand(), sql);
            _insert.CommandText = sql;
            for (var i = 0; i < columns.Count; i++)
                _insert.Parameters.Add(new SqliteParameter { ParameterName = "@p" + i });
        }

        var command = _insert!; // made above
        foreach (var row in rows)
        {
            for (var i = 0; i < row.Length; i++)
                command.Parameters[i].Value = row[i] ?? DBNull.Value;
            command.ExecuteNonQuery();
        }

        return Task.CompletedTask;
    }

    public override async Task CheckAsync(CancellationToken ct)
    {
        var broken = await ListAsync("select \"table\", parent from pragma_foreign_key_check limit 1", r => $"{r.GetString(0)} refers to a row of {r.GetString(1)} that is not there", ct);
        if (broken.Count > 0)
            throw new ArchiveException(broken[0] + ".");
    }

    public override Task CommitAsync(CancellationToken ct) => ExecuteAsync("commit; begin immediate", ct);

    async Task<List<T>> ListAsync<T>(string sql, Func<SqliteDataReader, T> read, CancellationToken ct)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await using var reader = await command.ExecuteReaderAsync(ct);
        var rows = new List<T>();
        while (await reader.ReadAsync(ct))
            rows.Add(read(reader));
        return rows;
    }

    static string Text(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";
}
