using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Microsoft.AspNetCore.Http;
using Tandem.Core.Configuration;
using Tandem.Users.Mailing;
using Tandem.Users.Upstream;

namespace Tandem.Users;

/// <summary>Settings of accounts and tokens, section <c>Users</c>.</summary>
public sealed class UsersOptions
{
    /// <summary>Lets anyone make an account by POST /users. Default true. Where it is false, administrators still can.</summary>
    public bool SignUp { get; set; } = true;

    /// <summary>
    /// Who signs the tokens: their <c>iss</c>. Default http://localhost/, whatever address a request came by; set it to the public address.
    /// Tokens of another issuer are refused, so a change signs everybody out.
    /// </summary>
    [Required]
    public string Issuer { get; set; } = "http://localhost/";

    /// <summary>How long an access token is honoured. Default 15 minutes; 1 minute to 24 hours.</summary>
    [TimeRange("00:01:00", "1.00:00:00")]
    public TimeSpan AccessTokenLifetime { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>How long a signing key makes tokens before the next one does; see docs/guide/signing-keys.md. Default 90 days; 1 day to 10 years, or 0: until somebody says tandem signing-key rotate.</summary>
    [TimeRange("00:00:00", "3650.00:00:00")]
    public TimeSpan SigningKeyLifetime { get; set; } = TimeSpan.FromDays(90);

    /// <summary>How long a session may lie unused before its refresh token is worth nothing. Default 30 days; 1 hour to 365 days.</summary>
    [TimeRange("01:00:00", "365.00:00:00")]
    public TimeSpan RefreshTokenLifetime { get; set; } = TimeSpan.FromDays(30);

    /// <summary>
    /// How long the refresh token before the newest one still works: tabs that refresh at once, an answer that was lost. Used later it counts
    /// as stolen and ends the session. Default 30 seconds; 0 to 5 minutes.
    /// </summary>
    [TimeRange("00:00:00", "00:05:00")]
    public TimeSpan RefreshGrace { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long an API key lasts unless whoever makes it says otherwise. Default 90 days; 1 minute to 10 years, and not above <c>MaxKeyLifetime</c>.</summary>
    [TimeRange("00:01:00", "3650.00:00:00")]
    public TimeSpan KeyLifetime { get; set; } = TimeSpan.FromDays(90);

    /// <summary>How long an API key may last at most. Default 365 days; 1 minute to 10 years.</summary>
    [TimeRange("00:01:00", "3650.00:00:00")]
    public TimeSpan MaxKeyLifetime { get; set; } = TimeSpan.FromDays(365);

    /// <summary>How many living API keys an account may have. Default 100; 0: none can be made.</summary>
    [Range(0, 10_000)]
    public int KeysPerAccount { get; set; } = 100;

    /// <summary>How many members a group may have. Default 50000; 1 to 1000000.</summary>
    [Range(1, 1_000_000)]
    public int GroupMembers { get; set; } = 50_000;

    /// <summary>Sign-ups per minute from one address (IPv6: from one /64). Default 120; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int SignUpsPerMinutePerAddress { get; set; } = 120;

    /// <summary>Failed sign-ins per five minutes to one account, from addresses it was never signed in from. Default 10; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int FailuresPerAccount { get; set; } = 10;

    /// <summary>Failed sign-ins per five minutes from one address, to whatever account. Default 100; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int FailuresPerAddress { get; set; } = 100;

    /// <summary>Requests per minute from one address that are kept for public clients and devices (POST /par, POST /device/code), and as many to POST /register. Default 120; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int RequestsPerMinutePerAddress { get; set; } = 120;

    /// <summary>Whether clients may register themselves (POST /register, RFC 7591). Default off.</summary>
    public DynamicRegistration DynamicRegistration { get; set; }

    /// <summary>How many clients that registered themselves there may be at a time. Default 1000; 1 to 100,000.</summary>
    [Range(1, 100_000)]
    public int MaxRegisteredClients { get; set; } = 1000;

    /// <summary>How long a device waits for its person. Default 10 minutes; 1 minute to 1 hour.</summary>
    [TimeRange("00:01:00", "01:00:00")]
    public TimeSpan DeviceCodeLifetime { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>
    /// Tells clients at private addresses (10.0.0.0/8, 127.0.0.1, fd00::/8, …) as well that a session has ended. Default false: whoever may register a client could otherwise have this server call its neighbours.
    /// </summary>
    public bool CallPrivateAddresses { get; set; }

    /// <summary>Where people reach this server, such as https://example.com: the links in mails begin with it. Default: the address that the server listens on.</summary>
    [Url]
    public string? PublicUrl { get; set; }

    /// <summary>A page of your app that takes a new password and sends it to POST /auth/password; ?token= is put behind it. Default: a page of ours.</summary>
    [Url]
    public string? PasswordPage { get; set; }

    /// <summary>A page of your app that sends the token to POST /auth/email/confirmation; ?token= is put behind it. Default: a page of ours.</summary>
    [Url]
    public string? EmailPage { get; set; }

    /// <summary>A page of your app that exchanges the token at POST /token; ?token= is put behind it. Default none: mails to sign in have a code and no link.</summary>
    [Url]
    public string? SignInPage { get; set; }

    /// <summary>Off; Sent: who signs up is mailed a link to confirm the e-mail; Required: and is not let in before. Default: Sent where Mail:Host is set, otherwise Off.</summary>
    public EmailVerification? EmailVerification { get; set; }

    /// <summary>How long a link in a mail works. Default 1 hour; 5 minutes to 7 days.</summary>
    [TimeRange("00:05:00", "7.00:00:00")]
    public TimeSpan LinkLifetime { get; set; } = TimeSpan.FromHours(1);

    /// <summary>How long a mail to sign in works, its code and its link. Default 10 minutes; 1 minute to 1 hour.</summary>
    [TimeRange("00:01:00", "01:00:00")]
    public TimeSpan CodeLifetime { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How many mails an address may ask for in five minutes, to whomever. Default 30; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int MailsPerAddress { get; set; } = 30;

    /// <summary>How many mails an e-mail gets in an hour that anybody can ask for; beyond that they are not sent. Default 10; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int MailsPerEmail { get; set; } = 10;

    /// <summary>How old a sign-in may be for what is dangerous: other passwords, e-mails, second steps and passkeys, new API keys, deleting an account. Default 15 minutes; 0: any age; up to 1 day.</summary>
    [TimeRange("00:00:00", "1.00:00:00")]
    public TimeSpan StepUpAfter { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>How long an administrator may act as somebody else at most. Default 15 minutes; 0: nobody may; up to 1 hour.</summary>
    [TimeRange("00:00:00", "01:00:00")]
    public TimeSpan ImpersonationLifetime { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>Mails a person that an administrator acts as him, and why. Default true; the audit trail has it in any case.</summary>
    public bool TellImpersonated { get; set; } = true;

    /// <summary>How many organisations an account may belong to. Default 100; 1 to 10,000.</summary>
    [Range(1, 10_000)]
    public int OrganisationsPerAccount { get; set; } = 100;

    /// <summary>How many may belong to an organisation. Default 10,000; 1 to 1,000,000.</summary>
    [Range(1, 1_000_000)]
    public int MembersPerOrganisation { get; set; } = 10_000;

    /// <summary>How many invitations of an organisation may wait for an answer. Default 100; 1 to 10,000.</summary>
    [Range(1, 10_000)]
    public int InvitationsPerOrganisation { get; set; } = 100;

    /// <summary>How long an invitation waits. Default 7 days; 1 hour to 90 days.</summary>
    [TimeRange("01:00:00", "90.00:00:00")]
    public TimeSpan InvitationLifetime { get; set; } = TimeSpan.FromDays(7);

    /// <summary>How long the export of a person's data can be downloaded. Default 7 days; 1 hour to 30 days.</summary>
    [TimeRange("01:00:00", "30.00:00:00")]
    public TimeSpan ExportLifetime { get; set; } = TimeSpan.FromDays(7);

    /// <summary>How many wrong codes an account's second step takes in a day, from addresses it was never signed in from; others have as many of their own. Default 20; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int CodeFailuresPerDay { get; set; } = 20;

    /// <summary>Refuses new passwords that are tried first: those of the list in the program, and of <c>PasswordFilter</c>. Default: true where PublicUrl or PasswordFilter is set, otherwise false.</summary>
    public bool? RefuseCommonPasswords { get; set; }

    /// <summary>A file that tandem password-filter build has made, such as of the passwords that Have I Been Pwned knows. Default none.</summary>
    public string? PasswordFilter { get; set; }

    /// <summary>The name that passkeys are for, such as example.com: they work there and on every name below it. A change makes all that exist worthless. Default: the name of <c>PublicUrl</c>, otherwise of <c>Issuer</c>.</summary>
    public string? PasskeyDomain { get; set; }

    /// <summary>The pages that may ask for a passkey, as browsers name their origin: https://example.com, and android:apk-key-hash:… for an app. Default: that of <c>PublicUrl</c>, otherwise of <c>Issuer</c>; where that is localhost, any port of it.</summary>
    public string[] PasskeyOrigins { get; set; } = [];

    /// <summary>How many passkeys an account may have. Default 20; 0: none can be added.</summary>
    [Range(0, 100)]
    public int PasskeysPerAccount { get; set; } = 20;

    /// <summary>Other providers of OpenID Connect whose logins open accounts here, by a name that is a part of addresses: /auth/upstream/{name}/callback is where they send people back to; see docs/guide/upstream-login.md. Default none.</summary>
    public Dictionary<string, ProviderOptions> Upstream { get; set; } = [];

    /// <summary>The environment writes names in capitals, addresses do not.</summary>
    internal IEnumerable<(string Name, ProviderOptions Provider)> Providers => Upstream.Select(u => (u.Key.ToLowerInvariant(), u.Value));

    internal (string Name, string Title)? ProviderOf(string issuer)
    {
        foreach (var (name, provider) in Providers)
            if (provider.Issuer == issuer)
                return (name, provider.Title ?? name);
        return null;
    }

    /// <summary>What browsers call the relying party; null: there is no name, and so there are no passkeys.</summary>
    /// <summary>Where people and programs reach this server, without a slash at the end. Where no setting says so it is what the request says; whoever gets the answer has sent that.</summary>
    internal string AddressFor(HttpRequest request) =>
        (PublicUrl ?? (Issuer != new UsersOptions().Issuer ? Issuer : $"{request.Scheme}://{request.Host}{request.PathBase}")).TrimEnd('/');

    internal string? PasskeyHost => (PasskeyDomain ?? new Uri(PublicUrl ?? Issuer).IdnHost).ToLowerInvariant() is var host && Uri.CheckHostName(host) == UriHostNameType.Dns ? host : null;

    internal bool MayUsePasskeysAt(string origin)
    {
        if (PasskeyOrigins.Length > 0)
            return PasskeyOrigins.Contains(origin, StringComparer.Ordinal);
        var place = new Uri(PublicUrl ?? Issuer);
        // On one's own machine the pages are often served by another program, on another port.
        if (place.IdnHost == "localhost")
            return Uri.TryCreate(origin, UriKind.Absolute, out var own) && own is { Scheme: "http" or "https", IdnHost: "localhost" } && origin == OriginOf(own);
        return origin == OriginOf(place);

        static string OriginOf(Uri uri) => $"{uri.Scheme}://{uri.IdnHost}{(uri.IsDefaultPort ? "" : ":" + uri.Port.ToString(CultureInfo.InvariantCulture))}";
    }

    internal bool RefusesCommonPasswords => RefuseCommonPasswords ?? (PublicUrl ?? PasswordFilter) is not null;

    internal EmailVerification Verification(MailOptions mail) => EmailVerification ?? (mail.Host is null ? Users.EmailVerification.Off : Users.EmailVerification.Sent);
}

/// <summary>Who may register a client by POST /register.</summary>
public enum DynamicRegistration
{
    /// <summary>Nobody.</summary>
    Off,
    /// <summary>Whoever has a token with the scope clients:write.</summary>
    Token,
    /// <summary>Anybody.</summary>
    Open,
}

/// <summary>What is made of an e-mail that nobody has confirmed yet.</summary>
public enum EmailVerification
{
    /// <summary>Nothing.</summary>
    Off,
    /// <summary>A mail with a link is sent at sign-up.</summary>
    Sent,
    /// <summary>And nobody is signed in before the link was used.</summary>
    Required,
}

/// <summary>The first administrator, section <c>Admin</c>: TANDEM_ADMIN__EMAIL and TANDEM_ADMIN__PASSWORD.</summary>
public sealed class AdminOptions
{
    /// <summary>Made an administrator at start when no account has this e-mail. An account that exists is left as it is. Default: none.</summary>
    public string? Email { get; set; }

    /// <summary>Its password, 8 to 256 characters. Default: none.</summary>
    public string? Password { get; set; }
}
