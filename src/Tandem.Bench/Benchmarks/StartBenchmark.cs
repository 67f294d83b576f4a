using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Tandem.Bench.Peers;
using Tandem.Bench.Processes;
using Tandem.Bench.Results;

namespace Tandem.Bench.Benchmarks;

/// <summary>
/// How long it takes from the start of the process to its first answer, and what it takes of memory while nobody asks. Each measurement is a fresh process;
/// Tandem finds a data directory that it has made before, as after any restart.
/// </summary>
static class StartBenchmark
{
    public const string Name = "start";

    /// <summary>A figure of a cell: how much of its time went by until the program itself was begun, because it runs in the Debian folder.</summary>
    public const string EnteringSeconds = "entering_seconds";

    static readonly TimeSpan Patience = TimeSpan.FromSeconds(30), Rest = TimeSpan.FromSeconds(1);

    static readonly string[] Roles = ["gateway", "users", "inference", "reports", "realtime", "items"];

    /// <summary>Everything in one process, then each role by itself, then the others.</summary>
    public static IReadOnlyList<Peer> Peers { get; } =
    [
        HttpPeers.Tandem with { Title = "Tandem, all in one" },
        .. Roles.Select(r => HttpPeers.Tandem with { Name = RolePrefix + r, Title = $"Tandem, {r} alone", Start = $"{HttpPeers.Tandem.Start} --roles {r}", IsSlow = r != "users" }),
        .. HttpPeers.All.Where(p => p != HttpPeers.Tandem),
    ];

    const string RolePrefix = "tandem-";

    /// <summary>Whether a cell is of a process with one role.</summary>
    public static bool IsRole(Cell cell) => cell.Benchmark == Name && cell.Peer.StartsWith(RolePrefix, StringComparison.Ordinal);

    public static List<Step> Plan(Session session)
    {
        var peers = session.Available(Name, Peers);
        var steps = new List<Step>();
        var entering = 0.0;
        if (peers.Exists(p => p.NeedsFolder))
            steps.Add(new Step("the way into the Debian folder", 0.3, async ct => entering = await EnterAsync(session, ct)));
        foreach (var peer in peers)
            steps.Add(new Step($"{peer.Title}: start it once, so that its data and files are there", Seconds(peer) + 0.5, async ct =>
                await session.WarmUpAsync(Case(peer, 0), (cell, c) => MeasureAsync(session, peer, cell, 0, c), ct)));
        foreach (var (round, peer) in HttpBenchmark.Interleaved(session.Of(5, 2), peers))
            steps.Add(new Step($"start {peer.Title}, round {round}", Seconds(peer), ct =>
                session.MeasureAsync(Case(peer, round), (cell, c) => MeasureAsync(session, peer, cell, peer.IsHere ? 0 : entering, c), ct)));
        return steps;

        static double Seconds(Peer peer) => Rest.TotalSeconds + (peer.IsHere || peer.IsBehind ? 0.8 : 0.2);
    }

    static Cell Case(Peer peer, int round) => new(Name, peer.Name, new(StringComparer.Ordinal) { ["data"] = "existing" }, round);

    static async Task<Cell> MeasureAsync(Session session, Peer peer, Cell cell, double entering, CancellationToken ct)
    {
        var port = Server.FreePort();
        var values = new Dictionary<string, string> { ["port"] = $"{port}", ["data"] = Path.Combine(session.Temporary, $"start-{peer.Name}") };
        var line = peer.Line(session.Folder, values).ToList();
        var began = Stopwatch.GetTimestamp();
        await using var child = Child.Start(line, Path.Combine(session.Temporary, $"start-{peer.Name}.log"));
        // On a thread of its own, which may sleep for a millisecond and no longer.
        var seconds = await Task.Factory.StartNew(() => FirstAnswer(child, peer, port, began), ct, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        var cpu = ProcessTree.CpuSeconds(child.Id);
        // What a start leaves to be done right after it is not rest yet.
        await Task.Delay(Rest, ct);
        var bytes = ProcessTree.Proportional(child.Id) + ProcessTree.SharedWithUs(child.Id);
        // In good order, so that the next start finds what a restart finds.
        await child.InterruptAsync(Patience);
        return cell with
        {
            Requests = 1,
            Seconds = seconds,
            CpuSeconds = cpu,
            Memory = new Memory(bytes, bytes, bytes),
            Figures = new() { [EnteringSeconds] = entering },
        };
    }

    /// <returns>Seconds since it was begun, until a 200 is read.</returns>
    static double FirstAnswer(Child child, Peer peer, int port, long began)
    {
        var request = Encoding.ASCII.GetBytes($"GET {peer.HealthPath} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        while (Stopwatch.GetElapsedTime(began) < Patience)
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = (int)Patience.TotalMilliseconds };
            try
            {
                socket.Connect(IPAddress.Loopback, port);
                socket.Send(request);
                var (buffer, length) = (new byte[1024], 0);
                while (length < 12 && socket.Receive(buffer.AsSpan(length)) is > 0 and var read)
                    length += read;
                if (Encoding.ASCII.GetString(buffer, 0, length).StartsWith("HTTP/1.1 200", StringComparison.Ordinal))
                    return Stopwatch.GetElapsedTime(began).TotalSeconds;
            }
            catch (SocketException)
            {
                // It does not listen yet, or closes what it does not serve yet.
            }

            if (child.HasExited)
                throw new BenchException($"It has ended: {child.LastWords()}");
            Thread.Sleep(1);
        }

        throw new BenchException($"{peer.Title} did not answer within {Patience.TotalSeconds:0} s: {child.LastWords()}");
    }

    /// <summary>What it takes to run a program that does nothing, where the peers run: the middle of five.</summary>
    static async Task<double> EnterAsync(Session session, CancellationToken ct)
    {
        var took = new List<double>();
        for (var i = 0; i < 5; i++)
        {
            var began = Stopwatch.GetTimestamp();
            await using var child = Child.Start(session.Folder.Line(["true"]), Path.Combine(session.Temporary, "enter.log"));
            await child.WaitAsync(ct);
            took.Add(Stopwatch.GetElapsedTime(began).TotalSeconds);
        }

        return Spread.Of(took).Median;
    }
}
