using System.ComponentModel.DataAnnotations;

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
}

/// <summary>The first administrator, section <c>Admin</c>: TANDEM_ADMIN__EMAIL and TANDEM_ADMIN__PASSWORD.</summary>
public sealed class AdminOptions
{
    /// <summary>Made an administrator at start when no account has this e-mail. An account that exists is left as it is. Default: none.</summary>
    public string? Email { get; set; }

    /// <summary>Its password, 8 to 256 characters. Default: none.</summary>
    public string? Password { get; set; }
}
