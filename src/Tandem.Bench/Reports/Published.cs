using Tandem.Bench.Benchmarks;
using Tandem.Bench.Results;

namespace Tandem.Bench.Reports;

/// <summary>What the comparison that Tandem answers has published, to stand beside what was measured here.</summary>
/// <param name="Benchmark">Ours that is like it.</param>
/// <param name="Case">The case of it: a parameter and its value; null: the biggest there is.</param>
/// <param name="Metric">The title of our figure.</param>
/// <param name="Values">By our peer's name.</param>
sealed record Published(string Benchmark, string? Case, string Metric, bool IsLess, params (string Peer, double Value)[] Values)
{
    const string Http = "connections=10000 loop=closed";

    public static IReadOnlyList<Published> All { get; } =
    [
        new(HttpBenchmark.Name, Http, "req/s", false, ("net-http", 120_000), ("gin", 110_000), ("fasthttp", 130_000), ("fastapi", 45_000), ("flask", 12_000), ("django", 8_000)),
        new(HttpBenchmark.Name, Http, "p99 ms", true, ("net-http", 3), ("gin", 4), ("fasthttp", 3), ("fastapi", 15), ("flask", 45), ("django", 65)),
        new(HttpBenchmark.Name, Http, "MB in load", true, ("net-http", 30), ("gin", 35), ("fasthttp", 25), ("fastapi", 150), ("flask", 200), ("django", 300)),
        new(WorkBenchmark.Json, null, "s", true, ("python", 12.5), ("orjson", 3.2), ("go", 1.8)),
        new(WorkBenchmark.Json, null, "MB peak", true, ("python", 1_200), ("orjson", 800), ("go", 400)),
        new(WorkBenchmark.Fib, null, "s", true, ("python", 45.2), ("cython", 2.1), ("go", 0.8)),
        new(WorkBenchmark.Fib, null, "MB peak", true, ("python", 50), ("cython", 55), ("go", 2)),
        new(WorkBenchmark.Points, null, "MB kept", true, ("python-dataclass", 200), ("python-slots", 70), ("go", 24)),
        new(WorkBenchmark.Tasks, null, "bytes each", true, ("asyncio", 1_000), ("goroutine", 2_000)),
    ];

    /// <summary>Every two peers that the publication orders one way and these measurements the other; ties in either are no contradiction.</summary>
    /// <returns>And whether it is clear: every round of the one before every round of the other.</returns>
    public IEnumerable<(string Better, string Worse, bool IsClear)> NotReproduced(IReadOnlyDictionary<string, Spread> measured) =>
        from a in Values
        from b in Values
        where IsBetter(a.Value, b.Value) && measured.ContainsKey(a.Peer) && measured.ContainsKey(b.Peer)
        let better = measured[a.Peer]
        let worse = measured[b.Peer]
        where IsBetter(worse.Median, better.Median)
        select (a.Peer, b.Peer, IsLess ? worse.Max < better.Min : worse.Min > better.Max);

    bool IsBetter(double a, double b) => IsLess ? a < b : a > b;
}
