using System.Text.RegularExpressions;

namespace Tandem.Users.OpenId;

/// <summary>Where a browser may be sent back to: exactly what was registered (RFC 9700, 2.1), with any port on the machine's own address (RFC 8252, 7.3).</summary>
static partial class RedirectUri
{
    public const int MaxLength = 2000;

    /// <returns>What is wrong with an address to be registered, or null.</returns>
    public static string? FaultOf(string uri) => uri switch
    {
        { Length: > MaxLength } => $"must have at most {MaxLength} characters",
        _ when uri.Any(c => c is <= ' ' or >= '\x7f' or '\\' or '"' or '<' or '>') => "must be an address in ASCII without blanks, quotes and backslashes",
        _ when uri.Contains('*') => "must name one address, without wildcards",
        _ when uri.Contains('#') => "must have no fragment",
        _ when !Uri.TryCreate(uri, UriKind.Absolute, out var parsed) || parsed.Host.Length == 0 => "must be an absolute address, like https://app.example.com/callback",
        _ when new Uri(uri).UserInfo.Length > 0 => "must have no user name",
        _ when !uri.StartsWith("https://", StringComparison.Ordinal) && !Local().IsMatch(uri) => "must be https; http goes with 127.0.0.1, [::1] and localhost alone",
        _ => null,
    };

    /// <summary>Letter by letter. Nothing is decoded or brought to a normal form first: two spellings of an address are two addresses.</summary>
    public static bool Matches(string registered, string sent) => registered == sent
        || Loopback().Match(registered) is { Success: true } ours && Loopback().Match(sent) is { Success: true } theirs
            && ours.Groups["host"].Value == theirs.Groups["host"].Value && ours.Groups["rest"].Value == theirs.Groups["rest"].Value;

    [GeneratedRegex(@"^http://(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]{1,5})?([/?].*)?\z", RegexOptions.CultureInvariant)]
    private static partial Regex Local();

    // Not localhost: what that is, a hosts file decides.
    [GeneratedRegex(@"^http://(?<host>127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?(?<rest>([/?].*)?)\z", RegexOptions.CultureInvariant)]
    private static partial Regex Loopback();
}
