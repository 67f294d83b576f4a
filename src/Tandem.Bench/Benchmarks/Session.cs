using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Bench.Benchmarks;

/// <summary>One thing to do of a run; planned ahead, so that the time left can be told.</summary>
/// <param name="What">For the person who waits.</param>
/// <param name="Seconds">About how long.</param>
sealed record Step(string What, double Seconds, Func<CancellationToken, Task> Do);

/// <summary>What a run works with, and what it has found out.</summary>
sealed class Session(RunDirectory directory, PeerFolder folder, AheadOfTime ahead, bool quick, IReadOnlyList<string> only, string? noFolder) : IAsyncDisposable
{
    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    readonly Stack<IAsyncDisposable> _running = new();
    readonly List<(string Benchmark, Peer Peer)> _peers = [];
    readonly List<string> _missing = noFolder is null ? [] : [$"peers: {noFolder}"];
    readonly Dictionary<(string, string), int> _failed = [];

    // Once may be the machine's doing; twice is the peer's, and every try costs as much as a measurement.
    const int Tries = 2;

    public bool IsQuick => quick;

    public PeerFolder Folder => folder;

    public AheadOfTime Ahead => ahead;

    /// <summary>False: only what runs on this machine itself can be measured.</summary>
    public bool HasFolder => noFolder is null;

    public IReadOnlyList<string> Missing => _missing;

    /// <summary>For logs, data directories and scripts; deleted in the end.</summary>
    public string Temporary { get; } = Directory.CreateTempSubdirectory("tandem-bench-").FullName;

    /// <summary>The fuller value, or the quicker.</summary>
    public T Of<T>(T full, T quickly) => quick ? quickly : full;

    /// <summary>Ends with the run, however it ends.</summary>
    public T Own<T>(T process) where T : IAsyncDisposable
    {
        _running.Push(process);
        return process;
    }

    /// <summary>Those of <paramref name="all"/> that were asked for and can be run; what cannot is noted with the reason.</summary>
    public List<Peer> Available(string benchmark, IEnumerable<Peer> all)
    {
        var available = new List<Peer>();
        foreach (var peer in all.Where(IsAskedFor))
        {
            if (peer.NeedsFolder && !HasFolder)
                continue;
            if (peer.IsAheadOfTime && ahead.Program is null)
            {
                Miss(ahead.Missing);
                continue;
            }

            if (folder.Broken(peer) is { } reason)
            {
                Miss($"{peer.Title}: {reason}");
                continue;
            }

            available.Add(peer);
            Record(benchmark, peer);
        }

        return available;
    }

    /// <summary>A quick run has no time for the slow ones, unless they are asked for by name.</summary>
    bool IsAskedFor(Peer peer) => only.Count > 0 ? only.Contains(peer.Name) : !(quick && peer.IsSlow);

    /// <summary>Keeps that it takes part.</summary>
    public void Record(string benchmark, Peer peer)
    {
        if (!_peers.Exists(p => p.Benchmark == benchmark && p.Peer.Name == peer.Name))
            _peers.Add((benchmark, peer));
    }

    /// <summary>How everybody who takes part is started, and the versions.</summary>
    public async Task<List<PeerRecord>> RecordsAsync(CancellationToken ct)
    {
        var records = new List<PeerRecord>();
        foreach (var (benchmark, peer) in _peers)
            records.Add(new PeerRecord(benchmark, peer.Name, peer.Title, peer.StartLine,
                peer.IsHere ? $"{typeof(Session).Assembly.GetName().Version?.ToString(3)}, .NET {Environment.Version}" : await folder.VersionsAsync(peer.Packages, ct),
                peer.Config.Length > 0 ? PeerFolder.Source(peer.Config) : null));
        return records;
    }

    public void Miss(string what)
    {
        if (!_missing.Contains(what))
            _missing.Add(what);
    }

    /// <summary>Measures one cell and keeps it. A failure is kept as well, and what has failed twice is not tried again in this run.</summary>
    public Task MeasureAsync(Cell cell, Func<Cell, CancellationToken, Task<Cell>> measure, CancellationToken ct) => MeasureAsync(cell, measure, isKept: true, ct);

    /// <summary>The same for a measurement that nobody wants but its failure.</summary>
    public Task WarmUpAsync(Cell cell, Func<Cell, CancellationToken, Task<Cell>> measure, CancellationToken ct) => MeasureAsync(cell, measure, isKept: false, ct);

    async Task MeasureAsync(Cell cell, Func<Cell, CancellationToken, Task<Cell>> measure, bool isKept, CancellationToken ct)
    {
        var what = (cell.Peer, cell.Benchmark + cell.Case());
        if (_failed.GetValueOrDefault(what) >= Tries)
            return;
        try
        {
            // Whichever server was asked before still closes its connections: that is not the next one's time.
            if (cell.Benchmark is HttpBenchmark.Name or ProxyBenchmark.Name or CurveBenchmark.Name or BackendBenchmark.Name)
                await Task.Delay(Pause, ct);
            cell = await measure(cell, ct);
        }
        catch (BenchException e)
        {
            // What is wrong before it is measured, such as another answer, will not be right later.
            _failed[what] = isKept ? _failed.GetValueOrDefault(what) + 1 : Tries;
            Miss($"{cell.Benchmark}, {cell.Peer}, {cell.Case()}: {e.Message}");
            cell = cell with { Failed = e.Message };
        }

        if (isKept || cell.Failed is not null)
            directory.Add(cell with { At = DateTimeOffset.UtcNow });
    }

    public async ValueTask DisposeAsync()
    {
        while (_running.TryPop(out var process))
            await process.DisposeAsync();
        if (Directory.Exists(Temporary))
            Directory.Delete(Temporary, recursive: true);
    }
}
