using System.Text.Json;
using Tandem.Bench.Results;

namespace Tandem.Tests.Bench;

[Storeless("Numbers that are computed.")]
public sealed class StatisticsTests
{
    [Fact]
    public void A_histogram_is_exact_up_to_127_microseconds_and_within_a_sixty_fourth_beyond()
    {
        var histogram = new Histogram();
        for (var i = 1; i <= 100; i++)
            histogram.Add(i);
        Assert.Equal((50, 99, 100), (histogram.Quantile(0.5), histogram.Quantile(0.99), histogram.Quantile(1)));

        foreach (var value in (long[])[127, 128, 129, 1_000, 4_095, 4_096, 123_456, 60_000_000])
        {
            var one = new Histogram();
            one.Add(value);
            Assert.InRange(one.Quantile(1), value, value + value / 64);
            Assert.InRange(one.Buckets.Single().From, value - value / 64, value);
        }
    }

    [Fact]
    public void A_histogram_is_the_same_again_after_JSON()
    {
        var histogram = new Histogram();
        histogram.Add(3, count: 5);
        histogram.Add(77_777);
        var json = JsonSerializer.Serialize(histogram);
        Assert.StartsWith("[[3,5],[", json);
        var again = JsonSerializer.Deserialize<Histogram>(json)!;
        Assert.Equal(histogram.Buckets, again.Buckets);
        Assert.Equal((6, histogram.Quantile(1)), (again.Count, again.Quantile(1)));
    }

    [Fact]
    public void An_empty_histogram_has_no_latency() => Assert.Equal(0, new Histogram().Quantile(0.99));

    [Fact]
    public void The_middle_of_an_even_number_lies_between_the_two()
    {
        Assert.Equal(new Spread(1, 2.5, 10), Spread.Of([10, 1, 2, 3]));
        Assert.Equal(new Spread(1, 2, 10), Spread.Of([10, 1, 2]));
    }

    [Fact]
    public void Ratios_are_of_the_same_round()
    {
        // The machine was half as fast in the second round: for both, so the ratio is the same.
        var ratio = PairedRatio.Of(new Dictionary<int, double> { [1] = 10, [2] = 20, [3] = 11 }, new Dictionary<int, double> { [1] = 20, [2] = 40, [4] = 1 });
        Assert.Equal([0.5, 0.5], ratio!.Rounds);
        Assert.Null(PairedRatio.Of(new Dictionary<int, double> { [1] = 10 }, new Dictionary<int, double> { [2] = 10 }));
    }

    [Theory]
    [InlineData("0.5", nameof(Verdict.OneRound))]
    [InlineData("0.5 0.6 0.55", nameof(Verdict.Lower))]
    [InlineData("1.2 1.3 1.7", nameof(Verdict.Higher))]
    [InlineData("0.9 1.05 1.2", nameof(Verdict.Equal))]
    [InlineData("0.3 0.6 0.8", nameof(Verdict.LowerByUnknown))]
    [InlineData("1.1 2 1.2", nameof(Verdict.HigherByUnknown))]
    [InlineData("0.7 1.0 1.2", nameof(Verdict.TooNoisy))]
    public void A_run_says_no_more_than_its_rounds_agree_on(string rounds, string verdict) =>
        Assert.Equal(verdict, new PairedRatio([.. rounds.Split(' ').Select(r => double.Parse(r, System.Globalization.CultureInfo.InvariantCulture))]).Verdict.ToString());

    [Fact]
    public void A_fit_finds_the_slope_and_no_knee_where_there_is_none()
    {
        var fit = PowerFit.Of([.. new[] { 1.0, 10, 100, 1000, 10_000 }.Select(x => (x, 3 * Math.Sqrt(x)))])!;
        Assert.Equal((0.5, 3.0), (Math.Round(fit.Slope, 6), Math.Round(fit.Factor, 6)));
        Assert.Null(fit.Knee);
    }

    [Fact]
    public void A_fit_names_the_knee()
    {
        // Grows with x up to 64, then no more.
        var fit = PowerFit.Of([.. new[] { 1.0, 4, 16, 64, 256, 1024, 4096 }.Select(x => (x, 1000 * Math.Min(x, 64)))])!;
        Assert.Equal(64, fit.Knee!.Value, 6);
        Assert.Equal((1.0, 0.0), (Math.Round(fit.SlopeBefore, 6), Math.Round(fit.SlopeAfter, 6)));
    }

    [Fact]
    public void A_fit_that_its_points_do_not_follow_is_none()
    {
        Assert.True(PowerFit.Of([.. new[] { 1.0, 10, 100 }.Select(x => (x, 3 * x))])!.Fits);
        // Down and up again.
        var fit = PowerFit.Of([(1, 50), (64, 13), (4000, 28)])!;
        Assert.False(fit.Fits);
        Assert.Equal(2.0, fit.Misfit, 0.1);
    }

    [Fact]
    public void A_fit_with_a_knee_goes_through_its_points()
    {
        var fit = PowerFit.Of([.. new[] { 1.0, 4, 16, 64, 256, 1024, 4096 }.Select(x => (x, 1000 * Math.Min(x, 64)))])!;
        Assert.Equal((4_000.0, 64_000.0, 64_000.0), (Math.Round(fit.At(4)), Math.Round(fit.At(64)), Math.Round(fit.At(2000))));
    }

    [Fact]
    public void One_point_is_no_curve() => Assert.Null(PowerFit.Of([(1, 1)]));
}
