using System.Globalization;
using System.IO.MemoryMappedFiles;
using System.Security.Cryptography;
using System.Text;

namespace Tandem.Users.CommonPasswords;

/// <summary>Makes a <see cref="PasswordFilter"/> of a list that is read twice, line by line: once to count, once to set the bits. The list may be of any size.</summary>
/// <param name="source">The list.</param>
/// <param name="areWords">Lines are passwords; otherwise <c>SHA-1:COUNT</c>, as Have I Been Pwned gives them.</param>
/// <param name="minCount">Entries that were seen less often are left out.</param>
/// <param name="progress">Is told which share of the work is done, 0 to 1, and how many entries were found.</param>
sealed class FilterMaker(string source, bool areWords, long minCount, Action<double, long> progress)
{
    const int LinesBetweenReports = 1 << 18;

    /// <param name="target">Written beside, and put in place when it is whole.</param>
    /// <param name="falsePositives">Which share of other passwords it will take for one of the list.</param>
    /// <returns>How many entries it has, and how many bytes.</returns>
    /// <exception cref="InvalidDataException">A line is not of that form, or nothing is in the list.</exception>
    public (long Entries, long Bytes) Make(string target, double falsePositives, CancellationToken ct)
    {
        var entries = 0L;
        foreach (var _ in Hashes(0, ct))
            entries++;
        if (entries == 0)
            throw new InvalidDataException($"{source} has no entry that was seen {minCount} times or more.");
        // Bloom 1970, in today's words: m = −n·ln p / ln² 2, k = m/n · ln 2.
        var bits = (ulong)Math.Ceiling(-entries * Math.Log(falsePositives) / (Math.Log(2) * Math.Log(2)) / 8) * 8;
        var probes = Math.Max(1, (int)Math.Round(bits / (double)entries * Math.Log(2)));
        var bytes = PasswordFilter.HeaderBytes + (long)(bits / 8);
        var part = target + ".part";
        using (var file = MemoryMappedFile.CreateFromFile(part, FileMode.Create, null, bytes))
        using (var view = file.CreateViewAccessor(0, bytes))
        {
            view.WriteArray(0, PasswordFilter.Header(probes, bits, entries), 0, PasswordFilter.HeaderBytes);
            foreach (var hash in Hashes(0.5, ct))
            {
                var (position, step) = PasswordFilter.Probes(hash);
                for (var i = 0; i < probes; i++, position += step)
                {
                    var (bit, at) = (position % bits, (long)(PasswordFilter.HeaderBytes + position % bits / 8));
                    view.Write(at, (byte)(view.ReadByte(at) | 1 << (int)(bit % 8)));
                }
            }

            view.Flush();
        }

        File.Move(part, target, overwrite: true);
        progress(1, entries);
        return (entries, bytes);
    }

    /// <returns>One array, filled anew for each entry.</returns>
    IEnumerable<byte[]> Hashes(double done, CancellationToken ct)
    {
        using var stream = new FileStream(source, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20, FileOptions.SequentialScan);
        using var reader = new StreamReader(stream, new UTF8Encoding(false, throwOnInvalidBytes: areWords), false, 1 << 16);
        var hash = new byte[PasswordFilter.HashBytes];
        var (number, found) = (0L, 0L);
        while (reader.ReadLine() is { } line)
        {
            if (++number % LinesBetweenReports == 0)
            {
                ct.ThrowIfCancellationRequested();
                progress(done + stream.Position / (double)stream.Length / 2, found);
            }

            if (line.Length > 0 && Read(line, number, hash))
            {
                found++;
                yield return hash;
            }
        }
    }

    /// <returns>False for one that is left out.</returns>
    bool Read(string line, long number, byte[] hash)
    {
        if (areWords)
        {
            // What is too short is refused for that.
            if (line.Length < Passwords.MinLength)
                return false;
            SHA1.HashData(Encoding.UTF8.GetBytes(line), hash);
            return true;
        }

        const int HexLength = 2 * PasswordFilter.HashBytes;
        if (line.Length < HexLength + 2 || line[HexLength] != ':' || Convert.FromHexString(line.AsSpan(0, HexLength), hash, out _, out _) != System.Buffers.OperationStatus.Done
            || !long.TryParse(line.AsSpan(HexLength + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var count))
            throw new InvalidDataException(string.Create(CultureInfo.InvariantCulture, $"{source}, line {number}: not SHA-1:COUNT in the form of Have I Been Pwned; for a list of passwords say --words."));
        return count >= minCount;
    }
}
