using System.Globalization;
using System.Security.Cryptography;
using NSec.Cryptography;
using Org.BouncyCastle.Crypto.Generators;
using static Tandem.Users.Hashes.HashText;
using Argon2 = Org.BouncyCastle.Crypto.Parameters.Argon2Parameters;

namespace Tandem.Users.Hashes;

/// <summary>
/// Argon2 (RFC 9106) as a PHC string, <c>$argon2id$v=19$m=19456,t=2,p=1$salt$hash</c>: our own, and those of the argon2 command, PHP, Django
/// (behind <c>argon2</c>), passlib, GoTrue. Without <c>v</c> it is version 16.
/// </summary>
sealed class Argon2Hash : StoredHash
{
    // OWASP's parameters; about 20 ms of one core by libsodium.
    const int MemoryKib = 19 * 1024;
    const int Iterations = 2;
    const int SaltBytes = 16;
    const int HashBytes = 32;

    /// <summary>256 MiB, four times what argon2 and PHP take by default.</summary>
    const int MaxMemoryKib = 256 << 10;

    /// <summary>Memory times passes: 1 GiB. By libsodium that is half a second of one core, by BouncyCastle six.</summary>
    const int MaxWorkKib = 1 << 20;

    const int MaxLanes = 64;

    readonly string _kind;
    readonly int _version;
    readonly int _memory;
    readonly int _passes;
    readonly int _lanes;
    readonly byte[] _salt;
    readonly byte[] _hash;

    Argon2Hash(string text, string kind, int version, int memory, int passes, int lanes, byte[] salt, byte[] hash)
        : base(text, (double)memory * passes / (IsNative(kind, version, lanes, salt) ? 1900 : 170)) =>
        (_kind, _version, _memory, _passes, _lanes, _salt, _hash) = (kind, version, memory, passes, lanes, salt, hash);

    public override bool IsCurrent => IsNative(_kind, _version, _lanes, _salt) && _memory >= MemoryKib && _passes >= Iterations;

    /// <summary>A new hash of today's strength.</summary>
    public static Argon2Hash Make(string password)
    {
        var salt = RandomNumberGenerator.GetBytes(SaltBytes);
        var bytes = System.Text.Encoding.UTF8.GetBytes(password);
        try
        {
            return Own(salt, Native(bytes, salt, MemoryKib, Iterations, HashBytes));
        }
        finally
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    /// <summary>Looks like any new hash, but no password leads to it: its bytes are drawn.</summary>
    public static Argon2Hash Nobodys() => Own(RandomNumberGenerator.GetBytes(SaltBytes), RandomNumberGenerator.GetBytes(HashBytes));

    static Argon2Hash Own(byte[] salt, byte[] hash) => new(Format("argon2id", 19, MemoryKib, Iterations, 1, Encode(salt), Encode(hash)), "argon2id", 19, MemoryKib, Iterations, 1, salt, hash);

    /// <summary>The text of a hash whose parts stand apart.</summary>
    /// <param name="kind">argon2id, argon2i or argon2d.</param>
    public static string Format(string kind, int version, int memoryKib, int passes, int lanes, string salt, string hash) =>
        string.Create(CultureInfo.InvariantCulture, $"${kind}$v={version}$m={memoryKib},t={passes},p={lanes}${salt}${hash}");

    /// <returns>Null when it is of another form.</returns>
    public static StoredHash? Find(string text)
    {
        if (text.StartsWith("argon2$argon2", StringComparison.Ordinal))
            text = text["argon2".Length..];
        if (text.Split('$') is not ["", "argon2id" or "argon2i" or "argon2d", ..] parts)
            return null;
        var (version, rest) = parts is [_, _, "v=19", ..] ? (19, parts[3..]) : parts is [_, _, "v=16", ..] ? (16, parts[3..]) : (16, parts[2..]);
        if (rest is not [var costs, var salt, var hash] || costs.Split(',') is not [var m, var t, var p]
            || Value(m, "m") is not { } memory || Value(t, "t") is not { } passes || Value(p, "p") is not { } lanes)
            throw new BadHashException("is Argon2 without its parameters v=…$m=…,t=…,p=…, its salt or its hash");
        var (kib, times, ways) = (Number(memory, "argon2 memory in KiB (m)", 8, MaxMemoryKib), Number(passes, "argon2 passes (t)", 1, MaxWorkKib), Number(lanes, "argon2 lanes (p)", 1, MaxLanes));
        if ((long)kib * times > MaxWorkKib)
            throw new BadHashException($"has argon2 memory times passes (m × t) of more than {MaxWorkKib:N0} KiB");
        if (kib < 8 * ways)
            throw new BadHashException("has argon2 memory (m) of less than 8 KiB a lane (p)");
        return new Argon2Hash(text, parts[1], version, kib, times, ways, Unpadded(salt, "salt", 8, 64), Unpadded(hash, "hash", 16, 64));
    }

    protected override bool Fits(byte[] password) => CryptographicOperations.FixedTimeEquals(_hash,
        IsNative(_kind, _version, _lanes, _salt) ? Native(password, _salt, _memory, _passes, _hash.Length) : Managed(password));

    /// <summary>libsodium has one lane, one kind and one length of salt.</summary>
    static bool IsNative(string kind, int version, int lanes, byte[] salt) => kind == "argon2id" && version == 19 && lanes == 1 && salt.Length == SaltBytes;

    static byte[] Native(byte[] password, byte[] salt, int memory, int passes, int length) => PasswordBasedKeyDerivationAlgorithm.Argon2id(new Argon2Parameters
    {
        DegreeOfParallelism = 1,
        MemorySize = memory,
        NumberOfPasses = passes,
    }).DeriveBytes(password, salt, length);

    byte[] Managed(byte[] password)
    {
        var argon2 = new Argon2BytesGenerator();
        argon2.Init(new Argon2.Builder(_kind switch { "argon2d" => Argon2.Argon2d, "argon2i" => Argon2.Argon2i, _ => Argon2.Argon2id })
            .WithVersion(_version).WithMemoryAsKB(_memory).WithIterations(_passes).WithParallelism(_lanes).WithSalt(_salt).Build());
        var hash = new byte[_hash.Length];
        argon2.GenerateBytes(password, hash);
        return hash;
    }
}
