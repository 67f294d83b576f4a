using Tandem.Conformance;

namespace Tandem.Cluster.Tests;

/// <summary>The network between every process and Redis.</summary>
public sealed class RedisNetworkTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Redis_may_be_slow_silent_or_cut_off_and_no_request_fails()
    {
        await using var store = await SharedStore.MakeAsync();
        await using var redis = await OwnRedis.StartAsync();
        await using var network = FlakyProxy.To(redis.Port);
        string[] settings = ["--Redis:ConnectionString", $"127.0.0.1:{network.Port}", "--Gateway:RateLimit:PermitsPerMinute", "1000000"];
        var port = Split.FreePort();
        await using var role = await Split.RoleAsync(store, port, null, settings);
        await using var gateway = await Split.GatewayAsync(store, [port], settings);
        await Split.UntilReadyAsync(gateway);
        await using var load = await Load.StartAsync(gateway, repeatsPosts: true);
        await load.ChangeAsync(40);
        foreach (var fault in new Action[] { () => network.Slow(TimeSpan.FromMilliseconds(200)), network.Freeze, network.Cut })
        {
            fault();
            await UntilAsync(gateway, "degraded");
            await load.ChangeAsync(50);
            // Each request that met it waited a tenth of a second once, and a busy machine may take its time.
            Assert.InRange(load.TakeSlowest(), TimeSpan.Zero, TimeSpan.FromSeconds(10));
            network.Pass();
            await UntilAsync(gateway, "ready");
            await load.ChangeAsync(40);
        }

        await load.StopAndCheckAsync();
    }

    static Task UntilAsync(Programs.Server server, string status) => Eventually.TrueAsync(async () =>
        (await (await server.Http.GetAsync("/health/ready", Ct)).JsonAsync()).GetProperty("status").GetString() == status, seconds: 40);
}
