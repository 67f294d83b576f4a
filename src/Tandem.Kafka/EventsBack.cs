using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Kafka;

/// <summary>
/// The way back from Kafka. A consumer is at another sequence in every partition, and in the database's log it has one position: the highest of
/// these, since nobody has handled an event above it. What it has not handled below, in partitions where it was slower, is set aside, from where it
/// comes in the order of its key and before every later event of that key.
/// </summary>
sealed class EventsBack(Db db, ConsumerRegistry consumers, TimeProvider clock) : IEventsBack
{
    const int PageSize = 1000;

    // Where rows are while their places are made anew: no partition has this number.
    const int Between = 1_000_000;

    public Task<int?> TakeBackAsync(CancellationToken ct) => db.InTransactionAsync<int?>(async tx =>
    {
        var identity = await tx.FindAsync<long?>(
            $"select sequence from events_positions where consumer = {RelayPosition.Consumer} and partition = {RelayPosition.Partition}", ct);
        if (identity is null)
            return null;
        await PlaceSetAsideAsync(tx, ct);
        var positions = await tx.ListAsync<Position>(Sql.Raw("select consumer, partition, sequence from events_positions where partition >= 0"), ct);
        var late = 0;
        foreach (var consumer in positions.GroupBy(p => p.Consumer))
        {
            var done = new long[EventTopic.PartitionsIn(identity.Value)];
            foreach (var position in consumer)
                done[position.Partition] = position.Sequence;
            late += await SetAsideAsync(tx, consumer.Key, done, ct);
            await tx.ExecuteAsync($"delete from events_positions where consumer = {consumer.Key}", ct);
            await tx.ExecuteAsync($"insert into events_positions (consumer, partition, position, sequence) values ({consumer.Key}, 0, {done.Max()}, {done.Max()})", ct);
        }

        await tx.ExecuteAsync($"delete from events_positions where consumer = {RelayPosition.Consumer}", ct);
        return late;
    }, ct);

    /// <summary>Gives what was set aside its place in the database's log.</summary>
    static async Task PlaceSetAsideAsync(Transaction tx, CancellationToken ct)
    {
        var places = await tx.ListAsync<Place>(Sql.Raw("select id, position from events_log where id in (select event_id from events_set_aside)"), ct);
        await tx.ExecuteAsync($"update events_set_aside set partition = partition + {Between}", ct);
        foreach (var place in places)
            await tx.ExecuteAsync($"update events_set_aside set partition = 0, position = {place.Position} where event_id = {place.Id}", ct);
        if (await tx.FindAsync<long>($"select count(*) from events_set_aside where partition >= {Between}", ct) is > 0 and var lost)
            throw new InvalidOperationException($"{lost} events that were set aside are not in the database's log, and their place in it is not known.");
    }

    /// <summary>Sets aside what the consumer has not handled of the events up to the last one it has.</summary>
    async Task<int> SetAsideAsync(Transaction tx, string consumer, long[] done, CancellationToken ct)
    {
        // Of a consumer that the program has no more nobody knows what it wants; if it comes back, what it does not want is dropped.
        var names = consumers.All.FirstOrDefault(c => c.Name == consumer)?.Events;
        var (from, to, late) = (done.Min(), done.Max(), 0);
        while (from < to && await PageAsync(tx, from, to, ct) is { Count: > 0 } page)
        {
            foreach (var e in page)
                if (e.Position > done[KeyPartition.Of(e.Key, done.Length)] && names?.Contains(e.Name) != false)
                {
                    await tx.ExecuteAsync($"""
                        insert into events_set_aside (consumer, partition, position, event_id, name, key, payload, occurred_at, trace_parent, state, attempts, next_attempt_at)
                        values ({consumer}, 0, {e.Position}, {e.Id}, {e.Name}, {e.Key}, {e.Payload}, {e.OccurredAt}, {e.TraceParent}, 'waiting', 0, {clock.UtcNow()})
                        """, ct);
                    late++;
                }

            from = page[^1].Position;
        }

        return late;
    }

    static Task<List<StoredEvent>> PageAsync(Transaction tx, long from, long to, CancellationToken ct) => tx.ListAsync<StoredEvent>($"""
        select position, id, name, key, payload, occurred_at, trace_parent from events_log where position > {from} and position <= {to}
        order by position limit {PageSize}
        """, ct);

    sealed record Position(string Consumer, int Partition, long Sequence);

    sealed record Place(Guid Id, long Position);
}
