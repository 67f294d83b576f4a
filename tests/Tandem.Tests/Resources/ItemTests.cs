using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Tandem.Core.Http;

namespace Tandem.Tests.Resources;

public sealed class ItemTests
{
    public sealed record Item(string Name, decimal Price);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync() => TestApp.StartAsync(app => app.Resource<Item>("/items").AllowAnonymous());

    [Fact]
    public async Task The_shipped_program_stores_an_item_for_a_caller_with_a_token()
    {
        await using var app = await TestApp.StartAsync(app =>
        {
            TestTokens.Use(app);
            app.Resource<Item>("/items");
        });
        await (await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1.5 }, Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await app.Http.GetAsync("/items", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");

        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-2");
        var created = await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1.5 }, Ct);

        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        Assert.Equal("""{"id":1,"name":"Pen","price":1.5}""", await created.Content.ReadAsStringAsync(Ct));
        Assert.Equal("/items/1", created.Headers.Location?.ToString());
        Assert.Equal("\"1\"", created.Headers.ETag?.Tag);
        Assert.NotNull(created.Content.Headers.LastModified);
        Assert.Equal("application/json", created.Content.Headers.ContentType?.ToString());

        var read = await app.Http.GetAsync("/items/1", Ct);
        Assert.Equal("""{"id":1,"name":"Pen","price":1.5}""", await read.Content.ReadAsStringAsync(Ct));
        Assert.Equal("\"1\"", read.Headers.ETag?.Tag);
    }

    [Fact]
    public async Task A_resource_opens_and_closes_by_conventions_for_all_or_a_part_of_it()
    {
        await using var app = await TestApp.StartAsync(app =>
        {
            TestTokens.Use(app);
            app.Resource<Item>("/items").Reading(r => r.AllowAnonymous()).Writing(w => w.RequireScope("items:write"));
        });
        await (await app.Http.GetAsync("/items", Ct)).JsonAsync();
        await (await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1 }, Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-2");
        await (await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1 }, Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-2 items:write");
        await (await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1 }, Ct)).JsonAsync(201);
        await (await app.Http.DeleteAsync("/items/1", Ct)).JsonlessAsync(204);
    }

    [Fact]
    public async Task An_item_is_patched_replaced_and_deleted()
    {
        await using var app = await StartAsync();
        await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1.5 }, Ct);

        var patched = await app.Http.PatchAsJsonAsync("/items/1", new { price = 2 }, Ct);
        Assert.Equal("""{"id":1,"name":"Pen","price":2}""", await patched.Content.ReadAsStringAsync(Ct));
        Assert.Equal("\"2\"", patched.Headers.ETag?.Tag);

        var replaced = await app.Http.PutAsJsonAsync("/items/1", new { id = 99, name = "Ink", price = 3 }, Ct);
        Assert.Equal("""{"id":1,"name":"Ink","price":3}""", await replaced.Content.ReadAsStringAsync(Ct));
        Assert.Equal("\"3\"", replaced.Headers.ETag?.Tag);

        await (await app.Http.DeleteAsync("/items/1", Ct)).JsonlessAsync(204);
        foreach (var gone in new[]
        {
            await app.Http.GetAsync("/items/1", Ct), await app.Http.DeleteAsync("/items/1", Ct),
            await app.Http.PatchAsJsonAsync("/items/1", new { price = 1 }, Ct), await app.Http.PutAsJsonAsync("/items/1", new { name = "x", price = 1 }, Ct),
        })
            Assert.Equal("Item not found", (await gone.ShouldBeProblemAsync(404, "items/not-found")).GetProperty("detail").GetString());

        // An id is never given twice.
        Assert.Equal(2, (await (await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1 }, Ct)).JsonAsync(201)).GetProperty("id").GetInt64());
    }

    [Fact]
    public async Task A_version_that_is_known_is_not_sent_again_and_one_that_is_gone_is_not_changed()
    {
        await using var app = await StartAsync();
        await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1.5 }, Ct);

        var known = await SendAsync(app, HttpMethod.Get, "If-None-Match", "W/\"7\", \"1\"");
        Assert.Equal(HttpStatusCode.NotModified, known.StatusCode);
        Assert.Equal("\"1\"", known.Headers.ETag?.Tag);
        Assert.Empty(await known.Content.ReadAsByteArrayAsync(Ct));
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(app, HttpMethod.Get, "If-None-Match", "\"2\"")).StatusCode);

        foreach (var method in new[] { HttpMethod.Patch, HttpMethod.Put, HttpMethod.Delete })
        {
            await (await SendAsync(app, method, "If-Match", "\"9\"")).ShouldBeProblemAsync(412, "http/precondition-failed");
            // Weak tags never match here (RFC 9110, section 13.1.1).
            await (await SendAsync(app, method, "If-Match", "W/\"1\"")).ShouldBeProblemAsync(412, "http/precondition-failed");
            var unread = await (await SendAsync(app, method, "If-Match", "1")).ShouldBeProblemAsync(422, "http/invalid");
            Assert.True(unread.GetProperty("errors").TryGetProperty("If-Match", out _));
        }

        await (await SendAsync(app, HttpMethod.Patch, "If-Match", "\"1\"")).JsonAsync();
        await (await SendAsync(app, HttpMethod.Put, "If-Match", "\"1\", \"2\"")).JsonAsync();
        await (await SendAsync(app, HttpMethod.Delete, "If-Match", "*")).JsonlessAsync(204);
        await (await SendAsync(app, HttpMethod.Delete, "If-Match", "*")).ShouldBeProblemAsync(404, "items/not-found");
    }

    static Task<HttpResponseMessage> SendAsync(TestApp app, HttpMethod method, string header, string value)
    {
        var request = new HttpRequestMessage(method, "/items/1");
        request.Headers.TryAddWithoutValidation(header, value);
        if (method != HttpMethod.Get && method != HttpMethod.Delete)
            request.Content = JsonContent.Create(new { name = "Pencil", price = 2 });
        return app.Http.SendAsync(request, Ct);
    }

    [Fact]
    public async Task Of_concurrent_patches_of_one_version_exactly_one_wins()
    {
        await using var app = await StartAsync();
        await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 0 }, Ct);
        for (var round = 1; round <= 5; round++)
        {
            var tag = $"\"{round}\"";
            var answers = await Task.WhenAll(Enumerable.Range(1, 30).Select(i =>
            {
                var request = new HttpRequestMessage(HttpMethod.Patch, "/items/1") { Content = JsonContent.Create(new { price = round * 100 + i }) };
                request.Headers.IfMatch.Add(new EntityTagHeaderValue(tag));
                return app.Http.SendAsync(request, Ct);
            }));
            Assert.Single(answers, a => a.StatusCode == HttpStatusCode.OK);
            Assert.Equal(29, answers.Count(a => a.StatusCode == HttpStatusCode.PreconditionFailed));
        }
    }

    [Fact]
    public async Task Concurrent_patches_of_different_fields_without_a_version_all_hold()
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<Dictionary>("/dictionaries").AllowAnonymous());
        await app.Http.PostAsJsonAsync("/dictionaries", new { words = new { } }, Ct);
        var answers = await Task.WhenAll(Enumerable.Range(0, 60).Select(i =>
            app.Http.PatchAsync("/dictionaries/1", new StringContent($$$"""{"words":{"w{{{i}}}":{{{i}}}}}""", Encoding.UTF8, "application/merge-patch+json"), Ct)));
        Assert.All(answers, a => Assert.Equal(HttpStatusCode.OK, a.StatusCode));
        var words = (await (await app.Http.GetAsync("/dictionaries/1", Ct)).JsonAsync()).GetProperty("words");
        Assert.Equal(Enumerable.Range(0, 60), words.EnumerateObject().Select(w => w.Value.GetInt32()).Order());
    }

    public sealed record Dictionary(Dictionary<string, int> Words);

    [Fact]
    public async Task Ids_are_unique_and_nothing_is_lost_under_concurrent_creation()
    {
        await using var app = await StartAsync();
        var created = await Task.WhenAll(Enumerable.Range(0, 200).Select(async i =>
            (await (await app.Http.PostAsJsonAsync("/items", new { name = $"n{i}", price = i }, Ct)).JsonAsync(201))));
        Assert.Equal(200, created.Select(c => c.GetProperty("id").GetInt64()).Distinct().Count());
        var response = await app.Http.GetAsync("/items?limit=100&skip=150&sort=price", Ct);
        Assert.Equal("200", response.Headers.GetValues("X-Total-Count").Single());
        Assert.Equal(Enumerable.Range(150, 50), (await response.JsonAsync()).EnumerateArray().Select(i => i.GetProperty("price").GetInt32()));
    }

    [Fact]
    public async Task Every_change_publishes_its_event_with_it()
    {
        await using var app = await StartAsync();
        await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1.5 }, Ct);
        await app.Http.PatchAsJsonAsync("/items/1", new { price = 2 }, Ct);
        await app.Http.PatchAsJsonAsync("/items/1", new { price = 2 }, Ct); // changes nothing, says nothing
        await app.Http.PutAsJsonAsync("/items/1", new { name = "Ink", price = 2 }, Ct);
        await app.Http.DeleteAsync("/items/1", Ct);
        await app.Http.PostAsJsonAsync("/items", new { name = (string?)null, price = 2 }, Ct);

        await app.SettledAsync();
        var events = await app.Db.ListAsync<(string Name, string Key, string Payload)>($"select name, key, payload from events_log order by position", Ct);
        Assert.Equal(
        [
            ("items.created", "1", """{"id":1,"item":{"name":"Pen","price":1.5}}"""),
            ("items.changed", "1", """{"id":1,"item":{"name":"Pen","price":2}}"""),
            ("items.changed", "1", """{"id":1,"item":{"name":"Ink","price":2}}"""),
            ("items.deleted", "1", """{"id":1,"item":{"name":"Ink","price":2}}"""),
        ], events);
    }

    [Theory]
    [InlineData("""{}""", "name:is required", "price:is required")]
    [InlineData("""{"name":null,"price":null}""", "name:must not be null", "price:must not be null")]
    [InlineData("""{"name":7,"price":"1.5"}""", "name:must be a string", "price:must be a number")]
    [InlineData("""{"name":"a\u0000b","price":1}""", "name:must not contain the character U+0000")]
    [InlineData("""{"name":"a","price":1234567890.1234567}""", "price:must have at most 15 significant digits")]
    [InlineData("""{"name":5,"price":1234567890.1234567}""", "name:must be a string", "price:must have at most 15 significant digits")]
    [InlineData("""{"name":"a","price":1e300}""", "price:must be a number")]
    [InlineData("""{"name":"a","name":"b","price":1}""", "body:names a member twice")]
    [InlineData("""[1]""", "body:must be a JSON object")]
    [InlineData("""null""", "body:must be a JSON object")]
    [InlineData("""{"name":"a",""", "body:is not valid JSON (line 1, byte 12)")]
    [InlineData("""{"name":"a","price":1} x""", "body:is not valid JSON (line 1, byte 24)")]
    [InlineData("  ", "body:is empty; send a JSON object")]
    public async Task Every_fault_of_a_body_is_named_at_once(string body, params string[] faults)
    {
        await using var app = await StartAsync();
        var response = await app.Http.PostAsync("/items", new StringContent(body, Encoding.UTF8, "application/json"), Ct);
        Assert.Equal(faults, await FaultsAsync(response));
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from resources_items", Ct));
    }

    static async Task<string[]> FaultsAsync(HttpResponseMessage response) =>
        [.. (await response.ShouldBeProblemAsync(422, "http/invalid")).GetProperty("errors").EnumerateObject()
            .SelectMany(e => e.Value.EnumerateArray().Select(m => $"{e.Name}:{m.GetString()}"))];

    [Theory]
    [InlineData("""{"name":"a\\u0000b","price":1}""", """a\u0000b""")]
    [InlineData("""{"name":"\u00e9\ud83d\ude00","price":1,"unknown":true}""", "é😀")]
    public async Task What_only_looks_wrong_is_stored(string body, string name)
    {
        await using var app = await StartAsync();
        var created = await (await app.Http.PostAsync("/items", new StringContent(body, Encoding.UTF8, "application/json"), Ct)).JsonAsync(201);
        Assert.Equal(name, created.GetProperty("name").GetString());
        Assert.Equal(name, (await (await app.Http.GetAsync("/items/1", Ct)).JsonAsync()).GetProperty("name").GetString());
    }

    [Theory]
    [InlineData("""{"name":null}""", "name:must not be null")]
    [InlineData("""{"name":1,"price":"x"}""", "name:must be a string", "price:must be a number")]
    [InlineData("""[]""", "body:must be a JSON object")]
    [InlineData("", "body:is empty; send a JSON object")]
    [InlineData("""{"name":"a","name":"b"}""", "body:names a member twice")]
    public async Task A_patch_is_checked_on_its_result(string body, params string[] faults)
    {
        await using var app = await StartAsync();
        await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1.5 }, Ct);
        var response = await app.Http.PatchAsync("/items/1", new StringContent(body, Encoding.UTF8, "application/json"), Ct);
        Assert.Equal(faults, await FaultsAsync(response));
        Assert.Equal("""{"id":1,"name":"Pen","price":1.5}""", await app.Http.GetStringAsync("/items/1", Ct));
    }

    [Fact]
    public async Task What_is_no_JSON_by_its_type_or_too_large_is_refused()
    {
        await using var app = await StartAsync();
        foreach (var type in new[] { "text/plain", "application/json; charset=utf-16", "application/json; charset=foo", "application/x-www-form-urlencoded", "nonsense" })
        {
            var content = new ByteArrayContent("""{"name":"a","price":1}"""u8.ToArray());
            content.Headers.TryAddWithoutValidation("Content-Type", type);
            await (await app.Http.PostAsync("/items", content, Ct)).ShouldBeProblemAsync(415, "http/unsupported-media-type");
        }

        await (await app.Http.PostAsync("/items", new ByteArrayContent("{}"u8.ToArray()), Ct)).ShouldBeProblemAsync(415, "http/unsupported-media-type");
        var large = new StringContent($$"""{"name":"{{new string('a', 1 << 20)}}","price":1}""", Encoding.UTF8, "application/json");
        // Refused by its length: a client that does not wait for the answer may be cut off while it still sends.
        using var post = new HttpRequestMessage(HttpMethod.Post, "/items") { Content = large };
        post.Headers.ExpectContinue = true;
        await (await app.Http.SendAsync(post, Ct)).ShouldBeProblemAsync(413, "http/body-too-large");
        var almost = new StringContent($$"""{"name":"{{new string('a', (1 << 20) - 100)}}","price":1}""", Encoding.UTF8, "application/json");
        await (await app.Http.PostAsync("/items", almost, Ct)).JsonAsync(201);
    }

    [Fact]
    public async Task No_body_makes_a_server_error()
    {
        await using var app = await StartAsync();
        await app.Http.PostAsJsonAsync("/items", new { name = "Pen", price = 1.5 }, Ct);
        var seed = """{"name":"Pe\u00e9n","price":1.5,"more":{"a":[1,2,{"b":null}]}}"""u8.ToArray();
        var random = new Random(7);
        byte[][] odd =
        [
            .. Enumerable.Range(0, 150).Select(_ => Mutate(seed, random)),
            Encoding.UTF8.GetBytes(new string('[', 100_000)), Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("{\"name\":", 5000))),
            """{"\ud800":1,"name":"a","price":1}"""u8.ToArray(), """{"name":"\ud800","price":1}"""u8.ToArray(), [0xEF, 0xBB, 0xBF, .. seed], [0xFF, 0xFE],
            """{"name":"a","price":1e999999999}"""u8.ToArray(), """{"name":"a","price":-0}"""u8.ToArray(), """{"name":{"$ref":"1"},"price":[]}"""u8.ToArray(),
        ];
        foreach (var body in odd)
            foreach (var (method, path) in new[] { (HttpMethod.Post, "/items"), (HttpMethod.Put, "/items/1"), (HttpMethod.Patch, "/items/1") })
            {
                var content = new ByteArrayContent(body);
                content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
                var response = await app.Http.SendAsync(new HttpRequestMessage(method, path) { Content = content }, Ct);
                Assert.True((int)response.StatusCode is 200 or 201 or 422, $"{method} {(int)response.StatusCode} {Encoding.UTF8.GetString(body[..Math.Min(200, body.Length)])}");
            }
    }

    static byte[] Mutate(byte[] seed, Random random)
    {
        var bytes = seed.ToList();
        for (var i = random.Next(1, 5); i > 0; i--)
            switch (random.Next(4))
            {
                case 0:
                    bytes[random.Next(bytes.Count)] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes.RemoveAt(random.Next(bytes.Count));
                    break;
                case 2:
                    bytes.Insert(random.Next(bytes.Count), "\"\\{}[],:0u"u8.ToArray()[random.Next(10)]);
                    break;
                default:
                    bytes.RemoveRange(0, random.Next(3));
                    break;
            }

        return [.. bytes];
    }

    [Theory]
    [InlineData("DELETE", "/items", 405)]
    [InlineData("POST", "/items/1", 405)]
    [InlineData("GET", "/items/abc", 404)]
    [InlineData("GET", "/items/99999999999999999999", 404)]
    [InlineData("GET", "/items/-1", 404)]
    public async Task What_is_not_there_is_said_in_a_problem(string method, string path, int status)
    {
        await using var app = await StartAsync();
        var response = await app.Http.SendAsync(new HttpRequestMessage(new HttpMethod(method), path), Ct);
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
    }
}
