using System.Diagnostics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Data;

namespace Tandem.Core.Events;

/// <summary>
/// Brings the log to its consumers. Each has its own loop and its own position, so a slow or failing one hurts no other. An event that
/// fails is set aside with everything later of its key, tried again with growing pauses, and parked when that does not help.
/// </summary>
sealed class EventDispatcher(
    Db db, IEventLog log, ConsumerRegistry consumers, IServiceProvider services, EventOptions options, TimeProvider clock,
    ILogger<EventDispatcher> logger) : BackgroundService
{
    const int BatchSize = 100;

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll(consumers.All.Select(consumer => Task.Run(() => LoopAsync(consumer, stoppingToken), stoppingToken)));

    async Task LoopAsync(Consumer consumer, CancellationToken ct)
    {
        long seen = 0;
        while (!ct.IsCancellationRequested)
            try
            {
                seen = await log.WaitAsync(seen, ct);
                await CatchUpAsync(consumer, ct);
                await RetryAsync(consumer, ct);
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                logger.ConsumerFailed(consumer.Name, e);
                await Task.Delay(TimeSpan.FromSeconds(1), clock, CancellationToken.None);
            }
    }

    async Task CatchUpAsync(Consumer consumer, CancellationToken ct)
    {
        while (!ct.IsCancellationRequested)
        {
            var position = await PositionAsync(consumer, ct);
            var head = await log.HeadAsync(ct);
            var events = await log.ReadAsync(position, consumer.Events, BatchSize, ct);
            if (events.Count == 0)
            {
                // Remember that nothing up to here was for us, now and then, so that a restart does not search the whole log.
                if (head - position > 10_000)
                    await db.InTransactionAsync(tx => AdvanceAsync(tx, consumer, position, head), ct);
                return;
            }

            if (!await TryBatchAsync(consumer, position, events, ct))
                foreach (var e in events)
                {
                    await OneAsync(consumer, position, e, ct);
                    position = e.Position;
                }
        }
    }

    async Task<long> PositionAsync(Consumer consumer, CancellationToken ct)
    {
        if (await db.FindAsync<long?>($"select position from events_positions where consumer = {consumer.Name}", ct) is { } known)
            return known;
        await db.ExecuteAsync($"insert into events_positions (consumer, position) values ({consumer.Name}, 0) on conflict do nothing", ct);
        return 0;
    }

    /// <summary>All events of a batch and the new position in one transaction.</summary>
    /// <returns>False, with nothing done, when one of them failed; the caller then goes one by one.</returns>
    async Task<bool> TryBatchAsync(Consumer consumer, long position, List<StoredEvent> events, CancellationToken ct)
    {
        try
        {
            await db.InTransactionAsync(async tx =>
            {
                await AdvanceAsync(tx, consumer, position, events[^1].Position);
                var waiting = await WaitingKeysAsync(tx, consumer);
                foreach (var e in events)
                    if (waiting.Contains(e.Key))
                        await SetAsideAsync(tx, consumer, e, 0, null, "waiting", clock.UtcNow());
                    else
                        await consumer.HandleAsync(services, e, tx, ct);
            }, ct);
            return true;
        }
        catch (Exception e) when (IsFaultOfHandler(e, ct))
        {
            return false;
        }
    }

    async Task OneAsync(Consumer consumer, long position, StoredEvent e, CancellationToken ct)
    {
        try
        {
            await db.InTransactionAsync(async tx =>
            {
                await AdvanceAsync(tx, consumer, position, e.Position);
                if ((await WaitingKeysAsync(tx, consumer)).Contains(e.Key))
                    await SetAsideAsync(tx, consumer, e, 0, null, "waiting", clock.UtcNow());
                else
                    await consumer.HandleAsync(services, e, tx, ct);
            }, ct);
        }
        catch (Exception failure) when (IsFaultOfHandler(failure, ct))
        {
            logger.EventFailed(consumer.Name, e.Id, 1, failure);
            await db.InTransactionAsync(async tx =>
            {
                await AdvanceAsync(tx, consumer, position, e.Position);
                await SetAsideAsync(tx, consumer, e, 1, failure, options.MaxAttempts > 1 ? "retrying" : "parked", clock.UtcNow() + Pause(1));
            }, ct);
        }
    }

    /// <summary>Tries again what is due: per key only the oldest, the others behind it follow once it is through.</summary>
    async Task RetryAsync(Consumer consumer, CancellationToken ct)
    {
        while (!ct.IsCancellationRequested)
        {
            var due = await db.ListAsync<SetAside>($"""
                select e.position, l.id, l.name, e.key, l.payload, l.occurred_at, l.trace_parent, e.attempts
                from events_set_aside e join events_log l on l.position = e.position
                where e.consumer = {consumer.Name} and e.state <> 'parked' and e.next_attempt_at <= {clock.UtcNow()}
                  and not exists (select 1 from events_set_aside f where f.consumer = e.consumer and f.key = e.key and f.position < e.position)
                order by e.position limit {BatchSize}
                """, ct);
            if (due.Count == 0)
                return;
            foreach (var e in due)
                await RetryOneAsync(consumer, e, ct);
        }
    }

    async Task RetryOneAsync(Consumer consumer, SetAside e, CancellationToken ct)
    {
        try
        {
            await db.InTransactionAsync(async tx =>
            {
                // Gone means that another process or an operator was faster.
                if (await tx.ExecuteAsync($"delete from events_set_aside where consumer = {consumer.Name} and position = {e.Position}", ct) == 1)
                    await consumer.HandleAsync(services, e.Event, tx, ct);
            }, ct);
        }
        catch (Exception failure) when (IsFaultOfHandler(failure, ct))
        {
            var attempts = e.Attempts + 1;
            var parked = attempts >= options.MaxAttempts;
            await db.ExecuteAsync($"""
                update events_set_aside set attempts = {attempts}, error = {Describe(failure)}, state = {(parked ? "parked" : "retrying")},
                    next_attempt_at = {clock.UtcNow() + Pause(attempts)}
                where consumer = {consumer.Name} and position = {e.Position}
                """, ct);
            if (parked)
                logger.EventParked(consumer.Name, e.Id, attempts);
            else
                logger.EventFailed(consumer.Name, e.Id, attempts, failure);
        }
    }

    static async Task<HashSet<string>> WaitingKeysAsync(Transaction tx, Consumer consumer) =>
        [.. await tx.ListAsync<string>($"select distinct key from events_set_aside where consumer = {consumer.Name}")];

    static Task SetAsideAsync(Transaction tx, Consumer consumer, StoredEvent e, int attempts, Exception? failure, string state, DateTime next) =>
        tx.ExecuteAsync($"""
            insert into events_set_aside (consumer, position, key, state, attempts, error, next_attempt_at)
            values ({consumer.Name}, {e.Position}, {e.Key}, {state}, {attempts}, {(failure is null ? null : Describe(failure))}, {next})
            """);

    /// <summary>Moves the position, but only from where this loop read it: a second process that does the same work is stopped here.</summary>
    static async Task AdvanceAsync(Transaction tx, Consumer consumer, long from, long to)
    {
        if (await tx.ExecuteAsync($"update events_positions set position = {to} where consumer = {consumer.Name} and position = {from}") != 1)
            throw new PositionMovedException(consumer.Name);
    }

    static bool IsFaultOfHandler(Exception e, CancellationToken ct) =>
        e is not (StoreUnavailableException or PositionMovedException) && !ct.IsCancellationRequested;

    // Doubles from one second to a minute; full jitter keeps the retries of many keys apart.
    static TimeSpan Pause(int attempts) => TimeSpan.FromSeconds(Math.Min(60, Math.Pow(2, attempts - 1)) * (0.5 + Random.Shared.NextDouble() / 2));

    static string Describe(Exception e) => e.ToString() is { Length: > 4000 } text ? text[..4000] : e.ToString();

    sealed record SetAside(long Position, Guid Id, string Name, string Key, string Payload, DateTime OccurredAt, string? TraceParent, int Attempts)
    {
        public StoredEvent Event => new(Position, Id, Name, Key, Payload, OccurredAt, TraceParent);
    }

    sealed class PositionMovedException(string consumer) : Exception($"The position of {consumer} was moved by another process.");
}

/// <summary>The consumers that the modules of this process have registered.</summary>
sealed class ConsumerRegistry
{
    readonly Dictionary<string, Consumer> _consumers = [];

    public IReadOnlyCollection<Consumer> All => _consumers.Values;

    public Consumer Get(string name)
    {
        if (!_consumers.TryGetValue(name, out var consumer))
            _consumers.Add(name, consumer = new Consumer(name));
        return consumer;
    }
}

/// <summary>Settings of the event log, section <c>Events</c>.</summary>
public sealed class EventOptions
{
    /// <summary>How often an event is given to a consumer before it is parked. Default 8 (about two minutes of trying); 1 to 100.</summary>
    [System.ComponentModel.DataAnnotations.Range(1, 100)]
    public int MaxAttempts { get; set; } = 8;
}
