using System.Text.Json;
using System.Text.RegularExpressions;
using Tandem.Core.Configuration;
using Tandem.Guide;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Guide;

public sealed partial class GuideTests
{
    const string Page = "docs/guide/which-language.md";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public void Every_mark_leads_to_something_that_is_there()
    {
        Assert.Equal(15, Matrix.Scenarios.Count);
        Assert.Equal(Matrix.Scenarios.Count, Matrix.Scenarios.Select(s => s.Name).Distinct().Count());
        foreach (var scenario in Matrix.Scenarios)
            Assert.All(new[] { scenario.Python, scenario.Go, scenario.Tandem }, mark => Assert.InRange(mark, 1, 3));
        Assert.All(Matrix.Scenarios.Select(s => s.Link).Concat(Adviser.Parts.Values), link => Assert.True(File.Exists(Path.Combine(Repository.Root, link)), link));
    }

    [Fact]
    public async Task The_page_shows_the_matrix_and_what_the_commands_print()
    {
        var page = await File.ReadAllTextAsync(Path.Combine(Repository.Root, Page), Ct);
        var table = "\n| scenario | Python | Go | Tandem | because |\n| --- | --- | --- | --- | --- |\n"
            + string.Concat(Matrix.Scenarios.Select(s => $"| {s.Title} | {s.Python} | {s.Go} | {s.Tandem} | [{s.Why}](../{s.Link["docs/".Length..]}) |\n"));
        page = MatrixText().Replace(page, match => $"{match.Groups[1].Value}{table.Replace("(../guide/", "(", StringComparison.Ordinal)}\n{match.Groups[2].Value}");
        foreach (Match snippet in Snippet().Matches(page))
        {
            var (code, output, error) = await Programs.RunAsync(snippet.Groups[1].Value.Split(' '));
            Assert.True(code == 0, error);
            page = page.Replace(snippet.Value, $"```bash\ntandem {snippet.Groups[1].Value}\n```\n\n```text\n{output.TrimEnd()}\n```\n", StringComparison.Ordinal);
        }

        Repository.ShouldSay(Page, page);
    }

    [Theory]
    [InlineData("prototyping ml scientific", "python", null, "", "Python")]
    [InlineData("scraping", null, null, "", "Python")]
    [InlineData("cli", "go", 16, "", "Go")]
    [InlineData("embedded", null, 64, "users events", "Go")]
    [InlineData("high-throughput ml long-running", null, null, "users jobs", "Tandem")]
    [InlineData("prototyping", "csharp", 1000, "users", "Tandem")]
    public void The_recommendation_is_the_honest_one(string cases, string? team, int? memory, string needs, string best)
    {
        var advice = Adviser.Of(new([.. cases.Split(' ').Select(c => Matrix.Scenarios.Single(s => s.Name == c))], team, memory, needs.Split(' ', StringSplitOptions.RemoveEmptyEntries)));
        Assert.Equal([best], advice.Best.Select(l => l.ToString()));
        Assert.NotEmpty(advice.For);
        Assert.Equal(best == "Tandem", advice.Against.Any(a => a.Contains("young", StringComparison.Ordinal)));
    }

    [Fact]
    public void Two_that_are_as_good_are_both_named() =>
        Assert.Equal([Language.Python, Language.Go, Language.Tandem], Adviser.Of(new([Matrix.Scenarios.Single(s => s.Name == "io-heavy")], null, null, [])).Best);

    [Fact]
    public async Task Without_a_case_it_prints_the_matrix()
    {
        var (code, output, _) = await Programs.RunAsync("guide");
        Assert.Equal(0, code);
        Assert.All(Matrix.Scenarios, s => Assert.Contains(s.Title, output));
        (_, output, _) = await Programs.RunAsync("guide", "--case", "cli", "--json");
        Assert.Equal("go", JsonDocument.Parse(output).RootElement.GetProperty("best")[0].GetString());
    }

    [Theory]
    [InlineData("guide --case web", "choose among prototyping, ml")]
    [InlineData("guide --case cli --team rust", "choose among python, go, csharp")]
    [InlineData("guide --case cli --needs users,jobs", "choose among events, gateway")]
    [InlineData("guide --case cli --memory 0", "at least 1")]
    [InlineData("guide --memory 64", "needs --case")]
    public async Task What_it_does_not_know_is_named_with_what_it_does(string words, string expected)
    {
        var (code, _, error) = await Programs.RunAsync(words.Split(' '));
        Assert.Equal(2, code);
        Assert.Contains(expected, error);
    }

    [Fact]
    public async Task The_questions_are_asked_until_they_are_answered()
    {
        var output = new StringWriter();
        var asked = await GuideCommand.AskAsync(new StringReader("99\n3 14\nrust\n\n-5\n512\nusers, jobs\n"), output, Ct);
        Assert.Equal(["high-throughput", "long-running"], asked.Cases.Select(c => c.Name));
        Assert.Equal((null, 512), (asked.Team, asked.MemoryMegabytes));
        Assert.Equal(["users", "jobs"], asked.Parts);
        Assert.Contains("Numbers from 1 to 15.", output.ToString());
        await Assert.ThrowsAsync<ConfigurationException>(() => GuideCommand.AskAsync(new StringReader("1\n"), output, Ct));
    }

    [GeneratedRegex(@"(<!-- the matrix[^\n]*-->\n).*?(<!-- end of the matrix -->)", RegexOptions.Singleline)]
    private static partial Regex MatrixText();

    [GeneratedRegex(@"```bash\ntandem ([^\n]*)\n```\n\n```text\n.*?```\n", RegexOptions.Singleline)]
    private static partial Regex Snippet();
}
