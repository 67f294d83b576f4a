using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
using Tandem.Users.Listing;
using Tandem.Users.Mailing;
using Tandem.Users.SecondSteps;
using Tandem.Users.Tickets;

namespace Tandem.Users;

static class UserEndpoints
{
    public const string Read = "users:read";
    public const string Write = "users:write";

    public static void MapUsers(this IEndpointRouteBuilder routes)
    {
        var users = routes.MapGroup("/users").WithTags("Users");
        users.MapPost("", Register).WithSummary("Sign up").AllowAnonymous()
            .Answers(UserProblems.EmailTaken, UserProblems.SignUpClosed, HttpProblems.TooManyRequests, UserProblems.Busy);
        users.MapGet("", List).WithSummary("Every user, by id, or those that are asked for; X-Total-Count and Link tell what else there is").RequireScope(Read)
            .Answers(UserProblems.ListParameter, UserProblems.SearchNotReady);
        users.MapGet("{id}", Get).WithSummary("A user: yourself, or anyone for administrators and the scope users:read").Answers(UserProblems.NotYours, UserProblems.NotFound);
        users.MapPatch("{id}", Change).WithSummary("Change the fields that are sent").Answers(UserProblems.NotYours, UserProblems.NotFound, UserProblems.LastAdministrator);
        users.MapDelete("{id}", Delete).WithSummary("Delete an account with its sessions and keys").FreshSignIn().Answers(UserProblems.NotYours, UserProblems.SessionWanted, UserProblems.NotFound, UserProblems.LastAdministrator, UserProblems.LastOwner);
    }

    static async Task<Results<Created<UserView>, ProblemResult>> Register(NewUser user, IdempotencyKey? key, HttpContext context, UsersOptions options,
        MailOptions mail, UserTable users, Passwords passwords, CommonPasswordCheck common, IRateLimits limits, SignInLimits signIns, ITokenVerifier tokens, TimeProvider clock, CancellationToken ct)
    {
        var origin = Origin.Of(context);
        // The endpoint is open to anyone, so nobody has looked at a token yet; one that is sent lifts the limits of sign-up.
        if (await Caller.OfAsync(context, tokens) is { } caller && caller.May(Write))
            origin = origin.As(caller.AccountId, caller.SessionId);
        else
        {
            if (!options.SignUp)
                return Problem.Of(UserProblems.SignUpClosed);
            if (await limits.RefuseAsync(context, "sign-up", ClientAddress.Of(context), options.SignUpsPerMinutePerAddress, TimeSpan.FromMinutes(1),
                "Too many sign-ups from this address; try again after the time in Retry-After.") is { } refusal)
                return refusal;
        }

        common.Refuse(user.Password);
        // Asked before the expensive hash; the insert below decides. Of a repetition the e-mail is taken: by itself.
        if (key is null && await users.FindAsync(user.Email, ct) is not null)
            return Problem.Of(UserProblems.EmailTaken);
        var hash = await passwords.HashAsync(user.Password, ct);
        if (await users.RegisterAsync(key?.About(user.Email, user.Name), user, hash, clock.UtcNow(), origin, options.Verification(mail) == EmailVerification.Off ? null : MailedEndpoints.RequestOf(context), ct) is not { } registered)
            return Problem.Of(UserProblems.EmailTaken);
        if (registered.PasswordHash != hash && await RefuseAsync(context, user, registered, passwords, signIns, ct) is { } unlike)
            return unlike;
        return TypedResults.Created($"/users/{registered.Account.Id}", UserView.Of(registered.Account));
    }

    /// <summary>A repetition must also have the first one's password; whoever tries others is limited like at a sign-in.</summary>
    static async Task<ProblemResult?> RefuseAsync(HttpContext context, NewUser user, Registered registered, Passwords passwords, SignInLimits signIns, CancellationToken ct)
    {
        var attempt = await signIns.TakeAsync(ClientAddress.Of(context), user.Email, () => Task.FromResult(false));
        if (attempt.Limit is { Allowed: false } limit)
            throw SignInLimits.TooMany(limit, "attempts at this account");
        if (!await passwords.VerifyAsync(user.Password, registered.PasswordHash, ct))
            return Problem.Of(HttpProblems.IdempotencyKeyReused);
        if (attempt.SucceededAsync is { } succeeded)
            await succeeded();
        return null;
    }

    /// <param name="q">What e-mail or name must contain.</param>
    /// <param name="match">contains (unless told) or prefix: where q must stand in them.</param>
    /// <param name="sort">id, email or created_at; with a minus the other way round. Default id, and created_at where a created_… is sent.</param>
    /// <param name="cursor">Empty for the first page; then the one of the Link with rel=next.</param>
    /// <param name="isActive">true or false.</param>
    /// <param name="role">administrator or person.</param>
    /// <param name="verified">true or false: was the e-mail confirmed?</param>
    /// <param name="createdFrom">Made at this day or time, UTC, or after it.</param>
    /// <param name="createdBefore">Made before this day or time, UTC.</param>
    static async Task<Ok<UserView[]>> List(AccountList accounts, HttpContext context, string? q = null, string? match = null, string? sort = null, string? cursor = null,
        [FromQuery(Name = "is_active")] string? isActive = null, string? role = null, string? verified = null,
        [FromQuery(Name = "created_from")] string? createdFrom = null, [FromQuery(Name = "created_before")] string? createdBefore = null,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, Paging.MaxLimit)] int limit = Paging.DefaultLimit, CancellationToken ct = default)
    {
        var query = ListQuery.Parse(q, match, sort, cursor, isActive, role, verified, createdFrom, createdBefore, skip);
        var (page, total, next) = await accounts.ReadAsync(query, skip, limit, ct);
        Paging.Describe(context, skip, limit, total, query.ByCursor || total is null ? next?.Write(query) ?? "" : null);
        return TypedResults.Ok(page.Select(UserView.Of).ToArray());
    }

    static async Task<Results<Ok<UserView>, ProblemResult>> Get(long id, Caller caller, UserTable users, CancellationToken ct)
    {
        // Before looking: who may not read others does not learn who exists.
        if (caller.AccountId != id && !caller.May(Read))
            return Problem.Of(UserProblems.NotYours);
        return await users.FindAsync(id, ct) is { } account ? TypedResults.Ok(UserView.Of(account)) : Problem.Of(UserProblems.NotFound);
    }

    static async Task<Results<Ok<UserView>, ProblemResult>> Change(long id, UserChange change, Caller caller, Origin origin, UserTable users, TimeProvider clock, CancellationToken ct)
    {
        if (!caller.May(Write))
        {
            if (caller.AccountId != id)
                return Problem.Of(UserProblems.NotYours);
            if (change.IsActive is not null)
                return Problem.Of(HttpProblems.Forbidden, $"is_active takes an administrator or the scope {Write}.");
        }

        return await users.ChangeAsync(id, new AccountChange(change.Name, change.IsActive), clock.UtcNow(), origin, ct) is { } account
            ? TypedResults.Ok(UserView.Of(account))
            : Problem.Of(UserProblems.NotFound);
    }

    static async Task<Results<NoContent, ProblemResult>> Delete(long id, Caller caller, Origin origin, UserTable users, TimeProvider clock, CancellationToken ct)
    {
        if (!caller.May(Write))
        {
            if (caller.AccountId != id)
                return Problem.Of(UserProblems.NotYours);
            if (KeyEndpoints.NotInPerson(caller) is { } refusal)
                return Problem.Of(refusal);
        }

        return await users.DeleteAsync(id, clock.UtcNow(), origin, ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.NotFound);
    }
}
