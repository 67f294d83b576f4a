using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Yarp.ReverseProxy.Forwarder;
using Yarp.ReverseProxy.Model;

namespace Tandem.Gateway.Forwarding;

/// <summary>
/// Sends the many plain requests on over HTTP/1.1 itself; everything else (upgrades, long or unmeasured bodies, Expect, trailers, https) is YARP's.
/// Routes, balancing and health stay YARP's for all. See docs/decisions/0012-lean-forwarder.md.
/// </summary>
sealed class LeanForwarder : IHttpForwarder, IDisposable
{
    // As HttpClient has it.
    const int MaxHead = 64 * 1024;

    // So much of an answer waits for its client at most.
    const int MaxUnflushed = 64 * 1024;

    // 100 Continue was not asked for, and 103 Early Hints is for browsers: a few of them are passed over.
    const int MaxInterim = 8;

    static readonly TimeSpan Sweep = TimeSpan.FromMilliseconds(250);

    static readonly ActivitySource Spans = new("Tandem.Gateway");

    readonly IHttpForwarder _others;
    readonly IUpstreamTransport _transport;
    readonly IReadOnlyDictionary<string, UpstreamOptions> _upstreams;
    readonly ConcurrentDictionary<string, UpstreamPool?> _pools = new();
    readonly Timer _timer;

    /// <param name="others">Takes what is not plain.</param>
    /// <param name="transport">Opens its connections.</param>
    /// <param name="upstreams">By the name of the route.</param>
    public LeanForwarder(IHttpForwarder others, IUpstreamTransport transport, IReadOnlyDictionary<string, UpstreamOptions> upstreams)
    {
        (_others, _transport, _upstreams) = (others, transport, upstreams);
        _timer = new Timer(_ =>
        {
            foreach (var pool in _pools.Values)
                pool?.Sweep(Environment.TickCount64);
        }, null, Sweep, Sweep);
    }

    public ValueTask<ForwarderError> SendAsync(
        HttpContext context, string destinationPrefix, HttpMessageInvoker httpClient, ForwarderRequestConfig requestConfig, HttpTransformer transformer) =>
        SendAsync(context, destinationPrefix, httpClient, requestConfig, transformer, CancellationToken.None);

    public ValueTask<ForwarderError> SendAsync(HttpContext context, string destinationPrefix, HttpMessageInvoker httpClient, ForwarderRequestConfig requestConfig,
        HttpTransformer transformer, CancellationToken cancellationToken)
    {
        if (context.Features.Get<IReverseProxyFeature>()?.Route.Config.RouteId is { } name && _upstreams.TryGetValue(name, out var upstream)
            && RequestHead.IsPlain(context) && PoolOf(destinationPrefix) is { } pool)
        {
            var head = new ArrayBufferWriter<byte>(1024);
            if (RequestHead.TryWrite(context, upstream, pool, head))
                return new(ForwardAsync(context, upstream, pool, head));
        }

        return OthersAsync(context, destinationPrefix, httpClient, requestConfig, transformer, cancellationToken);
    }

    async ValueTask<ForwarderError> OthersAsync(HttpContext context, string destinationPrefix, HttpMessageInvoker httpClient, ForwarderRequestConfig requestConfig,
        HttpTransformer transformer, CancellationToken ct)
    {
        using var leave = await _transport.LeaveAsync(context);
        return await _others.SendAsync(context, destinationPrefix, httpClient, requestConfig, transformer, ct);
    }

    public void Dispose()
    {
        _timer.Dispose();
        foreach (var pool in _pools.Values)
            pool?.Close();
    }

    UpstreamPool? PoolOf(string prefix) => _pools.GetOrAdd(prefix, static (p, t) => new Uri(p) is { Scheme: "http" } uri ? new UpstreamPool(uri, t) : null, _transport);

    async Task<ForwarderError> ForwardAsync(HttpContext context, UpstreamOptions upstream, UpstreamPool pool, ArrayBufferWriter<byte> request)
    {
        using var span = BeginSpan(context.Request, pool);
        RequestHead.End(request);
        // Read whole, so that a client's faults are seen before the service hears anything.
        if (context.Request.ContentLength is > 0 and var length)
            await ReadBodyAsync(context, (int)length, request);

        var aborted = context.RequestAborted;
        UpstreamConnection? connection = null;
        try
        {
            connection = pool.Take();
            if (connection is not null)
                try
                {
                    await UseAsync(context, upstream, pool, connection, request.WrittenMemory);
                    span?.SetTag("http.response.status_code", context.Response.StatusCode);
                    return ForwarderError.None;
                }
                catch (NothingHeardException) when (!connection.HasExpired && !aborted.IsCancellationRequested && IsIdempotent(context.Request.Method))
                {
                    // The service closed it while the request was on its way. On a new connection that would be another matter.
                    pool.Drop(connection);
                }

            connection = null;
            connection = await pool.ConnectAsync(aborted);
            await UseAsync(context, upstream, pool, connection, request.WrittenMemory);
            span?.SetTag("http.response.status_code", context.Response.StatusCode);
            return ForwarderError.None;
        }
        catch (Exception e) when (e is UpstreamException or IOException or OperationCanceledException)
        {
            if (connection is not null)
                pool.Drop(connection);
            var error = await FailAsync(context, connection, e);
            span?.SetTag("error.type", error.ToString()).SetStatus(ActivityStatusCode.Error, e.Message);
            return error;
        }
    }

    /// <summary>What the trace shows of it, by the names of OpenTelemetry's conventions for HTTP clients; never the query, which may hold a token.</summary>
    static Activity? BeginSpan(HttpRequest request, UpstreamPool pool) => Spans.StartActivity(request.Method, ActivityKind.Client)
        ?.SetTag("http.request.method", request.Method).SetTag("server.address", pool.Service.Host).SetTag("server.port", pool.Service.Port);

    /// <summary>One exchange over a connection, and what becomes of it.</summary>
    static async Task UseAsync(HttpContext context, UpstreamOptions upstream, UpstreamPool pool, UpstreamConnection connection, ReadOnlyMemory<byte> request)
    {
        connection.Follow(context);
        connection.Allow(upstream.Timeout);
        var registration = context.RequestAborted.UnsafeRegister(static c => ((UpstreamConnection)c!).Abort(), connection);
        var isKept = false;
        try
        {
            isKept = await ExchangeAsync(context, upstream, connection, request);
        }
        finally
        {
            // Once it has returned nobody closes the connection any more.
            await registration.DisposeAsync();
        }

        if (connection.TryRest() && isKept && !context.RequestAborted.IsCancellationRequested)
            pool.Return(connection);
        else
            pool.Drop(connection);
    }

    /// <returns>Whether the connection can be used again.</returns>
    static async Task<bool> ExchangeAsync(HttpContext context, UpstreamOptions upstream, UpstreamConnection connection, ReadOnlyMemory<byte> request)
    {
        try
        {
            await connection.SendAsync(request);
        }
        catch (IOException e)
        {
            throw new NothingHeardException(e);
        }

        ResponseHead head;
        var interim = 0;
        while ((head = await ReadHeadAsync(connection)).Status < 200)
            if (head.Status == 101 || ++interim > MaxInterim)
                throw UpstreamException.Bad("an interim answer that was not asked for");
        connection.Answer(context);
        connection.Allow(upstream.Timeout);
        var isHead = HttpMethods.IsHead(context.Request.Method);
        WriteHead(context.Response, head, isHead);
        if (!isHead && head.Status is not (204 or 304))
        {
            await CopyBodyAsync(context, upstream, connection, head);
            // The rest goes out with the end of the request only where nothing has gone before.
            if (context.Response.HasStarted)
                await FlushAsync(context.Response.BodyWriter);
        }

        return head.IsKept && (head.IsChunked || head.ContentLength is not null || isHead || head.Status is 204 or 304);
    }

    static async ValueTask<ResponseHead> ReadHeadAsync(UpstreamConnection connection)
    {
        for (var hasHeard = false; ;)
        {
            ReadResult read;
            try
            {
                read = await connection.Input.ReadAsync();
            }
            catch (Exception e) when (!hasHeard && e is IOException or ConnectionAbortedException)
            {
                throw new NothingHeardException(e);
            }

            var bytes = read.Buffer;
            hasHeard |= !bytes.IsEmpty;
            if (TryReadHead(ref bytes, out var head))
            {
                connection.Input.AdvanceTo(bytes.Start);
                return head;
            }

            if (bytes.Length >= MaxHead)
                throw UpstreamException.Bad($"a head of more than {MaxHead / 1024} KiB");
            if (read.IsCompleted)
                throw hasHeard ? UpstreamException.Bad("it ends in the middle of its head") : new NothingHeardException(null);
            connection.Input.AdvanceTo(bytes.Start, bytes.End);
        }
    }

    static bool TryReadHead(ref ReadOnlySequence<byte> bytes, [NotNullWhen(true)] out ResponseHead? head)
    {
        var reader = new SequenceReader<byte>(bytes);
        head = null;
        if (!reader.TryReadTo(out ReadOnlySequence<byte> _, "\r\n\r\n"u8))
            return false;
        if (reader.Consumed > MaxHead)
            return false;
        var whole = bytes.Slice(0, reader.Consumed);
        head = ResponseHead.Read(whole.IsSingleSegment ? whole.FirstSpan : whole.ToArray());
        bytes = bytes.Slice(reader.Consumed);
        return true;
    }

    static void WriteHead(HttpResponse response, ResponseHead head, bool isHead)
    {
        response.StatusCode = head.Status;
        foreach (var (name, value) in head.Headers)
            response.Headers[name] = StringValues.Concat(response.Headers[name], value);
        // Of an answer without a body it is what the body would have; RFC 9110, 8.6.
        if (head.ContentLength is { } length && head.Status != 204 && (isHead || head.Status != 304 || length > 0))
            response.ContentLength = length;
    }

    static async ValueTask CopyBodyAsync(HttpContext context, UpstreamOptions upstream, UpstreamConnection connection, ResponseHead head)
    {
        var (input, writer, chunks, left) = (connection.Input, context.Response.BodyWriter, new ChunkedBody(), head.ContentLength ?? long.MaxValue);
        while (left > 0 && !chunks.IsOver)
        {
            // The client gets all that there is before more is waited for, and no more is kept than it takes.
            if (writer.UnflushedBytes >= MaxUnflushed)
                await FlushAsync(writer);
            var coming = input.ReadAsync();
            if (!coming.IsCompleted)
                await FlushAsync(writer);
            var read = await coming;
            connection.Allow(upstream.Timeout);
            if (read.Buffer.IsEmpty && read.IsCompleted)
            {
                if (head.IsChunked || head.ContentLength is not null)
                    throw new UpstreamException(ForwarderError.ResponseBodyDestination, "The service broke its answer off.");
                return;
            }

            var used = 0L;
            foreach (var piece in read.Buffer)
            {
                if (head.IsChunked)
                    used += chunks.Read(piece.Span, writer);
                else
                {
                    var part = piece.Span[..(int)Math.Min(left - used, piece.Length)];
                    writer.Write(part);
                    used += part.Length;
                }
            }

            input.AdvanceTo(read.Buffer.GetPosition(used));
            if (!head.IsChunked && head.ContentLength is not null)
                left -= used;
        }
    }

    static async ValueTask FlushAsync(PipeWriter writer)
    {
        if ((await writer.FlushAsync()).IsCompleted)
            throw new ClientGoneException();
    }

    static async Task ReadBodyAsync(HttpContext context, int length, ArrayBufferWriter<byte> to)
    {
        var into = to.GetMemory(length)[..length];
        await context.Request.Body.ReadExactlyAsync(into, context.RequestAborted);
        to.Advance(length);
    }

    // RFC 9110, 9.2.2.
    static bool IsIdempotent(string method) => HttpMethods.IsGet(method) || HttpMethods.IsHead(method) || HttpMethods.IsPut(method) || HttpMethods.IsDelete(method)
        || HttpMethods.IsOptions(method) || HttpMethods.IsTrace(method);

    static async Task<ForwarderError> FailAsync(HttpContext context, UpstreamConnection? connection, Exception exception)
    {
        var hasBegun = connection?.HasAnswered == true;
        var isClient = exception is ClientGoneException || (context.RequestAborted.IsCancellationRequested && connection?.HasExpired != true);
        var error = (exception, hasBegun) switch
        {
            _ when isClient => hasBegun ? ForwarderError.ResponseBodyClient : ForwarderError.RequestCanceled,
            _ when connection?.HasExpired == true => hasBegun ? ForwarderError.ResponseBodyCanceled : ForwarderError.RequestTimedOut,
            (UpstreamException e, _) => e.Error,
            (_, true) => ForwarderError.ResponseBodyDestination,
            _ => ForwarderError.Request,
        };
        context.Features.Set<IForwarderErrorFeature>(new Failure(error, exception));
        if (hasBegun)
        {
            // The client must not take what it has for the whole: its connection is reset. What was not begun to be sent could end up in an answer of ours otherwise.
            if (!context.Response.HasStarted && !isClient)
                await context.Response.StartAsync(CancellationToken.None);
            context.Abort();
        }
        else
            context.Response.StatusCode = error is ForwarderError.RequestTimedOut ? StatusCodes.Status504GatewayTimeout : StatusCodes.Status502BadGateway;
        return error;
    }

    sealed record Failure(ForwarderError Error, Exception? Exception) : IForwarderErrorFeature;

    sealed class ClientGoneException : IOException;

    /// <summary>The connection ended before a byte of the answer.</summary>
    sealed class NothingHeardException(Exception? inner) : IOException("The service closed the connection without an answer.", inner);
}
