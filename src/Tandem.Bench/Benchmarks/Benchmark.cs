using Tandem.Bench.Peers;

namespace Tandem.Bench.Benchmarks;

/// <summary>One of the things that can be measured.</summary>
/// <param name="Name">On the command line.</param>
/// <param name="Description">One line.</param>
/// <param name="Peers">Everybody who takes part.</param>
/// <param name="PlanAsync">The steps in their order, rounds interleaved; only what can be run here.</param>
sealed record Benchmark(string Name, string Description, IReadOnlyList<Peer> Peers, Func<Session, CancellationToken, Task<List<Step>>> PlanAsync)
{
    /// <summary>In the order they run.</summary>
    public static IReadOnlyList<Benchmark> All { get; } =
    [
        new(HttpBenchmark.Name, "GET /health, a small JSON: closed loop at 64, 1,000 and 10,000 connections, open loop at 20,000 req/s over 10,000", HttpPeers.All, HttpBenchmark.PlanAsync),
    ];
}
