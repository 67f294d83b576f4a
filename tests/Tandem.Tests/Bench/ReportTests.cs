using System.Xml.Linq;
using Tandem.Bench;
using Tandem.Bench.Reports;
using Tandem.Bench.Results;

namespace Tandem.Tests.Bench;

[Storeless("A page that is written.")]
public sealed class ReportTests : IDisposable
{
    readonly RunDirectory _directory = new(Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n")));

    public void Dispose()
    {
        if (Directory.Exists(_directory.Path))
            Directory.Delete(_directory.Path, recursive: true);
    }

    [Fact]
    public void A_stored_run_becomes_tables_and_a_page_that_stands_alone()
    {
        Write();
        var (markdown, html) = ReportFiles.Write(_directory);
        var tables = File.ReadAllText(markdown);
        Assert.Contains("31 January 2026, 12:00 UTC, `tandem bench run --quick`, on 2 cores (Test CPU)", tables);
        // Tandem needs 10, 20, 11 µs, net/http 20, 40, 22: each round says a half, though the second was twice as slow.
        Assert.Contains("| Go net/http | 22.0 (20.0–40.0) |", tables);
        Assert.Contains("| 0.50 (0.50–0.50) |", tables);
        Assert.Contains("too noisy to say", tables);
        Assert.Contains("| Django (gunicorn) | no result: It has ended: out of memory |", tables);
        Assert.Contains("Missing: Python + Cython", tables);
        // The publication has Gin behind net/http; these measurements have it in front.
        Assert.Contains("**Not reproduced** (http, req/s): the publication has Go net/http before Go Gin", tables);
        Assert.Contains("`./net-http {port}`", tables);
        Assert.Contains("The configuration of nginx:\n\n```\nlisten {port};\n# <one>\n```\n", tables);

        var page = File.ReadAllText(html);
        var svgs = System.Text.RegularExpressions.Regex.Matches(page, "<svg.*?</svg>", System.Text.RegularExpressions.RegexOptions.Singleline);
        Assert.True(svgs.Count >= 4, $"{svgs.Count} charts");
        Assert.All(svgs, svg => XDocument.Parse(svg.Value));
        Assert.Contains("<pre>listen {port};\n# &lt;one&gt;</pre>", page);
        Assert.DoesNotContain("<script", page);
        Assert.DoesNotContain("src=", page);
        Assert.DoesNotContain("<link", page);
        Assert.Contains("prefers-color-scheme: dark", page);
    }

    [Fact]
    public void An_aim_is_met_or_missed_by_what_was_measured()
    {
        Write();
        var (_, cells) = _directory.Read();
        var rows = new AimsSection(cells).Make().Tables[0].Rows.ToDictionary(r => r[0], r => r[1..]);
        // A half of net/http's in each round.
        Assert.Equal(["≤ 0.5", "0.5", AimsSection.Met], rows["`GET /health` at 10,000 connections: CPU ÷ net/http"]);
        Assert.Equal(["≤ 0.5", "", AimsSection.NotMeasured], rows["`GET /health` at 64 connections: CPU ÷ net/http"]);
        // Everybody has 20 MB: not below, and Go's nearest is any of them.
        Assert.Equal(["< 1", "1", AimsSection.Missed], rows["10,000 connections, closed loop: memory ÷ the best peer's (net-http)"]);

        // One of three reaches it, another is twice as far as that.
        foreach (var (round, cpu) in (ReadOnlySpan<(int, double)>)[(1, 20), (2, 20), (3, 30)])
            cells.Add(Http("fasthttp", round, cpu, 5_000));
        Assert.Equal(["≤ 0.8", "0.5 (0.37–1)", AimsSection.TooNoisy], new AimsSection(cells).Make().Tables[0].Rows.Single(r => r[0] == "`GET /health` at 10,000 connections: CPU ÷ fasthttp")[1..]);
    }

    [Fact]
    public void A_digest_stands_between_the_two_comments_and_nothing_else_is_touched()
    {
        Write();
        var page = Digest.Into("before\n<!-- the comparison -->\nold\n<!-- end of the comparison -->\nafter $0\n", _directory, "../results");
        Assert.StartsWith("before\n<!-- the comparison: made from ../results by tandem bench report -->\n\n31 January 2026", page);
        Assert.EndsWith("<!-- end of the comparison -->\nafter $0\n", page);
        Assert.DoesNotContain("\nold\n", page);
        Assert.Contains("| Go net/http | 22.0 | 0.50 (0.50–0.50) |", page);
        Assert.Contains("[report.html](../results/report.html)", page);
        // Again the same, into what it has written.
        Assert.Equal(page, Digest.Into(page, _directory, "../results"));
        Assert.Contains("There is no place", Assert.Throws<BenchException>(() => Digest.Into("nothing", _directory, "x")).Message);
    }

    [Fact]
    public void A_run_is_the_same_again_when_it_is_read()
    {
        Write();
        var (run, cells) = _directory.Read();
        Assert.Equal((2, "Test CPU", false), (run.Machine.Cores, run.Machine.Cpu, run.IsBrokenOff));
        Assert.Equal("connections=10000 loop=closed", cells[0].Case());
        Assert.Equal(10, cells[0].Quantiles![0]);
    }

    [Fact]
    public void A_directory_without_a_run_is_said_so()
    {
        var failure = Assert.Throws<BenchException>(() => ReportFiles.Write(_directory));
        Assert.Contains("There is no run in", failure.Message);
    }

    [Fact]
    public void Only_an_order_that_is_turned_round_is_not_reproduced()
    {
        var published = Published.All.First(p => p is { Benchmark: "json", Metric: "s" });
        static Spread Around(double value) => new(value * 0.9, value, value * 1.1);
        Assert.Empty(published.NotReproduced(new Dictionary<string, Spread> { ["python"] = Around(3), ["orjson"] = Around(2), ["go"] = Around(1) }));
        Assert.Empty(published.NotReproduced(new Dictionary<string, Spread> { ["python"] = Around(3), ["go"] = Around(3) }));
        Assert.Equal([("go", "orjson", true)], published.NotReproduced(new Dictionary<string, Spread> { ["python"] = Around(3), ["orjson"] = Around(1), ["go"] = Around(2) }));
        Assert.Equal([("go", "orjson", false)], published.NotReproduced(new Dictionary<string, Spread> { ["orjson"] = Around(1), ["go"] = Around(1.1) }));
    }

    void Write()
    {
        _directory.Write(new Run
        {
            Began = new DateTimeOffset(2026, 1, 31, 12, 0, 0, TimeSpan.Zero),
            Command = "tandem bench run --quick",
            Machine = new Machine("Test CPU", 2, "6.1", "Debian", 8_000_000_000, ".NET 10"),
            Settings = new() { ["quick"] = 1 },
            Peers =
            [
                new PeerRecord("http", "net-http", "Go net/http", "./net-http {port}", "golang-go 1.24"),
                new PeerRecord("proxy", "nginx", "nginx", "nginx -c {config}", "nginx 1.26", "listen {port};\n# <one>\n"),
            ],
            Missing = ["Python + Cython: no compiler"],
            IsBrokenOff = false,
        });
        (int Round, double Tandem, double NetHttp, double Gin)[] rounds = [(1, 10, 20, 5), (2, 20, 40, 30), (3, 11, 22, 20)];
        foreach (var (round, tandem, netHttp, gin) in rounds)
        {
            _directory.Add(Http("tandem", round, tandem, 9_000));
            _directory.Add(Http("net-http", round, netHttp, 5_000));
            _directory.Add(Http("gin", round, gin, 6_000));
        }

        _directory.Add(Http("django", 1, 0, 0) with { Failed = "It has ended: out of memory" });
    }

    static Cell Http(string peer, int round, double cpu, long requests) => new("http", peer, new() { ["connections"] = "10000", ["loop"] = "closed" }, round)
    {
        Requests = requests,
        Seconds = 1,
        CpuSeconds = cpu * requests / 1e6,
        Memory = new Memory(10_000_000, 20_000_000, 30_000_000),
        Quantiles = [.. Enumerable.Range(1, Quantiles.Shares.Length).Select(i => 10L * i)],
    };
}
