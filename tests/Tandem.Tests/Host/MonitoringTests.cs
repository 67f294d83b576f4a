using System.Collections.Concurrent;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Tandem.Core.Contracts;

namespace Tandem.Tests.Host;

public sealed class MonitoringTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Metrics_are_for_those_who_may_and_tell_of_requests_commits_and_consumers()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a));
        await (await app.Http.GetAsync("/metrics", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-3");
        await (await app.Http.GetAsync("/metrics", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "admin");
        await app.Http.GetAsync("/metrics", Ct);
        await app.Db.InTransactionAsync(tx => tx.PublishAsync(new UserRegistered(1, DateTime.UtcNow), Ct), Ct);
        await app.Http.GetAsync("/jobs", Ct);
        string[] wanted = ["http_server_request_duration_seconds_count{", "http_route=\"/jobs/", "tandem_core_commit_transactions_", "tandem_core_events_lag{", "dotnet_process_memory_working_set"];
        await Eventually.TrueAsync(async () =>
        {
            var text = await app.Http.GetStringAsync("/metrics", Ct);
            return wanted.All(w => text.Contains(w, StringComparison.Ordinal));
        });
    }

    [Fact]
    public async Task Open_metrics_need_no_token()
    {
        await using var app = await TestApp.StartAsync(null, null, "--Telemetry:OpenMetrics", "true");
        Assert.Contains("target_info", await app.Http.GetStringAsync("/metrics", Ct));
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
