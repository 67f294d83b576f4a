using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Tandem.Users.Tickets;

/// <summary>The drawn texts that prove something, and what is stored of them.</summary>
static class Secret
{
    // Five tries at eight digits: one in twenty million.
    const int CodeDigits = 8;

    /// <summary>256 random bits in 43 characters.</summary>
    public static string New() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));

    /// <summary>Such as <c>1234 5678</c>.</summary>
    public static string NewCode()
    {
        var digits = RandomNumberGenerator.GetInt32((int)Math.Pow(10, CodeDigits)).ToString("d" + CodeDigits, CultureInfo.InvariantCulture);
        return $"{digits[..4]} {digits[4..]}";
    }

    /// <summary>SHA-256 in hexadecimal; of what has 256 random bits nothing more is needed.</summary>
    public static string Digest(string secret) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret)));

    /// <summary>Of what a person types: without blanks and hyphens, in lower case, and together with what it belongs to.</summary>
    public static string Digest(string owner, string typed) => Digest(owner + ":" + string.Concat(typed.Where(c => !char.IsWhiteSpace(c) && c != '-')).ToLowerInvariant());

    public static bool Same(string digest, string other) => CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(digest), Encoding.ASCII.GetBytes(other));
}
