using System.Diagnostics;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;

namespace Tandem.Core.Http;

/// <summary>An error a client can meet, declared once in its module. Sent as RFC 9457 <c>application/problem+json</c>.</summary>
/// <param name="Code">Stable; the <c>type</c> member: <c>users/email-taken</c>.</param>
/// <param name="Status">HTTP status.</param>
/// <param name="Detail">One sentence, with what to do next where that is not obvious.</param>
public sealed record Problem(string Code, int Status, string Detail)
{
    /// <summary>An answer with this problem.</summary>
    /// <param name="problem">Which one.</param>
    /// <param name="detail">A more exact sentence than the declared one.</param>
    public static ProblemResult Of(Problem problem, string? detail = null) => new(problem, detail, null);

    /// <summary>422 with a message per field.</summary>
    /// <param name="errors">JSON name of the field (nested: <c>address.city</c>) to its messages.</param>
    public static ProblemResult Invalid(IReadOnlyDictionary<string, string[]> errors) => new(HttpProblems.Invalid, null, errors);

    /// <inheritdoc cref="Invalid(IReadOnlyDictionary{string, string[]})"/>
    public static ProblemResult Invalid(string field, string message) => Invalid(new Dictionary<string, string[]> { [field] = [message] });
}

/// <summary>Ends a request with a problem from deep inside.</summary>
/// <param name="problem">Which one.</param>
/// <param name="detail">A more exact sentence than the declared one.</param>
/// <param name="errors">JSON name of the field to its messages.</param>
/// <param name="retryAfterSeconds">For the Retry-After header.</param>
/// <param name="members">Members beside those of RFC 9457.</param>
public sealed class ProblemException(Problem problem, string? detail = null, IReadOnlyDictionary<string, string[]>? errors = null, int? retryAfterSeconds = null,
    IReadOnlyDictionary<string, string>? members = null)
    : Exception(detail ?? problem?.Detail)
{
    /// <summary>What the client gets.</summary>
    public ProblemResult Result { get; } =
        new(problem ?? throw new ArgumentNullException(nameof(problem)), detail, errors) { RetryAfterSeconds = retryAfterSeconds, Members = members };
}

/// <summary>Writes a <see cref="Problem"/>.</summary>
public sealed class ProblemResult(Problem problem, string? detail, IReadOnlyDictionary<string, string[]>? errors) : IResult, IStatusCodeHttpResult
{
    static readonly Dictionary<string, string> EmptyMembers = [];
    static readonly string[] BodyHeaders =
        [HeaderNames.ContentLength, HeaderNames.ContentEncoding, HeaderNames.ContentDisposition, HeaderNames.ETag, HeaderNames.LastModified, HeaderNames.Location, HeaderNames.ContentSecurityPolicy];

    /// <summary>Which problem.</summary>
    public Problem Problem => problem;

    /// <summary>Seconds for the Retry-After header, when there is one.</summary>
    public int? RetryAfterSeconds { get; init; }

    /// <summary>Members beside those of RFC 9457, such as the <c>error</c> that OAuth clients read.</summary>
    public IReadOnlyDictionary<string, string>? Members { get; init; }

    int? IStatusCodeHttpResult.StatusCode => problem.Status;

    /// <summary>The sentence a person reads.</summary>
    public string Detail => detail ?? (errors is { Count: > 0 }
        ? string.Join(" ", errors.SelectMany(e => e.Value.Select(m => $"{e.Key} {m}.")))
        : problem.Detail);

    /// <inheritdoc/>
    public async Task ExecuteAsync(HttpContext httpContext)
    {
        ArgumentNullException.ThrowIfNull(httpContext);
        var response = httpContext.Response;
        // What an answer that came to nothing said of its body goes; what was said in front of it (CORS, limits) stays.
        foreach (var header in BodyHeaders)
            response.Headers.Remove(header);
        response.StatusCode = problem.Status;
        response.ContentType = "application/problem+json";
        if (RetryAfterSeconds is { } seconds)
            response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        await using var json = new Utf8JsonWriter(response.BodyWriter);
        json.WriteStartObject();
        json.WriteString("type", problem.Code);
        json.WriteString("title", ReasonPhrases.GetReasonPhrase(problem.Status));
        json.WriteNumber("status", problem.Status);
        json.WriteString("detail", Detail);
        if (errors is not null)
        {
            json.WriteStartObject("errors");
            foreach (var (field, messages) in errors)
            {
                json.WriteStartArray(field);
                foreach (var message in messages)
                    json.WriteStringValue(message);
                json.WriteEndArray();
            }

            json.WriteEndObject();
        }

        foreach (var (name, value) in Members ?? EmptyMembers)
            json.WriteString(name, value);
        json.WriteString("trace_id", Activity.Current?.TraceId.ToString() ?? httpContext.TraceIdentifier);
        json.WriteEndObject();
    }
}

/// <summary>The problems any request can meet.</summary>
public static class HttpProblems
{
    /// <summary>422.</summary>
    public static readonly Problem Invalid = new("http/invalid", 422, "The request is not valid; see errors.");
    /// <summary>401.</summary>
    public static readonly Problem Unauthorized = new("http/unauthorized", 401, "A valid bearer token is needed: send Authorization: Bearer with a token from POST /token.");
    /// <summary>403.</summary>
    public static readonly Problem Forbidden = new("http/forbidden", 403, "This account may not do that.");
    /// <summary>404.</summary>
    public static readonly Problem NotFound = new("http/not-found", 404, "There is nothing at this address; GET /docs lists what there is.");
    /// <summary>405.</summary>
    public static readonly Problem MethodNotAllowed = new("http/method-not-allowed", 405, "This address does not take this method; the Allow header lists those it takes.");
    /// <summary>408.</summary>
    public static readonly Problem Timeout = new("http/timeout", 408, "The request did not arrive in time.");
    /// <summary>413.</summary>
    public static readonly Problem TooLarge = new("http/body-too-large", 413, "The body is larger than Http:MaxBodyBytes allows.");
    /// <summary>415.</summary>
    public static readonly Problem UnsupportedMediaType = new("http/unsupported-media-type", 415, "Send the body as application/json in UTF-8.");
    /// <summary>429.</summary>
    public static readonly Problem TooManyRequests = new("http/too-many-requests", 429, "Too many requests; try again after the time in Retry-After.");
    /// <summary>400.</summary>
    public static readonly Problem BadRequest = new("http/bad-request", 400, "The request could not be understood.");
    /// <summary>412.</summary>
    public static readonly Problem PreconditionFailed = new("http/precondition-failed", 412, "It was changed since you read it: read it again and repeat your change on that version.");
    /// <summary>422.</summary>
    public static readonly Problem IdempotencyKeyReused = new("http/idempotency-key-reused", 422, "This Idempotency-Key was sent with another request before; take a new one for each new request.");
    /// <summary>500.</summary>
    public static readonly Problem Failed = new("http/failed", 500, "Something went wrong on our side; the log has it under this trace_id.");
    /// <summary>503.</summary>
    public static readonly Problem Unavailable = new("http/unavailable", 503, "A store is unavailable; try again after the time in Retry-After.");
    /// <summary>504.</summary>
    public static readonly Problem TookTooLong = new("http/took-too-long", 504, "The request took longer than Http:RequestTimeout allows.");

    /// <summary>The problem for a bare status code.</summary>
    internal static Problem Of(int status) => status switch
    {
        401 => Unauthorized,
        403 => Forbidden,
        404 => NotFound,
        405 => MethodNotAllowed,
        408 => Timeout,
        412 => PreconditionFailed,
        413 => TooLarge,
        415 => UnsupportedMediaType,
        422 => Invalid,
        429 => TooManyRequests,
        503 => Unavailable,
        504 => TookTooLong,
        >= 500 => new Problem("http/failed", status, Failed.Detail),
        _ => new Problem("http/bad-request", status, BadRequest.Detail),
    };
}

/// <summary>Says which problems an endpoint answers with, for OpenAPI.</summary>
public static class ProblemConventions
{
    /// <summary>Documents the problems of an endpoint. 401, 422 and 500 are documented where they apply without being named.</summary>
    public static TBuilder Answers<TBuilder>(this TBuilder builder, params Problem[] problems) where TBuilder : IEndpointConventionBuilder
    {
        builder.Add(endpoint =>
        {
            foreach (var problem in problems)
                endpoint.Metadata.Add(problem);
        });
        return builder;
    }
}
