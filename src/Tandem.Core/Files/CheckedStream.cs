using System.Security.Cryptography;

namespace Tandem.Core.Files;

/// <summary>Reads another stream to its end and compares the digest there.</summary>
sealed class CheckedStream(Stream content, string digest) : Stream
{
    readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    long _position;
    bool _ended;

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => content.Length;

    public override long Position
    {
        get => _position;
        set => throw new NotSupportedException("A checked file is read from its start to its end.");
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.Length == 0)
            return 0;
        var read = await content.ReadAsync(buffer, cancellationToken);
        return Seen(buffer.Span, read);
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => count == 0 ? 0 : Seen(buffer.AsSpan(offset, count), content.Read(buffer, offset, count));

    int Seen(ReadOnlySpan<byte> buffer, int read)
    {
        _hash.AppendData(buffer[..read]);
        _position += read;
        if (read == 0 && !_ended)
        {
            _ended = true;
            if (Convert.ToHexStringLower(_hash.GetHashAndReset()) != digest)
                throw new DamagedFileException(digest);
        }

        return read;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            content.Dispose();
            _hash.Dispose();
        }

        base.Dispose(disposing);
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException("A checked file is read from its start to its end.");
    public override void SetLength(long value) => throw new NotSupportedException("A stored file is never changed.");
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("A stored file is never changed.");
}
