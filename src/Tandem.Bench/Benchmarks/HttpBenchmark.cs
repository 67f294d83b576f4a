using System.Globalization;
using Tandem.Bench.Load;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;
using Tandem.Bench.Work;

namespace Tandem.Bench.Benchmarks;

/// <summary>Who answers a small JSON best. The servers stay up over all rounds, each warmed up once; only one is asked at a time.</summary>
static class HttpBenchmark
{
    public const string Name = "http";
    public const string Path = "/health";

    /// <summary>A parameter of a cell whose request is read from a cache.</summary>
    public const string Read = "read";

    /// <summary>Of the published table.</summary>
    public const int ManyConnections = 10_000;

    /// <summary>What every peer but the slow ones can serve with cores to spare: latency there is the server's, not the queue's.</summary>
    public const int Rate = 20_000;

    public static List<Step> Plan(Session session)
    {
        var peers = session.Available(Name, HttpPeers.All);
        var (servers, cached) = (new Dictionary<string, Server>(), new Dictionary<string, Server>());
        var steps = new List<Step>();
        var hasWrk = ClosedLoop.Missing(session) is null;
        if (ClosedLoop.Missing(session) is { } missing)
            session.Miss(missing);
        else if (peers.Contains(HttpPeers.Tandem))
            session.Record(Name, HttpPeers.TandemCached);

        foreach (var peer in peers)
            steps.Add(new Step($"start and warm up {peer.Title}", 1.3 + ClosedLoop.Takes(WarmUp(session), 64), async c =>
            {
                if (await TryStartAsync(session, peer, c) is { } server)
                    servers[peer.Name] = server;
            }));

        var rounds = session.Of(3, 2);
        // Case by case, not round by round: what 10,000 connections leave behind in a server's memory must not count for 64.
        int[] few = session.Of<int[]>([64, 1_000], [64]);
        if (hasWrk)
        {
            Closed(few, session.Of(4, 1), Path, servers);
            foreach (var peer in peers)
                steps.Add(new Step($"{peer.Title}, cached read: compare the answers, warm up", ClosedLoop.Takes(CachedWarmUp(session, peer), 64) + (peer == HttpPeers.Tandem ? 1.3 : 0),
                    c => StartCachedAsync(session, servers, cached, peer, c)));
            Closed(few, session.Of(4, 1), CachedReads.Path, cached);
            Closed([ManyConnections], session.Of(5, 2), Path, servers);
        }

        var (open, warmUp) = (session.Of(5.0, 1.5), session.Of(1.0, 0.5));
        foreach (var (round, peer) in Interleaved(rounds, peers))
            // Who cannot keep up is waited for in the end.
            steps.Add(new Step($"{peer.Title}, {Rate:N0} req/s over {ManyConnections:N0} connections, round {round}", open + warmUp + (peer.IsBehind ? 4 : 1.7), c => OnAsync(servers, peer, server =>
                session.MeasureAsync(Case(peer, round, ManyConnections, "open", Rate),
                    (cell, t) => OpenLoopProcess.MeasureAsync(session, server, cell, Path, ManyConnections, Rate, warmUp, open, t), c))));

        steps.Add(new Step("stop the servers", 0.5, async _ =>
        {
            foreach (var server in servers.Values.Union(cached.Values))
                await server.DisposeAsync();
        }));
        return steps;

        void Closed(int[] connections, int seconds, string path, Dictionary<string, Server> on)
        {
            foreach (var n in connections)
                foreach (var (round, peer) in Interleaved(rounds, peers))
                    steps.Add(new Step($"{peer.Title}, {path}, {n:N0} connections, round {round}", ClosedLoop.Takes(seconds, n), c => OnAsync(on, peer, server =>
                        session.MeasureAsync(path == Path ? Case(peer, round, n, "closed") : Cached(Case(peer, round, n, "closed")),
                            (cell, t) => ClosedLoop.MeasureAsync(session, server, cell, path, n, seconds, t), c))));
        }
    }

    /// <summary>Tandem as it is shipped has nothing that all others have as well: it is asked in a process that has one endpoint more.</summary>
    static async Task StartCachedAsync(Session session, Dictionary<string, Server> servers, Dictionary<string, Server> cached, Peer peer, CancellationToken ct)
    {
        try
        {
            var server = peer == HttpPeers.Tandem ? await Server.StartAsync(session, HttpPeers.TandemCached, ct) : servers.GetValueOrDefault(peer.Name);
            if (server is null)
                return;
            await server.MustAnswerAsync(CachedReads.Path, CachedReads.Answer, ct);
            await ClosedLoop.MeasureAsync(session, server, Case(peer, 0, 64, "closed"), CachedReads.Path, 64, CachedWarmUp(session, peer), ct);
            cached[peer.Name] = server;
        }
        catch (BenchException e)
        {
            session.Miss($"{peer.Title}, cached read: {e.Message}");
        }
    }

    /// <summary>The others have been asked by then, Tandem's process for it is new.</summary>
    static int CachedWarmUp(Session session, Peer peer) => peer == HttpPeers.Tandem ? WarmUp(session) : session.Of(2, 1);

    static Cell Cached(Cell cell) => cell with { Parameters = new(cell.Parameters, StringComparer.Ordinal) { [Read] = "cached" } };

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

    /// <summary>Seconds: code that a runtime compiles anew while it runs is nearly settled by then; in a quick run only much of it.</summary>
    public static int WarmUp(Session session) => session.Of(8, 2);

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
