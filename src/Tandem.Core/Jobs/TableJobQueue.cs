using Tandem.Core.Data;

namespace Tandem.Core.Jobs;

/// <summary>The queue in a table of the database. In SQLite claims are serialised by the one writer.</summary>
class TableJobQueue(Lazy<Db> db, Signal<IJobQueue> signal, TimeProvider clock) : IJobQueue
{
    const string ViewColumns = "id, kind, state, attempt, max_attempts, progress, message, error, account_id, run_at, created_at, finished_at";

    public virtual async Task<Guid> EnqueueAsync(Transaction tx, string kind, string payload, JobOptions options, CancellationToken cancellationToken)
    {
        var (id, now) = (Guid.CreateVersion7(), clock.UtcNow());
        var added = await tx.ExecuteAsync($"""
            insert into jobs_queue (id, kind, payload, state, priority, run_at, max_attempts, unique_key, account_id, trace_parent, created_at)
            values ({id}, {kind}, {payload}, 'available', {options.Priority}, {now + options.Delay}, {options.MaxAttempts}, {options.UniqueKey},
                {options.AccountId}, {tx.TraceParent}, {now})
            on conflict do nothing
            """, cancellationToken);
        if (added == 0)
            return await tx.FindAsync<Guid>($"""
                select id from jobs_queue where kind = {kind} and unique_key = {options.UniqueKey} and state in ('available', 'running')
                """, cancellationToken);
        tx.OnCommitted(signal.Set);
        return id;
    }

    public virtual async Task<List<ClaimedJob>> ClaimAsync(string worker, IReadOnlyCollection<string> kinds, int count, TimeSpan lease, CancellationToken cancellationToken)
    {
        var now = clock.UtcNow();
        if (!await HasDueAsync(kinds, now, cancellationToken))
            return [];
        return await db.Value.InTransactionAsync(async tx =>
        {
            await tx.ExecuteAsync(Discard(now), cancellationToken);
            return await tx.ListAsync<ClaimedJob>($"""
                update jobs_queue set state = 'running', worker = {worker}, lease_until = {now + lease}, attempt = attempt + 1, fence = fence + 1
                where id in (
                    select id from jobs_queue where kind in ({Among(kinds)})
                        and (state = 'available' and run_at <= {now} or state = 'running' and lease_until <= {now})
                    order by priority, run_at, id limit {count})
                returning id, kind, payload, attempt, max_attempts, fence, trace_parent
                """, cancellationToken);
        }, cancellationToken);
    }

    /// <summary>Looked at outside a transaction first: an idle queue costs no write.</summary>
    protected Task<bool> HasDueAsync(IReadOnlyCollection<string> kinds, DateTime now, CancellationToken ct) => db.Value.FindAsync<bool>($"""
        select exists (select 1 from jobs_queue where kind in ({Among(kinds)})
            and (state = 'available' and run_at <= {now} or state = 'running' and lease_until <= {now}))
        """, ct);

    /// <summary>A job that took its worker down with every attempt it had must not do so for ever.</summary>
    protected static Sql Discard(DateTime now) => $"""
        update jobs_queue set state = 'discarded', lease_until = null, finished_at = {now}, error = 'Its worker died in each of its attempts.'
        where state = 'running' and lease_until <= {now} and attempt >= max_attempts
        """;

    protected static Sql Among(IReadOnlyCollection<string> kinds)
    {
        Sql among = $"";
        foreach (var (i, kind) in kinds.Index())
            among.Append(i == 0 ? (Sql)$"{kind}" : $", {kind}");
        return among;
    }

    public async Task<bool> RenewAsync(ClaimedJob job, TimeSpan lease, double? progress, string? message, CancellationToken cancellationToken) =>
        await db.Value.ExecuteAsync($"""
            update jobs_queue set lease_until = {clock.UtcNow() + lease}, progress = coalesce({progress}, progress), message = coalesce({message}, message)
            where id = {job.Id} and fence = {job.Fence} and state = 'running'
            """, cancellationToken) == 1;

    public async Task<bool> CompleteAsync(Transaction tx, ClaimedJob job, CancellationToken cancellationToken) =>
        await tx.ExecuteAsync($"""
            update jobs_queue set state = 'completed', progress = 1, error = null, lease_until = null, finished_at = {clock.UtcNow()}
            where id = {job.Id} and fence = {job.Fence} and state = 'running'
            """, cancellationToken) == 1;

    public async Task<bool> FailAsync(ClaimedJob job, string error, DateTime? runAt, CancellationToken cancellationToken) =>
        await db.Value.ExecuteAsync($"""
            update jobs_queue set state = {(runAt is null ? "discarded" : "available")}, run_at = coalesce({runAt}, run_at), error = {error},
                lease_until = null, worker = null, finished_at = {(runAt is null ? clock.UtcNow() : (DateTime?)null)}
            where id = {job.Id} and fence = {job.Fence} and state = 'running'
            """, cancellationToken) == 1;

    public Task ReturnAsync(ClaimedJob job, CancellationToken cancellationToken) =>
        db.Value.ExecuteAsync($"""
            update jobs_queue set state = 'available', attempt = attempt - 1, lease_until = null, worker = null
            where id = {job.Id} and fence = {job.Fence} and state = 'running'
            """, cancellationToken);

    public async Task<bool> CancelAsync(Guid id, CancellationToken cancellationToken) =>
        await db.Value.ExecuteAsync($"""
            update jobs_queue set state = 'cancelled', lease_until = null, finished_at = {clock.UtcNow()}
            where id = {id} and state in ('available', 'running')
            """, cancellationToken) == 1;

    public Task<JobView?> FindAsync(Guid id, CancellationToken cancellationToken) =>
        db.Value.FindAsync<JobView>($"select {Sql.Raw(ViewColumns)} from jobs_queue where id = {id}", cancellationToken);

    public Task<List<JobView>> ListAsync(string? state, int skip, int limit, CancellationToken cancellationToken) =>
        db.Value.ListAsync<JobView>($"""
            select {Sql.Raw(ViewColumns)} from jobs_queue {(state is null ? Sql.Raw("") : $"where state = {state}")} order by id desc limit {limit} offset {skip}
            """, cancellationToken);

    // One server runs on a data directory (serve.lock): whatever another worker holds was left by one that died.
    public virtual async Task<int> RecoverAsync(string worker, CancellationToken cancellationToken) =>
        // It is asked for every second and finds none as a rule, which costs no write.
        await db.Value.FindAsync<bool>($"select exists (select 1 from jobs_queue where state = 'running' and worker <> {worker} and lease_until > {clock.UtcNow()})", cancellationToken)
            ? await db.Value.ExecuteAsync($"update jobs_queue set lease_until = {clock.UtcNow()} where state = 'running' and worker <> {worker}", cancellationToken)
            : 0;

    public Task<long> WaitAsync(long seen, CancellationToken cancellationToken) =>
        signal.WaitAsync(seen, TimeSpan.FromMilliseconds(500), cancellationToken);
}
