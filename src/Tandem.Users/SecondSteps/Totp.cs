using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Tandem.Users.SecondSteps;

/// <summary>Time-based one-time passwords (RFC 6238) as every authenticator app makes them: HMAC-SHA-1, 30 seconds, six digits.</summary>
static class Totp
{
    /// <summary>What RFC 4226, 4 recommends: 160 bits.</summary>
    public const int SecretBytes = 20;

    public const int Digits = 6;

    const long StepSeconds = 30;

    /// <summary>RFC 6238, 4.</summary>
    public static long StepAt(DateTime utc) => new DateTimeOffset(utc, TimeSpan.Zero).ToUnixTimeSeconds() / StepSeconds;

    /// <summary>RFC 4226, 5.3.</summary>
    public static string CodeAt(ReadOnlySpan<byte> secret, long step, int digits = Digits)
    {
        Span<byte> counter = stackalloc byte[8];
        Span<byte> hash = stackalloc byte[HMACSHA1.HashSizeInBytes];
        BinaryPrimitives.WriteInt64BigEndian(counter, step);
        HMACSHA1.HashData(secret, counter, hash);
        var number = BinaryPrimitives.ReadInt32BigEndian(hash[(hash[^1] & 15)..]) & int.MaxValue;
        return (number % (int)Math.Pow(10, digits)).ToString("d" + digits, CultureInfo.InvariantCulture);
    }

    /// <summary>The step that a code is of: now's, the one before or the one after, for clocks that differ and people who type slowly (RFC 6238, 5.2).</summary>
    /// <returns>Null for a wrong code; the same work is done for any.</returns>
    public static long? StepOf(ReadOnlySpan<byte> secret, string code, DateTime utc)
    {
        long? found = null;
        for (var step = StepAt(utc) - 1; step <= StepAt(utc) + 1; step++)
            if (CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(CodeAt(secret, step)), Encoding.UTF8.GetBytes(code)))
                found = step;
        return found;
    }

    /// <summary>RFC 4648, 6, without padding: what a person types where no picture can be taken.</summary>
    public static string Base32(ReadOnlySpan<byte> bytes)
    {
        const string Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        var text = new StringBuilder();
        var (held, bits) = (0, 0);
        foreach (var b in bytes)
        {
            (held, bits) = (held << 8 | b, bits + 8);
            for (; bits >= 5; bits -= 5)
                text.Append(Alphabet[held >> (bits - 5) & 31]);
            held &= (1 << bits) - 1;
        }

        return bits == 0 ? text.ToString() : text.Append(Alphabet[held << (5 - bits) & 31]).ToString();
    }

    /// <summary>What an app reads out of the picture (Google Authenticator's key URI format).</summary>
    public static string Uri(string product, string email, string base32) =>
        $"otpauth://totp/{System.Uri.EscapeDataString(product)}:{System.Uri.EscapeDataString(email)}?secret={base32}&issuer={System.Uri.EscapeDataString(product)}&algorithm=SHA1&digits={Digits}&period={StepSeconds}";
}
