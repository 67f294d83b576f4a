using System.IO.Pipelines;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Metadata;

namespace Tandem.Core.Http;

/// <summary>
/// Sends a small JSON answer in one piece, with its length. The framework starts the answer in front of the serializer, which flushes at its end: without this
/// every JSON answer would be chunked and would take two system calls, and its client two packets, of which the second is the mark of the end.
/// </summary>
sealed class WholeAnswer(HttpResponse response, IHttpResponseBodyFeature body) : PipeWriter, IHttpResponseBodyFeature
{
    // The serializer's own flushes come after about as much.
    const int MostBytes = 16 * 1024;

    readonly PipeWriter _writer = body.Writer;
    long _bytes;
    bool _hasWaited;

    public Stream Stream => body.Stream;

    public PipeWriter Writer => this;

    /// <summary>Whether something is written that has not been sent: then there is no other answer any more.</summary>
    public bool HasContent => _bytes > 0;

    public override bool CanGetUnflushedBytes => _writer.CanGetUnflushedBytes;

    public override long UnflushedBytes => _writer.UnflushedBytes;

    /// <summary>Marks the endpoints whose answer is made as a whole: neither raw request delegates nor what gives one element after the other.</summary>
    public static void Mark(EndpointBuilder endpoint)
    {
        var types = endpoint.Metadata.OfType<IProducesResponseTypeMetadata>().Select(p => p.Type).OfType<Type>().ToList();
        if (types.Count > 0 && !types.Exists(t => t.IsGenericType && t.GetGenericTypeDefinition() == typeof(IAsyncEnumerable<>)))
            endpoint.Metadata.Add(new Made());
    }

    /// <returns>Null where the endpoint sends as it likes.</returns>
    public static WholeAnswer? Begin(HttpContext context, Endpoint? endpoint)
    {
        if (endpoint?.Metadata.GetMetadata<Made>() is null || context.Features.Get<IHttpResponseBodyFeature>() is not { } body)
            return null;
        var answer = new WholeAnswer(context.Response, body);
        context.Features.Set<IHttpResponseBodyFeature>(answer);
        return answer;
    }

    /// <summary>The endpoint is done: what is written is all.</summary>
    public void End(HttpContext context)
    {
        if (HasContent && !response.HasStarted)
            response.ContentLength ??= _bytes;
        context.Features.Set(body);
    }

    public Task StartAsync(CancellationToken cancellationToken = default) => IsJson && !HasContent ? Task.CompletedTask : body.StartAsync(cancellationToken);

    public Task CompleteAsync() => body.CompleteAsync();

    public void DisableBuffering()
    {
        _hasWaited = true;
        body.DisableBuffering();
    }

    public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default) => body.SendFileAsync(path, offset, count, cancellationToken);

    public override Memory<byte> GetMemory(int sizeHint = 0) => _writer.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => _writer.GetSpan(sizeHint);

    public override void Advance(int bytes)
    {
        _bytes += bytes;
        _writer.Advance(bytes);
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        // Whoever flushes once more has more to say, and his client waits for it.
        if (_hasWaited || !IsJson || _bytes is 0 or > MostBytes || response.HasStarted)
            return _writer.FlushAsync(cancellationToken);
        _hasWaited = true;
        return new(new FlushResult(isCanceled: false, isCompleted: false));
    }

    public override void CancelPendingFlush() => _writer.CancelPendingFlush();

    public override void Complete(Exception? exception = null) => _writer.Complete(exception);

    bool IsJson => response.ContentType?.StartsWith("application/json", StringComparison.OrdinalIgnoreCase) == true;

    /// <summary>Of an endpoint whose answer is made as a whole.</summary>
    sealed class Made;
}
