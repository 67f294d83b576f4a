namespace Tandem.Bench.Results;

/// <summary>What one peer did once: one benchmark, one set of parameters, one round.</summary>
/// <param name="Benchmark">Such as <c>http</c>.</param>
/// <param name="Peer">Such as <c>gin</c>.</param>
/// <param name="Parameters">What was varied, such as <c>connections</c> and <c>loop</c>.</param>
/// <param name="Round">From 1.</param>
sealed record Cell(string Benchmark, string Peer, SortedDictionary<string, string> Parameters, int Round)
{
    /// <summary>When it ended.</summary>
    public DateTimeOffset At { get; init; }

    /// <summary>Answers, or pieces of work.</summary>
    public long Requests { get; init; }

    /// <summary>Answers that were none: refused, broken off, another status than 2xx, too late.</summary>
    public long Errors { get; init; }

    /// <summary>How long it was measured.</summary>
    public double Seconds { get; init; }

    /// <summary>User and system time of the whole process tree, children that ended included.</summary>
    public double CpuSeconds { get; init; }

    /// <summary>Memory of the whole process tree; null where the benchmark says it otherwise.</summary>
    public Memory? Memory { get; init; }

    /// <summary>Latency in microseconds at each of <see cref="Bench.Results.Quantiles.Shares"/>.</summary>
    public long[]? Quantiles { get; init; }

    /// <summary>Latency, every answer of it; the closed loop's generator gives quantiles only.</summary>
    public Histogram? Latency { get; init; }

    /// <summary>Whatever else the benchmark measures, by name with its unit: <c>wake_seconds</c>.</summary>
    public SortedDictionary<string, double> Figures { get; init; } = [];

    /// <summary>What it computed, to be compared between the peers.</summary>
    public string? Answer { get; init; }

    /// <summary>Why there is no measurement.</summary>
    public string? Failed { get; init; }

    /// <summary>The parameters as one word, the same for every peer and round: <c>connections=64 loop=closed</c>.</summary>
    public string Case() => string.Join(' ', Parameters.Select(p => $"{p.Key}={p.Value}"));
}

/// <summary>Proportional memory (PSS: shared pages count by share) of a process tree, in bytes.</summary>
/// <param name="Rest">Started and answering, nobody asking.</param>
/// <param name="Load">The middle of what was seen while it was measured.</param>
/// <param name="Peak">The most that was seen while it was measured.</param>
sealed record Memory(long Rest, long Load, long Peak);

/// <summary>The shares at which latency is kept.</summary>
static class Quantiles
{
    public static readonly double[] Shares = [.. Enumerable.Range(0, 100).Select(p => p / 100.0), 0.995, 0.999, 0.9999, 1];

    public static long[] Of(Histogram histogram) => [.. Shares.Select(histogram.Quantile)];

    /// <summary>The latency at one of <see cref="Shares"/>, in milliseconds.</summary>
    public static double? Milliseconds(this Cell cell, double share) =>
        cell.Quantiles is { } q && Array.IndexOf(Shares, share) is >= 0 and var at && at < q.Length ? q[at] / 1000.0 : null;
}
