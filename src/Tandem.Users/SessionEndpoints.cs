using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Users;

static class SessionEndpoints
{
    const string ByOthers = "ended by an administrator";

    public static void MapSessions(this IEndpointRouteBuilder routes)
    {
        var own = routes.MapGroup("/sessions").WithTags("Sessions").InPerson();
        own.MapGet("", List).WithSummary("Where you are signed in, the last used first").Paged();
        own.MapDelete("", EndAll).WithSummary("Sign out everywhere; except=current: everywhere else");
        own.MapDelete("{id}", End).WithSummary("End one of your sessions; your own: sign out").Answers(UserProblems.SessionNotFound);

        var others = routes.MapGroup("/users/{id}/sessions").WithTags("Sessions");
        others.MapGet("", ListOf).WithSummary("Where a user is signed in").RequireScope(UserEndpoints.Read).Paged().Answers(UserProblems.NotFound);
        others.MapDelete("", EndAllOf).WithSummary("Sign a user out everywhere").RequireScope(UserEndpoints.Write).Answers(UserProblems.NotFound);
    }

    static async Task<Ok<SessionView[]>> List(Caller caller, Sessions sessions, HttpContext context, TimeProvider clock,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, Paging.MaxLimit)] int limit = Paging.DefaultLimit, CancellationToken ct = default) =>
        TypedResults.Ok(await PageAsync(caller.AccountId, caller, sessions, context, clock, skip, limit, ct));

    static async Task<NoContent> EndAll(Caller caller, Origin origin, Sessions sessions, TimeProvider clock, [AllowedValues(null, "current")] string? except = null,
        CancellationToken ct = default)
    {
        await sessions.EndAllAsync(caller.AccountId, except is null ? null : caller.SessionId, Sessions.ByOwner, origin, clock.UtcNow(), ct);
        return TypedResults.NoContent();
    }

    static async Task<Results<NoContent, ProblemResult>> End(Guid id, Caller caller, Origin origin, Sessions sessions, TimeProvider clock, CancellationToken ct) =>
        await sessions.EndAsync(caller.AccountId, id, Sessions.ByOwner, origin, clock.UtcNow(), ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.SessionNotFound);

    static async Task<Results<Ok<SessionView[]>, ProblemResult>> ListOf(long id, Caller caller, UserTable users, Sessions sessions, HttpContext context, TimeProvider clock,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, Paging.MaxLimit)] int limit = Paging.DefaultLimit, CancellationToken ct = default) =>
        await users.FindAsync(id, ct) is null
            ? Problem.Of(UserProblems.NotFound)
            : TypedResults.Ok(await PageAsync(id, caller, sessions, context, clock, skip, limit, ct));

    static async Task<Results<NoContent, ProblemResult>> EndAllOf(long id, Origin origin, UserTable users, Sessions sessions, TimeProvider clock, CancellationToken ct)
    {
        if (await users.FindAsync(id, ct) is null)
            return Problem.Of(UserProblems.NotFound);
        await sessions.EndAllAsync(id, null, ByOthers, origin, clock.UtcNow(), ct);
        return TypedResults.NoContent();
    }

    static async Task<SessionView[]> PageAsync(long accountId, Caller caller, Sessions sessions, HttpContext context, TimeProvider clock, int skip, int limit, CancellationToken ct)
    {
        var (page, total) = await sessions.ListAsync(accountId, skip, limit, clock.UtcNow(), ct);
        Paging.Describe(context, skip, limit, total);
        return [.. page.Select(s => new SessionView(s.Id, s.ClientId, s.ImpersonatorId, s.UserAgent, ClientNetwork.Of(s.Address), s.CreatedAt, s.LastUsedAt, s.Id == caller.SessionId))];
    }
}

/// <summary>A session: one sign-in, with all the tokens that came of it.</summary>
/// <param name="Id">Its tokens carry it as <c>sid</c>.</param>
/// <param name="Client">The client that was signed in to; null for a sign-in here.</param>
/// <param name="ImpersonatedBy">The administrator who acts as the person; null for the person's own.</param>
/// <param name="Device">What it was opened with, such as <c>Firefox on Linux</c>; null when that is not known.</param>
/// <param name="Network">Where it was opened from, the last part left out: <c>192.0.2.0/24</c>, <c>2001:db8:1:2::/64</c>.</param>
/// <param name="CreatedAt">UTC.</param>
/// <param name="LastUsedAt">UTC, up to a minute late.</param>
/// <param name="Current">It is the one of this very request.</param>
public sealed record SessionView(Guid Id, string? Client, long? ImpersonatedBy, string? Device, string? Network, DateTime CreatedAt, DateTime LastUsedAt, bool Current);
