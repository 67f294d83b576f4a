using System.Data.Common;
using Tandem.Core.Events;
using Tandem.Core.Jobs;

namespace Tandem.Core.Data;

/// <summary>
/// The database: SQLite embedded, PostgreSQL outgrown. Reads run beside each other and see what is committed; every write happens in
/// <see cref="InTransactionAsync{T}"/>, which returns only when the change would survive a killed process and a power cut.
/// </summary>
public abstract class Db
{
    readonly System.Collections.Concurrent.ConcurrentDictionary<string, SemaphoreSlim> _alone = new();

    /// <summary>The first row, or null (the default of a value type) when there is none.</summary>
    /// <typeparam name="T">A record whose constructor parameters are named like the columns (snake_case matches PascalCase), or a scalar.</typeparam>
    public abstract Task<T?> FindAsync<T>(Sql sql, CancellationToken cancellationToken = default);

    /// <summary>All rows, in order. Bound the statement: every row is held in memory.</summary>
    public abstract Task<List<T>> ListAsync<T>(Sql sql, CancellationToken cancellationToken = default);

    /// <summary>All rows, in order, each mapped by <paramref name="read"/>, for statements whose columns are known only when the program runs.</summary>
    /// <param name="sql">The statement.</param>
    /// <param name="read">Makes the result of one row; it must not keep the reader.</param>
    /// <param name="cancellationToken">Honoured before the statement starts.</param>
    public abstract Task<List<T>> ListAsync<T>(Sql sql, Func<DbDataReader, T> read, CancellationToken cancellationToken = default);

    /// <summary>
    /// Runs <paramref name="body"/> in one transaction: everything it wrote, published and enqueued is kept, or, when it throws, nothing.
    /// </summary>
    /// <remarks>
    /// The body awaits this transaction's own calls and nothing else: on SQLite it runs on the one writer thread, together with the bodies of
    /// other requests, and all of them share the commit. It may run twice after a serialisation failure, so it must not change what it captures.
    /// </remarks>
    /// <param name="body">What to do; its result is returned after the commit.</param>
    /// <param name="cancellationToken">Honoured until the body starts; from then on the commit decides.</param>
    /// <exception cref="StoreUnavailableException">The store cannot take the write now (disk full, locked, overloaded); nothing was kept.</exception>
    /// <exception cref="ConstraintViolationException">A statement broke a rule of the schema; nothing was kept.</exception>
    public abstract Task<T> InTransactionAsync<T>(Func<Transaction, Task<T>> body, CancellationToken cancellationToken = default);

    /// <inheritdoc cref="InTransactionAsync{T}"/>
    public Task InTransactionAsync(Func<Transaction, Task> body, CancellationToken cancellationToken = default) =>
        InTransactionAsync(async tx =>
        {
            await body(tx);
            return true;
        }, cancellationToken);

    /// <summary>
    /// <see cref="InTransactionAsync{T}"/> for work that is done by one at a time: the body's first statement changes a row that everybody who does the
    /// same changes first, so each waits for the one before and then sees all that it did.
    /// </summary>
    /// <remarks>
    /// The body is fitted into no order with other transactions: none may decide anything by what it changes. For that, none can make it lose either,
    /// which matters where rows come and go all the time (a queue): there a serialisable reader loses to everybody.
    /// </remarks>
    /// <inheritdoc cref="InTransactionAsync{T}" path="/param"/>
    /// <inheritdoc cref="InTransactionAsync{T}" path="/exception"/>
    public virtual Task<T> InTurnAsync<T>(Func<Transaction, Task<T>> body, CancellationToken cancellationToken = default) => InTransactionAsync(body, cancellationToken);

    /// <summary>One statement in a transaction of its own.</summary>
    /// <returns>The number of rows it changed.</returns>
    public virtual Task<int> ExecuteAsync(Sql sql, CancellationToken cancellationToken = default) =>
        InTransactionAsync(tx => tx.ExecuteAsync(sql, CancellationToken.None), cancellationToken);

    /// <summary>
    /// One statement that changes at most one row, and its event, which exists exactly when the statement returned a row: a transaction that is
    /// a single round trip.
    /// </summary>
    /// <typeparam name="T">The row, as in <see cref="FindAsync{T}"/>.</typeparam>
    /// <param name="change">An insert, update or delete that returns the row.</param>
    /// <param name="event">What is published, see <see cref="EventAttribute"/>.</param>
    /// <param name="standsAlone">
    /// True: it finds its row by the key and reads nothing else, and no transaction decides anything by what it changes. It then has to be fitted into
    /// no order with others, and waits for whoever changes the row instead of losing against him. Default false.
    /// </param>
    /// <param name="cancellationToken">Honoured until the statement starts.</param>
    /// <returns>The row, or null (the default of a value type), with nothing published, when there was none to change.</returns>
    /// <inheritdoc cref="InTransactionAsync{T}" path="/exception"/>
    public Task<T?> ChangeAsync<T>(Sql change, object @event, bool standsAlone = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(change);
        ArgumentNullException.ThrowIfNull(@event);
        return ChangeAsync<T>(change, RowEvent.Of(@event), standsAlone, cancellationToken);
    }

    /// <inheritdoc cref="ChangeAsync{T}(Sql, object, bool, CancellationToken)"/>
    internal virtual Task<T?> ChangeAsync<T>(Sql change, RowEvent e, bool standsAlone, CancellationToken cancellationToken) =>
        InTransactionAsync(async tx =>
        {
            var row = await tx.FindAsync<T>(change, CancellationToken.None);
            if (EqualityComparer<T>.Default.Equals(row, default))
                return row;
            var (key, payload) = e.About(row);
            await tx.PublishAsync(e.Name, key, payload, CancellationToken.None);
            return row;
        }, cancellationToken);

    /// <summary>
    /// Runs <paramref name="work"/> while no other process on this database runs work of the same name; waits until it may. When the right to it is
    /// lost, the token given to the work is cancelled; a moment of two at once must still do no harm.
    /// </summary>
    public virtual async Task RunAloneAsync(string name, Func<CancellationToken, Task> work, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(work);
        // One process has the database to itself, as with SQLite; it may still ask twice.
        var one = _alone.GetOrAdd(name, static _ => new SemaphoreSlim(1));
        await one.WaitAsync(cancellationToken);
        try
        {
            await work(cancellationToken);
        }
        finally
        {
            one.Release();
        }
    }

    /// <summary>What the store is called where people read it, such as "sqlite".</summary>
    public abstract string Engine { get; }

    /// <summary>Answers when the store can be read and written; otherwise throws <see cref="StoreUnavailableException"/> with the reason.</summary>
    public abstract Task CheckAsync(CancellationToken cancellationToken = default);
}

/// <summary>A transaction while its body runs. It must not be used after the body has returned.</summary>
public abstract class Transaction
{
    readonly Outbox _outbox;

    /// <summary>For adapters: <paramref name="outbox"/> says where events and jobs are written.</summary>
    protected Transaction(Outbox outbox) => _outbox = outbox;

    /// <summary>The W3C trace parent of whoever asked for the transaction; events and jobs carry it on.</summary>
    public abstract string? TraceParent { get; }

    /// <inheritdoc cref="Db.FindAsync{T}"/>
    public abstract Task<T?> FindAsync<T>(Sql sql, CancellationToken cancellationToken = default);

    /// <inheritdoc cref="Db.ListAsync{T}(Sql, CancellationToken)"/>
    public abstract Task<List<T>> ListAsync<T>(Sql sql, CancellationToken cancellationToken = default);

    /// <inheritdoc cref="Db.ListAsync{T}(Sql, Func{DbDataReader, T}, CancellationToken)"/>
    public abstract Task<List<T>> ListAsync<T>(Sql sql, Func<DbDataReader, T> read, CancellationToken cancellationToken = default);

    /// <returns>The number of rows changed.</returns>
    public abstract Task<int> ExecuteAsync(Sql sql, CancellationToken cancellationToken = default);

    /// <summary>Runs after the commit, before the caller hears of it; never when the transaction fails. Must be short and must not throw.</summary>
    public abstract void OnCommitted(Action action);

    /// <summary>Publishes an event: it exists exactly when this transaction commits. See <see cref="EventAttribute"/>.</summary>
    public Task PublishAsync<T>(T @event, CancellationToken cancellationToken = default) where T : class =>
        _outbox.PublishAsync(this, @event, cancellationToken);

    /// <summary>Publishes an event whose name is known only when the program runs; otherwise declare a record with <see cref="EventAttribute"/>.</summary>
    /// <param name="name">The wire name, such as <c>items.created</c>.</param>
    /// <param name="key">What it is about: events of one key are handled in order.</param>
    /// <param name="payload">A JSON object, snake_case.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task PublishAsync(string name, string key, string payload, CancellationToken cancellationToken = default) =>
        _outbox.PublishAsync(this, name, key, payload, cancellationToken);

    /// <summary>Enqueues a job: it exists exactly when this transaction commits. See <see cref="JobAttribute"/>.</summary>
    /// <returns>The job's id; with <see cref="JobOptions.UniqueKey"/> that of the job already waiting, when there is one.</returns>
    public Task<Guid> EnqueueAsync<T>(T job, JobOptions? options = null, CancellationToken cancellationToken = default) where T : class =>
        _outbox.EnqueueAsync(this, job, options ?? JobOptions.Default, cancellationToken);
}

/// <summary>A store cannot answer now. Callers see 503 with Retry-After and the sentence; nothing acknowledged was lost.</summary>
public sealed class StoreUnavailableException(string store, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The store's name, such as "sqlite".</summary>
    public string Store { get; } = store;

    /// <summary>True: it went away while the change was being committed, and whether it was kept is not known. Otherwise it was not.</summary>
    public bool IsInDoubt { get; init; }
}

/// <summary>A statement broke a rule of the schema: unique, not null, check or foreign key. The transaction it was part of keeps nothing.</summary>
public sealed class ConstraintViolationException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Thrown by a check of readiness: something is away, and requests are answered all the same. The sentence says what waits for it.</summary>
public sealed class DegradedException(string message, Exception? inner = null) : Exception(message, inner);
