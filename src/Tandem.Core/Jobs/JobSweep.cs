using Microsoft.Extensions.Hosting;
using Tandem.Core.Data;

namespace Tandem.Core.Jobs;

/// <summary>Deletes jobs that finished longer ago than <see cref="JobWorkerOptions.Retention"/>, a bounded number at a time, so that no writer waits long for it.</summary>
sealed class JobSweep(Db db, JobWorkerOptions options, TimeProvider clock) : BackgroundService
{
    const int BatchSize = 500;

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
        var before = clock.UtcNow() - options.Retention;
        // What finished before then was created before then, and an id begins with its time: the primary key finds the few that are old.
        var id = Guid.CreateVersion7(new DateTimeOffset(before, TimeSpan.Zero));
        while (await db.ExecuteAsync($"""
            delete from jobs_queue where id in (select id from jobs_queue where id < {id} and finished_at <= {before} order by id limit {BatchSize})
            """, ct) == BatchSize)
        {
        }
    }
}
