using Tandem.Core.Data;

namespace Tandem.Core.Events;

/// <summary>An event as the log holds it.</summary>
/// <param name="Position">Grows with every event; 0 before it is stored.</param>
/// <param name="Id">The event's id (version 7).</param>
/// <param name="Name">Wire name, see <see cref="EventAttribute"/>.</param>
/// <param name="Key">What it is about.</param>
/// <param name="Payload">JSON, snake_case.</param>
/// <param name="OccurredAt">UTC.</param>
/// <param name="TraceParent">W3C trace context of the change, or null.</param>
public sealed record StoredEvent(long Position, Guid Id, string Name, string Key, string Payload, DateTime OccurredAt, string? TraceParent);

/// <summary>The event log: every event at least once to every consumer, in order for its key, and again from any position.</summary>
public interface IEventLog
{
    /// <summary>Writes the event within the transaction of the change it tells of.</summary>
    Task AppendAsync(Transaction tx, StoredEvent @event, CancellationToken cancellationToken);

    /// <summary>Up to <paramref name="limit"/> events behind a position with one of the names, in order.</summary>
    Task<List<StoredEvent>> ReadAsync(long after, IReadOnlyCollection<string> names, int limit, CancellationToken cancellationToken);

    /// <summary>The position of the newest event; 0 when there is none.</summary>
    Task<long> HeadAsync(CancellationToken cancellationToken);

    /// <summary>Returns when events may have been added since <paramref name="seen"/>, at the latest after half a second.</summary>
    /// <param name="seen">What the last call returned; 0 at first.</param>
    Task<long> WaitAsync(long seen, CancellationToken cancellationToken);
}

/// <summary>
/// The log in the database itself. In SQLite transactions commit one after the other, so the table the change wrote its event to is
/// already in order: it is outbox and log at once, and nothing has to be copied.
/// </summary>
sealed class EmbeddedEventLog(Lazy<Db> db, Signal<IEventLog> signal) : IEventLog
{
    // Every change of every module comes by here, so its text is made once and not by each of them.
    const string Append = """
        insert into events_log (id, name, key, payload, occurred_at, trace_parent)
        values (@p0, @p1, @p2, @p3, @p4, @p5)
        """;

    readonly Action _set = signal.Set;

    public async Task AppendAsync(Transaction tx, StoredEvent e, CancellationToken cancellationToken)
    {
        await tx.ExecuteAsync(new Sql(Append, [e.Id, e.Name, e.Key, e.Payload, e.OccurredAt, e.TraceParent]), cancellationToken);
        tx.OnCommitted(_set);
    }

    // "Behind the last position" is safe here because SQLite has one writer at a time: a lower position never commits later.
    public Task<List<StoredEvent>> ReadAsync(long after, IReadOnlyCollection<string> names, int limit, CancellationToken cancellationToken)
    {
        Sql sql = $"select position, id, name, key, payload, occurred_at, trace_parent from events_log where position > {after} and name in (";
        foreach (var (i, name) in names.Index())
            sql.Append(i == 0 ? (Sql)$"{name}" : $", {name}");
        return db.Value.ListAsync<StoredEvent>(sql.Append($") order by position limit {limit}"), cancellationToken);
    }

    public Task<long> HeadAsync(CancellationToken cancellationToken) =>
        db.Value.FindAsync<long>($"select coalesce(max(position), 0) from events_log", cancellationToken);

    public Task<long> WaitAsync(long seen, CancellationToken cancellationToken) =>
        signal.WaitAsync(seen, TimeSpan.FromMilliseconds(500), cancellationToken);
}
