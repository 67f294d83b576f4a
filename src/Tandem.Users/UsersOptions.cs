using System.ComponentModel.DataAnnotations;
using Tandem.Users.Mailing;

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
    [Range(typeof(TimeSpan), "00:01:00", "1.00:00:00")]
    public TimeSpan AccessTokenLifetime { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>How long a session may lie unused before its refresh token is worth nothing. Default 30 days; 1 hour to 365 days.</summary>
    [Range(typeof(TimeSpan), "01:00:00", "365.00:00:00")]
    public TimeSpan RefreshTokenLifetime { get; set; } = TimeSpan.FromDays(30);

    /// <summary>
    /// How long the refresh token before the newest one still works: tabs that refresh at once, an answer that was lost. Used later it counts
    /// as stolen and ends the session. Default 30 seconds; 0 to 5 minutes.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:05:00")]
    public TimeSpan RefreshGrace { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long an API key lasts unless whoever makes it says otherwise. Default 90 days; 1 minute to 10 years, and not above <c>MaxKeyLifetime</c>.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "3650.00:00:00")]
    public TimeSpan KeyLifetime { get; set; } = TimeSpan.FromDays(90);

    /// <summary>How long an API key may last at most. Default 365 days; 1 minute to 10 years.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "3650.00:00:00")]
    public TimeSpan MaxKeyLifetime { get; set; } = TimeSpan.FromDays(365);

    /// <summary>How many living API keys an account may have. Default 100; 0: none can be made.</summary>
    [Range(0, 10_000)]
    public int KeysPerAccount { get; set; } = 100;

    /// <summary>Sign-ups per minute from one address (IPv6: from one /64). Default 120; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int SignUpsPerMinutePerAddress { get; set; } = 120;

    /// <summary>Failed sign-ins per five minutes to one account, from addresses it was never signed in from. Default 10; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int FailuresPerAccount { get; set; } = 10;

    /// <summary>Failed sign-ins per five minutes from one address, to whatever account. Default 100; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int FailuresPerAddress { get; set; } = 100;

    /// <summary>Requests per minute from one address that are kept for public clients and devices (POST /par, POST /device/code). Default 120; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int RequestsPerMinutePerAddress { get; set; } = 120;

    /// <summary>How long a device waits for its person. Default 10 minutes; 1 minute to 1 hour.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "01:00:00")]
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
    [Range(typeof(TimeSpan), "00:05:00", "7.00:00:00")]
    public TimeSpan LinkLifetime { get; set; } = TimeSpan.FromHours(1);

    /// <summary>How long a mail to sign in works, its code and its link. Default 10 minutes; 1 minute to 1 hour.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "01:00:00")]
    public TimeSpan CodeLifetime { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How many mails an address may ask for in five minutes, to whomever. Default 30; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int MailsPerAddress { get; set; } = 30;

    /// <summary>How many mails an e-mail gets in an hour that anybody can ask for; beyond that they are not sent. Default 10; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int MailsPerEmail { get; set; } = 10;

    /// <summary>How old a sign-in may be for what is dangerous: other passwords, e-mails and second steps, new API keys, deleting an account. Default 15 minutes; 0: any age; up to 1 day.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "1.00:00:00")]
    public TimeSpan StepUpAfter { get; set; } = TimeSpan.FromMinutes(15);

    /// <summary>How many wrong codes an account's second step takes in a day, from addresses it was never signed in from; others have as many of their own. Default 20; 0: no limit.</summary>
    [Range(0, 1_000_000)]
    public int CodeFailuresPerDay { get; set; } = 20;

    /// <summary>Refuses new passwords that are tried first: those of the list in the program, and of <c>PasswordFilter</c>. Default: true where PublicUrl or PasswordFilter is set, otherwise false.</summary>
    public bool? RefuseCommonPasswords { get; set; }

    /// <summary>A file that tandem password-filter build has made, such as of the passwords that Have I Been Pwned knows. Default none.</summary>
    public string? PasswordFilter { get; set; }

    internal bool RefusesCommonPasswords => RefuseCommonPasswords ?? (PublicUrl ?? PasswordFilter) is not null;

    internal EmailVerification Verification(MailOptions mail) => EmailVerification ?? (mail.Host is null ? Users.EmailVerification.Off : Users.EmailVerification.Sent);
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
