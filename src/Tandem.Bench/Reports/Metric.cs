using System.Globalization;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Load;
using Tandem.Bench.Results;

namespace Tandem.Bench.Reports;

/// <summary>One figure of a cell.</summary>
/// <param name="Title">With its unit.</param>
/// <param name="Digits">Behind the point.</param>
/// <param name="IsLess">True: less is better.</param>
/// <param name="Of">Null where the cell does not have it.</param>
sealed record Metric(string Title, int Digits, bool IsLess, Func<Cell, double?> Of)
{
    const double Megabyte = 1e6;

    public static readonly Metric Rate = new("req/s", 0, false, c => c.Seconds > 0 ? c.Requests / c.Seconds : null);
    public static readonly Metric Cpu = new("CPU µs/req", 1, true, c => c.Requests > 0 ? c.CpuSeconds / c.Requests * 1e6 : null);
    public static readonly Metric DatabaseCpu = new("PostgreSQL CPU µs/req", 1, true, c => Figure(ClosedLoop.DatabaseCpuSeconds, Math.Max(1, c.Requests) / 1e6)(c));
    public static readonly Metric P50 = new("p50 ms", 2, true, c => c.Milliseconds(0.5));
    public static readonly Metric P99 = new("p99 ms", 2, true, c => c.Milliseconds(0.99));
    public static readonly Metric P999 = new("p99.9 ms", 2, true, c => c.Milliseconds(0.999));
    public static readonly Metric Rest = new("MB at rest", 0, true, c => c.Memory?.Rest / Megabyte);
    public static readonly Metric Load = new("MB in load", 0, true, c => c.Memory?.Load / Megabyte);
    public static readonly Metric Peak = new("MB peak", 0, true, c => c.Memory?.Peak / Megabyte);
    public static readonly Metric Errors = new("errors %", 1, true, c => 100.0 * c.Errors / Math.Max(1, c.Requests + c.Errors));
    public static readonly Metric Connect = new("s to connect all", 2, true, Figure("connect_seconds"));
    public static readonly Metric Seconds = new("s", 2, true, c => c.Seconds);
    public static readonly Metric FirstAnswer = new("s to the first 200", 3, true, c => c.Seconds);
    public static readonly Metric Entering = new("s of it on the way into the folder", 3, true, Figure(StartBenchmark.EnteringSeconds));
    public static readonly Metric CpuSeconds = new("CPU s", 2, true, c => c.CpuSeconds);
    public static readonly Metric PerSecond = new("records/s", 0, false, c => c.Seconds > 0 ? c.Requests / c.Seconds : null);
    public static readonly Metric Kept = new("MB kept", 1, true, Figure("settle_bytes", Megabyte));
    public static readonly Metric Each = new("bytes each", 0, true, c => Figure("settle_bytes", Math.Max(1, c.Requests))(c));
    public static readonly Metric Spawn = new("µs to start one", 2, true, c => Figure("spawn_seconds", Math.Max(1, c.Requests) / 1e6)(c));
    public static readonly Metric Wake = new("µs to wake one", 2, true, c => Figure("wake_seconds", Math.Max(1, c.Requests) / 1e6)(c));

    /// <summary>What is told of a case, the most telling first.</summary>
    public static IReadOnlyList<Metric> For(Cell cell) => cell.Benchmark switch
    {
        WorkBenchmark.Json => [CpuSeconds, Seconds, PerSecond, Peak],
        StartBenchmark.Name => [FirstAnswer, Rest, CpuSeconds, Entering],
        WorkBenchmark.Fib => [Seconds, CpuSeconds, Peak],
        WorkBenchmark.Points => [Kept, Seconds, Peak],
        WorkBenchmark.Tasks => [Each, Spawn, Wake, Peak],
        BackendBenchmark.Name when cell.Parameters.GetValueOrDefault("loop") == "open" => [Cpu, P50, P99, P999, Rest, Load, Peak, Connect],
        BackendBenchmark.Name => cell.Parameters.GetValueOrDefault("database") != BackendBenchmark.Postgres ? [Cpu, Rate, P50, P99, Rest, Load, Peak] : [Cpu, DatabaseCpu, Rate, P50, P99, Rest, Load, Peak],
        _ => cell.Parameters.GetValueOrDefault("loop") == "open" ? [P99, Cpu, P50, P999, Load, Peak, Connect, Errors] : [Cpu, Rate, P50, P99, Rest, Load, Peak, Errors],
    };

    /// <summary>Those that ratios are made of.</summary>
    public static IReadOnlyList<Metric> Compared(Cell cell) => cell.Benchmark == StartBenchmark.Name ? [FirstAnswer, Rest] : cell.Benchmark != BackendBenchmark.Name ? [For(cell)[0]]
        : cell.Parameters.GetValueOrDefault("loop") == "open" ? [Cpu, P99] : [Cpu, Rate];

    /// <summary>Those that are drawn for everybody, beside the ratios.</summary>
    public static IEnumerable<Metric> Drawn(Cell cell) => cell.Benchmark switch
    {
        WorkBenchmark.Json => [CpuSeconds, Seconds, Peak],
        StartBenchmark.Name => [FirstAnswer, Rest],
        WorkBenchmark.Fib => [Seconds],
        WorkBenchmark.Points => [Kept],
        WorkBenchmark.Tasks => [Each, Spawn, Wake],
        _ => cell.Parameters.GetValueOrDefault("loop") == "open" ? [P99, Cpu, Connect] : [Cpu, Rate, Load],
    };

    /// <summary>What a curve is drawn of.</summary>
    public static IReadOnlyList<Metric> Curves { get; } = [Cpu, Rate, P99];

    /// <summary>The figures that one may not look at without knowing it: answers that were none.</summary>
    public static double ErrorPercent(IEnumerable<Cell> cells) => cells.Select(c => Errors.Of(c) ?? 0).DefaultIfEmpty().Max();

    public string Format(double value) => value.ToString("N" + (Digits > 0 && Math.Abs(value) >= 1000 ? 0 : Digits), CultureInfo.InvariantCulture);

    /// <summary>12.3 (12.1–12.9): the middle, and in brackets the least and the most.</summary>
    public string Format(Spread spread) => Format(spread.Min) == Format(spread.Max) ? Format(spread.Median) : $"{Format(spread.Median)} ({Format(spread.Min)}–{Format(spread.Max)})";

    static Func<Cell, double?> Figure(string name, double per = 1) => c => c.Figures.TryGetValue(name, out var value) ? value / per : null;
}
