using System.Globalization;
using System.Reflection;
using System.Text.Json;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;
using Tandem.Bench.Processes;
using Tandem.Bench.Results;

namespace Tandem.Bench.Load;

/// <summary>wrk: every connection asks again as soon as it has its answer. Good for throughput; its latency says what the load makes of the server, no more.</summary>
static class ClosedLoop
{
    const int Threads = 2;

    /// <summary>An answer that takes longer is an error.</summary>
    public const int TimeoutSeconds = 4;

    /// <summary>A figure of a cell: what the database's processes took.</summary>
    public const string DatabaseCpuSeconds = "database_cpu_seconds";

    /// <summary>What wrk calls the ways to have no answer, and the figure of a cell that says how often each was met.</summary>
    static readonly (string Of, string Figure)[] Failures =
        [("connect", "not_connected"), ("read", "broken_off"), ("write", "not_sent"), ("status", "status_4xx_or_5xx"), ("timeout", "too_late")];

    /// <summary>The errors of a cell by their kind: <c>1 too late</c>; empty where the kinds are not known.</summary>
    public static string Kinds(Cell cell) => string.Join(", ", Failures.Where(f => cell.Figures.ContainsKey(f.Figure))
        .Select(f => string.Create(CultureInfo.InvariantCulture, $"{cell.Figures[f.Figure]:0} {f.Figure.Replace('_', ' ')}")));

    /// <summary>Why wrk cannot be had; null when it can.</summary>
    public static string? Missing(Session session) =>
        session.HasFolder || PeerFolder.IsHere("wrk") ? null : "closed loop: wrk is missing; install it with your package manager";

    /// <summary>How long a measurement takes with all that is around it: to start wrk, to connect, to let the connections go.</summary>
    public static double Takes(double seconds, int connections) => seconds + 0.35 + connections / 20_000.0;

    /// <summary>Loads <paramref name="server"/> and measures it meanwhile.</summary>
    /// <param name="token">Sent as bearer token.</param>
    /// <param name="requests">The Lua that makes the requests; null: <paramref name="path"/> again and again.</param>
    /// <param name="database">The root of the process tree of a database that works for the server: its CPU time is counted apart.</param>
    public static async Task<Cell> MeasureAsync(Session session, Server server, Cell cell, string path, int connections, int seconds, CancellationToken ct, string? token = null,
        string? requests = null, int? database = null)
    {
        server.MustRun();
        var log = Path.Combine(session.Temporary, "wrk.log");
        string[] words =
        [
            "wrk", "-t", $"{Math.Min(Threads, connections)}", "-c", $"{connections}", "-d", $"{seconds}s", "--timeout", $"{TimeoutSeconds}s",
            .. token is null ? Array.Empty<string>() : ["-H", $"Authorization: Bearer {token}"],
            "-s", Script(session, requests), server.Address + path,
        ];
        await using var watch = new MemoryWatch(server.Id);
        double DatabaseCpu() => database is { } id ? ProcessTree.CpuSeconds(id) : 0;
        var (before, databaseBefore) = (ProcessTree.CpuSeconds(server.Id), DatabaseCpu());
        await using var wrk = Child.Start(session.HasFolder ? session.Folder.Line(words) : words, log, talks: true);
        var said = await wrk.HearAllAsync(ct);
        var (cpu, databaseCpu) = (ProcessTree.CpuSeconds(server.Id) - before, DatabaseCpu() - databaseBefore);
        var memory = await watch.StopAsync(server.RestBytes);
        server.MustRun();
        if (said.Split('\n').FirstOrDefault(l => l.StartsWith("RESULT ", StringComparison.Ordinal)) is not { } line)
            throw new BenchException($"wrk ended without a result: {said.Trim()} {wrk.LastWords()}");
        var result = JsonDocument.Parse(line["RESULT ".Length..]).RootElement;
        long Number(string name) => result.GetProperty(name).GetInt64();
        var failures = Failures.ToDictionary(f => f.Figure, f => (double)Number(f.Of), StringComparer.Ordinal).Where(f => f.Value > 0).ToList();
        var errors = (long)failures.Sum(f => f.Value);
        if (Number("requests") == 0)
            throw new BenchException(string.Create(CultureInfo.InvariantCulture, $"Not one answer over {connections} connections in {seconds} s ({errors} errors)."));
        return cell with
        {
            Requests = Number("requests"),
            Errors = errors,
            Seconds = Number("microseconds") / 1e6,
            CpuSeconds = cpu,
            Figures = new(new Dictionary<string, double>([.. cell.Figures, .. failures, .. database is null ? [] : (KeyValuePair<string, double>[])[new(DatabaseCpuSeconds, databaseCpu)]])),
            Memory = memory,
            Quantiles = [.. result.GetProperty("quantiles").EnumerateArray().Select(q => q.GetInt64())],
        };
    }

    /// <summary>wrk.lua, which says what was measured, behind what makes the requests; where wrk sees it.</summary>
    static string Script(Session session, string? requests)
    {
        const string Name = "wrk.lua";
        if (session.HasFolder && requests is null)
            return $"{PeerFolder.Work}/{Name}";
        using var source = new StreamReader(Assembly.GetExecutingAssembly().GetManifestResourceStream(Name)!);
        var file = session.HasFolder ? $"{PeerFolder.Work}/requests.lua" : Path.Combine(session.Temporary, Name);
        File.WriteAllText(session.HasFolder ? session.Folder.Outside(file) : file, requests + source.ReadToEnd());
        return file;
    }
}
