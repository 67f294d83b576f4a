using Tandem.Core.Data;

namespace Tandem.Core.Jobs;

/// <summary>Deletes jobs that finished longer ago than <see cref="JobWorkerOptions.Retention"/>.</summary>
sealed class JobSweep(Db db, JobWorkerOptions options, TimeProvider clock) : Sweep(clock)
{
    protected override Task<int> DeleteAsync(CancellationToken ct)
    {
        var before = Clock.UtcNow() - options.Retention;
        // What finished before then was created before then, and an id begins with its time: the primary key finds the few that are old.
        var id = Guid.CreateVersion7(new DateTimeOffset(before, TimeSpan.Zero));
        return db.ExecuteAsync($"""
            delete from jobs_queue where id in (select id from jobs_queue where id < {id} and finished_at <= {before} order by id limit {BatchSize})
            """, ct);
    }
}
