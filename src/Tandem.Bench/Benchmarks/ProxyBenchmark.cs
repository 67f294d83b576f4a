using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Tandem.Bench.Load;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Bench.Benchmarks;

/// <summary>What a hop costs: the same request to the same service through each proxy, in a closed loop. The service's own time is nobody's.</summary>
static class ProxyBenchmark
{
    public const string Name = "proxy";

    const string Small = "/service/health", Body = "/service/body", Echo = "/service/headers";
    const int BodyKibibytes = 64;

    /// <summary>Asked for by a name that is no address, to see that the service hears it.</summary>
    const string Host = "bench.example";

    static readonly HttpClient Http = new(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(5) };

    public static List<Step> Plan(Session session)
    {
        if (!session.HasFolder || session.Folder.Broken(ProxyPeers.Direct) is not null)
        {
            session.Miss("proxy: the service that is forwarded to runs in the Debian folder of the peers");
            return [];
        }

        var peers = session.Available(Name, ProxyPeers.All);
        var servers = new Dictionary<string, Server>();
        var steps = new List<Step>
        {
            new("start the service behind the proxies", 1.5, async c => servers[ProxyPeers.Direct.Name] = await Server.StartAsync(session, ProxyPeers.Direct, c)),
        };
        foreach (var peer in peers)
            steps.Add(new Step($"start and warm up {peer.Title}", 1.2 + ClosedLoop.Takes(HttpBenchmark.WarmUp(session), 64), c => StartAsync(session, servers, peer, c)));

        var cases = session.Of<(int Connections, string Path)[]>([(64, Small), (1_000, Small), (64, Body)], [(64, Small)]);
        var seconds = session.Of(3, 1);
        foreach (var (n, path) in cases)
            foreach (var (round, peer) in HttpBenchmark.Interleaved(session.Of(3, 2), peers))
                steps.Add(new Step($"proxy: {peer.Title}, {n:N0} connections{(path == Body ? $", {BodyKibibytes} KiB" : "")}, round {round}", ClosedLoop.Takes(seconds, n), c =>
                    HttpBenchmark.OnAsync(servers, peer, server => session.MeasureAsync(Case(peer, round, n, path == Body),
                        (cell, t) => ClosedLoop.MeasureAsync(session, server, cell, path, n, seconds, t), c))));

        steps.Add(new Step("stop the proxies", 0.5, async _ =>
        {
            foreach (var server in servers.Values)
                await server.DisposeAsync();
        }));
        return steps;
    }

    public static Cell Case(Peer peer, int round, int connections, bool hasBody)
    {
        var parameters = new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["connections"] = connections.ToString(CultureInfo.InvariantCulture),
            ["loop"] = "closed",
        };
        if (hasBody)
            parameters["KiB"] = BodyKibibytes.ToString(CultureInfo.InvariantCulture);
        return new Cell(Name, peer.Name, parameters, round);
    }

    static async Task StartAsync(Session session, Dictionary<string, Server> servers, Peer peer, CancellationToken ct)
    {
        var service = servers[ProxyPeers.Direct.Name];
        try
        {
            var server = peer == ProxyPeers.Direct ? service : await Server.StartAsync(session, peer, ct, more: new Dictionary<string, string> { ["backend"] = service.Host });
            await ClosedLoop.MeasureAsync(session, server, Case(peer, 0, 64, false), Small, 64, HttpBenchmark.WarmUp(session), ct);
            if (server != service)
                await CompareAsync(server, service, ct);
            servers[peer.Name] = server;
        }
        catch (BenchException e)
        {
            session.Miss($"{peer.Title}: {e.Message}");
        }
    }

    /// <exception cref="BenchException">The proxy's answers are not the service's, or the service does not hear what it has to.</exception>
    static async Task CompareAsync(Server proxy, Server service, CancellationToken ct)
    {
        foreach (var path in (string[])[Small, Body, "/service/nothing"])
        {
            var (through, direct) = (await AskAsync(proxy, path, ct), await AskAsync(service, path, ct));
            if (through != direct)
                throw new BenchException($"{proxy.Peer.Title} answers {path} with {through} where the service says {direct}.");
        }

        // The second one over a connection, so that the proxy has one to the service that it can use again.
        await SendAsync(proxy, Echo, ct);
        var (_, _, echo) = await SendAsync(proxy, Echo, ct);
        if (Objection(JsonSerializer.Deserialize<Dictionary<string, string>>(echo)!) is { } objection)
            throw new BenchException($"{proxy.Peer.Title}: {objection}");
    }

    static async Task<Answer> AskAsync(Server server, string path, CancellationToken ct)
    {
        var (status, type, body) = await SendAsync(server, path, ct);
        return new Answer(status, type, body.Length, Convert.ToHexString(SHA256.HashData(body), 0, 8));
    }

    static async Task<(int Status, string? Type, byte[] Body)> SendAsync(Server server, string path, CancellationToken ct)
    {
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, server.Address + path) { Headers = { Host = Host } };
            using var answer = await Http.SendAsync(request, ct);
            return ((int)answer.StatusCode, answer.Content.Headers.ContentType?.ToString(), await answer.Content.ReadAsByteArrayAsync(ct));
        }
        catch (Exception e) when (e is HttpRequestException || (e is TaskCanceledException && !ct.IsCancellationRequested))
        {
            throw new BenchException($"{server.Peer.Title} does not answer {path}: {e.Message}");
        }
    }

    sealed record Answer(int Status, string? Type, int Bytes, string Digest);

    /// <summary>What is wrong with what the service has heard through a proxy on the second request of a connection; null: nothing.</summary>
    /// <param name="heard">Headers by name, and <c>requests</c>: how many came over the proxy's connection.</param>
    public static string? Objection(IReadOnlyDictionary<string, string> heard)
    {
        if (!heard.TryGetValue("X-Forwarded-For", out var client) || client != "127.0.0.1")
            return $"the service hears \"{client}\" for a client in X-Forwarded-For where 127.0.0.1 asks.";
        if (heard.GetValueOrDefault("Host") != Host && heard.GetValueOrDefault("X-Forwarded-Host") != Host)
            return $"the service hears neither in Host nor in X-Forwarded-Host that {Host} was asked for.";
        return int.Parse(heard["requests"], CultureInfo.InvariantCulture) > 1 ? null : "it does not keep its connection to the service.";
    }
}
