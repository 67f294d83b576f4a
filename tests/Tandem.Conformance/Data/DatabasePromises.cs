using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Conformance.Data;

/// <summary>What every database promises.</summary>
public abstract class DatabasePromises
{
    private protected abstract Stores Stores { get; }

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Concurrent_transactions_share_commits_and_a_failed_one_fails_alone()
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table things (id bigint primary key, name text not null unique)"), Ct);

        var outcomes = await Task.WhenAll(Enumerable.Range(0, 400).Select(async i =>
        {
            try
            {
                return await app.Db.InTransactionAsync(async tx =>
                {
                    await tx.ExecuteAsync($"insert into things (id, name) values ({i}, {"n" + i})", Ct);
                    if (i % 4 == 1)
                        throw new InvalidOperationException("rule broken");
                    if (i % 4 == 2)
                        await tx.ExecuteAsync($"insert into things (id, name) values ({i}, {"again"})", Ct);
                    return "kept";
                }, Ct);
            }
            catch (InvalidOperationException)
            {
                return "own";
            }
            catch (ConstraintViolationException)
            {
                return "engine";
            }
        }));

        Assert.Equal(200, outcomes.Count(o => o == "kept"));
        Assert.Equal(100, outcomes.Count(o => o == "own"));
        Assert.Equal(100, outcomes.Count(o => o == "engine"));
        var stored = await app.Db.ListAsync<long>(Sql.Raw("select id from things order by id"), Ct);
        Assert.Equal(outcomes.Index().Where(o => o.Item == "kept").Select(o => (long)o.Index), stored);
    }

    [Fact]
    public async Task A_transaction_kept_beyond_its_body_cannot_be_used()
    {
        await using var app = await Stores.StartAsync();
        Transaction? kept = null;
        await app.Db.InTransactionAsync(tx =>
        {
            kept = tx;
            return Task.CompletedTask;
        }, Ct);
        await Assert.ThrowsAsync<InvalidOperationException>(() => kept!.ExecuteAsync(Sql.Raw("select 1"), Ct));
    }

    [Fact]
    public async Task What_happens_after_the_commit_does_not_happen_when_it_fails()
    {
        await using var app = await Stores.StartAsync();
        var happened = new List<string>();
        await app.Db.InTransactionAsync(tx =>
        {
            tx.OnCommitted(() => happened.Add("kept"));
            return Task.CompletedTask;
        }, Ct);
        await Assert.ThrowsAsync<InvalidOperationException>(() => app.Db.InTransactionAsync(tx =>
        {
            tx.OnCommitted(() => happened.Add("lost"));
            throw new InvalidOperationException();
        }, Ct));
        Assert.Equal(["kept"], happened);
    }

    [Fact]
    public async Task Every_type_comes_back_as_it_went_in()
    {
        await using var app = await Stores.StartAsync();
        var types = Stores.Types;
        await app.Db.ExecuteAsync(Sql.Raw(
            $"create table kinds (text text, whole {types.Whole}, flag {types.Flag}, price numeric, real {types.Real}, at {types.Time}, id {types.Uuid}, note text, place integer)"), Ct);
        var (at, id) = (new DateTime(2026, 1, 31, 12, 0, 0, 120, DateTimeKind.Utc).AddMicroseconds(7), Guid.CreateVersion7());
        Kinds[] rows =
        [
            new("Ärger 'quoted'", 1, true, 1m, 2.0, at, id, null),
            new("", long.MinValue, false, 1.5m, 0.1, DateTime.UnixEpoch, Guid.Empty, "x"),
            new("\"; drop table kinds; --", long.MaxValue, true, 123456789012.345m, 1e300, at, id, "@p0"),
        ];
        foreach (var (i, r) in rows.Index())
            await app.Db.ExecuteAsync($"insert into kinds values ({r.Text}, {r.Whole}, {r.Flag}, {r.Price}, {r.Real}, {r.At}, {r.Id}, {r.Note}, {i})", Ct);
        // One statement over rows whose numbers SQLite stores differently: the reader must not keep the first row's type.
        Assert.Equal(rows, await app.Db.ListAsync<Kinds>(Sql.Raw("select text, whole, flag, price, real, at, id, note from kinds order by place"), Ct));
    }

    [Fact]
    public async Task Fragments_compose_with_their_parameters_in_order()
    {
        await using var app = await Stores.StartAsync();
        Sql inner = $"{2} + {3}";
        Assert.Equal(11L, await app.Db.FindAsync<long>($"select {1} + {inner} + {5}", Ct));
    }

    [Fact]
    public async Task A_failed_statement_is_the_end_of_its_transaction_even_when_the_body_goes_on()
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table things (id bigint primary key)"), Ct);
        await Assert.ThrowsAsync<InvalidOperationException>(() => app.Db.InTransactionAsync(async tx =>
        {
            await tx.ExecuteAsync(Sql.Raw("insert into things values (1)"), Ct);
            await Assert.ThrowsAsync<ConstraintViolationException>(() => tx.ExecuteAsync(Sql.Raw("insert into things values (1)"), Ct));
        }, Ct));
        Assert.Equal(0, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from things"), Ct));
    }

    [Fact]
    public async Task What_a_transaction_has_read_still_holds_when_it_commits()
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table doctors (id bigint primary key, on_call bigint not null)"), Ct);
        for (var round = 0; round < 20; round++)
        {
            await app.Db.ExecuteAsync(Sql.Raw("delete from doctors"), Ct);
            await app.Db.ExecuteAsync(Sql.Raw("insert into doctors values (1, 1), (2, 1)"), Ct);
            // Each leaves when another stays: run beside each other on what they both read, both would go (write skew).
            await Task.WhenAll(new[] { 1, 2 }.Select(id => Task.Run(() => app.Db.InTransactionAsync(async tx =>
            {
                if (await tx.FindAsync<long>($"select count(*) from doctors where on_call = 1", Ct) > 1)
                    await tx.ExecuteAsync($"update doctors set on_call = 0 where id = {id}", Ct);
            }, Ct))));
            Assert.Equal(1, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from doctors where on_call = 1"), Ct));
        }
    }

    [Fact]
    public async Task Hundreds_of_changes_of_one_row_at_once_all_count()
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table counters (id bigint primary key, number bigint not null)"), Ct);
        await app.Db.ExecuteAsync(Sql.Raw("insert into counters values (1, 0)"), Ct);
        await Parallel.ForEachAsync(Enumerable.Range(0, 300), new ParallelOptions { MaxDegreeOfParallelism = 12, CancellationToken = Ct }, async (_, ct) =>
            await app.Db.InTransactionAsync(async tx =>
            {
                var number = await tx.FindAsync<long>(Sql.Raw("select number from counters where id = 1"), ct);
                await tx.ExecuteAsync($"update counters set number = {number + 1} where id = 1", ct);
            }, ct));
        Assert.Equal(300, await app.Db.FindAsync<long>(Sql.Raw("select number from counters"), Ct));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Changes_of_one_row_at_once_leave_their_events_in_the_order_of_the_changes(bool standsAlone)
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table counters (id bigint primary key, number bigint not null)"), Ct);
        await app.Db.ExecuteAsync(Sql.Raw("insert into counters values (1, 0)"), Ct);
        // Each writes beside its event which change it was; the last of them must be what is in the row.
        await Parallel.ForEachAsync(Enumerable.Range(1, 200), new ParallelOptions { MaxDegreeOfParallelism = 12, CancellationToken = Ct }, async (i, ct) =>
            Assert.Equal(i, await app.Db.ChangeAsync<long>($"update counters set number = {i} where id = 1 and number <> {i} returning number", new Counted(1, i), standsAlone, ct)));

        Assert.Equal(0, await app.Db.ChangeAsync<long>($"update counters set number = 7 where id = 2 returning number", new Counted(1, -1), standsAlone, Ct));
        await app.SettledAsync();
        var told = await app.Db.ListAsync<string>(Sql.Raw("select payload from events_log where name = 'tests.counted' order by position"), Ct);
        Assert.Equal(Enumerable.Range(1, 200).Select(i => $$"""{"counter":1,"number":{{i}}}""").Order(), told.Order());
        var last = await app.Db.FindAsync<long>(Sql.Raw("select number from counters where id = 1"), Ct);
        Assert.Equal($$"""{"counter":1,"number":{{last}}}""", told[^1]);
    }

    [Fact]
    public async Task A_change_that_breaks_a_rule_leaves_no_event()
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table counters (id bigint primary key, number bigint not null check (number < 5))"), Ct);
        Assert.Equal(1, await app.Db.ChangeAsync<long>($"insert into counters values (1, 4) returning id", new Counted(1, 4), cancellationToken: Ct));
        await Assert.ThrowsAsync<ConstraintViolationException>(() => app.Db.ChangeAsync<long>($"insert into counters values (1, 3) returning id", new Counted(1, 3), cancellationToken: Ct));
        await Assert.ThrowsAsync<ConstraintViolationException>(
            () => app.Db.ChangeAsync<long>($"update counters set number = 5 where id = 1 returning id", new Counted(1, 5), standsAlone: true, cancellationToken: Ct));
        // The connection that both left behind takes the next change.
        Assert.Equal(1, await app.Db.ChangeAsync<long>($"update counters set number = 2 where id = 1 returning id", new Counted(1, 2), cancellationToken: Ct));

        await app.SettledAsync();
        Assert.Equal(["""{"counter":1,"number":4}""", """{"counter":1,"number":2}"""],
            await app.Db.ListAsync<string>(Sql.Raw("select payload from events_log where name = 'tests.counted' order by position"), Ct));
    }

    [Fact]
    public async Task A_change_in_one_statement_loses_its_race_like_any_other_transaction()
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table doctors (id bigint primary key, on_call bigint not null)"), Ct);
        for (var round = 0; round < 20; round++)
        {
            await app.Db.ExecuteAsync(Sql.Raw("delete from doctors"), Ct);
            await app.Db.ExecuteAsync(Sql.Raw("insert into doctors values (1, 1), (2, 1)"), Ct);
            // Write skew, one of the two in the one statement that does not stand alone.
            await Task.WhenAll(
                Task.Run(() => app.Db.InTransactionAsync(async tx =>
                {
                    if (await tx.FindAsync<long>($"select count(*) from doctors where on_call = 1", Ct) > 1)
                        await tx.ExecuteAsync($"update doctors set on_call = 0 where id = 1", Ct);
                }, Ct), Ct),
                Task.Run(() => app.Db.ChangeAsync<long>(
                    $"update doctors set on_call = 0 where id = 2 and (select count(*) from doctors where on_call = 1) > 1 returning id", new Counted(2, 0), cancellationToken: Ct), Ct));
            Assert.Equal(1, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from doctors where on_call = 1"), Ct));
        }
    }

    [Theory]
    [InlineData(typeof(TimeoutException))]
    [InlineData(typeof(IOException))]
    [InlineData(typeof(OperationCanceledException))]
    public async Task What_a_body_throws_by_itself_comes_out_as_it_is_and_the_body_runs_once(Type thrown)
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table things (id bigint primary key)"), Ct);
        var runs = 0;
        // Not to be taken for the store's own trouble: a consumer's event would then be handed over again for ever.
        await Assert.ThrowsAsync(thrown, () => app.Db.InTransactionAsync(async tx =>
        {
            runs++;
            await tx.ExecuteAsync(Sql.Raw("insert into things values (1)"), Ct);
            throw (Exception)Activator.CreateInstance(thrown)!;
        }, Ct));
        Assert.Equal(1, runs);
        Assert.Equal(0, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from things"), Ct));
    }

    [Fact]
    public async Task Work_of_one_name_runs_alone_and_the_next_one_begins_when_it_ends()
    {
        await using var app = await Stores.StartAsync();
        var (first, second, release) = (new TaskCompletionSource(), new TaskCompletionSource(), new TaskCompletionSource());
        var one = app.Db.RunAloneAsync("tests", async _ =>
        {
            first.SetResult();
            await release.Task;
        }, Ct);
        await first.Task;
        var two = app.Db.RunAloneAsync("tests", _ =>
        {
            second.SetResult();
            return Task.CompletedTask;
        }, Ct);
        // Another name is none of its business, and comes back while the second still waits.
        await app.Db.RunAloneAsync("others", _ => Task.CompletedTask, Ct);
        Assert.False(second.Task.IsCompleted);
        release.SetResult();
        await Task.WhenAll(one, two, second.Task).WaitAsync(TimeSpan.FromSeconds(90), Ct);
    }

    [Fact]
    public async Task Text_is_compared_and_sorted_by_its_bytes()
    {
        await using var app = await Stores.StartAsync(a => a.Resource<Word>("/words").AllowAnonymous());
        foreach (var text in new[] { "b", "B", "a", "é", "Z", "_", "10", "9" })
            await (await app.Http.PostAsJsonAsync("/words", new Word(text), Ct)).JsonAsync(201);
        var sorted = await (await app.Http.GetAsync("/words?sort=text", Ct)).JsonAsync();
        Assert.Equal(["10", "9", "B", "Z", "_", "a", "b", "é"], sorted.EnumerateArray().Select(w => w.GetProperty("text").GetString()));
        Assert.Equal(5, (await (await app.Http.GetAsync("/words?text_gte=Z", Ct)).JsonAsync()).GetArrayLength());
    }

    public sealed record Word(string Text);

    sealed record Kinds(string Text, long Whole, bool Flag, decimal Price, double Real, DateTime At, Guid Id, string? Note);
}

public sealed class SqliteDatabaseTests : DatabasePromises
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    private protected override Stores Stores { get; } = new EmbeddedStores();

    [Fact]
    public async Task A_body_that_awaits_something_else_is_refused_and_undone()
    {
        await using var app = await Stores.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table things (id bigint primary key)"), Ct);
        var never = new TaskCompletionSource();

        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => app.Db.InTransactionAsync(async tx =>
        {
            await tx.ExecuteAsync(Sql.Raw("insert into things values (1)"), Ct);
            await never.Task;
        }, Ct));

        Assert.Contains("awaited something other", refused.Message);
        Assert.Equal(0, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from things"), Ct));
        never.SetResult();
    }

    [Fact]
    public async Task A_store_that_cannot_be_written_is_a_503_that_says_so_and_comes_back_by_itself()
    {
        await using var app = await TestApp.StartAsync();
        var body = new { email = "ada@example.com", name = "Ada", password = "12345678" };
        await using (var other = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={Path.Combine(app.Data, "tandem.db")};Pooling=False"))
        {
            await other.OpenAsync(Ct);
            await using var command = other.CreateCommand();
            command.CommandText = "begin immediate";
            await command.ExecuteNonQueryAsync(Ct);

            // The writer waits for the other's lock as long as its patience lasts, then gives up with nothing kept.
            var refused = await app.Http.PostAsJsonAsync("/users", body, Ct);
            var problem = await refused.ShouldBeProblemAsync(503, "http/unavailable");
            Assert.Contains("locked by another process", problem.GetProperty("detail").GetString());
            Assert.NotNull(refused.Headers.RetryAfter);
            var ready = await (await app.Http.GetAsync("/health/ready", Ct)).JsonAsync(503);
            Assert.Equal("unavailable", ready.GetProperty("status").GetString());
            Assert.True((await app.Http.GetAsync("/health", Ct)).IsSuccessStatusCode);
        }

        await Eventually.TrueAsync(async () => (await app.Http.GetAsync("/health/ready", Ct)).IsSuccessStatusCode);
        Assert.Equal(201, (int)(await app.Http.PostAsJsonAsync("/users", body, Ct)).StatusCode);
    }

    [Fact]
    public async Task Ten_processes_starting_at_once_on_an_empty_directory_all_come_up()
    {
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        var started = await Task.WhenAll(Enumerable.Range(0, 10).Select(async _ =>
        {
            using var process = Programs.Start("doctor", "--data", data, "--urls", "http://127.0.0.1:0");
            var output = await process.StandardOutput.ReadToEndAsync(Ct) + await process.StandardError.ReadToEndAsync(Ct);
            await process.WaitForExitAsync(Ct);
            return (process.ExitCode, output);
        }));
        Assert.All(started, s => Assert.True(s.ExitCode == 0, s.output));
        Directory.Delete(data, recursive: true);
    }
}

/// <param name="Counter">The row.</param>
/// <param name="Number">What it was changed to.</param>
[Event("tests.counted")]
public sealed record Counted(long Counter, long Number);
