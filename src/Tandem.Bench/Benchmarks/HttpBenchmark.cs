using System.Globalization;
using Tandem.Bench.Load;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Bench.Benchmarks;

/// <summary>Who answers a small JSON best. The servers stay up over all rounds, each warmed up once; only one is asked at a time.</summary>
static class HttpBenchmark
{
    public const string Name = "http";
    public const string Path = "/health";

    /// <summary>Of the published table.</summary>
    public const int ManyConnections = 10_000;

    /// <summary>What every peer but the slow ones can serve with cores to spare: latency there is the server's, not the queue's.</summary>
    public const int Rate = 20_000;

    public static async Task<List<Step>> PlanAsync(Session session, CancellationToken ct)
    {
        var peers = await session.AvailableAsync(Name, HttpPeers.All, ct);
        var servers = new Dictionary<string, Server>();
        var steps = new List<Step>();
        var hasWrk = ClosedLoop.Missing(session) is null;
        if (ClosedLoop.Missing(session) is { } missing)
            session.Miss(missing);

        foreach (var peer in peers)
            steps.Add(new Step($"start and warm up {peer.Title}", 2 + WarmUp(session), async c =>
            {
                if (await TryStartAsync(session, peer, c) is { } server)
                    servers[peer.Name] = server;
            }));

        int[] connections = session.Of<int[]>([64, 1_000, ManyConnections], [64, ManyConnections]);
        var (open, openWarmUp) = (session.Of(10.0, 1.5), session.Of(2.0, 0.5));
        // Case by case, not round by round: what 10,000 connections leave behind in a server's memory must not count for 64.
        var rounds = session.Of(5, 3);
        foreach (var (n, closed) in hasWrk ? connections.Select(n => (n, session.Of(8, n == ManyConnections ? 2 : 1))) : [])
            foreach (var (round, peer) in Interleaved(rounds, peers))
                steps.Add(new Step($"{peer.Title}, {n:N0} connections, round {round}", closed + 0.5 + n / 15_000.0, c => OnAsync(servers, peer, server =>
                    session.MeasureAsync(Case(peer, round, n, "closed"), (cell, t) => ClosedLoop.MeasureAsync(session, server, cell, Path, n, closed, t), c))));
        foreach (var (round, peer) in Interleaved(rounds, peers))
            steps.Add(new Step($"{peer.Title}, {Rate:N0} req/s over {ManyConnections:N0} connections, round {round}", open + openWarmUp + 1.7, c => OnAsync(servers, peer, server =>
                session.MeasureAsync(Case(peer, round, ManyConnections, "open", Rate),
                    (cell, t) => OpenLoopProcess.MeasureAsync(session, server, cell, Path, ManyConnections, Rate, openWarmUp, open, t), c))));

        steps.Add(new Step("stop the servers", 0.5, async _ =>
        {
            foreach (var server in servers.Values)
                await server.DisposeAsync();
        }));
        return steps;
    }

    /// <summary>A B C, A B C: what slows the machine for a while slows all of them.</summary>
    public static IEnumerable<(int Round, Peer Peer)> Interleaved(int rounds, IReadOnlyList<Peer> peers) =>
        Enumerable.Range(1, rounds).SelectMany(round => peers.Select(peer => (round, peer)));

    /// <summary>Started, and asked until its code is compiled and its pools are filled; null with a note when it cannot be.</summary>
    public static async Task<Server?> TryStartAsync(
        Session session, Peer peer, CancellationToken ct, string? cores = null, string? data = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        try
        {
            var server = await Server.StartAsync(session, peer, ct, cores, data, environment);
            if (ClosedLoop.Missing(session) is null)
                await ClosedLoop.MeasureAsync(session, server, Case(peer, 0, 64, "closed"), Path, 64, WarmUp(session), ct);
            return server;
        }
        catch (BenchException e)
        {
            session.Miss($"{peer.Title}: {e.Message}");
            return null;
        }
    }

    /// <summary>Seconds: code that a runtime compiles anew while it runs is settled by then; in a quick run only most of it.</summary>
    public static int WarmUp(Session session) => session.Of(10, 3);

    public static Cell Case(Peer peer, int round, int connections, string loop, int? rate = null)
    {
        var parameters = new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["connections"] = connections.ToString(CultureInfo.InvariantCulture),
            ["loop"] = loop,
        };
        if (rate is { } r)
            parameters["rate"] = r.ToString(CultureInfo.InvariantCulture);
        return new Cell(Name, peer.Name, parameters, round);
    }

    /// <summary>With the peer's server where it is there.</summary>
    public static Task OnAsync(Dictionary<string, Server> servers, Peer peer, Func<Server, Task> measure) =>
        servers.TryGetValue(peer.Name, out var server) ? measure(server) : Task.CompletedTask;
}
