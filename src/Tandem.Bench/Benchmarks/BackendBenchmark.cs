using Tandem.Bench.Backend;
using Tandem.Bench.Load;
using Tandem.Bench.Peers;
using Tandem.Bench.Results;

namespace Tandem.Bench.Benchmarks;

/// <summary>The same backend, written three ways, end to end: token, validation, database, answer. First on PostgreSQL, then on SQLite.</summary>
static class BackendBenchmark
{
    public const string Name = "backend";

    const int Connections = 64, HashConnections = 8, Sockets = 5_000;
    const double EchoWarmUp = 2, EchoSeconds = 4;
    const string EchoPath = "/ws/bench";
    public const string Postgres = "postgres", Sqlite = "sqlite";

    public static List<Step> Plan(Session session)
    {
        if (ClosedLoop.Missing(session) is { } missing)
        {
            session.Miss(missing);
            return [];
        }

        var steps = new List<Step>();
        var files = new BackendFiles(session);
        if (session.Available(Name, BackendPeers.OnPostgres) is { Count: > 0 } onPostgres)
        {
            session.Record(Name, BackendPeers.Postgres);
            PostgresServer? postgres = null;
            steps.Add(new Step("a fresh PostgreSQL", 4, async c =>
            {
                try
                {
                    postgres = await PostgresServer.StartAsync(session, files.Inside("postgres"), c);
                }
                catch (BenchException e)
                {
                    session.Miss($"PostgreSQL: {e.Message}");
                }
            }));
            Plan(session, steps, Postgres, onPostgres, BackendWork.All.Where(w => !session.IsQuick || w.Name == "get-user"),
                async (peer, c) => postgres is null ? null : await RunningBackend.OnPostgresAsync(session, peer, files, postgres, c), () => postgres);
            steps.Add(new Step("stop PostgreSQL", 1, async _ =>
            {
                if (postgres is not null)
                    await postgres.DisposeAsync();
            }));
        }

        Plan(session, steps, Sqlite, session.Available(Name, BackendPeers.OnSqlite), BackendWork.All.Where(w => !w.IsHash && (!session.IsQuick || w.Name is "get-user" or "post-item")),
            async (peer, c) => await RunningBackend.OnSqliteAsync(session, peer, files, c), () => null);
        if (!session.IsQuick)
            Plan(session, steps, null, session.Available(Name, BackendPeers.WithModel), [BackendWork.Predict],
                async (peer, c) => await RunningBackend.WithModelAsync(session, peer, files, c), () => null);
        return steps;
    }

    /// <param name="database">Of the cells; null: it has nothing to do with the work.</param>
    static void Plan(Session session, List<Step> steps, string? database, List<Peer> peers, IEnumerable<BackendWork> works,
        Func<Peer, CancellationToken, Task<RunningBackend?>> startAsync, Func<PostgresServer?> postgres)
    {
        if (peers.Count == 0)
            return;
        var backends = new Dictionary<string, RunningBackend>();
        foreach (var peer in peers)
            steps.Add(new Step($"start {peer.Title}", 3.3, async ct =>
            {
                try
                {
                    if (await startAsync(peer, ct) is { } backend)
                        backends[peer.Name] = backend;
                }
                catch (BenchException e)
                {
                    session.Miss($"{Name}, {peer.Title}: {e.Message}");
                }
            }));

        var (rounds, seconds, warmUp) = (Rounds(session), session.Of(3, 1), session.Of(4, 1));
        foreach (var work in works)
        {
            foreach (var peer in peers)
                steps.Add(new Step($"{peer.Title}, {work.Name}: compare the answers, warm up", ClosedLoop.Takes(warmUp, Connections) + 0.2, ct => OnAsync(peer, backend =>
                    session.WarmUpAsync(Cell(peer, work, database, 0), async (cell, c) =>
                    {
                        await backend.CheckAsync(work, c);
                        return await MeasureAsync(session, backend, work, cell, warmUp, postgres(), c);
                    }, ct))));
            foreach (var (round, peer) in HttpBenchmark.Interleaved(rounds, peers))
                steps.Add(new Step($"{peer.Title}, {work.Name}, round {round}", ClosedLoop.Takes(seconds, Connections) + (work.IsItem ? 0.1 : 0), ct => OnAsync(peer, backend =>
                    session.MeasureAsync(Cell(peer, work, database, round), (cell, c) => MeasureAsync(session, backend, work, cell, seconds, postgres(), c), ct))));
        }

        if (database == Sqlite && !session.IsQuick)
            PlanEcho(session, steps, peers, backends);
        steps.Add(new Step("stop the servers", 0.5, async _ =>
        {
            foreach (var backend in backends.Values)
                await backend.Server.DisposeAsync();
        }));

        Task OnAsync(Peer peer, Func<RunningBackend, Task> ask) => BackendBenchmark.OnAsync(backends, peer, ask);
    }

    /// <summary>No database takes part; each socket says something once a second.</summary>
    static void PlanEcho(Session session, List<Step> steps, List<Peer> peers, Dictionary<string, RunningBackend> backends)
    {
        foreach (var peer in peers)
            steps.Add(new Step($"{peer.Title}, WebSockets: compare the answers", 0.2, ct => OnAsync(backends, peer, backend =>
                session.WarmUpAsync(EchoCell(peer, 0), async (cell, c) =>
                {
                    await backend.CheckEchoAsync(EchoPath, c);
                    return cell;
                }, ct))));
        foreach (var (round, peer) in HttpBenchmark.Interleaved(Rounds(session), peers))
            steps.Add(new Step($"{peer.Title}, {Sockets:N0} WebSockets, round {round}", EchoWarmUp + EchoSeconds + 3.5, ct => OnAsync(backends, peer, backend => session.MeasureAsync(EchoCell(peer, round),
                async (cell, c) => MustAnswer(await OpenLoopProcess.MeasureAsync(session, backend.Server, cell, EchoPath, Sockets, Sockets, EchoWarmUp, EchoSeconds, c, backend.Token)), ct))));
    }

    static Cell EchoCell(Peer peer, int round) => new(Name, peer.Name, new(StringComparer.Ordinal)
    {
        ["connections"] = $"{Sockets}",
        ["loop"] = "open",
        ["rate"] = $"{Sockets}",
        ["work"] = BackendWork.WebSocket,
    }, round);

    static int Rounds(Session session) => session.Of(3, 2);

    static Task OnAsync(Dictionary<string, RunningBackend> backends, Peer peer, Func<RunningBackend, Task> ask) =>
        backends.TryGetValue(peer.Name, out var backend) ? ask(backend) : Task.CompletedTask;

    static async Task<Cell> MeasureAsync(Session session, RunningBackend backend, BackendWork work, Cell cell, int seconds, PostgresServer? postgres, CancellationToken ct)
    {
        var before = work.IsItem ? await backend.ItemsAsync(ct) : 0;
        cell = MustAnswer(await ClosedLoop.MeasureAsync(session, backend.Server, cell, "/", ConnectionsOf(work), seconds, ct, requests: backend.Requests(work), database: postgres?.Id));
        // More than were answered: some were on their way when time was up.
        return !work.IsItem || await backend.ItemsAsync(ct) - before is var stored && stored >= cell.Requests
            ? cell : throw new BenchException($"{cell.Requests} items were acknowledged and {stored} are in the database.");
    }

    /// <summary>Work that was not done is fast: what has such answers is no measurement.</summary>
    static Cell MustAnswer(Cell cell) => cell.Errors == 0
        ? cell : throw new BenchException($"{cell.Errors} of {cell.Requests + cell.Errors} requests had no answer that counts{(ClosedLoop.Kinds(cell) is { Length: > 0 } kinds ? $" ({kinds})" : "")}.");

    // A hash takes a core for 20 ms: more at once only wait, and longer than a client would.
    static int ConnectionsOf(BackendWork work) => work.IsHash ? HashConnections : Connections;

    static Cell Cell(Peer peer, BackendWork work, string? database, int round)
    {
        var parameters = new SortedDictionary<string, string>(StringComparer.Ordinal) { ["connections"] = $"{ConnectionsOf(work)}", ["work"] = work.Name };
        if (database is not null)
            parameters["database"] = database;
        return new Cell(Name, peer.Name, parameters, round);
    }
}
