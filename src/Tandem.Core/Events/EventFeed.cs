using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Tandem.Core.Data;

namespace Tandem.Core.Events;

/// <summary>
/// One consumer's way through the log. A log hands it events; the effect of each, and the consumer's new position, are one transaction. An
/// event that fails is set aside with everything later of its key, so that it stops nobody else.
/// </summary>
public sealed class EventFeed
{
    readonly Consumer _consumer;
    readonly Db _db;
    readonly IServiceProvider _services;
    readonly EventOptions _options;
    readonly TimeProvider _clock;
    readonly ILogger _logger;
    readonly ConcurrentDictionary<int, Cursor> _cursors = new();

    internal EventFeed(Consumer consumer, Db db, IServiceProvider services, EventOptions options, TimeProvider clock, ILogger logger) =>
        (_consumer, _db, _services, _options, _clock, _logger) = (consumer, db, services, options, clock, logger);

    /// <summary>The consumer's name.</summary>
    public string Consumer => _consumer.Name;

    /// <summary>The names of the events it wants; others may be handed over and are passed by.</summary>
    public IReadOnlyCollection<string> Events => _consumer.Events;

    /// <summary>The position of the last event it has dealt with; 0 for none.</summary>
    public async Task<long> PositionAsync(int partition, CancellationToken cancellationToken) => (await CursorAsync(partition, cancellationToken)).Position;

    internal async Task<(long Position, long Sequence)> ProgressAsync(int partition, CancellationToken ct)
    {
        var cursor = await CursorAsync(partition, ct);
        return (cursor.Position, cursor.Sequence);
    }

    /// <summary>Deals with events that follow the consumer's position; returns when that is durable.</summary>
    /// <param name="partition">Where they are from; one call at a time for each.</param>
    /// <param name="events">In order.</param>
    /// <param name="cancellationToken">Ends the call between two transactions.</param>
    /// <exception cref="StoreUnavailableException">The database is away; the events from the stored position on have to be handed over again.</exception>
    public async Task HandleAsync(int partition, IReadOnlyList<StoredEvent> events, CancellationToken cancellationToken)
    {
        var cursor = await CursorAsync(partition, cancellationToken);
        if (await TryBatchAsync(partition, cursor, events, cancellationToken))
            return;
        foreach (var e in events)
            await OneAsync(partition, _cursors[partition], e, cancellationToken);
    }

    /// <summary>Remembers that there is nothing for this consumer up to a position.</summary>
    /// <param name="partition">Which partition.</param>
    /// <param name="position">Of the last event that is passed by.</param>
    /// <param name="sequence">Of the same event.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task SkipToAsync(int partition, long position, long sequence, CancellationToken cancellationToken)
    {
        var cursor = await CursorAsync(partition, cancellationToken);
        var after = new Cursor(position, Math.Max(cursor.Sequence, sequence));
        await _db.InTransactionAsync(tx => AdvanceAsync(tx, partition, cursor, after), cancellationToken);
        _cursors[partition] = after;
    }

    /// <summary>Reads the positions again at the next use: another process may have moved them.</summary>
    public void Forget() => _cursors.Clear();

    async Task<Cursor> CursorAsync(int partition, CancellationToken ct)
    {
        if (_cursors.TryGetValue(partition, out var known))
            return known;
        var stored = await FindAsync();
        if (stored is null)
        {
            await _db.ExecuteAsync($"""
                insert into events_positions (consumer, partition, position, sequence) values ({Consumer}, {partition}, 0, 0) on conflict do nothing
                """, ct);
            stored = await FindAsync();
        }

        return _cursors[partition] = stored ?? throw new PositionMovedException(Consumer);

        Task<Cursor?> FindAsync() => _db.FindAsync<Cursor>($"select position, sequence from events_positions where consumer = {Consumer} and partition = {partition}", ct);
    }

    /// <summary>All events of a batch and the new position in one transaction.</summary>
    /// <returns>False, with nothing done, when one of them failed; the caller then goes one by one.</returns>
    async Task<bool> TryBatchAsync(int partition, Cursor cursor, IReadOnlyList<StoredEvent> events, CancellationToken ct)
    {
        try
        {
            await RunAsync(partition, cursor, events, ct);
            return true;
        }
        catch (Exception e) when (IsFaultOfHandler(e, ct))
        {
            return false;
        }
    }

    async Task OneAsync(int partition, Cursor cursor, StoredEvent e, CancellationToken ct)
    {
        try
        {
            await RunAsync(partition, cursor, [e], ct);
        }
        catch (Exception failure) when (IsFaultOfHandler(failure, ct))
        {
            _logger.EventFailed(Consumer, e.Id, 1, failure);
            var after = cursor.Behind(e);
            await _db.InTransactionAsync(async tx =>
            {
                await AdvanceAsync(tx, partition, cursor, after);
                await SetAsideAsync(tx, partition, e, 1, failure, _options.MaxAttempts > 1 ? "retrying" : "parked", _clock.UtcNow() + Pause(1));
            }, ct);
            _cursors[partition] = after;
        }
    }

    async Task RunAsync(int partition, Cursor cursor, IReadOnlyList<StoredEvent> events, CancellationToken ct)
    {
        var after = cursor.Behind(events[^1]);
        await _db.InTransactionAsync(async tx =>
        {
            await AdvanceAsync(tx, partition, cursor, after);
            HashSet<string>? waiting = null;
            foreach (var e in events)
            {
                // Not above the last sequence: the log holds it a second time.
                if (e.Sequence <= cursor.Sequence || !_consumer.Wants(e))
                    continue;
                waiting ??= [.. await tx.ListAsync<string>($"select distinct key from events_set_aside where consumer = {Consumer}", ct)];
                if (waiting.Contains(e.Key))
                    await SetAsideAsync(tx, partition, e, 0, null, "waiting", _clock.UtcNow());
                else
                    await _consumer.HandleAsync(_services, e, tx, ct);
            }
        }, ct);
        _cursors[partition] = after;
    }

    /// <summary>Tries an event again that was set aside; the next of its key follows once it is through.</summary>
    internal async Task RetryAsync(SetAsideEvent e, CancellationToken ct)
    {
        try
        {
            await _db.InTransactionAsync(async tx =>
            {
                // Gone means that another process or an operator was faster, and an event may be one that the consumer wants no more.
                if (await tx.ExecuteAsync($"delete from events_set_aside where consumer = {Consumer} and event_id = {e.EventId}", ct) == 1 && _consumer.Wants(e.Event))
                    await _consumer.HandleAsync(_services, e.Event, tx, ct);
            }, ct);
        }
        catch (Exception failure) when (IsFaultOfHandler(failure, ct))
        {
            var attempts = e.Attempts + 1;
            var parked = attempts >= _options.MaxAttempts;
            await _db.ExecuteAsync($"""
                update events_set_aside set attempts = {attempts}, error = {Describe(failure)}, state = {(parked ? "parked" : "retrying")},
                    next_attempt_at = {_clock.UtcNow() + Pause(attempts)}
                where consumer = {Consumer} and event_id = {e.EventId}
                """, ct);
            if (parked)
                _logger.EventParked(Consumer, e.EventId, attempts);
            else
                _logger.EventFailed(Consumer, e.EventId, attempts, failure);
        }
    }

    Task SetAsideAsync(Transaction tx, int partition, StoredEvent e, int attempts, Exception? failure, string state, DateTime next) => tx.ExecuteAsync($"""
        insert into events_set_aside (consumer, partition, position, event_id, name, key, payload, occurred_at, trace_parent, state, attempts, error, next_attempt_at)
        values ({Consumer}, {partition}, {e.Position}, {e.Id}, {e.Name}, {e.Key}, {e.Payload}, {e.OccurredAt}, {e.TraceParent}, {state}, {attempts},
            {(failure is null ? null : Describe(failure))}, {next})
        """);

    /// <summary>Moves the position, but only from where it was read: a second process that does the same work is stopped here.</summary>
    async Task AdvanceAsync(Transaction tx, int partition, Cursor from, Cursor to)
    {
        if (await tx.ExecuteAsync($"""
            update events_positions set position = {to.Position}, sequence = {to.Sequence}
            where consumer = {Consumer} and partition = {partition} and position = {from.Position}
            """) != 1)
        {
            throw new PositionMovedException(Consumer);
        }
    }

    static bool IsFaultOfHandler(Exception e, CancellationToken ct) =>
        e is not (StoreUnavailableException or PositionMovedException) && !ct.IsCancellationRequested;

    // Doubles from one second to a minute; full jitter keeps the retries of many keys apart.
    static TimeSpan Pause(int attempts) => TimeSpan.FromSeconds(Math.Min(60, Math.Pow(2, attempts - 1)) * (0.5 + Random.Shared.NextDouble() / 2));

    static string Describe(Exception e) => e.ToString() is { Length: > 4000 } text ? text[..4000] : e.ToString();

    sealed record Cursor(long Position, long Sequence)
    {
        public Cursor Behind(StoredEvent e) => new(e.Position, Math.Max(Sequence, e.Sequence));
    }
}

/// <summary>Another process deals with this consumer's events now.</summary>
sealed class PositionMovedException(string consumer) : Exception($"The position of {consumer} was moved by another process.");

/// <summary>An event that one consumer could not handle yet, with all it takes to try again.</summary>
sealed record SetAsideEvent(string Consumer, long Position, Guid EventId, string Name, string Key, string Payload, DateTime OccurredAt, string? TraceParent, int Attempts)
{
    public StoredEvent Event => new(Position, EventId, Name, Key, Payload, OccurredAt, TraceParent);
}
