using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using SQLitePCL;
using Tandem.Core.Events;

namespace Tandem.Core.Data;

/// <summary>
/// The one writer of a SQLite file. Transactions that wait together are run one after the other, each in a savepoint, and committed
/// with one fsync (group commit); one that fails is rolled back alone. Nobody hears of a result before that commit.
/// </summary>
/// <remarks>A plain thread that blocks beats tasks here: measured, yielding to gather larger batches cost 16 to 55 % of the throughput.</remarks>
sealed class SqliteWriter : IDisposable
{
    // Above 128 a batch gains nothing more from sharing the fsync and only delays its first member.
    const int MaxBatch = 128;
    // At 20,000 writes/s this is half a second of waiting; beyond it callers are better told to come back.
    const int MaxWaiting = 10_000;

    static readonly Histogram<int> Transactions =
        Telemetry.Meter.CreateHistogram<int>("tandem.core.commit.transactions", "{transaction}", "Transactions that shared a commit");

    readonly Lock _gate = new();
    readonly SemaphoreSlim _wake = new(0);
    readonly Queue<Work> _waiting = new();
    readonly List<Work> _batch = new(MaxBatch);
    readonly SqliteSession _session;
    readonly Outbox _outbox;
    readonly ILogger _logger;
    readonly Thread _thread;
    bool _sleeping;
    bool _closing;

    public SqliteWriter(SqliteSession session, Outbox outbox, ILogger logger)
    {
        _session = session;
        _outbox = outbox;
        _logger = logger;
        _thread = new Thread(Loop) { IsBackground = true, Name = "tandem sqlite writer" };
        _thread.Start();
    }

    public Task<T> RunAsync<T>(Func<Transaction, Task<T>> body, CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return Task.FromCanceled<T>(ct);
        var work = new Work<T>(body, ct);
        bool wake;
        lock (_gate)
        {
            if (_closing)
                throw new StoreUnavailableException("sqlite", "The database is closing; try again in a moment.");
            if (_waiting.Count >= MaxWaiting)
                throw new StoreUnavailableException("sqlite", $"More than {MaxWaiting} writes are waiting; try again in a moment.");
            _waiting.Enqueue(work);
            wake = _sleeping;
            _sleeping = false;
        }

        if (wake)
            _wake.Release();
        return work.Task;
    }

    void Loop()
    {
        while (true)
        {
            lock (_gate)
            {
                while (_batch.Count < MaxBatch && _waiting.TryDequeue(out var work))
                    _batch.Add(work);
                if (_batch.Count == 0)
                {
                    if (_closing)
                        return;
                    _sleeping = true;
                }
            }

            if (_batch.Count == 0)
            {
                _wake.Wait();
                continue;
            }

            var started = Stopwatch.GetTimestamp();
            RunBatch();
            Transactions.Record(_batch.Count);
            Telemetry.CommitDuration.Record(Stopwatch.GetElapsedTime(started).TotalSeconds);
            _batch.Clear();
        }
    }

    void RunBatch()
    {
        try
        {
            _session.Run("begin immediate");
            var alone = _batch.Count == 1;
            foreach (var work in _batch)
                RunOne(work, alone);
            if (_session.InTransaction)
                _session.Run(alone && _batch[0].Failure is not null ? "rollback" : "commit");
        }
        catch (Exception e)
        {
            var failure = e as StoreUnavailableException ?? Unavailable(e);
            _logger.WriteFailed(_batch.Count, e);
            TryRollBack();
            foreach (var work in _batch)
                work.Failure = failure;
        }

        foreach (var work in _batch)
            work.Finish(_logger);
    }

    void RunOne(Work work, bool alone)
    {
        if (work.Cancelled)
            return;
        if (!alone)
            _session.Run("savepoint one");
        var transaction = new SqliteTransaction(_session, _outbox, work.TraceParent);
        try
        {
            work.Run(transaction);
            transaction.End();
            if (!alone)
                _session.Run("release one");
        }
        catch (Exception e)
        {
            transaction.Close();
            // Disk full, I/O errors and the like end the whole transaction inside SQLite: then nothing of this batch is left to commit.
            if (!_session.InTransaction || e is SqliteException { SqliteErrorCode: raw.SQLITE_FULL or raw.SQLITE_IOERR or raw.SQLITE_NOMEM or raw.SQLITE_CORRUPT })
                throw Unavailable(e);
            work.Failure = e is SqliteException { SqliteErrorCode: raw.SQLITE_BUSY or raw.SQLITE_LOCKED } ? Unavailable(e) : e;
            if (!alone)
                _session.Run("rollback to one; release one");
        }
    }

    void TryRollBack()
    {
        try
        {
            if (_session.InTransaction)
                _session.Run("rollback");
        }
        catch (SqliteException e)
        {
            _logger.WriteFailed(_batch.Count, e);
        }
    }

    static StoreUnavailableException Unavailable(Exception e) => new("sqlite", e switch
    {
        SqliteException { SqliteErrorCode: raw.SQLITE_FULL } => "The disk of the data directory is full; free some space and try again.",
        SqliteException { SqliteErrorCode: raw.SQLITE_BUSY or raw.SQLITE_LOCKED } => "The database is locked by another process; try again in a moment.",
        SqliteException { SqliteErrorCode: raw.SQLITE_READONLY or raw.SQLITE_CANTOPEN or raw.SQLITE_PERM } => "The data directory cannot be written; check its permissions.",
        _ => "The database could not write; see the server's log.",
    }, e);

    /// <summary>Finishes what waits, then closes the connection.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_closing)
                return;
            _closing = true;
        }

        _wake.Release();
        _thread.Join();
        _session.Dispose();
        _wake.Dispose();
    }

    abstract class Work
    {
        public string? TraceParent { get; } = Activity.Current?.Id;
        public Exception? Failure { get; set; }
        public abstract bool Cancelled { get; }
        public abstract void Run(SqliteTransaction transaction);
        public abstract void Finish(ILogger logger);
    }

    sealed class Work<T>(Func<Transaction, Task<T>> body, CancellationToken ct) : Work
    {
        // Continuations run on the pool: the writer thread goes on with the next batch.
        readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        SqliteTransaction? _transaction;
        T? _result;
        bool _cancelled;

        public Task<T> Task => _done.Task;

        public override bool Cancelled => _cancelled = ct.IsCancellationRequested;

        public override void Run(SqliteTransaction transaction)
        {
            _transaction = transaction;
            var task = body(transaction);
            if (!task.IsCompleted)
                throw new InvalidOperationException(
                    "The body of a transaction awaited something other than its own database calls; do that before or after the transaction.");
            _result = task.GetAwaiter().GetResult();
        }

        public override void Finish(ILogger logger)
        {
            if (_cancelled)
                _done.TrySetCanceled(ct);
            else if (Failure is not null)
                _done.TrySetException(Failure);
            else
            {
                _transaction!.Committed(logger);
                _done.TrySetResult(_result!);
            }
        }
    }
}
