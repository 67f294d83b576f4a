using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Tandem.Core.Contracts;
using Tandem.Core.Data;

namespace Tandem.Core.Jobs;

/// <summary>A person's jobs, and the answers that are kept for repeated requests.</summary>
sealed class JobsOfPeople(Db db, IJobQueue queue) : IPersonalData
{
    const int Page = 500;

    public string Name => "core";

    public async IAsyncEnumerable<PersonalRecord> ReadAsync(long accountId, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        for (var last = Guid.Empty; ;)
        {
            var page = await db.ListAsync<Held>($"""
                select id, kind, payload, state, created_at, finished_at from jobs_queue where account_id = {accountId} and id > {last} order by id limit {Page}
                """, cancellationToken);
            foreach (var job in page)
                yield return new("jobs", new { job.Id, job.Kind, Payload = JsonElement.Parse(job.Payload), job.State, job.CreatedAt, job.FinishedAt });
            if (page.Count < Page)
                break;
            last = page[^1].Id;
        }

        foreach (var kept in await db.ListAsync<Kept>($"select key, result, expires_at from core_idempotency where scope = {Scope(accountId)}", cancellationToken))
            yield return new("idempotency_keys", new { kept.Key, Result = kept.Result is null ? (JsonElement?)null : JsonElement.Parse(kept.Result), kept.ExpiresAt });
    }

    public async Task EraseAsync(long accountId, CancellationToken cancellationToken)
    {
        // What still runs would write again: all but this very erasure is stopped first.
        foreach (var id in await db.ListAsync<Guid>($"""
            select id from jobs_queue where account_id = {accountId} and state in ('available', 'running') and kind <> {ErasureKind}
            """, cancellationToken))
            await queue.CancelAsync(id, cancellationToken);
        await db.InTransactionAsync(async tx =>
        {
            await tx.ExecuteAsync($"delete from jobs_queue where account_id = {accountId} and state not in ('available', 'running')", CancellationToken.None);
            await tx.ExecuteAsync($"delete from core_idempotency where scope = {Scope(accountId)}", CancellationToken.None);
        }, cancellationToken);
    }

    // The job that erases an account, of the users module.
    const string ErasureKind = "users.erase";

    static string Scope(long accountId) => accountId.ToString(CultureInfo.InvariantCulture);

    sealed record Held(Guid Id, string Kind, string Payload, string State, DateTime CreatedAt, DateTime? FinishedAt);

    sealed record Kept(string Key, string? Result, DateTime ExpiresAt);
}
