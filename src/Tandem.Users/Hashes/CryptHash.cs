using System.Security.Cryptography;
using System.Text;
using static Tandem.Users.Hashes.HashText;

namespace Tandem.Users.Hashes;

/// <summary>
/// The hashes of Unix's crypt that are no bcrypt: SHA-crypt <c>$5$</c> and <c>$6$</c> (Drepper's "Unix crypt using SHA-256 and SHA-512") and MD5-crypt,
/// <c>$1$</c> and htpasswd's <c>$apr1$</c>.
/// </summary>
sealed class CryptHash : StoredHash
{
    public const string Alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    /// <summary>Half a second to a second of one core; passlib makes 656,000, crypt 5,000.</summary>
    const int MaxRounds = 1_000_000;

    readonly string _id;
    readonly int _rounds;
    readonly byte[] _salt;
    readonly string _hash;

    CryptHash(string text, string id, int rounds, string salt, string hash) : base(text, rounds / 1000.0) => (_id, _rounds, _salt, _hash) = (id, rounds, Encoding.ASCII.GetBytes(salt), hash);

    /// <returns>Null when it is of another form.</returns>
    public static StoredHash? Find(string text)
    {
        if (text.Split('$') is not ["", "1" or "apr1" or "5" or "6", ..] parts)
            return null;
        var sha = parts[1] is "5" or "6";
        var rounds = sha ? 5000 : 1000;
        if (sha && parts is [_, _, { } given, _, _] && Value(given, "rounds") is { } number)
            (rounds, parts) = (Number(number, "SHA-crypt rounds", 1000, MaxRounds), [.. parts[..2], .. parts[3..]]);
        var length = parts[1] switch { "5" => 43, "6" => 86, _ => 22 };
        if (parts is not [_, var id, var salt, var hash])
            throw new BadHashException("is of crypt without its salt or its hash");
        if (salt.Length < 1 || salt.Length > (sha ? 16 : 8) || salt.Contains(':'))
            throw new BadHashException($"has a salt that is not of 1 to {(sha ? 16 : 8)} characters");
        if (hash.Length != length || hash.Any(c => !Alphabet.Contains(c)))
            throw new BadHashException($"has a hash that is not of {length} characters of crypt's alphabet");
        return new CryptHash(text, id, rounds, salt, hash);
    }

    protected override bool Fits(byte[] password)
    {
        var hash = _id switch
        {
            "5" => Encode(Sha(password, HashAlgorithmName.SHA256, 32), Order(32, 3, start: [0, 10, 20], step: 21, modulus: 30), [31, 30]),
            "6" => Encode(Sha(password, HashAlgorithmName.SHA512, 64), Order(64, 3, start: [0, 21, 42], step: 22, modulus: 63), [63]),
            _ => Encode(Md5(password), [0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 4, 10, 5], [11]),
        };
        return CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(hash), Encoding.ASCII.GetBytes(_hash));
    }

    byte[] Sha(byte[] password, HashAlgorithmName name, int size)
    {
        using var digest = IncrementalHash.CreateHash(name);
        digest.AppendData(password);
        digest.AppendData(_salt);
        digest.AppendData(password);
        var b = digest.GetHashAndReset();

        digest.AppendData(password);
        digest.AppendData(_salt);
        AppendRepeated(digest, b, password.Length);
        for (var bits = password.Length; bits > 0; bits >>= 1)
            digest.AppendData((bits & 1) != 0 ? b : password);
        var a = digest.GetHashAndReset();

        foreach (var _ in password)
            digest.AppendData(password);
        var p = Repeated(digest.GetHashAndReset(), password.Length);
        for (var i = 0; i < 16 + a[0]; i++)
            digest.AppendData(_salt);
        var s = Repeated(digest.GetHashAndReset(), _salt.Length);
        return Stir(digest, a, _rounds, s, p);
    }

    byte[] Md5(byte[] password)
    {
        using var digest = IncrementalHash.CreateHash(HashAlgorithmName.MD5);
        digest.AppendData(password);
        digest.AppendData(_salt);
        digest.AppendData(password);
        var b = digest.GetHashAndReset();

        digest.AppendData(password);
        digest.AppendData(Encoding.ASCII.GetBytes($"${_id}$"));
        digest.AppendData(_salt);
        AppendRepeated(digest, b, password.Length);
        // The first letter of the password, or a zero: a slip of the first MD5-crypt that all others keep.
        for (var bits = password.Length; bits > 0; bits >>= 1)
            digest.AppendData((bits & 1) != 0 ? "\0"u8 : password.AsSpan(0, 1));
        return Stir(digest, digest.GetHashAndReset(), _rounds, _salt, password);
    }

    static byte[] Stir(IncrementalHash digest, byte[] state, int rounds, byte[] salt, byte[] password)
    {
        for (var round = 0; round < rounds; round++)
        {
            digest.AppendData(round % 2 != 0 ? password : state);
            if (round % 3 != 0)
                digest.AppendData(salt);
            if (round % 7 != 0)
                digest.AppendData(password);
            digest.AppendData(round % 2 != 0 ? state : password);
            digest.GetHashAndReset(state);
        }

        return state;
    }

    static void AppendRepeated(IncrementalHash digest, byte[] bytes, int length)
    {
        for (; length > bytes.Length; length -= bytes.Length)
            digest.AppendData(bytes);
        digest.AppendData(bytes, 0, length);
    }

    static byte[] Repeated(byte[] bytes, int length)
    {
        var all = new byte[length];
        for (var i = 0; i < length; i++)
            all[i] = bytes[i % bytes.Length];
        return all;
    }

    /// <summary>The order in which SHA-crypt writes its bytes: three at a time, each group as far behind the one before as <paramref name="step"/> says.</summary>
    static int[] Order(int size, int group, int[] start, int step, int modulus)
    {
        var order = new int[size / group * group];
        for (var at = 0; at < order.Length; at += group)
            for (var i = 0; i < group; i++)
                order[at + i] = (start[i] + at / group * step) % modulus;
        return order;
    }

    static string Encode(byte[] hash, int[] order, int[] rest)
    {
        var text = new StringBuilder();
        for (var at = 0; at < order.Length; at += 3)
            Append(text, hash[order[at]] << 16 | hash[order[at + 1]] << 8 | hash[order[at + 2]], 4);
        Append(text, rest.Aggregate(0, (bits, at) => bits << 8 | hash[at]), rest.Length + 1);
        return text.ToString();
    }

    /// <summary>Six bits a letter, the lowest first.</summary>
    public static void Append(StringBuilder text, int bits, int letters)
    {
        for (; letters > 0; letters--, bits >>= 6)
            text.Append(Alphabet[bits & 63]);
    }
}
