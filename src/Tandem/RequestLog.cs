using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Tandem;

/// <summary>One line per request: method, path (never the query: it may hold a token), status and time.</summary>
sealed partial class RequestLog(RequestDelegate next, ILogger<RequestLog> logger)
{
    public Task InvokeAsync(HttpContext context)
    {
        // Probes ask every second and say nothing.
        if (!logger.IsEnabled(LogLevel.Information) || context.Request.Path.Value is "/health" or "/health/ready" or "/metrics")
            return next(context);
        return LogAsync(context);
    }

    async Task LogAsync(HttpContext context)
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            await next(context);
        }
        finally
        {
            Answered(logger, context.Request.Method, context.Request.Path, context.Response.StatusCode, Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        }
    }

    [LoggerMessage(1101, LogLevel.Information, "{Method} {Path} {Status} {Milliseconds:0.0} ms")]
    static partial void Answered(ILogger logger, string method, PathString path, int status, double milliseconds);
}
