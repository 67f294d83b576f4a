using System.Globalization;
using System.Text;

namespace Tandem.Users.Hashes;

/// <summary>Numbers and bytes as hashes spell them. Each has one spelling: what reads back differently is refused.</summary>
static class HashText
{
    const string Base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    /// <summary>A decimal number without sign and leading zeros, between <paramref name="least"/> and <paramref name="most"/>.</summary>
    /// <param name="what">Begins the message: "iterations".</param>
    public static int Number(string text, string what, int least, int most)
    {
        if (text.Length == 0 || text.Length > 1 && text[0] == '0' || text.Any(c => !char.IsAsciiDigit(c)))
            throw new BadHashException($"has {what} that are no number");
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) || value > most)
            throw new BadHashException($"has {what} of more than {most.ToString("N0", CultureInfo.InvariantCulture)}");
        return value >= least ? value : throw new BadHashException($"has {what} of less than {least.ToString("N0", CultureInfo.InvariantCulture)}");
    }

    /// <summary>The value of <c>name=value</c>, or null when it is something else.</summary>
    public static string? Value(string part, string name) => part.Length > name.Length && part[name.Length] == '=' && part.StartsWith(name, StringComparison.Ordinal) ? part[(name.Length + 1)..] : null;

    /// <summary>Base64 with padding.</summary>
    public static byte[] Base64(string text, string what, int least, int most)
    {
        var bytes = new byte[text.Length / 4 * 3 + 3];
        if (!Convert.TryFromBase64String(text, bytes, out var length) || Convert.ToBase64String(bytes, 0, length) != text)
            throw new BadHashException($"has a {what} that is not whole");
        return Between(bytes[..length], what, least, most);
    }

    /// <summary>Base64 without padding, as in PHC strings.</summary>
    public static byte[] Unpadded(string text, string what, int least, int most) =>
        text.EndsWith('=') ? throw new BadHashException($"has a {what} with padding") : Base64(text.PadRight((text.Length + 3) / 4 * 4, '='), what, least, most);

    /// <summary>The same over another alphabet of 64 characters; bits are taken in base64's order.</summary>
    public static byte[] Unpadded(string text, string alphabet, string what, int least, int most) => Unpadded(
        string.Create(text.Length, (text, alphabet, what), static (to, from) =>
        {
            for (var i = 0; i < to.Length; i++)
                to[i] = from.alphabet.IndexOf(from.text[i]) is >= 0 and var at ? Base64Alphabet[at] : throw new BadHashException($"has a {from.what} that is not whole");
        }), what, least, most);

    /// <summary>Hexadecimal in lower case.</summary>
    public static byte[] Hex(string text, string what, int least, int most) => IsHex(text)
        ? Between(Convert.FromHexString(text), what, least, most)
        : throw new BadHashException($"has a {what} that is not hexadecimal in lower case");

    public static bool IsHex(string text) => text.Length % 2 == 0 && text.All(c => char.IsAsciiHexDigitLower(c));

    public static string Encode(byte[] bytes) => Convert.ToBase64String(bytes).TrimEnd('=');

    /// <summary>A salt that its program takes as text.</summary>
    public static byte[] Text(string text, string what, int least, int most) => Between(Encoding.UTF8.GetBytes(text), what, least, most);

    static byte[] Between(byte[] bytes, string what, int least, int most)
    {
        if (bytes.Length >= least && bytes.Length <= most)
            return bytes;
        throw new BadHashException(least == most
            ? $"has a {what} of {bytes.Length} bytes where there must be {least}"
            : $"has a {what} of {bytes.Length} bytes where there must be {least} to {most}");
    }
}
