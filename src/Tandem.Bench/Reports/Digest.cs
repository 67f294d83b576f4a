using System.Text;
using System.Text.RegularExpressions;
using Tandem.Bench.Backend;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Bench.Reports;

/// <summary>A run in a page's worth of tables, to stand between two comments of a page that says more than one run.</summary>
static partial class Digest
{
    const string End = "<!-- end of the comparison -->";

    /// <param name="Case">As the cells have it; null: the biggest there is.</param>
    /// <param name="HasRatio">Tandem's figure over the peer's follows.</param>
    sealed record Column(string Title, string? Case, Metric Metric, bool HasRatio = true);

    sealed record Selection(string Title, string Benchmark, string[] Subjects, params Column[] Columns);

    static readonly Selection[] Selections =
    [
        new("`GET /health`, closed loop", HttpBenchmark.Name, [Peer.Tandem],
            new("CPU µs/req, 64 connections", "connections=64 loop=closed", Metric.Cpu), new("1,000", "connections=1000 loop=closed", Metric.Cpu),
            new("10,000", "connections=10000 loop=closed", Metric.Cpu), new("MB at 10,000", "connections=10000 loop=closed", Metric.Load, false)),
        new("A cached read, closed loop", HttpBenchmark.Name, [Peer.Tandem],
            new("CPU µs/req, 64 connections", "connections=64 loop=closed read=cached", Metric.Cpu), new("1,000", "connections=1000 loop=closed read=cached", Metric.Cpu)),
        new("`GET /health`, 20,000 req/s over 10,000 connections, open loop", HttpBenchmark.Name, [Peer.Tandem],
            new("p99 ms", "connections=10000 loop=open rate=20000", Metric.P99), new("p50 ms", "connections=10000 loop=open rate=20000", Metric.P50, false),
            new("s to connect all", "connections=10000 loop=open rate=20000", Metric.Connect, false), new("errors %", "connections=10000 loop=open rate=20000", Metric.Errors, false)),
        new("Start and rest", StartBenchmark.Name, [Peer.Tandem],
            new("s to the first 200", null, Metric.FirstAnswer), new("MB at rest", null, Metric.Rest)),
        new("A backend on PostgreSQL, 64 connections", BackendBenchmark.Name, ["tandem-postgres"], [.. Works(BackendBenchmark.Postgres, "get-user", "list-users", "patch-user", "post-item")]),
        new("A backend on SQLite, 64 connections", BackendBenchmark.Name, ["tandem-sqlite"], [.. Works(BackendBenchmark.Sqlite, "get-user", "list-users", "patch-user", "post-item")]),
        new("Durable `POST /items` on SQLite", BackendBenchmark.Name, ["tandem-sqlite"], new Column("req/s", "connections=64 database=sqlite work=post-item", Metric.Rate)),
        new("`POST /predict`, a forest of 100 trees", BackendBenchmark.Name, ["tandem-model"], new Column("CPU µs/req", "connections=64 work=predict", Metric.Cpu)),
        new("JSON records", WorkBenchmark.Json, [Peer.Tandem], new("CPU s", null, Metric.CpuSeconds), new("s", null, Metric.Seconds), new("MB peak", null, Metric.Peak, false)),
        new("Fibonacci, recursively", WorkBenchmark.Fib, ["csharp"], new("s", null, Metric.Seconds), new("MB peak", null, Metric.Peak, false)),
        new("A million points of three float64", WorkBenchmark.Points, ["csharp"], new Column("MB kept", null, Metric.Kept)),
        new("Waiting tasks", WorkBenchmark.Tasks, ["csharp"], new("bytes each", null, Metric.Each), new("µs to start one", null, Metric.Spawn, false)),
        new("Through a proxy, CPU of the proxy alone", ProxyBenchmark.Name, [Peer.Tandem],
            new("CPU µs/req, 64 connections", "connections=64 loop=closed", Metric.Cpu), new("1,000", "connections=1000 loop=closed", Metric.Cpu)),
    ];

    static IEnumerable<Column> Works(string database, params string[] works) => works.Select(w => new Column($"CPU µs/req, `{BackendWork.Describe(w)}`", $"connections=64 database={database} work={w}", Metric.Cpu));

    /// <summary>Puts the digest of a run between the two comments.</summary>
    /// <param name="text">The page.</param>
    /// <param name="link">The run's directory as the page links to it.</param>
    /// <exception cref="BenchException">The comments are not there.</exception>
    public static string Into(string text, RunDirectory directory, string link)
    {
        var (run, cells) = directory.Read();
        if (!Between().IsMatch(text))
            throw new BenchException($"There is no place for the comparison: put <!-- the comparison --> and {End} on lines of their own.");
        // A function, not a pattern: the digest may hold what a pattern would take for a group.
        return Between().Replace(text, _ => $"<!-- the comparison: made from {link} by tandem bench report -->\n{Markdown(run, cells, link)}{End}", 1);
    }

    static string Markdown(Run run, List<Cell> cells, string link)
    {
        var maker = new PageMaker(run, cells);
        var text = new StringBuilder();
        foreach (var line in maker.Lead())
            text.Append($"\n{line}\n");
        text.Append($"\nEvery measurement, every start line and version, the distributions of latency and the curves, with charts: [report.html]({link}/report.html), the same without charts: [report.md]({link}/report.md); "
            + $"the raw results: [cells.jsonl]({link}/cells.jsonl), [run.json]({link}/run.json).\n");
        var sections = new List<Section> { new AimsSection(cells).Make() };
        sections.AddRange(Selections.Select(s => Select(s, cells)).OfType<Section>());
        sections.AddRange(new CurveSections(cells).Make().Select(s => s with { Tables = [.. s.Tables.Skip(1)], Text = s.Text }));
        sections.Add(maker.PublishedSection());
        if (run.Missing.Count > 0)
            sections.Add(new Section("What is missing in this run", [.. run.Missing.Select(m => $"- {m}")], [], []));
        foreach (var section in sections)
            ReportFiles.Append(text, section, "###");
        return text.Append('\n').ToString();
    }

    static Section? Select(Selection selection, List<Cell> cells)
    {
        var benchmark = Benchmark.All.First(b => b.Name == selection.Benchmark);
        var known = cells.Where(c => c.Benchmark == selection.Benchmark).ToList();
        var biggest = known.MaxBy(c => c.Requests)?.Case();
        var columns = selection.Columns.Select(c => (Column: c, Cells: known.Where(k => k.Case() == (c.Case ?? biggest)).ToList())).Where(c => c.Cells.Exists(k => k.Failed is null)).ToList();
        if (columns.Count == 0)
            return null;
        var subject = selection.Subjects[0];
        var table = new Table(["", .. columns.SelectMany(c => c.Column.HasRatio ? new[] { c.Column.Title, "Tandem ÷ this" } : [c.Column.Title])], []);
        foreach (var peer in benchmark.Peers.Where(p => columns.Exists(c => c.Cells.Exists(k => k.Peer == p.Name))))
            table.Rows.Add([peer.Title, .. columns.SelectMany(c => Say(c.Column, [.. c.Cells.Where(k => k.Peer == peer.Name)], c.Cells, subject, peer.Name))]);
        var title = selection.Columns[0].Case is null && biggest!.Length > 0 && selection.Benchmark != StartBenchmark.Name ? $"{selection.Title}: {PageMaker.Describe(biggest)}" : selection.Title;
        return new Section(title, [], [table], []);
    }

    static IEnumerable<string> Say(Column column, List<Cell> own, List<Cell> all, string subject, string peer)
    {
        yield return PageMaker.Spread([.. own.Where(c => c.Failed is null)], column.Metric) is { } spread ? column.Metric.Format(spread.Median) : own.Count > 0 ? "no result" : "";
        if (column.HasRatio)
            yield return peer != subject && PageMaker.Ratio(all, subject, peer, column.Metric) is { } ratio ? PageMaker.Say(ratio) : "";
    }

    [GeneratedRegex("<!-- the comparison[^\n]*-->\n.*?" + End, RegexOptions.Singleline)]
    private static partial Regex Between();
}
