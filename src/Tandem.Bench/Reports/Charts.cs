using System.Globalization;
using System.Text.RegularExpressions;
using ScottPlot;
using Tandem.Bench.Results;

namespace Tandem.Bench.Reports;

/// <param name="IsDoubtful">Drawn pale: the rounds do not agree.</param>
sealed record Bar(string Label, Spread Value, bool IsSubject, bool IsDoubtful = false)
{
    /// <summary>Of a ratio.</summary>
    public Verdict Verdict { get; init; }
}

/// <summary>Charts as SVG that follows the page's light or dark. Value axes begin at zero; what is logarithmic says so.</summary>
static partial class Charts
{
    const int Width = 880;
    const int LabelWidth = 300;
    const int LegendWidth = 240;

    // Put in place of by currentColor: text and axes take the colour of the page's text.
    static readonly Color Ink = Color.FromHex("#010203");
    static readonly Color Subject = Color.FromHex("#2f7de1");
    static readonly Color Peer = Color.FromHex("#8b93a5");
    static readonly Color[] Lines = [.. new[] { "#2f7de1", "#d9822b", "#2a9d6f", "#c2417c", "#8661c5", "#b58900", "#5b8fa8", "#a05a4a" }.Select(Color.FromHex)];

    /// <summary>Horizontal bars of a ratio with a line at 1, whiskers from the least to the most of the rounds.</summary>
    public static Chart Ratios(string title, bool isLess, List<Bar> bars)
    {
        using var plot = Begin();
        // Room for the words behind the bar.
        var most = Math.Max(1.2, bars.Max(b => b.Value.Max)) * (bars.Exists(b => b.IsDoubtful) ? 1.5 : 1.25);
        AddBars(plot, bars, v => v.ToString("0.00", CultureInfo.InvariantCulture), most);
        var one = plot.Add.VerticalLine(1, 1.5f, Ink);
        one.LinePattern = LinePattern.Dashed;
        return End(plot, $"{title}. Left of the line at 1 Tandem {(isLess ? "needs less: better" : "does less: worse")}", bars, most);
    }

    public static Chart Bars(string title, Metric metric, List<Bar> bars)
    {
        using var plot = Begin();
        var most = Math.Max(1e-9, bars.Max(b => b.Value.Max)) * 1.25;
        AddBars(plot, bars, metric.Format, most);
        return End(plot, title, bars, most);
    }

    /// <summary>The latency that a share of the requests did not exceed; both scales are logarithmic, towards 100 % on the one, in time on the other.</summary>
    public static Chart Latency(string title, List<(string Label, bool IsSubject, List<Cell> Cells)> peers)
    {
        using var plot = Begin();
        var (least, most) = (double.MaxValue, 0.0);
        foreach (var ((label, isSubject, cells), at) in peers.Where(p => p.Cells.Count > 0).Select((p, i) => (p, i)))
        {
            // Of each share the middle of the rounds.
            var points = Quantiles.Shares.Select((share, i) => (X: Nines(share), Y: Spread.Of(cells.Select(c => c.Quantiles![i] / 1000.0)).Median)).Where(p => p.Y > 0 && p.X < 4.001).ToList();
            if (points.Count < 2)
                continue;
            var line = plot.Add.ScatterLine(points.Select(p => p.X).ToArray(), points.Select(p => Math.Log10(p.Y)).ToArray(), Lines[at % Lines.Length]);
            (line.LegendText, line.LineWidth) = (label, isSubject ? 3.5f : 1.8f);
            (least, most) = (Math.Min(least, points[0].Y), Math.Max(most, points[^1].Y));
        }

        double[] shares = [0, 0.5, 0.9, 0.99, 0.999, 0.9999];
        plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericManual([.. shares.Select(Nines)], ["0", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        var (low, high) = most > 0 ? (Math.Floor(Math.Log10(least)), Math.Ceiling(Math.Log10(most))) : (0, 1);
        plot.Axes.Left.TickGenerator = new ScottPlot.TickGenerators.NumericManual(
            [.. Decades(low, high)], [.. Decades(low, high).Select(d => Math.Pow(10, d).ToString("0.###", CultureInfo.InvariantCulture) + " ms")]);
        plot.Axes.SetLimits(0, 4.02, low, high);
        plot.Layout.Fixed(new PixelPadding(80, LegendWidth, 40, 12));
        Legend(plot);
        return new Chart($"{title}: share of the requests that took no longer (logarithmic scale of time)", Svg(plot, 380));
    }

    /// <summary>Lines over a logarithmic x, y from zero.</summary>
    public static Chart Curves(string title, string x, Metric metric, List<(string Label, bool IsSubject, List<(double X, Spread Y)> Points, PowerFit? Fit)> curves)
    {
        using var plot = Begin();
        foreach (var ((label, isSubject, points, fit), at) in curves.Select((c, i) => (c, i)))
        {
            var xs = points.Select(p => Math.Log10(p.X)).ToArray();
            var line = plot.Add.Scatter(xs, points.Select(p => p.Y.Median).ToArray(), Lines[at % Lines.Length]);
            (line.LegendText, line.LineWidth, line.MarkerSize) = (label, isSubject ? 3.5f : 1.8f, 7);
            foreach (var (point, i) in points.Select((p, i) => (p, i)))
                plot.Add.Line(xs[i], point.Y.Min, xs[i], point.Y.Max).Color = Lines[at % Lines.Length];
            if (fit is not { Fits: true })
                continue;
            var steps = Enumerable.Range(0, 61).Select(s => xs[0] + (xs[^1] - xs[0]) * s / 60).ToArray();
            var fitted = plot.Add.ScatterLine(steps, steps.Select(s => fit.At(Math.Pow(10, s))).ToArray(), Lines[at % Lines.Length].WithAlpha(0.6));
            (fitted.LinePattern, fitted.LineWidth) = (LinePattern.Dotted, 1.5f);
            if (fit.Knee is { } knee)
                plot.Add.Marker(Math.Log10(knee), fit.At(knee), MarkerShape.OpenDiamond, 15, Lines[at % Lines.Length]);
        }

        var marks = curves.SelectMany(c => c.Points.Select(p => p.X)).Distinct().Order().ToArray();
        plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericManual(
            [.. marks.Select(m => Math.Log10(m))], [.. marks.Select(m => m.ToString("N0", CultureInfo.InvariantCulture))]);
        var (from, to) = (Math.Log10(marks[0]), Math.Log10(marks[^1]));
        plot.Axes.SetLimits(from - 0.1, to + 0.1, 0, Math.Max(1e-9, curves.Max(c => c.Points.Max(p => p.Y.Max))) * 1.08);
        plot.Layout.Fixed(new PixelPadding(80, LegendWidth, 40, 12));
        Legend(plot);
        return new Chart($"{title}: {metric.Title} ({(metric.IsLess ? "less" : "more")} is better) over {x} (logarithmic)", Svg(plot, 340));
    }

    static IEnumerable<double> Decades(double low, double high) => Enumerable.Range((int)low, (int)(high - low) + 1).Select(d => (double)d);

    static double Nines(double share) => share >= 1 ? 99 : -Math.Log10(1 - share);

    static void AddBars(Plot plot, List<Bar> bars, Func<double, string> format, double most)
    {
        var drawn = plot.Add.Bars(bars.Select((b, i) => new ScottPlot.Bar
        {
            Position = -i,
            Value = b.Value.Median,
            Size = 0.6,
            LineWidth = 0,
            Orientation = Orientation.Horizontal,
            FillColor = (b.IsSubject ? Subject : Peer).WithAlpha(b.IsDoubtful ? 0.35 : 1),
        }).ToArray());
        drawn.Horizontal = true;
        foreach (var (bar, i) in bars.Select((b, i) => (b, i)))
        {
            var whisker = plot.Add.Line(bar.Value.Min, -i, bar.Value.Max, -i);
            (whisker.Color, whisker.LineWidth) = (Ink, 2);
            var text = plot.Add.Text(format(bar.Value.Median) + (bar.IsDoubtful ? "  (size too noisy)" : ""), bar.Value.Max + most * 0.01, -i);
            (text.LabelFontColor, text.LabelFontSize, text.LabelAlignment) = (Ink, 13, Alignment.MiddleLeft);
        }
    }

    static Plot Begin()
    {
        var plot = new Plot();
        plot.FigureBackground.Color = Colors.Transparent;
        plot.DataBackground.Color = Colors.Transparent;
        plot.Axes.Color(Ink);
        plot.Axes.Right.IsVisible = false;
        plot.Axes.Top.IsVisible = false;
        plot.Grid.MajorLineColor = Ink.WithAlpha(0.15);
        foreach (var axis in (IAxis[])[plot.Axes.Left, plot.Axes.Bottom])
        {
            axis.TickLabelStyle.FontSize = 13;
            axis.MinorTickStyle.Length = 0;
        }

        return plot;
    }

    static Chart End(Plot plot, string caption, List<Bar> bars, double most)
    {
        plot.Axes.Left.TickGenerator = new ScottPlot.TickGenerators.NumericManual([.. bars.Select((_, i) => (double)-i)], [.. bars.Select(b => b.Label)]);
        plot.Axes.Left.MajorTickStyle.Length = 0;
        plot.Grid.YAxisStyle.IsVisible = false;
        plot.Axes.SetLimits(0, most, -bars.Count + 0.4, 0.6);
        plot.Layout.Fixed(new PixelPadding(LabelWidth, 20, 30, 8));
        return new Chart(caption, Svg(plot, 46 + 30 * bars.Count));
    }

    static void Legend(Plot plot)
    {
        plot.ShowLegend(Edge.Right);
        plot.Legend.BackgroundColor = Colors.Transparent;
        plot.Legend.OutlineWidth = 0;
        plot.Legend.ShadowColor = Colors.Transparent;
        (plot.Legend.FontColor, plot.Legend.FontSize) = (Ink, 13);
    }

    static string Svg(Plot plot, int height)
    {
        var svg = FontFamily().Replace(plot.GetSvgXml(Width, height), "font-family=\"system-ui, sans-serif\"");
        svg = svg[svg.IndexOf("<svg", StringComparison.Ordinal)..];
        // Shrinks with a narrow window; the size stays what it is otherwise.
        svg = svg.Replace("<svg ", $"<svg viewBox=\"0 0 {Width} {height}\" ", StringComparison.Ordinal);
        return svg.Replace("#010203", "currentColor", StringComparison.OrdinalIgnoreCase).Replace("rgb(1,2,3)", "currentColor", StringComparison.Ordinal);
    }

    [GeneratedRegex("font-family=\"[^\"]*\"")]
    private static partial Regex FontFamily();
}
