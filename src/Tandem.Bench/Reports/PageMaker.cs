using System.Globalization;
using Tandem.Bench.Backend;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Bench.Reports;

/// <summary>Turns raw measurements into what a report says.</summary>
sealed class PageMaker(Run run, List<Cell> cells)
{
    static readonly CultureInfo Invariant = CultureInfo.InvariantCulture;

    /// <summary>Half the time that is measured being the client's own lateness says nothing about a server.</summary>
    const double LateClient = 0.5;

    /// <summary>Percent: beyond that a peer has not done the work that the others have.</summary>
    const double TooManyErrors = 10;

    public Page Make()
    {
        var sections = new List<Section> { new AimsSection(cells).Make() };
        foreach (var benchmark in Benchmark.All.Where(b => b.Name != CurveBenchmark.Name))
            sections.AddRange(Cases(benchmark.Name).Select(c => CaseSection(benchmark, c)));
        sections.AddRange(new CurveSections(cells).Make());
        sections.AddRange([PublishedSection(), StartSection()]);
        return new Page("Tandem side by side with its peers", Lead(), sections);
    }

    /// <summary>When, where and how it was measured, and what makes it doubtful.</summary>
    public List<string> Lead()
    {
        var machine = run.Machine;
        var lead = new List<string>
        {
            $"{run.Began:d MMMM yyyy, HH:mm} UTC, `{run.Command}`, on {machine.Cores} cores ({machine.Cpu}), {machine.MemoryBytes / 1e9:0} GB, Linux {machine.Kernel}, {machine.Distribution}, {machine.Runtime}. "
                + $"Load before it began: {run.LoadBefore.ToString("0.00", Invariant)}. The load generator shares the cores.",
            "Middle of the rounds, in brackets the least and the most. CPU is user and system time, memory is proportional (PSS), both of the whole process tree. "
                + "A ratio is Tandem's (or C#'s) figure over the peer's in the same round: ratios hold from machine to machine, absolute figures do not.",
        };
        // Earlier runs gave a program that the bench is itself only half of its files.
        if (run.Settings.GetValueOrDefault(Run.FilesInFull) == 1)
            lead.Add("Files that the bench itself has mapped as well, those of .NET and of Tandem above all, count in full, as they would without the bench.");
        if (run.IsBrokenOff)
            lead.Add("**This run was broken off:** what is missing below was not measured.");
        if (run.Settings.GetValueOrDefault("quick") == 1)
            lead.Add("A quick run: few short rounds, and code that a runtime compiles while it runs has not quite settled. The full run is the one to quote.");
        if (run.LoadBefore > 1)
            lead.Add("**The machine was busy before the run began:** what else ran makes every figure here doubtful.");
        return lead;
    }

    List<IGrouping<string, Cell>> Cases(string benchmark) => [.. cells.Where(c => c.Benchmark == benchmark).GroupBy(c => c.Case())];

    Section CaseSection(Benchmark benchmark, IGrouping<string, Cell> @case)
    {
        var metrics = Metric.For(@case.First());
        var names = benchmark.Peers.Select(p => p.Name).Where(n => @case.Any(c => c.Peer == n)).ToList();
        var subject = names.Contains(Peer.Tandem) ? Peer.Tandem : names[0];
        var compared = Metric.Compared(@case.First()).ToDictionary(m => m, _ => new List<Bar>());
        var table = new Table(["", .. metrics.Select(m => m.Title), .. compared.Keys.Select(m => $"{m.Title}: {Title(benchmark, subject)} ÷ this")], []);
        var (text, bars) = (new List<string>(), Metric.Drawn(@case.First()).ToDictionary(m => m, _ => new List<Bar>()));
        foreach (var name in names)
        {
            var measured = @case.Where(c => c.Peer == name && c.Failed is null).ToList();
            var label = Title(benchmark, name);
            if (measured.Count == 0)
            {
                table.Rows.Add([label, $"no result: {@case.First(c => c.Peer == name).Failed}", .. Enumerable.Repeat("", metrics.Count - 1 + compared.Count)]);
                continue;
            }

            var errors = Metric.ErrorPercent(measured);
            if (errors > 1)
                label += string.Create(Invariant, $" ({errors:0} % errors)");
            var said = new List<string>();
            foreach (var (metric, ratios) in compared)
            {
                var ratio = name == subject ? null : Ratio(@case, subject, name, metric);
                said.Add(ratio is null ? "" : Say(ratio));
                // A limit is no peer: a bar of it would be so long that no other could be read.
                if (ratio is not null && errors <= TooManyErrors && !benchmark.Peers.First(p => p.Name == name).IsLimit)
                    ratios.Add(new Bar(label, ratio.Spread, IsSubject: false, IsDoubtful: ratio.Verdict is Verdict.TooNoisy or Verdict.LowerByUnknown or Verdict.HigherByUnknown) { Verdict = ratio.Verdict });
            }

            table.Rows.Add([label, .. metrics.Select(m => Spread(measured, m) is { } s ? m.Format(s) : ""), .. said]);
            if (errors > TooManyErrors)
            {
                text.Add($"**Not in the bars:** {label}. Who does not answer has less to do, and what it takes for the rest says nothing.");
                continue;
            }

            foreach (var (metric, list) in bars)
                if (Spread(measured, metric) is { } spread)
                    list.Add(new Bar(label, spread, name == subject));
        }

        if (@case.First().Parameters.TryGetValue("work", out var work) && BackendWork.Note(work) is { Length: > 0 } note)
            text.Add(note);
        var late = @case.Where(IsLate).Select(c => $"{Title(benchmark, c.Peer)} in round {c.Round}").ToList();
        if (late.Count > 0)
            text.Add($"**Too noisy to say:** the client itself was late by more than half of the p99 that it measured: {string.Join(", ", late)}.");
        if (Answers(@case, benchmark) is { Count: > 1 } answers)
            text.Add($"**The peers did not compute the same:** {string.Join("; ", answers)}");
        var charts = new List<Chart>();
        charts.AddRange(compared.Where(c => c.Value.Count > 0).Select(c => Charts.Ratios($"{c.Key.Title}: {Title(benchmark, subject)} ÷ peer", c.Key.IsLess, c.Value) with { See = Seen.OfRatios(c.Key, c.Value) }));
        charts.AddRange(bars.Where(b => b.Value.Count > 0).Select(b => Charts.Bars($"{b.Key.Title} ({(b.Key.IsLess ? "less" : "more")} is better)", b.Key, b.Value) with { See = Seen.OfBars(b.Key, b.Value) }));
        if (benchmark.Name is HttpBenchmark.Name or ProxyBenchmark.Name or BackendBenchmark.Name)
        {
            List<(string Label, bool IsSubject, List<Cell> Cells)> latencies =
                [.. names.Select(n => (Title(benchmark, n), n == subject, @case.Where(c => c.Peer == n && c.Quantiles is not null).ToList())).Where(l => l.Item3.Count > 0)];
            if (latencies.Count > 0)
                charts.Add(Charts.Latency($"Latency, {Describe(@case.Key)}", latencies) with { See = Seen.OfLatency(latencies) });
        }

        return new Section($"{benchmark.Name}: {Describe(@case.Key)}", text, [table], charts);
    }

    internal static bool IsLate(Cell cell) =>
        cell.Figures.TryGetValue("client_lag_p99_us", out var lag) && cell.Milliseconds(0.99) is { } p99 && lag / 1000 > LateClient * p99;

    /// <summary>The different answers, each with who gave it; limits compute something else.</summary>
    static List<string> Answers(IEnumerable<Cell> @case, Benchmark benchmark) =>
        [.. @case.Where(c => c.Answer is not null && !benchmark.Peers.Any(p => p.Name == c.Peer && p.IsLimit)).GroupBy(c => c.Answer)
            .Select(g => $"{string.Join(", ", g.Select(c => c.Peer).Distinct())}: {g.Key}")];

    internal static Spread? Spread(IReadOnlyCollection<Cell> measured, Metric metric)
    {
        var values = measured.Select(metric.Of).OfType<double>().ToList();
        return values.Count == 0 ? null : Results.Spread.Of(values);
    }

    internal static PairedRatio? Ratio(IEnumerable<Cell> @case, string subject, string other, Metric metric)
    {
        Dictionary<int, double> ByRound(string peer) => @case.Where(c => c.Peer == peer && c.Failed is null && metric.Of(c) is not null).ToDictionary(c => c.Round, c => metric.Of(c)!.Value);
        return PairedRatio.Of(ByRound(subject), ByRound(other));
    }

    internal static string Say(PairedRatio ratio)
    {
        var s = ratio.Spread;
        var range = string.Create(Invariant, $"{s.Median:0.00} ({s.Min:0.00}–{s.Max:0.00})");
        return ratio.Verdict switch
        {
            Verdict.OneRound => string.Create(Invariant, $"{s.Median:0.00}, one round"),
            Verdict.TooNoisy => $"too noisy to say: {range}",
            Verdict.LowerByUnknown => $"lower in every round, too noisy to say by how much: {range}",
            Verdict.HigherByUnknown => $"higher in every round, too noisy to say by how much: {range}",
            Verdict.Equal => $"no clear difference: {range}",
            _ => range,
        };
    }

    internal Section PublishedSection()
    {
        var table = new Table(["", "", "published", "measured here"], []);
        var text = new List<string> { "The publication's figures come from another machine: the order is to be compared, not the size. Fiber is not packaged for Debian; fasthttp, which it stands on, is in its place and harder to beat." };
        foreach (var published in Published.All)
        {
            var known = cells.Where(c => c.Benchmark == published.Benchmark && c.Failed is null && (published.Case is null || c.Case() == published.Case)).ToList();
            if (known.Count == 0)
                continue;
            var biggest = known.MaxBy(c => c.Requests)!.Case();
            if (published.Case is null)
                known = [.. known.Where(c => c.Case() == biggest)];
            var metric = Metric.For(known[0]).First(m => m.Title == published.Metric);
            var benchmark = Benchmark.All.First(b => b.Name == published.Benchmark);
            var measured = known.GroupBy(c => c.Peer).Where(g => Spread([.. g], metric) is not null).ToDictionary(g => g.Key, g => Spread([.. g], metric)!.Value);
            foreach (var (peer, value) in published.Values)
                table.Rows.Add([$"{published.Benchmark}, {Describe(known[0].Case())}: {metric.Title}", Title(benchmark, peer), metric.Format(value), measured.TryGetValue(peer, out var s) ? metric.Format(s) : "not measured"]);
            var ours = measured.ContainsKey(Peer.Tandem) ? Peer.Tandem : "csharp";
            if (measured.TryGetValue(ours, out var own))
                table.Rows.Add([$"{published.Benchmark}, {Describe(known[0].Case())}: {metric.Title}", Title(benchmark, ours), "–", metric.Format(own)]);
            foreach (var group in published.NotReproduced(measured).GroupBy(n => n.IsClear).OrderByDescending(g => g.Key))
            {
                var orders = string.Join("; ", group.Select(n => $"{Title(benchmark, n.Better)} before {Title(benchmark, n.Worse)} ({metric.Format(measured[n.Better].Median)} against {metric.Format(measured[n.Worse].Median)})"));
                text.Add($"{(group.Key ? "**Not reproduced**" : "Too close to say")} ({published.Benchmark}, {metric.Title}): the publication has {orders}. "
                    + (group.Key ? "Here it is the other way round in every round." : "Here it is the other way round, but the rounds of both overlap."));
            }
        }

        return new Section("The published figures beside these", text, table.Rows.Count > 0 ? [table] : [], []);
    }

    Section StartSection()
    {
        var table = new Table(["benchmark", "peer", "start line", "version"], [.. run.Peers.Select(p => new[] { p.Benchmark, p.Title, $"`{p.Start}`", p.Version })], IsWide: true);
        var missing = run.Missing.Select(m => $"Missing: {m}").ToList();
        return new Section("How each was started", ["`{tandem}` is the program that wrote this, `{port}` a free port, `{data}` an empty directory, `{cores}` the number of cores, `{workers}` twice that plus one, `{backend}` the service behind a proxy, `{config}` the file below.", .. missing], [table], [])
        {
            Listings = [.. run.Peers.Where(p => p.Config is not null).Select(p => ($"The configuration of {p.Title}", p.Config!))],
        };
    }

    internal static string Title(Benchmark benchmark, string peer) => benchmark.Peers.FirstOrDefault(p => p.Name == peer)?.Title ?? peer;

    /// <summary>connections=10000 loop=open becomes "10,000 connections, open loop".</summary>
    internal static string Describe(string @case) => @case.Length == 0 ? "all" : string.Join(", ", @case.Split(' ').Select(p => p.Split('=')).Select(p =>
        p[0] == "n" ? $"n = {p[1]}" : p[0] == "data" ? "existing data" : p[0] == HttpBenchmark.Read ? "cached read" : p[0] == "work" ? BackendWork.Describe(p[1]) : p[0] == "database" ? $"on {(p[1] == BackendBenchmark.Postgres ? "PostgreSQL" : "SQLite")}" : p[0] == "rate" ? $"{Number(p[1])} req/s" : double.TryParse(p[1], Invariant, out _) ? $"{Number(p[1])} {p[0]}" : $"{p[1]} {p[0]}"));

    static string Number(string word) => double.Parse(word, Invariant).ToString("N0", Invariant);
}
