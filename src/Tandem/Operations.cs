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
    static readonly Problem EventNotFound = new("events/not-found", 404, "This consumer has set no event aside at this position.");
    static readonly Problem JobNotFound = new("jobs/not-found", 404, "Job not found");
    static readonly Problem JobFinished = new("jobs/finished", 409, "The job has finished; it cannot be cancelled any more.");

    public static void Map(IEndpointRouteBuilder routes)
    {
        var events = routes.MapGroup("/events").WithTags("Events").RequireAdministrator();
        events.MapGet("consumers", Consumers).WithSummary("Consumers with their position and how far they are behind");
        events.MapGet("parked", Parked).WithSummary("Events that a consumer could not handle, and those that wait behind them");
        events.MapPost("parked/{consumer}/{position:long}/retry", Retry).WithSummary("Try a parked event again now").Answers(EventNotFound);
        events.MapPost("parked/{consumer}/{position:long}/skip", Skip).WithSummary("Drop a parked event for this consumer; its key goes on").Answers(EventNotFound);

        var jobs = routes.MapGroup("/jobs").WithTags("Jobs");
        jobs.MapGet("", Jobs).WithSummary("Jobs, newest first").RequireAdministrator();
        jobs.MapGet("{id:guid}", Job).WithSummary("A job, for the person whose job it is").Answers(JobNotFound);
        jobs.MapPost("{id:guid}/cancel", Cancel).WithSummary("Cancel a job that has not finished").Answers(JobNotFound, JobFinished);
    }

    static async Task<Ok<ConsumerView[]>> Consumers(IEventLog log, Db db, CancellationToken ct)
    {
        var head = await log.HeadAsync(ct);
        var rows = await db.ListAsync<(string Consumer, long Position, long SetAside)>($"""
            select p.consumer, p.position, (select count(*) from events_set_aside s where s.consumer = p.consumer) as set_aside
            from events_positions p order by p.consumer
            """, ct);
        return TypedResults.Ok(rows.Select(r => new ConsumerView(r.Consumer, r.Position, head, r.SetAside)).ToArray());
    }

    static async Task<Ok<List<SetAsideView>>> Parked(Db db, [Range(0, int.MaxValue)] int skip = 0, [Range(1, 100)] int limit = 50, CancellationToken ct = default) =>
        TypedResults.Ok(await db.ListAsync<SetAsideView>($"""
            select s.consumer, s.position, l.id as event_id, l.name as event, s.key, s.state, s.attempts, s.error, s.next_attempt_at
            from events_set_aside s join events_log l on l.position = s.position
            order by s.consumer, s.position limit {limit} offset {skip}
            """, ct));

    static async Task<Results<NoContent, ProblemResult>> Retry(string consumer, long position, Db db, TimeProvider clock, CancellationToken ct) =>
        await db.ExecuteAsync($"""
            update events_set_aside set state = 'retrying', attempts = 0, next_attempt_at = {clock.UtcNow()}
            where consumer = {consumer} and position = {position}
            """, ct) == 1 ? TypedResults.NoContent() : Problem.Of(EventNotFound);

    static async Task<Results<NoContent, ProblemResult>> Skip(string consumer, long position, Db db, CancellationToken ct) =>
        await db.ExecuteAsync($"delete from events_set_aside where consumer = {consumer} and position = {position}", ct) == 1
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

/// <summary>A consumer of the event log.</summary>
/// <param name="Consumer">Its name.</param>
/// <param name="Position">The last event it has dealt with.</param>
/// <param name="Head">The newest event of the log.</param>
/// <param name="SetAside">Events that failed, and those of their keys that wait.</param>
public sealed record ConsumerView(string Consumer, long Position, long Head, long SetAside);

/// <summary>An event that a consumer could not handle yet.</summary>
/// <param name="Consumer">The consumer.</param>
/// <param name="Position">The event's place in the log.</param>
/// <param name="EventId">The event's id.</param>
/// <param name="Event">Its wire name.</param>
/// <param name="Key">What it is about; later events of this key wait.</param>
/// <param name="State">retrying, parked, or waiting behind another of its key.</param>
/// <param name="Attempts">How often it was tried.</param>
/// <param name="Error">The last failure.</param>
/// <param name="NextAttemptAt">UTC.</param>
public sealed record SetAsideView(string Consumer, long Position, Guid EventId, string Event, string Key, string State, int Attempts, string? Error, DateTime NextAttemptAt);
