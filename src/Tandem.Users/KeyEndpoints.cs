using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.SecondSteps;
using Tandem.Users.Tokens;

namespace Tandem.Users;

static class KeyEndpoints
{
    public static void MapKeys(this IEndpointRouteBuilder routes)
    {
        var own = routes.MapGroup("/keys").WithTags("API keys").InPerson();
        own.MapPost("", Create).WithSummary("Make an API key; its text is in this answer and nowhere else").FreshSignIn().Answers(UserProblems.ScopeNotHeld, UserProblems.TooManyKeys, UserProblems.NotFound);
        own.MapGet("", List).WithSummary("Your API keys, the newest first").Paged();
        own.MapDelete("{id}", Revoke).WithSummary("Revoke one of your API keys").Answers(UserProblems.KeyNotFound);

        var others = routes.MapGroup("/users/{id}/keys").WithTags("API keys");
        others.MapPost("", CreateFor).WithSummary("Make an API key for a user, such as the account of a service").RequireAdministrator().InPerson().FreshSignIn()
            .Answers(UserProblems.ScopeNotHeld, UserProblems.TooManyKeys, UserProblems.NotFound);
        others.MapGet("", ListOf).WithSummary("The API keys of a user").RequireScope(UserEndpoints.Read).Paged().Answers(UserProblems.NotFound);
        others.MapDelete("{key}", RevokeOf).WithSummary("Revoke an API key of a user").RequireScope(UserEndpoints.Write).Answers(UserProblems.KeyNotFound);
    }

    /// <summary>Whoever finds a key must not make himself more of them, nor put its owner out; nor must a client that was let in for something else.</summary>
    public static TBuilder InPerson<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder => builder
        .AddEndpointFilter(static (context, next) => context.HttpContext.Features.Get<Caller>() is { } caller && NotInPerson(caller) is { } refusal
            ? ValueTask.FromResult<object?>(Problem.Of(refusal))
            : next(context))
        .Answers(UserProblems.SessionWanted, UserProblems.Impersonated);

    /// <returns>Why the caller is not the person of the account, signed in; null when he is.</returns>
    public static Problem? NotInPerson(Caller caller) =>
        caller.ImpersonatorId is not null ? UserProblems.Impersonated : caller.IsApiKey || caller.ClientId is not null ? UserProblems.SessionWanted : null;

    static Task<Results<Created<NewKeyView>, ProblemResult>> Create(NewKey key, Caller caller, Origin origin, ApiKeys keys, HttpContext context, CancellationToken ct)
    {
        IReadOnlyCollection<string>? scopes = key.Scopes;
        if (caller.Scopes.Count > 0)
        {
            // A token that is for some things only makes keys for no others.
            scopes ??= [.. caller.Scopes];
            if (!scopes.All(caller.Scopes.Contains))
                throw new ProblemException(UserProblems.ScopeNotHeld);
        }

        return AddAsync(caller.AccountId, key, scopes, origin, keys, context, ct);
    }

    static async Task<Ok<KeyView[]>> List(Caller caller, ApiKeys keys, HttpContext context,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, Paging.MaxLimit)] int limit = Paging.DefaultLimit, CancellationToken ct = default) =>
        TypedResults.Ok(await PageAsync(caller.AccountId, keys, context, skip, limit, ct));

    static async Task<Results<NoContent, ProblemResult>> Revoke(Guid id, Caller caller, Origin origin, ApiKeys keys, CancellationToken ct) =>
        await keys.RevokeAsync(caller.AccountId, id, origin, ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.KeyNotFound);

    static Task<Results<Created<NewKeyView>, ProblemResult>> CreateFor(long id, NewKey key, Origin origin, ApiKeys keys, HttpContext context, CancellationToken ct) =>
        AddAsync(id, key, key.Scopes, origin, keys, context, ct);

    static async Task<Results<Ok<KeyView[]>, ProblemResult>> ListOf(long id, UserTable users, ApiKeys keys, HttpContext context,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, Paging.MaxLimit)] int limit = Paging.DefaultLimit, CancellationToken ct = default) =>
        await users.FindAsync(id, ct) is null ? Problem.Of(UserProblems.NotFound) : TypedResults.Ok(await PageAsync(id, keys, context, skip, limit, ct));

    static async Task<Results<NoContent, ProblemResult>> RevokeOf(long id, Guid key, Origin origin, ApiKeys keys, CancellationToken ct) =>
        await keys.RevokeAsync(id, key, origin, ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.KeyNotFound);

    static async Task<Results<Created<NewKeyView>, ProblemResult>> AddAsync(long accountId, NewKey key, IReadOnlyCollection<string>? scopes, Origin origin, ApiKeys keys,
        HttpContext context, CancellationToken ct)
    {
        if (await keys.CreateAsync(accountId, key, scopes, origin, ct) is not var (made, text))
            return Problem.Of(UserProblems.NotFound);
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Created((string?)null, NewKeyView.Of(made, text));
    }

    static async Task<KeyView[]> PageAsync(long accountId, ApiKeys keys, HttpContext context, int skip, int limit, CancellationToken ct)
    {
        var (page, total) = await keys.ListAsync(accountId, skip, limit, ct);
        Paging.Describe(context, skip, limit, total);
        return [.. page.Select(KeyView.Of)];
    }
}

/// <summary>A key to be made.</summary>
/// <param name="Name">What it is for, 1 to 100 characters.</param>
/// <param name="Scopes">What it allows beside the account's own data, such as users:read; only administrators have any to give. Left out: all that its owner may do.</param>
/// <param name="ExpiresAt">When it ends by itself. Left out: after <c>Users:KeyLifetime</c>.</param>
public sealed record NewKey([NotBlank, MaxLength(100)] string Name, [Scopes] string[]? Scopes = null, DateTimeOffset? ExpiresAt = null);

/// <summary>An API key.</summary>
/// <param name="Id">Part of its text, and no secret.</param>
/// <param name="Name">What it is for.</param>
/// <param name="Scopes">What it allows beside the account's own data; null: all that its owner may do.</param>
/// <param name="CreatedAt">UTC.</param>
/// <param name="ExpiresAt">UTC.</param>
/// <param name="LastUsedAt">UTC, up to a minute late; null: never.</param>
public sealed record KeyView(Guid Id, string Name, string[]? Scopes, DateTime CreatedAt, DateTime ExpiresAt, DateTime? LastUsedAt)
{
    internal static KeyView Of(ApiKey key) => new(key.Id, key.Name, NewKeyView.ScopesOf(key), key.CreatedAt, key.ExpiresAt, key.LastUsedAt);
}

/// <summary>An API key that was just made.</summary>
/// <param name="Id">Part of its text, and no secret.</param>
/// <param name="Name">What it is for.</param>
/// <param name="Scopes">What it allows beside the account's own data; null: all that its owner may do.</param>
/// <param name="CreatedAt">UTC.</param>
/// <param name="ExpiresAt">UTC.</param>
/// <param name="Key">Goes into Authorization: Bearer. It is not stored and cannot be shown again.</param>
public sealed record NewKeyView(Guid Id, string Name, string[]? Scopes, DateTime CreatedAt, DateTime ExpiresAt, string Key)
{
    internal static NewKeyView Of(ApiKey key, string text) => new(key.Id, key.Name, ScopesOf(key), key.CreatedAt, key.ExpiresAt, text);

    internal static string[]? ScopesOf(ApiKey key) => key.Scopes?.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>Names of scopes as RFC 6749, 3.3 has them, and few enough to be stored.</summary>
sealed class ScopesAttribute : ValidationAttribute
{
    const int MaxCount = 20;
    const int MaxLength = 64;

    public ScopesAttribute() => ErrorMessage = $"must be at most {MaxCount} names of 1 to {MaxLength} characters, such as users:read, without blanks and quotes";

    public override bool IsValid(object? value) => value is null || value is string?[] names && names.Length <= MaxCount && names.All(IsName);

    static bool IsName(string? name) => name is { Length: > 0 and <= MaxLength } && name.All(c => c is > ' ' and <= '~' and not ('"' or '\\'));
}
