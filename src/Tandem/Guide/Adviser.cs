namespace Tandem.Guide;

/// <summary>What somebody is about to build.</summary>
/// <param name="Cases">Scenarios of the matrix; at least one.</param>
/// <param name="Team">What the team knows best; null when it does not matter.</param>
/// <param name="MemoryMegabytes">What one server may take; null when there is enough.</param>
/// <param name="Parts">What it needs beside endpoints of its own; names of <see cref="Adviser.Parts"/>.</param>
sealed record Case(IReadOnlyList<Scenario> Cases, string? Team, int? MemoryMegabytes, IReadOnlyList<string> Parts);

/// <summary>A recommendation.</summary>
/// <param name="Best">One language, or several that are as good.</param>
/// <param name="Points">The sum of the marks, by language.</param>
/// <param name="For">What speaks for it.</param>
/// <param name="Against">What speaks against it.</param>
sealed record Advice(IReadOnlyList<Language> Best, IReadOnlyDictionary<Language, int> Points, IReadOnlyList<string> For, IReadOnlyList<string> Against);

/// <summary>Adds up the marks of the scenarios that apply, and says what they come from.</summary>
static class Adviser
{
    public static readonly IReadOnlyList<string> Teams = ["python", "go", "csharp"];

    /// <summary>What Tandem has in it and others add: a library, a service or a second language.</summary>
    public static readonly IReadOnlyDictionary<string, string> Parts = new SortedDictionary<string, string>(StringComparer.Ordinal)
    {
        ["events"] = "docs/guide/guarantees.md",
        ["gateway"] = "docs/guide/gateway.md",
        ["jobs"] = "docs/guide/modules.md",
        ["ml"] = "docs/guide/ml.md",
        ["realtime"] = "docs/guide/realtime.md",
        ["reports"] = "docs/guide/reports.md",
        ["users"] = "docs/guide/users.md",
    };

    // Measured at rest with everything in it, and room for requests.
    const int TandemMegabytes = 128;
    const int PythonMegabytes = 64;

    public static Advice Of(Case @case)
    {
        var rows = @case.Cases.ToList();
        if (@case.Team is { } team)
            rows.Add(team == "python" ? Matrix.KnowsPython : new Scenario(team, $"a team that knows {(team == "go" ? "Go" : "C#")}", 1, team == "go" ? 3 : 1, team == "go" ? 1 : 3,
                team == "go" ? "the team would learn C#; what it writes is short" : "it is C#", "docs/guide/modules.md"));
        if (@case.MemoryMegabytes is < TandemMegabytes && !rows.Contains(Matrix.LittleMemory))
            rows.Add(Matrix.LittleMemory);
        rows = [.. rows.Distinct()];

        // A part that is there is worth a mark; what does not fit into the memory is no choice.
        var fits = Enum.GetValues<Language>().Where(l => @case.MemoryMegabytes is not { } megabytes || megabytes >= Needs(l)).ToList();
        var points = Enum.GetValues<Language>().ToDictionary(l => l, l => rows.Sum(r => r.Of(l)) + (l == Language.Tandem ? @case.Parts.Count : 0));
        var most = fits.Max(l => points[l]);
        List<Language> best = [.. fits.Where(l => points[l] == most)];
        return new Advice(best, points, [.. best.SelectMany(l => For(l, rows, @case))], [.. best.SelectMany(l => Against(l, rows, @case))]);
    }

    static int Needs(Language language) => language switch { Language.Tandem => TandemMegabytes, Language.Python => PythonMegabytes, _ => 0 };

    static IEnumerable<string> For(Language language, List<Scenario> rows, Case @case)
    {
        foreach (var row in rows.Where(r => r.Of(language) == 3))
            yield return language == Language.Tandem ? $"{row.Title}: {row.Why} ({row.Link})" : $"{row.Title}: {language} is excellent";
        if (language == Language.Tandem)
            foreach (var part in @case.Parts)
                yield return $"{part} are in the program; elsewhere they are a library, a service or a second language ({Parts[part]})";
    }

    static IEnumerable<string> Against(Language language, List<Scenario> rows, Case @case)
    {
        foreach (var row in rows.Where(r => r.Of(language) < 3))
            yield return $"{row.Title}: {(row.Of(language) == 2 ? "good" : "adequate")} only{(language == Language.Tandem ? $"; {row.Why} ({row.Link})" : "")}";
        if (language == Language.Tandem)
            yield return "it is young: version 0.1, used by few, with few who can be hired for it";
        else if (@case.Parts.Count > 0)
            yield return $"{string.Join(", ", @case.Parts)} must be chosen, put together and run beside it";
        if (language == Language.Python)
            yield return "small requests take several times the processor time of the others (docs/guide/bench.md)";
    }
}
