using Microsoft.Extensions.Logging;

namespace Tandem.Redis;

/// <summary>Every log line of the Redis adapter: 6200–6299.</summary>
static partial class Log
{
    [LoggerMessage(6201, LogLevel.Warning, "Redis does not answer; until it does every process counts limits and caches by itself: {Reason}")]
    public static partial void RedisAway(this ILogger logger, string reason);

    [LoggerMessage(6202, LogLevel.Information, "Redis answers again")]
    public static partial void RedisBack(this ILogger logger);
}
