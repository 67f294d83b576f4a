using Microsoft.Extensions.Logging;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Kafka;

/// <summary>
/// The event log on Kafka. A change writes its event to the database's log in its own transaction; <see cref="EventRelay"/> sends that log to the
/// topic, and consumers are fed from there. Reading it again from any point is a matter of the database, which keeps it all.
/// </summary>
sealed class KafkaEventLog(
    IEventLog inner, Lazy<Db> db, EventTopic topic, RelayPosition positions, KafkaClients clients, KafkaOptions options, ILoggerFactory loggers) : IEventLog
{
    // Of the database's log the events of one partition are one in so many; this much is read to find them.
    const int PageSize = 1000;

    static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(10);

    long[] _ends = new long[topic.Partitions];

    public int Partitions => topic.Partitions;

    public RelayPosition Positions => positions;

    public Task AppendAsync(Transaction tx, StoredEvent @event, CancellationToken cancellationToken) => inner.AppendAsync(tx, @event, cancellationToken);

    public async Task FeedAsync(EventFeed feed, CancellationToken cancellationToken)
    {
        var identity = await topic.ReadyAsync(cancellationToken);
        // The process that relays makes the stored positions those of this topic.
        while (await positions.FindAsync(identity, cancellationToken) is null)
            await Task.Delay(LookInterval, cancellationToken);
        await new Subscription(feed, topic, clients, options, db.Value, loggers.CreateLogger<Subscription>()).RunAsync(cancellationToken);
    }

    public async Task<List<StoredEvent>> ReadAsync(int partition, long after, IReadOnlyCollection<string> names, int limit, CancellationToken cancellationToken)
    {
        var found = new List<StoredEvent>();
        while (found.Count < limit && await inner.ReadAsync(0, after, names, PageSize, cancellationToken) is { Count: > 0 } page)
        {
            found.AddRange(page.Where(e => KeyPartition.Of(e.Key, Partitions) == partition).Take(limit - found.Count));
            after = page[^1].Position;
        }

        return found;
    }

    public async Task<long> HeadAsync(int partition, IReadOnlyCollection<string> names, CancellationToken cancellationToken) =>
        partition == RelayPosition.Partition
            ? await inner.HeadAsync(0, names, cancellationToken)
            : (await HeadsAsync(names, cancellationToken))[partition];

    public async Task<long[]> HeadsAsync(IReadOnlyCollection<string> names, CancellationToken cancellationToken)
    {
        var committed = await inner.HeadAsync(0, names, cancellationToken);
        while ((await positions.FindAsync(cancellationToken) ?? -1) < committed)
            await Task.Delay(LookInterval, cancellationToken);
        return await topic.EndsAsync(cancellationToken);
    }

    public async Task<long[]> EndsAsync(IReadOnlyCollection<string> names, CancellationToken cancellationToken)
    {
        // No topic could be used so far, so the stored positions are still those of the database's log.
        if (await positions.FindAsync(cancellationToken) is null)
            return [await inner.HeadAsync(0, names, cancellationToken)];
        try
        {
            return _ends = await topic.EndsAsync(cancellationToken);
        }
        catch (StoreUnavailableException)
        {
            // Readiness says so. The last that was known stands, and what comes meanwhile shows as the lag of the relay.
            return _ends;
        }
    }

    /// <summary>Up to so many events of the database's log behind a position, all names, in order.</summary>
    public Task<List<StoredEvent>> BehindAsync(long position, int limit, CancellationToken ct) => db.Value.ListAsync<StoredEvent>($"""
        select position, id, name, key, payload, occurred_at, trace_parent from events_log where position > {position} order by position limit {limit}
        """, ct);
}
