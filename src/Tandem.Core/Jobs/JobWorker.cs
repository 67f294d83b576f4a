using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Configuration;
using Tandem.Core.Data;

namespace Tandem.Core.Jobs;

/// <summary>Runs due jobs beside each other, renews their leases, and gives them back when the process stops.</summary>
sealed class JobWorker(
    Db db, IJobQueue queue, JobRegistry registry, IServiceScopeFactory scopes, JobWorkerOptions options, TimeProvider clock,
    ILogger<JobWorker> logger) : BackgroundService
{
    static readonly TimeSpan RecoverInterval = TimeSpan.FromSeconds(1);

    readonly string _name = $"{Environment.MachineName}/{Environment.ProcessId}/{Guid.NewGuid():n}";

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (registry.Kinds.Count == 0)
            return;
        var running = new HashSet<Task>();
        var (seen, recovered) = (0L, 0L);
        while (!stoppingToken.IsCancellationRequested)
            try
            {
                running.RemoveWhere(t => t.IsCompleted);
                if (recovered == 0 || clock.GetElapsedTime(recovered) > RecoverInterval)
                {
                    if (await queue.RecoverAsync(_name, stoppingToken) is > 0 and var count)
                        logger.JobsRecovered(count);
                    recovered = clock.GetTimestamp();
                }

                var free = options.Concurrency - running.Count;
                var claimed = free > 0 ? await queue.ClaimAsync(_name, registry.Kinds, free, options.Lease, stoppingToken) : [];
                foreach (var job in claimed)
                    running.Add(Task.Run(() => RunAsync(job, stoppingToken), CancellationToken.None));
                if (claimed.Count == 0)
                    seen = running.Count >= options.Concurrency
                        ? await Task.WhenAny(running).ContinueWith(_ => seen, stoppingToken)
                        : await queue.WaitAsync(seen, stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                break;
            }
            catch (Exception e)
            {
                logger.WorkerFailed(e);
                await Task.Delay(TimeSpan.FromSeconds(1), clock, CancellationToken.None);
            }

        await Task.WhenAll(running);
    }

    async Task RunAsync(ClaimedJob job, CancellationToken stopping)
    {
        using var activity = Telemetry.Source.StartActivity($"job {job.Kind}", ActivityKind.Consumer, job.TraceParent);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var lease = new JobLease(job, db, queue);
        var heartbeat = HeartbeatAsync(lease, stop);
        try
        {
            await using var scope = scopes.CreateAsyncScope();
            await registry.RunAsync(scope.ServiceProvider, lease, stop.Token);
            if (!lease.Completed)
                await lease.CompleteAsync(_ => Task.CompletedTask);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            await queue.ReturnAsync(job, CancellationToken.None);
        }
        catch (OperationCanceledException e) when (stop.IsCancellationRequested || e.CancellationToken == default)
        {
            logger.JobLeaseLost(job.Id, job.Kind);
        }
        catch (Exception e) when (!lease.Completed)
        {
            await FailAsync(job, e);
        }
        finally
        {
            await stop.CancelAsync();
            await heartbeat;
        }
    }

    async Task FailAsync(ClaimedJob job, Exception e)
    {
        if (job.Attempt >= job.MaxAttempts)
        {
            if (await queue.FailAsync(job, e.Message, null, CancellationToken.None))
                logger.JobDiscarded(job.Id, job.Kind, job.Attempt, e);
            return;
        }

        // Full jitter: a random time up to a bound that doubles, so that what failed together does not come back together.
        var bound = Math.Min(options.RetryCap.TotalSeconds, options.RetryBase.TotalSeconds * Math.Pow(2, job.Attempt - 1));
        var runAt = clock.UtcNow() + TimeSpan.FromSeconds(bound * Random.Shared.NextDouble());
        if (await queue.FailAsync(job, e.Message, runAt, CancellationToken.None))
            logger.JobRetried(job.Id, job.Kind, job.Attempt, runAt, e);
    }

    async Task HeartbeatAsync(JobLease lease, CancellationTokenSource stop)
    {
        try
        {
            while (true)
            {
                await Task.Delay(options.Lease / 3, clock, stop.Token);
                if (!lease.Completed && !await queue.RenewAsync(lease.Job, options.Lease, lease.Progress, lease.Message, stop.Token))
                    await stop.CancelAsync();
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The job has ended, or has lost its lease.
        }
        catch (Exception e)
        {
            // Without a heartbeat the lease runs out and another worker takes the job: stop before that.
            logger.WorkerFailed(e);
            await stop.CancelAsync();
        }
    }
}

/// <summary>Settings of the job worker, section <c>Jobs</c>.</summary>
public sealed class JobWorkerOptions
{
    /// <summary>How many jobs run beside each other in this process. Default 10; 1 to 1000.</summary>
    [Range(1, 1000)]
    public int Concurrency { get; set; } = 10;

    /// <summary>How long a job belongs to a worker that gives no sign of life. Default 30 seconds; 3 seconds to 1 hour.</summary>
    [TimeRange("00:00:03", "01:00:00")]
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The first retry comes within this time; the bound doubles with each attempt. Default 2 seconds; 1 ms to 1 hour.</summary>
    [TimeRange("00:00:00.001", "01:00:00")]
    public TimeSpan RetryBase { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>No retry waits longer. Default 10 minutes; 1 second to 1 day.</summary>
    [TimeRange("00:00:01", "1.00:00:00")]
    public TimeSpan RetryCap { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How long a job is kept when it has been completed, cancelled or discarded. Default 30 days; 1 hour to 3650 days.</summary>
    [TimeRange("01:00:00", "3650.00:00:00")]
    public TimeSpan Retention { get; set; } = TimeSpan.FromDays(30);
}
