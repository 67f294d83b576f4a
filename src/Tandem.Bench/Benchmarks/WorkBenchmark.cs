using System.Diagnostics;
using System.Globalization;
using Tandem.Bench.Peers;
using Tandem.Bench.Processes;
using Tandem.Bench.Results;
using Tandem.Bench.Work;

namespace Tandem.Bench.Benchmarks;

/// <summary>Work without a server: each measurement is a fresh process that has started and waits for the word, so starting counts for nobody.</summary>
static class WorkBenchmark
{
    public const string Json = "json", Fib = "fib", Points = "points", Tasks = "tasks";

    public static List<Step> PlanJson(Session session)
    {
        var count = session.Of(1_000_000, 250_000);
        // One file for those inside the folder and those outside.
        var inside = $"{PeerFolder.Work}/records-{count}.json";
        var file = session.HasFolder ? session.Folder.Outside(inside) : Path.Combine(session.Temporary, "records.json");
        var steps = Plan(session, Json, WorkPeers.Json, [new Case("records", count, count / 330_000.0, ["parse {file}", "check"])],
            peer => new() { ["file"] = peer.IsHere ? file : inside });
        steps.Insert(0, new Step("write the records to parse", 1 + count / 500_000.0, c => Task.Run(() => RecordFile.Write(file, count), c)));
        return steps;
    }

    public static List<Step> PlanFib(Session session)
    {
        var n = session.Of(40, 35);
        return Plan(session, Fib, WorkPeers.Fib, [new Case("n", n, session.Of(3, 0.4), ["fib {count}"])]);
    }

    public static List<Step> PlanPoints(Session session) =>
        Plan(session, Points, WorkPeers.Points, [new Case("points", 1_000_000, 0.6, ["make {count}", "settle"])]);

    public static List<Step> PlanTasks(Session session)
    {
        int[] counts = session.Of<int[]>([10_000, 100_000, 1_000_000], [100_000]);
        return Plan(session, Tasks, WorkPeers.Tasks, [.. counts.Select(n => new Case("tasks", n, 0.2 + n / 170_000.0, ["spawn {count}", "settle", "wake"]))]);
    }

    /// <param name="Seconds">About how long, the mean of the peers.</param>
    /// <param name="Lines">What a process is told, each measured for itself.</param>
    sealed record Case(string Parameter, int Count, double Seconds, string[] Lines);

    static List<Step> Plan(Session session, string benchmark, IReadOnlyList<Peer> all, Case[] cases, Func<Peer, Dictionary<string, string>>? values = null)
    {
        var peers = session.Available(benchmark, all);
        var steps = new List<Step>();
        foreach (var work in cases)
            foreach (var (round, peer) in HttpBenchmark.Interleaved(session.Of(3, 2), peers))
                steps.Add(new Step($"{benchmark}: {peer.Title}, {work.Count:N0}, round {round}", work.Seconds, c =>
                    session.MeasureAsync(new Cell(benchmark, peer.Name, new() { [work.Parameter] = work.Count.ToString(CultureInfo.InvariantCulture) }, round),
                        (cell, t) => MeasureAsync(session, peer, cell, work, values?.Invoke(peer) ?? [], t), c)));
        return steps;
    }

    static async Task<Cell> MeasureAsync(Session session, Peer peer, Cell cell, Case work, Dictionary<string, string> values, CancellationToken ct)
    {
        values["count"] = work.Count.ToString(CultureInfo.InvariantCulture);
        if (session.Ahead.Program is { } ahead)
            values["ahead"] = ahead;
        await using var child = Child.Start(peer.Line(session.Folder, values), Path.Combine(session.Temporary, $"{cell.Benchmark}-{peer.Name}.log"), talks: true);
        Expect(await child.HearAsync(ct), "ready", child);
        var rest = ProcessTree.Proportional(child.Id);
        var (figures, answers, load) = (new SortedDictionary<string, double>(), new List<string>(), rest);
        foreach (var line in work.Lines.Select(l => values.Aggregate(l, (text, v) => text.Replace($"{{{v.Key}}}", v.Value, StringComparison.Ordinal))))
        {
            var name = line.Split(' ')[0];
            var (cpu, began) = (ProcessTree.CpuSeconds(child.Id), Stopwatch.GetTimestamp());
            var answer = Expect(await child.AskAsync(line, ct), "ok ", child);
            figures[$"{name}_seconds"] = Stopwatch.GetElapsedTime(began).TotalSeconds;
            figures[$"{name}_cpu_seconds"] = ProcessTree.CpuSeconds(child.Id) - cpu;
            load = ProcessTree.Proportional(child.Id);
            figures[$"{name}_bytes"] = load - rest;
            answers.Add(answer["ok ".Length..]);
        }

        var first = work.Lines[0].Split(' ')[0];
        return cell with
        {
            Requests = work.Count,
            Seconds = figures[$"{first}_seconds"],
            CpuSeconds = figures[$"{first}_cpu_seconds"],
            Memory = new Memory(rest, load, ProcessTree.PeakResident(child.Id)),
            Figures = figures,
            Answer = string.Join("; ", answers),
        };
    }

    static string Expect(string line, string start, Child child) =>
        line.StartsWith(start, StringComparison.Ordinal) ? line : throw new BenchException($"It said \"{line}\" where \"{start.Trim()}\" was expected: {child.LastWords()}");
}
