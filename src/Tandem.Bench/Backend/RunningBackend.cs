using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;
using Tandem.Bench.Processes;

namespace Tandem.Bench.Backend;

/// <summary>A peer that serves, its database filled, with a token of the administrator.</summary>
/// <param name="items">How many items its database has.</param>
sealed class RunningBackend(Server server, HttpClient http, string token, Func<CancellationToken, Task<long>> items)
{
    static readonly Dictionary<string, string> Administrator = new() { ["TANDEM_ADMIN__EMAIL"] = Seed.Administrator, ["TANDEM_ADMIN__PASSWORD"] = Seed.Password };

    public Server Server => server;

    /// <summary>How many items its database has, asked past the program.</summary>
    public Task<long> ItemsAsync(CancellationToken ct) => items(ct);

    /// <summary>The administrator's.</summary>
    public string Token => token;

    /// <summary>The Lua with which wrk asks for this work.</summary>
    public string Requests(BackendWork work) => work.Load.Lua($"127.0.0.1:{server.Port}", token, Random.Shared.Next());

    public static async Task<RunningBackend> OnPostgresAsync(Session session, Peer peer, BackendFiles files, PostgresServer postgres, CancellationToken ct)
    {
        var database = peer.Name.Replace('-', '_');
        await postgres.CreateDatabaseAsync(database, ct);
        var more = new Dictionary<string, string> { ["database"] = database, ["database_port"] = $"{postgres.Port}", ["pool_per_core"] = $"{BackendPeers.PoolPerCore}" };
        return await StartAsync(session, peer, files, more, c => Seed.TandemAsync(postgres, database, c), c => Seed.PeerAsync(postgres, database, c), c => Seed.ItemsAsync(postgres, database, peer.IsHere, c), ct);
    }

    public static Task<RunningBackend> OnSqliteAsync(Session session, Peer peer, BackendFiles files, CancellationToken ct) => StartAsync(session, peer, files, [],
        c => Seed.TandemAsync(Database(peer, files), c), c => Seed.PeerAsync(Database(peer, files), c),
        c => Seed.ItemsAsync(Database(peer, files), peer.IsHere, c), ct);

    static string Database(Peer peer, BackendFiles files) => files.Outside($"{peer.Name}/{(peer.IsHere ? "tandem" : "backend")}.db");

    /// <summary>The same with a forest of a hundred trees.</summary>
    public static Task<RunningBackend> WithModelAsync(Session session, Peer peer, BackendFiles files, CancellationToken ct) => StartAsync(session, peer, files, [],
        async c =>
        {
            await Seed.TandemAsync(Database(peer, files), c);
            await TrainAsync(session, files.Outside("iris.csv"), files.Outside(peer.Name), c);
        },
        c => Seed.PeerAsync(Database(peer, files), c), c => Seed.ItemsAsync(Database(peer, files), peer.IsHere, c), ct);

    static async Task TrainAsync(Session session, string csv, string data, CancellationToken ct)
    {
        await using (var source = typeof(RunningBackend).Assembly.GetManifestResourceStream("iris.csv")!)
        await using (var target = File.Create(csv))
            await source.CopyToAsync(target, ct);
        await using var training = Child.Start([.. Peer.OurselvesLine, "model", "train", csv, "--target", "species", "--trees", "100", "--data", data], Path.Combine(session.Temporary, "train.log"));
        if (await training.WaitAsync(ct) != 0)
            throw new BenchException($"The model was not made: {training.LastWords()}");
    }

    static async Task<RunningBackend> StartAsync(
        Session session, Peer peer, BackendFiles files, Dictionary<string, string> more, Func<CancellationToken, Task> seedTandem, Func<CancellationToken, Task> seedPeer,
        Func<CancellationToken, Task<long>> items, CancellationToken ct)
    {
        Directory.CreateDirectory(files.Outside(peer.Name));
        var data = files.Of(peer, peer.Name);
        if (peer.IsHere)
        {
            // It makes its own tables, and its embedded store has one writer: it is stopped while they are filled.
            var first = await Server.StartAsync(session, peer, ct, data: data, environment: Administrator, more: more);
            await first.DisposeAsync();
            await seedTandem(ct);
        }
        else
        {
            Seed.WriteKey(files.Outside($"{peer.Name}/key.pem"));
            await seedPeer(ct);
        }

        var server = await Server.StartAsync(session, peer, ct, data: data, environment: peer.IsHere ? Administrator : null, more: more);
        var http = session.Own(new Client(new Uri(server.Address)));
        return new RunningBackend(server, http.Http, await SignInAsync(http.Http, ct), items);
    }

    /// <exception cref="BenchException">An answer differs; the message says how.</exception>
    public async Task CheckAsync(BackendWork work, CancellationToken ct)
    {
        foreach (var check in work.Checks)
            if (await check.DifferenceAsync(http, token, ct) is { } difference)
                throw new BenchException($"It does not do the same work: {difference}");
    }

    /// <exception cref="BenchException">It does not echo, or echoes for anybody.</exception>
    public async Task CheckEchoAsync(string path, CancellationToken ct)
    {
        if (await new Check("GET", path, null, Check.Refused, HasToken: false).DifferenceAsync(http, token, ct) is { } difference)
            throw new BenchException($"It does not do the same work: {difference}");
        try
        {
            using var stranger = new ClientWebSocket();
            await stranger.ConnectAsync(new Uri($"ws://127.0.0.1:{server.Port}{path}"), ct);
            throw new BenchException("It does not do the same work: a WebSocket opens without a token.");
        }
        catch (WebSocketException)
        {
            // Refused, as it has to be.
        }

        using var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("Authorization", $"Bearer {token}");
        try
        {
            await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{server.Port}{path}"), ct);
            foreach (var word in (string[])["one", "ζωή"])
            {
                await socket.SendAsync(Encoding.UTF8.GetBytes(word), WebSocketMessageType.Text, true, ct);
                var buffer = new byte[100];
                var received = await socket.ReceiveAsync(buffer, ct);
                var answer = Encoding.UTF8.GetString(buffer, 0, received.Count);
                if (answer != $"Echo: {word}" || received is not { MessageType: WebSocketMessageType.Text, EndOfMessage: true })
                    throw new BenchException($"It does not do the same work: {word} comes back as {answer}.");
            }

            await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, ct);
        }
        catch (WebSocketException e)
        {
            throw new BenchException($"Its WebSocket does not work: {e.Message}");
        }
    }

    static async Task<string> SignInAsync(HttpClient http, CancellationToken ct)
    {
        try
        {
            using var form = new FormUrlEncodedContent(new Dictionary<string, string> { ["username"] = Seed.Administrator, ["password"] = Seed.Password });
            using var answer = await http.PostAsync(new Uri("/token", UriKind.Relative), form, ct);
            return answer.IsSuccessStatusCode
                ? (await answer.Content.ReadFromJsonAsync<JsonElement>(ct)).GetProperty("access_token").GetString()!
                : throw new BenchException($"POST /token is answered with {(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync(ct)}");
        }
        catch (Exception e) when (e is HttpRequestException or JsonException || e is OperationCanceledException && !ct.IsCancellationRequested)
        {
            throw new BenchException($"POST /token has no answer: {e.Message}");
        }
    }

    sealed class Client(Uri address) : IAsyncDisposable
    {
        public HttpClient Http { get; } = new(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = address, Timeout = TimeSpan.FromSeconds(10) };

        public ValueTask DisposeAsync()
        {
            Http.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
