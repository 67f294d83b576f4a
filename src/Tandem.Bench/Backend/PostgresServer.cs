using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;
using Tandem.Bench.Processes;

namespace Tandem.Bench.Backend;

/// <summary>A PostgreSQL of the Debian folder with a fresh data directory, as its own user, on a free port; every setting that says what is durable is its default.</summary>
sealed class PostgresServer : IAsyncDisposable
{
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    // It refuses to run as root. The newest one there is; Debian keeps its programs out of the path.
    const string AsPostgres = "setpriv --reuid=postgres --regid=postgres --init-groups";
    const string Programs = "cd / && bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1) && ";

    readonly Session _session;
    readonly Child _child;
    readonly string _log;

    PostgresServer(Session session, Child child, string log, int port) => (_session, _child, _log, Port) = (session, child, log, port);

    public int Port { get; }

    /// <summary>The root of its process tree.</summary>
    public int Id => _child.Id;

    /// <param name="directory">For its data, as it is seen inside the folder; made by this.</param>
    /// <exception cref="BenchException">It does not start; the message has its last words.</exception>
    public static async Task<PostgresServer> StartAsync(Session session, string directory, CancellationToken ct)
    {
        var log = Path.Combine(session.Temporary, "postgres.log");
        await using (var init = Child.Start(session.Folder.Line(["sh", "-c",
            Programs + $"install -d -o postgres -g postgres -m 700 \"$0\" && exec {AsPostgres} $bin/initdb -D \"$0\" -U postgres -A trust -E UTF8 --locale=C.UTF-8", directory]), log))
            if (await init.WaitAsync(ct) != 0)
                throw new BenchException($"PostgreSQL has no data directory: {init.LastWords()}");

        var port = Server.FreePort();
        var line = BackendPeers.Postgres.Start.Split(' ').Skip(1)
            .Select(w => w.Replace("{data}", directory, StringComparison.Ordinal).Replace("{database_port}", $"{port}", StringComparison.Ordinal));
        var child = Child.Start(session.Folder.Line(["sh", "-c", Programs + $"exec {AsPostgres} $bin/postgres \"$@\"", "sh", .. line]), log);
        var server = session.Own(new PostgresServer(session, child, log, port));
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(ct);
        timeout.CancelAfter(Patience);
        try
        {
            while (!await server.AnswersAsync(timeout.Token))
                if (child.HasExited)
                    throw new BenchException($"PostgreSQL has ended: {child.LastWords()}");
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            throw new BenchException($"PostgreSQL did not answer within {Patience.TotalSeconds:0} s: {child.LastWords()}");
        }

        await server.RunAsync("postgres", """
            do $$ begin
                if current_setting('fsync') <> 'on' or current_setting('synchronous_commit') <> 'on' or current_setting('full_page_writes') <> 'on' then
                    raise 'what it has acknowledged is not durable';
                end if;
            end $$
            """, ct);
        return server;
    }

    public Task CreateDatabaseAsync(string name, CancellationToken ct) => RunAsync("postgres", $"create database {name}", ct);

    /// <summary>Runs SQL, several statements as one transaction.</summary>
    /// <exception cref="BenchException">It failed; the message says why.</exception>
    public async Task RunAsync(string database, string sql, CancellationToken ct)
    {
        var log = Path.Combine(_session.Temporary, "psql.log");
        await using var psql = Psql(database, sql, log);
        if (await psql.WaitAsync(ct) != 0)
            throw new BenchException($"PostgreSQL refuses: {psql.LastWords()}");
    }

    /// <summary>The one value of a query.</summary>
    public async Task<string> AskAsync(string database, string sql, CancellationToken ct)
    {
        await using var psql = Psql(database, sql, _log, talks: true);
        return (await psql.HearAllAsync(ct)).Trim();
    }

    async Task<bool> AnswersAsync(CancellationToken ct)
    {
        await using var psql = Psql("postgres", "select 1", _log);
        return await psql.WaitAsync(ct) == 0;
    }

    Child Psql(string database, string sql, string log, bool talks = false) => Child.Start(_session.Folder.Line(["sh", "-c", Programs + "exec $bin/psql \"$@\"", "sh",
        "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", $"{Port}", "-U", "postgres", "-d", database, "-c", sql]), log, talks);

    /// <summary>In good order: connections are closed, a checkpoint is written.</summary>
    public async ValueTask DisposeAsync()
    {
        await _child.InterruptAsync(Patience);
        await _child.DisposeAsync();
    }
}
