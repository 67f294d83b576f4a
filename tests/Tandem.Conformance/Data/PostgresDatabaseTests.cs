using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Data;

namespace Tandem.Conformance.Data;

public sealed class PostgresDatabaseTests : DatabasePromises
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    private protected override Stores Stores { get; } = new PostgresStores();

    [Fact]
    public async Task Twenty_processes_starting_at_once_on_an_empty_database_all_come_up()
    {
        await using var server = await OwnPostgres.StartAsync();
        var data = Stores.NewData();
        var started = await Task.WhenAll(Enumerable.Range(0, 20).Select(async i =>
        {
            // Twenty programs are compiled at once, and on a busy machine one may not get its connection within five seconds: it is not the server that is away.
            using var process = Programs.Start("user", "list", "--data", Path.Combine(data, $"{i}"), "--Postgres:ConnectionString", server.ConnectionString, "--Postgres:ConnectTimeout", "00:01:00");
            var output = await process.StandardOutput.ReadToEndAsync(Ct) + await process.StandardError.ReadToEndAsync(Ct);
            await process.WaitForExitAsync(Ct);
            return (process.ExitCode, output);
        }));
        Assert.All(started, s => Assert.True(s.ExitCode == 0, s.output));
    }

    [Fact]
    public async Task A_killed_server_costs_503s_and_nothing_that_was_acknowledged()
    {
        await using var server = await OwnPostgres.StartAsync();
        await using var app = await TestApp.StartAsync(a => a.Resource<Note>("/notes").AllowAnonymous(), Stores.NewData(),
            "--Postgres:ConnectionString", server.ConnectionString);
        var (acknowledged, refused) = (new List<string>(), 0);
        using var stop = new CancellationTokenSource();
        var writers = Enumerable.Range(0, 8).Select(async writer =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                var answer = await app.Http.PostAsJsonAsync("/notes", new Note($"w{writer}-{i}"), Ct);
                if ((int)answer.StatusCode == 201)
                    lock (acknowledged)
                        acknowledged.Add($"w{writer}-{i}");
                else
                {
                    await answer.ShouldBeProblemAsync(503, "http/unavailable");
                    Assert.NotNull(answer.Headers.RetryAfter);
                    Interlocked.Increment(ref refused);
                }
            }
        }).ToList();
        for (var round = 0; round < 3; round++)
        {
            await CountAsync(100);
            await server.KillAsync();
            var before = Volatile.Read(ref refused);
            await Eventually.TrueAsync(() => Task.FromResult(Volatile.Read(ref refused) > before || writers.Any(w => w.IsFaulted)));
            var ready = await (await app.Http.GetAsync("/health/ready", Ct)).JsonAsync(503);
            Assert.Contains("does not answer", ready.GetProperty("checks")[0].GetProperty("reason").GetString());
            await server.StartAgainAsync();
        }

        await CountAsync(100);
        await stop.CancelAsync();
        await Task.WhenAll(writers);
        await Eventually.TrueAsync(async () => (await app.Http.GetAsync("/health/ready", Ct)).IsSuccessStatusCode);
        var stored = (await app.Db.ListAsync<string>(Sql.Raw("select text from resources_notes"), Ct)).ToHashSet();
        Assert.All(acknowledged, a => Assert.Contains(a, stored));
        // A row without its event, or an event without its row, is a half-done change.
        await app.SettledAsync();
        Assert.Equal(stored.Count, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from events_log where name = 'notes.created'"), Ct));
        Assert.Equal(stored.Count, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from resources_notes"), Ct));

        Task CountAsync(int more)
        {
            var from = Count();
            return Eventually.TrueAsync(() => Task.FromResult(Count() >= from + more || writers.Any(w => w.IsFaulted)));
        }

        int Count()
        {
            lock (acknowledged)
                return acknowledged.Count;
        }
    }

    [Fact]
    public async Task A_server_that_goes_away_between_migration_and_the_first_request_is_waited_for()
    {
        await using var server = await OwnPostgres.StartAsync();
        var lines = new Lines();
        var starting = TestApp.StartAsync(a =>
        {
            a.Services.AddSingleton<ILoggerProvider>(lines);
            // Runs when the database is migrated, and before what the host itself starts.
            a.Services.AddHostedService(_ => new AtStart(server.KillAsync));
        }, Stores.NewData(), "--Postgres:ConnectionString", server.ConnectionString, "--Log:Level", "Warning");
        await Eventually.TrueAsync(() => Task.FromResult(starting.IsCompleted || lines.All.Any(l => l.Text.Contains("Waiting for the database before serving", StringComparison.Ordinal))), seconds: 60);
        Assert.False(starting.IsCompleted);
        await server.StartAgainAsync();
        await using var app = await starting;
        Assert.Equal(200, (int)(await app.Http.GetAsync("/health/ready", Ct)).StatusCode);
    }

    [Fact]
    public async Task Work_that_is_done_in_turns_goes_on_while_a_transaction_elsewhere_stays_open()
    {
        await using var server = await OwnPostgres.StartAsync();
        await using var app = await TestApp.StartAsync(null, Stores.NewData(), "--Postgres:ConnectionString", server.ConnectionString);
        await app.Db.ExecuteAsync(Sql.Raw("create table waiting (number bigint generated always as identity primary key)"), Ct);
        await app.Db.ExecuteAsync(Sql.Raw("create table done (id bigint primary key, number bigint not null)"), Ct);
        Task<int> TakeAsync(Func<Func<Transaction, Task<int>>, Task<int>> run, int atMost) => run(async tx =>
        {
            await tx.ExecuteAsync(Sql.Raw("insert into done values (1, 0) on conflict (id) do update set id = 1"), Ct);
            var taken = await tx.ListAsync<long>($"delete from waiting where number in (select number from waiting order by number limit {atMost}) returning number", Ct);
            await tx.ExecuteAsync($"update done set number = number + {taken.Count} where id = 1", Ct);
            return taken.Count;
        });
        // As any other program on that server may; it is never silent for long enough to be ended.
        await using var other = new Npgsql.NpgsqlConnection(server.ConnectionString);
        await other.OpenAsync(Ct);
        await using (var begin = new Npgsql.NpgsqlCommand("begin isolation level serializable; insert into done values (2, 0); select count(*) from waiting", other))
            await begin.ExecuteNonQueryAsync(Ct);
        await app.Db.ExecuteAsync(Sql.Raw("insert into waiting select from generate_series(1, 10)"), Ct);
        for (var round = 0; round < 5; round++)
            Assert.Equal(2, await TakeAsync(b => app.Db.InTransactionAsync(b, Ct), 2));

        // Ten transactions for each connection that may be are as many as the server keeps apart.
        await Parallel.ForAsync(0, 3000, new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = Ct },
            async (_, ct) => await app.Db.ExecuteAsync(Sql.Raw("insert into waiting default values"), ct));
        // A serialisable one loses to transactions that are long over, until the other one ends.
        var lost = await Assert.ThrowsAsync<StoreUnavailableException>(() => TakeAsync(b => app.Db.InTransactionAsync(b, Ct), 100));
        Assert.Contains("Too many changes of the same rows", lost.Message);

        for (var round = 0; round < 29; round++)
            Assert.Equal(100, await TakeAsync(b => app.Db.InTurnAsync(b, Ct), 100));
        var waits = TakeAsync(b => app.Db.InTransactionAsync(b, Ct), 100);
        await using (var end = new Npgsql.NpgsqlCommand("commit", other))
            await end.ExecuteNonQueryAsync(Ct);
        Assert.Equal(100, await waits);
        Assert.Equal(3010, await app.Db.FindAsync<long>(Sql.Raw("select number from done where id = 1"), Ct));
    }

    [Fact]
    public async Task However_many_decide_by_the_same_small_table_each_of_them_gets_on()
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table small (id bigint primary key, rows_before bigint not null)"), Ct);

        await Task.WhenAll(Enumerable.Range(0, 64).Select(writer => Task.Run(async () =>
        {
            for (var i = 0; i < 5; i++)
                await app.Db.InTransactionAsync(async tx =>
                {
                    var rows = await tx.FindAsync<long>(Sql.Raw("select count(*) from small"), Ct);
                    await tx.ExecuteAsync($"insert into small (id, rows_before) values ({writer * 5 + i}, {rows})", Ct);
                }, Ct);
        })));

        // One after the other, as each has seen it.
        Assert.Equal(Enumerable.Range(0, 320).Select(i => (long)i), await app.Db.ListAsync<long>(Sql.Raw("select rows_before from small order by rows_before"), Ct));
    }

    [Fact]
    public async Task A_statement_that_takes_too_long_is_ended_and_says_so()
    {
        await using var app = await Stores.StartAsync(null, null, "--Postgres:StatementTimeout", "00:00:01");
        var slow = await Assert.ThrowsAsync<StoreUnavailableException>(() => app.Db.FindAsync<string>(Sql.Raw("select pg_sleep(30)::text"), Ct));
        Assert.Contains("longer than it may", slow.Message);
    }

    [Fact]
    public async Task Whoever_gets_no_connection_because_all_are_in_use_is_told_that()
    {
        // Whatever else the program does meanwhile gets no connection either, and says so in the log as it ought to: here that is no news.
        await using var app = await Stores.StartAsync(a => a.Services.AddLogging(l => l.AddFilter("Tandem", LogLevel.Critical)), null, "--Postgres:ConnectTimeout", "00:00:01");
        // Twice as many as there are connections.
        var busy = Enumerable.Range(0, 24).Select(_ => app.Db.FindAsync<string>(Sql.Raw("select pg_sleep(4)::text"), Ct)).ToList();

        var refused = await Assert.ThrowsAsync<StoreUnavailableException>(() => app.Db.FindAsync<long>(Sql.Raw("select 1"), Ct));

        Assert.Matches("^All 12 connections to the server .* are in use", refused.Message);
        await Task.WhenAll(busy.Select(async b =>
        {
            if (await Record.ExceptionAsync(() => b) is { } e)
                Assert.Contains("are in use", Assert.IsType<StoreUnavailableException>(e).Message);
        }));
        Assert.Equal(1, await app.Db.FindAsync<long>(Sql.Raw("select 1"), Ct));
    }

    [Fact]
    public async Task A_migration_may_take_longer_than_a_statement_of_a_request()
    {
        await using var app = await Stores.StartAsync(null, null, "--Postgres:StatementTimeout", "00:00:01");
        app.Services.GetRequiredService<Migrator>().Migrate([new Migration("tests/0001_slow.sql", "create table tests_slow as select pg_sleep(3)::text as slept")], [], wait: false);
        Assert.Equal(1, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from tests_slow"), Ct));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_transaction_whose_body_waits_for_something_else_runs_once_keeps_nothing_and_says_what_to_do(bool hasAnotherStatement)
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table tests_slow (text text not null)"), Ct);
        var runs = 0;

        var slow = await Assert.ThrowsAsync<StoreUnavailableException>(() => app.Db.InTransactionAsync(async tx =>
        {
            runs++;
            var session = await tx.FindAsync<long>(Sql.Raw("insert into tests_slow values ('first') returning pg_backend_pid()"), Ct);
            // As long as its something else takes: until the server has had enough.
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select count(*) from pg_stat_activity where pid = {session}", Ct) == 0);
            if (hasAnotherStatement)
                await tx.ExecuteAsync(Sql.Raw("insert into tests_slow values ('second')"), Ct);
            return true;
        }, Ct));

        Assert.Contains("silent for", slow.Message);
        Assert.Contains("in a job that it enqueues", slow.Message);
        Assert.False(slow.IsInDoubt);
        Assert.Equal(1, runs);
        Assert.Equal(0, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from tests_slow"), Ct));
    }

    [Theory]
    [InlineData("Host=127.0.0.1;Port=1;Username=x;Database=x", "does not answer")]
    [InlineData("Hots=127.0.0.1", "Postgres:ConnectionString cannot be read")]
    public async Task A_server_that_cannot_be_used_stops_the_start_with_what_to_do(string connection, string says)
    {
        using var process = Programs.Start("serve", "--data", Stores.NewData(), "--urls", "http://127.0.0.1:0", "--Postgres:ConnectionString", connection, "--Postgres:StartTimeout", "00:00:01");
        var error = await process.StandardError.ReadToEndAsync(Ct);
        await process.WaitForExitAsync(Ct);
        Assert.Contains(says, error);
        Assert.DoesNotContain("   at ", error);
        Assert.NotEqual(0, process.ExitCode);
    }

    public sealed record Note(string Text);

    sealed class AtStart(Func<Task> what) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken) => what();

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
