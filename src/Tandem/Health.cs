using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Data;

namespace Tandem;

/// <summary>Is the process alive, and can it do its work?</summary>
static class Health
{
    static readonly byte[] Alive = """{"status":"healthy"}"""u8.ToArray();

    /// <summary>How long one check may take before it counts as failed: probes usually give up after a second or a few.</summary>
    static readonly TimeSpan CheckTimeout = TimeSpan.FromSeconds(2);

    /// <summary>GET /health in front of routing: the most asked question gets the shortest way.</summary>
    public static Task AnswerAlive(HttpContext context, RequestDelegate next)
    {
        if (context.Request.Path.Value != "/health" || context.Request.Method is not ("GET" or "HEAD"))
            return next(context);
        var response = context.Response;
        response.ContentType = "application/json";
        response.ContentLength = Alive.Length;
        if (context.Request.Method == "HEAD")
            return Task.CompletedTask;
        response.BodyWriter.Write(Alive);
        return Task.CompletedTask;
    }

    static void Write(this System.IO.Pipelines.PipeWriter writer, ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(writer.GetSpan(bytes.Length));
        writer.Advance(bytes.Length);
    }

    public static void Map(IEndpointRouteBuilder routes)
    {
        var health = routes.MapGroup("/health").WithTags("Health").AllowAnonymous();
        // Answered by AnswerAlive; mapped so that it stands in the documentation and other methods get 405.
        health.MapGet("", () => new AliveView("healthy")).WithSummary("The process is alive").Produces<AliveView>();
        health.MapGet("ready", Ready).WithSummary("Every store by name: can it be used?").Produces<ReadyView>().Produces<ReadyView>(503);
    }

    static async Task<IResult> Ready(Db db, Parts parts, IServiceProvider services, HttpContext context, CancellationToken ct)
    {
        var checks = new List<(string Name, Func<IServiceProvider, CancellationToken, Task> Check)> { (db.Engine, (_, c) => db.CheckAsync(c)) };
        checks.AddRange(parts.Checks);
        var results = await Task.WhenAll(checks.Select(c => CheckAsync(c.Name, c.Check, services, ct)));
        // What is degraded still answers: taking its processes out of service would make an outage of it.
        var ready = results.All(r => r.Status != "unavailable");
        if (!ready)
            context.Response.Headers.RetryAfter = "1";
        var status = !ready ? "unavailable" : results.All(r => r.Status == "healthy") ? "ready" : "degraded";
        return Results.Json(new ReadyView(status, results), statusCode: ready ? 200 : 503);
    }

    internal static async Task<CheckView> CheckAsync(string name, Func<IServiceProvider, CancellationToken, Task> check, IServiceProvider services, CancellationToken ct)
    {
        var started = Stopwatch.GetTimestamp();
        var (status, reason) = ("healthy", (string?)null);
        try
        {
            await Task.Run(() => check(services, ct), ct).WaitAsync(CheckTimeout, ct);
        }
        catch (TimeoutException)
        {
            (status, reason) = ("unavailable", $"{name} did not answer within {CheckTimeout.TotalSeconds} seconds.");
        }
        catch (DegradedException e)
        {
            (status, reason) = ("degraded", e.Message);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            (status, reason) = ("unavailable", e.Message);
        }

        return new CheckView(name, status, Math.Round(Stopwatch.GetElapsedTime(started).TotalMilliseconds, 2), reason);
    }
}

/// <summary>The answer of <c>GET /health</c>.</summary>
/// <param name="Status">Always "healthy".</param>
public sealed record AliveView(string Status);

/// <summary>The answer of <c>GET /health/ready</c>.</summary>
/// <param name="Status">"ready"; "degraded" when something is away and requests are answered all the same; "unavailable" with 503.</param>
/// <param name="Checks">Each store and module.</param>
public sealed record ReadyView(string Status, IReadOnlyList<CheckView> Checks);

/// <summary>One check.</summary>
/// <param name="Name">What was checked.</param>
/// <param name="Status">"healthy", "degraded" or "unavailable".</param>
/// <param name="Milliseconds">How long it took.</param>
/// <param name="Reason">Why it is not healthy, and what to do.</param>
public sealed record CheckView(string Name, string Status, double Milliseconds, string? Reason);
