using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Tandem.Core.Data;
using Tandem.Tests.Gateway;

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
    public async Task A_request_is_measured_under_its_route_and_a_probe_is_not()
    {
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        await using (var server = await Programs.ServeAsync(data, "--Telemetry:OpenMetrics", "true"))
        {
            string[] labels = ["http_request_method=\"GET\"", "http_response_status_code=\"401\"", "http_route=\"/users/{id}", "network_protocol_version=\"1.1\"", "url_scheme=\"http\"", "le=\"0.005\""];
            List<string> lines = [];
            // Measuring begins a moment after the start, and an answer may be a moment old: what is asked meanwhile is not in it.
            await Eventually.TrueAsync(async () =>
            {
                await server.Http.GetStringAsync("/health", Ct);
                await server.Http.SendAsync(new HttpRequestMessage(new HttpMethod("BREW"), "/users/7"), Ct);
                await server.Http.GetAsync("/users/7", Ct);
                lines = [.. (await server.Http.GetStringAsync("/metrics", Ct)).Split('\n').Where(l => l.StartsWith("http_server_", StringComparison.Ordinal))];
                return lines.Exists(l => l.StartsWith("http_server_request_duration_seconds_bucket{", StringComparison.Ordinal) && labels.All(w => l.Contains(w, StringComparison.Ordinal)))
                    // Whatever a client calls its method, it is one series.
                    && lines.Exists(l => l.Contains("http_request_method=\"_OTHER\"", StringComparison.Ordinal))
                    // The one that asks is under way.
                    && lines.Exists(l => l.StartsWith("http_server_active_requests{", StringComparison.Ordinal) && l.Contains("http_request_method=\"GET\"", StringComparison.Ordinal)
                        && l.Contains("} 1", StringComparison.Ordinal));
            });
            Assert.DoesNotContain(lines, l => l.Contains("BREW", StringComparison.Ordinal) || l.Contains("http_route=\"/health", StringComparison.Ordinal));
        }

        Directory.Delete(data, recursive: true);
    }

    [Fact]
    public async Task A_handler_adds_labels_of_its_own_and_an_endpoint_can_be_left_out()
    {
        var path = $"/{Guid.NewGuid():n}";
        var seen = new System.Collections.Concurrent.ConcurrentBag<Dictionary<string, object?>>();
        using var listener = new System.Diagnostics.Metrics.MeterListener
        {
            InstrumentPublished = (instrument, l) =>
            {
                if (instrument is { Name: "http.server.request.duration", Meter.Name: "Tandem" })
                    l.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<double>((_, _, tags, _) => seen.Add(tags.ToArray().ToDictionary()));
        listener.Start();
        await using var app = await TestApp.StartAsync(a =>
        {
            a.MapGet(path, (HttpContext context) =>
            {
                context.Features.Get<IHttpMetricsTagsFeature>()!.Tags.Add(new("shop", "north"));
                return "seen";
            }).AllowAnonymous();
            a.MapGet(path + "/silent", () => "unseen").AllowAnonymous().DisableHttpMetrics();
            a.MapGet(path + "/broken", string () => throw new InvalidOperationException("broken")).AllowAnonymous();
        });

        foreach (var one in (string[])["/silent", "/broken", ""])
            await app.Http.GetAsync(path + one, Ct);

        List<Dictionary<string, object?>> Own() => [.. seen.Where(t => t.TryGetValue("http.route", out var route) && ((string)route!).StartsWith(path, StringComparison.Ordinal))];
        await Eventually.TrueAsync(() => Task.FromResult(Own().Count >= 2));
        Assert.Equal("north", Assert.Single(Own(), t => (string)t["http.route"]! == path)["shop"]);
        Assert.Equal("500", Assert.Single(Own(), t => (string)t["http.route"]! == path + "/broken")["error.type"]);
        Assert.DoesNotContain(Own(), t => (string)t["http.route"]! == path + "/silent");
    }

    [Fact]
    public async Task Traces_metrics_and_logs_go_to_the_collector_that_is_named()
    {
        await using var collector = await OtlpCollector.StartAsync();

        // What waits to be sent is sent when the program stops. A call that nothing has asked for begins no trace, so this one has a reason.
        using var own = new Activity("look").SetIdFormat(ActivityIdFormat.W3C);
        own.ActivityTraceFlags = ActivityTraceFlags.Recorded;
        await using (var app = await TestApp.StartAsync(null, null, "--Telemetry:OtlpEndpoint", collector.Address, "--Log:Level", "Information"))
        {
            own.Start();
            await app.Http.GetAsync("/nothing", Ct);
            own.Stop();
        }

        foreach (var service in new[] { "TraceService", "MetricsService", "LogsService" })
            Assert.Contains(collector.Received, r => r.Service == service && r.Body.Length > 100);
    }

    [Fact]
    public async Task A_request_that_is_sent_on_has_a_span_that_the_service_hears_of()
    {
        await using var collector = await OtlpCollector.StartAsync();
        var heard = "";
        await using var service = new RawService(async (connection, number) =>
        {
            heard = (await connection.HearAsync())!;
            await connection.SayAsync(number == 0 ? "HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n" : "nothing");
        });
        using var own = new Activity("look").SetIdFormat(ActivityIdFormat.W3C);
        own.ActivityTraceFlags = ActivityTraceFlags.Recorded;
        await using (var app = await TestApp.StartAsync(null, null, "--Telemetry:OtlpEndpoint", collector.Address,
            "--Gateway:Upstreams:svc:Path", "/svc", "--Gateway:Upstreams:svc:Addresses:0", service.Address, "--Gateway:Upstreams:svc:Open", "true"))
        {
            own.Start();
            Assert.Equal(HttpStatusCode.Created, (await app.Http.GetAsync("/svc/good", Ct)).StatusCode);
            var (first, _) = (heard, await (await app.Http.GetAsync("/svc/bad", Ct)).ShouldBeProblemAsync(502, "gateway/upstream-down"));
            own.Stop();
            heard = first + heard;
        }

        var spans = collector.Spans.Where(s => s.TraceId == own.TraceId.ToHexString()).ToList();
        var sent = spans.Where(s => s.Source == "Tandem.Gateway").ToList();
        Assert.Equal(2, sent.Count);
        foreach (var span in sent)
        {
            Assert.Contains($"\r\ntraceparent: 00-{span.TraceId}-{span.Id}-01\r\n", heard);
            Assert.Contains(spans, s => s.Source == "Microsoft.AspNetCore" && s.Id == span.Parent);
        }
    }

    [Fact]
    public async Task One_trace_spans_the_request_its_event_and_the_effect()
    {
        await using var collector = await OtlpCollector.StartAsync();
        // Within one process every program sends the spans of all: this test's own are those of its trace.
        using var own = new Activity("sign-up").SetIdFormat(ActivityIdFormat.W3C);
        own.ActivityTraceFlags = ActivityTraceFlags.Recorded;
        await using (var app = await TestApp.StartAsync(null, null, "--Telemetry:OtlpEndpoint", collector.Address))
        {
            own.Start();
            await (await app.Http.PostAsJsonAsync("/users", new { email = "ada@example.com", name = "Ada", password = "12345678" }, Ct)).JsonAsync(201);
            own.Stop();
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select coalesce(sum(count), 0) from reports_signups"), Ct) == 1);
        }

        var spans = collector.Spans.Where(s => s.TraceId == own.TraceId.ToHexString()).ToList();
        var request = Assert.Single(spans, s => s.Source == "Microsoft.AspNetCore" && s.Name.StartsWith("POST /users", StringComparison.Ordinal));
        // More than one where a transaction lost a race and was run again.
        var effects = spans.Where(s => s.Name == "reports.signups users.user-registered").ToList();
        Assert.NotEmpty(effects);
        Assert.All(effects, e => Assert.Equal(request.Id, e.Parent));
        // SQLite has no calls to show: it is a library in the process.
        if (TestStores.OnPostgres)
        {
            Assert.Contains(spans, s => s.Source == "Npgsql" && s.Parent == request.Id);
            Assert.Contains(spans, s => s.Source == "Npgsql" && effects.Any(e => e.Id == s.Parent));
        }
    }
}
