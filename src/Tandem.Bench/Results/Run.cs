using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tandem.Bench.Results;

/// <summary>What was run, on what, and how: everything but the measurements.</summary>
sealed record Run
{
    public required DateTimeOffset Began { get; init; }
    public DateTimeOffset? Ended { get; init; }

    /// <summary>As it was called.</summary>
    public required string Command { get; init; }

    public required Machine Machine { get; init; }
    public required Dictionary<string, double> Settings { get; init; }

    /// <summary>A setting: 1 where memory has all of the files that the bench has mapped as well (<see cref="Processes.ProcessTree.SharedWithUs"/>).</summary>
    public const string FilesInFull = "files_in_full";

    public List<PeerRecord> Peers { get; init; } = [];

    /// <summary>What could not be had, and why.</summary>
    public List<string> Missing { get; init; } = [];

    /// <summary>The load average of the last minute before anything was started.</summary>
    public double LoadBefore { get; init; }

    /// <summary>True until everything asked for was measured.</summary>
    public bool IsBrokenOff { get; init; } = true;
}

/// <summary>How one peer was run.</summary>
/// <param name="Benchmark">In which benchmark.</param>
/// <param name="Name">Short, as in the cells.</param>
/// <param name="Title">For people.</param>
/// <param name="Start">The start line.</param>
/// <param name="Version">The versions of what it is made of.</param>
/// <param name="Config">Its configuration file; null: it has none.</param>
sealed record PeerRecord(string Benchmark, string Name, string Title, string Start, string Version, string? Config = null);

/// <summary>The machine that was measured on.</summary>
sealed record Machine(string Cpu, int Cores, string Kernel, string Distribution, long MemoryBytes, string Runtime)
{
    public static Machine Read() => new(
        Field("/proc/cpuinfo", "model name") ?? "unknown", Environment.ProcessorCount, File.ReadAllText("/proc/sys/kernel/osrelease").Trim(),
        (File.Exists("/etc/os-release") ? Field("/etc/os-release", "PRETTY_NAME", '=') : null)?.Trim('"') ?? "Linux",
        long.Parse(Field("/proc/meminfo", "MemTotal")!.Split(' ')[0]) * 1024, $".NET {Environment.Version}");

    /// <summary>The load average of the last minute.</summary>
    public static double Load() => double.Parse(File.ReadAllText("/proc/loadavg").Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);

    static string? Field(string file, string name, char separator = ':') => File.ReadLines(file)
        .Select(l => l.Split(separator, 2)).FirstOrDefault(l => l.Length == 2 && l[0].Trim() == name)?[1].Trim();
}

/// <summary>A run on disk: <c>run.json</c>, and <c>cells.jsonl</c> with a line for each measurement, written as it is made.</summary>
sealed class RunDirectory(string path)
{
    static readonly JsonSerializerOptions Json = new(JsonSerializerOptions.Default)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    static readonly JsonSerializerOptions Indented = new(Json) { WriteIndented = true };

    public string Path => path;

    string RunFile => System.IO.Path.Combine(path, "run.json");
    string CellFile => System.IO.Path.Combine(path, "cells.jsonl");

    public bool HasRun => File.Exists(RunFile);

    public void Write(Run run)
    {
        Directory.CreateDirectory(path);
        File.WriteAllText(RunFile, JsonSerializer.Serialize(run, Indented) + "\n");
    }

    public void Add(Cell cell) => File.AppendAllText(CellFile, JsonSerializer.Serialize(cell, Json) + "\n");

    /// <exception cref="BenchException">There is no run there.</exception>
    public (Run Run, List<Cell> Cells) Read()
    {
        if (!HasRun)
            throw new BenchException($"There is no run in {path}: run.json is missing. Make one with: tandem bench run --out {path}");
        try
        {
            var run = JsonSerializer.Deserialize<Run>(File.ReadAllText(RunFile), Json)!;
            return (run, File.Exists(CellFile) ? [.. File.ReadLines(CellFile).Select(l => JsonSerializer.Deserialize<Cell>(l, Json)!)] : []);
        }
        catch (JsonException e)
        {
            throw new BenchException($"The run in {path} cannot be read: {e.Message}");
        }
    }
}
