using System.Security.Cryptography;
using Tandem.Core.Data;

namespace Tandem.Core.Files;

/// <summary>Files in the database, for processes that share no directory: in pieces, written a few at a time so that no transaction is long.</summary>
/// <remarks>
/// The pieces go under an id of their own, and the row in core_files, written last, makes them a file. Ids are of version 7: pieces that no file
/// claims and whose id is old are of a writer that died.
/// </remarks>
sealed class DatabaseFiles(Db db, TimeProvider clock) : IFileStore
{
    public const int PieceBytes = 256 * 1024;

    // 1 MiB: on SQLite every other write of the process waits behind it.
    const int PiecesPerTransaction = 4;

    static readonly TimeSpan Abandoned = TimeSpan.FromDays(1);

    public async Task<StoredFile> PutAsync(Stream content, CancellationToken cancellationToken = default)
    {
        await DeleteAbandonedAsync(cancellationToken);
        var id = Guid.CreateVersion7(clock.GetUtcNow());
        var stored = await WritePiecesAsync(id, content, cancellationToken);
        var now = clock.UtcNow();
        var known = await FindAsync(stored.Digest, cancellationToken);
        var damaged = known is not null && !await IsWholeAsync(stored.Digest, cancellationToken) ? known.Content : (Guid?)null;
        var superfluous = await db.InTransactionAsync(async tx =>
        {
            // Whoever else stored it first has stored the same.
            var there = await tx.FindAsync<Guid?>($"select content from core_files where digest = {stored.Digest}");
            if (there is not null && there != damaged)
                return id;
            await tx.ExecuteAsync($"""
                insert into core_files (digest, length, content, created_at) values ({stored.Digest}, {stored.Length}, {id}, {now})
                on conflict (digest) do update set length = excluded.length, content = excluded.content
                """);
            return there;
        }, cancellationToken);
        if (superfluous is { } pieces)
            await DeleteAsync(pieces, cancellationToken);
        return stored;
    }

    public async Task<Stream> OpenAsync(string digest, CancellationToken cancellationToken = default)
    {
        var file = await FindAsync(Digest.Check(digest), cancellationToken) ?? throw Digest.Missing(digest);
        return new CheckedStream(new PieceStream(db, file.Content, file.Length), digest);
    }

    public async Task<bool> ExistsAsync(string digest, CancellationToken cancellationToken = default) =>
        Digest.IsOne(digest) && await FindAsync(digest, cancellationToken) is not null;

    public async Task<IReadOnlyList<StoredFile>> ListAsync(string after, int limit, CancellationToken cancellationToken = default) =>
        await db.ListAsync<StoredFile>($"select digest, length from core_files where digest > {after} order by digest limit {limit}", cancellationToken);

    Task<FileRow?> FindAsync(string digest, CancellationToken ct) =>
        db.FindAsync<FileRow>($"select content, length from core_files where digest = {digest}", ct);

    async Task<StoredFile> WritePiecesAsync(Guid id, Stream content, CancellationToken ct)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var (length, number, ended) = (0L, 0, false);
        while (!ended)
        {
            // Read before the transaction begins: its body may wait for nothing but the database.
            var pieces = new List<byte[]>(PiecesPerTransaction);
            while (pieces.Count < PiecesPerTransaction && !ended)
            {
                var piece = new byte[PieceBytes];
                var read = await content.ReadAtLeastAsync(piece, piece.Length, throwOnEndOfStream: false, ct);
                ended = read < piece.Length;
                hash.AppendData(piece, 0, read);
                length += read;
                if (read > 0)
                    pieces.Add(ended ? piece[..read] : piece);
            }

            var first = number;
            await db.InTransactionAsync(async tx =>
            {
                foreach (var (i, piece) in pieces.Index())
                    await tx.ExecuteAsync($"insert into core_file_chunks (content, number, bytes) values ({id}, {first + i}, {piece})");
            }, ct);
            number += pieces.Count;
        }

        return new StoredFile(Convert.ToHexStringLower(hash.GetHashAndReset()), length);
    }

    async Task<bool> IsWholeAsync(string digest, CancellationToken ct)
    {
        try
        {
            await using var stream = await OpenAsync(digest, ct);
            await stream.CopyToAsync(Stream.Null, ct);
            return true;
        }
        catch (DamagedFileException)
        {
            return false;
        }
    }

    async Task DeleteAsync(Guid id, CancellationToken ct)
    {
        while (await db.ExecuteAsync($"""
            delete from core_file_chunks where content = {id} and number in
                (select number from core_file_chunks where content = {id} order by number limit {PiecesPerTransaction})
            """, ct) > 0)
        {
        }
    }

    async Task DeleteAbandonedAsync(CancellationToken ct)
    {
        // The largest id of a moment: its time in front, all else set.
        Span<byte> bytes = stackalloc byte[16];
        Guid.CreateVersion7(clock.GetUtcNow() - Abandoned).TryWriteBytes(bytes, bigEndian: true, out _);
        bytes[8..].Fill(0xff);
        var limit = new Guid(bytes, bigEndian: true);
        foreach (var id in await db.ListAsync<Guid>($"""
            select distinct content from core_file_chunks c
            where content < {limit} and not exists (select 1 from core_files f where f.content = c.content) limit 100
            """, ct))
            await DeleteAsync(id, ct);
    }

    sealed record FileRow(Guid Content, long Length);
}

/// <summary>The pieces of a file, one in memory at a time.</summary>
sealed class PieceStream(Db db, Guid content, long length) : Stream
{
    ReadOnlyMemory<byte> _piece;
    int _number;
    long _position;

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => length;

    public override long Position
    {
        get => _position;
        set => throw new NotSupportedException("A stored file is read from its start to its end.");
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_piece.IsEmpty)
        {
            _piece = await db.FindAsync<byte[]>($"select bytes from core_file_chunks where content = {content} and number = {_number}", cancellationToken);
            _number++;
        }

        var read = Math.Min(buffer.Length, _piece.Length);
        _piece[..read].CopyTo(buffer);
        _piece = _piece[read..];
        _position += read;
        return read;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("A stored file is read asynchronously.");
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException("A stored file is read from its start to its end.");
    public override void SetLength(long value) => throw new NotSupportedException("A stored file is never changed.");
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("A stored file is never changed.");
}
