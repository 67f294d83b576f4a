using Tandem.Core.Data;

namespace Tandem.Core.Events;

/// <summary>An event as the log holds it.</summary>
/// <param name="Position">Its place in its partition, from 1 on; 0 before it is stored.</param>
/// <param name="Id">The event's id (version 7).</param>
/// <param name="Name">Wire name, see <see cref="EventAttribute"/>.</param>
/// <param name="Key">What it is about.</param>
/// <param name="Payload">JSON, snake_case.</param>
/// <param name="OccurredAt">UTC.</param>
/// <param name="TraceParent">W3C trace context of the change, or null.</param>
public sealed record StoredEvent(long Position, Guid Id, string Name, string Key, string Payload, DateTime OccurredAt, string? TraceParent)
{
    /// <summary>
    /// Grows from event to event of a partition, and is the same when a log holds an event twice: what is not above the last one handled is
    /// dropped. Default: the position.
    /// </summary>
    public long Sequence { get => field == 0 ? Position : field; init; }
}

/// <summary>
/// The event log: every event at least once to every consumer, in order for its key, and again from any position. It has one or more
/// partitions; all events of a key are in the same one.
/// </summary>
public interface IEventLog
{
    /// <summary>How many partitions there are; they are numbered from 0.</summary>
    int Partitions { get; }

    /// <summary>Writes the event within the transaction of the change it tells of.</summary>
    Task AppendAsync(Transaction tx, StoredEvent @event, CancellationToken cancellationToken);

    /// <summary>
    /// Hands a consumer the events behind its positions and then every new one, in order per partition, until it is cancelled. Of several
    /// processes that feed one consumer each partition goes to one of them at a time.
    /// </summary>
    Task FeedAsync(EventFeed feed, CancellationToken cancellationToken);

    /// <summary>Up to <paramref name="limit"/> events behind a sequence with one of the names, in order; their position is the sequence here.</summary>
    Task<List<StoredEvent>> ReadAsync(int partition, long after, IReadOnlyCollection<string> names, int limit, CancellationToken cancellationToken);

    /// <summary>The position of the newest event of what was committed before the call; 0 when there is none.</summary>
    /// <param name="partition">Which partition.</param>
    /// <param name="names">Which events count; a log that cannot tell them apart counts all. Empty: all.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<long> HeadAsync(int partition, IReadOnlyCollection<string> names, CancellationToken cancellationToken);

    /// <summary><see cref="HeadAsync"/> of every partition.</summary>
    async Task<long[]> HeadsAsync(IReadOnlyCollection<string> names, CancellationToken cancellationToken)
    {
        var heads = new long[Partitions];
        for (var partition = 0; partition < heads.Length; partition++)
            heads[partition] = await HeadAsync(partition, names, cancellationToken);
        return heads;
    }

    /// <summary>The same for gauges: what the log holds now or held a moment ago, without waiting for what was just committed.</summary>
    Task<long[]> EndsAsync(IReadOnlyCollection<string> names, CancellationToken cancellationToken) => HeadsAsync(names, cancellationToken);
}
