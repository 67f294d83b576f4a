using System.Data.Common;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.ExceptionServices;
using Microsoft.Extensions.Logging;
using Npgsql;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Postgres;

/// <summary>
/// The database on PostgreSQL. Transactions are serialisable, so that a body sees what it would see on SQLite, where one runs after the
/// other; one that lost a race is run again.
/// </summary>
sealed class PostgresDb(PostgresServer server, PostgresLocks locks, Outbox outbox, Signal<PostgresEventLog> written, ILogger<PostgresDb> logger) : Db
{
    // While a transaction stays open, the server forgets which of those that ended meanwhile ran beside which, and may take every one for a rival. No
    // transaction is silent for longer than four seconds, so whoever goes on for six outlasts it.
    static readonly TimeSpan RaceTime = PostgresServer.SilenceLimit + TimeSpan.FromSeconds(2);

    // Who has lost so often runs alone among those who have: however many want the same rows, one of them gets on.
    const int RacesBeforeTurn = 3;

    readonly SemaphoreSlim _turn = new(1);

    // A server that restarts is back within seconds; a request waits about one and is then told to come again.
    static readonly TimeSpan[] Reconnects = [TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(100), TimeSpan.FromMilliseconds(300), TimeSpan.FromMilliseconds(600)];

    public override string Engine => "postgres";

    public override Task<T?> FindAsync<T>(Sql sql, CancellationToken cancellationToken = default) where T : default =>
        ReadAsync(sql, async (reader, statement, ct) => await reader.ReadAsync(ct) ? statement.Parser<T>(reader)(reader) : default, cancellationToken);

    public override Task<List<T>> ListAsync<T>(Sql sql, CancellationToken cancellationToken = default) =>
        ReadAsync(sql, (reader, statement, ct) => PostgresTransaction.AllAsync(reader, r => statement.Parser<T>(r)(r), ct), cancellationToken);

    public override Task<List<T>> ListAsync<T>(Sql sql, Func<DbDataReader, T> read, CancellationToken cancellationToken = default) =>
        ReadAsync(sql, (reader, _, ct) => PostgresTransaction.AllAsync(reader, read, ct), cancellationToken);

    public override Task<T> InTransactionAsync<T>(Func<Transaction, Task<T>> body, CancellationToken cancellationToken = default) =>
        InTransactionAsync(body, PostgresTransaction.Serializable, cancellationToken);

    public override Task<T> InTurnAsync<T>(Func<Transaction, Task<T>> body, CancellationToken cancellationToken = default) =>
        InTransactionAsync(body, PostgresTransaction.ReadCommitted, cancellationToken);

    async Task<T> InTransactionAsync<T>(Func<Transaction, Task<T>> body, string begin, CancellationToken cancellationToken)
    {
        var traceParent = Activity.Current?.Id;
        var (result, thrown) = await AgainAsync(async ct =>
        {
            await using var connection = await server.Source.OpenConnectionAsync(ct);
            var transaction = new PostgresTransaction(server, connection, outbox, traceParent, begin);
            T result;
            try
            {
                result = await body(transaction);
            }
            catch (Exception e)
            {
                await transaction.RollBackAsync();
                // A race or a connection that was lost, whatever the body made of it, is a reason to run it again.
                if (transaction.Failure is { } failure && (PostgresServer.LostRace(failure) || PostgresServer.IsAway(failure)))
                    throw failure;
                // Anything else is the body's own: a time-out that it threw is not the server's.
                return (default, ExceptionDispatchInfo.Capture(e));
            }

            try
            {
                await transaction.CommitAsync();
            }
            catch
            {
                await transaction.RollBackAsync();
                throw;
            }

            transaction.Committed(logger);
            return ((T?)result, (ExceptionDispatchInfo?)null);
        }, cancellationToken);
        thrown?.Throw();
        return result!; // the body's
    }

    /// <summary>Begin, statement and commit in one round trip.</summary>
    public override Task<int> ExecuteAsync(Sql sql, CancellationToken cancellationToken = default) => AgainAsync(async ct =>
    {
        await using var connection = await server.Source.OpenConnectionAsync(ct);
        var transaction = new PostgresTransaction(server, connection, outbox, null);
        try
        {
            return await transaction.ExecuteAndCommitAsync(sql);
        }
        catch
        {
            await transaction.RollBackAsync();
            throw;
        }
    }, cancellationToken);

    /// <remarks>Begin, change, event and commit in one round trip; of a change that stands alone one statement, and no transaction to be fitted in.</remarks>
    internal override async Task<T?> ChangeAsync<T>(Sql change, RowEvent e, bool standsAlone, CancellationToken cancellationToken) where T : default
    {
        var sql = server.Publishing(change, e, outbox.New(e.Name, e.Key ?? "", "", Activity.Current?.Id));
        var row = await AgainAsync(async ct =>
        {
            await using var connection = await server.Source.OpenConnectionAsync(ct);
            var transaction = new PostgresTransaction(server, connection, outbox, null);
            try
            {
                return await transaction.ChangeAndCommitAsync<T>(sql, standsAlone);
            }
            catch
            {
                await transaction.RollBackAsync();
                throw;
            }
        }, cancellationToken);
        if (!EqualityComparer<T>.Default.Equals(row, default))
            written.Set();
        return row;
    }

    /// <summary>Runs statements as they are, one transaction at the default isolation, in one round trip: for what needs no more.</summary>
    /// <returns>The rows of the last one.</returns>
    public Task<List<T>> RunAsync<T>(IReadOnlyList<Sql> statements, CancellationToken cancellationToken) => AgainAsync(async ct =>
    {
        await using var connection = await server.Source.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection);
        foreach (var sql in statements)
            batch.BatchCommands.Add(server.Command(sql));
        await using var reader = await batch.ExecuteReaderAsync(ct);
        var last = server.Prepare(statements[^1].Text);
        List<T> rows = [];
        do
            // Taking a lock answers with a row of nothing.
            if (reader.FieldCount > 0 && reader.GetDataTypeName(0) != "void")
                rows = await PostgresTransaction.AllAsync(reader, r => last.Parser<T>(r)(r), ct);
        while (await reader.NextResultAsync(ct));
        return rows;
    }, cancellationToken);

    // In this process first: a session may take its own lock twice.
    public override Task RunAloneAsync(string name, Func<CancellationToken, Task> work, CancellationToken cancellationToken) =>
        base.RunAloneAsync(name, ct => RunLockedAsync(name, work, ct), cancellationToken);

    async Task RunLockedAsync(string name, Func<CancellationToken, Task> work, CancellationToken cancellationToken)
    {
        while (true)
        {
            var lost = await locks.TakeAsync(name, cancellationToken);
            using var until = CancellationTokenSource.CreateLinkedTokenSource(lost, cancellationToken);
            try
            {
                await work(until.Token);
                return;
            }
            catch (OperationCanceledException) when (lost.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
            {
                // Another process may have it by now; wait for it again.
            }
            finally
            {
                await locks.ReleaseAsync(name);
            }
        }
    }

    public override async Task CheckAsync(CancellationToken cancellationToken = default) =>
        await RunAsync<long>([Sql.Raw("update core_heartbeat set beat = beat + 1")], cancellationToken);

    Task<R> ReadAsync<R>(Sql sql, Func<NpgsqlDataReader, Statement, CancellationToken, Task<R>> read, CancellationToken cancellationToken) => AgainAsync(async ct =>
    {
        await using var connection = await server.Source.OpenConnectionAsync(ct);
        var statement = server.Prepare(sql.Text);
        await using var command = new NpgsqlCommand(statement.Text, connection);
        PostgresServer.Add(command.Parameters, sql);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await read(reader, statement, ct);
    }, cancellationToken);

    /// <summary>Tries again what lost a race or met a broken connection; both are undone by the server, unless the commit was on its way.</summary>
    async Task<R> AgainAsync<R>(Func<CancellationToken, Task<R>> work, CancellationToken ct)
    {
        var (races, reconnects, hasTurn) = (0, 0, false);
        var started = Stopwatch.GetTimestamp();
        TimeSpan Left() => RaceTime - Stopwatch.GetElapsedTime(started);
        try
        {
            while (true)
                try
                {
                    return await work(ct);
                }
                catch (Exception e) when (PostgresServer.LostRace(e))
                {
                    if (++races == RacesBeforeTurn && Left() > TimeSpan.Zero)
                        hasTurn = await _turn.WaitAsync(Left(), ct);
                    if (Left() <= TimeSpan.Zero)
                        throw new StoreUnavailableException(Engine, "Too many changes of the same rows at once; try again in a moment.", e);
                    await Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.NextDouble() * Math.Min(100, 1 << Math.Min(races, 7))), ct);
                }
                catch (Exception e) when (e is not (OperationCanceledException or CommitInDoubtException) && PostgresServer.IsAway(e)
                    && (server.IsStarting || reconnects < Reconnects.Length && Stopwatch.GetElapsedTime(started) < server.ReconnectTime))
                {
                    if (reconnects == Reconnects.Length)
                        logger.WaitsForServer(server.Explain(e).Message);
                    await Task.Delay(Reconnects[Math.Min(reconnects++, Reconnects.Length - 1)], ct);
                }
                catch (Exception e) when (server.Explain(e) is var explained && explained != e)
                {
                    throw explained;
                }
        }
        finally
        {
            if (hasTurn)
                _turn.Release();
        }
    }
}

/// <summary>A transaction on a connection of its own; it begins with its first statement.</summary>
sealed class PostgresTransaction(
    PostgresServer server, NpgsqlConnection connection, Outbox outbox, string? traceParent, string begin = PostgresTransaction.Serializable) : Transaction(outbox)
{
    public const string Serializable = "begin isolation level serializable";
    public const string ReadCommitted = "begin isolation level read committed";

    readonly List<NpgsqlBatchCommand> _deferred = [];
    List<Action>? _onCommitted;
    bool _begun;
    bool _ended;
    long _answeredAt;

    /// <summary>What the first statement that failed said; null while none has.</summary>
    public Exception? Failure { get; private set; }

    public override string? TraceParent => traceParent;

    public override Task<T?> FindAsync<T>(Sql sql, CancellationToken cancellationToken = default) where T : default =>
        RunAsync(sql, async (reader, statement, ct) => await reader.ReadAsync(ct) ? statement.Parser<T>(reader)(reader) : default, cancellationToken);

    public override Task<List<T>> ListAsync<T>(Sql sql, CancellationToken cancellationToken = default) =>
        RunAsync(sql, (reader, statement, ct) => AllAsync(reader, r => statement.Parser<T>(r)(r), ct), cancellationToken);

    public override Task<List<T>> ListAsync<T>(Sql sql, Func<DbDataReader, T> read, CancellationToken cancellationToken = default) =>
        RunAsync(sql, (reader, _, ct) => AllAsync(reader, read, ct), cancellationToken);

    public override Task<int> ExecuteAsync(Sql sql, CancellationToken cancellationToken = default) =>
        RunAsync(sql, (_, _, _) => Task.FromResult(0), cancellationToken, affected: true);

    public override void OnCommitted(Action action) => (_onCommitted ??= []).Add(action);

    /// <summary>A statement whose outcome nobody waits for; it goes out with the next one, or with the commit, and costs no round trip.</summary>
    public void Defer(Sql sql)
    {
        ThrowIfUnusable();
        _deferred.Add(server.Command(sql));
    }

    public static async Task<List<T>> AllAsync<T>(NpgsqlDataReader reader, Func<DbDataReader, T> read, CancellationToken ct)
    {
        var rows = new List<T>();
        while (await reader.ReadAsync(ct))
            rows.Add(read(reader));
        return rows;
    }

    async Task<R> RunAsync<R>(Sql sql, Func<NpgsqlDataReader, Statement, CancellationToken, Task<R>> read, CancellationToken ct, bool affected = false)
    {
        ThrowIfUnusable();
        var pause = Pause();
        await using var batch = Batch();
        var command = server.Command(sql);
        batch.BatchCommands.Add(command);
        try
        {
            R result;
            await using (var reader = await batch.ExecuteReaderAsync(ct))
                result = await read(reader, server.Prepare(sql.Text), ct);
            _answeredAt = Stopwatch.GetTimestamp();
            return affected ? (R)(object)checked((int)command.RecordsAffected) : result;
        }
        catch (Exception thrown)
        {
            // A connection that was closed over the pause may break before it can say why.
            var e = PostgresServer.WasSilent(thrown) && pause > PostgresServer.SilenceLimit / 2 || pause > PostgresServer.SilenceLimit && PostgresServer.IsAway(thrown)
                ? new SlowBodyException(pause, thrown) : thrown;
            Failure = e;
            // What the transaction as a whole may be run again for goes up as it is.
            if (PostgresServer.LostRace(e) || PostgresServer.IsAway(e) || server.Explain(e) is var explained && explained == e)
                throw;
            throw explained;
        }
    }

    /// <summary>How long the body has been about something else since its last statement was answered.</summary>
    TimeSpan Pause() => _answeredAt == 0 ? TimeSpan.Zero : Stopwatch.GetElapsedTime(_answeredAt);

    /// <summary>The begin, when it has not been sent, and what was deferred.</summary>
    NpgsqlBatch Batch()
    {
        var batch = new NpgsqlBatch(connection);
        if (!_begun)
            batch.BatchCommands.Add(new NpgsqlBatchCommand(begin));
        _begun = true;
        foreach (var command in _deferred)
            batch.BatchCommands.Add(command);
        _deferred.Clear();
        return batch;
    }

    /// <summary>One statement that is the whole of the transaction.</summary>
    public async Task<int> ExecuteAndCommitAsync(Sql sql)
    {
        var command = server.Command(sql);
        _deferred.Add(command);
        await CommitAsync();
        return checked((int)command.RecordsAffected);
    }

    /// <summary>One statement that is the whole of the transaction, with the row that it returns.</summary>
    /// <param name="sql">The statement.</param>
    /// <param name="standsAlone">The server's own isolation (read committed) does, so the statement is sent by itself.</param>
    /// <exception cref="CommitInDoubtException">The connection broke while the commit was on its way.</exception>
    public async Task<T?> ChangeAndCommitAsync<T>(Sql sql, bool standsAlone)
    {
        _ended = true;
        var command = server.Command(sql);
        await using var batch = standsAlone ? new NpgsqlBatch(connection) : Batch();
        batch.BatchCommands.Add(command);
        var commit = standsAlone ? command : new NpgsqlBatchCommand("commit");
        if (!standsAlone)
            batch.BatchCommands.Add(commit);
        try
        {
            var started = Stopwatch.GetTimestamp();
            await using var reader = await batch.ExecuteReaderAsync(CancellationToken.None);
            var row = await reader.ReadAsync() ? server.Prepare(sql.Text).Parser<T>(reader)(reader) : default;
            // Whatever the commit has to say, it says here; closing the reader would keep it to itself.
            while (await reader.NextResultAsync())
            {
            }

            Telemetry.CommitDuration.Record(Stopwatch.GetElapsedTime(started).TotalSeconds);
            return row;
        }
        catch (Exception e) when (PostgresServer.IsAway(e) && !PostgresServer.WasSilent(e) && !IsUndone(e))
        {
            throw new CommitInDoubtException(e);
        }

        // What the server refuses before the commit; a statement that is its own commit has failed as a whole, unless its session was ended on the way.
        bool IsUndone(Exception e) => e is PostgresException { BatchCommand: { } failed } error
            && (failed != commit || standsAlone && !error.SqlState.StartsWith("57P0", StringComparison.Ordinal));
    }

    /// <exception cref="CommitInDoubtException">The connection broke while the commit was on its way.</exception>
    public async Task CommitAsync()
    {
        // PostgreSQL answers the commit of a failed transaction with a rollback and no error.
        if (Failure is not null)
            throw new InvalidOperationException("A statement of this transaction failed, and its body went on as if nothing had happened; let the exception through.");
        _ended = true;
        if (!_begun && _deferred.Count == 0)
            return;
        var pause = Pause();
        await using var batch = Batch();
        batch.BatchCommands.Add(new NpgsqlBatchCommand("commit"));
        try
        {
            // No token: what has begun to commit is seen to its end.
            var started = Stopwatch.GetTimestamp();
            await batch.ExecuteNonQueryAsync(CancellationToken.None);
            Telemetry.CommitDuration.Record(Stopwatch.GetElapsedTime(started).TotalSeconds);
        }
        catch (Exception e) when (PostgresServer.WasSilent(e) && pause > PostgresServer.SilenceLimit / 2)
        {
            throw new SlowBodyException(pause, e);
        }
        catch (Exception e) when (PostgresServer.IsAway(e) && !PostgresServer.WasSilent(e))
        {
            throw new CommitInDoubtException(e);
        }
    }

    public async Task RollBackAsync()
    {
        _ended = true;
        if (!_begun || connection.FullState.HasFlag(System.Data.ConnectionState.Broken) || connection.State != System.Data.ConnectionState.Open)
            return;
        try
        {
            await using var command = new NpgsqlCommand("rollback", connection);
            await command.ExecuteNonQueryAsync(CancellationToken.None);
        }
        catch (Exception e) when (PostgresServer.IsAway(e))
        {
            // The server rolls back what its client has left.
        }
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

    void ThrowIfUnusable()
    {
        if (_ended)
            throw new InvalidOperationException("The transaction has ended; use it only inside its body.");
        if (Failure is not null)
            throw new InvalidOperationException("A statement of this transaction failed; it takes no more.");
    }
}

/// <summary>Whether the transaction was kept is not known. It is never run again by itself: that might do it twice.</summary>
sealed class CommitInDoubtException(Exception inner) : IOException("The connection broke while the commit was on its way.", inner);

/// <summary>Its body was about something else than the database until the server undid the transaction. It is not run again: it would be as slow again.</summary>
sealed class SlowBodyException(TimeSpan pause, Exception inner) : Exception(
    string.Create(CultureInfo.InvariantCulture,
        $"A transaction was silent for {pause.TotalSeconds:0.0} s between two statements, and the server undid it after {PostgresServer.SilenceLimit.TotalSeconds:0} s: nothing was kept. ")
    + "Its body may talk to the database only: do what is slow before it, or in a job that it enqueues.", inner);
