using System.ComponentModel.DataAnnotations;
using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;
using Microsoft.IdentityModel.Tokens;
using Tandem.Core.Http;
using Tandem.Users.Tickets;

namespace Tandem.Users.OpenId;

/// <summary>A client to be registered.</summary>
/// <param name="Id">1 to 64 small letters, digits, dots, hyphens and underscores; begins with a letter.</param>
/// <param name="Name">What people see when they sign in: 1 to 200 characters. Default: the id.</param>
/// <param name="RedirectUris">Where a browser is sent back to, at most 20: https, or http on 127.0.0.1, [::1] and localhost. Compared letter by letter.</param>
/// <param name="PostLogoutRedirectUris">The same for signing out.</param>
/// <param name="GrantTypes">authorization_code, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:device_code, urn:ietf:params:oauth:grant-type:token-exchange. Default: the first two where there is a redirect URI, otherwise the third.</param>
/// <param name="Scopes">What it may ask for, at most 50. Default with authorization_code and device_code: openid, profile, email, offline_access; otherwise none.</param>
/// <param name="IsPublic">True: it cannot keep a secret and gets none.</param>
/// <param name="IsTrusted">True: people are not asked whether they allow it, but for devices.</param>
/// <param name="RequirePar">True: it sends no one to /authorize but with what POST /par gave it.</param>
/// <param name="BackchannelLogoutUri">Where it is told that a session of its has ended: https, or http on 127.0.0.1, [::1] and localhost. Default: nowhere.</param>
/// <param name="IdTokenSignedResponseAlg">What its ID tokens, and what tells it of a session's end, are signed with: ES256 or RS256. Default ES256.</param>
public sealed partial record NewClient(
    [ClientId] string Id,
    [NotBlank, MaxLength(200)] string? Name = null,
    string[]? RedirectUris = null,
    string[]? PostLogoutRedirectUris = null,
    string[]? GrantTypes = null,
    string[]? Scopes = null,
    bool IsPublic = false,
    bool IsTrusted = false,
    bool RequirePar = false,
    string? BackchannelLogoutUri = null,
    string? IdTokenSignedResponseAlg = null)
{
    internal const string Code = "authorization_code";
    internal const string Refresh = "refresh_token";
    internal const string Own = "client_credentials";
    internal const string Device = "urn:ietf:params:oauth:grant-type:device_code";
    internal const string Exchange = "urn:ietf:params:oauth:grant-type:token-exchange";

    internal const string Es256 = SecurityAlgorithms.EcdsaSha256;
    internal const string Rs256 = SecurityAlgorithms.RsaSha256;

    /// <summary>What ID tokens can be signed with.</summary>
    internal static readonly string[] Algorithms = [Es256, Rs256];

    static readonly string[] AllGrants = [Code, Refresh, Own, Device, Exchange];

    const int MaxAddresses = 20;
    const int MaxScopes = 50;

    /// <summary>What its annotations cannot say.</summary>
    /// <returns>JSON name of the field to its messages.</returns>
    internal Dictionary<string, string[]> FindInvalid()
    {
        var faults = new Dictionary<string, string[]>();
        Check("redirect_uris", RedirectUris, MaxAddresses, RedirectUri.FaultOf);
        Check("post_logout_redirect_uris", PostLogoutRedirectUris, MaxAddresses, RedirectUri.FaultOf);
        Check("grant_types", GrantTypes, AllGrants.Length, g => AllGrants.Contains(g) ? null : $"must be one of {string.Join(", ", AllGrants)}");
        Check("backchannel_logout_uri", BackchannelLogoutUri is null ? null : [BackchannelLogoutUri], 1, RedirectUri.FaultOf);
        Check("id_token_signed_response_alg", IdTokenSignedResponseAlg is null ? null : [IdTokenSignedResponseAlg], 1, a => Algorithms.Contains(a) ? null : $"must be {string.Join(" or ", Algorithms)}");
        Check("scopes", Scopes, MaxScopes, s => ScopeForm().IsMatch(s) ? null : "must be a scope: 1 to 64 characters of ASCII without blanks, quotes and backslashes");
        if (faults.Count > 0)
            return faults;
        var grants = Grants;
        if (grants.Contains(Code) != RedirectUris is { Length: > 0 })
            faults["redirect_uris"] = [grants.Contains(Code) ? $"is needed for {Code}" : $"is of use with {Code} alone"];
        else if (grants.Contains(Refresh) && !SignsPeopleIn(grants))
            faults["grant_types"] = [$"{Refresh} comes with {Code} or {Device}"];
        else if (IsPublic && grants.FirstOrDefault(g => g is Own or Exchange) is { } secretive)
            faults["grant_types"] = [$"{secretive} takes a secret, which a public client has not"];
        else if (RequirePar && !grants.Contains(Code))
            faults["require_par"] = [$"is of use with {Code} alone"];
        else if (BackchannelLogoutUri is not null && !SignsPeopleIn(grants))
            faults["backchannel_logout_uri"] = [$"is of use with {Code} or {Device} alone"];
        else if (IdTokenSignedResponseAlg == Rs256 && !SignsPeopleIn(grants))
            faults["id_token_signed_response_alg"] = [$"is of use with {Code} or {Device} alone: nothing else gives ID tokens"];
        return faults;

        void Check(string field, string[]? values, int most, Func<string, string?> faultOf)
        {
            if (values?.Length > most)
                faults[field] = [$"must have at most {most} entries"];
            else if (values?.Select(v => v is null ? "must not be null" : faultOf(v)).FirstOrDefault(f => f is not null) is { } fault)
                faults[field] = [fault];
        }
    }

    /// <summary>All of it, to take the place of what a client was.</summary>
    internal ClientChange AsChange() => new()
    {
        Name = Name ?? Id,
        RedirectUris = RedirectUris ?? [],
        PostLogoutRedirectUris = PostLogoutRedirectUris ?? [],
        GrantTypes = Grants,
        Scopes = Client.Words(ToClient(null, default).Scopes),
        RequirePar = RequirePar,
        BackchannelLogoutUri = BackchannelLogoutUri ?? "",
        IdTokenSignedResponseAlg = IdTokenSignedResponseAlg ?? Es256,
    };

    static bool SignsPeopleIn(string[] grants) => grants.Contains(Code) || grants.Contains(Device);

    string[] Grants => GrantTypes is { Length: > 0 } ? GrantTypes : RedirectUris is { Length: > 0 } ? [Code, Refresh] : [Own];

    internal Client ToClient(string? secret, DateTime now)
    {
        var grants = Grants;
        var scopes = Scopes ?? (SignsPeopleIn(grants) ? ["openid", "profile", "email", "offline_access"] : []);
        return new Client(Id, Name ?? Id, secret is null ? null : Secret.Digest(secret), Join(RedirectUris ?? []), Join(PostLogoutRedirectUris ?? []), Join(grants), Join(scopes),
            IsTrusted, now, RequirePar, BackchannelLogoutUri, IdTokenSignedResponseAlg: IdTokenSignedResponseAlg ?? Es256);

        static string Join(string[] words) => string.Join(' ', words.Distinct());
    }

    // RFC 6749, appendix A.4.
    [GeneratedRegex(@"^[\x21\x23-\x5b\x5d-\x7e]{1,64}\z", RegexOptions.CultureInvariant)]
    private static partial Regex ScopeForm();
}

/// <summary>What is to change of a client; a field left out stays as it is. Whether it is public does not change: that one is another client.</summary>
public sealed record ClientChange
{
    /// <summary>1 to 200 characters, not only blanks.</summary>
    [NotBlank, MaxLength(200), DisallowNull]
    public string? Name { get; init; }

    /// <summary>All of them, as at registration.</summary>
    [DisallowNull]
    public string[]? RedirectUris { get; init; }

    /// <summary>All of them, as at registration.</summary>
    [DisallowNull]
    public string[]? PostLogoutRedirectUris { get; init; }

    /// <summary>All of them, as at registration. With one fewer the client's sessions end.</summary>
    [DisallowNull]
    public string[]? GrantTypes { get; init; }

    /// <summary>All of them, as at registration. With one fewer the client's sessions end.</summary>
    [DisallowNull]
    public string[]? Scopes { get; init; }

    /// <summary>True: people are not asked whether they allow it.</summary>
    [DisallowNull]
    public bool? IsTrusted { get; init; }

    /// <summary>True: it sends no one to /authorize but with what POST /par gave it.</summary>
    [DisallowNull]
    public bool? RequirePar { get; init; }

    /// <summary>As at registration; empty: nowhere.</summary>
    [DisallowNull]
    public string? BackchannelLogoutUri { get; init; }

    /// <summary>ES256 or RS256, from the next token on.</summary>
    [DisallowNull]
    public string? IdTokenSignedResponseAlg { get; init; }

    /// <exception cref="ProblemException">http/invalid (422): the client would not be one that can be registered.</exception>
    internal Client ApplyTo(Client before)
    {
        var after = new NewClient(before.Id, Name ?? before.Name, RedirectUris ?? Client.Words(before.RedirectUris), PostLogoutRedirectUris ?? Client.Words(before.PostLogoutRedirectUris),
            GrantTypes ?? Client.Words(before.GrantTypes), Scopes ?? Client.Words(before.Scopes), before.IsPublic, IsTrusted ?? before.IsTrusted,
            RequirePar ?? before.RequirePar, BackchannelLogoutUri is null ? before.BackchannelLogoutUri : BackchannelLogoutUri.Length == 0 ? null : BackchannelLogoutUri,
            IdTokenSignedResponseAlg ?? before.IdTokenSignedResponseAlg);
        return after.FindInvalid() is { Count: > 0 } faults
            ? throw new ProblemException(HttpProblems.Invalid, errors: faults)
            : after.ToClient(null, before.CreatedAt) with { SecretHash = before.SecretHash, RegistrationDigest = before.RegistrationDigest };
    }
}

/// <summary>A client, without its secret.</summary>
/// <param name="Id">Never changes.</param>
/// <param name="Name">What people see when they sign in.</param>
/// <param name="IsPublic">It has no secret.</param>
/// <param name="IsTrusted">People are not asked whether they allow it.</param>
/// <param name="RedirectUris">Where a browser is sent back to.</param>
/// <param name="PostLogoutRedirectUris">The same for signing out.</param>
/// <param name="GrantTypes">What it may send to POST /token.</param>
/// <param name="Scopes">What it may ask for.</param>
/// <param name="CreatedAt">UTC.</param>
/// <param name="RequirePar">It sends no one to /authorize but with what POST /par gave it.</param>
/// <param name="BackchannelLogoutUri">Where it is told that a session of its has ended; null: nowhere.</param>
/// <param name="RegisteredItself">By POST /register: people are told that nobody here has looked at it.</param>
/// <param name="IdTokenSignedResponseAlg">What its ID tokens are signed with: ES256 or RS256.</param>
public sealed record ClientView(string Id, string Name, bool IsPublic, bool IsTrusted, string[] RedirectUris, string[] PostLogoutRedirectUris, string[] GrantTypes, string[] Scopes,
    DateTime CreatedAt, bool RequirePar, string? BackchannelLogoutUri, bool RegisteredItself, string IdTokenSignedResponseAlg)
{
    internal static ClientView Of(Client client) => new(client.Id, client.Name, client.IsPublic, client.IsTrusted, Client.Words(client.RedirectUris),
        Client.Words(client.PostLogoutRedirectUris), Client.Words(client.GrantTypes), Client.Words(client.Scopes), client.CreatedAt,
        client.RequirePar, client.BackchannelLogoutUri, client.IsOwnWord, client.IdTokenSignedResponseAlg);
}

/// <summary>A client that was just registered.</summary>
/// <param name="Client">What is stored.</param>
/// <param name="Secret">Shown this once, its digest is stored; null for a public client.</param>
public sealed record RegisteredClient(ClientView Client, string? Secret);

/// <summary>Begins with a letter: in the <c>sub</c> of a token it can then be taken for no account.</summary>
sealed partial class ClientIdAttribute : ValidationAttribute
{
    public ClientIdAttribute() => ErrorMessage = "must have 1 to 64 small letters, digits, dots, hyphens and underscores, and begin with a letter";

    public override bool IsValid(object? value) => value is null || value is string text && Form().IsMatch(text);

    [GeneratedRegex(@"^[a-z][a-z0-9._-]{0,63}\z", RegexOptions.CultureInvariant)]
    private static partial Regex Form();
}
