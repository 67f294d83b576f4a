using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.SecondSteps;
using Tandem.Users.Tokens;

namespace Tandem.Users;

/// <summary>An administrator acts as a person, for support: for a while, with a reason, and everybody can see who it was.</summary>
static class ImpersonationEndpoints
{
    const string Over = "impersonation ended by an administrator";

    public static void MapImpersonation(this IEndpointRouteBuilder routes)
    {
        var person = routes.MapGroup("/users/{id}/impersonation").WithTags("Impersonation").RequireAdministrator();
        person.MapPost("", Begin).WithSummary("A token to act as a person with, for a while and with a reason; the person is told").InPerson().FreshSignIn()
            .Answers(UserProblems.NotFound, UserProblems.NotImpersonated, UserProblems.ImpersonationOff);
        person.MapDelete("", End).WithSummary("End every impersonation of a person").Answers(UserProblems.NotFound);
    }

    static async Task<Results<Ok<ImpersonationToken>, ProblemResult>> Begin(long id, NewImpersonation asked, Caller caller, Origin origin, UsersOptions options, Impersonations impersonations,
        AccessTokens tokens, TimeProvider clock, HttpContext context, CancellationToken ct)
    {
        if (options.ImpersonationLifetime == TimeSpan.Zero)
            return Problem.Of(UserProblems.ImpersonationOff);
        var longest = (int)options.ImpersonationLifetime.TotalSeconds;
        if (asked.ExpiresIn > longest)
            return Problem.Invalid("expires_in", $"must be at most {longest} (Users:ImpersonationLifetime)");
        var (now, lifetime) = (clock.UtcNow(), TimeSpan.FromSeconds(asked.ExpiresIn ?? longest));
        var session = await impersonations.BeginAsync(id, asked.Reason, lifetime, caller, origin, now, ct);
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Ok(new ImpersonationToken(await tokens.MakeAsync(session, now, lifetime, ct), "Bearer", (int)lifetime.TotalSeconds, session.Id));
    }

    static async Task<Results<NoContent, ProblemResult>> End(long id, Origin origin, UserTable users, Impersonations impersonations, TimeProvider clock, CancellationToken ct)
    {
        if (await users.FindAsync(id, ct) is null)
            return Problem.Of(UserProblems.NotFound);
        await impersonations.EndAsync(id, Over, origin, clock.UtcNow(), ct);
        return TypedResults.NoContent();
    }
}

/// <summary>Sessions that administrators have as somebody else.</summary>
sealed class Impersonations(Db db, Sessions sessions, AuditTrail trail, Ownership ownership, UsersOptions options)
{
    /// <summary>Opens a session as <paramref name="id"/>, which ends with the administrator's own. It has no refresh token.</summary>
    /// <exception cref="ProblemException">users/not-found, users/not-impersonated; http/unauthorized when the administrator's own session has ended meanwhile.</exception>
    public Task<Session> BeginAsync(long id, string reason, TimeSpan lifetime, Caller administrator, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        // Both rows are held until the commit: whoever ends the one session or changes the other account comes before, and is seen here, or after, and ends this session.
        if (await tx.ExecuteAsync($"update users_sessions set is_parent = {true} where id = {administrator.SessionId} and ended_at is null", ct) == 0)
            throw new ProblemException(HttpProblems.Unauthorized);
        if (await tx.FindAsync<Account>(UserTable.Locked(id), ct) is not { } account)
            throw new ProblemException(UserProblems.NotFound);
        if (id == administrator.AccountId || account.IsAdministrator || !account.IsActive)
            throw new ProblemException(UserProblems.NotImpersonated);
        var session = Guid.CreateVersion7(now);
        await tx.ExecuteAsync($"""
            insert into users_sessions (id, account_id, impersonator_id, parent_id, user_agent, generation, rotated_at, created_at, authenticated_at, last_used_at, expires_at, access_until)
            values ({session}, {id}, {administrator.AccountId}, {administrator.SessionId}, {origin.UserAgent}, 0, {now}, {now}, {now}, {now}, {now + lifetime}, {now + lifetime + Sessions.Margin})
            """, ct);
        await trail.AddAsync(tx, AuditEvents.Impersonated, origin, id, now, reason, session);
        if (options.TellImpersonated)
            await ownership.NoticeAsync(tx, account.Email, now, "impersonated", ("minutes", $"{Math.Ceiling(lifetime.TotalMinutes)}"), ("reason", reason));
        return new Session(session, id, 0, IsAdministrator: false, null, now, null) { ImpersonatorId = administrator.AccountId };
    }, ct);

    /// <summary>Ends those that are as this account.</summary>
    public Task EndAsync(long id, string reason, Origin origin, DateTime now, CancellationToken ct) =>
        db.InTransactionAsync(tx => sessions.EndAsync(tx, $"account_id = {id} and impersonator_id is not null", reason, origin, now, ct), ct);
}

/// <summary>Why somebody is to be impersonated, and for how long.</summary>
/// <param name="Reason">Why, for the audit trail and for the person: a ticket's number, a sentence. 3 to 200 characters.</param>
/// <param name="ExpiresIn">Seconds; 60 up to <c>Users:ImpersonationLifetime</c>, which is the default.</param>
public sealed record NewImpersonation([NotBlank, MinLength(3), MaxLength(200)] string Reason, [Range(60, 3600)] int? ExpiresIn = null);

/// <summary>What an administrator acts as a person with.</summary>
/// <param name="AccessToken">As the person's own, but for what is dangerous, and with <c>act</c>.</param>
/// <param name="TokenType">Always <c>Bearer</c>.</param>
/// <param name="ExpiresIn">Seconds; there is no refresh token.</param>
/// <param name="SessionId">As the token's <c>sid</c> and the rows of the audit trail have it.</param>
public sealed record ImpersonationToken(string AccessToken, string TokenType, int ExpiresIn, Guid SessionId);
