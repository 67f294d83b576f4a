using System.Diagnostics;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Processes;
using Tandem.Bench.Results;

namespace Tandem.Tests.Bench;

[Storeless("The one program that it starts is on embedded stores.")]
public sealed class BenchCommandTests : IDisposable
{
    readonly string _out = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        if (Directory.Exists(_out))
            Directory.Delete(_out, recursive: true);
    }

    [Fact]
    public async Task List_names_every_benchmark_and_who_takes_part()
    {
        var (code, output, _) = await Programs.RunAsync("bench", "list");
        Assert.Equal(0, code);
        foreach (var benchmark in Benchmark.All)
            Assert.All(benchmark.Peers, p => Assert.Contains(p.Name, output));
    }

    [Fact]
    public async Task What_is_not_there_is_wrong_use()
    {
        Assert.Equal(2, (await Programs.RunAsync("bench", "run", "nonsense")).Code);
        var (code, _, error) = await Programs.RunAsync("bench", "report", _out);
        Assert.Equal((1, true), (code, error.Contains("There is no run in", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    public async Task A_signal_stops_everything_that_was_started_and_keeps_the_run(string signal)
    {
        TestStores.OnlyEmbedded();
        // A shell that runs the suite in the background has it ignored, and children inherit that.
        using var process = Programs.StartBy(["env", "--default-signal=INT"], ["bench", "run", "http", "--quick", "--peer", "tandem", "--out", _out]);
        var complained = process.StandardError.ReadToEndAsync(Ct);
        // The server of the bench is up when it has threads enough to answer; then comes the signal.
        await Eventually.TrueAsync(() => Task.FromResult(ProcessTree.Members(process.Id).Count > 1 || process.HasExited), seconds: 60);
        var started = ProcessTree.Members(process.Id);

        using (var kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]))
            await kill.WaitForExitAsync(Ct);
        await process.WaitForExitAsync(Ct);

        var said = await complained;
        Assert.True(said.Contains("Stopped; everything that was started has ended", StringComparison.Ordinal), said);
        Assert.Equal(1, process.ExitCode);
        await Eventually.TrueAsync(() => Task.FromResult(started.All(ProcessTreeTests.HasEnded)));
        Assert.True(new RunDirectory(_out).Read().Run.IsBrokenOff);
    }
}
