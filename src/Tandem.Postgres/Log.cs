using Microsoft.Extensions.Logging;

namespace Tandem.Postgres;

/// <summary>Every log line of the PostgreSQL adapter: 6000–6099.</summary>
static partial class Log
{
    [LoggerMessage(6001, LogLevel.Information, "{Count} migrations brought the database to this program's schema")]
    public static partial void Migrated(this ILogger logger, int count);

    [LoggerMessage(6002, LogLevel.Error, "What follows a committed transaction failed; the transaction itself is kept")]
    public static partial void AfterCommitFailed(this ILogger logger, Exception e);

    [LoggerMessage(6003, LogLevel.Warning, "The session that held {Count} locks is gone; other processes take over: {Reason}")]
    public static partial void LocksLost(this ILogger logger, int count, string reason);

    [LoggerMessage(6004, LogLevel.Warning, "Other processes were not told of new work and find it within half a second: {Reason}")]
    public static partial void NotNotified(this ILogger logger, string reason);

    [LoggerMessage(6005, LogLevel.Warning, "Not listening for wake-ups of other processes; looking twice a second instead: {Reason}")]
    public static partial void NotListening(this ILogger logger, string reason);

    [LoggerMessage(6006, LogLevel.Warning, "Committed events wait in the outbox: {Reason}")]
    public static partial void NotSequenced(this ILogger logger, string reason);

    [LoggerMessage(6007, LogLevel.Warning, "Waiting for the database before serving: {Reason}")]
    public static partial void WaitsForServer(this ILogger logger, string reason);
}
