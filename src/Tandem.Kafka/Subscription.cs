using System.Diagnostics;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Kafka;

/// <summary>
/// One consumer's membership in its group: hands the records of its partitions to the feed, batch by batch. All of it is one thread, on which the
/// library also tells of rebalances, so a partition is never given away while a batch of it is being handled.
/// </summary>
sealed class Subscription(EventFeed feed, EventTopic topic, KafkaClients clients, KafkaOptions options, Db db, ILogger<Subscription> logger)
{
    const int BatchSize = 500;

    // How long the loop waits for a record before it looks whether it should end.
    static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    // That a consumer passed events it does not want is stored this late: otherwise every event of every module would be a transaction for each.
    static readonly TimeSpan SkipInterval = TimeSpan.FromMilliseconds(200);

    readonly Dictionary<int, PartitionReader> _partitions = [];

    /// <summary>The library's calls block, so this has a thread of its own.</summary>
    public Task RunAsync(CancellationToken ct) =>
        Task.Factory.StartNew(() => Run(ct), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    void Run(CancellationToken ct)
    {
        using var consumer = clients.Consumer($"{options.TopicPrefix}.{feed.Consumer}", builder => builder
            .SetPartitionsAssignedHandler((_, partitions) => Assign(partitions, ct))
            .SetPartitionsRevokedHandler((_, partitions) => GiveUp(partitions))
            .SetPartitionsLostHandler((_, partitions) => GiveUp(partitions)));
        try
        {
            consumer.Subscribe(topic.Name);
            while (!ct.IsCancellationRequested)
            {
                Collect(consumer);
                foreach (var (number, partition) in _partitions)
                    if (Handle(number, partition, ct))
                        consumer.StoreOffset(new TopicPartitionOffset(topic.Name, number, partition.Stored));
            }
        }
        finally
        {
            // Leaves the group at once, so that others need not wait for the session to run out.
            consumer.Close();
        }

        ct.ThrowIfCancellationRequested();
    }

    /// <summary>Takes what has arrived, up to a batch. Partitions may come and go meanwhile; what was taken of one that goes is dropped with it.</summary>
    void Collect(IConsumer<string, byte[]> consumer)
    {
        var record = consumer.Consume(Patience);
        for (var count = 1; record is not null; record = count++ < BatchSize ? consumer.Consume(TimeSpan.Zero) : null)
            if (_partitions.TryGetValue(record.Partition.Value, out var partition))
                partition.Records.Add(record);
    }

    /// <returns>True when the stored position has moved.</returns>
    bool Handle(int number, PartitionReader partition, CancellationToken ct)
    {
        var events = new List<StoredEvent>(partition.Records.Count);
        var wanted = false;
        foreach (var record in partition.Records)
            if (partition.Accept(record, logger) is { } e)
            {
                var wants = feed.Events.Contains(e.Name);
                wanted |= wants;
                events.Add(wants && EventRecord.IsInLog(record) ? Whole(e, ct) : e);
            }

        partition.Records.Clear();
        if (wanted)
        {
            Wait(() => feed.HandleAsync(number, events, ct));
            partition.Store(events[^1].Position);
            return true;
        }

        if (partition.Next == partition.Stored || partition.SinceStored < SkipInterval)
            return false;
        Wait(() => feed.SkipToAsync(number, partition.Next, partition.Sequence, ct));
        partition.Store(partition.Next);
        return true;
    }

    StoredEvent Whole(StoredEvent e, CancellationToken ct) => e with
    {
        Payload = Wait(() => db.FindAsync<string>($"select payload from events_log where position = {e.Sequence}", ct))
            ?? throw new InvalidOperationException($"Event {e.Id} is too long for Kafka and no longer in the database's log."),
    };

    /// <summary>The database says where to go on, not the group's offset: the database knows which effects there are.</summary>
    List<TopicPartitionOffset> Assign(List<TopicPartition> partitions, CancellationToken ct)
    {
        logger.Assigned(feed.Consumer, string.Join(", ", partitions.Select(p => p.Partition.Value)));
        feed.Forget();
        foreach (var number in partitions.Select(p => p.Partition.Value))
        {
            var (position, sequence) = Wait(() => feed.ProgressAsync(number, ct));
            _partitions[number] = new PartitionReader(topic.Name, position, sequence);
        }

        return [.. partitions.Select(p => new TopicPartitionOffset(p, _partitions[p.Partition.Value].Next))];
    }

    void GiveUp(List<TopicPartitionOffset> partitions)
    {
        logger.GivenUp(feed.Consumer, string.Join(", ", partitions.Select(p => p.Partition.Value)));
        foreach (var partition in partitions)
            _partitions.Remove(partition.Partition.Value);
    }

    static void Wait(Func<Task> work) => Task.Run(work).GetAwaiter().GetResult();

    // This thread is ours alone, and the work must be over before the library is asked for more: a rebalance would otherwise overtake it.
    static T Wait<T>(Func<Task<T>> work) => Task.Run(work).GetAwaiter().GetResult();
}

/// <summary>Where a consumer is in one partition, and which of its records are to be handled.</summary>
/// <param name="topic">For the log.</param>
/// <param name="position">The stored position: the offset to go on with.</param>
/// <param name="sequence">The highest sequence that was handled.</param>
sealed class PartitionReader(string topic, long position, long sequence)
{
    long _storedAt = Stopwatch.GetTimestamp();

    /// <summary>What was read and not yet handled.</summary>
    public List<ConsumeResult<string, byte[]>> Records { get; } = [];

    public long Next { get; private set; } = position;

    public long Stored { get; private set; } = position;

    public long Sequence { get; private set; } = sequence;

    public TimeSpan SinceStored => Stopwatch.GetElapsedTime(_storedAt);

    public void Store(long at) => (Stored, _storedAt) = (at, Stopwatch.GetTimestamp());

    /// <returns>The event; null when the record is none, when it is there a second time, or when one before it is still to come.</returns>
    public StoredEvent? Accept(ConsumeResult<string, byte[]> record, ILogger logger)
    {
        var follows = record.Offset.Value == Next;
        Next = record.Offset.Value + 1;
        try
        {
            var e = EventRecord.Read(record);
            if (e.Sequence <= Sequence)
                return null;
            var previous = EventRecord.Previous(record);
            // The relay sent an event before this one that is not in the topic: it was refused, and the relay will send it, and then this one, again.
            if (previous > Sequence && follows)
                return null;
            if (previous > Sequence)
                logger.EventsDeleted(topic, record.Partition.Value, Sequence, previous);
            Sequence = e.Sequence;
            return e;
        }
        catch (FormatException problem)
        {
            logger.ForeignRecord(topic, record.Partition.Value, record.Offset.Value, problem.Message);
            return null;
        }
    }
}
