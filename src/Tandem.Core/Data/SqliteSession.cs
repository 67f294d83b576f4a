using System.Data.Common;
using Microsoft.Data.Sqlite;

namespace Tandem.Core.Data;

/// <summary>One SQLite connection with its prepared statements, used by one thread at a time.</summary>
sealed class SqliteSession : IDisposable
{
    // Statements are written by hand in the code, so their number is bounded; filters of Resource<T> vary, hence the limit.
    const int MaxStatements = 512;

    readonly Dictionary<string, Statement> _statements = [];

    public SqliteSession(string path, bool writer)
    {
        Connection = new SqliteConnection(new SqliteConnectionStringBuilder
        {
            DataSource = path,
            Pooling = false,
            DefaultTimeout = 10,
        }.ToString());
        Connection.Open();
        // FULL: a commit returns after its fsync, so what was acknowledged survives a power cut. WAL: readers never wait for the writer.
        Run(writer
            // Patience first: changing the journal waits for whoever is closing the file.
            ? "pragma busy_timeout = 10000; pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; pragma wal_autocheckpoint = 4000; pragma journal_size_limit = 67108864"
            : "pragma busy_timeout = 10000; pragma query_only = on");
    }

    public SqliteConnection Connection { get; }

    /// <summary>True when SQLite is inside a transaction; some errors (disk full, I/O) end it on their own.</summary>
    public bool InTransaction => SQLitePCL.raw.sqlite3_get_autocommit(Connection.Handle) == 0;

    public void Run(string sql)
    {
        var code = SQLitePCL.raw.sqlite3_exec(Connection.Handle, sql);
        if (code != SQLitePCL.raw.SQLITE_OK)
            SqliteException.ThrowExceptionForRC(code, Connection.Handle);
    }

    public T? Find<T>(Sql sql)
    {
        var statement = Prepare(sql);
        using var reader = statement.Command.ExecuteReader();
        return reader.Read() ? statement.Parser<T>(reader)(reader) : default;
    }

    public List<T> List<T>(Sql sql)
    {
        var statement = Prepare(sql);
        using var reader = statement.Command.ExecuteReader();
        var rows = new List<T>();
        while (reader.Read())
            rows.Add(statement.Parser<T>(reader)(reader));
        return rows;
    }

    public List<T> List<T>(Sql sql, Func<DbDataReader, T> read)
    {
        var statement = Prepare(sql);
        using var reader = statement.Command.ExecuteReader();
        var rows = new List<T>();
        while (reader.Read())
            rows.Add(read(reader));
        return rows;
    }

    public int Execute(Sql sql) => Prepare(sql).Command.ExecuteNonQuery();

    Statement Prepare(Sql sql)
    {
        var text = sql.Text;
        if (!_statements.TryGetValue(text, out var statement))
        {
            if (_statements.Count >= MaxStatements)
                Forget();
            var command = Connection.CreateCommand();
            command.CommandText = text;
            for (var i = 0; i < sql.Values.Count; i++)
                command.Parameters.Add(new SqliteParameter { ParameterName = "@p" + i });
            command.Prepare();
            _statements.Add(text, statement = new Statement(command));
        }

        var parameters = statement.Command.Parameters;
        for (var i = 0; i < parameters.Count; i++)
            parameters[i].Value = Rows.ToSqlite(sql.Values[i]);
        return statement;
    }

    void Forget()
    {
        foreach (var statement in _statements.Values)
            statement.Command.Dispose();
        _statements.Clear();
    }

    public void Dispose()
    {
        Forget();
        Connection.Dispose();
    }

    sealed class Statement(SqliteCommand command)
    {
        Delegate? _parser;

        public SqliteCommand Command => command;

        public Func<DbDataReader, T> Parser<T>(DbDataReader reader)
        {
            if (_parser is Func<DbDataReader, T> known)
                return known;
            var parser = Rows.Parser<T>(reader);
            _parser = parser;
            return parser;
        }
    }
}
