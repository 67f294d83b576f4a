using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Tandem.Users.Tokens;

/// <summary>
/// How an API key is written: <c>tdm_</c>, the key's id (32 hexadecimal digits), its secret (43 letters and digits: 256 bits) and a checksum (6 of them).
/// </summary>
/// <remarks>
/// What has leaked is found by <c>tdm_[0-9a-f]{32}[0-9A-Za-z]{49}</c>, and the checksum tells it from text that looks alike without asking anybody: the first four
/// bytes of SHA-256 over all that stands before it, big-endian, in base 62 with digits first, then capitals, then small letters.
/// </remarks>
static class ApiKeyText
{
    public const string Prefix = "tdm_";

    const int IdLength = 32;
    // 62^43 is just above 2^256.
    const int SecretLength = 43;
    const int ChecksumLength = 6;
    const int Length = 4 + IdLength + SecretLength + ChecksumLength;
    const string Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    /// <summary>Makes a new secret.</summary>
    public static (string Text, string Digest) Make(Guid id)
    {
        var secret = RandomNumberGenerator.GetString(Alphabet, SecretLength);
        var text = $"{Prefix}{id:n}{secret}";
        return (text + Checksum(text), DigestOf(secret));
    }

    /// <param name="text">What was sent.</param>
    /// <param name="id">The key that it names.</param>
    /// <param name="digest">Of its secret, to be compared with the stored one.</param>
    /// <returns>False for anything that is not exactly of the form.</returns>
    public static bool TryRead(string text, out Guid id, out string digest)
    {
        (id, digest) = (Guid.Empty, "");
        if (text.Length != Length || !text.StartsWith(Prefix, StringComparison.Ordinal))
            return false;
        var name = text.AsSpan(Prefix.Length, IdLength);
        var secret = text.AsSpan(Prefix.Length + IdLength, SecretLength);
        // There is one way only to write a key.
        if (name.ContainsAnyExcept("0123456789abcdef") || secret.ContainsAnyExcept(Alphabet) || !text.EndsWith(Checksum(text.AsSpan(0, Length - ChecksumLength)), StringComparison.Ordinal))
            return false;
        digest = DigestOf(secret);
        return Guid.TryParseExact(name, "N", out id);
    }

    static string DigestOf(ReadOnlySpan<char> secret) => Convert.ToHexStringLower(Hash(secret));

    static string Checksum(ReadOnlySpan<char> text)
    {
        var number = BinaryPrimitives.ReadUInt32BigEndian(Hash(text));
        Span<char> digits = stackalloc char[ChecksumLength];
        for (var i = ChecksumLength - 1; i >= 0; i--, number /= 62)
            digits[i] = Alphabet[(int)(number % 62)];
        return new string(digits);
    }

    static byte[] Hash(ReadOnlySpan<char> ascii)
    {
        Span<byte> bytes = stackalloc byte[Length];
        return SHA256.HashData(bytes[..Encoding.ASCII.GetBytes(ascii, bytes)]);
    }
}
