using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Microsoft.Net.Http.Headers;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Core.Jobs;
using Tandem.Users.Audit;
using Tandem.Users.Organisations;
using Tandem.Users.SecondSteps;

namespace Tandem.Users.MyData;

/// <summary>What a person may ask of whoever holds data on him (GDPR, articles 15, 17 and 20): to see it all, to take it along, to have it erased.</summary>
static class MyDataEndpoints
{
    public static void MapMyData(this IEndpointRouteBuilder routes)
    {
        var user = routes.MapGroup("/users/{id}").WithTags("My data");
        user.MapPost("export", Export).WithSummary("Collect all that is held on a person, as a job").FreshSignIn()
            .Answers(UserProblems.NotYours, UserProblems.SessionWanted, UserProblems.NotFound, HttpProblems.TooManyRequests);
        user.MapGet("export", Download).WithSummary("The export that is ready, as one JSON document").FreshSignIn()
            .Produces(StatusCodes.Status200OK, contentType: "application/json").Answers(UserProblems.NotYours, UserProblems.SessionWanted, UserProblems.NoExport);
        user.MapPost("erasure", Erase).WithSummary("Erase all that is held on a person and delete the account, as a job").FreshSignIn()
            .Answers(UserProblems.NotYours, UserProblems.SessionWanted, UserProblems.NotFound, UserProblems.LastAdministrator, UserProblems.LastOwner);
    }

    static async Task<Results<Accepted<JobView>, ProblemResult>> Export(long id, Caller caller, MyDataRequests requests, UserTable users, IJobQueue queue, HttpContext context, CancellationToken ct)
    {
        if (await RefuseAsync(id, caller, users, ct) is { } refusal)
            return refusal;
        return await requests.ExportAsync(id, context) switch { (_, { } often) => often, var (job, _) => await AcceptAsync(job, queue, ct) };
    }

    static async Task<IResult> Download(long id, Caller caller, UserTable users, Exports exports, HttpContext context, CancellationToken ct)
    {
        if (await RefuseAsync(id, caller, users, ct) is { } refusal)
            return refusal;
        if (await exports.FindAsync(id, ct) is not { } export)
            return Problem.Of(UserProblems.NoExport);
        return Send(id, export, exports, context);
    }

    static async Task<Results<Accepted<JobView>, ProblemResult>> Erase(long id, Caller caller, Origin origin, MyDataRequests requests, UserTable users, IJobQueue queue, CancellationToken ct)
    {
        if (await RefuseAsync(id, caller, users, ct) is { } refusal)
            return refusal;
        return await AcceptAsync(await requests.EraseAsync(id, origin, ct), queue, ct);
    }

    static async Task<ProblemResult?> RefuseAsync(long id, Caller caller, UserTable users, CancellationToken ct)
    {
        if (!caller.May(UserEndpoints.Write))
        {
            if (caller.AccountId != id)
                return Problem.Of(UserProblems.NotYours);
            if (KeyEndpoints.NotInPerson(caller) is { } refusal)
                return Problem.Of(refusal);
        }

        return await users.FindAsync(id, ct) is null ? Problem.Of(UserProblems.NotFound) : null;
    }

    static async Task<Accepted<JobView>> AcceptAsync(Guid job, IJobQueue queue, CancellationToken ct) => TypedResults.Accepted($"/jobs/{job}", await queue.FindAsync(job, ct));

    /// <summary>An export as a file.</summary>
    public static IResult Send(long id, ReadyExport export, Exports exports, HttpContext context)
    {
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers.ContentDisposition = new ContentDispositionHeaderValue("attachment") { FileName = $"account-{id}.json" }.ToString();
        context.Response.ContentLength = export.Length;
        return Results.Stream(to => exports.WriteAsync(export, to, context.RequestAborted), "application/json");
    }
}

/// <summary>What a person, or an administrator for him, asks for: both are jobs, and asked for twice each is the same one until it has ended.</summary>
sealed class MyDataRequests(Db db, IRateLimits limits)
{
    const int ExportsPerDay = 10;

    /// <returns>The job, or why there is none.</returns>
    public async Task<(Guid Job, ProblemResult? Refusal)> ExportAsync(long id, HttpContext context) =>
        await limits.RefuseAsync(context, "export", $"{id}", ExportsPerDay, TimeSpan.FromDays(1), "This account's data was collected too often today; try again after the time in Retry-After.") is { } often
            ? (Guid.Empty, often)
            : (await EnqueueAsync(new ExportData(id, Origin.Of(context)), id, context.RequestAborted), null);

    /// <returns>The job.</returns>
    /// <exception cref="ProblemException">It is the last active administrator, or the last owner of an organisation that others belong to.</exception>
    public async Task<Guid> EraseAsync(long id, Origin origin, CancellationToken ct)
    {
        // The job asks again, when it comes to the account; but nothing may be lost before.
        await db.InTransactionAsync(async tx =>
        {
            if (await tx.FindAsync<Account>(UserTable.Locked(id), ct) is { } account)
                await UserTable.KeepAnAdministratorAsync(tx, account, ct);
            await OrganisationTable.KeepOwnersAsync(tx, id, ct);
        }, ct);
        return await EnqueueAsync(new EraseAccount(id, origin), id, ct);
    }

    Task<Guid> EnqueueAsync<TJob>(TJob job, long accountId, CancellationToken ct) where TJob : class =>
        db.InTransactionAsync(tx => tx.EnqueueAsync(job, new JobOptions { UniqueKey = $"{accountId}", AccountId = accountId }, CancellationToken.None), ct);
}
