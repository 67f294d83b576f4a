using Tandem.Bench.Peers;

namespace Tandem.Bench.Benchmarks;

/// <summary>One of the things that can be measured.</summary>
/// <param name="Name">On the command line.</param>
/// <param name="Description">One line.</param>
/// <param name="Peers">Everybody who takes part.</param>
/// <param name="PlanAsync">The steps in their order, rounds interleaved; only what can be run here.</param>
sealed record Benchmark(string Name, string Description, IReadOnlyList<Peer> Peers, Func<Session, CancellationToken, Task<List<Step>>> PlanAsync)
{
    /// <summary>What has to be there whichever peers were asked for.</summary>
    public IReadOnlyList<Peer> Needs { get; init; } = [];

    /// <summary>In the order they run.</summary>
    public static IReadOnlyList<Benchmark> All { get; } =
    [
        new(HttpBenchmark.Name, "GET /health, a small JSON: closed loop at 64, 1,000 and 10,000 connections, open loop at 20,000 req/s over 10,000", HttpPeers.All, HttpBenchmark.PlanAsync),
        new(BackendBenchmark.Name, "the same backend end to end, token, validation and database included: reading, listing, changing users, durable items", BackendPeers.All, BackendBenchmark.PlanAsync),
        new(WorkBenchmark.Json, "parsing a million JSON records (167 MB) into memory; a quick run takes 400,000", WorkPeers.Json, WorkBenchmark.PlanJsonAsync),
        new(WorkBenchmark.Fib, "Fibonacci(40), recursively; a quick run takes 36", WorkPeers.Fib, WorkBenchmark.PlanFibAsync),
        new(WorkBenchmark.Points, "a million points of three float64 in memory", WorkPeers.Points, WorkBenchmark.PlanPointsAsync),
        new(WorkBenchmark.Tasks, "tasks that wait, 10,000 to 1,000,000: bytes each, time to start and to wake them", WorkPeers.Tasks, WorkBenchmark.PlanTasksAsync),
        new(ProxyBenchmark.Name, "the same request forwarded to the same service: closed loop at 64 and 1,000 connections, and 64 connections with answers of 64 KiB", ProxyPeers.All, ProxyBenchmark.PlanAsync)
        { Needs = [ProxyPeers.Direct] },
        new(CurveBenchmark.Name, "how the cost of a request grows with connections, cores, the size of the answer and the rows in the table", CurveBenchmark.Peers, CurveBenchmark.PlanAsync),
    ];
}
