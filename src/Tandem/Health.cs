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
    internal static readonly byte[] Alive = """{"status":"healthy"}"""u8.ToArray();

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
        var underway = services.GetRequiredService<ChecksUnderway>();
        var results = await Task.WhenAll(checks.Index().Select(c =>
            CheckAsync(c.Item.Name, (s, _) => underway.Join(c.Index, () => c.Item.Check(s, CancellationToken.None)), services, ct)));
        // What is degraded still answers: taking its processes out of service would make an outage of it.
        var ready = results.All(r => r.Status != "unavailable");
        if (!ready)
            context.Response.Headers.RetryAfter = "1";
        var roles = services.GetService<IReadOnlyList<RoleDestinations>>()?.Where(r => r.HasEndpoints).Select(Of) ?? [];
        CheckView[] all = [.. results, .. roles];
        var status = !ready ? "unavailable" : all.All(r => r.Status == "healthy") ? "ready" : "degraded";
        return Results.Json(new ReadyView(status, all), statusCode: ready ? 200 : 503);
    }

    /// <summary>A gateway without one of its roles still has all the others, and is worth as much as they are: degraded at worst.</summary>
    static CheckView Of(RoleDestinations role)
    {
        var (all, fit) = (role.All.Count, role.All.Count(d => d.Fitness == Fitness.Ready));
        var reason = role.Addresses.Count == 0 ? $"No address is known: set {role.Setting}."
            : all == 0 ? $"The names in {role.Setting} cannot be resolved."
            // Anyone may read this: which address is not to be had stands in the log.
            : fit < all ? $"{fit} of {all} processes can be used; tandem doctor, with the settings of this gateway, names the others."
            : null;
        return new CheckView($"role {role.Role}", reason is null ? "healthy" : "degraded", 0, reason);
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
            (status, reason) = ("unavailable", $"{name} did not answer within {CheckTimeout.TotalSeconds} seconds: look at its load and at the network to it.");
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

/// <summary>
/// The checks that have not ended. Balancers ask every second, and a check of a store that is silent takes long: were each to begin its own,
/// they would have every connection of the pool before long.
/// </summary>
sealed class ChecksUnderway
{
    readonly Dictionary<int, Task> _checks = [];

    /// <returns>The one of this number that is under way, or a new one.</returns>
    public Task Join(int number, Func<Task> begin)
    {
        lock (_checks)
            return _checks.TryGetValue(number, out var known) && !known.IsCompleted ? known : _checks[number] = begin();
    }
}

/// <summary>The answer of <c>GET /health</c>.</summary>
/// <param name="Status">Always "healthy".</param>
public sealed record AliveView(string Status);

/// <summary>The answer of <c>GET /health/ready</c>.</summary>
/// <param name="Status">"ready"; "degraded" when something is away and requests are answered all the same; "unavailable", and "draining" before a stop, with 503.</param>
/// <param name="Checks">Each store and module, and each role that a gateway forwards to.</param>
public sealed record ReadyView(string Status, IReadOnlyList<CheckView> Checks);

/// <summary>One check.</summary>
/// <param name="Name">What was checked.</param>
/// <param name="Status">"healthy", "degraded" or "unavailable".</param>
/// <param name="Milliseconds">How long it took.</param>
/// <param name="Reason">Why it is not healthy, and what to do.</param>
public sealed record CheckView(string Name, string Status, double Milliseconds, string? Reason);
