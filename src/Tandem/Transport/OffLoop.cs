using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Tandem.Transport;

/// <summary>
/// Takes a request from the event loop to the pool, and all it waits for on its connection. In front of everything that may wait, even for a
/// moment: on the loop thousands of other connections would wait with it.
/// </summary>
/// <param name="stays">Which requests may go on where they are: what comes next never blocks a thread for them.</param>
sealed partial class OffLoop(RequestDelegate next, Func<HttpContext, bool> stays, ILogger<OffLoop> logger)
{
    // A thousand times what is promised: a busy machine that lets the thread stand for a moment is not taken for it.
    static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(50);
    static readonly TimeSpan WarningInterval = TimeSpan.FromMinutes(1);

    long _warnedAt;

    public Task InvokeAsync(HttpContext context) => context.Features.Get<ILoopFeature>() is { StaysOnLoop: true } connection
        ? stays(context) ? Stay(context) : LeaveAsync(context, connection)
        : next(context);

    async Task LeaveAsync(HttpContext context, ILoopFeature connection)
    {
        connection.StaysOnLoop = false;
        try
        {
            if (EventLoop.IsCurrent)
                await Task.Yield();
            await next(context);
        }
        finally
        {
            connection.StaysOnLoop = true;
        }
    }

    Task Stay(HttpContext context)
    {
        var started = Stopwatch.GetTimestamp();
        var answer = next(context);
        var took = Stopwatch.GetElapsedTime(started);
        if (took > Patience && EventLoop.IsCurrent)
            Warn(context, took);
        return answer;
    }

    void Warn(HttpContext context, TimeSpan took)
    {
        var before = Volatile.Read(ref _warnedAt);
        if ((before == 0 || Stopwatch.GetElapsedTime(before) > WarningInterval) && Interlocked.CompareExchange(ref _warnedAt, Stopwatch.GetTimestamp(), before) == before)
            Blocked(logger, context.GetEndpoint()?.DisplayName ?? context.Request.Path, took.TotalMilliseconds);
    }

    [LoggerMessage(1121, LogLevel.Warning, "{Endpoint} held the thread of an event loop for {Milliseconds:0} ms, and other connections waited: what may block must not say NeverBlocks()")]
    static partial void Blocked(ILogger logger, string endpoint, double milliseconds);
}
