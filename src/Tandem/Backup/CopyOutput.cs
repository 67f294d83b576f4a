using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Tandem.Core.Backup;
using Tandem.Core.Http;

namespace Tandem.Backup;

/// <summary>How far a copy is: one line that is written over on a terminal, a line per table otherwise. On standard error, so that output can be piped on.</summary>
sealed class CopyOutput(ParseResult parsed, bool json)
{
    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    readonly bool _isTerminal = !Console.IsErrorRedirected;
    readonly TextWriter _error = parsed.InvocationConfiguration.Error;
    readonly long _started = Stopwatch.GetTimestamp();
    long _shown;
    int _width;

    public static Option<bool> Json { get; } = new("--json") { Description = "Print JSON" };

    public double Seconds => Math.Round(Stopwatch.GetElapsedTime(_started).TotalSeconds, 3);

    public void Show(CopyProgress progress)
    {
        var text = $"{progress.What}: {Number(progress.Done)}";
        if (!_isTerminal)
        {
            if (progress.IsEnd && !json)
                _error.WriteLine(text);
        }
        else if (_shown == 0 || Stopwatch.GetElapsedTime(_shown) > Pause)
        {
            _error.Write("\r" + text.PadRight(_width));
            (_shown, _width) = (Stopwatch.GetTimestamp(), text.Length);
        }
    }

    /// <summary>Something to know before it is done.</summary>
    public void Say(string line)
    {
        if (!json)
            _error.WriteLine(line);
    }

    /// <summary>Takes the progress away and says what has come of it.</summary>
    /// <param name="lines">For a person.</param>
    /// <param name="result">For a program.</param>
    public int Done(string lines, object result)
    {
        if (_width > 0)
            _error.Write("\r" + new string(' ', _width) + "\r");
        parsed.InvocationConfiguration.Output.WriteLine(json
            ? JsonSerializer.Serialize(result, new JsonSerializerOptions(Core.Http.Json.Options) { WriteIndented = true })
            : lines);
        return 0;
    }

    public int Refuse(string message, int code = 1)
    {
        if (_width > 0)
            _error.WriteLine();
        _error.WriteLine($"tandem: {message}");
        return code;
    }

    public static string Number(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    public static string Count(long number, string what) => $"{Number(number)} {what}{(number == 1 ? "" : "s")}";

    public static string Size(long bytes) => bytes < 1 << 20
        ? string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024.0:0.#} KiB")
        : string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:0.0} MiB");

    /// <summary>12 rows in 3 tables, 1 file.</summary>
    public static string Contents(Manifest manifest) => Contents(manifest.Rows, manifest.Tables.Count, manifest.Files.Count);

    public static string Contents(Moved moved) => Contents(moved.Rows, moved.Tables.Count, moved.Files);

    static string Contents(long rows, int tables, int files) => $"{Count(rows, "row")} in {Count(tables, "table")}, {Count(files, "file")}";
}
