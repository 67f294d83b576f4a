using System.Diagnostics;
using System.Net.Http.Json;
using Tandem.Tests.Host;

namespace Tandem.Cluster.Tests;

/// <summary>The shipped program in three processes that send their spans to one collector.</summary>
public sealed class TraceTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task One_trace_leads_from_the_client_through_the_gateway_and_a_role_to_what_a_third_process_made_of_the_event()
    {
        await using var collector = await OtlpCollector.StartAsync();
        await using var store = await SharedStore.MakeAsync();
        await using var users = await StartAsync("users");
        await using var reports = await StartAsync("reports");
        await using var gateway = await StartAsync("gateway", "--Gateway:Roles:users:Addresses:0", users.Address, "--Gateway:Roles:reports:Addresses:0", reports.Address);

        var (trace, client) = (ActivityTraceId.CreateRandom().ToHexString(), ActivitySpanId.CreateRandom().ToHexString());
        using var request = new HttpRequestMessage(HttpMethod.Post, "/users")
        {
            Content = JsonContent.Create(new { email = TestUsers.NewEmail(), name = "Ada", password = TestUsers.Password }),
        };
        request.Headers.Add("traceparent", $"00-{trace}-{client}-01");
        await (await gateway.Http.SendAsync(request, Ct)).JsonAsync(201);

        // A program sends what it has every five seconds.
        var spans = new List<Span>();
        await Eventually.TrueAsync(() =>
        {
            spans = collector.Spans;
            return Task.FromResult(FindEffect(spans) is not null && new[] { "gateway", "users" }.All(n => spans.Any(s => s.Service == n && s.Source == "Microsoft.AspNetCore")));
        }, seconds: 60);
        var entered = Assert.Single(spans, s => s is { Service: "gateway", Source: "Microsoft.AspNetCore" });
        Assert.Equal((trace, client), (entered.TraceId, entered.Parent));
        var forwarded = Assert.Single(spans, s => s is { Service: "gateway", Source: "System.Net.Http" });
        Assert.Equal((trace, entered.Id), (forwarded.TraceId, forwarded.Parent));
        var served = Assert.Single(spans, s => s is { Service: "users", Source: "Microsoft.AspNetCore" });
        Assert.Equal((trace, forwarded.Id), (served.TraceId, served.Parent));
        Assert.Contains(spans, s => s is { Service: "users", Source: "Npgsql" } && s.TraceId == trace && s.Parent == served.Id);
        var (handled, written) = FindEffect(spans)!.Value;
        Assert.Equal((trace, served.Id), (handled.TraceId, handled.Parent));
        Assert.Equal(trace, written.TraceId);

        // The programs also look at their stores and at each other, several times a second: nobody asked for that, and no trace tells of it.
        Assert.All(spans, s => Assert.Equal(trace, s.TraceId));

        Task<Programs.Server> StartAsync(string role, params string[] settings) => Programs.ServeAsync(store.NewDataDirectory(),
            [.. store.Settings, "--roles", role, "--Telemetry:ServiceName", role, "--Telemetry:OtlpEndpoint", collector.Address, .. settings]);
    }

    /// <summary>The handling of the event, and what it wrote; a transaction that lost a race was run again and has both once more.</summary>
    static (Span Handled, Span Written)? FindEffect(List<Span> spans) =>
        (from handled in spans
         where handled is { Service: "reports", Source: "Tandem", Name: "reports.signups users.user-registered" }
         from written in spans
         where written is { Service: "reports", Source: "Npgsql" } && written.Parent == handled.Id
         select ((Span, Span)?)(handled, written)).FirstOrDefault();
}
