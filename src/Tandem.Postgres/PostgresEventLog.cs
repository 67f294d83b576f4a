using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Postgres;

/// <summary>
/// The log on PostgreSQL. There, transactions that run beside each other commit in any order, so "rows behind the last number" would miss
/// the one that took its number early and committed late. A change therefore writes to an outbox, and a sequencer, one at a time over all
/// processes, moves what is committed into the log: positions are given out in one transaction after the other, and a reader that has seen
/// one has seen all before it.
/// </summary>
/// <remarks>
/// Events of one key stay in order: a change of the same row waits for the one before it to commit, and takes its number after that.
/// </remarks>
sealed class PostgresEventLog(
    Lazy<Db> db, Lazy<PostgresDb> postgres, Wakeups wakeups, Signal<IEventLog> signal, Signal<PostgresEventLog> written, ILogger<PostgresEventLog> logger)
    : TableEventLog(db, signal)
{
    const int BatchSize = 1000;

    // With four at once there are a thousand a second or so; below, nobody waits.
    const int Many = 4;
    static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(5);

    const string Append = """
        insert into events_outbox (id, name, key, payload, occurred_at, trace_parent)
        values (@p0, @p1, @p2, @p3, @p4, @p5)
        """;

    // What another process left when it died between its commit and its sequencing.
    static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(500);

    // Held for one transaction; the number is that of the lock, next to those of PostgresLocks.
    static readonly Sql Lock = $"select pg_advisory_xact_lock({PostgresLocks.Class + 1}, {0})";

    static readonly Sql Move = $"""
        with moved as (
            delete from events_outbox where number in (select number from events_outbox order by number limit {BatchSize})
            returning number, id, name, key, payload, occurred_at, trace_parent),
        written as (
            insert into events_log (id, name, key, payload, occurred_at, trace_parent)
            select id, name, key, payload, occurred_at, trace_parent from moved order by number
            returning 1)
        select count(*) from written
        """;

    // What is moved leaves dead rows at the front, which every look at the first number steps over. The server's own vacuum comes once a minute.
    const int VacuumAfter = 20_000;
    static readonly Sql Vacuum = Sql.Raw("vacuum (truncate false, skip_locked true) events_outbox");
    long _dead;

    static readonly Histogram<long> Sequenced = Telemetry.Meter.CreateHistogram<long>("tandem.postgres.sequenced", "{event}", "Events that were moved into the log together");

    public override Task AppendAsync(Transaction tx, StoredEvent e, CancellationToken cancellationToken)
    {
        ((PostgresTransaction)tx).Defer(new Sql(Append, [e.Id, e.Name, e.Key, e.Payload, e.OccurredAt, e.TraceParent]));
        tx.OnCommitted(written.Set);
        return Task.CompletedTask;
    }

    /// <summary>Moves what is committed into the log, until it is cancelled.</summary>
    public async Task SequenceAsync(CancellationToken ct)
    {
        var seen = 0L;
        while (!ct.IsCancellationRequested)
            try
            {
                seen = await written.WaitAsync(seen, LookInterval, ct);
                long moved;
                do
                    moved = await MoveAsync(ct);
                while (moved == BatchSize);
                if (Volatile.Read(ref _dead) >= VacuumAfter)
                {
                    Volatile.Write(ref _dead, 0);
                    await postgres.Value.RunAsync<long>([Vacuum], ct);
                }

                // One by one costs several times as much as together: where events come fast, the next ones wait for each other.
                if (moved >= Many)
                    await Task.Delay(Gather, ct);
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                logger.NotSequenced(e.Message);
                await Task.Delay(LookInterval, CancellationToken.None);
            }
    }

    /// <summary>Returns when everything that was committed before the call is in the log.</summary>
    async Task SettleAsync(CancellationToken ct)
    {
        // Up to the newest of now: with writers that never rest there is always another one behind it.
        var newest = await postgres.Value.FindAsync<long>(Sql.Raw("select coalesce(max(number), 0) from events_outbox"), ct);
        while (newest > 0 && await postgres.Value.FindAsync<bool>($"select exists (select 1 from events_outbox where number <= {newest})", ct))
            await MoveAsync(ct);
    }

    /// <summary>Moves what is committed into the log, up to a batch.</summary>
    /// <returns>How many events these were.</returns>
    async Task<long> MoveAsync(CancellationToken ct)
    {
        // The statement behind the lock has a snapshot of its own, taken when it has the lock: it sees all that was moved before.
        var moved = (await postgres.Value.RunAsync<long>([Lock, Move], ct))[0];
        if (moved == 0)
            return 0;
        Sequenced.Record(moved);
        Interlocked.Add(ref _dead, moved);
        wakeups.AnnounceEvents();
        return moved;
    }

    public override async Task<long> HeadAsync(int partition, IReadOnlyCollection<string> names, CancellationToken cancellationToken)
    {
        await SettleAsync(cancellationToken);
        return await base.HeadAsync(partition, names, cancellationToken);
    }

    /// <remarks>One process at a time feeds a consumer; another takes over when that one ends or loses its session.</remarks>
    public override Task FeedAsync(EventFeed feed, CancellationToken cancellationToken) => postgres.Value.RunAloneAsync("consumer/" + feed.Consumer, ct =>
    {
        feed.Forget();
        return base.FeedAsync(feed, ct);
    }, cancellationToken);
}
