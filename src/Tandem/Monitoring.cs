using System.ComponentModel.DataAnnotations;
using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OpenTelemetry;
using OpenTelemetry.Logs;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using Tandem.Core;
using Tandem.Core.Http;

namespace Tandem;

/// <summary>Logs, metrics and traces: lines on standard output, Prometheus on <c>/metrics</c>, and all three by OTLP where an endpoint is set.</summary>
static class Monitoring
{
    public static void Add(WebApplicationBuilder builder, Parts parts)
    {
        var log = parts.Settings.Read<LogOptions>(builder.Services, "Log");
        var telemetry = parts.Settings.Read<TelemetryOptions>(builder.Services, "Telemetry");
        builder.Logging.SetMinimumLevel(log.Level)
            .AddFilter("Microsoft", LogLevel.Warning)
            // It would begin an activity for every request, probes included; RequestLog does it for those that say something.
            .AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None)
            .AddFilter("System", LogLevel.Warning)
            .AddFilter("OpenIddict", LogLevel.Warning)
            .AddFilter("Yarp", LogLevel.Error)
            // A request's failure is logged once, by the edge.
            .AddFilter("Microsoft.AspNetCore.Server.Kestrel", LogLevel.Critical);
        builder.Services.AddSingleton<ILoggerProvider, LineLoggerProvider>();

        var endpoint = telemetry.OtlpEndpoint ?? Environment.GetEnvironmentVariable("OTEL_EXPORTER_OTLP_ENDPOINT");
        builder.Services.AddSingleton(_ => new Metrics(telemetry, endpoint, parts.Observed));
        if (endpoint is not { Length: > 0 })
            return;
        // Tracing without an exporter would still cost half of a small request's time: it is on only where spans go somewhere.
        builder.Services.AddOpenTelemetry()
            .ConfigureResource(r => r.AddService(telemetry.ServiceName))
            .WithTracing(t => t.AddSource([Telemetry.Name, Telemetry.Name + ".*", .. parts.Observed])
                // Asked by gateways and probes every second.
                .AddAspNetCoreInstrumentation(o => o.Filter = c => !c.Request.Path.StartsWithSegments("/health"))
                .AddHttpClientInstrumentation()
                .SetSampler(new ParentBasedSampler(new NewTraces(telemetry.TraceRatio)))
                .AddOtlpExporter(o => o.Endpoint = new Uri(endpoint)))
            .WithLogging(l => l.AddOtlpExporter(o => o.Endpoint = new Uri(endpoint)));
    }

    public static void Map(IEndpointRouteBuilder routes)
    {
        var options = routes.ServiceProvider.GetRequiredService<TelemetryOptions>();
        var metrics = routes.ServiceProvider.GetRequiredService<Metrics>();
        // Measuring starts behind the first request's back: making the provider takes longer than all the rest of the start.
        routes.ServiceProvider.GetRequiredService<Microsoft.Extensions.Hosting.IHostApplicationLifetime>().ApplicationStarted.Register(() => Task.Run(metrics.Start));
        var scrape = routes.MapGet("/metrics", (HttpContext context) => metrics.ScrapeAsync(context)).WithTags("Health")
            .WithSummary("Metrics in the Prometheus text format").RequireScope("metrics:read");
        if (options.OpenMetrics)
            scrape.AllowAnonymous();
    }
}

/// <summary>
/// Which traces begin here: the wanted share of those that a request, an event or a job begins. A call out that nothing has asked for is the
/// program looking at its stores and roles, many times a second, and would bury all others.
/// </summary>
sealed class NewTraces(double ratio) : Sampler
{
    readonly TraceIdRatioBasedSampler _share = new(ratio);

    public override SamplingResult ShouldSample(in SamplingParameters samplingParameters) => samplingParameters.Kind == ActivityKind.Client
        ? new SamplingResult(SamplingDecision.Drop)
        : _share.ShouldSample(samplingParameters);
}

/// <summary>The meters' readings, made on the first use.</summary>
sealed class Metrics(TelemetryOptions options, string? otlpEndpoint, IEnumerable<string> observed) : IDisposable
{
    readonly Lazy<(MeterProvider Provider, RequestDelegate Scrape)> _made = new(() =>
    {
        var builder = Sdk.CreateMeterProviderBuilder()
            .ConfigureResource(r => r.AddService(options.ServiceName))
            .AddMeter([Telemetry.Name, "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime", .. observed])
            .AddPrometheusExporter();
        if (otlpEndpoint is { Length: > 0 })
            Send(builder, otlpEndpoint);
        var provider = builder.Build();
        var app = new ApplicationBuilder(new ServiceCollection().BuildServiceProvider());
        app.UseOpenTelemetryPrometheusScrapingEndpoint(provider, _ => true, null, null, null);
        return (provider, app.Build());
    });

    // By itself, so that nobody loads the exporter who sends nothing.
    static void Send(MeterProviderBuilder builder, string endpoint) => builder.AddOtlpExporter(o => o.Endpoint = new Uri(endpoint));

    public void Start() => _ = _made.Value;

    public Task ScrapeAsync(HttpContext context) => _made.Value.Scrape(context);

    public void Dispose()
    {
        if (_made.IsValueCreated)
            _made.Value.Provider.Dispose();
    }
}

/// <summary>Settings of the log, section <c>Log</c>.</summary>
public sealed class LogOptions
{
    /// <summary>The least important line that is written: Trace, Debug, Information, Warning, Error. Default Information, which has a line per request.</summary>
    public LogLevel Level { get; set; } = LogLevel.Information;

    /// <summary>Text or Json. Default: Text on a terminal, Json otherwise.</summary>
    [AllowedValues(null, "Text", "Json")]
    public string? Format { get; set; }
}

/// <summary>Settings of metrics and traces, section <c>Telemetry</c>.</summary>
public sealed class TelemetryOptions
{
    /// <summary>Where traces, metrics and logs go by OTLP, such as http://localhost:4317. Default: nowhere, or OTEL_EXPORTER_OTLP_ENDPOINT.</summary>
    [Url]
    public string? OtlpEndpoint { get; set; }

    /// <summary>The name this process reports under. Default tandem.</summary>
    [Required]
    public string ServiceName { get; set; } = "tandem";

    /// <summary>The share of new traces that is recorded. Default 1; 0 to 1. A caller's decision is followed.</summary>
    [Range(0.0, 1.0)]
    public double TraceRatio { get; set; } = 1;

    /// <summary>Lets anyone read /metrics. Default false: an administrator, or a token with the scope metrics:read.</summary>
    public bool OpenMetrics { get; set; }
}
