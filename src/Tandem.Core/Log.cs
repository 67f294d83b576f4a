using Microsoft.Extensions.Logging;

namespace Tandem.Core;

/// <summary>Every log line of the core: 1000–1099.</summary>
static partial class Log
{
    [LoggerMessage(1001, LogLevel.Error, "A batch of {Count} transactions could not be committed; none of them was kept")]
    public static partial void WriteFailed(this ILogger logger, int count, Exception e);

    [LoggerMessage(1002, LogLevel.Error, "What was to happen after a commit failed")]
    public static partial void AfterCommitFailed(this ILogger logger, Exception e);

    [LoggerMessage(1003, LogLevel.Information, "Database migrated: {Scripts} scripts")]
    public static partial void Migrated(this ILogger logger, int scripts);

    [LoggerMessage(1010, LogLevel.Warning, "Consumer {Consumer} could not handle event {EventId} (attempt {Attempt}); its key waits, others go on")]
    public static partial void EventFailed(this ILogger logger, string consumer, Guid eventId, int attempt, Exception e);

    [LoggerMessage(1011, LogLevel.Error, "Consumer {Consumer} parked event {EventId} after {Attempts} attempts: retry or skip it under /events/parked")]
    public static partial void EventParked(this ILogger logger, string consumer, Guid eventId, int attempts);

    [LoggerMessage(1012, LogLevel.Error, "The loop of consumer {Consumer} failed and starts again")]
    public static partial void ConsumerFailed(this ILogger logger, string consumer, Exception e);

    [LoggerMessage(1020, LogLevel.Warning, "Job {JobId} ({Kind}) failed in attempt {Attempt} and runs again at {RunAt}")]
    public static partial void JobRetried(this ILogger logger, Guid jobId, string kind, int attempt, DateTime runAt, Exception e);

    [LoggerMessage(1021, LogLevel.Error, "Job {JobId} ({Kind}) is discarded after {Attempts} attempts")]
    public static partial void JobDiscarded(this ILogger logger, Guid jobId, string kind, int attempts, Exception? e);

    [LoggerMessage(1022, LogLevel.Warning, "Job {JobId} ({Kind}) lost its lease; its result is not kept")]
    public static partial void JobLeaseLost(this ILogger logger, Guid jobId, string kind);

    [LoggerMessage(1023, LogLevel.Error, "The job worker failed and starts again")]
    public static partial void WorkerFailed(this ILogger logger, Exception e);

    [LoggerMessage(1024, LogLevel.Information, "{Count} jobs of a worker that is gone are taken up again")]
    public static partial void JobsRecovered(this ILogger logger, int count);

    [LoggerMessage(1030, LogLevel.Error, "{Method} {Path} failed; trace {TraceId}")]
    public static partial void RequestFailed(this ILogger logger, string method, string path, string traceId, Exception e);

    [LoggerMessage(1031, LogLevel.Warning, "{Store} is unavailable: {Reason}")]
    public static partial void StoreUnavailable(this ILogger logger, string store, string reason, Exception? e);

    [LoggerMessage(1032, LogLevel.Error, "What listens on the channel {Channel} could not handle a message")]
    public static partial void MessageNotHandled(this ILogger logger, string channel, Exception e);
}
