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

    /// <summary>The session's id.</summary>
    public Guid SessionId { get; }

    /// <summary>True for an administrator.</summary>
    public bool IsAdministrator { get; }

    /// <summary>The token's scopes.</summary>
    public IReadOnlySet<string> Scopes { get; }

    /// <summary>The same for the framework's own authorisation.</summary>
    public ClaimsPrincipal Principal { get; }

    /// <summary>True for an administrator and for a token with the scope.</summary>
    public bool May(string scope) => IsAdministrator || Scopes.Contains(scope);

    /// <summary>Called by the framework to fill a handler's parameter; null where nobody is signed in.</summary>
    public static ValueTask<Caller?> BindAsync(HttpContext httpContext, ParameterInfo parameter) => ValueTask.FromResult(httpContext.Features.Get<Caller>());
}

/// <summary>Checks bearer tokens. Implemented by the users module, from the token alone: no store is read.</summary>
public interface ITokenVerifier
{
    /// <returns>False for a token that is malformed, forged, expired or whose session has ended.</returns>
    bool TryVerify(ReadOnlySpan<char> token, [NotNullWhen(true)] out Caller? caller);
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
