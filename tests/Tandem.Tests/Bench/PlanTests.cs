using System.Globalization;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Tests.Bench;

[Storeless("Numbers that are computed.")]
public sealed class PlanTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(true, Benchmark.QuickMinutes)]
    [InlineData(false, Benchmark.FullMinutes)]
    public async Task Everything_fits_into_the_time_that_is_promised(bool quick, int minutes)
    {
        await using var session = Make(quick);

        var planned = Benchmark.All.Select(b => (b.Name, Seconds: b.Plan(session).Sum(s => s.Seconds))).ToList();

        foreach (var (name, seconds) in planned)
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-8} {seconds,7:0} s"));
        // On two cores: every two more are a point of the curve over cores.
        var most = minutes * 60 + (Environment.ProcessorCount > 2 ? 120 : 0);
        Assert.True(planned.Sum(p => p.Seconds) <= most, string.Join(", ", planned) + $" are {planned.Sum(p => p.Seconds):0} s, more than {most}");
        Assert.Empty(session.Missing);
    }

    [Fact]
    public async Task A_full_run_has_three_rounds_of_everything_and_everybody_in_turn()
    {
        await using var session = Make(quick: false);

        var rounds = Benchmark.All.SelectMany(b => b.Plan(session)).Select(s => s.What.Split(", round ")).Where(w => w.Length == 2).ToList();

        Assert.All(rounds.GroupBy(r => r[0]), one => Assert.True(one.Count() >= 3, one.Key));
        // The first round of a case ends before its second begins.
        Assert.All(rounds.Zip(rounds.Skip(1)), pair => Assert.True(pair.First[0] != pair.Second[0] || !HasPeers(pair.First[0]), string.Join(", ", pair.First)));
        // What only Tandem does has nobody to take turns with.
        static bool HasPeers(string what) => !what.Contains("payload_bytes", StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_run_takes_is_said_as_it_is_planned()
    {
        var guide = File.ReadAllText(Path.Combine(Repo.Repository.Root, "docs/guide/bench.md"));
        Assert.Contains($"# {Benchmark.QuickMinutes} minutes; the full run takes {Benchmark.FullMinutes}\n", guide);
    }

    static Session Make(bool quick)
    {
        var nowhere = Path.Combine(Path.GetTempPath(), "tandem-tests", "no-folder");
        return new Session(new RunDirectory(nowhere), new PeerFolder(nowhere), new AheadOfTime(nowhere) { Program = nowhere }, quick, [], noFolder: null);
    }
}
