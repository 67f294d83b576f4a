using Tandem.Users.Look;
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;

namespace Tandem.Users.OpenId;

/// <summary>A program that people sign in to with their account here, or that acts for itself. Lists are separated by blanks, as in the table.</summary>
sealed record Client(string Id, string Name, string? SecretHash, string RedirectUris, string PostLogoutRedirectUris, string GrantTypes, string Scopes, bool IsTrusted,
    DateTime CreatedAt, bool RequirePar, string? BackchannelLogoutUri, string? RegistrationDigest = null,
    string IdTokenSignedResponseAlg = NewClient.Es256)
{
    /// <summary>It cannot keep a secret: a page, an app on somebody's device.</summary>
    public bool IsPublic => SecretHash is null;

    /// <summary>It registered itself: nobody here has looked at what it says of itself.</summary>
    public bool IsOwnWord => RegistrationDigest is not null;

    public bool MayUse(string grantType) => Words(GrantTypes).Contains(grantType);

    public bool MayRedirectTo(string uri) => Words(RedirectUris).Any(registered => RedirectUri.Matches(registered, uri));

    public bool MayReturnTo(string uri) => Words(PostLogoutRedirectUris).Any(registered => RedirectUri.Matches(registered, uri));

    /// <summary>Is this its secret? A public client has none, and must send none.</summary>
    public bool Owns(string? secret) => SecretHash is null
        ? string.IsNullOrEmpty(secret)
        : Secret.Same(Secret.Digest(secret ?? ""), SecretHash);

    /// <summary>May an answer of before stand for the next time? Not where another program could pass for this one (RFC 8252, 8.6).</summary>
    public bool IsAssured(string redirectUri) => !IsPublic || redirectUri.StartsWith("https://", StringComparison.Ordinal);

    public static string[] Words(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>What tokens may be for.</summary>
static class ClientScopes
{
    /// <summary>The program's API as the person, though never as an administrator.</summary>
    public const string Api = "api";

    /// <summary>What any person may allow a client; everything else is a right of administrators.</summary>
    public static readonly string[] Personal = ["openid", "profile", "email", "offline_access", Api];

    /// <summary>What a token of these may be shown to: the API, or only /userinfo. A client that asks who somebody is gets no say over the account.</summary>
    public static bool OpenApi(IEnumerable<string> scopes) => scopes.Any(s => s == Api || !Personal.Contains(s));

    /// <summary>The <c>aud</c> of an access token of these: the API, or /userinfo alone.</summary>
    public static string AudienceOf(IEnumerable<string> scopes, UsersOptions options) => OpenApi(scopes) ? TokenServer.Audience : UserInfo(options);

    /// <summary>The address of /userinfo.</summary>
    public static string UserInfo(UsersOptions options) => new Uri(new Uri(options.Issuer), "userinfo").AbsoluteUri;

    public static string Describe(Language t, string scope) => Personal.Contains(scope) ? t.Say($"scope.{scope}") : t.Say("scope.administrator", ("scope", scope));
}
