using System.Security.Cryptography;
using static Tandem.Users.Hashes.HashText;

namespace Tandem.Users.Hashes;

/// <summary>
/// One plain digest of password and salt, stored as <c>$digest$a=sha1,s=suffix$salt$hash</c> (s: none, prefix or suffix). So are taken LDAP's
/// <c>{SHA}</c>, <c>{SSHA}</c>, <c>{MD5}</c>, <c>{SMD5}</c> and those of SHA-256 and SHA-512, Django's <c>sha1$salt$hex</c> and <c>md5$salt$hex</c>, a bare
/// MD5 in hexadecimal, and Auth0's.
/// </summary>
/// <remarks>Whoever gets hold of such a hash tries billions a second: another reason to have it replaced at the first sign-in.</remarks>
sealed class DigestHash : StoredHash
{
    readonly string _digest;
    readonly string _place;
    readonly byte[] _salt;
    readonly byte[] _hash;

    DigestHash(string digest, string place, byte[] salt, byte[] hash) : base(Format(digest, place, Encode(salt), Encode(hash)), 0) =>
        (_digest, _place, _salt, _hash) = (digest, place, salt, hash);

    /// <summary>The text of a hash whose parts stand apart.</summary>
    /// <param name="digest">md5, sha1, sha256 or sha512.</param>
    /// <param name="place">none, prefix or suffix.</param>
    public static string Format(string digest, string place, string salt, string hash) => $"$digest$a={digest},s={place}${salt}${hash}";

    /// <returns>Null when it is of another form.</returns>
    public static StoredHash? Find(string text)
    {
        if (text.StartsWith("$digest$", StringComparison.Ordinal))
            return FromOwn(text);
        if (text.StartsWith('{'))
            return FromLdap(text);
        if (text.Split('$') is ["md5" or "sha1", _, _] and [var digest, var salt, var hex])
            return salt == ""
                ? new DigestHash(digest, "none", [], Hex(hex, "hash", Size(digest), Size(digest)))
                : new DigestHash(digest, "prefix", Text(salt, "salt", 1, 128), Hex(hex, "hash", Size(digest), Size(digest)));
        return text.Length == 32 && IsHex(text) ? new DigestHash("md5", "none", [], Convert.FromHexString(text)) : null;
    }

    static DigestHash FromOwn(string text)
    {
        if (text.Split('$') is not [_, _, var how, var salt, var hash] || how.Split(',') is not [var a, var s]
            || Value(a, "a") is not ("md5" or "sha1" or "sha256" or "sha512") || Value(s, "s") is not ("none" or "prefix" or "suffix"))
            throw new BadHashException("is not $digest$a=…,s=…$SALT$HASH");
        var (digest, place) = (a[2..], s[2..]);
        return new DigestHash(digest, place, Unpadded(salt, "salt", place == "none" ? 0 : 1, place == "none" ? 0 : 128), Unpadded(hash, "hash", Size(digest), Size(digest)));
    }

    /// <summary>RFC 2307: base64 of the digest, with the salt behind it where the name begins with a second S.</summary>
    static DigestHash? FromLdap(string text)
    {
        var name = text.IndexOf('}') is > 0 and var end ? text[1..end] : "";
        var (digest, salted) = name switch
        {
            "MD5" => ("md5", false),
            "SMD5" => ("md5", true),
            "SHA" => ("sha1", false),
            "SSHA" => ("sha1", true),
            "SHA256" => ("sha256", false),
            "SSHA256" => ("sha256", true),
            "SHA512" => ("sha512", false),
            "SSHA512" => ("sha512", true),
            _ => ("", false),
        };
        if (digest == "")
            return null;
        var size = Size(digest);
        var bytes = Base64(text[(name.Length + 2)..], "hash", size + (salted ? 1 : 0), size + (salted ? 128 : 0));
        return new DigestHash(digest, salted ? "suffix" : "none", bytes[size..], bytes[..size]);
    }

    static int Size(string digest) => digest switch { "md5" => 16, "sha1" => 20, "sha256" => 32, _ => 64 };

    protected override bool Fits(byte[] password)
    {
        byte[] salted = _place == "prefix" ? [.. _salt, .. password] : [.. password, .. _salt];
        return CryptographicOperations.FixedTimeEquals(_hash, _digest switch
        {
            "md5" => MD5.HashData(salted),
            "sha1" => SHA1.HashData(salted),
            "sha256" => SHA256.HashData(salted),
            _ => SHA512.HashData(salted),
        });
    }
}
