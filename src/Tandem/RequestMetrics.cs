using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Metadata;
using Tandem.Core;

namespace Tandem;

/// <summary>
/// How many requests there are and how long they took, under the names and with the labels of the OpenTelemetry conventions and of the framework.
/// </summary>
/// <remarks>
/// The framework would measure in front of everything, probes too: a seventh of the managed code that a small answer runs. Nobody listens to its meter,
/// Microsoft.AspNetCore.Hosting, unless a program asks for it.
/// </remarks>
sealed class RequestMetrics : IHttpMetricsTagsFeature
{
    static readonly UpDownCounter<long> Active = Telemetry.Meter.CreateUpDownCounter<long>("http.server.active_requests", "{request}", "Requests that are being answered");

    static readonly Histogram<double> Duration = Telemetry.Meter.CreateHistogram("http.server.request.duration", "s", "How long requests took", advice: new InstrumentAdvice<double>
    {
        HistogramBucketBoundaries = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
    });

    // Boxed once: a label is an object.
    static readonly object?[] Statuses = new object?[600];

    readonly HttpContext _context;
    readonly string _scheme;
    readonly string _method;
    List<KeyValuePair<string, object?>>? _more;

    RequestMetrics(HttpContext context)
    {
        _context = context;
        // As it came: what a proxy says of the client's scheme is read later.
        (_scheme, _method) = (context.Request.Scheme, MethodOf(context.Request));
    }

    /// <inheritdoc/>
    public ICollection<KeyValuePair<string, object?>> Tags => _more ??= [];

    /// <inheritdoc/>
    public bool MetricsDisabled { get; set; }

    // Made anew each time, on the stack: kept, they would be the largest part of this object.
    TagList Common => [new("url.scheme", _scheme), new("http.request.method", _method)];

    /// <summary>Counts a request that begins; null where nobody listens.</summary>
    public static RequestMetrics? Begin(HttpContext context)
    {
        if (!Active.Enabled && !Duration.Enabled)
            return null;
        var metrics = new RequestMetrics(context);
        context.Features.Set<IHttpMetricsTagsFeature>(metrics);
        Active.Add(1, metrics.Common);
        return metrics;
    }

    /// <summary>It has been answered.</summary>
    /// <param name="failure">What nobody caught.</param>
    public void End(TimeSpan took, Exception? failure)
    {
        var tags = Common;
        Active.Add(-1, tags);
        var endpoint = _context.GetEndpoint();
        if (MetricsDisabled || !Duration.Enabled || endpoint?.Metadata.GetMetadata<IDisableHttpMetricsMetadata>() is not null)
            return;
        // Kestrel answers 500 to what nobody caught, unless an answer has begun.
        var status = failure is null || _context.Response.HasStarted ? _context.Response.StatusCode : StatusCodes.Status500InternalServerError;
        if (_context.Request.Protocol.StartsWith("HTTP/", StringComparison.Ordinal))
            tags.Add("network.protocol.version", _context.Request.Protocol switch { "HTTP/2" => "2", "HTTP/3" => "3", var protocol => protocol["HTTP/".Length..] });
        tags.Add("http.response.status_code", (uint)status < Statuses.Length ? Statuses[status] ??= status : status);
        if (endpoint?.Metadata.GetMetadata<IRouteDiagnosticsMetadata>()?.Route is { } route)
            tags.Add("http.route", route.Length == 0 ? "/" : route);
        if (_more is not null)
            foreach (var tag in _more)
                tags.Add(tag);
        if (failure is not null)
            tags.Add("error.type", failure.GetType().FullName);
        else if (status >= 500)
            tags.Add("error.type", status.ToString(CultureInfo.InvariantCulture));
        Duration.Record(took.TotalSeconds, tags);
    }

    // Names that clients make up would each be a series of its own.
    static string MethodOf(HttpRequest request) => HttpMethods.GetCanonicalizedValue(request.Method) switch
    {
        "GET" or "HEAD" or "POST" or "PUT" or "PATCH" or "DELETE" or "OPTIONS" or "CONNECT" or "TRACE" => HttpMethods.GetCanonicalizedValue(request.Method),
        _ => "_OTHER",
    };
}
