using System.IO.Pipelines;
using System.Reflection;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Metadata;

namespace Tandem.Core.Http;

/// <summary>
/// Sends a small JSON answer in one piece, with its length. The framework starts the answer in front of the serializer, which flushes at its end: without this
/// every JSON answer would be chunked and would take two system calls, and its client two packets, of which the second is the mark of the end.
/// </summary>
/// <remarks>Begun behind routing and ended behind every middleware: what a module adds to an answer is in its length as well.</remarks>
sealed class WholeAnswer(HttpResponse response, IHttpResponseBodyFeature body) : PipeWriter, IHttpResponseBodyFeature
{
    // The serializer's own flushes come after about as much.
    const int MostBytes = 16 * 1024;

    readonly HttpResponse _response = response;
    readonly IHttpResponseBodyFeature _body = body;
    int _bytes;
    bool _hasWaited;

    public Stream Stream => _body.Stream;

    public PipeWriter Writer => this;

    /// <summary>Whether something was written before the answer began: then there is no other answer any more.</summary>
    public bool HasContent => _bytes > 0;

    public override bool CanGetUnflushedBytes => _body.Writer.CanGetUnflushedBytes;

    public override long UnflushedBytes => _body.Writer.UnflushedBytes;

    /// <summary>Marks the endpoints whose method returns its answer as a whole: not those that write by themselves, nor what gives one element after the other.</summary>
    public static void Mark(EndpointBuilder endpoint)
    {
        if (endpoint.Metadata.OfType<MethodInfo>().FirstOrDefault()?.ReturnType is not { } returned || returned == typeof(void) || returned == typeof(Task) || returned == typeof(ValueTask))
            return;
        var types = endpoint.Metadata.OfType<IProducesResponseTypeMetadata>().Select(p => p.Type).OfType<Type>().ToList();
        if (types.Count > 0 && !types.Exists(t => t.IsGenericType && t.GetGenericTypeDefinition() == typeof(IAsyncEnumerable<>)))
            endpoint.Metadata.Add(new Made());
    }

    /// <returns>Null where the endpoint sends as it likes, or a module takes the answer to change it.</returns>
    public static WholeAnswer? Begin(HttpContext context, Endpoint? endpoint)
    {
        // The server is all of its features itself.
        if (endpoint?.Metadata.GetMetadata<Made>() is null || context.Features.Get<IHttpResponseBodyFeature>() is not { } body
            || !ReferenceEquals(body, context.Features.Get<IHttpResponseFeature>()))
            return null;
        var answer = new WholeAnswer(context.Response, body);
        context.Features.Set<IHttpResponseBodyFeature>(answer);
        return answer;
    }

    /// <summary>What is written is all.</summary>
    public static void End(HttpContext context)
    {
        if (Of(context) is { HasContent: true } answer && !answer._response.HasStarted)
            answer._response.ContentLength ??= answer._bytes;
    }

    /// <summary>What is written is not all, and a client must not take it for that.</summary>
    public static void BreakOff(HttpContext context)
    {
        if (Of(context) is { HasContent: true } answer && !answer._response.HasStarted)
            context.Abort();
    }

    static WholeAnswer? Of(HttpContext context) => context.Features.Get<IHttpResponseBodyFeature>() as WholeAnswer;

    public Task StartAsync(CancellationToken cancellationToken = default) => IsJson && !HasContent ? Task.CompletedTask : _body.StartAsync(cancellationToken);

    public Task CompleteAsync() => _body.CompleteAsync();

    public void DisableBuffering()
    {
        _hasWaited = true;
        _body.DisableBuffering();
    }

    public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default) => _body.SendFileAsync(path, offset, count, cancellationToken);

    public override Memory<byte> GetMemory(int sizeHint = 0) => _body.Writer.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => _body.Writer.GetSpan(sizeHint);

    public override void Advance(int bytes)
    {
        if (!_response.HasStarted)
            _bytes += bytes;
        _body.Writer.Advance(bytes);
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        // Whoever flushes once more has more to say, and his client waits for it.
        if (_hasWaited || !IsJson || _bytes is 0 or > MostBytes || _response.HasStarted)
            return _body.Writer.FlushAsync(cancellationToken);
        _hasWaited = true;
        return new(new FlushResult(isCanceled: false, isCompleted: false));
    }

    public override void CancelPendingFlush() => _body.Writer.CancelPendingFlush();

    public override void Complete(Exception? exception = null) => _body.Writer.Complete(exception);

    bool IsJson => _response.ContentType?.StartsWith("application/json", StringComparison.OrdinalIgnoreCase) == true;

    /// <summary>Of an endpoint whose answer is made as a whole.</summary>
    sealed class Made;
}
