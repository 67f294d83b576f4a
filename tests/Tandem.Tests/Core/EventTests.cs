using System.Collections.Concurrent;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Tests.Core;

public sealed class EventTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Events_arrive_once_and_in_order_for_their_key()
    {
        await using var app = await TestApp.StartAsync(a => a.Add<TallyModule>());
        await Parallel.ForEachAsync(Enumerable.Range(0, 20), Ct, async (key, ct) =>
        {
            for (var i = 0; i < 25; i++)
                await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Counted($"k{key}", i, false), ct), ct);
        });
        await TallyModule.UntilAsync(app, 500);
        for (var key = 0; key < 20; key++)
            Assert.Equal(Enumerable.Range(0, 25).Select(i => (long)i),
                await app.Db.ListAsync<long>($"select number from tally where key = {"k" + key} order by place", Ct));
    }

    [Fact]
    public async Task An_event_of_a_transaction_that_fails_does_not_exist()
    {
        await using var app = await TestApp.StartAsync(a => a.Add<TallyModule>());
        await Assert.ThrowsAsync<InvalidOperationException>(() => app.Db.InTransactionAsync(async tx =>
        {
            await tx.PublishAsync(new Counted("a", 1, false), Ct);
            throw new InvalidOperationException();
        }, Ct));
        await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Counted("a", 2, false), Ct), Ct);
        await TallyModule.UntilAsync(app, 1);
        Assert.Equal([2L], await app.Db.ListAsync<long>(Sql.Raw("select number from tally"), Ct));
    }

    [Fact]
    public async Task A_poisoned_event_is_parked_visibly_its_key_waits_and_others_go_on()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a.Add<TallyModule>()), null, "--Events:MaxAttempts", "2");
        await app.Db.InTransactionAsync(async tx =>
        {
            await tx.PublishAsync(new Counted("good", 1, false), Ct);
            await tx.PublishAsync(new Counted("bad", 1, false), Ct);
            await tx.PublishAsync(new Counted("bad", 2, true), Ct);
            await tx.PublishAsync(new Counted("bad", 3, false), Ct);
            await tx.PublishAsync(new Counted("good", 2, false), Ct);
        }, Ct);
        await TallyModule.UntilAsync(app, 3);
        await Eventually.TrueAsync(async () =>
            await app.Db.FindAsync<long>(Sql.Raw("select count(*) from events_set_aside where state = 'parked' and error like '%poison%'"), Ct) == 1);
        Assert.Equal(["bad 1", "good 1", "good 2"], await app.Db.ListAsync<string>(Sql.Raw("select key || ' ' || number from tally order by 1"), Ct));
        Assert.Equal(["parked", "waiting"], await app.Db.ListAsync<string>(Sql.Raw("select state from events_set_aside order by position"), Ct));

        // The operator mends the cause and asks for another try: it goes through, and what waited follows in order.
        TallyModule.Cured[app.Data] = true;
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "admin");
        await (await app.Http.PostAsync($"/events/parked/tally/{await ParkedAsync(app)}/retry", null, Ct)).JsonlessAsync(204);
        await TallyModule.UntilAsync(app, 5);
        Assert.Equal([1L, 2L, 3L], await app.Db.ListAsync<long>(Sql.Raw("select number from tally where key = 'bad' order by place"), Ct));
        await Eventually.TrueAsync(async () =>
            (await (await app.Http.GetAsync("/events/consumers", Ct)).JsonAsync()).EnumerateArray().Single(c => c.GetProperty("consumer").GetString() == "tally") is var tally
            && (tally.GetProperty("lag").GetInt64(), tally.GetProperty("set_aside").GetInt64()) == (0, 0));
    }

    [Fact]
    public async Task An_operator_drops_a_parked_event_and_its_key_goes_on_without_it()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a.Add<TallyModule>()), null, "--Events:MaxAttempts", "1");
        foreach (var (number, poison) in new[] { (1, true), (2, false) })
            await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Counted("bad", number, poison), Ct), Ct);
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "admin");
        var parked = await ParkedAsync(app);

        await (await app.Http.PostAsync($"/events/parked/tally/{Guid.NewGuid()}/skip", null, Ct)).ShouldBeProblemAsync(404, "events/not-found");
        await (await app.Http.PostAsync($"/events/parked/tally/{parked}/skip", null, Ct)).JsonlessAsync(204);

        await TallyModule.UntilAsync(app, 1);
        Assert.Equal([2L], await app.Db.ListAsync<long>(Sql.Raw("select number from tally"), Ct));
        await (await app.Http.PostAsync($"/events/parked/tally/{parked}/retry", null, Ct)).ShouldBeProblemAsync(404, "events/not-found");
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-7");
        await (await app.Http.GetAsync("/events/parked", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
    }

    /// <summary>The id of the one event that is parked, as an operator finds it.</summary>
    static async Task<string> ParkedAsync(TestApp app)
    {
        string? id = null;
        await Eventually.TrueAsync(async () => (id = (await (await app.Http.GetAsync("/events/parked", Ct)).JsonAsync()).EnumerateArray()
            .Where(e => e.GetProperty("state").GetString() == "parked").Select(e => e.GetProperty("event_id").GetString()).SingleOrDefault()) is not null);
        return id!; // waited for above
    }

    [Fact]
    public async Task A_consumer_goes_on_where_it_stopped()
    {
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        try
        {
            for (var run = 1; run <= 3; run++)
            {
                // Copies of the directory are not deleted by the app: the path given is kept until the end.
                await using var app = TestApp.KeepData(await TestApp.StartAsync(a => a.Add<TallyModule>(), data));
                for (var i = 0; i < 50; i++)
                    await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Counted("k", run * 100 + i, false), Ct), Ct);
                if (run == 3)
                {
                    await TallyModule.UntilAsync(app, 150);
                    Assert.Equal(150, await app.Db.FindAsync<long>(Sql.Raw("select count(distinct number) from tally"), Ct));
                }
            }
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }
}

/// <summary>An event of the tests.</summary>
[Event("tests.counted")]
public sealed record Counted(string Key, int Number, bool Poison);

/// <summary>A module of the tests: writes down what it is told, in the order it is told.</summary>
public sealed class TallyModule : Module
{
    internal static readonly ConcurrentDictionary<string, bool> Cured = new();

    public override string Name => "tally";

    public override void Add(ModuleBuilder module) => module.Consume<Counted, Tally>();

    internal override string MissingSchema(Schema schema) => schema.Columns("tally").Count > 0
        ? ""
        : $"create table tally (place {schema.Identity}, key text, number integer, delivery {schema.TypeOf(typeof(Guid))} unique)";

    internal static Task UntilAsync(TestApp app, long count) =>
        Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select count(*) from tally")) == count);

    sealed class Tally(DataDirectory data) : IConsumer<Counted>
    {
        public async Task HandleAsync(Delivery<Counted> delivery, Transaction tx, CancellationToken cancellationToken)
        {
            await tx.ExecuteAsync($"insert into tally (key, number, delivery) values ({delivery.Event.Key}, {delivery.Event.Number}, {delivery.Id})", cancellationToken);
            if (delivery.Event.Poison && !Cured.ContainsKey(data.Path))
                throw new InvalidOperationException("poison");
        }
    }
}
