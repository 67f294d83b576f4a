using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Timeouts;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Configuration;
using Tandem.Core.Http;
using Tandem.Roles;

namespace Tandem.Cluster.Tests;

public sealed class ForwardingTests
{
    const string Served = "users,inference,reports,realtime,items,app";

    // What goes in at one side of the test and comes out at the other, in the one test that uses them.
    static readonly Channel<int> Arrived = Channel.CreateUnbounded<int>();
    static readonly Channel<string> Events = Channel.CreateUnbounded<string>();

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_gateway_answers_like_the_whole_program_in_one_process()
    {
        await using var cluster = await Cluster.StartAsync(Program);
        var role = await cluster.AddAsync(Served);
        var gateway = await cluster.AddGatewayAsync(role);
        await using var whole = await TestApp.StartAsync(Program);

        using var split = await gateway.PersonInClusterAsync(role);
        using var one = await whole.PersonAsync();
        (HttpMethod Method, string Path, object? Body)[] requests =
        [
            (HttpMethod.Post, "/items", new { name = "Pen", price = 1.5 }),
            (HttpMethod.Get, "/items/1", null),
            (HttpMethod.Head, "/items/1", null),
            (HttpMethod.Get, "/items", null),
            (HttpMethod.Patch, "/items/1", new { name = "Pencil" }),
            (HttpMethod.Put, "/items/1", new { name = "Pen", price = "cheap" }),
            (HttpMethod.Post, "/items", new { name = "Pen" }),
            (HttpMethod.Get, "/items?limit=1000", null),
            (HttpMethod.Get, "/items/77", null),
            (HttpMethod.Delete, "/items/1", null),
            (HttpMethod.Get, "/items/abc", null),
            (HttpMethod.Delete, "/items", null),
            (HttpMethod.Get, "/nothing", null),
            (HttpMethod.Get, "/users/99", null),
            (HttpMethod.Post, "/users", new { email = "x", name = "", password = "1" }),
            (HttpMethod.Get, "/users", null),
            (HttpMethod.Get, "/predict", null),
            (HttpMethod.Post, "/predict", new { a = 1 }),
            (HttpMethod.Get, "/reports/signups", null),
            (HttpMethod.Get, "/ws/1", null),
            (HttpMethod.Get, "/hello?name=B%26c", null),
            (HttpMethod.Get, "/hello/a%2Fb%20c", null),
            (HttpMethod.Get, "/fails", null),
            (HttpMethod.Get, "/.well-known/jwks", null),
        ];
        foreach (var (method, path, body) in requests)
            foreach (var isSignedIn in new[] { true, false })
                Assert.Equal(await AnswerAsync(isSignedIn ? one.Http : whole.Http, method, path, body), await AnswerAsync(isSignedIn ? split.Http : gateway.Http, method, path, body));
    }

    [Fact]
    public async Task The_documentation_of_a_gateway_is_that_of_the_whole_program()
    {
        await using var cluster = await Cluster.StartAsync(Program);
        var gateway = await cluster.AddAsync("gateway");
        await using var whole = await TestApp.StartAsync(Program);
        Assert.Equal(await SortedAsync(whole), await SortedAsync(gateway));

        // In which order the paths come depends on how endpoints are grouped, and means nothing.
        static async Task<string> SortedAsync(TestApp app)
        {
            var document = JsonNode.Parse(await app.Http.GetStringAsync("/openapi/v1.json", Ct))!.AsObject();
            var parts = document.SelectMany(m => m.Value switch
            {
                JsonObject members => members.Select(i => $"{m.Key} {i.Key} {i.Value}"),
                JsonArray items => items.Select(i => $"{m.Key} {i}"),
                _ => [$"{m.Key} {m.Value}"],
            });
            return string.Join('\n', parts.Order(StringComparer.Ordinal));
        }
    }

    [Fact]
    public async Task A_role_that_nobody_runs_is_named_with_the_setting_that_is_missing()
    {
        await using var cluster = await Cluster.StartAsync(Program);
        var gateway = await cluster.AddAsync("gateway", "--Gateway:Roles:users:Addresses:0", "http://127.0.0.1:1", "--Gateway:RoleWait", "00:00:00");
        var missing = await (await gateway.Http.GetAsync("/hello", Ct)).ShouldBeProblemAsync(503, "gateway/role-missing");
        Assert.Contains("role app", missing.GetProperty("detail").GetString());
        Assert.Contains("Gateway:Roles:app:Addresses", missing.GetProperty("detail").GetString());
        var away = await gateway.Http.PostAsJsonAsync("/users", new { email = "a@example.com", name = "A", password = "12345678" }, Ct);
        Assert.DoesNotContain("127.0.0.1", (await away.ShouldBeProblemAsync(503, "gateway/role-away")).GetRawText());
        Assert.Equal(1, away.Headers.RetryAfter!.Delta!.Value.TotalSeconds);

        var health = await (await gateway.Http.GetAsync("/health/ready", Ct)).JsonAsync();
        Assert.Equal("degraded", health.GetProperty("status").GetString());
        var roles = health.GetProperty("checks").EnumerateArray().ToDictionary(c => c.GetProperty("name").GetString()!, c => c.GetProperty("reason").GetString());
        Assert.Contains("Gateway:Roles:inference:Addresses", roles["role inference"]);
        Assert.Contains("0 of 1", roles["role users"]);
    }

    [Theory]
    [InlineData("--roles", "gateway,usres", "no role usres")]
    [InlineData("--Gateway:Roles:usres:Addresses:0", "http://a:1", "Gateway:Roles:usres")]
    [InlineData("--Gateway:Roles:users:Addresses:0", "a:1", "Gateway:Roles:users:Addresses")]
    [InlineData("--Gateway:Roles:users:Addresses:0", "http://a/b", "Gateway:Roles:users:Addresses")]
    public async Task A_role_that_cannot_be_stops_the_start(string key, string value, string named)
    {
        string[] roles = key == "--roles" ? [] : ["--roles", "gateway"];
        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(Program, null, [.. roles, key, value]));
        Assert.Contains(named, e.Message);
    }

    [Fact]
    public async Task What_was_worked_on_and_lost_is_sent_again_only_when_nothing_can_happen_twice()
    {
        var seen = new ConcurrentQueue<string>();
        await using var cluster = await Cluster.StartAsync(app => app.MapMethods("/dies", ["GET", "POST", "PUT"], (HttpContext c) =>
        {
            seen.Enqueue(c.Request.Method);
            c.Abort();
            return Task.CompletedTask;
        }).AllowAnonymous());
        var role = await cluster.AddAsync("app");
        var gateway = await cluster.AddGatewayAsync(role);
        foreach (var (method, times) in new[] { (HttpMethod.Get, 3), (HttpMethod.Put, 3), (HttpMethod.Post, 1) })
        {
            using var request = new HttpRequestMessage(method, "/dies") { Content = method == HttpMethod.Get ? null : new StringContent("{}") };
            // The endpoint does not honour the key, so it is no reason to repeat.
            request.Headers.Add("Idempotency-Key", "1");
            request.Headers.Add("Origin", "https://app.example.com");
            using var response = await gateway.Http.SendAsync(request, Ct);
            await response.ShouldBeProblemAsync(502, "gateway/outcome-unknown");
            Assert.Equal("*", response.Headers.GetValues("Access-Control-Allow-Origin").Single());
            Assert.Equal(times, seen.Count(m => m == method.Method));
        }
    }

    [Fact]
    public void Of_the_fittest_processes_the_one_with_less_to_do_is_chosen_and_none_twice()
    {
        var role = new RoleDestinations("users", "", [], TimeProvider.System);
        Assert.Null(role.Choose(null));
        role.Set(["http://a", "http://b", "http://c", "http://d"]);
        var (a, b, c, d) = (role.All[0], role.All[1], role.All[2], role.All[3]);
        (a.Fitness, b.Fitness, c.Fitness, d.Fitness) = (Fitness.Ready, Fitness.Ready, Fitness.Alive, Fitness.Away);
        a.Begin();
        for (var i = 0; i < 50; i++)
            Assert.Same(b, role.Choose(null));
        Assert.Same(a, role.Choose([b]));
        Assert.Same(c, role.Choose([b, a]));
        Assert.Same(d, role.Choose([b, a, c]));
        Assert.Null(role.Choose([b, a, c, d]));
        // It would be sent into the dark.
        d.Fitness = Fitness.Silent;
        Assert.Null(role.Choose([b, a, c]));
        // Whoever stays in the DNS keeps what is known of it.
        role.Set(["http://b", "http://e"]);
        Assert.Same(b, role.All[0]);
        Assert.Equal(Fitness.Unknown, role.All[1].Fitness);
    }

    [Fact]
    public async Task WebSockets_are_opened_through_the_gateway_with_a_token_in_the_address()
    {
        await using var cluster = await Cluster.StartAsync(Program);
        var role = await cluster.AddAsync(Served);
        var gateway = await cluster.AddGatewayAsync(role);
        using var person = await gateway.PersonInClusterAsync(role);
        foreach (var token in new[] { person.AccessToken, "x" })
        {
            using var socket = new ClientWebSocket();
            socket.Options.CollectHttpResponseDetails = true;
            var connect = socket.ConnectAsync(new Uri($"{gateway.Address.Replace("http", "ws")}/ws/me?access_token={token}"), Ct);
            if (token == "x")
            {
                await Assert.ThrowsAsync<WebSocketException>(() => connect);
                Assert.Equal(HttpStatusCode.Unauthorized, socket.HttpStatusCode);
                continue;
            }

            await connect;
            foreach (var size in new[] { 1, 100, 60_000 })
            {
                var text = new string('x', size);
                await socket.SendAsync(Encoding.UTF8.GetBytes(text), WebSocketMessageType.Text, true, Ct);
                Assert.Equal("Echo: " + text, await ReceiveAsync(socket));
            }

            await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Ct);
        }
    }

    [Fact]
    public async Task Streams_go_through_as_they_come_in_both_directions()
    {
        await using var cluster = await Cluster.StartAsync(Program);
        var role = await cluster.AddAsync(Served);
        var gateway = await cluster.AddGatewayAsync(role);

        // The next part is sent when the one before has arrived: whoever kept the whole body back would stand still here.
        using var upload = new PartContent();
        var sending = gateway.Http.PostAsync("/upload", upload, Ct);
        for (var parts = 1; parts <= 2; parts++)
        {
            await upload.WriteAsync(new byte[100_000]);
            while (await Arrived.Reader.ReadAsync(Ct) < parts * 90_000)
            {
            }
        }

        upload.Complete();
        (await sending).EnsureSuccessStatusCode();

        using var events = await gateway.Http.GetAsync("/events-stream", HttpCompletionOption.ResponseHeadersRead, Ct);
        using var reader = new StreamReader(await events.Content.ReadAsStreamAsync(Ct));
        foreach (var line in new[] { "first", "second" })
        {
            await Events.Writer.WriteAsync(line, Ct);
            Assert.Equal($"data: {line}", await reader.ReadLineAsync(Ct));
            Assert.Equal("", await reader.ReadLineAsync(Ct));
        }

        var large = Enumerable.Range(0, 30_000_000).Select(i => (byte)(i % 251)).ToArray();
        using var counted = await gateway.Http.PostAsync("/digest", new ByteArrayContent(large), Ct);
        Assert.Equal(Convert.ToHexString(SHA256.HashData(large)), await counted.Content.ReadAsStringAsync(Ct));
        Assert.Equal(large, await gateway.Http.GetByteArrayAsync("/large", Ct));
    }

    [Fact]
    public async Task A_body_that_is_too_large_is_refused_as_in_one_process()
    {
        await using var cluster = await Cluster.StartAsync(Program);
        var role = await cluster.AddAsync(Served);
        var gateway = await cluster.AddGatewayAsync(role);
        using var person = await gateway.PersonInClusterAsync(role);
        var body = new string('x', 2_000_000);
        using var response = await person.Http.PostAsync("/items", new StringContent(body, Encoding.UTF8, "application/json"), Ct);
        await response.ShouldBeProblemAsync(413, "http/body-too-large");
        using var chunked = new HttpRequestMessage(HttpMethod.Post, "/items") { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        chunked.Headers.TransferEncodingChunked = true;
        await (await person.Http.SendAsync(chunked, Ct)).ShouldBeProblemAsync(413, "http/body-too-large");
    }

    [Fact]
    public async Task A_request_that_takes_too_long_is_answered_as_in_one_process()
    {
        await using var cluster = await Cluster.StartAsync(Program);
        var role = await cluster.AddAsync(Served);
        var gateway = await cluster.AddGatewayAsync(role, "--Http:RequestTimeout", "00:00:01");
        await using var whole = await TestApp.StartAsync(Program, null, "--Http:RequestTimeout", "00:00:01");
        await (await whole.Http.GetAsync("/slow", Ct)).ShouldBeProblemAsync(504, "http/took-too-long");
        await (await gateway.Http.GetAsync("/slow", Ct)).ShouldBeProblemAsync(504, "http/took-too-long");
    }

    [Fact]
    public async Task One_trace_covers_both_processes_and_pages_of_other_origins_can_read_every_answer()
    {
        await using var cluster = await Cluster.StartAsync(Program);
        var role = await cluster.AddAsync(Served);
        var gateway = await cluster.AddGatewayAsync(role);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/fails");
        request.Headers.Add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        request.Headers.Add("Origin", "https://app.example.com");
        using var response = await gateway.Http.SendAsync(request, Ct);
        var problem = await response.ShouldBeProblemAsync(500, "http/failed");
        Assert.Equal("0af7651916cd43dd8448eb211c80319c", problem.GetProperty("trace_id").GetString());
        Assert.Equal("*", response.Headers.GetValues("Access-Control-Allow-Origin").Single());
    }

    /// <summary>What the program of these tests has: the same in every process, as it is with a real one.</summary>
    internal static void Program(TandemApp app)
    {
        app.Resource<Item>("/items").Reading(r => r.AllowAnonymous());
        app.MapGet("/hello", (string? name) => $"Hello {name}").AllowAnonymous().WithTags("Own");
        app.MapGet("/hello/{name}", (string name) => $"Hello {name}").AllowAnonymous().WithTags("Own");
        app.MapGet("/fails", () => { throw new InvalidOperationException("secret"); }).AllowAnonymous().WithTags("Own");
        app.MapGet("/slow", (CancellationToken ct) => Task.Delay(Timeout.Infinite, ct)).AllowAnonymous().WithTags("Own");
        app.MapGet("/client", (HttpContext c) => new
        {
            address = ClientAddress.Of(c),
            scheme = c.Request.Scheme,
            host = c.Request.Host.Value,
            hop = c.Request.Headers["X-Tandem-Hop"].ToString(),
            account = c.Request.Headers["X-Tandem-Account"].ToString(),
            forwarded = c.Request.Headers["X-Forwarded-For"].ToString(),
        }).AllowAnonymous().WithTags("Own");
        app.MapPost("/digest", async (Stream body, CancellationToken ct) => Convert.ToHexString(await SHA256.HashDataAsync(body, ct))).AllowAnonymous()
            .WithTags("Own").WithMetadata(new RequestSizeLimitAttribute(100_000_000));
        app.MapGet("/large", async (HttpContext c) =>
        {
            foreach (var part in Enumerable.Range(0, 30_000_000).Select(i => (byte)(i % 251)).Chunk(1_000_000))
                await c.Response.Body.WriteAsync(part, c.RequestAborted);
        }).AllowAnonymous().WithTags("Own");
        app.MapPost("/upload", async (HttpContext c) =>
        {
            var (buffer, total) = (new byte[10_000], 0);
            while (await c.Request.Body.ReadAsync(buffer, c.RequestAborted) is > 0 and var read)
                await Arrived.Writer.WriteAsync(total += read, c.RequestAborted);
        }).AllowAnonymous().WithTags("Own");
        app.MapGet("/events-stream", async (HttpContext c) =>
        {
            c.Response.ContentType = "text/event-stream";
            await c.Response.Body.FlushAsync(c.RequestAborted);
            await foreach (var line in Events.Reader.ReadAllAsync(c.RequestAborted))
            {
                await c.Response.WriteAsync($"data: {line}\n\n", c.RequestAborted);
                await c.Response.Body.FlushAsync(c.RequestAborted);
            }
        }).AllowAnonymous().WithTags("Own");
    }

    static async Task<string> AnswerAsync(HttpClient http, HttpMethod method, string path, object? body)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : JsonContent.Create(body) };
        using var response = await http.SendAsync(request, Ct);
        var headers = response.Headers.Concat(response.Content.Headers).Where(h => h.Key is not ("Date" or "Transfer-Encoding" or "Last-Modified"))
            .Select(h => $"{h.Key}: {string.Join(", ", h.Value)}").Order();
        var text = $"{method} {path} {(int)response.StatusCode}\n{string.Join('\n', headers)}\n\n{await response.Content.ReadAsStringAsync(Ct)}";
        // What differs from one run of the same program to the next.
        text = System.Text.RegularExpressions.Regex.Replace(text, "\"(trace_id|created_at|updated_at|kid|x|y)\":\\s*\"[^\"]*\"", "\"$1\": …");
        return text.Replace(http.BaseAddress!.Authority, "host");
    }

    static async Task<string> ReceiveAsync(ClientWebSocket socket)
    {
        var (buffer, length) = (new byte[100_000], 0);
        while (true)
        {
            var received = await socket.ReceiveAsync(buffer.AsMemory(length), Ct);
            length += received.Count;
            if (received.EndOfMessage)
                return Encoding.UTF8.GetString(buffer, 0, length);
        }
    }

    sealed record Item(string Name, decimal Price);

    /// <summary>A body that is written while it is sent.</summary>
    sealed class PartContent : HttpContent
    {
        readonly TaskCompletionSource<Stream> _stream = new(TaskCreationOptions.RunContinuationsAsynchronously);
        readonly TaskCompletionSource _complete = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async Task WriteAsync(byte[] part)
        {
            var stream = await _stream.Task.WaitAsync(Ct);
            await stream.WriteAsync(part, Ct);
            await stream.FlushAsync(Ct);
        }

        public void Complete() => _complete.SetResult();

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.FlushAsync(Ct);
            _stream.SetResult(stream);
            await _complete.Task;
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}

static class ClusterUsers
{
    /// <summary>A person who signs in through the gateway.</summary>
    public static async Task<Person> PersonInClusterAsync(this TestApp gateway, TestApp users)
    {
        using var there = await users.PersonAsync();
        var tokens = await gateway.SignInAsync(there.Email);
        var person = new Person(there.Id, there.Email, tokens, gateway.With(tokens.GetProperty("access_token").GetString()!));
        // The first token of all is signed with a key that the gateway hears of a moment later.
        await Eventually.TrueAsync(async () => (await person.Http.GetAsync($"/users/{there.Id}")).IsSuccessStatusCode);
        return person;
    }
}
