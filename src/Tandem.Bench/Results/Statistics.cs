namespace Tandem.Bench.Results;

/// <summary>The least, the middle and the greatest of some measurements.</summary>
readonly record struct Spread(double Min, double Median, double Max)
{
    public static Spread Of(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        if (sorted.Length == 0)
            throw new ArgumentException("There is nothing to summarise.", nameof(values));
        var middle = sorted.Length / 2;
        return new Spread(sorted[0], sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2, sorted[^1]);
    }
}

enum Verdict
{
    /// <summary>Fewer than two rounds: nothing is known about the spread.</summary>
    OneRound,

    /// <summary>Lower than the peer in every round, and by how much is known.</summary>
    Lower,

    /// <summary>Higher than the peer in every round, and by how much is known.</summary>
    Higher,

    /// <summary>Now lower, now higher, and never by much.</summary>
    Equal,

    /// <summary>Lower in every round; by how much is too noisy to say.</summary>
    LowerByUnknown,

    /// <summary>Higher in every round; by how much is too noisy to say.</summary>
    HigherByUnknown,

    /// <summary>Now lower, now higher, and by much: too noisy to say.</summary>
    TooNoisy,
}

/// <summary>Ratios of one subject to another, each of two measurements of the same round, so that what slowed the machine slowed both.</summary>
sealed record PairedRatio(IReadOnlyList<double> Rounds)
{
    /// <summary>The greatest ratio over the least beyond which a run says nothing about the size: by experience, a quiet machine stays under 1.2.</summary>
    public const double TooWide = 1.5;

    public Spread Spread { get; } = Spread.Of(Rounds);

    public Verdict Verdict => this switch
    {
        { Rounds.Count: < 2 } => Verdict.OneRound,
        { Spread: { Max: < 1 } s } => s.Max / s.Min > TooWide ? Verdict.LowerByUnknown : Verdict.Lower,
        { Spread: { Min: > 1 } s } => s.Max / s.Min > TooWide ? Verdict.HigherByUnknown : Verdict.Higher,
        { Spread: var s } => s.Max / s.Min > TooWide ? Verdict.TooNoisy : Verdict.Equal,
    };

    /// <param name="subject">Measurements by round.</param>
    /// <param name="other">Measurements by round; a round that only one of both has is left out.</param>
    /// <returns>Null when no round has both, or one of them is not above zero.</returns>
    public static PairedRatio? Of(IReadOnlyDictionary<int, double> subject, IReadOnlyDictionary<int, double> other)
    {
        var ratios = subject.Where(s => s.Value > 0 && other.TryGetValue(s.Key, out var o) && o > 0).OrderBy(s => s.Key).Select(s => s.Value / other[s.Key]).ToList();
        return ratios.Count == 0 ? null : new PairedRatio(ratios);
    }
}

/// <summary>How y grows with x: y ≈ <see cref="Factor"/> · x^<see cref="Slope"/>, by least squares over the logarithms.</summary>
/// <param name="Slope">0: y does not depend on x; 1: proportional; 2: square.</param>
/// <param name="Factor">y at x = 1.</param>
/// <param name="Knee">The x from which on the slope is another one; null when one line is as good.</param>
/// <param name="SlopeBefore">The slope up to the knee.</param>
/// <param name="SlopeAfter">The slope from the knee on.</param>
sealed record PowerFit(double Slope, double Factor, double? Knee, double SlopeBefore, double SlopeAfter)
{
    /// <summary>Two lines have to explain what one leaves open to a tenth, and to differ by this much in slope, before a knee is named.</summary>
    const double KneeError = 0.1, KneeSlope = 0.25;

    /// <summary>Up to how many times a measured point lies above or below the fit before it is called none; a quiet machine's rounds differ by 1.2.</summary>
    const double TooFar = 1.3;

    double FactorBefore { get; init; }
    double FactorAfter { get; init; }

    /// <summary>How many times the worst of the measured points lies above or below the fit.</summary>
    public double Misfit { get; private init; } = 1;

    /// <summary>False: the points follow no power of x, and neither two.</summary>
    public bool Fits => Misfit <= TooFar;

    /// <summary>What the fit says for <paramref name="x"/>: of one line, or of two that need not quite meet at the knee.</summary>
    public double At(double x) => Knee is not { } knee ? Factor * Math.Pow(x, Slope) : x <= knee * (1 + 1e-9) ? FactorBefore * Math.Pow(x, SlopeBefore) : FactorAfter * Math.Pow(x, SlopeAfter);

    /// <returns>Null for fewer than two points; a knee wants five.</returns>
    public static PowerFit? Of(IEnumerable<(double X, double Y)> points)
    {
        var logs = points.Where(p => p is { X: > 0, Y: > 0 }).OrderBy(p => p.X).Select(p => (X: Math.Log(p.X), Y: Math.Log(p.Y))).ToArray();
        if (logs.Length < 2)
            return null;
        var one = Line(logs);
        var (best, knee, before, after) = (double.MaxValue, 0, one, one);
        // The knee is one of the measured points and belongs to both lines.
        for (var at = 1; at < logs.Length - 1 && logs.Length >= 5; at++)
        {
            var (left, right) = (Line(logs[..(at + 1)]), Line(logs[at..]));
            if (left.Error + right.Error < best)
                (best, knee, before, after) = (left.Error + right.Error, at, left, right);
        }

        var isKnee = knee > 0 && best < KneeError * one.Error && Math.Abs(before.Slope - after.Slope) > KneeSlope;
        var fit = new PowerFit(one.Slope, Math.Exp(one.Offset), isKnee ? Math.Exp(logs[knee].X) : null, before.Slope, after.Slope)
        {
            FactorBefore = Math.Exp(before.Offset),
            FactorAfter = Math.Exp(after.Offset),
        };
        return fit with { Misfit = logs.Max(p => Math.Exp(Math.Abs(p.Y - Math.Log(fit.At(Math.Exp(p.X)))))) };
    }

    static (double Slope, double Offset, double Error) Line((double X, double Y)[] points)
    {
        var (mx, my) = (points.Average(p => p.X), points.Average(p => p.Y));
        var slope = points.Sum(p => (p.X - mx) * (p.Y - my)) / points.Sum(p => (p.X - mx) * (p.X - mx));
        var offset = my - slope * mx;
        return (slope, offset, points.Sum(p => Math.Pow(p.Y - offset - slope * p.X, 2)));
    }
}
