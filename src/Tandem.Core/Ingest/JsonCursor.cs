using System.Buffers;
using System.Buffers.Text;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text;
using System.Text.Json;

namespace Tandem.Core.Ingest;

/// <summary>
/// Reads JSON values (RFC 8259) from a block of UTF-8, from left to right, for a reader that knows which type comes next. Behind the block lie
/// <see cref="Padding"/> zeros: they are valid nowhere in JSON, so what looks for the end of a value stops there without asking where the block ends.
/// </summary>
sealed unsafe class JsonCursor
{
    public const int Padding = 64;

    const int NoMember = -1;
    const int MaxDepth = 64;

    // Ten to the 22 is the last power that a double holds exactly (Clinger 1990).
    const int MaxExactPower = 22;
    const ulong MaxExactInteger = 1UL << 53;

    static readonly double[] Powers =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

    static readonly UTF8Encoding Utf8 = new(false, throwOnInvalidBytes: true);

    byte* _begin;
    byte* _p;
    byte* _end;
    bool _last;
    readonly SharedStrings _shared = new();
    char[] _chars = new char[256];

    /// <summary>Starts on a block.</summary>
    /// <param name="block">Pinned; <see cref="Padding"/> zeros follow it.</param>
    /// <param name="length">In bytes, without the zeros.</param>
    /// <param name="last">Nothing comes behind it.</param>
    public void Set(byte* block, int length, bool last)
    {
        _begin = _p = block;
        _end = block + length;
        _last = last;
    }

    /// <summary>Bytes from the beginning of the block.</summary>
    public int Position
    {
        get => (int)(_p - _begin);
        set => _p = _begin + value;
    }

    public int Remaining => (int)(_end - _p);

    /// <returns>The next byte that is no white space, which is not passed; 0 at the end of all.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte Peek() => *_p > ' ' ? *_p : PeekBehindSpace();

    byte PeekBehindSpace()
    {
        while (*_p is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t')
            _p++;
        if (_p >= _end && !_last)
            throw EndOfBlock.Instance;
        return *_p;
    }

    /// <summary>Passes a byte that was looked at.</summary>
    public void Pass() => _p++;

    /// <summary>Enters an object.</summary>
    /// <returns>Which name comes first; see <see cref="Next"/>.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int Begin(MemberNames names) => Expected(names, 0) ? 0 : BeginSlowly(names);

    int BeginSlowly(MemberNames names)
    {
        if (Peek() != '{')
            throw Wrong("an object");
        _p++;
        if (Peek() != '}')
            return Name(names, 0);
        _p++;
        return MemberNames.End;
    }

    /// <summary>Goes on from a value of an object.</summary>
    /// <param name="names">The names it may have.</param>
    /// <param name="before">Which one the value had; records mostly have their members in the same order.</param>
    /// <returns>Which name comes next: its number, <see cref="MemberNames.End"/>, or <see cref="MemberNames.Unknown"/>.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int Next(MemberNames names, int before)
    {
        if (Expected(names, before + 1))
            return before + 1;
        if (*_p != '}')
            return NextSlowly(names, before);
        _p++;
        return MemberNames.End;
    }

    int NextSlowly(MemberNames names, int before)
    {
        var c = Peek();
        if (c == ',')
        {
            _p++;
            return Name(names, before + 1);
        }

        if (c != '}')
            throw Wrong("a comma or the end of the object");
        _p++;
        return MemberNames.End;
    }

    /// <summary>Passes what stands between the value before and this one's, if it is written without white space.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    bool Expected(MemberNames names, int number)
    {
        var starts = names.Starts;
        if ((uint)number >= (uint)starts.Length)
            return false;
        ref readonly var start = ref starts[number];
        // The zeros behind the block are no part of a name, so what is found ends before them.
        if ((Vector256.Load(_p) & start.Mask) != start.Bytes)
            return false;
        _p += start.Length;
        return true;
    }

    int Name(MemberNames names, int expected)
    {
        if (Peek() == '"' && (uint)expected < (uint)names.Quoted.Length)
        {
            var quoted = names.Quoted[expected];
            if (quoted.Length <= _end - _p && new ReadOnlySpan<byte>(_p, quoted.Length).SequenceEqual(quoted))
            {
                _p += quoted.Length;
                return expected;
            }
        }

        return OtherName(names);
    }

    int OtherName(MemberNames names)
    {
        if (Peek() != '"')
            throw Wrong("a name in quotes");
        var name = ReadString(NoMember) ?? ""; // a string, as its quote says
        if (Peek() != ':')
            throw Wrong("a colon");
        _p++;
        return names.Find(name);
    }

    /// <summary>Passes <c>null</c>, if that comes next.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryNull() => Peek() == 'n' && Literal("null"u8);

    public bool ReadBoolean() => Peek() switch
    {
        (byte)'t' => Literal("true"u8),
        (byte)'f' => !Literal("false"u8),
        _ => throw Wrong("true or false"),
    };

    bool Literal(ReadOnlySpan<byte> literal)
    {
        if (literal.Length > _end - _p && !_last)
            throw EndOfBlock.Instance;
        if (!new ReadOnlySpan<byte>(_p, literal.Length).SequenceEqual(literal))
            throw Wrong("true, false or null");
        _p += literal.Length;
        return true;
    }

    /// <param name="member">The number of the member that it is a value of, from 0 on: its repeated values are one string.</param>
    /// <returns>Null for <c>null</c>.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public string? ReadString(int member)
    {
        if (*_p != '"' && Peek() != '"')
            return TryNull() ? null : throw Wrong("a string");
        var text = ++_p;
        var wide = 0u;
        var q = EndOfRun(text, ref wide);
        var escaped = *q == '\\';
        while (*q == '\\' && q - text < SharedStrings.MaxLength)
            q = EndOfRun(q + 2 < _end ? q + 2 : _end, ref wide); // what is escaped is looked at by ReadEscaped
        if (*q != '"')
            return escaped ? ReadEscaped(text) : throw ControlCharacter(q);
        var length = (int)(q - text);
        if (length == 0)
        {
            _p = q + 1;
            return "";
        }

        // The same bytes are the same string, escapes among them or not.
        if (length > SharedStrings.MaxLength || member == NoMember || !_shared.Wants(member))
            return escaped ? ReadEscaped(text) : Decode(text, length, wide);
        var shared = _shared.Find(member, text, length, out var slot);
        if (shared is null)
            return _shared.Keep(slot, escaped ? ReadEscaped(text) : Decode(text, length, wide));
        _p = q + 1;
        return shared;
    }

    /// <summary>Reads an array of strings.</summary>
    /// <returns>Null for <c>null</c>.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public string?[]? ReadStrings(int member)
    {
        if (*_p == '[' && _p[1] == '"')
            _p++;
        else if (!TryBeginArray(out var isEmpty))
            return null;
        else if (isEmpty)
            return [];
        // Most arrays of a record are short: those are made at their length at once.
        var few = default(Few);
        var count = 0;
        do
        {
            if (count == Few.Count)
                return [.. (ReadOnlySpan<string?>)few, .. MoreStrings(member)];
            few[count++] = ReadString(member);
        }
        while (MoreItems());
        var strings = new string?[count];
        for (var i = 0; i < strings.Length; i++)
            strings[i] = few[i];
        return strings;
    }

    List<string?> MoreStrings(int member)
    {
        var more = new List<string?>();
        do
            more.Add(ReadString(member));
        while (MoreItems());
        return more;
    }

    [InlineArray(Count)]
    struct Few
    {
        public const int Count = 8;
        string? _first;
    }

    /// <summary>Finds the next quote, backslash or control character.</summary>
    /// <param name="wide">Not 0 when there is a byte before it that is not ASCII.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static byte* EndOfRun(byte* q, ref uint wide)
    {
        while (true)
        {
            var bytes = Vector256.Load(q);
            var stops = (Vector256.Equals(bytes, Vector256.Create((byte)'"')) | Vector256.Equals(bytes, Vector256.Create((byte)'\\'))
                | Vector256.Equals(Vector256.Min(bytes, Vector256.Create((byte)0x1f)), bytes)).ExtractMostSignificantBits();
            if (stops == 0)
            {
                wide |= bytes.ExtractMostSignificantBits();
                q += Vector256<byte>.Count;
                continue;
            }

            var at = BitOperations.TrailingZeroCount(stops);
            wide |= bytes.ExtractMostSignificantBits() & ((1u << at) - 1);
            return q + at;
        }
    }

    /// <summary>Passes a string. What it says is not looked at beyond its bytes being UTF-8 and its escapes known.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    void SkipString()
    {
        var text = ++_p;
        var wide = 0u;
        var q = EndOfRun(text, ref wide);
        while (*q == '\\')
        {
            Escape(ref q);
            q = EndOfRun(q, ref wide);
        }

        if (*q != '"')
            throw ControlCharacter(q);
        _p = q + 1;
        if (wide != 0 && !System.Text.Unicode.Utf8.IsValid(new ReadOnlySpan<byte>(text, (int)(q - text))))
        {
            _p = text;
            throw Bad("a string that is not valid UTF-8");
        }
    }

    /// <summary>A string without escapes; its closing quote is passed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    string Decode(byte* text, int length, uint wide)
    {
        if (wide != 0)
            return DecodeWide(text, length);
        _p = text + length + 1;
        var value = new string('\0', length);
        // Nobody else has it yet.
        fixed (char* chars = value)
            Widen(text, (ushort*)chars, length);
        return value;
    }

    string DecodeWide(byte* text, int length)
    {
        try
        {
            var value = Utf8.GetString(text, length);
            _p = text + length + 1;
            return value;
        }
        catch (DecoderFallbackException)
        {
            _p = text;
            throw Bad("a string that is not valid UTF-8");
        }
    }

    /// <summary>ASCII to characters, nothing read or written beyond either: what is left over at the end is done once more together with its neighbours.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void Widen(byte* text, ushort* chars, int length)
    {
        if (length >= Vector128<byte>.Count)
        {
            var last = length - Vector128<byte>.Count;
            for (var i = 0; i < last; i += Vector128<byte>.Count)
                Widen16(text + i, chars + i);
            Widen16(text + last, chars + last);
        }
        else if (length >= 8)
        {
            Widen8(text, chars);
            Widen8(text + length - 8, chars + length - 8);
        }
        else
            for (var i = 0; i < length; i++)
                chars[i] = text[i];

        static void Widen16(byte* from, ushort* to)
        {
            var (lower, upper) = Vector128.Widen(Vector128.Load(from));
            lower.Store(to);
            upper.Store(to + Vector128<ushort>.Count);
        }

        static void Widen8(byte* from, ushort* to) => Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(from)).AsByte()).Store(to);
    }

    /// <summary>A string with escapes, from its first byte on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    string ReadEscaped(byte* text)
    {
        var (count, wide) = (0, 0u);
        var q = text;
        while (true)
        {
            var run = q;
            q = EndOfRun(q, ref wide);
            // The block may end inside a character.
            if (q >= _end)
                throw ControlCharacter(q);
            count += Append(run, (int)(q - run), count);
            switch (*q)
            {
                case (byte)'"':
                    _p = q + 1;
                    return NoHalves(new string(_chars, 0, count), text);
                case (byte)'\\':
                    Room(count + 1);
                    _chars[count++] = Escape(ref q);
                    break;
                default:
                    throw ControlCharacter(q);
            }
        }
    }

    int Append(byte* run, int length, int count)
    {
        if (length == 0)
            return 0;
        Room(count + length);
        try
        {
            fixed (char* chars = &_chars[count])
                return Utf8.GetChars(run, length, chars, _chars.Length - count);
        }
        catch (DecoderFallbackException)
        {
            _p = run;
            throw Bad("a string that is not valid UTF-8");
        }
    }

    void Room(int count)
    {
        if (count > _chars.Length)
            Array.Resize(ref _chars, Math.Max(count, 2 * _chars.Length));
    }

    char Escape(ref byte* q)
    {
        // The backslash, then what it escapes: at the end of the block both may be missing, and then zeros stand there.
        var escaped = q[1];
        q += 2;
        switch (escaped)
        {
            case (byte)'"': return '"';
            case (byte)'\\': return '\\';
            case (byte)'/': return '/';
            case (byte)'b': return '\b';
            case (byte)'f': return '\f';
            case (byte)'n': return '\n';
            case (byte)'r': return '\r';
            case (byte)'t': return '\t';
            case (byte)'u' when q + 4 <= _end && Utf8Parser.TryParse(new ReadOnlySpan<byte>(q, 4), out ushort unit, out var used, 'x') && used == 4:
                q += 4;
                return (char)unit;
            default:
                // A whole escape is six bytes.
                if (q + 4 > _end && !_last)
                    throw EndOfBlock.Instance;
                _p = q - 2;
                throw Bad("an escape that JSON does not know");
        }
    }

    // Text of two-byte units: half of a pair alone is no character, and what was read could not be written again.
    string NoHalves(string value, byte* text)
    {
        for (var i = value.AsSpan().IndexOfAnyInRange('\ud800', '\udfff'); i >= 0 && i < value.Length; i++)
            if (char.IsHighSurrogate(value[i]) && i + 1 < value.Length && char.IsLowSurrogate(value[i + 1]))
                i++;
            else if (char.IsSurrogate(value[i]))
            {
                _p = text;
                throw Bad("half of a surrogate pair");
            }

        return value;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public long ReadInt64()
    {
        var c = Peek();
        var q = _p;
        var negative = c == '-';
        if (negative)
            q++;
        var digits = q;
        ulong value = 0;
        while ((uint)(*q - '0') <= 9)
            value = value * 10 + (uint)(*q++ - '0');
        var count = (int)(q - digits);
        if (q >= _end && !_last)
            throw EndOfBlock.Instance;
        if (count == 0 || (*digits == '0' && count > 1) || *q is (byte)'.' or (byte)'e' or (byte)'E')
            throw Wrong("a whole number");
        // Twenty digits may have run over, nineteen cannot.
        if (count > 19 || value > (ulong)long.MaxValue + (negative ? 1u : 0u))
            throw Bad("a number beyond 64 bits");
        _p = q;
        return negative ? -(long)value : (long)value;
    }

    public int ReadInt32()
    {
        var at = _p;
        var value = ReadInt64();
        if (value == (int)value)
            return (int)value;
        _p = at;
        throw Bad("a number beyond 32 bits");
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public double ReadDouble()
    {
        Peek();
        var q = _p;
        var negative = *q == '-';
        if (negative)
            q++;
        var first = q;
        ulong mantissa = 0;
        while ((uint)(*q - '0') <= 9)
            mantissa = mantissa * 10 + (uint)(*q++ - '0');
        var (digits, power) = ((int)(q - first), 0);
        if (*q == '.')
        {
            var point = q++;
            while ((uint)(*q - '0') <= 9)
                mantissa = mantissa * 10 + (uint)(*q++ - '0');
            power = -(int)(q - point - 1);
            digits -= power;
        }

        // Both are exact, so one division rounds once, as it should; the rest takes the long way, and so does what is malformed.
        var wellFormed = digits > 0 && *first != '.' && q[-1] != '.' && (*first != '0' || q == first + 1 || first[1] == '.');
        if (wellFormed && digits <= 19 && mantissa <= MaxExactInteger && power >= -MaxExactPower
            && *q is (byte)',' or (byte)'}' or (byte)']' or (byte)'\n' or (byte)'\r' or (byte)' ')
        {
            _p = q;
            var value = mantissa / Powers[-power];
            return negative ? -value : value;
        }

        var token = Number();
        return Utf8Parser.TryParse(token, out double slow, out var used) && used == token.Length ? slow : throw Wrong("a number");
    }

    public float ReadSingle()
    {
        Peek();
        var token = Number();
        return Utf8Parser.TryParse(token, out float value, out var used) && used == token.Length ? value : throw Wrong("a number");
    }

    public decimal ReadDecimal()
    {
        Peek();
        var at = _p;
        // With "e" only where the number has one: this parser reads no exponent otherwise.
        var token = Number();
        if (Utf8Parser.TryParse(token, out decimal value, out var used, token.IndexOfAny("eE"u8) >= 0 ? 'e' : default) && used == token.Length)
            return value;
        _p = at;
        throw Bad("a number beyond a decimal's 28 digits");
    }

    /// <summary>Passes a number of any form.</summary>
    ReadOnlySpan<byte> Number()
    {
        var q = _p;
        if (*q == '-')
            q++;
        var whole = Digits(ref q);
        var good = whole > 0 && (whole == 1 || q[-whole] != '0');
        if (*q == '.')
        {
            q++;
            good &= Digits(ref q) > 0;
        }

        if (*q is (byte)'e' or (byte)'E')
        {
            q++;
            if (*q is (byte)'+' or (byte)'-')
                q++;
            good &= Digits(ref q) > 0;
        }

        if (q >= _end && !_last)
            throw EndOfBlock.Instance;
        if (!good)
            throw Wrong("a number");
        var token = new ReadOnlySpan<byte>(_p, (int)(q - _p));
        _p = q;
        return token;

        static int Digits(ref byte* q)
        {
            var first = q;
            while ((uint)(*q - '0') <= 9)
                q++;
            return (int)(q - first);
        }
    }

    /// <summary>Reads an array.</summary>
    /// <returns>Null for <c>null</c>.</returns>
    public List<TItem>? ReadList<TItem>(Func<JsonCursor, TItem> item)
    {
        if (!TryBeginArray(out var isEmpty))
            return null;
        var items = new List<TItem>();
        if (isEmpty)
            return items;
        do
            items.Add(item(this));
        while (MoreItems());
        return items;
    }

    /// <returns>False for <c>null</c>.</returns>
    bool TryBeginArray(out bool isEmpty)
    {
        isEmpty = false;
        if (TryNull())
            return false;
        if (Peek() != '[')
            throw Wrong("an array");
        _p++;
        isEmpty = Peek() == ']';
        if (isEmpty)
            _p++;
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    bool MoreItems()
    {
        var c = Peek();
        if (c is not ((byte)',' or (byte)']'))
            throw Wrong("a comma or the end of the array");
        _p++;
        return c == ',';
    }

    /// <summary>The same as an array.</summary>
    public TItem[]? ReadArray<TItem>(Func<JsonCursor, TItem> item)
    {
        if (!TryBeginArray(out var isEmpty))
            return null;
        if (isEmpty)
            return [];
        var (items, count) = (ArrayPool<TItem>.Shared.Rent(4), 0);
        do
        {
            if (count == items.Length)
            {
                var more = ArrayPool<TItem>.Shared.Rent(2 * count);
                items.CopyTo(more, 0);
                Return(items, count);
                items = more;
            }

            items[count++] = item(this);
        }
        while (MoreItems());
        var array = items.AsSpan(0, count).ToArray();
        Return(items, count);
        return array;

        static void Return(TItem[] items, int count)
        {
            if (RuntimeHelpers.IsReferenceOrContainsReferences<TItem>())
                items.AsSpan(0, count).Clear();
            ArrayPool<TItem>.Shared.Return(items);
        }
    }

    /// <summary>A value of a type that has no way of its own here.</summary>
    public TValue? ReadOther<TValue>()
    {
        Peek();
        var from = _p;
        Skip();
        try
        {
            return JsonSerializer.Deserialize<TValue>(new ReadOnlySpan<byte>(from, (int)(_p - from)), RecordReader.Options);
        }
        catch (JsonException e)
        {
            _p = from;
            throw new MalformedRecordException(Position, $"{Sentence(e.Message)} here");
        }
    }

    /// <summary>Passes a value of any kind, which must be valid all the same.</summary>
    public void Skip() => Skip(0);

    void Skip(int depth)
    {
        if (depth > MaxDepth)
            throw Bad($"values nested deeper than {MaxDepth}");
        switch (Peek())
        {
            case (byte)'"':
                SkipString();
                return;
            case (byte)'t' or (byte)'f':
                ReadBoolean();
                return;
            case (byte)'n':
                TryNull();
                return;
            case (byte)'{':
                for (var at = Begin(MemberNames.None); at != MemberNames.End; at = Next(MemberNames.None, at))
                    Skip(depth + 1);
                return;
            case (byte)'[':
                _p++;
                if (Peek() == ']')
                {
                    _p++;
                    return;
                }

                do
                    Skip(depth + 1);
                while (MoreItems());
                return;
            default:
                Number();
                return;
        }
    }

    /// <summary>Something else than what must come here.</summary>
    public Exception Wrong(string expected) => _p >= _end && !_last
        ? EndOfBlock.Instance
        : new MalformedRecordException(Position, _p >= _end ? $"the text ends where {expected} must come" : $"{expected} must come here, not {Shown(*_p)}");

    Exception Bad(string what) => new MalformedRecordException(Position, $"{what} stands here");

    Exception ControlCharacter(byte* q)
    {
        _p = q;
        return _p >= _end ? Wrong("the end of a string") : Bad($"the control character {*q}, which a string has as an escape only,");
    }

    static string Shown(byte b) => b is > 0x20 and < 0x7f ? $"'{(char)b}'" : $"byte {b}";

    // The first of what the serializer says; the rest is a path within this value.
    static string Sentence(string message) => message.Split(" Path:")[0].TrimEnd('.');
}

/// <summary>The names that the members of an object may have.</summary>
sealed class MemberNames(IReadOnlyList<string> names)
{
    public const int End = -1;
    public const int Unknown = int.MaxValue - 1;

    public static readonly MemberNames None = new([]);

    /// <summary>Each in quotes with a colon behind, as most writers have it.</summary>
    public byte[][] Quoted { get; } = [.. names.Select(n => Encoding.UTF8.GetBytes($"\"{n}\":"))];

    /// <summary>The same with what stands before it where all the members are there in their order without white space: a brace or a comma.</summary>
    public Start[] Starts { get; } = [.. names.Select((n, i) => Start.Of(Encoding.UTF8.GetBytes($"{(i == 0 ? '{' : ',')}\"{n}\":")))];

    public int Find(string name)
    {
        for (var i = 0; i < names.Count; i++)
            if (names[i] == name)
                return i;
        return Unknown;
    }
}

/// <summary>Up to 32 bytes that are compared at once.</summary>
readonly record struct Start(Vector256<byte> Bytes, Vector256<byte> Mask, int Length)
{
    public static Start Of(byte[] text)
    {
        // What is longer is told by bytes that no text has.
        if (text.Length > Vector256<byte>.Count)
            return new Start(Vector256<byte>.AllBitsSet, Vector256<byte>.AllBitsSet, 0);
        var (bytes, mask) = (new byte[Vector256<byte>.Count], new byte[Vector256<byte>.Count]);
        text.CopyTo(bytes, 0);
        mask.AsSpan(0, text.Length).Fill(0xff);
        return new Start(Vector256.Create(bytes), Vector256.Create(mask), text.Length);
    }
}

/// <summary>The block ends inside a value, and more is to come.</summary>
sealed class EndOfBlock : Exception
{
    public static readonly EndOfBlock Instance = new();
}

/// <summary>What stands at a place of the block, and why it is wrong.</summary>
sealed class MalformedRecordException(int position, string sentence) : Exception(sentence)
{
    public int Position => position;
}
