using System.CommandLine;
using System.Text.Json;
using Tandem.Core.Configuration;
using Tandem.Core.Http;

namespace Tandem.Guide;

/// <summary><c>tandem guide</c>: the decision matrix, and a recommendation for a case, with what speaks against it.</summary>
static class GuideCommand
{
    public static Command Make()
    {
        var scenarios = new Option<string[]>("--case")
        {
            Description = $"What you build; several count together: {string.Join(", ", Matrix.Scenarios.Select(s => s.Name))}",
            AllowMultipleArgumentsPerToken = true,
        };
        var team = new Option<string?>("--team") { Description = $"What the team knows best: {string.Join(", ", Adviser.Teams)}" };
        var memory = new Option<int?>("--memory") { Description = "What one server may take, in MB" };
        var needs = new Option<string[]>("--needs")
        {
            Description = $"What it needs beside your own endpoints: {string.Join(", ", Adviser.Parts.Keys)}",
            AllowMultipleArgumentsPerToken = true,
        };
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("guide", "Which language for what: the matrix, or with --case (on a terminal: after a few questions) a recommendation") { scenarios, team, memory, needs, json };
        command.SetAction(async (parsed, ct) =>
        {
            await Task.Yield();
            var (output, names) = (parsed.InvocationConfiguration.Output, parsed.GetValue(scenarios) ?? []);
            Case? asked = null;
            if (names.Length > 0)
                asked = new([.. names.Select(FindScenario)], Check("--team", parsed.GetValue(team), Adviser.Teams), parsed.GetValue(memory),
                    [.. (parsed.GetValue(needs) ?? []).Select(n => Check("--needs", n, Adviser.Parts.Keys)!).Distinct()]);
            else if (parsed.GetValue(team) is not null || parsed.GetValue(memory) is not null || parsed.GetValue(needs) is { Length: > 0 })
                throw new ConfigurationException($"A recommendation needs --case: {string.Join(", ", Matrix.Scenarios.Select(s => s.Name))}.");
            else if (!Console.IsInputRedirected && !Console.IsOutputRedirected && !parsed.GetValue(json))
                asked = await AskAsync(Console.In, output, ct);

            if (asked?.MemoryMegabytes is < 1)
                throw new ConfigurationException("--memory must be at least 1 (MB).");
            if (parsed.GetValue(json))
                await output.WriteLineAsync(JsonSerializer.Serialize(asked is null ? Matrix.Scenarios : (object)Adviser.Of(asked), Json.Options));
            else
                await output.WriteAsync(asked is null ? Table() : Text(Adviser.Of(asked)));
            return 0;
        });
        return command;
    }

    /// <summary>The matrix as text.</summary>
    internal static string Table()
    {
        var width = Matrix.Scenarios.Max(s => s.Title.Length);
        return $"""
            3 excellent, 2 good, 1 adequate. Python's and Go's marks are the published comparison's.

            {"".PadRight(width)}  Python  Go  Tandem
            {string.Join('\n', Matrix.Scenarios.Select(s => $"{s.Title.PadRight(width)}  {s.Python,6}  {s.Go,2}  {s.Tandem,6}  {s.Why}"))}

            For your case: tandem guide --case NAME ... [--team NAME] [--memory MB] [--needs NAME ...]; names: tandem guide --help

            """;
    }

    /// <summary>A recommendation as text.</summary>
    internal static string Text(Advice advice)
    {
        var points = string.Join(", ", advice.Points.OrderByDescending(p => p.Value).Select(p => $"{p.Key} {p.Value}"));
        return $"""
            {string.Join(" or ", advice.Best)}   ({points})

            for
            {Lines(advice.For)}
            against
            {Lines(advice.Against)}
            """;

        static string Lines(IReadOnlyList<string> lines) => string.Concat(lines.DefaultIfEmpty("nothing in the matrix").Select(l => $"  - {l}\n"));
    }

    /// <summary>Four questions; each is repeated until its answer is one.</summary>
    internal static async Task<Case> AskAsync(TextReader input, TextWriter output, CancellationToken ct)
    {
        foreach (var (number, scenario) in Matrix.Scenarios.Index())
            await output.WriteLineAsync($"{number + 1,3}  {scenario.Title}");
        var cases = await UntilAsync("What do you build? Numbers, with blanks between them: ", text =>
        {
            var numbers = text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(w => int.TryParse(w, out var n) && n >= 1 && n <= Matrix.Scenarios.Count ? n : 0).ToList();
            return numbers.Count == 0 || numbers.Contains(0) ? null : numbers.Select(n => Matrix.Scenarios[n - 1]).ToList();
        }, $"Numbers from 1 to {Matrix.Scenarios.Count}.");
        var team = await UntilAsync($"What does the team know best? {string.Join(", ", Adviser.Teams)}, or nothing: ", text => text == "" || Adviser.Teams.Contains(text) ? text : null,
            "One of these, or an empty line.");
        var memory = await UntilAsync("How many MB may one server take? A number, or nothing: ", text => text == "" ? 0 : int.TryParse(text, out var n) && n > 0 ? n : (int?)null,
            "A number above zero, or an empty line.");
        var parts = await UntilAsync($"What does it need beside your own endpoints? {string.Join(", ", Adviser.Parts.Keys)}; names with blanks between them, or nothing: ", text =>
        {
            var words = text.Split([' ', ','], StringSplitOptions.RemoveEmptyEntries).Distinct().ToList();
            return words.All(Adviser.Parts.ContainsKey) ? words : null;
        }, "Some of these, or an empty line.");
        await output.WriteLineAsync();
        return new Case(cases, team == "" ? null : team, memory == 0 ? null : memory, parts);

        async Task<T> UntilAsync<T>(string question, Func<string, T?> read, string allowed)
        {
            while (true)
            {
                await output.WriteAsync(question);
                var line = await input.ReadLineAsync(ct) ?? throw new ConfigurationException("The questions were not answered to the end.");
                if (read(line.Trim().ToLowerInvariant()) is { } answer)
                    return answer;
                await output.WriteLineAsync(allowed);
            }
        }
    }

    static Scenario FindScenario(string name) =>
        Matrix.Scenarios.FirstOrDefault(s => s.Name == name) ?? throw new ConfigurationException($"--case {name}: choose among {string.Join(", ", Matrix.Scenarios.Select(s => s.Name))}.");

    static string? Check(string option, string? value, IEnumerable<string> allowed) =>
        value is null || allowed.Contains(value) ? value : throw new ConfigurationException($"{option} {value}: choose among {string.Join(", ", allowed)}.");
}
