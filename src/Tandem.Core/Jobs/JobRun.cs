using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Core.Jobs;

/// <summary>One run of a job, as its handler sees it.</summary>
public sealed class JobRun<T> where T : class
{
    readonly JobLease _lease;

    internal JobRun(T job, JobLease lease) => (Job, _lease) = (job, lease);

    /// <summary>What was enqueued.</summary>
    public T Job { get; }

    /// <summary>The job's id.</summary>
    public Guid Id => _lease.Job.Id;

    /// <summary>1 for the first run.</summary>
    public int Attempt => _lease.Job.Attempt;

    /// <summary>Shows how far the job is; cheap, stored with the next heartbeat (at the latest after ten seconds).</summary>
    /// <param name="progress">0 to 1.</param>
    /// <param name="message">What it is doing.</param>
    public void Report(double progress, string? message = null) => _lease.Report(Math.Clamp(progress, 0, 1), message);

    /// <summary>Writes the job's effect and completes it in one transaction: the effect happens once, whatever crashes.</summary>
    /// <exception cref="OperationCanceledException">The lease was lost or the job cancelled; nothing was written.</exception>
    public Task CompleteAsync(Func<Transaction, Task> effect) => _lease.CompleteAsync(effect);
}

/// <summary>The worker's hold on a claimed job.</summary>
sealed class JobLease(ClaimedJob job, Db db, IJobQueue queue)
{
    public ClaimedJob Job => job;
    public double? Progress { get; private set; }
    public string? Message { get; private set; }
    public bool Completed { get; private set; }

    public void Report(double progress, string? message) => (Progress, Message) = (progress, message ?? Message);

    public async Task CompleteAsync(Func<Transaction, Task> effect)
    {
        await db.InTransactionAsync(async tx =>
        {
            if (!await queue.CompleteAsync(tx, job, CancellationToken.None))
                throw new OperationCanceledException($"Job {job.Id} was cancelled or belongs to another worker now.");
            await effect(tx);
        });
        Completed = true;
    }
}

/// <summary>The kinds of job that the modules of this process can do.</summary>
sealed class JobRegistry
{
    readonly Dictionary<string, Func<IServiceProvider, JobLease, CancellationToken, Task>> _handlers = [];

    public IReadOnlyCollection<string> Kinds => _handlers.Keys;

    public void Add<TJob, THandler>() where TJob : class where THandler : class, IJobHandler<TJob> =>
        _handlers.Add(JobType.Of(typeof(TJob)).Name, static async (services, lease, ct) =>
        {
            var job = JsonSerializer.Deserialize<TJob>(lease.Job.Payload, Json.Stored)
                ?? throw new JsonException($"Job {lease.Job.Id} has an empty payload.");
            await ActivatorUtilities.GetServiceOrCreateInstance<THandler>(services).RunAsync(new JobRun<TJob>(job, lease), ct);
        });

    public Task RunAsync(IServiceProvider services, JobLease lease, CancellationToken ct) => _handlers[lease.Job.Kind](services, lease, ct);
}
