using Microsoft.Extensions.Logging;

namespace Tandem.Redis;

/// <summary>Every log line of the Redis adapter: 6200–6299.</summary>
static partial class Log
{
    [LoggerMessage(6201, LogLevel.Warning, "Redis does not answer; limits and caches are each process's own until it does: {Reason}")]
    public static partial void RedisAway(this ILogger logger, string reason);

    [LoggerMessage(6202, LogLevel.Information, "Redis answers again")]
    public static partial void RedisBack(this ILogger logger);

    [LoggerMessage(6203, LogLevel.Warning, "Not listening to the other processes: {Reason}")]
    public static partial void NotListening(this ILogger logger, string reason);

    [LoggerMessage(6204, LogLevel.Error, "What listens on {Channel} failed")]
    public static partial void HandlerFailed(this ILogger logger, string channel, Exception e);
}
