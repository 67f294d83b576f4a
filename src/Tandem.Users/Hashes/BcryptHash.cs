using System.Security.Cryptography;
using System.Text;
using Org.BouncyCastle.Crypto.Generators;
using static Tandem.Users.Hashes.HashText;

namespace Tandem.Users.Hashes;

/// <summary>
/// bcrypt, <c>$2b$10$</c> and 53 characters of salt and hash: alone (htpasswd, PHP, Auth0, GoTrue, PocketBase; behind <c>bcrypt$</c> Django's) or over
/// a digest of the password: Django's <c>bcrypt_sha256$$2b$…</c> and WordPress's <c>$wp$2y$…</c>.
/// </summary>
/// <remarks>As everywhere, only the first 72 bytes of a password count where it is hashed as it is; whoever signs in gets a hash of the whole.</remarks>
sealed class BcryptHash : StoredHash
{
    const string Alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const string Sha256 = "bcrypt_sha256$";
    const string WordPress = "$wp";
    const int MaxPasswordBytes = 72;

    /// <summary>2^15 rounds: four seconds of one core. Programs make 10 to 13.</summary>
    const int MaxCost = 15;

    readonly string _before;
    readonly int _cost;
    readonly byte[] _salt;
    readonly byte[] _hash;

    BcryptHash(string text, string before, int cost, byte[] salt, byte[] hash) : base(text, 0.13 * (1 << cost)) => (_before, _cost, _salt, _hash) = (before, cost, salt, hash);

    /// <returns>Null when it is of another form.</returns>
    public static StoredHash? Find(string text)
    {
        if (text.StartsWith("bcrypt$$", StringComparison.Ordinal))
            text = text["bcrypt$".Length..];
        var before = text.StartsWith(Sha256, StringComparison.Ordinal) ? Sha256 : text.StartsWith(WordPress + "$2", StringComparison.Ordinal) ? WordPress : "";
        if (text[before.Length..] is not ['$', '2', var kind, .. var rest])
            return before == "" ? null : throw new BadHashException("names bcrypt and is none");
        if (kind == 'x')
            throw new BadHashException("is marked $2x$: made by a bcrypt of before 2011 that read other letters than ASCII wrongly");
        if (kind is not ('a' or 'b' or 'y'))
            throw new BadHashException("is bcrypt of a kind other than $2a$, $2b$ and $2y$");
        if (rest is not ['$', var tens, var ones, '$', .. { Length: 53 } end] || !char.IsAsciiDigit(tens) || !char.IsAsciiDigit(ones))
            throw new BadHashException("is bcrypt without its cost in two digits and 53 characters of salt and hash");
        var cost = Number(tens == '0' ? $"{ones}" : $"{tens}{ones}", "a bcrypt cost", 4, MaxCost);
        // The hash's last byte is dropped, as every bcrypt does: 23 are left.
        return new BcryptHash(text, before, cost, Unpadded(end[..22], Alphabet, "salt", 16, 16), Unpadded(end[22..], Alphabet, "hash", 23, 23));
    }

    protected override bool Fits(byte[] password)
    {
        var key = _before switch
        {
            Sha256 => Encoding.ASCII.GetBytes(Convert.ToHexStringLower(SHA256.HashData(password))),
            WordPress => Encoding.ASCII.GetBytes(Convert.ToBase64String(HMACSHA384.HashData("wp-sha384"u8, password))),
            _ => password,
        };
        byte[] terminated = key.Length >= MaxPasswordBytes ? key[..MaxPasswordBytes] : [.. key, 0];
        var hash = BCrypt.Generate(terminated, _salt, _cost, addTerminator: false);
        return CryptographicOperations.FixedTimeEquals(hash.AsSpan(0, _hash.Length), _hash);
    }
}
