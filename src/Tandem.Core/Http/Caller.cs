using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Reflection;
using System.Security.Claims;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Tandem.Core.Http;

/// <summary>Who sent the request, as its bearer token says. A handler takes it as a parameter.</summary>
public sealed class Caller
{
    /// <param name="accountId">The account.</param>
    /// <param name="sessionId">The session the token belongs to.</param>
    /// <param name="isAdministrator">Administrators may do everything.</param>
    /// <param name="scopes">What else the token allows, such as <c>users:read</c>.</param>
    public Caller(long accountId, Guid sessionId, bool isAdministrator, IEnumerable<string> scopes)
    {
        (AccountId, SessionId, IsAdministrator, Scopes) = (accountId, sessionId, isAdministrator, scopes.ToHashSet());
        Principal = new ClaimsPrincipal(new ClaimsIdentity(
            [
                new Claim("sub", accountId.ToString(CultureInfo.InvariantCulture)),
                new Claim("sid", sessionId.ToString()),
                .. isAdministrator ? [new Claim("role", "administrator")] : Array.Empty<Claim>(),
                .. Scopes.Select(s => new Claim("scope", s)),
            ], "Bearer", "sub", "role"));
    }

    /// <summary>The account's id; 0 for a client that acts for itself.</summary>
    public long AccountId { get; }

    /// <summary>The id of the session, or of the API key.</summary>
    public Guid SessionId { get; }

    /// <summary>True for an administrator.</summary>
    public bool IsAdministrator { get; }

    /// <summary>The token's scopes.</summary>
    public IReadOnlySet<string> Scopes { get; }

    /// <summary>True when the request was made with an API key instead of a session's token.</summary>
    public bool IsApiKey { get; init; }

    /// <summary>The client of OAuth that the token was made for; null for a person's own token, and for an API key.</summary>
    public string? ClientId { get; init; }

    /// <summary>The administrator who acts as the account, for support; null: its person does. What only the person may do asks for this.</summary>
    public long? ImpersonatorId { get; init; }

    /// <summary>The signing key that the token was checked with; null for an API key. The token is worth nothing when that key is revoked.</summary>
    public string? KeyId { get; init; }

    /// <summary>UTC; from then on the token is worth nothing. Default: it does not end by itself.</summary>
    public DateTime ExpiresAt { get; init; } = DateTime.MaxValue;

    /// <summary>The same for the framework's own authorisation.</summary>
    public ClaimsPrincipal Principal { get; }

    /// <summary>True for an administrator and for a token with the scope.</summary>
    public bool May(string scope) => IsAdministrator || Scopes.Contains(scope);

    /// <summary>The caller of a request to an endpoint that is open to anyone and gives more to those it knows.</summary>
    /// <returns>Null without a token that is worth something.</returns>
    /// <exception cref="ProblemException">http/too-many-requests (429): too many wrong API keys came from this address.</exception>
    public static ValueTask<Caller?> OfAsync(HttpContext context, ITokenVerifier tokens)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(tokens);
        return !Bearer.TryRead(context.Request, out var token) ? ValueTask.FromResult<Caller?>(null)
            : tokens.TryVerify(token, out var caller) ? ValueTask.FromResult<Caller?>(caller)
            : tokens.FindAsync(token.ToString(), context);
    }

    /// <summary>Called by the framework to fill a handler's parameter; null where nobody is signed in.</summary>
    public static ValueTask<Caller?> BindAsync(HttpContext httpContext, ParameterInfo parameter) => ValueTask.FromResult(httpContext.Features.Get<Caller>());
}

/// <summary>Checks bearer tokens: access tokens and API keys. Implemented by the users module.</summary>
public interface ITokenVerifier
{
    /// <summary>Checks a token by itself: no store is read.</summary>
    /// <returns>False for a token that is malformed, forged, expired or whose session has ended, and for an API key that this process has not seen lately.</returns>
    bool TryVerify(ReadOnlySpan<char> token, [NotNullWhen(true)] out Caller? caller);

    /// <summary>Looks for the caller of a token that <see cref="TryVerify"/> has refused: it may be an API key that this process meets for the first time, or signed with a key
    /// that another process has made a moment ago.</summary>
    /// <param name="token">As it was sent.</param>
    /// <param name="context">The request that it came with.</param>
    /// <returns>Null for a token that is worth nothing.</returns>
    /// <exception cref="ProblemException">http/too-many-requests (429): too many wrong ones came from this address.</exception>
    ValueTask<Caller?> FindAsync(string token, HttpContext context);

    /// <summary>Is somebody who was let in earlier, and holds a socket or a stream, still let in? No store is read.</summary>
    bool IsHonoured(Caller caller);
}

/// <summary>What an endpoint asks of its caller beyond being signed in.</summary>
/// <param name="Scope">A scope, or null for administrators alone.</param>
public sealed record AccessRequirement(string? Scope);

/// <summary>Opens and closes endpoints. Without any of these an endpoint wants a bearer token; the framework's AllowAnonymous opens it.</summary>
public static class AccessConventions
{
    /// <summary>Administrators only.</summary>
    public static TBuilder RequireAdministrator<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new AccessRequirement(null));

    /// <summary>Administrators, and tokens with the scope.</summary>
    public static TBuilder RequireScope<TBuilder>(this TBuilder builder, string scope) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new AccessRequirement(scope));
}
