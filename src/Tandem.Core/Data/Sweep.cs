using Microsoft.Extensions.Hosting;

namespace Tandem.Core.Data;

/// <summary>Deletes what is not wanted any more, once a minute and a bounded number at a time, so that no writer waits long for it.</summary>
abstract class Sweep(TimeProvider clock) : BackgroundService
{
    /// <summary>How many rows go at once.</summary>
    protected const int BatchSize = 500;

    protected TimeProvider Clock => clock;

    static readonly TimeSpan Every = TimeSpan.FromMinutes(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Every, clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            try
            {
                await SweepAsync(stoppingToken);
            }
            catch (StoreUnavailableException)
            {
                // Readiness and the log say so; what is old can wait for the next time.
            }
    }

    internal async Task SweepAsync(CancellationToken ct)
    {
        while (await DeleteAsync(ct) == BatchSize)
        {
        }
    }

    /// <summary>Deletes up to <see cref="BatchSize"/>.</summary>
    /// <returns>How many it were.</returns>
    protected abstract Task<int> DeleteAsync(CancellationToken ct);
}
