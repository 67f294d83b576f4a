using System.Globalization;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Bench.Reports;

/// <summary>What Tandem sets out to reach against its peers, beside what this run has measured. Everything here is computed from the cells.</summary>
sealed class AimsSection(IReadOnlyCollection<Cell> cells)
{
    public const string Met = "met", Missed = "missed", TooNoisy = "too noisy", NotMeasured = "not measured", OneRound = "one round only";

    const string OpenLoop = "connections=10000 loop=open rate=20000";
    static readonly string[] Go = ["net-http", "gin", "fasthttp"];

    readonly List<string[]> _rows = [];

    public Section Make()
    {
        foreach (var n in (int[])[64, 1_000, 10_000])
        {
            AtMost($"`GET /health` at {n.ToString("N0", CultureInfo.InvariantCulture)} connections: CPU ÷ fasthttp", 0.8, Http(Closed(n), "fasthttp", Metric.Cpu));
            AtMost($"`GET /health` at {n.ToString("N0", CultureInfo.InvariantCulture)} connections: CPU ÷ net/http", 0.5, Http(Closed(n), "net-http", Metric.Cpu));
        }

        var isLate = Of(HttpBenchmark.Name, OpenLoop, Peer.Tandem).Any(PageMaker.IsLate);
        AtMost("20,000 req/s over 10,000 connections: p99, ms", 2, Rounds(HttpBenchmark.Name, OpenLoop, Peer.Tandem, Metric.P99), isLate);
        Below("20,000 req/s over 10,000 connections: p99", HttpBenchmark.Name, OpenLoop, Others(HttpBenchmark.Name, OpenLoop), Metric.P99, isLate);
        AtMost("10,000 connections: seconds until all are connected", 0.3, Rounds(HttpBenchmark.Name, OpenLoop, Peer.Tandem, Metric.Connect));
        Below("10,000 connections, closed loop: memory", HttpBenchmark.Name, Closed(10_000), Go, Metric.Load);
        AtMost("`GET /users/{id}` on PostgreSQL: CPU ÷ Gin", 0.8, Ratio(BackendBenchmark.Name, Work("get-user", BackendBenchmark.Postgres), "tandem-postgres", "gin-pgx", Metric.Cpu));
        AtMost("`GET /users/{id}` on PostgreSQL: CPU ÷ FastAPI", 0.15, Ratio(BackendBenchmark.Name, Work("get-user", BackendBenchmark.Postgres), "tandem-postgres", "fastapi-asyncpg", Metric.Cpu));
        AtLeast("`POST /items` on SQLite: req/s", 20_000, Rounds(BackendBenchmark.Name, Work("post-item", BackendBenchmark.Sqlite), "tandem-sqlite", Metric.Rate));
        AtLeast("`POST /items` on SQLite: req/s ÷ Gin", 5, Ratio(BackendBenchmark.Name, Work("post-item", BackendBenchmark.Sqlite), "tandem-sqlite", "gin-sqlite", Metric.Rate));
        var json = cells.Where(c => c.Benchmark == WorkBenchmark.Json).MaxBy(c => c.Requests)?.Case() ?? "";
        AtMost("JSON records: CPU ÷ Go", 0.5, Ratio(WorkBenchmark.Json, json, Peer.Tandem, "go", Metric.CpuSeconds));
        AtMost("JSON records: CPU ÷ orjson", 0.7, Ratio(WorkBenchmark.Json, json, Peer.Tandem, "orjson", Metric.CpuSeconds));
        var start = cells.Where(c => c.Benchmark == StartBenchmark.Name).ToList();
        AtMost("start to the first 200, all in one, seconds", 0.5, Values(start.Where(c => c.Peer == Peer.Tandem), Metric.FirstAnswer));
        AtMost("at rest, all in one, MB", 90, Values(start.Where(c => c.Peer == Peer.Tandem), Metric.Rest));
        var largest = start.Where(StartBenchmark.IsRole).GroupBy(c => c.Peer).Select(g => (Peer: g.Key, Values: Values(g, Metric.Rest))).Where(r => r.Values.Count > 0)
            .OrderByDescending(r => Spread.Of(r.Values).Median).FirstOrDefault();
        AtMost("at rest, a single role, MB" + (largest.Peer is null ? "" : $" (the largest: {largest.Peer["tandem-".Length..]})"), 75, largest.Values ?? []);
        return new Section("What is aimed at",
            ["The aims of the project against what this run has measured: the middle of the rounds, in brackets the least and the most. A ratio is Tandem's figure over the peer's in the same round. "
                + "**Too noisy**: some rounds reach it and some do not, and the rounds differ by more than one and a half times."],
            [new Table(["", "aim", "measured", ""], _rows)], []);
    }

    static string Closed(int connections) => $"connections={connections} loop=closed";

    static string Work(string name, string database) => $"connections=64 database={database} work={name}";

    void AtMost(string what, double aim, IReadOnlyList<double> rounds, bool isDoubtful = false) => Add(what, $"≤ {Say(aim)}", rounds, v => v <= aim, isDoubtful);

    void AtLeast(string what, double aim, IReadOnlyList<double> rounds) => Add(what, $"≥ {Say(aim)}", rounds, v => v >= aim, false);

    /// <summary>Against whoever comes nearest.</summary>
    void Below(string what, string benchmark, string @case, IEnumerable<string> others, Metric metric, bool isDoubtful = false)
    {
        var nearest = others.Select(o => (Peer: o, Rounds: Ratio(benchmark, @case, Peer.Tandem, o, metric))).Where(r => r.Rounds.Count > 0)
            .OrderByDescending(r => Spread.Of(r.Rounds).Median).FirstOrDefault();
        Add($"{what} ÷ the best peer's" + (nearest.Peer is null ? "" : $" ({nearest.Peer})"), "< 1", nearest.Rounds ?? [], v => v < 1, isDoubtful);
    }

    void Add(string what, string aim, IReadOnlyList<double> rounds, Func<double, bool> isReached, bool isDoubtful)
    {
        if (rounds.Count == 0)
        {
            _rows.Add([what, aim, "", NotMeasured]);
            return;
        }

        var spread = Spread.Of(rounds);
        var differ = rounds.Any(isReached) && !rounds.All(isReached) && spread.Max > spread.Min * PairedRatio.TooWide;
        _rows.Add([what, aim, spread.Min == spread.Max ? Say(spread.Median) : $"{Say(spread.Median)} ({Say(spread.Min)}–{Say(spread.Max)})",
            rounds.Count == 1 ? OneRound : isDoubtful || differ ? TooNoisy : isReached(spread.Median) ? Met : Missed]);
    }

    IReadOnlyList<double> Http(string @case, string other, Metric metric) => Ratio(HttpBenchmark.Name, @case, Peer.Tandem, other, metric);

    IReadOnlyList<double> Ratio(string benchmark, string @case, string subject, string other, Metric metric) =>
        PageMaker.Ratio(cells.Where(c => c.Benchmark == benchmark && c.Case() == @case), subject, other, metric)?.Rounds ?? [];

    IReadOnlyList<double> Rounds(string benchmark, string @case, string peer, Metric metric) => Values(Of(benchmark, @case, peer), metric);

    static List<double> Values(IEnumerable<Cell> measured, Metric metric) => [.. measured.Where(c => c.Failed is null).Select(metric.Of).OfType<double>()];

    IEnumerable<Cell> Of(string benchmark, string @case, string peer) => cells.Where(c => c.Benchmark == benchmark && c.Peer == peer && c.Failed is null && c.Case() == @case);

    IEnumerable<string> Others(string benchmark, string @case) => cells.Where(c => c.Benchmark == benchmark && c.Case() == @case && c.Peer != Peer.Tandem).Select(c => c.Peer).Distinct();

    static string Say(double value) => value.ToString(value >= 1000 ? "N0" : value >= 10 ? "0.#" : "0.##", CultureInfo.InvariantCulture);
}
