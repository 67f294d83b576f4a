using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using static Tandem.Users.Hashes.HashText;

namespace Tandem.Users.Hashes;

/// <summary>
/// PBKDF2 (RFC 8018) over HMAC, stored as the PHC string <c>$pbkdf2-sha256$i=600000,l=32$salt$hash</c>. Also taken: Django's <c>pbkdf2_sha256$…</c> and
/// <c>pbkdf2_sha1$…</c>, passlib's <c>$pbkdf2-sha256$29000$…</c>, Werkzeug's <c>pbkdf2:sha256:…</c>, and the base64 of ASP.NET Identity, V2 and V3.
/// </summary>
sealed class Pbkdf2Hash : StoredHash
{
    /// <summary>Iterations times blocks of the digest's size that the hash is long: 3 seconds of one core, 5 for SHA-512. Django makes a million.</summary>
    const int MaxRounds = 10_000_000;

    const string PasslibAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./";

    readonly HashAlgorithmName _digest;
    readonly int _iterations;
    readonly byte[] _salt;
    readonly byte[] _hash;

    Pbkdf2Hash(string digest, int iterations, byte[] salt, byte[] hash) : base(Format(digest, iterations, hash.Length, Encode(salt), Encode(hash)), Rounds(digest, iterations, hash.Length) / (digest == "sha512" ? 1900.0 : 3400)) =>
        (_digest, _iterations, _salt, _hash) = (digest switch { "sha1" => HashAlgorithmName.SHA1, "sha256" => HashAlgorithmName.SHA256, _ => HashAlgorithmName.SHA512 }, iterations, salt, hash);

    /// <summary>The text of a hash whose parts stand apart.</summary>
    /// <param name="digest">sha1, sha256 or sha512.</param>
    /// <param name="length">Bytes of the hash.</param>
    public static string Format(string digest, int iterations, int length, string salt, string hash) =>
        string.Create(CultureInfo.InvariantCulture, $"$pbkdf2-{digest}$i={iterations},l={length}${salt}${hash}");

    /// <returns>Null when it is of another form.</returns>
    public static StoredHash? Find(string text)
    {
        var parts = text.Split('$');
        if (parts is ["", { } named, ..] && (named == "pbkdf2" || named.StartsWith("pbkdf2-", StringComparison.Ordinal)))
            return FromPhc(named == "pbkdf2" ? "sha1" : Known(named["pbkdf2-".Length..]), parts);
        if (parts[0].StartsWith("pbkdf2_", StringComparison.Ordinal))
        {
            var digest = Known(parts[0]["pbkdf2_".Length..]);
            return parts is [_, var iterations, var salt, var hash]
                ? Make(digest, iterations, Text(salt, "salt", 1, 128), Base64(hash, "hash", Size(digest), Size(digest)))
                : throw new BadHashException("is not pbkdf2_DIGEST$ITERATIONS$SALT$HASH");
        }

        if (parts[0].StartsWith("pbkdf2:", StringComparison.Ordinal))
            return parts is [var costs, var salt, var hash] && costs.Split(':') is [_, var digest, var iterations]
                ? Make(Known(digest), iterations, Text(salt, "salt", 1, 128), Hex(hash, "hash", Size(digest), Size(digest)))
                : throw new BadHashException("is not pbkdf2:DIGEST:ITERATIONS$SALT$HASH");
        return FromIdentity(text);
    }

    static Pbkdf2Hash FromPhc(string digest, string[] parts)
    {
        if (parts is not [_, _, var costs, var salt, var hash])
            throw new BadHashException("is PBKDF2 without its iterations, its salt or its hash");
        if (costs.Split(',') is [var i, var l] && Value(i, "i") is { } iterations && Value(l, "l") is { } length)
        {
            var bytes = Number(length, "a length (l)", 16, 64);
            return Make(digest, iterations, Unpadded(salt, "salt", 1, 128), Unpadded(hash, "hash", bytes, bytes));
        }

        return Make(digest, costs, Unpadded(salt, PasslibAlphabet, "salt", 1, 128), Unpadded(hash, PasslibAlphabet, "hash", Size(digest), Size(digest)));
    }

    /// <summary>
    /// ASP.NET Identity's PasswordHasher. V2: a zero, 16 bytes of salt, 32 of PBKDF2-SHA1 by 1,000 iterations. V3: a one; digest, iterations and length
    /// of the salt as big-endian numbers of four bytes; salt; 32 bytes of hash.
    /// </summary>
    static Pbkdf2Hash? FromIdentity(string text)
    {
        var bytes = new byte[text.Length];
        if (!Convert.TryFromBase64String(text, bytes, out var length) || length < 1 || Convert.ToBase64String(bytes, 0, length) != text)
            return null;
        bytes = bytes[..length];
        if (bytes is [0, ..] && length == 49)
            return new Pbkdf2Hash("sha1", 1000, bytes[1..17], bytes[17..]);
        if (bytes is not [1, ..] || length < 13)
            return null;
        uint At(int offset) => BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(offset));
        var digest = At(1) switch { 0 => "sha1", 1 => "sha256", 2 => "sha512", _ => throw new BadHashException("is of ASP.NET Identity with a digest that is not known") };
        if (At(9) is < 8 or > 128 || length != 13 + At(9) + 32)
            throw new BadHashException("is of ASP.NET Identity without a salt of 8 to 128 bytes and a hash of 32");
        var salt = (int)At(9);
        return Make(digest, At(5).ToString(CultureInfo.InvariantCulture), bytes[13..(13 + salt)], bytes[(13 + salt)..]);
    }

    static Pbkdf2Hash Make(string digest, string iterations, byte[] salt, byte[] hash)
    {
        var count = Number(iterations, "PBKDF2 iterations", 1, MaxRounds);
        if (Rounds(digest, count, hash.Length) > MaxRounds)
            throw new BadHashException($"has PBKDF2 iterations times blocks of more than {MaxRounds:N0}");
        return new Pbkdf2Hash(digest, count, salt, hash);
    }

    static long Rounds(string digest, int iterations, int length) => (long)iterations * ((length + Size(digest) - 1) / Size(digest));

    static int Size(string digest) => digest switch { "sha1" => 20, "sha256" => 32, _ => 64 };

    static string Known(string digest) => digest is "sha1" or "sha256" or "sha512" ? digest : throw new BadHashException("is PBKDF2 over another digest than sha1, sha256 and sha512");

    protected override bool Fits(byte[] password) => CryptographicOperations.FixedTimeEquals(Rfc2898DeriveBytes.Pbkdf2(password, _salt, _iterations, _digest, _hash.Length), _hash);
}
