using System.Buffers;

namespace Tandem.Gateway.Forwarding;

/// <summary>Takes a chunked body apart as it comes (RFC 9112, 7.1). Trailers are read and left out: nobody who is served here has asked for them.</summary>
struct ChunkedBody
{
    // A line of a chunk's size with its extension, and all trailers.
    const int MaxLine = 4096, MaxTrailers = 32 * 1024;

    enum Part
    {
        SizeFirst,
        Size,
        Extension,
        SizeEnd,
        Data,
        DataReturn,
        DataEnd,
        TrailerFirst,
        Trailer,
        TrailerEnd,
        LastEnd,
        Over,
    }

    Part _part;
    long _left;
    int _line;
    int _trailers;

    public readonly bool IsOver => _part == Part.Over;

    /// <returns>How many bytes of the input belong to it.</returns>
    /// <exception cref="UpstreamException">It is no chunked body.</exception>
    public int Read(ReadOnlySpan<byte> input, IBufferWriter<byte> output)
    {
        var at = 0;
        while (at < input.Length && _part != Part.Over)
        {
            if (_part == Part.Data)
            {
                var count = (int)Math.Min(_left, input.Length - at);
                output.Write(input.Slice(at, count));
                at += count;
                if ((_left -= count) == 0)
                    _part = Part.DataReturn;
                continue;
            }

            Step(input[at++]);
        }

        return at;
    }

    void Step(byte b)
    {
        switch (_part)
        {
            case Part.SizeFirst or Part.Size when char.IsAsciiHexDigit((char)b):
                // 15 digits are more than anybody has, and less than what turns negative.
                if (_part == Part.Size && ++_line > 14)
                    throw UpstreamException.Bad("a chunk's size");
                (_left, _part) = (_left * 16 + (b <= '9' ? b - '0' : (b | 0x20) - 'a' + 10), Part.Size);
                break;
            case Part.Size when b == '\r':
                _part = Part.SizeEnd;
                break;
            case Part.Size when b is (byte)';' or (byte)' ' or (byte)'\t':
                (_part, _line) = (Part.Extension, 0);
                break;
            case Part.Extension when b == '\r':
                _part = Part.SizeEnd;
                break;
            case Part.Extension when b is not ((byte)'\n' or 0) && ++_line < MaxLine:
                break;
            case Part.SizeEnd when b == '\n':
                (_part, _line) = (_left == 0 ? Part.TrailerFirst : Part.Data, 0);
                break;
            case Part.DataReturn when b == '\r':
                _part = Part.DataEnd;
                break;
            case Part.DataEnd when b == '\n':
                _part = Part.SizeFirst;
                break;
            case Part.TrailerFirst when b == '\r':
                _part = Part.LastEnd;
                break;
            case Part.TrailerFirst or Part.Trailer when b is not ((byte)'\r' or (byte)'\n' or 0) && ++_trailers < MaxTrailers:
                _part = Part.Trailer;
                break;
            case Part.Trailer when b == '\r':
                _part = Part.TrailerEnd;
                break;
            case Part.TrailerEnd when b == '\n':
                _part = Part.TrailerFirst;
                break;
            case Part.LastEnd when b == '\n':
                _part = Part.Over;
                break;
            default:
                throw UpstreamException.Bad("a chunk");
        }
    }
}
