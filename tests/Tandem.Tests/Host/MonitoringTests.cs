using System.Collections.Concurrent;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace Tandem.Tests.Host;

public sealed class MonitoringTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Metrics_are_for_those_who_may()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a));
        await (await app.Http.GetAsync("/metrics", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-3");
        await (await app.Http.GetAsync("/metrics", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "admin");
        Assert.Contains("target_info", await app.Http.GetStringAsync("/metrics", Ct));
    }

    [Fact]
    public async Task Open_metrics_tell_of_requests_commits_and_consumers()
    {
        // A process of its own: within one, the meters of all its programs are read together.
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        await using (var server = await Programs.ServeAsync(data, "--Telemetry:OpenMetrics", "true"))
        {
            await server.Http.GetStringAsync("/metrics", Ct);
            await (await server.Http.PostAsJsonAsync("/users", new { email = "ada@example.com", name = "Ada", password = "12345678" }, Ct)).JsonAsync(201);
            await server.Http.GetAsync("/jobs", Ct);
            string[] wanted = ["http_server_request_duration_seconds_count{", "http_route=\"/jobs/", "tandem_core_commit_duration_", "tandem_core_events_lag{", "dotnet_process_memory_working_set"];
            await Eventually.TrueAsync(async () =>
            {
                var text = await server.Http.GetStringAsync("/metrics", Ct);
                return wanted.All(w => text.Contains(w, StringComparison.Ordinal));
            });
        }

        Directory.Delete(data, recursive: true);
    }

    [Fact]
    public async Task Traces_metrics_and_logs_go_to_the_collector_that_is_named()
    {
        var received = new ConcurrentDictionary<string, int>();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(System.Net.IPAddress.Loopback, 0, l => l.Protocols = HttpProtocols.Http2));
        await using var collector = builder.Build();
        collector.MapPost("/{**service}", async (HttpContext context) =>
        {
            var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            received.AddOrUpdate(context.Request.Path.Value!.Split('/')[1].Split('.')[^1], (int)body.Length, (_, known) => known + (int)body.Length);
            context.Response.ContentType = "application/grpc";
            context.Response.AppendTrailer("grpc-status", "0");
            // An empty answer of the service: no compression, no bytes.
            await context.Response.Body.WriteAsync(new byte[5]);
        });
        await collector.StartAsync(Ct);

        // What waits to be sent is sent when the program stops.
        await using (var app = await TestApp.StartAsync(null, null, "--Telemetry:OtlpEndpoint", collector.Urls.First(), "--Log:Level", "Information"))
            await app.Http.GetAsync("/nothing", Ct);
        foreach (var service in new[] { "TraceService", "MetricsService", "LogsService" })
            Assert.True(received.GetValueOrDefault(service) > 100, $"{service}: {received.GetValueOrDefault(service)} bytes");
    }
}
