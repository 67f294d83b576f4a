using System.Diagnostics;
using System.Globalization;
using System.Text;
using Npgsql;
using Tandem.Core.Backup;
using Tandem.Core.Data;

namespace Tandem.Postgres;

/// <summary>The tables of a PostgreSQL database, for backup, restore and grow: read in one snapshot, filled by COPY.</summary>
sealed class PostgresTables(PostgresServer server) : StoreTables
{
    // The session of a copy waits while files are copied on another; times are UTC on both ends.
    const string Session = "set idle_in_transaction_session_timeout = 0; set tcp_user_timeout = 0; set time zone 'UTC'";

    static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(100);

    // The database has a session for a moment longer than its client: nobody is told to stop a server that has just stopped.
    static readonly TimeSpan Leaving = TimeSpan.FromSeconds(3);

    public override async Task<bool> ExistsAsync(CancellationToken ct) => await AskAsync("select to_regclass('core_migrations') is not null", ct) is true;

    public override async Task<bool> IsHalfCopiedAsync(CancellationToken ct)
    {
        while (true)
            try
            {
                return await base.IsHalfCopiedAsync(ct);
            }
            catch (Exception e) when (server.IsStarting && (e is StoreUnavailableException || PostgresServer.IsAway(e)))
            {
                await Task.Delay(LookInterval, ct);
            }
    }

    public override async Task<long> OthersAsync(CancellationToken ct)
    {
        for (var since = Stopwatch.GetTimestamp(); ; await Task.Delay(LookInterval, ct))
            if (await CountOthersAsync(ct) is var others && (others == 0 || Stopwatch.GetElapsedTime(since) > Leaving))
                return others;
    }

    // By the name that this program's own sessions have.
    async Task<long> CountOthersAsync(CancellationToken ct) => await AskAsync("""
        select count(*) from pg_stat_activity
        where datname = current_database() and application_name = current_setting('application_name') and pid <> pg_backend_pid()
        """, ct) is long others ? others : 0;

    async Task<object?> AskAsync(string sql, CancellationToken ct)
    {
        try
        {
            await using var connection = await server.Alone.OpenConnectionAsync(ct);
            await using var command = new NpgsqlCommand(sql, connection);
            return await command.ExecuteScalarAsync(ct);
        }
        catch (Exception e) when (server.Explain(e) is StoreUnavailableException unavailable)
        {
            throw unavailable;
        }
    }

    public override Task<TableSession> ReadAsync(CancellationToken ct) => OpenAsync("begin isolation level repeatable read read only", ct);

    public override Task<TableSession> FillAsync(CancellationToken ct) => OpenAsync("begin", ct);

    async Task<TableSession> OpenAsync(string begin, CancellationToken ct)
    {
        try
        {
            var session = new PostgresTableSession(await server.Alone.OpenConnectionAsync(ct));
            await session.ExecuteAsync(Session, ct);
            await session.ExecuteAsync(begin, ct);
            // The view is taken by the first statement.
            await session.ExecuteAsync("select 1", ct);
            return session;
        }
        catch (Exception e) when (server.Explain(e) is StoreUnavailableException unavailable)
        {
            throw unavailable;
        }
    }
}

sealed class PostgresTableSession(NpgsqlConnection connection) : TableSession(connection)
{
    public override string Engine => "postgres";

    protected override string Offset(long skip) => skip == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $" offset {skip}");

    public override async Task<IReadOnlyList<StoredTable>> TablesAsync(CancellationToken ct)
    {
        var columns = await ListAsync("""
            select c.table_name, c.column_name, c.data_type
            from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
            where table_schema = current_schema() and t.table_type = 'BASE TABLE'
            """, r => (Table: r.GetString(0), Column: new StoredColumn(r.GetString(1), r.GetString(2))), ct);
        var keys = (await ListAsync("""
            select t.relname, a.attname from pg_constraint k join pg_class t on t.oid = k.conrelid
                cross join unnest(k.conkey) with ordinality as p (number, place) join pg_attribute a on a.attrelid = t.oid and a.attnum = p.number
            where k.contype = 'p' and t.relnamespace = current_schema()::regnamespace order by t.relname, p.place
            """, r => (Table: r.GetString(0), Column: r.GetString(1)), ct)).ToLookup(k => k.Table, k => k.Column);
        var references = (await ListAsync("""
            select f.relname, t.relname from pg_constraint k join pg_class f on f.oid = k.conrelid join pg_class t on t.oid = k.confrelid
            where k.contype = 'f' and f.relnamespace = current_schema()::regnamespace
            """, r => (From: r.GetString(0), To: r.GetString(1)), ct)).ToLookup(r => r.From, r => r.To);
        return InOrder(
            columns.Where(c => StoreTables.IsData(c.Table)).GroupBy(c => c.Table, c => c.Column)
                .Select(t => new StoredTable(t.Key, [.. t.OrderBy(c => c.Name, StringComparer.Ordinal)], [.. keys[t.Key]])),
            references);
    }

    public override async Task<bool> HasAsync(string table, CancellationToken ct) =>
        (await ListAsync($"select 1 from pg_tables where schemaname = current_schema() and tablename = '{table}'", r => r.GetInt32(0), ct)).Count > 0;

    public override async Task<IReadOnlyDictionary<string, long>> SequencesAsync(CancellationToken ct)
    {
        var last = new Dictionary<string, long>();
        foreach (var (table, sequence) in await NumberedAsync(ct))
            if (await ListAsync($"select last_value from {sequence} where is_called", r => r.GetInt64(0), ct) is [var number])
                last.Add(table, number);
        return last;
    }

    public override async Task SetSequenceAsync(string table, long last, CancellationToken ct)
    {
        // Never back: other than all else here, this is not undone with the transaction.
        foreach (var (_, sequence) in (await NumberedAsync(ct)).Where(n => n.Table == table))
            await ExecuteAsync(string.Create(CultureInfo.InvariantCulture, $"select setval('{sequence}', greatest({last}, (select last_value from {sequence})))"), ct);
    }

    Task<List<(string Table, string Sequence)>> NumberedAsync(CancellationToken ct) => ListTablesOfDataAsync("""
        select t.relname, pg_get_serial_sequence(quote_ident(t.relname), a.attname)
        from pg_class t join pg_attribute a on a.attrelid = t.oid
        where a.attidentity <> '' and not a.attisdropped and t.relnamespace = current_schema()::regnamespace order by t.relname
        """, ct);

    async Task<List<(string Table, string Sequence)>> ListTablesOfDataAsync(string sql, CancellationToken ct) =>
        [.. (await ListAsync(sql, r => (Table: r.GetString(0), Sequence: r.GetString(1)), ct)).Where(n => StoreTables.IsData(n.Table))];

    /// <remarks>As text: the server then reads every value as its column's type, and it takes the texts and numbers of SQLite for all of them.</remarks>
    public override async Task AddAsync(StoredTable table, IReadOnlyList<string> columns, IReadOnlyList<object?[]> rows, CancellationToken ct)
    {
        try
        {
            await using var copy = await connection.BeginTextImportAsync($"copy {Quote(table.Name)} ({string.Join(", ", columns.Select(Quote))}) from stdin", ct);
            var line = new StringBuilder();
            foreach (var row in rows)
            {
                line.Clear();
                foreach (var (i, value) in row.Index())
                    Append(i == 0 ? line : line.Append('\t'), value);
                await copy.WriteAsync(line.Append('\n'), ct);
            }
        }
        catch (PostgresException e)
        {
            throw new ArchiveException($"PostgreSQL does not take a row of {table.Name}: {e.MessageText} ({e.Where})", e);
        }
    }

    public override Task CommitAsync(CancellationToken ct) => ExecuteAsync("commit; begin", ct);

    static void Append(StringBuilder line, object? value)
    {
        switch (value)
        {
            case null:
                line.Append("\\N");
                break;
            case string text:
                foreach (var c in text)
                    _ = c switch
                    {
                        '\\' => line.Append("\\\\"),
                        '\n' => line.Append("\\n"),
                        '\r' => line.Append("\\r"),
                        '\t' => line.Append("\\t"),
                        _ => line.Append(c),
                    };
                break;
            case byte[] bytes:
                line.Append("\\\\x").Append(Convert.ToHexStringLower(bytes));
                break;
            default:
                line.Append(CultureInfo.InvariantCulture, $"{value}");
                break;
        }
    }

    async Task<List<T>> ListAsync<T>(string sql, Func<NpgsqlDataReader, T> read, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        await using var reader = await command.ExecuteReaderAsync(ct);
        var rows = new List<T>();
        while (await reader.ReadAsync(ct))
            rows.Add(read(reader));
        return rows;
    }
}
