using System.Globalization;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Tandem.Users.Tokens;

/// <summary>Makes tokens without a request: access tokens for the operator's scripts, of the same form as those of POST /token, and what jobs send.</summary>
sealed class AccessTokens(Keys keys, UsersOptions options)
{
    public async Task<string> MakeAsync(Session session, DateTime now, TimeSpan lifetime, CancellationToken ct)
    {
        var claims = new Dictionary<string, object> { ["auth_time"] = new DateTimeOffset(session.AuthenticatedAt).ToUnixTimeSeconds() };
        if (session.ActsAsAdministrator)
            claims["role"] = TokenServer.Administrator;
        if (session.Scopes is { } scopes)
            claims["scope"] = scopes;
        // RFC 8693, 4.1.
        if (session.ImpersonatorId is { } administrator)
            claims["act"] = new Dictionary<string, object> { ["sub"] = administrator.ToString(CultureInfo.InvariantCulture) };
        return await SignAsync("at+jwt", SecurityAlgorithms.EcdsaSha256, TokenServer.Audience, session.AccountId, session.Id, Guid.NewGuid(), now, lifetime, claims, ct);
    }

    /// <summary>Signs a JWT of any kind about a session.</summary>
    /// <param name="type">Its <c>typ</c>: what it can be taken for.</param>
    /// <param name="algorithm">ES256, or RS256 for a client that wants it.</param>
    /// <param name="audience">Whom it is for.</param>
    /// <param name="accountId">Whom it is about.</param>
    /// <param name="sessionId">Which session.</param>
    /// <param name="id">Its <c>jti</c>.</param>
    /// <param name="now">UTC.</param>
    /// <param name="lifetime">How long it is good.</param>
    /// <param name="claims">What else it says; added to.</param>
    /// <param name="ct">Ends the wait.</param>
    public async Task<string> SignAsync(string type, string algorithm, string audience, long accountId, Guid sessionId, Guid id, DateTime now, TimeSpan lifetime, Dictionary<string, object> claims,
        CancellationToken ct)
    {
        using var key = algorithm == SecurityAlgorithms.RsaSha256 ? new KnownKey(await keys.IdentityAsync(ct), Keys.Identity) : new KnownKey(await keys.SigningAsync(ct), Keys.Access);
        claims["sub"] = accountId.ToString(CultureInfo.InvariantCulture);
        claims["sid"] = sessionId.ToString();
        claims["jti"] = id.ToString();
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            TokenType = type,
            Issuer = new Uri(options.Issuer).AbsoluteUri,
            Audience = audience,
            IssuedAt = now,
            Expires = now + lifetime,
            Claims = claims,
            SigningCredentials = new SigningCredentials(key.SecurityKey, algorithm)
            {
                // The signer would otherwise be kept for the next token, with the key that is disposed here.
                CryptoProviderFactory = new CryptoProviderFactory { CacheSignatureProviders = false },
            },
        });
    }
}
