using System.Buffers;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace Tandem.Core.Http;

/// <summary>JSON in and out for endpoints that do without the framework's binding: bodies straight from the connection's buffer, answers with their length.</summary>
public static class JsonWire
{
    // What a thread keeps for its next answer; a larger one is left to the garbage collector.
    const int MaxKept = 64 * 1024;

    [ThreadStatic]
    static (ArrayBufferWriter<byte> Buffer, Utf8JsonWriter Json)? _mine;

    /// <summary>Makes something of the whole body.</summary>
    /// <param name="context">The request.</param>
    /// <param name="parse">Must not keep the span.</param>
    /// <exception cref="ProblemException">http/unsupported-media-type (415), or what <paramref name="parse"/> throws.</exception>
    /// <exception cref="BadHttpRequestException">413: the body is larger than allowed.</exception>
    public static async ValueTask<T> ReadAsync<T>(HttpContext context, BodyParser<T> parse)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(parse);
        if (!IsJson(context.Request))
            throw new ProblemException(HttpProblems.UnsupportedMediaType);
        var reader = context.Request.BodyReader;
        while (true)
        {
            var read = await reader.ReadAsync(context.RequestAborted);
            var buffer = read.Buffer;
            if (read.IsCompleted)
                try
                {
                    return parse(buffer.IsSingleSegment ? buffer.FirstSpan : buffer.ToArray());
                }
                finally
                {
                    reader.AdvanceTo(buffer.End);
                }

            reader.AdvanceTo(buffer.Start, buffer.End);
        }
    }

    /// <summary>Makes something of a body; the span is gone when it returns.</summary>
    public delegate T BodyParser<T>(ReadOnlySpan<byte> utf8);

    static bool IsJson(HttpRequest request) =>
        request.ContentType is "application/json" || request.HasJsonContentType() && RequestFaults.IsUtf8Json(request);

    /// <summary>Answers with what <paramref name="write"/> writes.</summary>
    /// <param name="response">Nothing may have been written to it.</param>
    /// <param name="status">HTTP status.</param>
    /// <param name="state">Handed to <paramref name="write"/>, which then need not capture it.</param>
    /// <param name="write">Writes one whole JSON value; the writer does not check it.</param>
    public static void Answer<TState>(HttpResponse response, int status, TState state, Action<Utf8JsonWriter, TState> write)
    {
        ArgumentNullException.ThrowIfNull(response);
        ArgumentNullException.ThrowIfNull(write);
        response.StatusCode = status;
        response.ContentType = "application/json";
        Write(state, write, utf8 =>
        {
            response.ContentLength = utf8.Length;
            response.BodyWriter.Write(utf8);
            return true;
        });
    }

    /// <summary>The same as text.</summary>
    internal static string Text<TState>(TState state, Action<Utf8JsonWriter, TState> write) => Write(state, write, Encoding.UTF8.GetString);

    static TResult Write<TState, TResult>(TState state, Action<Utf8JsonWriter, TState> write, Func<ReadOnlySpan<byte>, TResult> use)
    {
        // Taken for as long as it is in use: what write calls may write JSON itself.
        var (buffer, json) = _mine ?? Make();
        _mine = null;
        write(json, state);
        json.Flush();
        var result = use(buffer.WrittenSpan);
        if (buffer.Capacity <= MaxKept)
        {
            buffer.ResetWrittenCount();
            json.Reset(buffer);
            _mine = (buffer, json);
        }

        return result;
    }

    static (ArrayBufferWriter<byte>, Utf8JsonWriter) Make()
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        // The columns are written in order by our own code; nothing is left for the writer to check.
        return (buffer, new Utf8JsonWriter(buffer, new JsonWriterOptions { SkipValidation = true }));
    }
}
