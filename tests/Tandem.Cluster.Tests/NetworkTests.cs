namespace Tandem.Cluster.Tests;

/// <summary>The network between a gateway and one of the two processes behind it.</summary>
public sealed class NetworkTests
{
    [Fact]
    public async Task A_gateway_goes_round_a_process_that_is_cut_off_slow_or_silent()
    {
        await using var store = await SharedStore.MakeAsync();
        var ports = new[] { Split.FreePort(), Split.FreePort() };
        await using var network = FlakyProxy.To(ports[1]);
        await using var near = await Split.RoleAsync(store, ports[0]);
        await using var far = await Split.RoleAsync(store, ports[1]);
        await using var gateway = await Split.GatewayAsync(store, [ports[0], network.Port]);
        await Split.UntilReadyAsync(gateway);
        await using var load = await Load.StartAsync(gateway, repeatsPosts: true);
        await load.ChangeAsync(40);

        network.Cut();
        await load.ChangeAsync(50);
        network.Pass();
        await Split.UntilReadyAsync(gateway);

        network.Slow(TimeSpan.FromMilliseconds(300));
        await load.ChangeAsync(40);
        network.Pass();

        // What was held is delivered late the first time, and lost the second.
        foreach (var isDelivered in new[] { true, false })
        {
            await load.ChangeAsync(40);
            await Split.UntilReadyAsync(gateway);
            load.TakeSlowest();
            network.Freeze();
            await Eventually.TrueAsync(() => IsDegradedAsync(gateway));
            await load.AnswersAllAsync();
            await load.ChangeAsync(50);
            var slowest = load.TakeSlowest();
            TestContext.Current.SendDiagnosticMessage($"A silent process delayed a request by {slowest.TotalSeconds:0.00} s at most");
            Assert.InRange(slowest, TimeSpan.Zero, TimeSpan.FromSeconds(15));
            if (!isDelivered)
                network.Cut();
            network.Pass();
            await Split.UntilReadyAsync(gateway);
            await load.ChangeAsync(40);
        }

        await load.StopAndCheckAsync();
    }

    [Fact]
    public async Task The_only_process_of_a_role_falls_silent_and_whoever_asks_is_told_in_time()
    {
        await using var store = await SharedStore.MakeAsync();
        var port = Split.FreePort();
        await using var network = FlakyProxy.To(port);
        await using var role = await Split.RoleAsync(store, port);
        await using var gateway = await Split.GatewayAsync(store, [network.Port], "--Http:RequestTimeout", "00:00:05", "--Gateway:RoleWait", "00:00:01");
        await Split.UntilReadyAsync(gateway);
        Assert.Equal(401, (int)(await gateway.Http.GetAsync("/users", TestContext.Current.CancellationToken)).StatusCode);

        network.Freeze();
        // Nobody knows yet: it is sent there, and may have been worked on.
        using (var first = await gateway.Http.PostAsync("/token", new FormUrlEncodedContent([]), TestContext.Current.CancellationToken))
            await first.ShouldBeProblemAsync(504, "http/took-too-long");
        await Eventually.TrueAsync(async () =>
        {
            using var later = await gateway.Http.PostAsync("/token", new FormUrlEncodedContent([]), TestContext.Current.CancellationToken);
            if ((int)later.StatusCode == 504)
                return false;
            await later.ShouldBeProblemAsync(503, "gateway/role-away");
            return true;
        });

        network.Pass();
        await Split.UntilReadyAsync(gateway);
        Assert.Equal(401, (int)(await gateway.Http.GetAsync("/users", TestContext.Current.CancellationToken)).StatusCode);
    }

    static async Task<bool> IsDegradedAsync(Programs.Server gateway) =>
        (await (await gateway.Http.GetAsync("/health/ready", TestContext.Current.CancellationToken)).JsonAsync()).GetProperty("status").GetString() == "degraded";
}
