using System.Security.Cryptography;
using System.Text;

namespace Tandem.Users.Hashes;

/// <summary>PHPass' portable hashes, <c>$P$</c> of WordPress before 6.8 and <c>$H$</c> of phpBB: a letter for the rounds, 8 of salt, 22 of hash.</summary>
sealed class PhpassHash : StoredHash
{
    /// <summary>2^20 rounds of MD5: a third of a second of one core. WordPress makes 2^13.</summary>
    const int MaxLogRounds = 20;

    readonly int _rounds;

    PhpassHash(string text, int rounds) : base(text, rounds / 2500.0) => _rounds = rounds;

    /// <returns>Null when it is of another form.</returns>
    public static StoredHash? Find(string text)
    {
        if (!text.StartsWith("$P$", StringComparison.Ordinal) && !text.StartsWith("$H$", StringComparison.Ordinal))
            return null;
        if (text.Length != 34 || text[3..].Any(c => !CryptHash.Alphabet.Contains(c)))
            throw new BadHashException("is PHPass without 31 characters of crypt's alphabet");
        var log = CryptHash.Alphabet.IndexOf(text[3]);
        return log is >= 7 and <= MaxLogRounds ? new PhpassHash(text, 1 << log) : throw new BadHashException($"has PHPass rounds that are not 2^7 to 2^{MaxLogRounds}");
    }

    protected override bool Fits(byte[] password)
    {
        using var digest = IncrementalHash.CreateHash(HashAlgorithmName.MD5);
        var hash = Encoding.ASCII.GetBytes(Text[4..12]);
        for (var round = 0; round <= _rounds; round++)
        {
            digest.AppendData(hash);
            digest.AppendData(password);
            hash = digest.GetHashAndReset();
        }

        var text = new StringBuilder(22);
        for (var at = 0; at < 15; at += 3)
            CryptHash.Append(text, hash[at] | hash[at + 1] << 8 | hash[at + 2] << 16, 4);
        CryptHash.Append(text, hash[15], 2);
        return CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(text.ToString()), Encoding.ASCII.GetBytes(Text[12..]));
    }
}
