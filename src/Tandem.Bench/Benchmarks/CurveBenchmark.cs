using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Data.Sqlite;
using Tandem.Bench.Load;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Bench.Benchmarks;

/// <summary>How the cost of a request grows: with connections, cores, the size of the answer and the rows in the table. All in a closed loop.</summary>
static class CurveBenchmark
{
    public const string Name = "curves";

    const int FewConnections = 64;

    // A list of users says how many there are, and counting ten million takes long: more connections would only wait for each other.
    const int RowConnections = 4;

    const string Administrator = "bench@example.com", Password = "only-for-the-bench";

    public static IReadOnlyList<Peer> Peers { get; } = [HttpPeers.Tandem, HttpPeers.NetHttp, HttpPeers.FastHttp];

    public static List<Step> Plan(Session session)
    {
        var peers = session.Available(Name, Peers);
        if (ClosedLoop.Missing(session) is { } missing)
        {
            session.Miss(missing);
            return [];
        }

        var steps = new List<Step>();
        PlanConnections(session, steps, peers);
        PlanCores(session, steps, peers);
        // A quick run has time for one curve.
        if (peers.Contains(HttpPeers.Tandem) && !session.IsQuick)
        {
            PlanPayload(session, steps);
            PlanRows(session, steps);
        }

        return steps;
    }

    static int Seconds(Session session) => session.Of(3, 1);

    static int Rounds(Session session) => session.Of(3, 1);

    static void PlanConnections(Session session, List<Step> steps, List<Peer> peers)
    {
        int[] connections = session.Of<int[]>([1, 4, 16, 64, 256, 1_000, 4_000, 10_000], [1, 64, 4_000]);
        List<Peer> asked = [.. peers.Where(p => !session.IsQuick || p == HttpPeers.Tandem)];
        var servers = Start(session, steps, asked.Select(p => (p.Name, p, (string?)null)));
        foreach (var n in connections)
            foreach (var (round, peer) in HttpBenchmark.Interleaved(Rounds(session), asked))
                Measure(session, steps, servers, peer.Name, new Cell(Name, peer.Name, Of("connections", n), round), HttpBenchmark.Path, n);
        Stop(steps, servers);
    }

    /// <summary>The server alone is bound to some cores; the load generator takes what it gets.</summary>
    static void PlanCores(Session session, List<Step> steps, List<Peer> peers)
    {
        int[] cores = [.. new[] { 1, 2, 4, 8, 16, 32, 64 }.Where(n => n <= Environment.ProcessorCount)];
        if (session.IsQuick || cores.Length < 2)
            return;
        var servers = Start(session, steps, peers.SelectMany(p => cores.Select(n => (p.Name + n, p, (string?)$"0-{n - 1}"))));
        foreach (var n in cores)
            foreach (var (round, peer) in HttpBenchmark.Interleaved(Rounds(session), peers))
                Measure(session, steps, servers, peer.Name + n, new Cell(Name, peer.Name, Of("cores", n), round), HttpBenchmark.Path, FewConnections);
        Stop(steps, servers);
    }

    /// <summary>An item with a name of that length, read with a token from the database: Tandem against itself, as no peer here has the same.</summary>
    static void PlanPayload(Session session, List<Step> steps)
    {
        int[] bytes = [64, 256, 1_024, 4_096, 16_384, 65_536];
        var (servers, token, ids) = (new Dictionary<string, Server>(), "", new Dictionary<int, long>());
        steps.Add(new Step("items of several sizes", 2 + ClosedLoop.Takes(HttpBenchmark.WarmUp(session), FewConnections), async ct =>
        {
            if (await StartWithAdministratorAsync(session, null, ct) is not { } server)
                return;
            servers[Peer.Tandem] = server;
            using var http = new HttpClient { BaseAddress = new Uri(server.Address) };
            token = await SignInAsync(http, ct);
            foreach (var n in bytes)
                ids[n] = (await PostAsync(http, "/items", new { name = new string('x', n), price = 1.5 }, ct)).GetProperty("id").GetInt64();
        }));
        foreach (var n in bytes)
            for (var round = 1; round <= Rounds(session); round++)
                Measure(session, steps, servers, Peer.Tandem, new Cell(Name, Peer.Tandem, Of("payload_bytes", n), round), () => $"/items/{ids[n]}", FewConnections, () => token);
        Stop(steps, servers);
    }

    /// <summary>GET /users?limit=10 as an administrator, on SQLite with that many users. A server of its own for each size, so that rounds can be interleaved.</summary>
    static void PlanRows(Session session, List<Step> steps)
    {
        int[] rows = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
        var (servers, tokens) = (new Dictionary<string, Server>(), new Dictionary<int, string>());
        foreach (var n in rows)
            steps.Add(new Step($"a table of {n:N0} users", 3 + n / 300_000.0 + ClosedLoop.Takes(HttpBenchmark.WarmUp(session), FewConnections), async ct =>
            {
                var data = Path.Combine(session.Temporary, $"rows-{n}");
                if (await StartWithAdministratorAsync(session, data, ct, isWarm: false) is not { } first)
                    return;
                await first.DisposeAsync();
                await AddUsersAsync(Path.Combine(data, "tandem.db"), n, ct);
                if (await StartWithAdministratorAsync(session, data, ct) is not { } server)
                    return;
                servers[$"{n}"] = server;
                using var http = new HttpClient { BaseAddress = new Uri(server.Address) };
                tokens[n] = await SignInAsync(http, ct);
            }));
        for (var round = 1; round <= Rounds(session); round++)
            foreach (var n in rows)
                Measure(session, steps, servers, $"{n}", new Cell(Name, Peer.Tandem, Of("rows", n), round), () => "/users?limit=10", RowConnections, () => tokens[n]);
        Stop(steps, servers);
    }

    static SortedDictionary<string, string> Of(string parameter, int value) => new() { [parameter] = value.ToString(CultureInfo.InvariantCulture) };

    static Dictionary<string, Server> Start(Session session, List<Step> steps, IEnumerable<(string Key, Peer Peer, string? Cores)> wanted)
    {
        var servers = new Dictionary<string, Server>();
        foreach (var (key, peer, cores) in wanted)
            steps.Add(new Step($"start and warm up {peer.Title}{(cores is null ? "" : $" on cores {cores}")}", 1.3 + ClosedLoop.Takes(HttpBenchmark.WarmUp(session), FewConnections), async ct =>
            {
                if (await HttpBenchmark.TryStartAsync(session, peer, ct, cores) is { } server)
                    servers[key] = server;
            }));
        return servers;
    }

    static void Measure(Session session, List<Step> steps, Dictionary<string, Server> servers, string key, Cell cell, string path, int connections) =>
        Measure(session, steps, servers, key, cell, () => path, connections, null);

    static void Measure(Session session, List<Step> steps, Dictionary<string, Server> servers, string key, Cell cell, Func<string> path, int connections, Func<string>? token) =>
        steps.Add(new Step($"curves: {cell.Peer}, {cell.Case()}, round {cell.Round}", ClosedLoop.Takes(Seconds(session), connections), ct =>
            servers.TryGetValue(key, out var server)
                ? session.MeasureAsync(cell, (c, t) => ClosedLoop.MeasureAsync(session, server, c, path(), connections, Seconds(session), t, token?.Invoke()), ct)
                : Task.CompletedTask));

    static void Stop(List<Step> steps, Dictionary<string, Server> servers) => steps.Add(new Step("stop the servers", 0.5, async _ =>
    {
        foreach (var server in servers.Values)
            await server.DisposeAsync();
    }));

    static async Task<Server?> StartWithAdministratorAsync(Session session, string? data, CancellationToken ct, bool isWarm = true)
    {
        var environment = new Dictionary<string, string> { ["TANDEM_ADMIN__EMAIL"] = Administrator, ["TANDEM_ADMIN__PASSWORD"] = Password };
        return isWarm
            ? await HttpBenchmark.TryStartAsync(session, HttpPeers.Tandem, ct, data: data, environment: environment)
            : await Server.StartAsync(session, HttpPeers.Tandem, ct, data: data, environment: environment);
    }

    static async Task<string> SignInAsync(HttpClient http, CancellationToken ct)
    {
        using var form = new FormUrlEncodedContent(new Dictionary<string, string> { ["username"] = Administrator, ["password"] = Password });
        using var answer = await http.PostAsync(new Uri("/token", UriKind.Relative), form, ct);
        var token = (await ReadAsync(answer, ct)).GetProperty("access_token").GetString()!;
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return token;
    }

    static async Task<JsonElement> PostAsync(HttpClient http, string path, object body, CancellationToken ct)
    {
        using var answer = await http.PostAsJsonAsync(new Uri(path, UriKind.Relative), body, ct);
        return await ReadAsync(answer, ct);
    }

    static async Task<JsonElement> ReadAsync(HttpResponseMessage answer, CancellationToken ct) => answer.IsSuccessStatusCode
        ? await answer.Content.ReadFromJsonAsync<JsonElement>(ct)
        : throw new BenchException($"{answer.RequestMessage?.RequestUri?.AbsolutePath} answers {(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync(ct)}");

    /// <summary>
    /// Straight into the file while nobody serves it: a sign-up hashes a password for 20 ms, and a million of them would take all day. Without a journal, as the
    /// file is thrown away when this fails; the numbers have leading zeros, so that the rows come in the order of both the table and the index on the e-mail.
    /// </summary>
    public static async Task AddUsersAsync(string file, int count, CancellationToken ct)
    {
        await using var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = file, Pooling = false }.ConnectionString);
        await connection.OpenAsync(ct);
        await using var insert = connection.CreateCommand();
        insert.CommandText = """
            pragma journal_mode = off;
            pragma synchronous = off;
            pragma cache_size = -200000;
            with recursive n(i) as (select 1 union all select i + 1 from n where i < $count)
            insert into users_accounts (email, name, password_hash, created_at)
            select format('user%08d@example.com', i), 'User ' || i, '', '2026-01-01 00:00:00' from n;
            pragma journal_mode = wal;
            """;
        insert.Parameters.AddWithValue("$count", count);
        insert.CommandTimeout = 600;
        await insert.ExecuteNonQueryAsync(ct);
    }
}
