using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Http;

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
        users.MapGet("", List).WithSummary("Every user, by id; X-Total-Count and Link tell what else there is").RequireScope(Read);
        users.MapGet("{id}", Get).WithSummary("A user: yourself, or anyone for administrators and the scope users:read").Answers(UserProblems.NotYours, UserProblems.NotFound);
        users.MapPatch("{id}", Change).WithSummary("Change the fields that are sent").Answers(UserProblems.NotYours, UserProblems.NotFound, UserProblems.LastAdministrator);
        users.MapDelete("{id}", Delete).WithSummary("Delete an account with its sessions").Answers(UserProblems.NotYours, UserProblems.NotFound, UserProblems.LastAdministrator);
    }

    static async Task<Results<Created<UserView>, ProblemResult>> Register(NewUser user, HttpContext context, UsersOptions options, UserTable users,
        Passwords passwords, RateLimits limits, ITokenVerifier tokens, TimeProvider clock, CancellationToken ct)
    {
        if (!MayAdd(context.Request, tokens))
        {
            if (!options.SignUp)
                return Problem.Of(UserProblems.SignUpClosed);
            if (TooMany(context, options, limits) is { } refusal)
                return refusal;
        }

        // Asked before the expensive hash; the insert below decides.
        if (await users.FindAsync(user.Email, ct) is not null)
            return Problem.Of(UserProblems.EmailTaken);
        var hash = await passwords.HashAsync(user.Password, ct);
        return await users.AddAsync(user, hash, Role.Person, clock.UtcNow(), ct) is { } account
            ? TypedResults.Created($"/users/{account.Id}", UserView.Of(account))
            : Problem.Of(UserProblems.EmailTaken);
    }

    static async Task<Ok<UserView[]>> List(UserTable users, HttpContext context,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, 100)] int limit = 10, CancellationToken ct = default)
    {
        var accounts = await users.ListAsync(skip, limit, ct);
        var total = await users.CountAsync(ct);
        context.Response.Headers["X-Total-Count"] = total.ToString(CultureInfo.InvariantCulture);
        context.Response.Headers.Link = Links(skip, limit, total);
        return TypedResults.Ok(accounts.Select(UserView.Of).ToArray());
    }

    static async Task<Results<Ok<UserView>, ProblemResult>> Get(long id, Caller caller, UserTable users, CancellationToken ct)
    {
        // Before looking: who may not read others does not learn who exists.
        if (caller.AccountId != id && !caller.May(Read))
            return Problem.Of(UserProblems.NotYours);
        return await users.FindAsync(id, ct) is { } account ? TypedResults.Ok(UserView.Of(account)) : Problem.Of(UserProblems.NotFound);
    }

    static async Task<Results<Ok<UserView>, ProblemResult>> Change(long id, UserChange change, Caller caller, UserTable users, TimeProvider clock, CancellationToken ct)
    {
        if (!caller.May(Write))
        {
            if (caller.AccountId != id)
                return Problem.Of(UserProblems.NotYours);
            if (change.IsActive is not null)
                return Problem.Of(HttpProblems.Forbidden, $"is_active takes an administrator or the scope {Write}.");
        }

        return await users.ChangeAsync(id, new AccountChange(change.Name, change.IsActive), clock.UtcNow(), ct) is { } account
            ? TypedResults.Ok(UserView.Of(account))
            : Problem.Of(UserProblems.NotFound);
    }

    static async Task<Results<NoContent, ProblemResult>> Delete(long id, Caller caller, UserTable users, TimeProvider clock, CancellationToken ct)
    {
        if (caller.AccountId != id && !caller.May(Write))
            return Problem.Of(UserProblems.NotYours);
        return await users.DeleteAsync(id, clock.UtcNow(), ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.NotFound);
    }

    /// <summary>The endpoint is open to anyone, so nobody has looked at a token yet; one that is sent lifts the limits of sign-up.</summary>
    static bool MayAdd(HttpRequest request, ITokenVerifier tokens) =>
        request.Headers.Authorization.ToString() is ['B' or 'b', 'e', 'a', 'r', 'e', 'r', ' ', .. var token]
        && tokens.TryVerify(token.Trim(), out var caller) && caller.May(Write);

    static ProblemResult? TooMany(HttpContext context, UsersOptions options, RateLimits limits)
    {
        if (options.SignUpsPerMinutePerAddress == 0)
            return null;
        var limit = limits.Take("users/sign-up", ClientAddress.Of(context), options.SignUpsPerMinutePerAddress, TimeSpan.FromMinutes(1));
        if (limit.Allowed)
            return null;
        limit.WriteHeaders(context.Response, "sign-up");
        return limit.Refusal("Too many sign-ups from this address; try again after the time in Retry-After.");
    }

    /// <summary>RFC 8288, relative to the request: an absolute address would be wrong behind a proxy that nobody told us of.</summary>
    static string Links(int skip, int limit, long total)
    {
        var last = total == 0 ? 0 : (total - 1) / limit * limit;
        var links = new List<string> { Link(0, "first"), Link(last, "last") };
        if (skip > 0)
            links.Insert(1, Link(Math.Max(0, Math.Min(skip, last + limit) - limit), "prev"));
        if (skip + (long)limit < total)
            links.Insert(links.Count - 1, Link(skip + (long)limit, "next"));
        return string.Join(", ", links);

        string Link(long at, string rel) => string.Create(CultureInfo.InvariantCulture, $"</users?skip={at}&limit={limit}>; rel=\"{rel}\"");
    }
}
