using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Tandem.Tests.Host;

/// <summary>A collector of OTLP over gRPC that keeps what it is sent.</summary>
sealed class OtlpCollector : IAsyncDisposable
{
    readonly WebApplication _app;
    readonly ConcurrentQueue<(string Service, byte[] Body)> _received = [];

    OtlpCollector(WebApplication app) => _app = app;

    public string Address => _app.Urls.First();

    /// <summary>What came, by the gRPC service it came to.</summary>
    public IReadOnlyCollection<(string Service, byte[] Body)> Received => _received;

    /// <summary>Every span that came, in the order of its arrival.</summary>
    public List<Span> Spans => [.. _received.Where(r => r.Service == "TraceService").SelectMany(r => Span.Read(r.Body)).DistinctBy(s => s.Id)];

    public static async Task<OtlpCollector> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(IPAddress.Loopback, 0, l => l.Protocols = HttpProtocols.Http2));
        var collector = new OtlpCollector(builder.Build());
        collector._app.MapPost("/{**service}", collector.TakeAsync);
        await collector._app.StartAsync(TestContext.Current.CancellationToken);
        return collector;
    }

    async Task TakeAsync(HttpContext context)
    {
        var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        _received.Enqueue((context.Request.Path.Value!.Split('/')[1].Split('.')[^1], body.ToArray()));
        context.Response.ContentType = "application/grpc";
        context.Response.AppendTrailer("grpc-status", "0");
        // An empty answer of the service: no compression, no bytes.
        await context.Response.Body.WriteAsync(new byte[5]);
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();
}
