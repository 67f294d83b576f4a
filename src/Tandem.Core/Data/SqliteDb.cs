using System.Collections.Concurrent;
using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using Tandem.Core.Events;

namespace Tandem.Core.Data;

/// <summary>The embedded database: one file, one writer with group commit, a read connection per concurrent reader.</summary>
sealed class SqliteDb : Db, IDisposable
{
    readonly string _path;
    readonly Outbox _outbox;
    readonly ILogger<SqliteDb> _logger;
    readonly ConcurrentBag<SqliteSession> _readers = [];
    readonly Lock _opening = new();
    SqliteWriter? _writer;

    public SqliteDb(DataDirectory data, Outbox outbox, ILogger<SqliteDb> logger)
    {
        _path = data.DatabaseFile;
        _outbox = outbox;
        _logger = logger;
    }

    public override string Engine => "sqlite";

    // SQLite has no asynchronous I/O: a read is a few microseconds in the page cache, cheaper than a change of thread.
    public override Task<T?> FindAsync<T>(Sql sql, CancellationToken cancellationToken = default) where T : default
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Task.FromResult(Read(static (session, sql) => session.Find<T>(sql), sql));
    }

    public override Task<List<T>> ListAsync<T>(Sql sql, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Task.FromResult(Read(static (session, sql) => session.List<T>(sql), sql));
    }

    public override Task<List<T>> ListAsync<T>(Sql sql, Func<DbDataReader, T> read, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return Task.FromResult(Read((session, sql) => session.List(sql, read), sql));
    }

    public override Task<T> InTransactionAsync<T>(Func<Transaction, Task<T>> body, CancellationToken cancellationToken = default) =>
        Writer.RunAsync(body, cancellationToken);

    public override async Task CheckAsync(CancellationToken cancellationToken = default)
    {
        Read(static (session, sql) => session.Find<long>(sql), Sql.Raw("select 1"));
        await InTransactionAsync(tx => tx.ExecuteAsync(Sql.Raw("update core_heartbeat set beat = beat + 1"), CancellationToken.None), cancellationToken);
    }

    T Read<T>(Func<SqliteSession, Sql, T> read, Sql sql)
    {
        if (!_readers.TryTake(out var session))
            session = Open(writer: false);
        try
        {
            var result = read(session, sql);
            _readers.Add(session);
            return result;
        }
        catch (SqliteException e) when (e.SqliteErrorCode is SQLitePCL.raw.SQLITE_IOERR or SQLitePCL.raw.SQLITE_CANTOPEN or SQLitePCL.raw.SQLITE_BUSY)
        {
            session.Dispose();
            throw new StoreUnavailableException("sqlite", "The database cannot be read now; see the server's log.", e);
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>Opened with the first write; one that could not be is tried again with the next.</summary>
    SqliteWriter Writer
    {
        get
        {
            if (Volatile.Read(ref _writer) is { } open)
                return open;
            lock (_opening)
                return _writer ??= new SqliteWriter(Open(writer: true), _outbox, _logger);
        }
    }

    SqliteSession Open(bool writer)
    {
        try
        {
            return new SqliteSession(_path, writer);
        }
        catch (SqliteException e)
        {
            throw new StoreUnavailableException("sqlite", $"The database {_path} cannot be opened: {e.Message}", e);
        }
    }

    public void Dispose()
    {
        _writer?.Dispose();
        while (_readers.TryTake(out var session))
            session.Dispose();
    }
}

/// <summary>A transaction on the writer thread; every call completes before it returns.</summary>
sealed class SqliteTransaction(SqliteSession session, Outbox outbox, string? traceParent) : Transaction(outbox)
{
    List<Action>? _onCommitted;
    bool _ended;
    bool _failed;

    public override string? TraceParent => traceParent;

    public override Task<T?> FindAsync<T>(Sql sql, CancellationToken cancellationToken = default) where T : default =>
        Run(sql, static (session, sql) => session.Find<T>(sql));

    public override Task<List<T>> ListAsync<T>(Sql sql, CancellationToken cancellationToken = default) => Run(sql, static (session, sql) => session.List<T>(sql));

    public override Task<List<T>> ListAsync<T>(Sql sql, Func<DbDataReader, T> read, CancellationToken cancellationToken = default) =>
        Run(sql, (session, sql) => session.List(sql, read));

    public override Task<int> ExecuteAsync(Sql sql, CancellationToken cancellationToken = default) => Run(sql, static (session, sql) => session.Execute(sql));

    public override void OnCommitted(Action action) => (_onCommitted ??= []).Add(action);

    Task<T> Run<T>(Sql sql, Func<SqliteSession, Sql, T> statement)
    {
        if (_ended)
            throw new InvalidOperationException("The transaction has ended; use it only inside its body.");
        if (_failed)
            throw new InvalidOperationException("A statement of this transaction failed; it takes no more.");
        try
        {
            return Task.FromResult(statement(session, sql));
        }
        catch (SqliteException e)
        {
            // As on PostgreSQL: after a failed statement there is nothing but the end.
            _failed = true;
            if (e.SqliteErrorCode == SQLitePCL.raw.SQLITE_CONSTRAINT)
                throw new ConstraintViolationException(e.Message, e);
            throw;
        }
    }

    public void Close() => _ended = true;

    /// <summary>The body has returned.</summary>
    public void End()
    {
        _ended = true;
        if (_failed)
            throw new InvalidOperationException("A statement of this transaction failed, and its body went on as if nothing had happened; let the exception through.");
    }

    public void Committed(ILogger logger)
    {
        foreach (var action in _onCommitted ?? [])
            try
            {
                action();
            }
            catch (Exception e)
            {
                logger.AfterCommitFailed(e);
            }
    }
}
