using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;

namespace Tandem.Tests.Repo;

/// <summary>The fenced blocks of a page, and whether they do what the page says.</summary>
static partial class Snippets
{
    // Between what one block prints and the next.
    const string Rule = "----8<----";

    public static List<(string Language, string Text)> Blocks(string markdown) => [.. Fences().Matches(markdown).Select(m => (m.Groups[1].Value, m.Groups[2].Value))];

    /// <summary>
    /// Runs every <c>bash</c> block in one shell, in order, and holds what each prints against the <c>text</c> block that follows it. White
    /// space is for reading; times, durations and sizes differ from run to run, and … stands for anything.
    /// </summary>
    /// <param name="markdown">The page, with addresses and paths put in place.</param>
    /// <param name="directory">Where the reader is.</param>
    /// <param name="environment">Set for the shell.</param>
    /// <param name="seconds">After this it has failed.</param>
    /// <returns>How many blocks were run.</returns>
    public static async Task<int> RunAsync(string markdown, string directory, IReadOnlyDictionary<string, string> environment, int seconds)
    {
        var blocks = Blocks(markdown);
        // Whatever the page leaves running ends with its shell.
        var script = new StringBuilder("set -euo pipefail\ntrap 'jobs -p | xargs -r kill -9' EXIT\n");
        var expected = new List<string?>();
        foreach (var (i, (language, text)) in blocks.Index())
            if (language == "bash")
            {
                script.Append(text).Append("echo; echo '").Append(Rule).Append("'\n");
                expected.Add(i + 1 < blocks.Count && blocks[i + 1].Language == "text" ? blocks[i + 1].Text : null);
            }

        // As an argument, not on standard input: a command of the script would read the rest of it.
        var start = new ProcessStartInfo("bash", ["-c", script.ToString()]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = directory };
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(seconds));
        using var bash = Process.Start(start)!;
        bash.StandardInput.Close();
        var (output, error) = (new StringBuilder(), new StringBuilder());
        var reading = Task.WhenAll(CopyAsync(bash.StandardOutput, output), CopyAsync(bash.StandardError, error));
        try
        {
            await bash.WaitForExitAsync(limit.Token);
            await reading.WaitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            bash.Kill(entireProcessTree: true);
            Assert.Fail($"It did not end within {seconds} s:\n{output}\n{error}");
        }

        Assert.True(bash.ExitCode == 0, $"{output}\n{error}");
        var said = output.ToString().Split(Rule);
        foreach (var (i, text) in expected.Index())
            if (text is not null)
                Assert.True(Means(text).IsMatch(Spaces().Replace(said[i], "")), $"The page says\n{text}\nand it was\n{said[i].Trim()}\n{error}");
        return expected.Count;
    }

    static async Task CopyAsync(StreamReader from, StringBuilder to)
    {
        while (await from.ReadLineAsync() is { } line)
            lock (to)
                to.AppendLine(line);
    }

    static Regex Means(string expected)
    {
        var (text, pattern, at) = (Spaces().Replace(expected, ""), new StringBuilder("^"), 0);
        foreach (Match match in Varying().Matches(text))
        {
            pattern.Append(Regex.Escape(text[at..match.Index])).Append(match.Value == "…" ? ".*" : "[0-9.:TZ-]+");
            at = match.Index + match.Length;
        }

        return new Regex(pattern.Append(Regex.Escape(text[at..])).Append('$').ToString(), RegexOptions.Singleline);
    }

    [GeneratedRegex(@"^```(\w+)\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Fences();

    [GeneratedRegex(@"…|[0-9]{8}-[0-9]{6}|[0-9]{4}-[0-9]{2}-[0-9]{2}(T?[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?Z?)?|(?<=""milliseconds"":)[0-9.]+|[0-9]+\.[0-9]+(?=s|ms|KiB|MiB|GiB)")]
    private static partial Regex Varying();

    [GeneratedRegex(@"\s+")]
    public static partial Regex Spaces();
}
