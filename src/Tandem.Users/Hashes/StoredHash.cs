using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Tandem.Users.Hashes;

/// <summary>A password's hash as it is stored: our own Argon2id, or one that another program made and that is kept until its owner signs in.</summary>
/// <remarks>
/// <see cref="Read"/> takes every form that other programs write and brings it to one text for each kind, which it takes as well. A form has one spelling:
/// a text that differs in any character is another hash or none. Costs and lengths are bounded here and nowhere else, whoever wrote the text.
/// </remarks>
/// <param name="text">What is stored.</param>
/// <param name="milliseconds">About how long a check takes one core; the queue of <see cref="Passwords"/> counts by it.</param>
abstract class StoredHash(string text, double milliseconds)
{
    /// <summary>The longest text that is looked at.</summary>
    public const int MaxLength = 1024;

    /// <summary>Stored for an account without a password: no password leads to it.</summary>
    public const string None = "!";

    public string Text => text;

    public double Milliseconds => milliseconds;

    /// <summary>It is as a new one would be, or stronger: nothing is gained by making it anew.</summary>
    public virtual bool IsCurrent => false;

    /// <returns>Whether the password is the one that the hash was made of.</returns>
    public bool Matches(string password)
    {
        // C programs end a password at U+0000, bcrypt repeats it behind that, and HMAC takes an end of zeros for none: three ways for another one to fit.
        if (!IsCurrent && password.Contains('\0'))
            return false;
        var bytes = Encoding.UTF8.GetBytes(password);
        try
        {
            return Fits(bytes);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    /// <param name="password">UTF-8; without zero bytes, where another program made the hash.</param>
    protected abstract bool Fits(byte[] password);

    /// <exception cref="BadHashException">It is of no form that is known, is not whole, or costs too much.</exception>
    public static StoredHash Read(string text)
    {
        if (text.Length > MaxLength)
            throw new BadHashException($"has {text.Length} characters, more than {MaxLength}");
        foreach (var c in text)
            if (c is < '!' or > '~')
                throw new BadHashException("holds a character that no hash has");
        return Argon2Hash.Find(text) ?? BcryptHash.Find(text) ?? ScryptHash.Find(text) ?? FirebaseHash.Find(text) ?? Pbkdf2Hash.Find(text)
            ?? CryptHash.Find(text) ?? PhpassHash.Find(text) ?? DigestHash.Find(text) ?? throw new BadHashException($"is of no form that is known here{Named(text)}");
    }

    public static bool TryRead(string text, [NotNullWhen(true)] out StoredHash? hash, [NotNullWhen(false)] out string? fault)
    {
        try
        {
            (hash, fault) = (Read(text), null);
            return true;
        }
        catch (BadHashException e)
        {
            (hash, fault) = (null, e.Message);
            return false;
        }
    }

    // What stands between the first two dollar signs names a form, and is no secret.
    static string Named(string text) => text.Split('$') is ["", { Length: >= 1 and <= 16 } name, _, ..] && name.All(c => char.IsAsciiLetterOrDigit(c) || c == '-') ? $": ${name}$" : "";
}

/// <summary>Why a text is no hash that can be taken, as the rest of a sentence that begins with its field; it repeats nothing of salt or hash.</summary>
sealed class BadHashException(string message) : Exception(message);
