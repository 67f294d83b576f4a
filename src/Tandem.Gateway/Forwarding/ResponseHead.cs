using System.Collections.Frozen;
using System.Globalization;
using System.Text;
using Microsoft.Net.Http.Headers;
using Yarp.ReverseProxy.Forwarder;

namespace Tandem.Gateway.Forwarding;

/// <summary>What a service answered is no HTTP, or it broke off.</summary>
sealed class UpstreamException(ForwarderError error, string message) : Exception(message)
{
    public ForwarderError Error => error;

    public static UpstreamException Bad(string what) => new(ForwarderError.Request, $"The service's answer is no HTTP: {what}.");
}

/// <summary>The head of an answer (RFC 9112), read strictly: what two servers could read differently is no answer.</summary>
sealed class ResponseHead
{
    static readonly System.Buffers.SearchValues<byte> Token = System.Buffers.SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    // Names that come all the time, so that no string has to be made of them.
    static readonly FrozenSet<string>.AlternateLookup<ReadOnlySpan<char>> Known = FrozenSet.ToFrozenSet(
    [
        HeaderNames.AcceptRanges, HeaderNames.AccessControlAllowOrigin, HeaderNames.Age, HeaderNames.Allow, HeaderNames.CacheControl, HeaderNames.Connection, HeaderNames.ContentDisposition,
        HeaderNames.ContentEncoding, HeaderNames.ContentLanguage, HeaderNames.ContentLength, HeaderNames.ContentRange, HeaderNames.ContentSecurityPolicy, HeaderNames.ContentType,
        HeaderNames.Date, HeaderNames.ETag, HeaderNames.Expires, HeaderNames.KeepAlive, HeaderNames.LastModified, HeaderNames.Link, HeaderNames.Location, HeaderNames.Pragma, HeaderNames.RetryAfter,
        HeaderNames.Server, HeaderNames.SetCookie, HeaderNames.StrictTransportSecurity, HeaderNames.TransferEncoding, HeaderNames.Vary, HeaderNames.Via, HeaderNames.WWWAuthenticate,
        HeaderNames.XContentTypeOptions, HeaderNames.XFrameOptions, "X-Powered-By", "X-Request-Id",
    ], StringComparer.OrdinalIgnoreCase).GetAlternateLookup<ReadOnlySpan<char>>();

    readonly List<(string Name, string Value)> _headers = [];
    string? _connection;

    public int Status { get; private set; }

    /// <summary>All but those of the hop and the length.</summary>
    public IReadOnlyList<(string Name, string Value)> Headers => _headers;

    /// <summary>Bytes of the body, or what they would be where there is none; null when not said.</summary>
    public long? ContentLength { get; private set; }

    public bool IsChunked { get; private set; }

    /// <summary>Whether the connection may be used again.</summary>
    public bool IsKept { get; private set; }

    /// <param name="head">From the first byte up to the empty line, that one included.</param>
    /// <exception cref="UpstreamException">It is none.</exception>
    public static ResponseHead Read(ReadOnlySpan<byte> head)
    {
        var read = new ResponseHead();
        var rest = head[..^2];
        var isOld = read.ReadStatus(Line(ref rest));
        var hasBothLengths = false;
        string? coding = null;
        while (rest.Length > 0)
            read.ReadHeader(Line(ref rest), ref coding);
        if (coding is not null)
        {
            if (isOld || !coding.Equals("chunked", StringComparison.OrdinalIgnoreCase))
                throw UpstreamException.Bad(isOld ? "a transfer coding in HTTP/1.0" : "a transfer coding that was not asked for");
            // RFC 9112, 6.3: the length is not to be believed and not passed on, nor the connection used again.
            (hasBothLengths, read.ContentLength, read.IsChunked) = (read.ContentLength is not null, null, true);
        }

        read.IsKept = !isOld && !hasBothLengths && !read.Nominates("close");
        read._headers.RemoveAll(h => HopHeaders.Names.Contains(h.Name) || read.Nominates(h.Name));
        return read;
    }

    bool ReadStatus(ReadOnlySpan<byte> line)
    {
        if (line.Length < 12 || !line.StartsWith("HTTP/1."u8) || line[7] is not ((byte)'0' or (byte)'1') || line[8] != ' ' || (line.Length > 12 && line[12] != ' '))
            throw UpstreamException.Bad("its first line");
        if (line[9..12].ContainsAnyExceptInRange((byte)'0', (byte)'9') || line[9] is < (byte)'1' or > (byte)'5')
            throw UpstreamException.Bad("its status");
        if (HasControl(line[12..]))
            throw UpstreamException.Bad("its reason");
        Status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
        return line[7] == '0';
    }

    void ReadHeader(ReadOnlySpan<byte> line, ref string? coding)
    {
        var colon = line.IndexOf((byte)':');
        // A line that begins with a blank would go on with the one before, a blank before the colon would make another name of it.
        if (colon <= 0 || line[..colon].ContainsAnyExcept(Token))
            throw UpstreamException.Bad("a header's name");
        var bytes = line[(colon + 1)..].Trim(" \t"u8);
        if (HasControl(bytes) || bytes.ContainsAnyInRange((byte)0x80, (byte)0xff))
            throw UpstreamException.Bad("a header's value");
        var (name, value) = (Name(line[..colon]), Encoding.ASCII.GetString(bytes));
        if (name.Equals(HeaderNames.ContentLength, StringComparison.OrdinalIgnoreCase))
        {
            if (bytes.Length is 0 or > 18 || bytes.ContainsAnyExceptInRange((byte)'0', (byte)'9'))
                throw UpstreamException.Bad("its length");
            var length = long.Parse(value, CultureInfo.InvariantCulture);
            if (ContentLength is { } other && other != length)
                throw UpstreamException.Bad("two lengths");
            ContentLength = length;
            return;
        }

        if (name.Equals(HeaderNames.TransferEncoding, StringComparison.OrdinalIgnoreCase))
            coding = coding is null ? value : $"{coding}, {value}";
        else if (name.Equals(HeaderNames.Connection, StringComparison.OrdinalIgnoreCase))
            _connection = _connection is null ? value : $"{_connection}, {value}";
        _headers.Add((name, value));
    }

    /// <summary>Whether Connection has this word.</summary>
    bool Nominates(string word)
    {
        if (_connection is null)
            return false;
        foreach (var part in _connection.AsSpan().Split(','))
            if (_connection.AsSpan()[part].Trim().Equals(word, StringComparison.OrdinalIgnoreCase))
                return true;
        return false;
    }

    static ReadOnlySpan<byte> Line(ref ReadOnlySpan<byte> rest)
    {
        var end = rest.IndexOfAny((byte)'\r', (byte)'\n');
        if (end < 0 || rest[end] != '\r' || end + 1 == rest.Length || rest[end + 1] != '\n')
            throw UpstreamException.Bad("the end of a line");
        var line = rest[..end];
        rest = rest[(end + 2)..];
        return line;
    }

    static bool HasControl(ReadOnlySpan<byte> text)
    {
        for (var at = text.IndexOfAnyExceptInRange((byte)' ', (byte)'~'); at >= 0; at = text.IndexOfAnyExceptInRange((byte)' ', (byte)'~'))
        {
            if (text[at] is < (byte)' ' and not (byte)'\t' or 0x7f)
                return true;
            text = text[(at + 1)..];
        }

        return false;
    }

    static string Name(ReadOnlySpan<byte> name)
    {
        Span<char> text = stackalloc char[64];
        if (name.Length > text.Length)
            return Encoding.ASCII.GetString(name);
        text = text[..Encoding.ASCII.GetChars(name, text)];
        return Known.TryGetValue(text, out var known) ? known : text.ToString();
    }
}
