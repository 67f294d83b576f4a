using System.Buffers;
using System.Text;

namespace Tandem.Users.Import;

/// <summary>Where the records of a JSON file stand.</summary>
enum JsonShape
{
    /// <summary>Objects one after another.</summary>
    Lines,
    /// <summary>Objects in an array.</summary>
    Array,
    /// <summary>Objects in an array that is a member of one object.</summary>
    Member,
}

/// <summary>
/// Finds the records of a JSON file one by one, in bounded memory, by braces and quotes alone: a record that is broken is told with its line, and the
/// next one is found.
/// </summary>
/// <param name="json">UTF-8; a byte order mark is passed.</param>
/// <param name="member">The member, for <see cref="JsonShape.Member"/>.</param>
sealed class JsonObjects(Stream json, JsonShape shape, string member)
{
    /// <summary>The longest record, in bytes.</summary>
    public const int MaxBytes = 1 << 20;

    readonly byte[] _block = new byte[64 << 10];
    readonly ArrayBufferWriter<byte> _record = new();
    readonly StringBuilder _key = new();
    readonly int _recordDepth = shape switch { JsonShape.Lines => 0, JsonShape.Array => 1, _ => 2 };

    int _line = 1;
    int _depth;
    int _startLine;
    bool _inRecord;
    bool _inString;
    bool _isEscaped;
    bool _isTooLong;
    bool _isNoise;
    bool _isAmongRecords = shape != JsonShape.Member;
    byte _last = (byte)'\n';

    public IEnumerable<Found> Read()
    {
        int length;
        while ((length = json.Read(_block)) > 0)
            for (var i = 0; i < length; i++)
            {
                var found = Take(_block[i]);
                _last = _block[i];
                if (_last == '\n')
                    _line++;
                if (found is { } record)
                    yield return record;
            }

        if (_inRecord)
            yield return new Found(_startLine, default, "ends before its last brace");
        else if (_depth > 0)
            yield return new Found(_line, default, "the file ends in the middle");
    }

    Found? Take(byte b)
    {
        if (_inRecord)
            return TakeRecord(b);
        if (_inString)
        {
            _inString &= b != '\n';
            TakeString(b);
            return null;
        }

        switch (b)
        {
            case (byte)'"':
                _inString = true;
                _key.Clear();
                return Noise();
            case (byte)'{' when _depth == _recordDepth && _isAmongRecords:
                (_inRecord, _startLine, _isNoise, _isTooLong) = (true, _line, false, false);
                _record.ResetWrittenCount();
                return TakeRecord(b);
            case (byte)'[' or (byte)'{':
                // One level above the records: the array that has them, or the value of another member.
                if (shape == JsonShape.Member && _depth == 1)
                    _isAmongRecords = b == '[' && _key.ToString() == member;
                var noise = Noise();
                _depth++;
                return noise;
            case (byte)']' or (byte)'}':
                _depth = Math.Max(0, _depth - 1);
                return null;
            case <= (byte)' ' or (byte)',' or (byte)':' or 0xEF or 0xBB or 0xBF:
                _isNoise &= b is not ((byte)'\n' or (byte)',');
                return null;
        }

        return Noise();
    }

    /// <summary>Where a record would have to be there is something else; told once for each.</summary>
    Found? Noise()
    {
        if (!_isAmongRecords || _depth != _recordDepth || _isNoise)
            return null;
        _isNoise = true;
        return new Found(_line, default, "is no JSON object");
    }

    /// <summary>Outside of records: the keys of the object that they are in.</summary>
    void TakeString(byte b)
    {
        if (_isEscaped)
            _isEscaped = false;
        else if (b == '\\')
            _isEscaped = true;
        else if (b == '"')
            _inString = false;
        else if (_key.Length < 64)
            _key.Append((char)b);
    }

    Found? TakeRecord(byte b)
    {
        // No string holds a line break, and no record another at the start of a line: the one before has come to no end.
        if (_inString && b == '\n')
            return End(_recordDepth, "has a string that does not end");
        if (shape == JsonShape.Lines && b == '{' && _last == '\n' && _depth > 0)
        {
            var broken = new Found(_startLine, default, "ends before its last brace");
            (_depth, _startLine, _inString, _isEscaped, _isTooLong) = (0, _line, false, false, false);
            _record.ResetWrittenCount();
            TakeRecord(b);
            return broken;
        }

        if (_record.WrittenCount < MaxBytes)
            _record.Write([b]);
        else
            _isTooLong = true;
        if (_inString)
            TakeString(b);
        else if (b == '"')
            _inString = true;
        else if (b is (byte)'{' or (byte)'[')
            _depth++;
        else if (b is (byte)'}' or (byte)']' && --_depth == _recordDepth)
            return End(_depth, _isTooLong ? $"is longer than {MaxBytes} bytes" : null);
        return null;
    }

    Found End(int depth, string? fault)
    {
        (_inRecord, _inString, _isEscaped, _depth) = (false, false, false, depth);
        return new Found(_startLine, fault is null ? _record.WrittenMemory : default, fault);
    }

    /// <param name="Line">Of its first brace, from 1 on.</param>
    /// <param name="Json">Valid until the next one is asked for.</param>
    /// <param name="Fault">Why it cannot be read; null when it can.</param>
    public readonly record struct Found(int Line, ReadOnlyMemory<byte> Json, string? Fault);
}
