using System.Net.Http.Headers;
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
}
