using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Data;

namespace Tandem.Core.Events;

/// <summary>
/// Connects the consumers of this process to the log. Each has its own loop and its own positions, so a slow or failing one hurts no other.
/// What was set aside is tried again with growing pauses, and parked when that does not help.
/// </summary>
sealed class EventDispatcher(
    Db db, IEventLog log, ConsumerRegistry consumers, IServiceProvider services, EventOptions options, TimeProvider clock,
    ILogger<EventDispatcher> logger) : BackgroundService
{
    const int BatchSize = 100;

    static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(500);

    readonly Dictionary<string, EventFeed> _feeds = consumers.All.ToDictionary(c => c.Name, c => new EventFeed(c, db, services, options, clock, logger));

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => _feeds.Count == 0
        ? Task.CompletedTask
        : Task.WhenAll(
        [
            .. _feeds.Values.Select(f => Task.Run(() => LoopAsync(f.Consumer, ct => log.FeedAsync(f, ct), f.Forget, stoppingToken), stoppingToken)),
            Task.Run(() => LoopAsync("set aside", RetryAsync, () => { }, stoppingToken), stoppingToken),
        ]);

    /// <summary>Outlives every failure: it is logged, and the work starts again from what is stored.</summary>
    async Task LoopAsync(string what, Func<CancellationToken, Task> work, Action forget, CancellationToken ct)
    {
        while (!ct.IsCancellationRequested)
            try
            {
                await work(ct);
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                if (e is StoreUnavailableException away)
                    logger.StoreUnavailable(away.Store, $"{what}: {away.Message}", null);
                else if (e is not PositionMovedException)
                    logger.ConsumerFailed(what, e);
                forget();
                await Task.Delay(TimeSpan.FromSeconds(1), clock, CancellationToken.None);
            }
    }

    /// <summary>Tries again what is due: per key only the oldest, the others behind it follow once it is through.</summary>
    async Task RetryAsync(CancellationToken ct)
    {
        using var timer = new PeriodicTimer(LookInterval);
        while (await timer.WaitForNextTickAsync(ct))
            while (await DueAsync(ct) is { Count: > 0 } due)
                foreach (var e in due)
                    await _feeds[e.Consumer].RetryAsync(e, ct);
    }

    Task<List<SetAsideEvent>> DueAsync(CancellationToken ct)
    {
        Sql mine = $"";
        foreach (var (i, name) in _feeds.Keys.Index())
            mine.Append(i == 0 ? (Sql)$"{name}" : $", {name}");
        return db.ListAsync<SetAsideEvent>($"""
            select e.consumer, e.position, e.event_id, e.name, e.key, e.payload, e.occurred_at, e.trace_parent, e.attempts
            from events_set_aside e
            where e.consumer in ({mine}) and e.state <> 'parked' and e.next_attempt_at <= {clock.UtcNow()}
              and not exists (select 1 from events_set_aside f
                  where f.consumer = e.consumer and f.key = e.key and f.partition = e.partition and f.position < e.position)
            order by e.consumer, e.partition, e.position limit {BatchSize}
            """, ct);
    }
}

/// <summary>The consumers that the modules of this process have registered.</summary>
sealed class ConsumerRegistry
{
    readonly Dictionary<string, Consumer> _consumers = [];
    readonly Dictionary<string, List<string>> _elsewhere = [];

    public IReadOnlyCollection<Consumer> All => _consumers.Values;

    public Consumer Get(string name)
    {
        if (!_consumers.TryGetValue(name, out var consumer))
            _consumers.Add(name, consumer = new Consumer(name));
        return consumer;
    }

    /// <summary>A consumer of the program whose role this process has not: how far it is can be told all the same.</summary>
    public void RunsElsewhere<TEvent>(string name)
    {
        if (!_elsewhere.TryGetValue(name, out var events))
            _elsewhere.Add(name, events = []);
        events.Add(EventType.Of(typeof(TEvent)).Name);
    }

    /// <summary>The events a consumer wants; none for one that this program does not know.</summary>
    public IReadOnlyCollection<string> EventsOf(string name) =>
        _consumers.TryGetValue(name, out var consumer) ? consumer.Events : _elsewhere.GetValueOrDefault(name) ?? [];
}

/// <summary>Settings of the event log, section <c>Events</c>.</summary>
public sealed class EventOptions
{
    /// <summary>How often an event is given to a consumer before it is parked. Default 8 (about two minutes of trying); 1 to 100.</summary>
    [Range(1, 100)]
    public int MaxAttempts { get; set; } = 8;
}
