using System.Diagnostics;
using System.Globalization;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Bench.Benchmarks;

/// <param name="Names">Which benchmarks, in their usual order whatever is said; empty: all.</param>
/// <param name="Only">Which peers; empty: all.</param>
/// <param name="IsQuick">Fewer rounds of less time.</param>
/// <param name="Out">Where the results go.</param>
/// <param name="Folder">Where the Debian of the peers is.</param>
/// <param name="Command">As it was called.</param>
sealed record RunOptions(IReadOnlyList<string> Names, IReadOnlyList<string> Only, bool IsQuick, string Out, string Folder, string Command);

/// <summary>Sets up, plans, measures, stops.</summary>
static class Runner
{
    /// <returns>0 measured everything there is, 1 broken off.</returns>
    public static async Task<int> RunAsync(RunOptions options, TextWriter output, CancellationToken ct)
    {
        var directory = new RunDirectory(options.Out);
        if (directory.HasRun)
            throw new BenchException($"There is a run in {options.Out} already: say another --out.");
        var progress = new Progress(output);
        var benchmarks = Benchmark.All.Where(b => options.Names.Count == 0 || options.Names.Contains(b.Name)).ToList();
        var run = new Run
        {
            Began = DateTimeOffset.UtcNow,
            Command = options.Command,
            Machine = Machine.Read(),
            LoadBefore = Machine.Load(),
            Settings = new Dictionary<string, double> { ["quick"] = options.IsQuick ? 1 : 0, ["closed_loop_timeout_seconds"] = Load.ClosedLoop.TimeoutSeconds, [Run.FilesInFull] = 1 },
        };
        directory.Write(run);
        if (run.LoadBefore > 1)
            progress.Say($"The machine is busy (load {run.LoadBefore:0.0}): what else runs here makes the figures noisy.");

        var (folder, noFolder) = (new PeerFolder(options.Folder), (string?)null);
        var peers = benchmarks.SelectMany(b => b.Peers.Where(p => options.Only.Count == 0 || options.Only.Contains(p.Name)).Union(b.Needs)).Where(p => p.NeedsFolder).ToList();
        var ahead = new AheadOfTime(Path.Combine(Path.GetDirectoryName(options.Folder)!, "ahead"));
        var stopped = false;
        Session? session = null;
        List<PeerRecord> records = [];
        try
        {
            try
            {
                if (peers.Count > 0)
                    await folder.SetUpAsync(peers, progress.Say, ct);
                else
                    noFolder = "the Debian folder was not needed for the peers that were asked for";
            }
            catch (BenchException e)
            {
                noFolder = e.Message;
                progress.Say($"Without the peers of the Debian folder: {e.Message}");
            }

            if (benchmarks.Exists(b => b.Peers.Any(p => p.IsAheadOfTime && (options.Only.Count == 0 || options.Only.Contains(p.Name)))))
                await ahead.BuildAsync(progress.Say, ct);
            session = new Session(directory, folder, ahead, options.IsQuick, options.Only, noFolder);
            var steps = new List<Step>();
            foreach (var benchmark in benchmarks)
                steps.AddRange(benchmark.Plan(session));
            records = await session.RecordsAsync(ct);
            await progress.RunAsync(steps, ct);
        }
        catch (OperationCanceledException) when (ct.IsCancellationRequested)
        {
            stopped = true;
        }
        finally
        {
            if (session is not null)
                await session.DisposeAsync();
            directory.Write(run with
            {
                Ended = DateTimeOffset.UtcNow,
                IsBrokenOff = stopped,
                Peers = records,
                Missing = [.. session?.Missing ?? []],
            });
        }

        if (stopped)
            progress.Say($"Stopped; everything that was started has ended. What was measured is in {options.Out}: tandem bench report {options.Out}");
        return stopped ? 1 : 0;
    }

    /// <summary>Which step of how many, and how long still: one line that is written over on a terminal, a line per step otherwise.</summary>
    sealed class Progress(TextWriter output)
    {
        readonly bool _isTerminal = !Console.IsErrorRedirected;
        int _width;

        public void Say(string line)
        {
            if (_width > 0)
                output.Write("\r" + new string(' ', _width) + "\r");
            _width = 0;
            output.WriteLine(line);
        }

        public async Task RunAsync(List<Step> steps, CancellationToken ct)
        {
            var (began, total, done) = (Stopwatch.GetTimestamp(), steps.Sum(s => s.Seconds), 0.0);
            foreach (var (number, step) in steps.Index())
            {
                // The plan's own estimate at first, and more and more what it has turned out to be.
                var pace = (Stopwatch.GetElapsedTime(began).TotalSeconds + total / 10) / (done + total / 10);
                Show($"[{number + 1}/{steps.Count}, {Left((total - done) * pace)} left] {step.What}");
                await step.Do(ct);
                ct.ThrowIfCancellationRequested();
                done += step.Seconds;
            }

            Say($"Measured in {Left(Stopwatch.GetElapsedTime(began).TotalSeconds)}.");
        }

        void Show(string line)
        {
            if (!_isTerminal)
            {
                output.WriteLine(line);
                return;
            }

            output.Write("\r" + line.PadRight(_width));
            _width = line.Length;
        }

        static string Left(double seconds) => seconds < 90
            ? string.Create(CultureInfo.InvariantCulture, $"{seconds:0} s") : string.Create(CultureInfo.InvariantCulture, $"{seconds / 60:0.0} min");
    }
}
