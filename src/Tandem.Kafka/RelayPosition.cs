using Microsoft.Extensions.Logging;
using Tandem.Core.Data;

namespace Tandem.Kafka;

/// <summary>
/// How far the database's log is in the topic, and which topic that is: the row of consumer "kafka" for partition −1, its column
/// <c>sequence</c> holding the topic's identity.
/// </summary>
sealed class RelayPosition(Lazy<Db> db, EventTopic topic, ILogger<RelayPosition> logger)
{
    public const string Consumer = "kafka";

    /// <summary>Stands for the database's log in front of the topic, beside the topic's partitions from 0 on.</summary>
    public const int Partition = -1;

    // What is set aside is tried in the order of positions. Taken off those of a log that was left, it puts them in front of every new one.
    const long Earlier = 1_000_000_000_000;

    /// <summary>Makes the stored positions those of this topic, when they are not yet.</summary>
    /// <returns>The last event of the log that is acknowledged in the topic.</returns>
    /// <exception cref="StoreUnavailableException">The events were spread over another number of partitions.</exception>
    public async Task<long> OpenAsync(long identity, CancellationToken ct)
    {
        var (position, refilled) = await db.Value.InTransactionAsync(async tx =>
        {
            var row = await tx.FindAsync<Row>($"select position, sequence from events_positions where consumer = {Consumer} and partition = {Partition}", CancellationToken.None);
            if (row is null)
                await EnterAsync(tx, identity);
            else if (row.Sequence == identity)
                return (row.Position, 0L);
            else if (EventTopic.PartitionsIn(row.Sequence) != EventTopic.PartitionsIn(identity))
                throw new StoreUnavailableException("kafka",
                    $"The events of this database are spread over {EventTopic.PartitionsIn(row.Sequence)} partitions: set Kafka:Partitions to that; it cannot be changed.");
            else
                await RefillAsync(tx, identity);
            return (0L, row?.Position ?? 0L);
        }, ct);
        if (refilled > 0)
            logger.TopicRefilled(topic.Name, refilled);
        return position;
    }

    public async Task AdvanceAsync(long from, long to, long identity, CancellationToken ct)
    {
        if (await db.Value.ExecuteAsync($"""
            update events_positions set position = {to}
            where consumer = {Consumer} and partition = {Partition} and position = {from} and sequence = {identity}
            """, ct) != 1)
        {
            throw new InvalidOperationException("Another process relays the log now.");
        }
    }

    /// <summary>What the topic of this identity holds of the log; null while the positions are another topic's.</summary>
    public async Task<long?> FindAsync(long identity, CancellationToken ct) =>
        await db.Value.FindAsync<long?>($"select position from events_positions where consumer = {Consumer} and partition = {Partition} and sequence = {identity}", ct);

    public Task<long?> FindAsync(CancellationToken ct) =>
        db.Value.FindAsync<long?>($"select position from events_positions where consumer = {Consumer} and partition = {Partition}", ct);

    /// <summary>
    /// The log leaves the database: what a consumer had done up to a sequence it has done in every partition up to that sequence. The topic is
    /// filled from the first event on, so that each partition is whole.
    /// </summary>
    static async Task EnterAsync(Transaction tx, long identity)
    {
        foreach (var consumer in await tx.ListAsync<Progress>(Sql.Raw("select consumer, sequence, position from events_positions where partition = 0"), CancellationToken.None))
        {
            await tx.ExecuteAsync($"delete from events_positions where consumer = {consumer.Consumer}", CancellationToken.None);
            // The position of the log itself, which counts what was not for this consumer too.
            var done = Math.Max(consumer.Sequence, consumer.Position);
            for (var partition = 0; partition < EventTopic.PartitionsIn(identity); partition++)
                await tx.ExecuteAsync($"""
                    insert into events_positions (consumer, partition, position, sequence) values ({consumer.Consumer}, {partition}, 0, {done})
                    """, CancellationToken.None);
        }

        foreach (var key in await tx.ListAsync<string>(Sql.Raw("select distinct key from events_set_aside"), CancellationToken.None))
            await tx.ExecuteAsync($"""
                update events_set_aside set partition = {KeyPartition.Of(key, EventTopic.PartitionsIn(identity))}, position = position - {Earlier} where key = {key}
                """, CancellationToken.None);
        await tx.ExecuteAsync($"""
            insert into events_positions (consumer, partition, position, sequence) values ({Consumer}, {Partition}, 0, {identity})
            """, CancellationToken.None);
    }

    /// <summary>Another topic of as many partitions: its offsets start anew, what consumers have done stays done.</summary>
    static async Task RefillAsync(Transaction tx, long identity)
    {
        await tx.ExecuteAsync(Sql.Raw("update events_positions set position = 0 where partition >= 0"), CancellationToken.None);
        await tx.ExecuteAsync($"update events_set_aside set position = position - {Earlier}", CancellationToken.None);
        await tx.ExecuteAsync($"""
            update events_positions set position = 0, sequence = {identity} where consumer = {Consumer} and partition = {Partition}
            """, CancellationToken.None);
    }

    sealed record Row(long Position, long Sequence);

    sealed record Progress(string Consumer, long Sequence, long Position);
}
