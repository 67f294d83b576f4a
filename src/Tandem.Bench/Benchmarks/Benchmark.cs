using Tandem.Bench.Peers;

namespace Tandem.Bench.Benchmarks;

/// <summary>One of the things that can be measured.</summary>
/// <param name="Name">On the command line.</param>
/// <param name="Description">One line.</param>
/// <param name="Peers">Everybody who takes part.</param>
/// <param name="Plan">The steps in their order, rounds interleaved; only what can be run here. Starts nothing and touches nothing.</param>
sealed record Benchmark(string Name, string Description, IReadOnlyList<Peer> Peers, Func<Session, List<Step>> Plan)
{
    /// <summary>What has to be there whichever peers were asked for.</summary>
    public IReadOnlyList<Peer> Needs { get; init; } = [];

    /// <summary>What a run of everything takes at the most, the setting up of the Debian folder apart; a test adds the plan up.</summary>
    public const int QuickMinutes = 5, FullMinutes = 45;

    /// <summary>In the order they run.</summary>
    public static IReadOnlyList<Benchmark> All { get; } =
    [
        new(HttpBenchmark.Name, "GET /health and a cached read, a small JSON each: closed loop at 64, 1,000 and 10,000 connections, open loop at 20,000 req/s over 10,000", HttpPeers.All, HttpBenchmark.Plan),
        new(StartBenchmark.Name, "from the start of the process to its first answer, and memory at rest: everything in one process, each role alone, and the peers", StartBenchmark.Peers, StartBenchmark.Plan),
        new(BackendBenchmark.Name, "the same backend end to end, token, validation and database included: reading, listing, changing users, durable items", BackendPeers.All, BackendBenchmark.Plan),
        new(WorkBenchmark.Json, "parsing a million JSON records (167 MB) into memory; a quick run takes 250,000", WorkPeers.Json, WorkBenchmark.PlanJson),
        new(WorkBenchmark.Fib, "Fibonacci(40), recursively; a quick run takes 35", WorkPeers.Fib, WorkBenchmark.PlanFib),
        new(WorkBenchmark.Points, "a million points of three float64 in memory", WorkPeers.Points, WorkBenchmark.PlanPoints),
        new(WorkBenchmark.Tasks, "tasks that wait, 10,000 to 1,000,000: bytes each, time to start and to wake them", WorkPeers.Tasks, WorkBenchmark.PlanTasks),
        new(ProxyBenchmark.Name, "the same request forwarded to the same service: closed loop at 64 and 1,000 connections, and 64 connections with answers of 64 KiB", ProxyPeers.All, ProxyBenchmark.Plan)
        { Needs = [ProxyPeers.Direct] },
        new(CurveBenchmark.Name, "how the cost of a request grows with connections, cores, the size of the answer and the rows in the table", CurveBenchmark.Peers, CurveBenchmark.Plan),
    ];
}
