using System.Buffers;
using System.Collections.Frozen;
using System.Diagnostics;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;
using Tandem.Core.Http;

namespace Tandem.Gateway.Forwarding;

/// <summary>Writes what a service hears: the request's head for HTTP/1.1 (RFC 9112), with the headers of this hop left out and the proxy's own added.</summary>
static class RequestHead
{
    /// <summary>Longer bodies are sent while the answer may already come, which takes more than this forwarder does.</summary>
    public const int MaxBodyBytes = 64 * 1024;

    public static readonly SearchValues<char> Token = SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

    // RFC 3986: what stands in a path as it is. A percent sign is what was left undecoded, or decoded from itself: YARP knows.
    static readonly SearchValues<char> PathCharacters = SearchValues.Create("!$&'()*+,-./0123456789:;=@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~");

    // Of this hop (RFC 9110, 7.6.1), said anew by us, or the trace's, which goes on from here.
    static readonly FrozenSet<string> NotPassed = FrozenSet.ToFrozenSet(
    [
        .. HopHeaders.Names, HeaderNames.Host, HeaderNames.ContentLength, "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix",
        HeaderNames.TraceParent, HeaderNames.TraceState, HeaderNames.RequestId,
    ], StringComparer.OrdinalIgnoreCase);

    /// <summary>Whether this is one of the many that can be sent on in this way; all others are YARP's.</summary>
    public static bool IsPlain(HttpContext context)
    {
        var (request, headers) = (context.Request, context.Request.Headers);
        return !HttpMethods.IsConnect(request.Method) && !request.Method.AsSpan().ContainsAnyExcept(Token)
            && headers.Upgrade.Count == 0 && headers.TE.Count == 0 && headers.Expect.Count == 0 && headers.TransferEncoding.Count == 0 && headers.Trailer.Count == 0
            && headers.Connection is [] or ["keep-alive" or "Keep-Alive" or "close"]
            && (headers.ContentLength is { } length ? length <= MaxBodyBytes : context.Features.Get<IHttpRequestBodyDetectionFeature>() is { CanHaveBody: false })
            && request.ContentType?.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase) != true
            && context.Features.Get<IHttpExtendedConnectFeature>() is not { IsExtendedConnect: true };
    }

    /// <summary>Writes all but its end.</summary>
    /// <returns>False when something is in it that has to be looked at more closely: what was written is worth nothing then.</returns>
    public static bool TryWrite(HttpContext context, UpstreamOptions upstream, UpstreamPool pool, ArrayBufferWriter<byte> to)
    {
        var request = context.Request;
        var path = request.Path;
        if (upstream.StripPath && path.StartsWithSegments(upstream.Path, out var rest))
            path = rest;
        var (target, query) = (path.Value ?? "", request.QueryString.Value ?? "");
        if (target.AsSpan().ContainsAnyExcept(PathCharacters) || query.AsSpan().ContainsAnyExceptInRange('!', '~') || query.Contains('#', StringComparison.Ordinal))
            return false;

        Add(to, request.Method);
        to.Write(" "u8);
        to.Write(pool.Base);
        Add(to, target.Length == 0 ? "/" : target);
        Add(to, query);
        to.Write(" HTTP/1.1\r\nHost: "u8);
        to.Write(pool.Host);
        to.Write("\r\n"u8);
        foreach (var (name, values) in request.Headers)
        {
            if (NotPassed.Contains(name) || name.StartsWith(':') || name.StartsWith(Identity.Prefix, StringComparison.OrdinalIgnoreCase)
                || (!upstream.PassToken && name.Equals(HeaderNames.Authorization, StringComparison.OrdinalIgnoreCase)))
                continue;
            if (name.Length == 0 || name.AsSpan().ContainsAnyExcept(Token) || !TryAdd(to, name, values))
                return false;
        }

        if (request.ContentLength is { } length)
            AddOwn(to, HeaderNames.ContentLength, length.ToString(System.Globalization.CultureInfo.InvariantCulture));
        if (context.Connection.RemoteIpAddress is { } client)
            AddOwn(to, "X-Forwarded-For", client.ToString());
        AddOwn(to, "X-Forwarded-Proto", request.Scheme);
        if (request.Host is { HasValue: true } host && !TryAdd(to, "X-Forwarded-Host", host.ToUriComponent()))
            return false;
        if (request.PathBase is { HasValue: true } prefix && !TryAdd(to, "X-Forwarded-Prefix", prefix.ToUriComponent()))
            return false;
        if (context.Features.Get<Caller>() is { } caller)
            foreach (var (name, value) in Identity.Of(caller))
                if (!TryAdd(to, name, value))
                    return false;
        return true;
    }

    /// <summary>Ends it with the trace that goes on from here.</summary>
    public static void End(ArrayBufferWriter<byte> to)
    {
        if (Activity.Current is { IdFormat: ActivityIdFormat.W3C, Id: { } trace } activity)
        {
            AddOwn(to, HeaderNames.TraceParent, trace);
            // A state with what may not stand in a header is none (W3C Trace Context, 3.3).
            if (activity.TraceStateString is { Length: > 0 } state)
                TryAdd(to, HeaderNames.TraceState, state);
        }

        to.Write("\r\n"u8);
    }

    static bool TryAdd(ArrayBufferWriter<byte> to, string name, StringValues values)
    {
        // Several lines of cookies are against the rules of HTTP/1.1; HTTP/2 allows them (RFC 9113, 8.2.3).
        if (values.Count > 1 && name.Equals(HeaderNames.Cookie, StringComparison.OrdinalIgnoreCase))
            values = string.Join("; ", values.ToArray());
        for (var i = 0; i < values.Count; i++)
        {
            var value = values[i] ?? "";
            if (value.AsSpan().ContainsAnyExceptInRange(' ', '~'))
                return false;
            AddOwn(to, name, value);
        }

        return true;
    }

    static void AddOwn(ArrayBufferWriter<byte> to, string name, string value)
    {
        Add(to, name);
        to.Write(": "u8);
        Add(to, value);
        to.Write("\r\n"u8);
    }

    static void Add(ArrayBufferWriter<byte> to, string ascii) => to.Advance(Encoding.ASCII.GetBytes(ascii, to.GetSpan(ascii.Length)));
}
