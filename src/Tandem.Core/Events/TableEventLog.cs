using System.Diagnostics;
using Tandem.Core.Data;

namespace Tandem.Core.Events;

/// <summary>
/// The log in the database itself. In SQLite transactions commit one after the other, so the table the change wrote its event to is
/// already in order: it is outbox and log at once, and nothing has to be copied.
/// </summary>
class TableEventLog(Lazy<Db> db, Signal<IEventLog> signal) : IEventLog
{
    // Every change of every module comes by here, so its text is made once and not by each of them.
    const string Append = """
        insert into events_log (id, name, key, payload, occurred_at, trace_parent)
        values (@p0, @p1, @p2, @p3, @p4, @p5)
        """;

    const int BatchSize = 100;

    // Other processes (a command beside the server) set no signal here.
    static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(500);

    readonly Action _set = signal.Set;

    public int Partitions => 1;

    public virtual async Task AppendAsync(Transaction tx, StoredEvent e, CancellationToken cancellationToken)
    {
        await tx.ExecuteAsync(new Sql(Append, [e.Id, e.Name, e.Key, e.Payload, e.OccurredAt, e.TraceParent]), cancellationToken);
        tx.OnCommitted(_set);
    }

    public virtual async Task FeedAsync(EventFeed feed, CancellationToken cancellationToken)
    {
        // Below zero: how far this log was sent on. The consumers' positions are then those of the log behind it and mean nothing here.
        if (await db.Value.FindAsync<string>(Sql.Raw("select consumer from events_positions where partition < 0"), cancellationToken) is { } behind)
            throw new InvalidOperationException($"The events of this database go through {behind}: set its section of the configuration again, or stop the servers and take them back with \"tandem grow --from-{behind}\"; until then they wait.");
        var (seen, skipped) = (0L, 0L);
        while (true)
        {
            seen = await signal.WaitAsync(seen, LookInterval, cancellationToken);
            var skips = Stopwatch.GetElapsedTime(skipped) >= LookInterval;
            if (skips)
                skipped = Stopwatch.GetTimestamp();
            await CatchUpAsync(feed, skips, cancellationToken);
        }
    }

    async Task CatchUpAsync(EventFeed feed, bool skips, CancellationToken ct)
    {
        while (true)
        {
            var position = await feed.PositionAsync(0, ct);
            var head = skips ? await NewestAsync([], ct) : 0;
            var events = await ReadAsync(0, position, feed.Events, BatchSize, ct);
            if (events.Count > 0)
            {
                await feed.HandleAsync(0, events, ct);
                continue;
            }

            // Remember that nothing up to here was for it, now and then, so that a restart does not search the whole log.
            if (head - position > 10_000)
                await feed.SkipToAsync(0, head, head, ct);
            return;
        }
    }

    // "Behind the last position" is right because positions become visible in their order: SQLite has one writer at a time, and on
    // PostgreSQL a single sequencer gives them out.
    public Task<List<StoredEvent>> ReadAsync(int partition, long after, IReadOnlyCollection<string> names, int limit, CancellationToken cancellationToken)
    {
        Sql sql = $"select position, id, name, key, payload, occurred_at, trace_parent from events_log where position > {after} and ";
        return db.Value.ListAsync<StoredEvent>(sql.Append(Among(names)).Append($" order by position limit {limit}"), cancellationToken);
    }

    public virtual Task<long> HeadAsync(int partition, IReadOnlyCollection<string> names, CancellationToken cancellationToken) =>
        NewestAsync(names, cancellationToken);

    Task<long> NewestAsync(IReadOnlyCollection<string> names, CancellationToken ct) => db.Value.FindAsync<long>(
        names.Count == 0
            ? Sql.Raw("select coalesce(max(position), 0) from events_log")
            : Sql.Raw("select coalesce(max(position), 0) from events_log where ").Append(Among(names)), ct);

    static Sql Among(IReadOnlyCollection<string> names)
    {
        Sql sql = $"name in (";
        foreach (var (i, name) in names.Index())
            sql.Append(i == 0 ? (Sql)$"{name}" : $", {name}");
        return sql.Append($")");
    }
}
