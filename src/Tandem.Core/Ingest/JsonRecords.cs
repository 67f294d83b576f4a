using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Http;
using Tandem.Core.Http;

namespace Tandem.Core.Ingest;

/// <summary>Many records of one type from JSON, in bounded memory.</summary>
public static class JsonRecords
{
    /// <summary>The longest record, in bytes.</summary>
    public const int MaxRecordBytes = 64 << 20;

    const int BlockBytes = 1 << 20;

    /// <summary>
    /// Reads an array of objects, or objects one after another (NDJSON; with or without line breaks), in UTF-8. Member names are those of the type in
    /// snake_case; members that the type does not have are passed, those that are missing keep their default.
    /// </summary>
    /// <typeparam name="T">A record or class with one public constructor, or with settable properties.</typeparam>
    /// <param name="utf8">Read to its end, and not closed. A byte order mark is passed.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <returns>The records in their order, none of them null.</returns>
    /// <exception cref="JsonRecordException">A record is malformed; those before it were given out.</exception>
    public static IAsyncEnumerable<T> ReadAsync<T>(Stream utf8, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(utf8);
        return ReadAsync<T>(utf8, BlockBytes, cancellationToken);
    }

    /// <summary>The same from the body of a request, as it arrives.</summary>
    /// <exception cref="ProblemException">A record is malformed: 422, which names it and its line.</exception>
    public static async IAsyncEnumerable<T> ReadAsync<T>(HttpRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        await using var records = ReadAsync<T>(request.Body, cancellationToken).GetAsyncEnumerator(cancellationToken);
        while (true)
        {
            try
            {
                if (!await records.MoveNextAsync())
                    yield break;
            }
            catch (JsonRecordException e)
            {
                throw new ProblemException(HttpProblems.Invalid, errors: new Dictionary<string, string[]> { ["body"] = [e.Message] });
            }

            yield return records.Current;
        }
    }

    internal static IAsyncEnumerable<T> ReadAsync<T>(Stream utf8, int blockBytes, CancellationToken cancellationToken) =>
        new RecordStream<T>(utf8, blockBytes, cancellationToken);
}

/// <summary>The records of a stream. Most are there without waiting, so this is no method with <c>yield</c>: its state would be written for each.</summary>
sealed class RecordStream<T>(Stream utf8, int blockBytes, CancellationToken ct) : IAsyncEnumerable<T>
{
    public IAsyncEnumerator<T> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        new Reading(utf8, new JsonBlocks<T>(blockBytes), ct.CanBeCanceled && cancellationToken.CanBeCanceled ? CancellationTokenSource.CreateLinkedTokenSource(ct, cancellationToken) : null,
            ct.CanBeCanceled ? ct : cancellationToken);

    /// <param name="both">Where there are two tokens: the one for both.</param>
    /// <param name="one">Where there is one.</param>
    sealed class Reading(Stream utf8, JsonBlocks<T> blocks, CancellationTokenSource? both, CancellationToken one) : IAsyncEnumerator<T>
    {
        public T Current { get; private set; } = default!; // nothing is, before the first

        public ValueTask<bool> MoveNextAsync()
        {
            if (!blocks.TryRead(out var record))
                return FillAndMoveAsync();
            Current = record;
            return new ValueTask<bool>(true);
        }

        async ValueTask<bool> FillAndMoveAsync()
        {
            while (await blocks.FillAsync(utf8, both?.Token ?? one))
                if (blocks.TryRead(out var record))
                {
                    Current = record;
                    return true;
                }

            return false;
        }

        public ValueTask DisposeAsync()
        {
            both?.Dispose();
            return default;
        }
    }
}

/// <summary>A record is malformed.</summary>
public sealed class JsonRecordException : FormatException
{
    internal JsonRecordException(long record, long line, long offset, string sentence)
        : base($"Record {record} (line {line}, byte {offset}): {sentence}.") => (Record, Line, Offset) = (record, line, offset);

    /// <summary>Which one, from 1 on.</summary>
    public long Record { get; }

    /// <summary>The line that the mistake is in, from 1 on.</summary>
    public long Line { get; }

    /// <summary>The byte of the stream that the mistake is at, from 0 on.</summary>
    public long Offset { get; }
}

/// <summary>A stream block by block, with what the last block left over in front of the next.</summary>
sealed class JsonBlocks<T>(int blockBytes)
{
    // So near its end a block is filled up before another record is begun: most end inside then.
    readonly int _margin = blockBytes / 32;
    readonly Func<JsonCursor, T> _reader = RecordReader.For<T>();
    readonly JsonCursor _cursor = new();
    byte[] _block = GC.AllocateUninitializedArray<byte>(blockBytes + JsonCursor.Padding, pinned: true);
    int _length;
    int _read;
    bool _last;
    bool _ended;
    bool _more;
    bool _begun;
    Form _form;
    long _records;
    long _before;
    long _linesBefore;

    enum Form { Unknown, Sequence, ArrayBegun, Array, ArrayEnded }

    /// <summary>Moves what was not read to the front and reads more behind it.</summary>
    /// <returns>False when everything was read.</returns>
    public async Task<bool> FillAsync(Stream utf8, CancellationToken ct)
    {
        if (_ended)
            return false;
        _linesBefore += _block.AsSpan(0, _read).Count((byte)'\n');
        _before += _read;
        _length -= _read;
        // Nothing was read of a full block: one record fills it.
        if (_length == _block.Length - JsonCursor.Padding && _read == 0)
            Grow();
        else
            _block.AsSpan(_read, _length).CopyTo(_block);
        _read = 0;
        var room = _block.Length - JsonCursor.Padding;
        while (!_last && _length < room)
        {
            var count = await utf8.ReadAsync(_block.AsMemory(_length, room - _length), ct);
            _last = count == 0;
            _length += count;
        }

        _block.AsSpan(_length, JsonCursor.Padding).Clear();
        _ended = _last;
        Begin();
        return true;
    }

    unsafe void Begin()
    {
        // The block does not move: it was allocated as pinned, and is this object's as long as the cursor is.
        _cursor.Set((byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_block)), _length, _last);
        if (_before == 0 && _block.AsSpan(0, _length).StartsWith("\uFEFF"u8))
            _cursor.Position = 3;
        (_more, _begun) = (true, false);
    }

    /// <summary>Reads the next record, if the block has it whole.</summary>
    /// <exception cref="JsonRecordException">It is malformed; there are no more then.</exception>
    public bool TryRead([MaybeNullWhen(false)] out T record)
    {
        // The first look at a block goes as far as it can: a record longer than the margin is then in it whole, or the block grows.
        if (_more && (!_begun || _last || _cursor.Remaining > _margin))
            try
            {
                _begun = true;
                _read = _cursor.Position;
                if (Separate())
                {
                    record = _reader(_cursor) ?? throw _cursor.Wrong("a record");
                    _records++;
                    _read = _cursor.Position;
                    _form = _form == Form.ArrayBegun ? Form.Array : _form;
                    return true;
                }
            }
            catch (EndOfBlock)
            {
                if (_block.Length >= JsonRecords.MaxRecordBytes && _read == 0)
                    throw Problem(_read, $"it is longer than {JsonRecords.MaxRecordBytes >> 20} MiB");
            }
            catch (MalformedRecordException e)
            {
                throw Problem(e.Position, e.Message);
            }

        _more = false;
        record = default;
        return false;
    }

    /// <summary>Passes what stands between two records.</summary>
    /// <returns>False at the end of all.</returns>
    bool Separate()
    {
        var c = _cursor.Peek();
        switch (_form)
        {
            case Form.Unknown:
                _form = c == '[' ? Form.ArrayBegun : Form.Sequence;
                return _form == Form.Sequence ? Separate() : PassAnd();
            case Form.Sequence or Form.ArrayEnded when c == 0 && _cursor.Remaining == 0:
                return false;
            case Form.Sequence:
                return true;
            case Form.ArrayBegun or Form.Array when c == ']':
                _form = Form.ArrayEnded;
                return PassAnd();
            case Form.ArrayBegun:
                return true;
            case Form.Array when c == ',':
                _cursor.Pass();
                return true;
            default:
                throw _cursor.Wrong(_form == Form.ArrayEnded ? "nothing more" : "a comma or the end of the array");
        }

        // What changed the form must not be met again when the block ends behind it.
        bool PassAnd()
        {
            _cursor.Pass();
            _read = _cursor.Position;
            return Separate();
        }
    }

    JsonRecordException Problem(int position, string sentence)
    {
        (_ended, _more) = (true, false);
        return new JsonRecordException(_records + 1, _linesBefore + _block.AsSpan(0, position).Count((byte)'\n') + 1, _before + position, sentence);
    }

    void Grow()
    {
        var larger = GC.AllocateUninitializedArray<byte>(Math.Min(2 * (_block.Length - JsonCursor.Padding), JsonRecords.MaxRecordBytes) + JsonCursor.Padding, pinned: true);
        _block.AsSpan(0, _length).CopyTo(larger);
        _block = larger;
    }
}
