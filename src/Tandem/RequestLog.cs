using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Tandem.Core.Http;

namespace Tandem;

/// <summary>
/// One line per request: method, path (never the query: it may hold a token), status and time; the same in the metrics; and the trace it belongs to.
/// </summary>
sealed partial class RequestLog(RequestDelegate next, ILogger<RequestLog> logger)
{
    // Probes ask every second and say nothing; among the durations they would hide what clients wait.
    public Task InvokeAsync(HttpContext context) => context.Request.Path.Value is "/health" ? next(context) : AnswerAsync(context);

    async Task AnswerAsync(HttpContext context)
    {
        var (started, metrics) = (Stopwatch.GetTimestamp(), RequestMetrics.Begin(context));
        var saysSomething = context.Request.Path.Value is not ("/health/ready" or "/metrics");
        // There is one already where traces are recorded.
        using var activity = saysSomething && Activity.Current is null ? Begin(context.Request.Headers) : null;
        Exception? failure = null;
        try
        {
            await next(context);
            WholeAnswer.End(context);
        }
        catch (Exception e)
        {
            failure = e;
            WholeAnswer.BreakOff(context);
            throw;
        }
        finally
        {
            var took = Stopwatch.GetElapsedTime(started);
            metrics?.End(took, failure);
            if (saysSomething)
                Answered(logger, context.Request.Method, context.Request.Path, context.Response.StatusCode, took.TotalMilliseconds);
        }
    }

    /// <summary>Gives the request its trace id, the caller's if it has one, for problems, logs, events and the services that it asks.</summary>
    static Activity Begin(IHeaderDictionary headers)
    {
        var activity = new Activity("request");
        if (ActivityContext.TryParse(headers.TraceParent, headers.TraceState, isRemote: true, out var caller))
        {
            activity.SetParentId(caller.TraceId, caller.SpanId, caller.TraceFlags);
            activity.TraceStateString = caller.TraceState;
        }

        return activity.Start();
    }

    [LoggerMessage(1101, LogLevel.Information, "{Method} {Path} {Status} {Milliseconds:0.0} ms")]
    static partial void Answered(ILogger logger, string method, PathString path, int status, double milliseconds);
}
