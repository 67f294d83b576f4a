using System.Text.RegularExpressions;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Reports;
using Tandem.Bench.Results;

namespace Tandem.Tests.Repo;

public sealed partial class BenchmarkPageTests
{
    const string Page = "docs/benchmarks.md";

    [Fact]
    public void The_comparison_is_what_the_newest_stored_run_says()
    {
        var newest = Newest();

        var page = Digest.Into(File.ReadAllText(Path.Combine(Repository.Root, Page)), newest, $"../bench/results/{Path.GetFileName(newest.Path)}");

        Repository.ShouldSay(Page, page);
    }

    [Fact]
    public void Its_reports_are_made_from_the_same_measurements()
    {
        var newest = Newest();
        var (run, cells) = newest.Read();
        var page = new PageMaker(run, cells).Make();
        Repository.ShouldSay(Path.GetRelativePath(Repository.Root, Path.Combine(newest.Path, "report.md")), ReportFiles.Markdown(page));
        Assert.True(File.Exists(Path.Combine(newest.Path, "report.html")), "Make it: tandem bench report " + newest.Path);
    }

    [Fact]
    public void What_the_page_links_to_is_there()
    {
        var text = File.ReadAllText(Path.Combine(Repository.Root, Page));
        var links = Link().Matches(text).Select(m => m.Groups[1].Value).Where(l => !l.StartsWith('#')).ToList();
        Assert.NotEmpty(links);
        Assert.All(links, l => Assert.True(Path.Exists(Path.Combine(Repository.Root, "docs", l.Split('#')[0])), l));
    }

    /// <summary>Of those that have measured everything: one of a part stands beside it.</summary>
    static RunDirectory Newest() => Directory.EnumerateDirectories(Path.Combine(Repository.Root, "bench", "results")).Select(d => new RunDirectory(d))
        .Where(d => d.HasRun && d.Read().Cells.Select(c => c.Benchmark).Distinct().Count() == Benchmark.All.Count).MaxBy(d => d.Read().Run.Began)!;

    [GeneratedRegex(@"\]\(([^)]+)\)")]
    private static partial Regex Link();
}
