using System.Collections.Concurrent;
using System.Data.Common;
using System.Diagnostics;
using System.Text;
using Npgsql;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Postgres;

/// <summary>The one data source of the process: its pool, its prepared statements, and what its errors mean here.</summary>
sealed class PostgresServer : IAsyncDisposable, IDisposable
{
    const string Name = "postgres";

    /// <summary>How long nobody may say anything in the middle of a transaction before the server undoes it.</summary>
    public static readonly TimeSpan SilenceLimit = TimeSpan.FromSeconds(4);

    // A null of a known type: with one of none the statement would be another to the server than with a text, and not be kept prepared for both.
    static readonly object NoText = new();

    readonly ConcurrentDictionary<string, Statement> _statements = new();
    readonly ConcurrentDictionary<(string, bool), string> _publishing = new();
    readonly string _where;
    readonly TimeSpan _startTimeout;
    readonly int _maxPoolSize;
    long _startedAt;

    public PostgresServer(PostgresOptions options)
    {
        (_startTimeout, _maxPoolSize) = (options.StartTimeout, options.MaxPoolSize);
        NpgsqlConnectionStringBuilder connection;
        try
        {
            connection = new NpgsqlConnectionStringBuilder(options.ConnectionString);
        }
        catch (ArgumentException e)
        {
            throw new ConfigurationException($"Postgres:ConnectionString cannot be read ({e.Message}); write it like Host=db;Database=tandem;Username=tandem;Password=…");
        }

        connection.ApplicationName ??= "tandem";
        connection.MaxPoolSize = options.MaxPoolSize;
        connection.Timeout = Math.Max(1, (int)options.ConnectTimeout.TotalSeconds);
        // The server ends a statement in its time. When a second later nothing has been heard of that, it is not there to be waited for. (Npgsql then asks
        // for a cancellation, over another connection, which takes its time as well.)
        connection.CommandTimeout = (int)Math.Ceiling(options.StatementTimeout.TotalSeconds) + 1;
        connection.CancellationTimeout = 1000;
        connection.MaxAutoPrepare = 256;
        connection.AutoPrepareMinUsages = 2;
        // Nothing is ever set on a pooled session, so there is nothing to reset.
        connection.NoResetOnClose = true;
        connection.TcpKeepAlive = true;
        connection.TcpKeepAliveTime = 5;
        connection.TcpKeepAliveInterval = 2;
        // The other end as well: a process that was cut off must not hold its row locks for hours. Where something between the two still says that
        // it is there, four seconds without a word in the middle of a transaction tell: its body talks to the database and to nothing else. Whoever
        // reads slowly has longer: to TCP a reader that rests looks like one that is gone.
        var limits = $"{connection.Options} -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=30000";
        connection.Options = $"{limits} -c statement_timeout={(long)options.StatementTimeout.TotalMilliseconds} -c lock_timeout=10000"
            + $" -c idle_in_transaction_session_timeout={(long)SilenceLimit.TotalMilliseconds}";
        ReconnectTime = options.ConnectTimeout + TimeSpan.FromSeconds(1);
        _where = $"{connection.Host}:{connection.Port}/{connection.Database}";
        // Its metrics carry a name instead of the whole connection string.
        Source = new NpgsqlDataSourceBuilder(connection.ConnectionString) { Name = "tandem" }.Build();
        // Migrations and copies take as long as they take, and are not run again.
        connection.Options = limits + " -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=60000";
        connection.Pooling = false;
        connection.KeepAlive = 5;
        Alone = new NpgsqlDataSourceBuilder(connection.ConnectionString) { Name = "tandem alone" }.Build();
    }

    /// <summary>
    /// What failed later than this after its beginning is not begun again: a connection that could not be had in its time is asked for once more, and
    /// a server that takes a statement and does not answer is not waited for twice.
    /// </summary>
    public TimeSpan ReconnectTime { get; }

    /// <summary>The pool that requests share.</summary>
    public NpgsqlDataSource Source { get; }

    /// <summary>Connections that stay with their owner: for locks, notifications and migrations.</summary>
    public NpgsqlDataSource Alone { get; }

    /// <summary>
    /// Between its migration and its first request a serving process waits for a server that went away: whoever gave up here would have to be
    /// started again, and nobody waits for an answer.
    /// </summary>
    public bool IsStarting => Volatile.Read(ref _startedAt) is not 0 and var at && Stopwatch.GetElapsedTime(at) < _startTimeout;

    public void BeginStart() => Volatile.Write(ref _startedAt, Stopwatch.GetTimestamp());

    public void EndStart() => Volatile.Write(ref _startedAt, 0);

    /// <summary>What a statement's text becomes here, worked out once for each text.</summary>
    public Statement Prepare(string text) => _statements.TryGetValue(text, out var known)
        ? known
        // Texts are written in the program and so are bounded, but for the filters of resources, of which there are many.
        : _statements.Count < 4096 ? _statements.GetOrAdd(text, static t => new Statement(t)) : new Statement(text);

    /// <summary>A change of one row and, when it returned that row, its event in the outbox: one statement. The event takes its number behind the change.</summary>
    public Sql Publishing(Sql change, RowEvent e, StoredEvent stored)
    {
        var key = (change.Text, e.Key is null);
        if (!_publishing.TryGetValue(key, out var text))
        {
            var at = change.Values.Count;
            text = $"""
                with changed as ({change.Text}), published as (
                    insert into events_outbox (id, name, key, payload, occurred_at, trace_parent)
                    select @p{at}, @p{at + 1}, {(e.Key is null ? "changed.id::text" : $"@p{at + 5}")}, @p{at + 4}{(e.Key is null ? $" || changed.id::text || @p{at + 5}" : "")}, @p{at + 2}, @p{at + 3}
                    from changed)
                select * from changed
                """;
            if (_publishing.Count < 4096)
                _publishing.TryAdd(key, text);
        }

        return new Sql(text, [.. change.Values, stored.Id, stored.Name, stored.OccurredAt, stored.TraceParent ?? NoText, e.Payload, e.Key ?? e.PayloadEnd]);
    }

    public NpgsqlBatchCommand Command(Sql sql)
    {
        var command = new NpgsqlBatchCommand(Prepare(sql.Text).Text);
        Add(command.Parameters, sql);
        return command;
    }

    public static void Add(NpgsqlParameterCollection parameters, Sql sql)
    {
        foreach (var value in sql.Values)
            parameters.Add(ReferenceEquals(value, NoText)
                ? new NpgsqlParameter { Value = DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text }
                : new NpgsqlParameter { Value = ToPostgres(value) });
    }

    /// <summary>The value as Npgsql is to send it.</summary>
    public static object ToPostgres(object? value) => value switch
    {
        null => DBNull.Value,
        string or long or int or bool or double or decimal or Guid or byte[] or DateOnly => value,
        DateTime time => DateTime.SpecifyKind(time.Kind == DateTimeKind.Local ? time.ToUniversalTime() : time, DateTimeKind.Utc),
        DateTimeOffset time => time.UtcDateTime,
        Enum => value.ToString() ?? "",
        byte or sbyte or short or ushort or uint => Convert.ToInt64(value, System.Globalization.CultureInfo.InvariantCulture),
        float number => (double)number,
        _ => value,
    };

    /// <summary>The transaction lost against another one that ran beside it; nothing was kept, and it may be run again.</summary>
    public static bool LostRace(Exception e) =>
        e is PostgresException { SqlState: PostgresErrorCodes.SerializationFailure or PostgresErrorCodes.DeadlockDetected };

    /// <summary>The connection is gone or the server is not there (yet): what has not been committed is undone.</summary>
    public static bool IsAway(Exception e) => e switch
    {
        // Class 08: connection; 57P01 to 57P05: shut down, crashed, starting up, silent for too long; 53: out of connections, memory or disk; 25006: a replica.
        PostgresException error => error.SqlState.StartsWith("08", StringComparison.Ordinal) || error.SqlState.StartsWith("57P0", StringComparison.Ordinal)
            || error.SqlState.StartsWith("53", StringComparison.Ordinal) || error.SqlState == "25006" || WasSilent(e),
        NpgsqlException or TimeoutException or System.Net.Sockets.SocketException or IOException or ObjectDisposedException => true,
        _ => false,
    };

    /// <summary>Nobody gave a connection back in time. Npgsql has no type of its own for it, nor a code: what it says is compared.</summary>
    static bool IsPoolEmpty(Exception e) =>
        e is NpgsqlException { InnerException: TimeoutException } and not PostgresException && e.Message.StartsWith("The connection pool has been exhausted", StringComparison.Ordinal);

    /// <summary>The server has ended the session for its silence in the middle of a transaction, which is undone.</summary>
    public static bool WasSilent(Exception e) => e is PostgresException { SqlState: "25P03" };

    /// <summary>The error in the words of the seam.</summary>
    public Exception Explain(Exception e) => e switch
    {
        PostgresException { SqlState: [.. "23", _, _, _] } error => new ConstraintViolationException(error.MessageText, e),
        PostgresException { SqlState: PostgresErrorCodes.QueryCanceled or "55P03" } => new StoreUnavailableException(Name, "A statement took longer than it may (Postgres:StatementTimeout); try again in a moment.", e),
        PostgresException { SqlState: PostgresErrorCodes.DiskFull } => new StoreUnavailableException(Name, "The disk of the database server is full; free some space and try again.", e),
        PostgresException { SqlState: "25006" } => new StoreUnavailableException(Name, $"The server {_where} only reads: name the primary in Postgres:ConnectionString.", e),
        PostgresException { SqlState: PostgresErrorCodes.TooManyConnections } =>
            new StoreUnavailableException(Name, "The server has no connection left: lower Postgres:MaxPoolSize or raise its max_connections.", e),
        PostgresException { SqlState: PostgresErrorCodes.InvalidPassword or PostgresErrorCodes.InvalidAuthorizationSpecification } =>
            new StoreUnavailableException(Name, $"The server {_where} does not let this account in: look at Username and Password of Postgres:ConnectionString.", e),
        PostgresException { SqlState: PostgresErrorCodes.InvalidCatalogName } =>
            new StoreUnavailableException(Name, $"The database of {_where} does not exist: create it, or correct Postgres:ConnectionString.", e),
        CommitInDoubtException => new StoreUnavailableException(
            Name, "The connection broke while the change was being committed, and it is not known whether it was kept. Look before you send it again, or repeat it with its Idempotency-Key.", e)
        { IsInDoubt = true },
        SlowBodyException => new StoreUnavailableException(Name, e.Message, e),
        _ when IsPoolEmpty(e) => new StoreUnavailableException(
            Name, $"All {_maxPoolSize} connections to the server {_where} are in use (Postgres:MaxPoolSize); try again in a moment.", e),
        _ when IsAway(e) => new StoreUnavailableException(Name, $"The database server {_where} does not answer; try again in a moment.", e),
        _ => e,
    };

    public ValueTask DisposeAsync()
    {
        Dispose();
        return ValueTask.CompletedTask;
    }

    public void Dispose()
    {
        Source.Dispose();
        Alone.Dispose();
    }
}

/// <summary>A statement with PostgreSQL's parameters, and how its rows are read.</summary>
sealed class Statement(string text)
{
    Delegate? _parser;

    public string Text { get; } = Positional(text);

    public Func<DbDataReader, T> Parser<T>(DbDataReader reader)
    {
        if (_parser is Func<DbDataReader, T> known)
            return known;
        var parser = Rows.Parser<T>(reader);
        _parser = parser;
        return parser;
    }

    /// <summary>@p0 becomes $1: without names Npgsql sends the text as it is.</summary>
    static string Positional(string text)
    {
        var made = new StringBuilder(text.Length);
        for (var at = 0; at < text.Length;)
        {
            var next = text.IndexOf("@p", at, StringComparison.Ordinal);
            if (next < 0)
                return made.Append(text, at, text.Length - at).ToString();
            made.Append(text, at, next - at);
            var end = next + 2;
            while (end < text.Length && char.IsAsciiDigit(text[end]))
                end++;
            made.Append('$').Append(int.Parse(text.AsSpan(next + 2, end - next - 2), System.Globalization.CultureInfo.InvariantCulture) + 1);
            at = end;
        }

        return made.ToString();
    }
}
