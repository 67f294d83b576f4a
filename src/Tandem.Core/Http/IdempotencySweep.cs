using Microsoft.Extensions.Hosting;
using Tandem.Core.Data;

namespace Tandem.Core.Http;

/// <summary>Deletes the idempotency keys that have expired, a bounded number at a time, so that no writer waits long for it.</summary>
sealed class IdempotencySweep(Db db, TimeProvider clock) : BackgroundService
{
    const int BatchSize = 500;

    static readonly TimeSpan Every = TimeSpan.FromMinutes(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Every, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            try
            {
                while (await SweepAsync(stoppingToken) == BatchSize)
                {
                }
            }
            catch (StoreUnavailableException)
            {
                // Readiness and the log say so; what has expired can wait for the next time.
            }
    }

    internal Task<int> SweepAsync(CancellationToken ct) => db.ExecuteAsync($"""
        delete from core_idempotency where (scope, key) in (
            select scope, key from core_idempotency where expires_at <= {clock.UtcNow()} order by expires_at limit {BatchSize})
        """, ct);
}
