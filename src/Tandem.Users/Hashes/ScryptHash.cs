using System.Globalization;
using System.Numerics;
using System.Security.Cryptography;
using Org.BouncyCastle.Crypto.Generators;
using static Tandem.Users.Hashes.HashText;

namespace Tandem.Users.Hashes;

/// <summary>
/// scrypt (RFC 7914), <c>$scrypt$ln=15,r=8,p=1$salt$hash</c> of 32 bytes (passlib and PHC strings), or with <c>,l=64</c> of 64: so are stored Django's
/// <c>scrypt$n$salt$r$p$hash</c> and Werkzeug's <c>scrypt:n:r:p$salt$hex</c>.
/// </summary>
sealed class ScryptHash : StoredHash
{
    /// <summary>128 × N × r bytes: 256 MiB, twice OWASP's.</summary>
    const int MaxMemoryBlocks = 1 << 21;

    /// <summary>N × r × p: 3 seconds of one core.</summary>
    const int MaxWork = 1 << 22;

    const int ShortHash = 32;
    const int LongHash = 64;

    readonly int _n;
    readonly int _r;
    readonly int _p;
    readonly byte[] _salt;
    readonly byte[] _hash;

    ScryptHash(int n, int r, int p, byte[] salt, byte[] hash) : base(Format(BitOperations.Log2((uint)n), r, p, Encode(salt), Encode(hash), hash.Length), Cost((double)n * r * p)) =>
        (_n, _r, _p, _salt, _hash) = (n, r, p, salt, hash);

    /// <summary>100 ms for N = 2^14, r = 8, p = 1.</summary>
    static double Cost(double work) => work / 1300;

    /// <summary>The text of a hash whose parts stand apart.</summary>
    /// <param name="salt">As <paramref name="hash"/>, base64 without padding.</param>
    /// <param name="length">Bytes of the hash.</param>
    public static string Format(int ln, int r, int p, string salt, string hash, int length) =>
        string.Create(CultureInfo.InvariantCulture, $"$scrypt$ln={ln},r={r},p={p}{(length == ShortHash ? "" : $",l={length}")}${salt}${hash}");

    /// <returns>Null when it is of another form.</returns>
    public static StoredHash? Find(string text)
    {
        if (text.StartsWith("$scrypt$", StringComparison.Ordinal))
            return FromPhc(text);
        if (text.StartsWith("scrypt$", StringComparison.Ordinal))
            return text.Split('$') is [_, var n, var salt, var r, var p, var hash]
                ? Make(PowerOfTwo(n), r, p, Text(salt, "salt", 1, 128), Base64(hash, "hash", LongHash, LongHash))
                : throw new BadHashException("is not scrypt$N$SALT$R$P$HASH");
        if (text.StartsWith("scrypt:", StringComparison.Ordinal))
            return text.Split('$') is [var costs, var salt, var hash] && costs.Split(':') is [_, var n, var r, var p]
                ? Make(PowerOfTwo(n), r, p, Text(salt, "salt", 1, 128), Hex(hash, "hash", LongHash, LongHash))
                : throw new BadHashException("is not scrypt:N:R:P$SALT$HASH");
        return null;
    }

    static ScryptHash FromPhc(string text)
    {
        if (text.Split('$') is not [_, _, var costs, var salt, var hash] || costs.Split(',') is not [var n, var r, var p, .. var more] || more is not ([] or ["l=64"])
            || Value(n, "ln") is not { } ln || Value(r, "r") is not { } block || Value(p, "p") is not { } lanes)
            throw new BadHashException("is not $scrypt$ln=…,r=…,p=…$SALT$HASH");
        var length = more is [] ? ShortHash : LongHash;
        return Make(1 << Number(ln, "a scrypt cost (ln)", 1, 21), block, lanes, Unpadded(salt, "salt", 1, 128), Unpadded(hash, "hash", length, length));
    }

    static int PowerOfTwo(string n)
    {
        var value = Number(n, "a scrypt cost (N)", 2, MaxMemoryBlocks);
        return BitOperations.IsPow2(value) ? value : throw new BadHashException("has a scrypt cost (N) that is no power of two");
    }

    static ScryptHash Make(int n, string r, string p, byte[] salt, byte[] hash)
    {
        var (block, lanes) = (Number(r, "a scrypt block size (r)", 1, 256), Number(p, "scrypt lanes (p)", 1, 256));
        CheckCost(n, block, lanes);
        return new ScryptHash(n, block, lanes, salt, hash);
    }

    /// <exception cref="BadHashException">It takes too much memory or time, or is not defined.</exception>
    public static void CheckCost(int n, int r, int p)
    {
        if ((long)n * r > MaxMemoryBlocks)
            throw new BadHashException("takes more than 256 MiB by its scrypt parameters (128 × N × r)");
        if ((long)n * r * p > MaxWork)
            throw new BadHashException($"has scrypt parameters N × r × p of more than {MaxWork:N0}");
        // RFC 7914, 6: N < 2^(128 × r / 8).
        if (r == 1 && n > 1 << 15)
            throw new BadHashException("has a scrypt cost (N) that is too high for its block size (r)");
    }

    public static double CostOf(int n, int r, int p) => Cost((double)n * r * p);

    protected override bool Fits(byte[] password) => CryptographicOperations.FixedTimeEquals(SCrypt.Generate(password, _salt, _n, _r, _p, _hash.Length), _hash);
}
