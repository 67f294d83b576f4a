using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Jobs;

namespace Tandem.Postgres;

/// <summary>The queue on PostgreSQL: claims skip what another worker is claiming, and dead workers are known by the lock they no longer hold.</summary>
sealed class PostgresJobQueue(Lazy<Db> db, Lazy<PostgresDb> postgres, PostgresLocks locks, Wakeups wakeups, Signal<IJobQueue> signal, TimeProvider clock)
    : TableJobQueue(db, signal, clock)
{
    readonly TimeProvider _clock = clock;

    public override async Task<Guid> EnqueueAsync(Transaction tx, string kind, string payload, JobOptions options, CancellationToken cancellationToken)
    {
        var id = await base.EnqueueAsync(tx, kind, payload, options, cancellationToken);
        tx.OnCommitted(wakeups.AnnounceJobs);
        return id;
    }

    public override async Task<List<ClaimedJob>> ClaimAsync(string worker, IReadOnlyCollection<string> kinds, int count, TimeSpan lease, CancellationToken cancellationToken)
    {
        var now = _clock.UtcNow();
        if (!await HasDueAsync(kinds, now, cancellationToken))
            return [];
        return await postgres.Value.RunAsync<ClaimedJob>(
        [
            Discard(now),
            // Materialised: inlined, the limit could be applied more than once.
            $"""
            with due as materialized (
                select id from jobs_queue where kind in ({Among(kinds)})
                    and (state = 'available' and run_at <= {now} or state = 'running' and lease_until <= {now})
                order by priority, run_at, id limit {count} for update skip locked)
            update jobs_queue set state = 'running', worker = {worker}, lease_until = {now + lease}, attempt = attempt + 1, fence = fence + 1
            where id in (select id from due)
            returning id, kind, payload, attempt, max_attempts, fence, trace_parent
            """,
        ], cancellationToken);
    }

    public override async Task<int> RecoverAsync(string worker, CancellationToken cancellationToken)
    {
        // A worker that cannot show that it lives must not call others dead.
        if (await locks.TryTakeAsync(worker, cancellationToken) is null)
            return 0;
        var now = _clock.UtcNow();
        // It is asked for every second and finds none as a rule.
        if (!await postgres.Value.FindAsync<bool>($"select exists (select 1 from jobs_queue where state = 'running' and worker <> {worker} and lease_until > {now})", cancellationToken))
            return 0;
        var freed = await postgres.Value.RunAsync<Guid>([$"""
            update jobs_queue set lease_until = {now} where state = 'running' and lease_until > {now} and not exists (
                select 1 from pg_locks l where l.locktype = 'advisory' and l.classid::bigint = {(long)PostgresLocks.Class}
                    and l.objid = hashtext(worker)::oid and l.granted
                    and l.database = (select oid from pg_database where datname = current_database()))
            returning id
            """], cancellationToken);
        return freed.Count;
    }
}
