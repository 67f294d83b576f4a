using Tandem.Core.Data;

namespace Tandem.Core.Events;

/// <summary>How far consumers are. Take it as a constructor parameter.</summary>
public sealed class ConsumerProgress
{
    static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(10);

    readonly Db _db;
    readonly IEventLog _log;
    readonly ConsumerRegistry _consumers;
    readonly TimeProvider _clock;

    internal ConsumerProgress(Db db, IEventLog log, ConsumerRegistry consumers, TimeProvider clock) =>
        (_db, _log, _consumers, _clock) = (db, log, consumers, clock);

    /// <summary>Returns when a consumer has dealt with every event of these names that was committed before the call, or when the patience ends.</summary>
    /// <returns>False when it is still behind.</returns>
    public async Task<bool> CaughtUpAsync(string consumer, IReadOnlyCollection<string> names, TimeSpan patience, CancellationToken cancellationToken)
    {
        using var limit = new CancellationTokenSource(patience, _clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            var heads = await _log.HeadsAsync(names, either.Token);
            while (true)
            {
                var positions = await StoredAsync(consumer, cancellationToken);
                if (heads.Index().All(h => h.Item <= positions.GetValueOrDefault(h.Index)))
                    return true;
                await Task.Delay(LookInterval, _clock, either.Token);
            }
        }
        catch (Exception e) when (e is StoreUnavailableException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return false;
        }
    }

    /// <summary>Every consumer that ever ran on this store.</summary>
    public async Task<List<ConsumerView>> ListAsync(CancellationToken cancellationToken)
    {
        var rows = await _db.ListAsync<Row>($"""
            select p.consumer, p.partition, p.position,
                (select count(*) from events_set_aside s where s.consumer = p.consumer and s.partition = p.partition) as set_aside
            from events_positions p order by p.consumer, p.partition
            """, cancellationToken);
        var views = new List<ConsumerView>();
        foreach (var consumer in rows.GroupBy(r => r.Consumer))
        {
            // Of a consumer that no part of this program has any more, all events count.
            var ends = await _log.EndsAsync(_consumers.EventsOf(consumer.Key), cancellationToken);
            var lag = 0L;
            foreach (var row in consumer.Where(r => r.Partition < ends.Length))
                // Below zero: a log in front of this one, which something relays.
                lag += Math.Max(0, (row.Partition < 0 ? await _log.HeadAsync(row.Partition, [], cancellationToken) : ends[row.Partition]) - row.Position);
            views.Add(new ConsumerView(consumer.Key, lag, consumer.Sum(r => r.SetAside)));
        }

        return views;
    }

    /// <summary>The sequence of the last event a consumer has dealt with, by partition; partitions without one are missing.</summary>
    public async Task<IReadOnlyDictionary<int, long>> SequencesAsync(string consumer, CancellationToken cancellationToken) =>
        Read(await _db.ListAsync<Stored>($"select partition, sequence as number from events_positions where consumer = {consumer}", cancellationToken));

    /// <summary>The same within a transaction, which the consumer then cannot pass until it commits.</summary>
    public async Task<IReadOnlyDictionary<int, long>> HoldAsync(Transaction tx, string consumer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(tx);
        return Read(await tx.ListAsync<Stored>($"update events_positions set position = position where consumer = {consumer} returning partition, sequence as number", cancellationToken));
    }

    /// <summary>The events that a consumer has passed without handling them yet.</summary>
    public async Task<IReadOnlyList<StoredEvent>> SetAsideAsync(Transaction tx, string consumer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(tx);
        return await tx.ListAsync<StoredEvent>($"""
            select position, event_id as id, name, key, payload, occurred_at, trace_parent from events_set_aside where consumer = {consumer}
            """, cancellationToken);
    }

    async Task<Dictionary<int, long>> StoredAsync(string consumer, CancellationToken ct) =>
        Read(await _db.ListAsync<Stored>($"select partition, position as number from events_positions where consumer = {consumer}", ct));

    static Dictionary<int, long> Read(List<Stored> rows) => rows.ToDictionary(r => r.Partition, r => r.Number);

    sealed record Stored(int Partition, long Number);

    sealed record Row(string Consumer, int Partition, long Position, long SetAside);
}

/// <summary>A consumer of the event log.</summary>
/// <param name="Consumer">Its name.</param>
/// <param name="Lag">How many positions of the log lie between the newest event it wants and the last one it has dealt with.</param>
/// <param name="SetAside">Events that failed, and those of their keys that wait.</param>
public sealed record ConsumerView(string Consumer, long Lag, long SetAside);
