using System.Net;
using System.Net.Sockets;
using Tandem.Bench.Peers;
using Tandem.Bench.Processes;
using Tandem.Bench.Results;

namespace Tandem.Bench.Benchmarks;

/// <summary>A peer that serves.</summary>
sealed class Server : IAsyncDisposable
{
    static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(30);
    static readonly HttpClient Http = new(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(5) };

    readonly Child _child;

    Server(Child child, Peer peer, int port) => (_child, Peer, Port) = (child, peer, port);

    public Peer Peer { get; }
    public int Port { get; }
    public string Address => $"http://{Host}";

    /// <summary>Where it listens: host and port.</summary>
    public string Host => $"127.0.0.1:{Port}";

    /// <summary>The root of its process tree.</summary>
    public int Id => _child.Id;

    /// <summary>Proportional memory after the first answers, nobody asking.</summary>
    public long RestBytes { get; private set; }

    /// <summary>Whether it still runs; a server that is gone is no measurement.</summary>
    public void MustRun()
    {
        if (_child.HasExited)
            throw new BenchException($"It has ended: {_child.LastWords()}");
    }

    /// <param name="cores">Which processor cores it may use, as taskset says it; null: all.</param>
    /// <param name="data">Its data directory; null: one of its own.</param>
    /// <param name="environment">Beside the usual one.</param>
    /// <param name="more">What else its start line and its configuration have to be filled in with.</param>
    public static async Task<Server> StartAsync(
        Session session, Peer peer, CancellationToken ct, string? cores = null, string? data = null, IReadOnlyDictionary<string, string>? environment = null,
        IReadOnlyDictionary<string, string>? more = null)
    {
        var port = FreePort();
        data ??= Path.Combine(session.Temporary, $"data-{port}");
        var values = new Dictionary<string, string>(more ?? new Dictionary<string, string>()) { ["port"] = $"{port}", ["data"] = data };
        if (peer.Config.Length > 0)
            values["config"] = session.Folder.Configure(peer.Config, values);
        var line = peer.Line(session.Folder, values);
        var server = session.Own(new Server(
            Child.Start(cores is null ? line : ["taskset", "-c", cores, .. line], Path.Combine(session.Temporary, $"{peer.Name}-{port}.log"), environment: environment), peer, port));
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(ct);
        timeout.CancelAfter(StartTimeout);
        try
        {
            while (!await AnswersAsync(server, timeout.Token))
            {
                server.MustRun();
                await Task.Delay(20, timeout.Token);
            }

            // What a start leaves to be done right after it is not rest yet.
            await Task.Delay(1000, timeout.Token);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            throw new BenchException($"{peer.Title} did not answer within {StartTimeout.TotalSeconds:0} s: {server._child.LastWords()}");
        }

        server.RestBytes = ProcessTree.Proportional(server.Id) + ProcessTree.SharedWithUs(server.Id);
        return server;
    }

    static async Task<bool> AnswersAsync(Server server, CancellationToken ct)
    {
        try
        {
            using var answer = await Http.GetAsync(server.Address + server.Peer.HealthPath, ct);
            // All answer the same, or they are not comparable.
            var body = Bare(await answer.Content.ReadAsStringAsync(ct));
            if (!answer.IsSuccessStatusCode || body != """{"status":"healthy"}""")
                throw new BenchException($"{server.Peer.Title} answers {(int)answer.StatusCode} {body} where {{\"status\":\"healthy\"}} was asked for.");
            return true;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    /// <exception cref="BenchException">It says something else.</exception>
    public async Task MustAnswerAsync(string path, string expected, CancellationToken ct)
    {
        try
        {
            using var answer = await Http.GetAsync(Address + path, ct);
            var body = Bare(await answer.Content.ReadAsStringAsync(ct));
            if (!answer.IsSuccessStatusCode || body != expected)
                throw new BenchException($"{Peer.Title} answers {path} with {(int)answer.StatusCode} {body} where {expected} was asked for.");
        }
        catch (HttpRequestException e)
        {
            throw new BenchException($"{Peer.Title} does not answer {path}: {e.Message}");
        }
    }

    /// <summary>Blanks and a line's end are a matter of taste.</summary>
    static string Bare(string json) => json.Replace(" ", "", StringComparison.Ordinal).Trim();

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public ValueTask DisposeAsync() => _child.DisposeAsync();
}
