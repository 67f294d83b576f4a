using System.Globalization;
using ScottPlot;

namespace Tandem.Reports;

/// <summary>Draws sign-ups per day. ScottPlot and its native library are loaded when the first chart is drawn.</summary>
static class SignUpChart
{
    const int Width = 900;
    const int Height = 320;

    public static string Svg(List<SignUpDay> days)
    {
        using var plot = new Plot();
        var blue = Color.FromHex("#3b6fd4");
        var grey = Color.FromHex("#7a8190");
        var bars = days.Select((d, i) => new Bar { Position = i, Value = d.Count, FillColor = blue, LineWidth = 0, Size = 0.8 }).ToList();
        plot.Add.Bars(bars);
        plot.FigureBackground.Color = Colors.Transparent;
        plot.DataBackground.Color = Colors.Transparent;
        plot.Axes.Color(grey);
        plot.Axes.Right.IsVisible = false;
        plot.Axes.Top.IsVisible = false;
        plot.Grid.MajorLineColor = grey.WithAlpha(0.25);
        plot.Grid.XAxisStyle.IsVisible = false;

        // A label every so often, however many days there are, and whole numbers only on the left: nobody signs up by half.
        var step = Math.Max(1, (int)Math.Ceiling(days.Count / 10.0));
        var marks = Enumerable.Range(0, days.Count).Where(i => (days.Count - 1 - i) % step == 0).ToArray();
        plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericManual(
            [.. marks.Select(i => (double)i)], [.. marks.Select(i => days[i].Day.ToString("d MMM", CultureInfo.InvariantCulture))]);
        plot.Axes.Left.TickGenerator = new ScottPlot.TickGenerators.NumericAutomatic { IntegerTicksOnly = true };
        plot.Axes.Bottom.TickLabelStyle.FontSize = 12;
        plot.Axes.Left.TickLabelStyle.FontSize = 12;
        plot.Axes.SetLimits(-0.7, days.Count - 0.3, 0, Math.Max(1, days.Max(d => d.Count) * 1.1));
        return plot.GetSvgXml(Width, Height);
    }
}
