using System.Globalization;
using Tandem.Bench.Results;

namespace Tandem.Bench.Reports;

/// <summary>What a chart of this run shows, in a sentence: for who looks only at the pictures.</summary>
static class Seen
{
    public static string OfRatios(Metric metric, List<Bar> bars)
    {
        string Those(params Verdict[] verdicts) => string.Join(", ", bars.Where(b => verdicts.Contains(b.Verdict)).Select(b => b.Label));
        List<string> said = [];
        void Say(string words, string who)
        {
            if (who.Length > 0)
                said.Add($"{words} {who}");
        }

        Say($"{(metric.IsLess ? "Better" : "Worse")} (lower) in every round than", Those(Verdict.Lower, Verdict.LowerByUnknown));
        Say($"{(metric.IsLess ? "worse" : "better")} (higher) in every round than", Those(Verdict.Higher, Verdict.HigherByUnknown));
        Say("not to be told from", Those(Verdict.Equal));
        Say("too noisy to say:", Those(Verdict.TooNoisy));
        Say("one round only:", Those(Verdict.OneRound));
        return Sentence(said) + (bars.Exists(b => b.IsDoubtful) ? " A pale bar: its rounds differ by more than one and a half times." : "");
    }

    public static string OfBars(Metric metric, List<Bar> bars)
    {
        var best = metric.IsLess ? bars.MinBy(b => b.Value.Median)! : bars.MaxBy(b => b.Value.Median)!;
        List<string> said = [$"{(metric.IsLess ? "Least" : "Most")}: {best.Label} with {metric.Format(best.Value.Median)}"];
        if (bars.Find(b => b.IsSubject) is { } subject && subject != best)
            said.Add($"{subject.Label}: {metric.Format(subject.Value.Median)}, place {1 + bars.Count(b => metric.IsLess ? b.Value.Median < subject.Value.Median : b.Value.Median > subject.Value.Median)} of {bars.Count}");
        return Sentence(said) + " The thin line is from the least to the most of the rounds.";
    }

    public static string OfLatency(List<(string Label, bool IsSubject, List<Cell> Cells)> peers)
    {
        var p99 = peers.Select(p => (p.Label, p.IsSubject, Ms: Spread.Of(p.Cells.Select(c => c.Milliseconds(0.99) ?? 0)).Median)).ToList();
        var best = p99.MinBy(p => p.Ms);
        List<string> said = [$"Lower is better; 99 of 100 requests took no longer than {Format(best.Ms)} with {best.Label}, the lowest"];
        if (p99.Find(p => p.IsSubject) is { Label: not null } subject && subject != best)
            said.Add($"{Format(subject.Ms)} with {subject.Label}");
        return Sentence(said);
    }

    public static string OfCurve(string label, string x, Metric metric, List<(double X, Spread Y)> points, PowerFit? fit)
    {
        var said = $"{label}: {metric.Title} from {metric.Format(points[0].Y.Median)} at {Number(points[0].X)} to {metric.Format(points[^1].Y.Median)} at {Number(points[^1].X)} {x}";
        return fit switch
        {
            not { Fits: true } => said + ", not by any power of it.",
            { Knee: { } knee } => string.Create(CultureInfo.InvariantCulture, $"{said}, as a power of {fit.SlopeBefore:0.00} up to the knee at {Number(knee)} and of {fit.SlopeAfter:0.00} beyond it."),
            _ => string.Create(CultureInfo.InvariantCulture, $"{said}, as a power of {fit.Slope:0.00}, without a knee."),
        };
    }

    static string Format(double milliseconds) => milliseconds.ToString(milliseconds >= 100 ? "N0" : "0.##", CultureInfo.InvariantCulture) + " ms";

    static string Number(double value) => value.ToString("N0", CultureInfo.InvariantCulture);

    static string Sentence(List<string> parts) => parts.Count == 0 ? "" : char.ToUpperInvariant(parts[0][0]) + string.Join("; ", parts)[1..] + ".";
}
