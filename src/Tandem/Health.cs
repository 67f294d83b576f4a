using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Roles;

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
        health.MapGet("ready", Ready).WithSummary("Every store, and at a gateway every role, by name: can it be used?").Produces<ReadyView>().Produces<ReadyView>(503);
    }

    static async Task<IResult> Ready(Db db, Parts parts, Drain drain, IServiceProvider services, HttpContext context, CancellationToken ct)
    {
        if (drain.HasBegun)
            return Results.Json(new ReadyView("draining", []), statusCode: 503);
        var checks = new List<(string Name, Func<IServiceProvider, CancellationToken, Task> Check)> { (db.Engine, (_, c) => db.CheckAsync(c)) };
        checks.AddRange(parts.Checks);
        var results = await Task.WhenAll(checks.Select(c => CheckAsync(c.Name, c.Check, services, ct)));
        var ready = results.All(r => r.Status == "healthy");
        if (!ready)
            context.Response.Headers.RetryAfter = "1";
        var roles = services.GetService<IReadOnlyList<RoleDestinations>>()?.Select(Of).ToList() ?? [];
        // A gateway without one of its roles still has all the others: to be taken out for it would take them away as well.
        var status = !ready ? "unavailable" : roles.Any(r => r.Status == "unavailable") ? "degraded" : "ready";
        return Results.Json(new ReadyView(status, [.. results, .. roles]), statusCode: ready ? 200 : 503);
    }

    static CheckView Of(RoleDestinations role)
    {
        var (all, fit) = (role.All.Count, role.All.Count(d => d.Fitness == Fitness.Ready));
        var reason = role.Addresses.Count == 0 ? $"No address is known: set {role.Setting}."
            : all == 0 ? $"The names in {role.Setting} cannot be resolved."
            // Anyone may read this: which address is not to be had stands in the log.
            : fit < all ? $"{fit} of {all} processes can be used."
            : null;
        return new CheckView($"role {role.Role}", fit > 0 ? "healthy" : "unavailable", 0, reason);
    }

    internal static async Task<CheckView> CheckAsync(string name, Func<IServiceProvider, CancellationToken, Task> check, IServiceProvider services, CancellationToken ct)
    {
        var started = Stopwatch.GetTimestamp();
        string? reason = null;
        try
        {
            await Task.Run(() => check(services, ct), ct).WaitAsync(CheckTimeout, ct);
        }
        catch (TimeoutException)
        {
            reason = $"{name} did not answer within {CheckTimeout.TotalSeconds} seconds.";
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            reason = e.Message;
        }

        return new CheckView(name, reason is null ? "healthy" : "unavailable", Math.Round(Stopwatch.GetElapsedTime(started).TotalMilliseconds, 2), reason);
    }
}

/// <summary>The answer of <c>GET /health</c>.</summary>
/// <param name="Status">Always "healthy".</param>
public sealed record AliveView(string Status);

/// <summary>The answer of <c>GET /health/ready</c>.</summary>
/// <param name="Status">"ready"; "degraded" where a gateway misses a role; "unavailable"; "draining" before a stop.</param>
/// <param name="Checks">Each store and module, and each role that a gateway forwards to.</param>
public sealed record ReadyView(string Status, IReadOnlyList<CheckView> Checks);

/// <summary>One check.</summary>
/// <param name="Name">What was checked.</param>
/// <param name="Status">"healthy" or "unavailable".</param>
/// <param name="Milliseconds">How long it took.</param>
/// <param name="Reason">Why it is unavailable, and what to do; of a role also which of its processes are not to be had.</param>
public sealed record CheckView(string Name, string Status, double Milliseconds, string? Reason);
