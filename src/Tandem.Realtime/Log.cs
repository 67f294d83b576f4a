using Microsoft.Extensions.Logging;

namespace Tandem.Realtime;

/// <summary>Every log line of the realtime module: 5000–5099.</summary>
static partial class Log
{
    [LoggerMessage(5001, LogLevel.Debug, "A socket was gone before it could be closed: {Reason}")]
    public static partial void SocketGone(this ILogger logger, string reason);
}
