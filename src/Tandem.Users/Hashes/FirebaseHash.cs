using System.Globalization;
using System.Security.Cryptography;
using Org.BouncyCastle.Crypto.Generators;
using static Tandem.Users.Hashes.HashText;

namespace Tandem.Users.Hashes;

/// <summary>
/// Firebase's variant of scrypt, in the form that GoTrue made for it: <c>$fbscrypt$v=1,n=14,r=8,p=1,ss=…,sk=…$salt$hash</c>, with the project's salt
/// separator and signer key in each hash. The key, encrypted under what scrypt makes of the password, is the hash (github.com/firebase/scrypt).
/// </summary>
sealed class FirebaseHash : StoredHash
{
    readonly int _n;
    readonly int _r;
    readonly int _p;
    readonly byte[] _salt;
    readonly byte[] _signer;
    readonly byte[] _hash;

    FirebaseHash(string text, int n, int r, int p, byte[] salt, byte[] signer, byte[] hash) : base(text, ScryptHash.CostOf(n, r, p)) =>
        (_n, _r, _p, _salt, _signer, _hash) = (n, r, p, salt, signer, hash);

    /// <summary>The text of a hash as Firebase exports it; all but the numbers is base64.</summary>
    public static string Format(int memoryCost, int rounds, string separator, string signer, string salt, string hash) =>
        string.Create(CultureInfo.InvariantCulture, $"$fbscrypt$v=1,n={memoryCost},r={rounds},p=1,ss={separator},sk={signer}${salt}${hash}");

    /// <returns>Null when it is of another form.</returns>
    public static StoredHash? Find(string text)
    {
        if (!text.StartsWith("$fbscrypt$", StringComparison.Ordinal))
            return null;
        if (text.Split('$') is not [_, _, var costs, var salt, var hash] || costs.Split(',') is not ["v=1", var n, var r, var p, .. var keys]
            || Value(n, "n") is not { } memory || Value(r, "r") is not { } rounds || Value(p, "p") is not { } lanes
            || Keys(keys) is not var (separator, signer))
            throw new BadHashException("is not $fbscrypt$v=1,n=…,r=…,p=…,ss=…,sk=…$SALT$HASH");
        var (cost, block, ways) = (1 << Number(memory, "a scrypt cost (n)", 1, 21), Number(rounds, "scrypt rounds (r)", 1, 256), Number(lanes, "scrypt lanes (p)", 1, 256));
        ScryptHash.CheckCost(cost, block, ways);
        var key = Base64(signer, "signer key (sk)", 16, 128);
        return new FirebaseHash(text, cost, block, ways, [.. Base64(salt, "salt", 1, 64), .. separator is null ? [] : Base64(separator, "salt separator (ss)", 1, 64)], key,
            Base64(hash, "hash", key.Length, key.Length));
    }

    static (string? Separator, string Signer)? Keys(string[] keys) => keys switch
    {
        [var ss, var sk] when Value(ss, "ss") is { } separator && Value(sk, "sk") is { } signer => (separator, signer),
        [var sk] when Value(sk, "sk") is { } signer => (null, signer),
        _ => null,
    };

    protected override bool Fits(byte[] password)
    {
        using var aes = Aes.Create();
        aes.Key = SCrypt.Generate(password, _salt, _n, _r, _p, 32);
        // AES in counter mode, from zero on: the blocks that the numbers encrypt to, over the key.
        var stream = new byte[(_signer.Length + 15) / 16 * 16];
        for (var block = 0; block < stream.Length / 16; block++)
            stream[block * 16 + 15] = (byte)block;
        stream = aes.EncryptEcb(stream, PaddingMode.None);
        var hash = new byte[_signer.Length];
        for (var i = 0; i < hash.Length; i++)
            hash[i] = (byte)(_signer[i] ^ stream[i]);
        return CryptographicOperations.FixedTimeEquals(hash, _hash);
    }
}
