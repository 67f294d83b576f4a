using Tandem.Core.Data;

namespace Tandem.Core.Jobs;

/// <summary>A job that a worker has claimed.</summary>
/// <param name="Id">The job's id (version 7).</param>
/// <param name="Kind">Wire name, see <see cref="JobAttribute"/>.</param>
/// <param name="Payload">JSON, snake_case.</param>
/// <param name="Attempt">1 for the first.</param>
/// <param name="MaxAttempts">The last attempt there will be.</param>
/// <param name="Fence">Grows with every claim; the store takes a result only from the claim it belongs to.</param>
/// <param name="TraceParent">W3C trace context of who enqueued it, or null.</param>
public sealed record ClaimedJob(Guid Id, string Kind, string Payload, int Attempt, int MaxAttempts, long Fence, string? TraceParent);

/// <summary>The state of a job as people see it.</summary>
/// <param name="Id">The job's id.</param>
/// <param name="Kind">Wire name.</param>
/// <param name="State">available, running, completed, discarded or cancelled.</param>
/// <param name="Attempt">How often it was started.</param>
/// <param name="MaxAttempts">The last attempt there will be.</param>
/// <param name="Progress">0 to 1, when the job reports it.</param>
/// <param name="Message">What it is doing, when it says so.</param>
/// <param name="Error">The last failure, in one line.</param>
/// <param name="AccountId">Whose job it is.</param>
/// <param name="RunAt">Not before, UTC.</param>
/// <param name="CreatedAt">UTC.</param>
/// <param name="FinishedAt">UTC.</param>
public sealed record JobView(Guid Id, string Kind, string State, int Attempt, int MaxAttempts, double? Progress, string? Message, string? Error,
    long? AccountId, DateTime RunAt, DateTime CreatedAt, DateTime? FinishedAt);

/// <summary>The durable queue: a committed job is run to its end at least once, a rolled-back one never; two live owners never both complete it.</summary>
public interface IJobQueue
{
    /// <summary>Adds a job within a transaction; see <see cref="Transaction.EnqueueAsync"/>.</summary>
    Task<Guid> EnqueueAsync(Transaction tx, string kind, string payload, JobOptions options, CancellationToken cancellationToken);

    /// <summary>Claims up to <paramref name="count"/> due jobs for <paramref name="lease"/>; expired leases of others are claimed too.</summary>
    Task<List<ClaimedJob>> ClaimAsync(string worker, IReadOnlyCollection<string> kinds, int count, TimeSpan lease, CancellationToken cancellationToken);

    /// <summary>Extends the lease. False: the job belongs to someone else now, or was cancelled; stop working on it.</summary>
    Task<bool> RenewAsync(ClaimedJob job, TimeSpan lease, double? progress, string? message, CancellationToken cancellationToken);

    /// <summary>Marks the job as done in the transaction of its effect. False: the lease was lost; the transaction must not commit.</summary>
    Task<bool> CompleteAsync(Transaction tx, ClaimedJob job, CancellationToken cancellationToken);

    /// <summary>Gives the job back for later with its error, or discards it when <paramref name="runAt"/> is null.</summary>
    Task<bool> FailAsync(ClaimedJob job, string error, DateTime? runAt, CancellationToken cancellationToken);

    /// <summary>Gives the job back with the attempt unspent, as a stopping process does.</summary>
    Task ReturnAsync(ClaimedJob job, CancellationToken cancellationToken);

    /// <summary>Cancels a job that has not finished. False: there is none.</summary>
    Task<bool> CancelAsync(Guid id, CancellationToken cancellationToken);

    /// <summary>The state of a job, or null.</summary>
    Task<JobView?> FindAsync(Guid id, CancellationToken cancellationToken);

    /// <summary>Jobs, newest first; of one state when it is given.</summary>
    Task<List<JobView>> ListAsync(string? state, int skip, int limit, CancellationToken cancellationToken);

    /// <summary>Says that a worker is alive, and frees what other workers held when they died, without waiting for their leases to run out.</summary>
    /// <returns>How many jobs were freed.</returns>
    Task<int> RecoverAsync(string worker, CancellationToken cancellationToken);

    /// <summary>Returns when jobs may have been added since <paramref name="seen"/>, at the latest after half a second.</summary>
    /// <param name="seen">What the last call returned; 0 at first.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    Task<long> WaitAsync(long seen, CancellationToken cancellationToken);
}
