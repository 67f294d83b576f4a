using System.Globalization;
using System.Security.Cryptography;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Tandem.Users.Tokens;

/// <summary>Makes access tokens without a request, for the operator's scripts. They are of the same form as those of POST /token.</summary>
sealed class AccessTokens(Keys keys, UsersOptions options)
{
    public async Task<string> MakeAsync(Session session, DateTime now, TimeSpan lifetime, CancellationToken ct)
    {
        var key = await keys.SigningAsync(ct);
        using var ecdsa = ECDsa.Create();
        ecdsa.ImportPkcs8PrivateKey(key.Secret, out _);
        var claims = new Dictionary<string, object>
        {
            ["sub"] = session.AccountId.ToString(CultureInfo.InvariantCulture),
            ["sid"] = session.Id.ToString(),
            ["jti"] = Guid.NewGuid().ToString(),
            ["auth_time"] = new DateTimeOffset(session.AuthenticatedAt).ToUnixTimeSeconds(),
        };
        if (session.ActsAsAdministrator)
            claims["role"] = TokenServer.Administrator;
        if (session.Scopes is { } scopes)
            claims["scope"] = scopes;
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            TokenType = "at+jwt",
            Issuer = new Uri(options.Issuer).AbsoluteUri,
            Audience = TokenServer.Audience,
            IssuedAt = now,
            Expires = now + lifetime,
            Claims = claims,
            SigningCredentials = new SigningCredentials(new ECDsaSecurityKey(ecdsa) { KeyId = key.Id }, SecurityAlgorithms.EcdsaSha256)
            {
                // The signer would otherwise be kept for the next token, with the key that is disposed here.
                CryptoProviderFactory = new CryptoProviderFactory { CacheSignatureProviders = false },
            },
        });
    }
}
