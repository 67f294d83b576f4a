using System.Net.Http.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Reports;

namespace Tandem.Conformance.Events;

/// <summary>What every event log promises: at least once to every consumer, in order for a key, again from any point, and nobody hurts another.</summary>
public abstract class EventLogPromises
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    private protected abstract Task<EventStage> StageAsync();

    [Fact]
    public async Task Every_consumer_gets_every_event_once_and_in_order_for_its_key()
    {
        await using var stage = await StageAsync();
        await using var app = await stage.StartAsync();
        await EventStage.TellAsync(app, keys: 12, first: 0, count: 25);
        foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
        {
            await EventStage.UntilAsync(app, witness, 300);
            await EventStage.HasAllAsync(app, witness, keys: 12, count: 25);
        }
    }

    [Fact]
    public async Task Order_and_effects_hold_while_processes_join_and_leave()
    {
        await using var stage = await StageAsync();
        await using var app = await stage.StartAsync();
        using var enough = new CancellationTokenSource();
        var writing = WriteAsync(app, keys: 8, enough.Token);
        for (var round = 0; round < 3; round++)
        {
            var before = await CountAsync(app);
            var other = await EventStage.JoinAsync(app);
            await Eventually.TrueAsync(async () => await CountAsync(app) > before + 500);
            await other.StopAsync(Ct);
        }

        await enough.CancelAsync();
        var written = await writing;
        foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
        {
            await EventStage.UntilAsync(app, witness, 8 * written, 60);
            await EventStage.HasAllAsync(app, witness, keys: 8, count: written);
        }

        Assert.Equal(0, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from events_set_aside"), Ct));
    }

    [Fact]
    public async Task A_poisoned_event_is_parked_its_key_waits_and_its_neighbours_go_on()
    {
        await using var stage = await StageAsync();
        await using var app = await stage.StartAsync("--Events:MaxAttempts", "2");
        await app.Db.InTransactionAsync(async tx =>
        {
            await tx.PublishAsync(new Told("bad", 0, false), Ct);
            await tx.PublishAsync(new Told("bad", 1, true), Ct);
            await tx.PublishAsync(new Told("bad", 2, false), Ct);
        }, Ct);
        await EventStage.TellAsync(app, keys: 6, first: 0, count: 5);
        await EventStage.UntilAsync(app, WitnessModule.Left, 31);
        await EventStage.UntilAsync(app, WitnessModule.Right, 33);
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select count(*) from events_set_aside where state = 'parked'"), Ct) == 1);
        Assert.Equal([0L], await NumbersAsync(app, "bad"));
        await EventStage.HasAllAsync(app, WitnessModule.Left, keys: 6, count: 5);

        WitnessModule.Cured[stage.Data] = true;
        await app.Db.ExecuteAsync($"update events_set_aside set state = 'retrying', next_attempt_at = {DateTime.UnixEpoch} where state = 'parked'", Ct);
        await EventStage.UntilAsync(app, WitnessModule.Left, 33);
        Assert.Equal([0L, 1L, 2L], await NumbersAsync(app, "bad"));
    }

    [Fact]
    public async Task A_consumer_that_fails_at_everything_hurts_no_other()
    {
        await using var stage = await StageAsync();
        WitnessModule.Dead[stage.Data] = true;
        await using var app = await stage.StartAsync();
        await EventStage.TellAsync(app, keys: 6, first: 0, count: 10);
        await EventStage.UntilAsync(app, WitnessModule.Left, 60);
        await EventStage.HasAllAsync(app, WitnessModule.Left, keys: 6, count: 10);

        // Alive again, it gets everything it missed, in order.
        WitnessModule.Dead.TryRemove(stage.Data, out _);
        await EventStage.UntilAsync(app, WitnessModule.Right, 60, 60);
        await EventStage.HasAllAsync(app, WitnessModule.Right, keys: 6, count: 10);
    }

    [Fact]
    public async Task Consumers_go_on_where_they_were_after_a_restart()
    {
        await using var stage = await StageAsync();
        for (var run = 0; run < 3; run++)
        {
            await using var app = await stage.StartAsync();
            await EventStage.TellAsync(app, keys: 6, first: run * 10, count: 10);
            if (run == 1)
                await EventStage.UntilAsync(app, WitnessModule.Left, 100);
        }

        await using var last = await stage.StartAsync();
        foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
        {
            await EventStage.UntilAsync(last, witness, 180);
            await EventStage.HasAllAsync(last, witness, keys: 6, count: 30);
        }
    }

    [Fact]
    public async Task The_log_is_read_again_from_any_point()
    {
        await using var stage = await StageAsync();
        await using var app = await stage.StartAsync();
        await EventStage.TellAsync(app, keys: 7, first: 0, count: 20);
        await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Whispered("k1", 0), Ct), Ct);
        await EventStage.UntilAsync(app, WitnessModule.Left, 141);
        var log = app.Services.GetRequiredService<IEventLog>();
        var all = new List<StoredEvent>();
        for (var partition = 0; partition < log.Partitions; partition++)
        {
            var (here, after) = (new List<StoredEvent>(), 0L);
            while (await log.ReadAsync(partition, after, ["tests.told"], 9, Ct) is { Count: > 0 } page)
            {
                here.AddRange(page);
                after = page[^1].Sequence;
            }

            Assert.Equal(here.Select(e => e.Sequence).Order(), here.Select(e => e.Sequence));
            // From the middle on it is the same again.
            if (here.Count > 2)
                Assert.Equal(here[2..].Select(e => e.Id), (await log.ReadAsync(partition, here[1].Sequence, ["tests.told"], 1000, Ct)).Select(e => e.Id));
            all.AddRange(here);
        }

        Assert.Equal(140, all.Select(e => e.Id).Distinct().Count());
        Assert.Equal(140, all.Count);
        Assert.All(all.GroupBy(e => e.Key), key => Assert.Equal(20, key.Count()));
    }

    [Fact]
    public async Task Who_has_caught_up_has_handled_everything_committed_before()
    {
        await using var stage = await StageAsync();
        await using var app = await stage.StartAsync();
        var progress = app.Services.GetRequiredService<ConsumerProgress>();
        for (var number = 0; number < 10; number++)
        {
            await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Told($"k{number}", 0, false), Ct), Ct);
            foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
            {
                Assert.True(await progress.CaughtUpAsync(witness, ["tests.told"], TimeSpan.FromSeconds(90), Ct));
                Assert.Equal(number + 1, await app.Db.FindAsync<long>($"select count(*) from witness_told where witness = {witness}", Ct));
            }
        }

        // Somebody who never ran has not; asking takes the patience and no longer.
        Assert.False(await progress.CaughtUpAsync("nobody", ["tests.told"], TimeSpan.FromMilliseconds(300), Ct));
        await Eventually.TrueAsync(async () => (await progress.ListAsync(Ct)).All(c => c.Lag == 0));
    }

    [Fact]
    public async Task A_report_is_counted_again_from_the_log()
    {
        await using var stage = await StageAsync();
        await using var app = await stage.StartAsync();
        for (var i = 0; i < 6; i++)
            await (await app.Http.PostAsJsonAsync("/users", new { email = $"a{i}@example.com", name = $"a{i}", password = "12345678" }, Ct)).JsonAsync(201);
        Assert.True(await app.Services.GetRequiredService<ConsumerProgress>().CaughtUpAsync("reports.signups", ["users.user-registered"], TimeSpan.FromSeconds(90), Ct));
        await app.Db.ExecuteAsync(Sql.Raw("update reports_signups set count = 99"), Ct);
        await app.Db.InTransactionAsync(tx => tx.EnqueueAsync(new RebuildSignUps(), cancellationToken: Ct), Ct);
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select cast(sum(count) as bigint) from reports_signups"), Ct) == 6);
    }

    [Fact]
    public async Task What_is_handed_over_twice_has_one_effect()
    {
        await using var stage = await StageAsync();
        await using var app = await stage.StartAsync();
        await EventStage.TellAsync(app, keys: 5, first: 0, count: 4);
        await EventStage.UntilAsync(app, WitnessModule.Left, 20);
        var log = app.Services.GetRequiredService<IEventLog>();
        var services = app.Services;
        var consumer = services.GetRequiredService<ConsumerRegistry>().All.Single(c => c.Name == WitnessModule.Left);
        var feed = new EventFeed(consumer, services.GetRequiredService<Db>(), services, services.GetRequiredService<EventOptions>(), TimeProvider.System,
            Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
        for (var partition = 0; partition < log.Partitions; partition++)
        {
            var position = await feed.PositionAsync(partition, Ct);
            if (await log.ReadAsync(partition, 0, ["tests.told"], 100, Ct) is { Count: > 0 } again)
                await feed.HandleAsync(partition, [.. again.Select(e => e with { Position = ++position, Sequence = e.Sequence })], Ct);
        }

        await EventStage.HasAllAsync(app, WitnessModule.Left, keys: 5, count: 4);
    }

    /// <summary>Ten more events for every key, and again when nearly all of them are handled, until it is enough.</summary>
    /// <returns>How many there are for each key.</returns>
    static async Task<int> WriteAsync(TestApp app, int keys, CancellationToken enough)
    {
        var written = 0;
        while (!enough.IsCancellationRequested)
        {
            await EventStage.TellAsync(app, keys, written, 10);
            written += 10;
            await Eventually.TrueAsync(async () => await CountAsync(app) > 2 * keys * (written - 20));
        }

        return written;
    }

    static Task<long> CountAsync(TestApp app) => app.Db.FindAsync<long>(Sql.Raw("select count(*) from witness_told"), Ct);

    static Task<List<long>> NumbersAsync(TestApp app, string key) =>
        app.Db.ListAsync<long>($"select number from witness_told where witness = {WitnessModule.Left} and key = {key} order by place", Ct);
}

/// <summary>The log in SQLite.</summary>
public sealed class EmbeddedEventLogTests : EventLogPromises
{
    private protected override Task<EventStage> StageAsync() => Task.FromResult(new EventStage());
}

/// <summary>The log on Kafka, changes in SQLite.</summary>
public sealed class KafkaEventLogTests : EventLogPromises
{
    private protected override async Task<EventStage> StageAsync() => await KafkaStage.MakeAsync();
}

/// <summary>The log on PostgreSQL.</summary>
public sealed class PostgresEventLogTests : EventLogPromises
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    private protected override Task<EventStage> StageAsync()
    {
        TestStores.NeedsPostgres();
        return new EventStage().OnPostgresAsync();
    }

    [Fact]
    public async Task A_transaction_that_took_its_number_early_and_commits_late_is_not_missed()
    {
        await using var stage = await StageAsync();
        await using var app = await stage.StartAsync();
        var (early, late) = (new TaskCompletionSource(), new TaskCompletionSource());
        var slow = app.Db.InTransactionAsync(async tx =>
        {
            await tx.PublishAsync(new Told("k0", 0, false), Ct);
            // The outbox row, with its number, is written now; the commit waits.
            await tx.FindAsync<long>(Sql.Raw("select 1"), Ct);
            early.TrySetResult();
            await late.Task;
        }, Ct);
        await early.Task;
        for (var number = 0; number < 50; number++)
            await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Told("k1", number, false), Ct), Ct);
        // A reader is far behind the number of the slow one by now.
        await EventStage.UntilAsync(app, WitnessModule.Left, 50);
        late.SetResult();
        await slow;

        foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
        {
            await EventStage.UntilAsync(app, witness, 51);
            Assert.Equal([0L], await app.Db.ListAsync<long>($"select number from witness_told where witness = {witness} and key = 'k0'", Ct));
        }
    }

    [Fact]
    public async Task What_many_events_leave_behind_in_the_outbox_is_cleared_away()
    {
        await using var stage = await StageAsync();
        await using var app = await stage.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("""
            insert into events_outbox (id, name, key, payload, occurred_at) select gen_random_uuid(), 'tests.unheard', i::text, '{}', now() from generate_series(1, 25000) i
            """), Ct);
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select count(*) from events_log where name = 'tests.unheard'"), Ct) == 25_000);
        // The server's own vacuum may have been at it at that very moment; ours leaves it to that one then.
        await Eventually.TrueAsync(async () =>
            await app.Db.FindAsync<long>(Sql.Raw("select vacuum_count + autovacuum_count from pg_stat_user_tables where relname = 'events_outbox'"), Ct) > 0, seconds: 60);
        // In the order in which they were written.
        Assert.Equal(25_000, await app.Db.FindAsync<long>(Sql.Raw("""
            select count(*) from (select key::bigint - lag(key::bigint, 1, 0) over (order by position) as step from events_log where name = 'tests.unheard') as s where step = 1
            """), Ct));
    }

    [Fact]
    public async Task Racing_transactions_on_one_key_keep_their_order_and_none_is_missed_or_doubled()
    {
        await using var stage = await StageAsync();
        await using var app = await stage.StartAsync();
        await app.Db.ExecuteAsync(Sql.Raw("create table counters (key text primary key, number bigint not null)"), Ct);
        for (var key = 0; key < 4; key++)
            await app.Db.ExecuteAsync($"insert into counters values ({"k" + key}, -1)", Ct);

        // Each change reads, changes and publishes its key's number beside many others, some of which linger before they commit.
        await Parallel.ForEachAsync(Enumerable.Range(0, 400), new ParallelOptions { MaxDegreeOfParallelism = 16, CancellationToken = Ct }, async (i, ct) =>
            await app.Db.InTransactionAsync(async tx =>
            {
                var key = "k" + i % 4;
                var number = await tx.FindAsync<int>($"update counters set number = number + 1 where key = {key} returning number", ct);
                await tx.PublishAsync(new Told(key, number, false), ct);
                if (i % 7 == 0)
                    await tx.FindAsync<string>(Sql.Raw("select pg_sleep(0.01)::text"), ct);
            }, ct));

        foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
        {
            await EventStage.UntilAsync(app, witness, 400);
            await EventStage.HasAllAsync(app, witness, keys: 4, count: 100);
        }
    }
}

/// <summary>The log on Kafka, changes in PostgreSQL.</summary>
public sealed class KafkaOnPostgresTests : EventLogPromises
{
    private protected override async Task<EventStage> StageAsync()
    {
        TestStores.NeedsPostgres();
        return await (await KafkaStage.MakeAsync()).OnPostgresAsync();
    }
}
