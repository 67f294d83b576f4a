using System.Diagnostics;

namespace Tandem.Cluster.Tests;

/// <summary>The network between the roles and their database.</summary>
public sealed class DatabaseNetworkTests
{
    static readonly int[] Unavailable = [503];

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_database_that_is_cut_off_slow_or_silent_costs_answers_that_say_so_and_nothing_acknowledged()
    {
        await using var store = await SharedStore.MakeAsync();
        await using var network = FlakyProxy.ToPostgres(store.ConnectionString);
        var port = Split.FreePort();
        await using var role = await Split.RoleAsync(store, port, network, "--Postgres:StatementTimeout", "00:00:01", "--Postgres:ConnectTimeout", "00:00:01");
        await using var gateway = await Split.GatewayAsync(store, [port]);
        await Split.UntilReadyAsync(gateway);
        await using var load = await Load.StartAsync(gateway, repeatsPosts: true, Unavailable);
        await load.ChangeAsync(40);

        network.Cut();
        await UntilRefusedAsync(load, 4);
        network.Pass();
        await MovesAsync(load, "cut");

        network.Slow(TimeSpan.FromMilliseconds(50));
        await load.ChangeAsync(20);
        Assert.InRange(load.TakeSlowest(), TimeSpan.Zero, TimeSpan.FromSeconds(20));
        network.Pass();
        await load.ChangeAsync(40);

        foreach (var isDelivered in new[] { true, false })
        {
            load.TakeSlowest();
            network.Freeze();
            await UntilRefusedAsync(load, 4);
            // The process itself is as well as ever.
            var asked = Stopwatch.GetTimestamp();
            (await role.Http.GetAsync("/health", Ct)).EnsureSuccessStatusCode();
            Assert.InRange(Stopwatch.GetElapsedTime(asked), TimeSpan.Zero, TimeSpan.FromSeconds(2));
            if (!isDelivered)
                network.Cut();
            network.Pass();
            await MovesAsync(load, isDelivered ? "frozen and delivered" : "frozen and dropped");
        }

        await load.StopAndCheckAsync();
    }

    [Fact]
    public async Task A_database_that_is_silent_for_ten_seconds_is_used_again_at_once()
    {
        await using var store = await SharedStore.MakeAsync();
        await using var network = FlakyProxy.ToPostgres(store.ConnectionString);
        var port = Split.FreePort();
        await using var role = await Split.RoleAsync(store, port, network);
        await using var gateway = await Split.GatewayAsync(store, [port]);
        await Split.UntilReadyAsync(gateway);
        await using var load = await Load.StartAsync(gateway, repeatsPosts: true, Unavailable);
        await load.ChangeAsync(40);
        network.Freeze();
        // As long as the fault lasts; balancers go on asking meanwhile.
        var frozen = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(frozen) < TimeSpan.FromSeconds(10))
        {
            using var ready = await role.Http.GetAsync("/health/ready", Ct);
            Assert.Equal(503, (int)ready.StatusCode);
        }

        network.Pass();
        await MovesAsync(load, "frozen for ten seconds");
        await load.StopAndCheckAsync();
    }

    [Fact]
    public async Task A_request_whose_statement_is_in_flight_when_the_database_falls_silent_waits_twenty_seconds_at_most()
    {
        await using var store = await SharedStore.MakeAsync();
        await using var network = FlakyProxy.ToPostgres(store.ConnectionString);
        await using var role = await Split.RoleAsync(store, Split.FreePort(), network);
        // Straight to the process: no gateway looks after it.
        await using var load = await Load.StartAsync(role, repeatsPosts: true, Unavailable);
        await load.ChangeAsync(40);
        load.TakeSlowest();
        network.Freeze();
        await load.AnswersAllAsync();
        var slowest = load.TakeSlowest();
        TestContext.Current.SendDiagnosticMessage($"The slowest answer on default settings, with the database silent, took {slowest.TotalSeconds:0.00} s");
        // Five more for a busy machine.
        Assert.InRange(slowest, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(25));
        Assert.NotEmpty(load.Refusals);
        network.Pass();
        await MovesAsync(load, "silent");
        await load.StopAndCheckAsync();
    }

    static Task UntilRefusedAsync(Load load, int more)
    {
        var goal = load.Refusals.Values.Sum() + more;
        return Eventually.TrueAsync(() => Task.FromResult(load.Refusals.Values.Sum() >= goal), seconds: 60);
    }

    static async Task MovesAsync(Load load, string after)
    {
        var took = await load.ChangeAsync(50);
        await load.AnswersAllAsync();
        var slowest = load.TakeSlowest();
        TestContext.Current.SendDiagnosticMessage($"The first change after the database was {after}: {took.TotalSeconds:0.00} s; slowest answer {slowest.TotalSeconds:0.00} s");
        Assert.InRange(took, TimeSpan.Zero, TimeSpan.FromSeconds(10));
        Assert.InRange(slowest, TimeSpan.Zero, TimeSpan.FromSeconds(20));
    }
}
