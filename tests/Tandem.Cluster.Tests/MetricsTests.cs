using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Conformance;
using Tandem.Core.Events;

namespace Tandem.Cluster.Tests;

/// <summary>What an operator of several processes reads: see docs/guide/operations.md.</summary>
public sealed class MetricsTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Metrics_tell_of_the_pool_of_consumers_and_of_what_is_done_without_Redis()
    {
        await using var store = await SharedStore.MakeAsync();
        await using var redis = await OwnRedis.StartAsync();
        // A process of its own: within one, the meters of all its programs are read together.
        await using var server = await Programs.ServeAsync(store.NewDataDirectory(), [.. store.Settings, .. redis.Settings, "--Telemetry:OpenMetrics", "true"]);
        await SignUpAsync(server);
        await ShouldSayAsync(
            """tandem_core_events_lag{[^}]*consumer="reports.signups"[^}]*} 0""",
            """tandem_core_events_set_aside{[^}]*consumer="reports.signups"[^}]*} 0""",
            """db_client_connection_count{[^}]*pool_name="tandem"[^}]*state="idle"[^}]*} [1-9]""",
            """db_client_connection_count{[^}]*pool_name="tandem"[^}]*state="used"[^}]*} [0-9]""",
            // As SharedStore sets it.
            """db_client_connection_max{[^}]*pool_name="tandem"[^}]*} 12""",
            """db_client_operation_duration_seconds_count{[^}]*pool_name="tandem""",
            "tandem_redis_connected{[^}]*} 1");
        await redis.KillAsync();
        // Sign-ups are limited, and the limits are counted in Redis.
        await SignUpAsync(server);
        await ShouldSayAsync("tandem_redis_connected{[^}]*} 0", """tandem_redis_fallbacks_total{[^}]*operation="limits"[^}]*} [1-9]""");

        async Task ShouldSayAsync(params string[] lines)
        {
            var text = "";
            string[] missing = lines;
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            while (missing.Length > 0 && !limit.IsCancellationRequested)
            {
                text = await server.Http.GetStringAsync("/metrics", Ct);
                missing = [.. lines.Where(l => !System.Text.RegularExpressions.Regex.IsMatch(text, l))];
                // The exporter answers from its cache for a moment; the gauges of the stores are read every five seconds.
                await Task.Delay(100, Ct);
            }

            Assert.True(missing.Length == 0, $"{string.Join('\n', missing)}\nis not in\n{text}");
        }
    }

    [Fact]
    public async Task How_far_a_consumer_is_can_be_told_by_a_process_that_does_not_run_it()
    {
        await using var cluster = await Cluster.StartAsync(a => a.Resource<Item>("/items").AllowAnonymous());
        var role = await cluster.AddAsync("users,reports,items");
        var gateway = await cluster.AddGatewayAsync(role);
        await role.RegisterAsync(TestUsers.NewEmail());
        // Behind the last sign-up are events that its consumer does not want: it is not behind them.
        for (var i = 0; i < 5; i++)
            Assert.Equal(201, (int)(await gateway.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1 }, Ct)).StatusCode);
        await role.SettledAsync();
        await Eventually.TrueAsync(async () => await LagAsync(role) == 0);
        Assert.Equal(0, await LagAsync(gateway));

        static async Task<long?> LagAsync(TestApp app) =>
            (await app.Services.GetRequiredService<ConsumerProgress>().ListAsync(Ct)).SingleOrDefault(c => c.Consumer == "reports.signups")?.Lag;
    }

    static async Task SignUpAsync(Programs.Server server) =>
        await (await server.Http.PostAsJsonAsync("/users", new { email = TestUsers.NewEmail(), name = "Ada", password = TestUsers.Password }, Ct)).JsonAsync(201);

    public sealed record Item(string Name, decimal Price);
}
