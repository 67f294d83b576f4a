using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Tests.Core;

public sealed class IdempotencyTests
{
    const string Pen = """{"name":"Pen","price":1.50}""";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public sealed record Item(string Name, decimal Price);

    public sealed record Ticket(string Name)
    {
        public Guid Secret { get; } = Guid.NewGuid();
    }

    public sealed record NewOrder(string Article);

    public sealed record Order(long Id, string Article);

    [Fact]
    public async Task A_repetition_gets_the_first_answer_and_nothing_happens_twice()
    {
        await using var app = await StartAsync();

        var first = await PostAsync(app.Http, "/items", Pen, "k1");
        await (await app.Http.PatchAsJsonAsync("/items/1", new { name = "Ink" }, Ct)).JsonAsync();
        var second = await PostAsync(app.Http, "/items", Pen, "k1");

        await ShouldBeEqualAsync(first, second);
        Assert.Equal("/items/1", second.Headers.Location?.ToString());
        Assert.Equal("\"1\"", second.Headers.ETag?.Tag);
        Assert.Equal(first.Content.Headers.LastModified, second.Content.Headers.LastModified);
        await CountsAsync(app, "items", 1);
        Assert.Equal("Ink", (await (await app.Http.GetAsync("/items/1", Ct)).JsonAsync()).GetProperty("name").GetString());
    }

    [Fact]
    public async Task Fifty_at_once_with_one_key_make_one_row_and_get_one_answer()
    {
        await using var app = await StartAsync();

        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => PostAsync(app.Http, "/items", Pen, "k1")));

        foreach (var answer in answers)
            await ShouldBeEqualAsync(answers[0], answer);
        await CountsAsync(app, "items", 1);
    }

    [Fact]
    public async Task What_a_record_fills_in_itself_is_repeated_too()
    {
        await using var app = await TestApp.StartAsync(a => a.Resource<Ticket>("/tickets").AllowAnonymous());

        var first = await PostAsync(app.Http, "/tickets", """{"name":"One"}""", "k1");

        await ShouldBeEqualAsync(first, await PostAsync(app.Http, "/tickets", """{"name":"One"}""", "k1"));
    }

    [Fact]
    public async Task A_key_belongs_to_one_request()
    {
        await using var app = await StartAsync(a => a.Resource<Item>("/things"), a => TestTokens.Use(a));
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-7");
        await (await PostAsync(app.Http, "/things", Pen, "k1")).JsonAsync(201);

        await (await PostAsync(app.Http, "/things", """{"name":"Ink","price":7}""", "k1")).ShouldBeProblemAsync(422, "http/idempotency-key-reused");
        await (await PostAsync(app.Http, "/items", Pen, "other")).JsonAsync(201);
        await CountsAsync(app, "things", 1);
    }

    [Fact]
    public async Task Another_account_has_keys_of_its_own()
    {
        await using var app = await StartAsync(a => a.Resource<Item>("/things"), a => TestTokens.Use(a));
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-7");
        await (await PostAsync(app.Http, "/things", Pen, "k1")).JsonAsync(201);
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-8");

        var answer = await PostAsync(app.Http, "/things", Pen, "k1");

        Assert.Equal(2, (await answer.JsonAsync(201)).GetProperty("id").GetInt64());
        await CountsAsync(app, "things", 2);
    }

    [Fact]
    public async Task Without_an_account_a_key_belongs_to_the_path()
    {
        await using var app = await StartAsync(a => a.Resource<Item>("/things").AllowAnonymous());
        await (await PostAsync(app.Http, "/things", Pen, "k1")).JsonAsync(201);

        await (await PostAsync(app.Http, "/items", Pen, "k1")).JsonAsync(201);

        await CountsAsync(app, "things", 1);
        await CountsAsync(app, "items", 1);
    }

    [Theory]
    [InlineData("Idempotency-Key: ")]
    [InlineData("Idempotency-Key: a\tb")]
    [InlineData("Idempotency-Key: cl\u00e9")]
    [InlineData("Idempotency-Key: k1\r\nIdempotency-Key: k2")]
    [InlineData("Idempotency-Key: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345")]
    public async Task A_header_that_is_no_key_is_refused_and_nothing_is_stored(string header)
    {
        await using var app = await StartAsync();
        using var client = new TcpClient();
        await client.ConnectAsync(app.Http.BaseAddress!.Host, app.Http.BaseAddress.Port, Ct);
        await using var stream = client.GetStream();

        await stream.WriteAsync(Encoding.UTF8.GetBytes($"POST /items HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\nContent-Type: application/json\r\nContent-Length: {Pen.Length}\r\n\r\n{Pen}"), Ct);

        var answer = await new StreamReader(stream).ReadToEndAsync(Ct);
        Assert.StartsWith("HTTP/1.1 422", answer, StringComparison.Ordinal);
        Assert.Contains("Idempotency-Key", answer, StringComparison.Ordinal);
        await CountsAsync(app, "items", 0);
    }

    [Fact]
    public async Task A_refused_request_leaves_its_key_free()
    {
        await using var app = await StartAsync();
        await (await PostAsync(app.Http, "/items", """{"name":"Pen"}""", "k1")).ShouldBeProblemAsync(422, "http/invalid");

        await (await PostAsync(app.Http, "/items", Pen, "k1")).JsonAsync(201);
    }

    [Fact]
    public async Task A_sign_up_is_repeated_by_its_password_too_which_is_kept_as_a_hash_only()
    {
        await using var app = await StartAsync();
        var email = TestUsers.NewEmail();
        var body = $$"""{"email":"{{email}}","name":"Ada","password":"correct horse"}""";

        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => PostAsync(app.Http, "/users", body, "k1")));

        foreach (var answer in answers)
            await ShouldBeEqualAsync(answers[0], answer);
        await (await PostAsync(app.Http, "/users", body.Replace("horse", "house", StringComparison.Ordinal), "k1")).ShouldBeProblemAsync(422, "http/idempotency-key-reused");
        await (await PostAsync(app.Http, "/users", body, "k2")).ShouldBeProblemAsync(400, "users/email-taken");
        await (await PostAsync(app.Http, "/users", body, "k2")).ShouldBeProblemAsync(400, "users/email-taken");
        await app.SettledAsync();
        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from events_log where name = 'users.user-registered'", Ct));
        Assert.Contains("$argon2id$", await app.Db.FindAsync<string>($"select result from core_idempotency", Ct));
    }

    [Fact]
    public async Task Guessing_the_password_of_a_repeated_sign_up_is_limited_like_signing_in()
    {
        await using var app = await StartAsync();
        var body = $$"""{"email":"{{TestUsers.NewEmail()}}","name":"Ada","password":"correct horse"}""";
        await (await PostAsync(app.Http, "/users", body, "k1")).JsonAsync(201);
        for (var guess = 10; guess < 20; guess++)
            await (await PostAsync(app.Http, "/users", body.Replace("horse", $"house {guess}", StringComparison.Ordinal), "k1")).ShouldBeProblemAsync(422, "http/idempotency-key-reused");

        Assert.Equal(429, (int)(await PostAsync(app.Http, "/users", body.Replace("horse", "house", StringComparison.Ordinal), "k1")).StatusCode);
    }

    [Fact]
    public async Task An_endpoint_of_ones_own_takes_the_key_as_a_parameter()
    {
        await using var app = await StartAsync(MapOrders, a => TestTokens.Use(a));
        await app.Db.ExecuteAsync(Sql.Raw($"create table orders_orders (id {TestStores.Identity}, article text not null)"), Ct);
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-7");

        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => PostAsync(app.Http, "/orders", """{"article":"Pen"}""", "k1")));

        foreach (var answer in answers)
            await ShouldBeEqualAsync(answers[0], answer);
        await (await PostAsync(app.Http, "/orders", """{"article":"Ink"}""", "k1")).ShouldBeProblemAsync(422, "http/idempotency-key-reused");
        Assert.Equal(2, (await (await PostAsync(app.Http, "/orders", """{"article":"Ink"}""", null)).JsonAsync(201)).GetProperty("id").GetInt64());
        var operation = (await (await app.Http.GetAsync("/openapi/v1.json", Ct)).JsonAsync()).GetProperty("paths").GetProperty("/orders").GetProperty("post");
        Assert.Contains(operation.GetProperty("parameters").EnumerateArray(), p => p.GetProperty("name").GetString() == "Idempotency-Key" && p.GetProperty("in").GetString() == "header");
        Assert.Contains("http/idempotency-key-reused", operation.GetProperty("responses").GetProperty("422").GetProperty("description").GetString());
    }

    // docs/guide/resources.md shows this.
    static void MapOrders(TandemApp app) =>
        app.MapPost("/orders", async (NewOrder order, IdempotencyKey? key, Db db, CancellationToken ct) =>
        {
            var stored = await db.OnceAsync(key, tx => tx.FindAsync<Order>($"""
                insert into orders_orders (article) values ({order.Article}) returning id, article
                """, ct), ct);
            return TypedResults.Created($"/orders/{stored!.Id}", stored);
        });

    [Fact]
    public async Task A_key_is_remembered_for_its_lifetime_and_then_swept()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        await (await PostAsync(app.Http, "/items", Pen, "k1")).JsonAsync(201);
        await (await PostAsync(app.Http, "/items", Pen, "k2")).JsonAsync(201);
        // Not by Advance: what looks every so often would do so for each time in a day.
        clock.AdjustTime(clock.GetUtcNow() + TimeSpan.FromHours(24) - TimeSpan.FromSeconds(1));
        Assert.Equal("/items/1", (await PostAsync(app.Http, "/items", Pen, "k1")).Headers.Location?.ToString());

        clock.Advance(TimeSpan.FromSeconds(1));

        // Expired: another request may have it, whether it has been swept or not.
        Assert.Equal("/items/3", (await PostAsync(app.Http, "/items", """{"name":"Ink","price":7}""", "k1")).Headers.Location?.ToString());
        await app.Services.GetServices<IHostedService>().OfType<IdempotencySweep>().Single().SweepAsync(Ct);
        Assert.Equal(["k1"], await app.Db.ListAsync<string>($"select key from core_idempotency", Ct));
    }

    [Fact]
    public async Task A_killed_process_remembers_what_it_answered()
    {
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        var email = TestUsers.NewEmail();
        var body = $$"""{"email":"{{email}}","name":"Ada","password":"12345678"}""";
        HttpResponseMessage first;
        await using (var server = await Programs.ServeAsync(data))
        {
            first = await PostAsync(server.Http, "/users", body, "k1");
            await server.KillAsync();
        }

        await using (var server = await Programs.ServeAsync(data))
            await ShouldBeEqualAsync(first, await PostAsync(server.Http, "/users", body, "k1"));
        Directory.Delete(data, recursive: true);
    }

    static Task<TestApp> StartAsync(params Action<TandemApp>[] more) => TestApp.StartAsync(app =>
    {
        app.Resource<Item>("/items").AllowAnonymous();
        foreach (var add in more)
            add(app);
    });

    static StringContent Json(string body) => new(body, Encoding.UTF8, "application/json");

    static async Task<HttpResponseMessage> PostAsync(HttpClient http, string path, string body, string? key)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = Json(body) };
        if (key is not null)
            request.Headers.Add("Idempotency-Key", key);
        return await http.SendAsync(request, Ct);
    }

    static async Task ShouldBeEqualAsync(HttpResponseMessage first, HttpResponseMessage second)
    {
        Assert.Equal(201, (int)first.StatusCode);
        Assert.Equal(first.StatusCode, second.StatusCode);
        Assert.Equal(first.Headers.Location, second.Headers.Location);
        Assert.Equal(first.Headers.ETag, second.Headers.ETag);
        Assert.Equal(await first.Content.ReadAsStringAsync(Ct), await second.Content.ReadAsStringAsync(Ct));
    }

    /// <summary>So many rows, and as many events of their making.</summary>
    static async Task CountsAsync(TestApp app, string resource, long expected)
    {
        Assert.Equal(expected, await app.Db.FindAsync<long>(Sql.Raw($"select count(*) from resources_{resource}"), Ct));
        await app.SettledAsync();
        Assert.Equal(expected, await app.Db.FindAsync<long>($"select count(*) from events_log where name = {resource + ".created"}", Ct));
    }
}
