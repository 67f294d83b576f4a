using System.Security.Cryptography;

namespace Tandem.Core.Files;

/// <summary>
/// Files under the SHA-256 of their bytes: whole or not there, also after a killed process, and never changed. Whoever stores one keeps its digest
/// in a row of its own; the same bytes stored twice are one file.
/// </summary>
public interface IFileStore
{
    /// <summary>Stores what is left of <paramref name="content"/>; when it returns, a power cut cannot take the file away. A damaged copy is replaced.</summary>
    /// <returns>The digest it is found under, and its length.</returns>
    /// <exception cref="IOException">It cannot be kept (disk full, no permission); nothing is left behind that anyone would find.</exception>
    Task<StoredFile> PutAsync(Stream content, CancellationToken cancellationToken = default);

    /// <summary>Reads a file from its start. It is checked on the way: reading to the end throws when the bytes are not those that were stored.</summary>
    /// <returns>A stream to be read asynchronously and disposed.</returns>
    /// <exception cref="FileNotFoundException">There is no file of this digest.</exception>
    Task<Stream> OpenAsync(string digest, CancellationToken cancellationToken = default);

    /// <summary>Is there a file of this digest? Its bytes are not read.</summary>
    Task<bool> ExistsAsync(string digest, CancellationToken cancellationToken = default);

    /// <summary>The files behind a digest, in the order of their digests.</summary>
    /// <param name="after">The last digest of the page before; empty for the first page.</param>
    /// <param name="limit">How many at most.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<IReadOnlyList<StoredFile>> ListAsync(string after, int limit, CancellationToken cancellationToken = default);
}

/// <summary>A file of the store.</summary>
/// <param name="Digest">SHA-256 of its bytes, 64 lower-case hexadecimal digits.</param>
/// <param name="Length">In bytes.</param>
public sealed record StoredFile(string Digest, long Length);

/// <summary>A file's bytes are not those that were stored: the medium lost or changed some, or somebody did.</summary>
public sealed class DamagedFileException(string digest) : IOException($"The file {digest} was changed since it was written; bring it back from a backup.")
{
    /// <summary>Which file.</summary>
    public string Digest { get; } = digest;
}

/// <summary>Files that fit into memory.</summary>
public static class FileStoreExtensions
{
    /// <inheritdoc cref="IFileStore.PutAsync(Stream, CancellationToken)"/>
    public static async Task<StoredFile> PutAsync(this IFileStore files, byte[] content, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(files);
        using var stream = new MemoryStream(content, writable: false);
        return await files.PutAsync(stream, cancellationToken);
    }

    /// <summary>The whole file, checked.</summary>
    /// <param name="files">Where it is.</param>
    /// <param name="digest">Which.</param>
    /// <param name="maxBytes">A larger file is refused before it is read.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="FileNotFoundException">There is no file of this digest.</exception>
    /// <exception cref="DamagedFileException">Its bytes are not those that were stored.</exception>
    /// <exception cref="IOException">It is larger than <paramref name="maxBytes"/>, or cannot be read.</exception>
    public static async Task<byte[]> ReadAsync(this IFileStore files, string digest, int maxBytes, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(files);
        await using var stream = await files.OpenAsync(digest, cancellationToken);
        if (stream.Length > maxBytes)
            throw new IOException($"The file {digest} has {stream.Length} bytes, at most {maxBytes} are read.");
        var bytes = new byte[stream.Length];
        await stream.ReadExactlyAsync(bytes, cancellationToken);
        // The end has to be seen: that is where the digest is compared.
        if (await stream.ReadAsync(new byte[1], cancellationToken) != 0)
            throw new DamagedFileException(digest);
        return bytes;
    }

    /// <summary>Every file of the store, page by page.</summary>
    internal static async IAsyncEnumerable<StoredFile> AllAsync(this IFileStore files, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken ct)
    {
        const int Page = 500;
        var after = "";
        while (await files.ListAsync(after, Page, ct) is { Count: > 0 } page)
        {
            foreach (var file in page)
                yield return file;
            after = page[^1].Digest;
        }
    }
}

/// <summary>The form of a digest.</summary>
static class Digest
{
    public const int Length = 2 * SHA256.HashSizeInBytes;

    /// <summary>A digest becomes part of a path, so nothing else is let through.</summary>
    public static bool IsOne(ReadOnlySpan<char> text) => text.Length == Length && !text.ContainsAnyExcept("0123456789abcdef");

    /// <exception cref="FileNotFoundException">It is no digest: then there is no such file.</exception>
    public static string Check(string digest) => IsOne(digest) ? digest : throw Missing(digest);

    public static FileNotFoundException Missing(string digest) => new($"There is no file {digest} in the store.", digest);
}
