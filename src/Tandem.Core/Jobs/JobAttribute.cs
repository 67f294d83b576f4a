using System.Collections.Concurrent;
using System.Reflection;

namespace Tandem.Core.Jobs;

/// <summary>Gives a job its fixed wire name, such as <c>reports.rebuild-signups</c>.</summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class JobAttribute(string name) : Attribute
{
    /// <summary>The wire name.</summary>
    public string Name { get; } = name;
}

/// <summary>When and how often a job runs.</summary>
public sealed record JobOptions
{
    /// <summary>Now, priority 0, eight attempts.</summary>
    public static JobOptions Default { get; } = new();

    /// <summary>Not before this long from now. Default: at once.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>Lower runs first; default 0; −100 to 100.</summary>
    public int Priority { get; init; }

    /// <summary>Attempts before the job is discarded; default 8.</summary>
    public int MaxAttempts { get; init; } = 8;

    /// <summary>While a job of the same kind with this key is available or running, enqueueing another gives that one.</summary>
    public string? UniqueKey { get; init; }

    /// <summary>Whose job it is; that account may see its progress.</summary>
    public long? AccountId { get; init; }
}

/// <summary>Does jobs of one type; made by the container for each run.</summary>
public interface IJobHandler<T> where T : class
{
    /// <summary>
    /// Does the work. It may run again after a crash or an exception, so its effects are either idempotent or written by
    /// <see cref="JobRun{T}.CompleteAsync"/>, in the transaction that completes the job.
    /// </summary>
    /// <param name="run">The job and the way to report progress.</param>
    /// <param name="cancellationToken">Set when the process stops, the job is cancelled or its lease is lost.</param>
    Task RunAsync(JobRun<T> run, CancellationToken cancellationToken);
}

sealed record JobType(string Name)
{
    static readonly ConcurrentDictionary<Type, JobType> Known = new();

    public static JobType Of(Type type) => Known.GetOrAdd(type, static t => new JobType(t.GetCustomAttribute<JobAttribute>()?.Name
        ?? throw new InvalidOperationException($"{t.Name} is no job: give it [Job(\"module.what-to-do\")].")));
}
