using Tandem.Core.Data;

namespace Tandem.Core.Http;

/// <summary>Deletes the idempotency keys that have expired.</summary>
sealed class IdempotencySweep(Db db, TimeProvider clock) : Sweep(clock)
{
    protected override Task<int> DeleteAsync(CancellationToken ct) => db.ExecuteAsync($"""
        delete from core_idempotency where (scope, key) in (
            select scope, key from core_idempotency where expires_at <= {Clock.UtcNow()} order by expires_at limit {BatchSize})
        """, ct);
}
