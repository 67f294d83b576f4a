using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Resources;

namespace Tandem.Tests.Resources;

public sealed class SchemaTests
{
    public sealed record First(string Name, int Count);
    public sealed record Grown(string Name, int Count, string? Note, decimal Price = 2.5m, string Unit = "pc's", bool Active = true);
    public sealed record Demanding(string Name, int Count, string Owner);
    public sealed record Changed(string Name, string Count);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync<T>(string data) where T : class => TestApp.StartAsync(app => app.Resource<T>("/things").AllowAnonymous(), data);

    static async Task WithRowAsync(Func<string, Task> then)
    {
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        await using (var app = TestApp.KeepData(await StartAsync<First>(data)))
            await (await app.Http.PostAsJsonAsync("/things", new { name = "old", count = 1 }, Ct)).JsonAsync(201);
        try
        {
            await then(data);
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public Task A_record_that_has_grown_shows_old_rows_with_its_defaults() => WithRowAsync(async data =>
    {
        for (var start = 0; start < 2; start++)
        {
            await using var app = TestApp.KeepData(await StartAsync<Grown>(data));
            Assert.Equal("""{"id":1,"name":"old","count":1,"note":null,"price":2.5,"unit":"pc\u0027s","active":true}""", await app.Http.GetStringAsync("/things/1", Ct));
        }

        // The older program still works on the table: a rollback is no accident.
        await using var older = TestApp.KeepData(await StartAsync<First>(data));
        Assert.Equal("""{"id":1,"name":"old","count":1}""", await older.Http.GetStringAsync("/things/1", Ct));
        await (await older.Http.PostAsJsonAsync("/things", new { name = "b", count = 2 }, Ct)).JsonAsync(201);
    });

    [Fact]
    public Task A_new_property_that_must_not_be_empty_stops_the_start_with_what_to_do() => WithRowAsync(async data =>
    {
        var stopped = await Assert.ThrowsAsync<ConfigurationException>(() => StartAsync<Demanding>(data));
        Assert.Equal("Demanding.Owner is new and must not be empty, but resources_things has rows without it. Make it nullable, or give it a default value: the rows get that.", stopped.Message);
    });

    [Fact]
    public Task A_property_of_another_type_stops_the_start_with_what_to_do() => WithRowAsync(async data =>
    {
        var stopped = await Assert.ThrowsAsync<ConfigurationException>(() => StartAsync<Changed>(data));
        Assert.StartsWith("Changed.Count is kept as text", stopped.Message);
        Assert.Contains($", but the column count of resources_things holds {(TestStores.OnPostgres ? "bigint" : "integer")}", stopped.Message);
    });

    public sealed record WithId(long Id, string Name);
    public sealed record WithVersion(string RowVersion);

    [Theory]
    [InlineData("items")]
    [InlineData("/Items")]
    [InlineData("/items/")]
    [InlineData("/items/{id}")]
    [InlineData("/it ems")]
    [InlineData("")]
    public void A_path_that_cannot_be_one_is_refused(string path) => Assert.Throws<ConfigurationException>(() => new Resource<First>(path));

    [Fact]
    public async Task What_cannot_be_a_resource_is_refused_with_a_reason()
    {
        Assert.Contains("gives every item its id itself", Assert.Throws<ConfigurationException>(() => new Resource<WithId>("/x")).Message);
        Assert.Contains("row_version", Assert.Throws<ConfigurationException>(() => new Resource<WithVersion>("/x")).Message);
        Assert.Contains("not a record or class", Assert.Throws<ConfigurationException>(() => new Resource<string>("/x")).Message);
        await using var app = TandemApp.Create(["--data", Path.Combine(Path.GetTempPath(), "tandem-tests", "never")]);
        app.Resource<First>("/a-b");
        Assert.Contains("named a-b already", Assert.Throws<ConfigurationException>(() => app.Resource<First>("/a/b")).Message);
        Assert.Contains("named users already", Assert.Throws<ConfigurationException>(() => app.Resource<First>("/users")).Message);
    }

    [Event("shop-order-lines.created")]
    public sealed record OrderLineCreated(long Id, OrderLine Item);

    public enum Kind { Small, VeryLarge }
    public sealed record OrderLine(string Group, Kind Kind, DateTime? At = null);

    sealed class Totals : Module
    {
        public override string Name => "totals";

        public TaskCompletionSource<OrderLineCreated> Seen { get; } = new();

        public override void Add(ModuleBuilder module)
        {
            module.Services.AddSingleton(this);
            module.Consume<OrderLineCreated, Counter>();
        }

        sealed class Counter(Totals totals) : IConsumer<OrderLineCreated>
        {
            public Task HandleAsync(Delivery<OrderLineCreated> delivery, Transaction tx, CancellationToken cancellationToken)
            {
                totals.Seen.TrySetResult(delivery.Event);
                return Task.CompletedTask;
            }
        }
    }

    [Fact]
    public async Task A_module_consumes_what_a_resource_publishes_and_words_of_SQL_are_good_names()
    {
        var totals = new Totals();
        await using var app = await TestApp.StartAsync(app =>
        {
            app.Add(totals);
            app.Resource<OrderLine>("/shop/order-lines").AllowAnonymous();
        });
        var created = await app.Http.PostAsJsonAsync("/shop/order-lines", new { group = "g", kind = "very_large", at = "2026-01-31T12:00:00Z" }, Ct);
        Assert.Equal("/shop/order-lines/1", created.Headers.Location?.ToString());
        Assert.Equal(1, (await (await app.Http.GetAsync("/shop/order-lines?group=g&kind=very_large&sort=-group", Ct)).JsonAsync()).GetArrayLength());
        var problem = await (await app.Http.GetAsync("/shop/order-lines/9", Ct)).ShouldBeProblemAsync(404, "shop/order-lines/not-found");
        Assert.Equal("Order line not found", problem.GetProperty("detail").GetString());

        var seen = await totals.Seen.Task.WaitAsync(TimeSpan.FromSeconds(90), Ct);
        Assert.Equal(new OrderLineCreated(1, new OrderLine("g", Kind.VeryLarge, new DateTime(2026, 1, 31, 12, 0, 0, DateTimeKind.Utc))), seen);
    }
}
