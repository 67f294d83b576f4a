using Microsoft.AspNetCore.Http;

namespace Tandem.Transport;

/// <summary>
/// Takes a request from the event loop to the pool, and all it waits for on its connection. In front of everything that may wait, even for a
/// moment: on the loop thousands of other connections would wait with it.
/// </summary>
/// <param name="stays">Which requests may go on where they are: what comes next never blocks a thread for them.</param>
sealed class OffLoop(RequestDelegate next, Func<HttpContext, bool> stays)
{
    public Task InvokeAsync(HttpContext context) =>
        context.Features.Get<ILoopFeature>() is { StaysOnLoop: true } connection && !stays(context) ? LeaveAsync(context, connection) : next(context);

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
}
