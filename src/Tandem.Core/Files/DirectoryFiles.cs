using System.Security.Cryptography;
using Tandem.Core.Data;

namespace Tandem.Core.Files;

/// <summary>Files in the data directory, under <c>files/</c>.</summary>
sealed class DirectoryFiles(DataDirectory data, TimeProvider clock) : IFileStore
{
    // A writer that died leaves its temporary file; a day is longer than any writing takes.
    static readonly TimeSpan Abandoned = TimeSpan.FromDays(1);

    public async Task<StoredFile> PutAsync(Stream content, CancellationToken cancellationToken = default)
    {
        var folder = Path.GetDirectoryName(PathOf("any"))!; // it has one: the data directory
        DeleteAbandoned(folder);

        // Never written in place, and a file already there is written anew: it may have been damaged since.
        var temporary = Path.Combine(folder, $"{Guid.NewGuid():n}.tmp");
        try
        {
            StoredFile stored;
            await using (var file = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0))
            {
                stored = await CopyAsync(content, file, cancellationToken);
                file.Flush(flushToDisk: true);
            }

            Durable.Move(temporary, PathOf(stored.Digest));
            return stored;
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }

    public Task<Stream> OpenAsync(string digest, CancellationToken cancellationToken = default)
    {
        try
        {
            var file = new FileStream(Find(digest), FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0);
            return Task.FromResult<Stream>(new CheckedStream(file, digest));
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException(e.Message, e);
        }
    }

    public Task<bool> ExistsAsync(string digest, CancellationToken cancellationToken = default) =>
        Task.FromResult(Digest.IsOne(digest) && (File.Exists(PathOf(digest)) || File.Exists(EarlierPathOf(digest))));

    public Task<IReadOnlyList<StoredFile>> ListAsync(string after, int limit, CancellationToken cancellationToken = default)
    {
        var earlier = Path.GetDirectoryName(EarlierPathOf("any"))!; // in the data directory
        var names = Directory.EnumerateFiles(Path.GetDirectoryName(PathOf("any"))!) // in the data directory
            .Concat(Directory.Exists(earlier) ? Directory.EnumerateFiles(earlier, "*.model") : [])
            .Select(f => Path.GetFileNameWithoutExtension(f)!) // a file has a name
            .Where(n => Digest.IsOne(n) && string.CompareOrdinal(n, after) > 0)
            .Distinct().Order(StringComparer.Ordinal).Take(limit);
        return Task.FromResult<IReadOnlyList<StoredFile>>([.. names.Select(n => new StoredFile(n, new FileInfo(Find(n)).Length))]);
    }

    static async Task<StoredFile> CopyAsync(Stream from, FileStream to, CancellationToken ct)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[1 << 17];
        var length = 0L;
        while (await from.ReadAsync(buffer, ct) is var read and > 0)
        {
            hash.AppendData(buffer, 0, read);
            await to.WriteAsync(buffer.AsMemory(0, read), ct);
            length += read;
        }

        return new StoredFile(Convert.ToHexStringLower(hash.GetHashAndReset()), length);
    }

    void DeleteAbandoned(string folder)
    {
        foreach (var old in Directory.EnumerateFiles(folder, "*.tmp"))
            if (File.GetLastWriteTimeUtc(old) < clock.GetUtcNow().UtcDateTime - Abandoned)
                File.Delete(old);
    }

    string Find(string digest)
    {
        var path = PathOf(Digest.Check(digest));
        if (File.Exists(path))
            return path;
        var earlier = EarlierPathOf(digest);
        return File.Exists(earlier) ? earlier : throw Digest.Missing(digest);
    }

    string PathOf(string digest) => data.Combine("files", digest);

    // Where models were before there was a store for all files.
    string EarlierPathOf(string digest) => Path.Combine(data.Path, "models", digest + ".model");
}
