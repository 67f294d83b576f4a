using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Http;
using Tandem.Core.Jobs;

namespace Tandem;

/// <summary>What an operator sees and does about events and jobs.</summary>
static class Operations
{
    static readonly Problem EventNotFound = new("events/not-found", 404, "This consumer has set no such event aside.");
    static readonly Problem JobNotFound = new("jobs/not-found", 404, "Job not found");
    static readonly Problem JobFinished = new("jobs/finished", 409, "The job has finished; it cannot be cancelled any more.");

    public static void Map(IEndpointRouteBuilder routes)
    {
        var events = routes.MapGroup("/events").WithTags("Events").RequireAdministrator();
        events.MapGet("consumers", Consumers).WithSummary("Consumers and how far they are behind");
        events.MapGet("parked", Parked).WithSummary("Events that a consumer could not handle, and those that wait behind them");
        events.MapPost("parked/{consumer}/{event_id:guid}/retry", Retry).WithSummary("Try a parked event again now").Answers(EventNotFound);
        events.MapPost("parked/{consumer}/{event_id:guid}/skip", Skip).WithSummary("Drop a parked event for this consumer; its key goes on").Answers(EventNotFound);

        var jobs = routes.MapGroup("/jobs").WithTags("Jobs");
        jobs.MapGet("", Jobs).WithSummary("Jobs, newest first").RequireAdministrator();
        jobs.MapGet("{id:guid}", Job).WithSummary("A job, for the person whose job it is").Answers(JobNotFound);
        jobs.MapPost("{id:guid}/cancel", Cancel).WithSummary("Cancel a job that has not finished").Answers(JobNotFound, JobFinished);
    }

    static async Task<Ok<List<ConsumerView>>> Consumers(ConsumerProgress progress, CancellationToken ct) =>
        TypedResults.Ok(await progress.ListAsync(ct));

    static async Task<Ok<List<SetAsideView>>> Parked(Db db, [Range(0, int.MaxValue)] int skip = 0, [Range(1, 100)] int limit = 50, CancellationToken ct = default) =>
        TypedResults.Ok(await db.ListAsync<SetAsideView>($"""
            select consumer, event_id, name as event, key, state, attempts, error, next_attempt_at
            from events_set_aside order by consumer, partition, position limit {limit} offset {skip}
            """, ct));

    static async Task<Results<NoContent, ProblemResult>> Retry(string consumer, [FromPath(Name = "event_id")] Guid eventId, Db db, TimeProvider clock, CancellationToken ct) =>
        await db.ExecuteAsync($"""
            update events_set_aside set state = 'retrying', attempts = 0, next_attempt_at = {clock.UtcNow()}
            where consumer = {consumer} and event_id = {eventId}
            """, ct) == 1 ? TypedResults.NoContent() : Problem.Of(EventNotFound);

    static async Task<Results<NoContent, ProblemResult>> Skip(string consumer, [FromPath(Name = "event_id")] Guid eventId, Db db, CancellationToken ct) =>
        await db.ExecuteAsync($"delete from events_set_aside where consumer = {consumer} and event_id = {eventId}", ct) == 1
            ? TypedResults.NoContent()
            : Problem.Of(EventNotFound);

    static async Task<Ok<List<JobView>>> Jobs(IJobQueue queue,
        [AllowedValues(null, "available", "running", "completed", "discarded", "cancelled")] string? state = null,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, 100)] int limit = 50, CancellationToken ct = default) =>
        TypedResults.Ok(await queue.ListAsync(state, skip, limit, ct));

    // Another person's job is answered like one that does not exist.
    static async Task<Results<Ok<JobView>, ProblemResult>> Job(Guid id, Caller caller, IJobQueue queue, CancellationToken ct) =>
        await queue.FindAsync(id, ct) is { } job && (caller.IsAdministrator || job.AccountId == caller.AccountId)
            ? TypedResults.Ok(job)
            : Problem.Of(JobNotFound);

    static async Task<Results<NoContent, ProblemResult>> Cancel(Guid id, Caller caller, IJobQueue queue, CancellationToken ct)
    {
        if (await queue.FindAsync(id, ct) is not { } job || !(caller.IsAdministrator || job.AccountId == caller.AccountId))
            return Problem.Of(JobNotFound);
        return await queue.CancelAsync(id, ct) ? TypedResults.NoContent() : Problem.Of(JobFinished);
    }
}

/// <summary>An event that a consumer could not handle yet.</summary>
/// <param name="Consumer">The consumer.</param>
/// <param name="EventId">The event's id.</param>
/// <param name="Event">Its wire name.</param>
/// <param name="Key">What it is about; later events of this key wait.</param>
/// <param name="State">retrying, parked, or waiting behind another of its key.</param>
/// <param name="Attempts">How often it was tried.</param>
/// <param name="Error">The last failure.</param>
/// <param name="NextAttemptAt">UTC.</param>
public sealed record SetAsideView(string Consumer, Guid EventId, string Event, string Key, string State, int Attempts, string? Error, DateTime NextAttemptAt);
