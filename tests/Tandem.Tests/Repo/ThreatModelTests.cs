using System.Text.RegularExpressions;

namespace Tandem.Tests.Repo;

/// <summary>docs/threat-model.md says of each attack by which test it is tried.</summary>
public sealed partial class ThreatModelTests
{
    static readonly string[] Lines = File.ReadAllLines(Path.Combine(Repository.Root, "docs/threat-model.md"));

    [Fact]
    public void Every_test_that_is_named_is_there()
    {
        var named = Lines.SelectMany(line => Names().Matches(line)).Select(m => (Class: m.Groups[1].Value, Method: m.Groups[2].Value)).Distinct().ToList();
        Assert.True(named.Count > 70, $"only {named.Count} tests are named");

        var missing = named.Where(n => !TestsOf(n.Class).Contains(n.Method)).Select(n => $"{n.Class}.{n.Method}").ToList();

        Assert.True(missing.Count == 0, $"docs/threat-model.md names tests that are not there; say which ones try it now: {string.Join(", ", missing)}");
    }

    [Fact]
    public void Every_attack_has_its_place_in_the_code_and_a_test()
    {
        var rows = Lines.Where(line => line.StartsWith("| ", StringComparison.Ordinal) && !line.StartsWith("| attack", StringComparison.Ordinal) && !line.StartsWith("| ---", StringComparison.Ordinal)).ToList();
        Assert.True(rows.Count > 30, $"only {rows.Count} attacks were found");

        Assert.All(rows, row =>
        {
            var cells = row.Split(" | ");
            Assert.Equal(4, cells.Length);
            Assert.Contains("](", cells[2]);
            Assert.Matches(Names(), cells[3]);
        });
        Assert.Contains("## What is not defended", Lines);
    }

    /// <summary>The tests of a class, in whichever of the test projects it is.</summary>
    static HashSet<string> TestsOf(string type) => [.. Directory.EnumerateFiles(Path.Combine(Repository.Root, "tests"), $"{type}.cs", SearchOption.AllDirectories)
        .SelectMany(file => Tests().Matches(File.ReadAllText(file))).Select(m => m.Groups[1].Value)];

    [GeneratedRegex(@"`(\w+Tests)\.(\w+)`")]
    private static partial Regex Names();

    // The attribute, whatever data stands between, and the method.
    [GeneratedRegex(@"\[(?:Fact|Theory)\b(?:(?!\n    }).)*?public (?:async )?(?:Task|void) (\w+)\(", RegexOptions.Singleline)]
    private static partial Regex Tests();
}
