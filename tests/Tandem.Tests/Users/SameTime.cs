using System.Diagnostics;

namespace Tandem.Tests.Users;

/// <summary>
/// Tells whether two things take the same time. They are measured in pairs, in an order that is drawn for each; of the logarithms of their ratios comes the Hodges–Lehmann estimate of the
/// difference with its interval of Wilcoxon's signed-rank test, which knows no distribution and lets no outlier decide. It goes on until the interval is either within the margin or
/// beside zero; what is beside zero is measured a second time from the start, because what is there is there again and what a neighbour did to the machine is not.
/// </summary>
static class SameTime
{
    const int Batch = 40;

    // On a machine that others use it would go on until the last pair.
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(45);

    // A look is wrong once in two thousand times, and it is looked some twenty times at most, at data that are largely the same.
    const double StandardErrors = 3.5;

    /// <param name="first">Does one and says how long it took, in any unit.</param>
    /// <param name="second">The same for the other.</param>
    /// <param name="margin">Differences from here on are told: 0.05 for five per cent.</param>
    /// <param name="maxPairs">After so many it is given up, or after <see cref="Patience"/>.</param>
    public static async Task<Comparison> CompareAsync(Func<Task<double>> first, Func<Task<double>> second, double margin = 0.05, int maxPairs = 4000)
    {
        var random = new Random(20260131);
        var seen = await MeasureAsync(random, first, second, margin, maxPairs);
        if (seen.Verdict != Verdict.Different)
            return seen;
        var again = await MeasureAsync(random, first, second, margin, maxPairs);
        return again.Verdict == Verdict.Different && Math.Sign(again.Middle) != Math.Sign(seen.Middle) ? again with { Verdict = Verdict.NotTold } : again;
    }

    static async Task<Comparison> MeasureAsync(Random random, Func<Task<double>> first, Func<Task<double>> second, double margin, int maxPairs)
    {
        var (ratios, started) = (new List<double>(), Stopwatch.GetTimestamp());
        for (var i = 0; i < Batch; i++)
            await PairAsync();
        // Until here code was compiled and caches filled.
        ratios.Clear();
        while (true)
        {
            for (var i = Math.Max(Batch, ratios.Count / 4); i > 0; i--)
                await PairAsync();
            var (low, middle, high) = Interval(ratios);
            if (low > -margin && high < margin)
                return new Comparison(Verdict.Same, low, middle, high, ratios.Count);
            // What is this small is not what is looked for; more pairs bring it within the margin.
            if ((low > 0 || high < 0) && Math.Abs(middle) > margin / 2)
                return new Comparison(Verdict.Different, low, middle, high, ratios.Count);
            if (ratios.Count >= maxPairs || Stopwatch.GetElapsedTime(started) > Patience)
                return new Comparison(Verdict.NotTold, low, middle, high, ratios.Count);
        }

        async Task PairAsync()
        {
            var (a, b) = (0.0, 0.0);
            if (random.Next(2) == 0)
                (a, b) = (await first(), await second());
            else
                (b, a) = (await second(), await first());
            ratios.Add(Math.Log(b / a));
        }
    }

    /// <summary>A request's time in milliseconds.</summary>
    public static async Task<double> TimeAsync(Func<Task> request)
    {
        var started = Stopwatch.GetTimestamp();
        await request();
        return Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    }

    /// <summary>Hodges and Lehmann 1963: the median of all means of two; the interval of Wilcoxon's statistic by its normal approximation.</summary>
    static (double Low, double Middle, double High) Interval(List<double> values)
    {
        var n = values.Count;
        var means = new double[n * (n + 1) / 2];
        for (int i = 0, at = 0; i < n; i++)
            for (var j = i; j < n; j++)
                means[at++] = (values[i] + values[j]) / 2;
        Array.Sort(means);
        var aside = (int)Math.Floor(n * (n + 1.0) / 4 - StandardErrors * Math.Sqrt(n * (n + 1.0) * (2 * n + 1) / 24));
        return aside < 0 ? (double.NegativeInfinity, means[means.Length / 2], double.PositiveInfinity) : (means[aside], means[means.Length / 2], means[^(aside + 1)]);
    }
}

enum Verdict
{
    Same,
    Different,
    NotTold,
}

/// <param name="Low">The difference is hardly below: 0.05 means that the second takes five per cent longer.</param>
/// <param name="Middle">What it is most likely.</param>
/// <param name="High">The difference is hardly above.</param>
/// <param name="Pairs">How often both were measured.</param>
sealed record Comparison(Verdict Verdict, double Low, double Middle, double High, int Pairs)
{
    public override string ToString() => FormattableString.Invariant($"{Verdict}: {Middle:p2} ({Low:p2} to {High:p2}) after {Pairs} pairs");
}
