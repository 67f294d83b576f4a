using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Tandem.Transport;

namespace Tandem.Tests.Gateway;

/// <summary>The gateway in front of services that behave in every way there is.</summary>
[Storeless("What is forwarded goes from socket to socket.")]
public sealed class LeanForwarderTests
{
    const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Answers_come_whole_however_they_are_cut()
    {
        const string Answer = "HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nX-Empty:\r\nset-cookie: b=2\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "5;why=not\r\nhello\r\n01\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: t\r\n\r\n";
        await using var service = new RawService(async (connection, _) =>
        {
            for (var size = 1; await connection.HearAsync() is not null; size += 6)
                foreach (var piece in Answer.Chunk(size))
                    await connection.SayAsync(new string(piece));
        });
        await using var app = await StartAsync(service);
        for (var i = 0; i < 4; i++)
        {
            using var answer = await app.Http.GetAsync("/svc/x", Ct);
            Assert.Equal("hello world", await answer.Content.ReadAsStringAsync(Ct));
            Assert.Equal("text/plain", answer.Content.Headers.ContentType!.ToString());
            Assert.Equal(["a=1", "b=2"], answer.Headers.GetValues("Set-Cookie"));
            Assert.Equal("", answer.Headers.GetValues("X-Empty").Single());
        }

        Assert.Equal(1, service.Connections);
    }

    [Fact]
    public async Task What_belongs_to_a_hop_stays_there_and_the_gateway_says_who_asks()
    {
        var heard = "";
        await using var service = new RawService(async (connection, _) =>
        {
            while (await connection.HearAsync() is { } head)
            {
                heard = head + await connection.HearBodyAsync(head.Contains("POST", StringComparison.Ordinal) ? 4 : 0);
                await connection.SayAsync("HTTP/1.1 201 Made\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nX-Yours: 2\r\nContent-Length: 0\r\n\r\n");
            }
        });
        await using var app = await StartAsync(service);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/svc/a/b?c=%20d") { Content = new StringContent("body") };
        foreach (var (name, value) in new[] { ("X-Forwarded-For", "10.0.0.1"), ("Proxy-Authorization", "secret"), ("X-Tandem-Account", "1"), ("Authorization", "Bearer x"), ("Cookie", "a=1; b=2"), ("Keep-Alive", "9") })
            request.Headers.TryAddWithoutValidation(name, value);
        using var answer = await app.Http.SendAsync(request, Ct);

        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        Assert.Equal("2", answer.Headers.GetValues("X-Yours").Single());
        Assert.False(answer.Headers.Contains("X-Mine") || answer.Headers.Contains("Keep-Alive"));
        Assert.StartsWith("POST /a/b?c=%20d HTTP/1.1\r\nHost: " + new Uri(service.Address).Authority + "\r\n", heard);
        Assert.EndsWith("\r\n\r\nbody", heard);
        Assert.Contains("\r\nContent-Length: 4\r\n", heard);
        Assert.Contains("\r\nX-Forwarded-For: 127.0.0.1\r\n", heard);
        Assert.Contains("\r\nX-Forwarded-Host: " + new Uri(app.Address).Authority + "\r\n", heard);
        Assert.Contains("\r\nCookie: a=1; b=2\r\n", heard);
        Assert.Matches("\r\n[Tt]raceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]\r\n", heard);
        foreach (var gone in new[] { "10.0.0.1", "Proxy-", "X-Tandem-", "Authorization", "Keep-Alive" })
            Assert.DoesNotContain(gone, heard);
    }

    [Theory]
    [InlineData("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200)]
    [InlineData("GET", "HTTP/1.1 204 None\r\n\r\n", 204)]
    [InlineData("GET", "HTTP/1.1 304 Same\r\nETag: \"a\"\r\n\r\n", 304)]
    [InlineData("GET", "HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200)]
    [InlineData("DELETE", "HTTP/1.1 200 OK\r\nContent-Length: 0, 0\r\n\r\n", 502)]
    public async Task Answers_without_a_body_leave_the_connection_usable(string method, string said, int status)
    {
        await using var service = RawService.Always(said);
        await using var app = await StartAsync(service);
        for (var i = 0; i < 3; i++)
        {
            using var answer = await app.Http.SendAsync(new HttpRequestMessage(new HttpMethod(method), "/svc/x"), Ct);
            Assert.Equal(status, (int)answer.StatusCode);
            if (status != 502)
                Assert.Equal("", await answer.Content.ReadAsStringAsync(Ct));
            if (method == "HEAD")
                Assert.Equal(5, answer.Content.Headers.ContentLength);
        }

        Assert.Equal(status == 502 ? 3 : 1, service.Connections);
    }

    [Theory]
    [InlineData("HTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 O\u0001K\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\rc\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: +0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n: nothing\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nnothing\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nA: \u00e9\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Le")]
    [InlineData("")]
    public async Task What_is_no_answer_is_a_502_that_names_the_service(string said)
    {
        await using var service = new RawService(async (connection, _) =>
        {
            await connection.HearAsync();
            await connection.SayAsync(said);
        });
        await using var app = await StartAsync(service);
        var problem = await (await app.Http.GetAsync("/svc/x", Ct)).ShouldBeProblemAsync(502, "gateway/upstream-down");
        Assert.Contains("svc", problem.GetProperty("detail").GetString());
        Assert.Equal(1, service.Connections);
    }

    [Fact]
    public async Task A_head_without_end_is_a_502_and_a_long_one_is_read()
    {
        await using var service = new RawService(async (connection, _) =>
        {
            while (await connection.HearAsync() is { } head)
                await connection.SayAsync($"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: {new string('x', head.Contains("/long", StringComparison.Ordinal) ? 40_000 : 70_000)}\r\n\r\n");
        });
        await using var app = await StartAsync(service);
        using var http = new HttpClient(new SocketsHttpHandler { MaxResponseHeadersLength = 100 }) { BaseAddress = new Uri(app.Address) };
        Assert.Equal(40_000, (await http.GetAsync("/svc/long", Ct)).Headers.GetValues("X-Long").Single().Length);
        await (await http.GetAsync("/svc/endless", Ct)).ShouldBeProblemAsync(502, "gateway/upstream-down");
    }

    [Theory]
    [InlineData("GET", true)]
    [InlineData("PUT", true)]
    [InlineData("POST", false)]
    public async Task A_kept_connection_that_ends_without_an_answer_costs_a_new_one_only_where_nothing_can_happen_twice(string method, bool isRepeated)
    {
        await using var service = new RawService(async (connection, number) =>
        {
            await connection.HearAsync();
            await connection.SayAsync(Ok);
            // The first one takes another request and goes without a word.
            while (await connection.HearAsync() is not null && number > 0)
                await connection.SayAsync(Ok);
        });
        await using var app = await StartAsync(service);
        Assert.Equal("ok", await app.Http.GetStringAsync("/svc/x", Ct));
        using var answer = await app.Http.SendAsync(new HttpRequestMessage(new HttpMethod(method), "/svc/x") { Content = method == "GET" ? null : new StringContent("body") }, Ct);
        Assert.Equal(isRepeated ? 200 : 502, (int)answer.StatusCode);
        Assert.Equal(isRepeated ? 2 : 1, service.Connections);
    }

    [Theory]
    [InlineData("")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")]
    public async Task A_connection_that_was_closed_or_that_speaks_unasked_is_not_used_again(string unasked)
    {
        var spoken = new SemaphoreSlim(0);
        await using var service = new RawService(async (connection, number) =>
        {
            await connection.HearAsync();
            await connection.SayAsync(Ok);
            if (number == 0)
            {
                await connection.SayAsync(unasked);
                if (unasked.Length == 0)
                    connection.EndSending();
                spoken.Release();
            }

            while (await connection.HearAsync() is not null)
                await connection.SayAsync(Ok);
        });
        await using var app = await StartAsync(service);
        Assert.Equal("ok", await app.Http.GetStringAsync("/svc/x", Ct));
        Assert.True(await spoken.WaitAsync(TimeSpan.FromSeconds(90), Ct));
        // What was sent over loopback is there when the send has returned.
        using var answer = await app.Http.PostAsync("/svc/x", new StringContent("once"), Ct);
        Assert.Equal("ok", await answer.Content.ReadAsStringAsync(Ct));
        Assert.Equal(2, service.Connections);
    }

    [Fact]
    public async Task An_answer_without_length_ends_with_its_connection()
    {
        var body = new string('x', 300_000);
        await using var service = new RawService(async (connection, number) =>
        {
            await connection.HearAsync();
            await connection.SayAsync(number == 0 ? "HTTP/1.1 200 OK\r\n\r\n" + body : "HTTP/1.0 200 OK\r\n\r\n" + body);
        });
        await using var app = await StartAsync(service);
        Assert.Equal(body, await app.Http.GetStringAsync("/svc/x", Ct));
        Assert.Equal(body, await app.Http.GetStringAsync("/svc/x", Ct));
        Assert.Equal(2, service.Connections);
    }

    [Theory]
    [InlineData("Content-Length: 500000\r\n\r\n", 10)]
    [InlineData("Content-Length: 500000\r\n\r\n", 300_000)]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n7A120\r\n", 300_000)]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n5\r\n", 5)]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n5\r\n", 9)]
    public async Task A_service_that_dies_in_the_middle_is_a_reset_and_never_looks_whole(string head, int bytes)
    {
        await using var service = new RawService(async (connection, _) =>
        {
            await connection.HearAsync();
            await connection.SayAsync("HTTP/1.1 200 OK\r\n" + head + new string('x', bytes));
        });
        await using var app = await StartAsync(service);
        var e = await Assert.ThrowsAsync<SocketException>(async () =>
        {
            using var client = await AskAsync(app);
            await ReadToEndAsync(client);
        });
        Assert.Equal(SocketError.ConnectionReset, e.SocketErrorCode);
    }

    [Theory]
    [InlineData("")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")]
    public async Task A_client_that_goes_takes_its_connection_to_the_service_along(string said)
    {
        var (asked, ended) = (new SemaphoreSlim(0), new SemaphoreSlim(0));
        await using var service = new RawService(async (connection, _) =>
        {
            await connection.HearAsync();
            await connection.SayAsync(said);
            asked.Release();
            try
            {
                await connection.HearAsync();
            }
            finally
            {
                ended.Release();
            }
        });
        await using var app = await StartAsync(service);
        using (await AskAsync(app))
            Assert.True(await asked.WaitAsync(TimeSpan.FromSeconds(90), Ct));
        Assert.True(await ended.WaitAsync(TimeSpan.FromSeconds(90), Ct));
    }

    [Fact]
    public async Task A_client_that_reads_late_makes_the_service_wait_and_gets_everything()
    {
        const int Pieces = 300;
        var piece = new string('x', 1_000_000);
        var said = 0;
        await using var service = new RawService(async (connection, _) =>
        {
            await connection.HearAsync();
            await connection.SayAsync($"HTTP/1.1 200 OK\r\nContent-Length: {(long)Pieces * piece.Length}\r\n\r\n");
            for (; said < Pieces; said++)
                await connection.SayAsync(piece);
        });
        await using var app = await StartAsync(service);
        using var client = await AskAsync(app);
        // Until the system's own buffers are full on both sides; then nothing moves any more.
        var before = -1;
        await Eventually.TrueAsync(async () =>
        {
            (var last, before) = (before, said);
            await Task.Delay(300, Ct);
            return last == said && said > 0;
        }, seconds: 60);
        Assert.True(said < Pieces / 2, $"{said} MB were taken for a client that reads nothing");
        Assert.True(await ReadToEndAsync(client, (long)Pieces * piece.Length) > (long)Pieces * piece.Length);
    }

    [Fact]
    public async Task A_service_that_says_nothing_is_a_504_and_one_that_stops_a_reset()
    {
        var never = new SemaphoreSlim(0);
        await using var service = new RawService(async (connection, _) =>
        {
            if ((await connection.HearAsync())!.Contains("/half", StringComparison.Ordinal))
                await connection.SayAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
            await never.WaitAsync(TimeSpan.FromSeconds(90), Ct);
        });
        await using var app = await StartAsync(service, "--Gateway:Upstreams:svc:Timeout", "00:00:01");
        await (await app.Http.GetAsync("/svc/x", Ct)).ShouldBeProblemAsync(504, "gateway/upstream-slow");
        var e = await Assert.ThrowsAsync<SocketException>(async () =>
        {
            using var client = await AskAsync(app, "/svc/half");
            await ReadToEndAsync(client);
        });
        Assert.Equal(SocketError.ConnectionReset, e.SocketErrorCode);
        never.Release(2);
    }

    [Fact]
    public async Task A_service_by_name_is_found_whichever_address_it_has()
    {
        await using var service = RawService.Always(Ok);
        await using var app = await TestApp.StartAsync(null, null, "--Gateway:Upstreams:svc:Path", "/svc", "--Gateway:Upstreams:svc:Open", "true",
            "--Gateway:Upstreams:svc:Addresses:0", service.Address.Replace("127.0.0.1", "localhost", StringComparison.Ordinal) + "/base/");
        Assert.Equal("ok", await app.Http.GetStringAsync("/svc/x", Ct));
    }

    [Theory]
    [InlineData("/svc/%C3%A9")]
    [InlineData("/svc/a%25b")]
    public async Task What_has_to_be_looked_at_closely_is_sent_on_as_well(string path)
    {
        var heard = "";
        await using var service = new RawService(async (connection, _) =>
        {
            while (await connection.HearAsync() is { } head)
            {
                heard = head;
                await connection.SayAsync(Ok);
            }
        });
        await using var app = await StartAsync(service);
        Assert.Equal("ok", await app.Http.GetStringAsync(path, Ct));
        Assert.StartsWith($"GET {path["/svc".Length..]} HTTP/1.1\r\n", heard);
    }

    /// <summary>A request for a service stays on the event loop; whatever code of the program's user could be met on the way must not.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Code_that_may_block_is_never_on_an_event_loop(bool hasModule)
    {
        await using var service = RawService.Always(Ok);
        var module = new WatchingModule();
        await using var app = await TestApp.StartAsync(a =>
        {
            a.MapGet("/svc/own", () => EventLoop.IsCurrent).AllowAnonymous();
            if (hasModule)
                a.Add(module);
        }, null, Settings(service));
        Assert.Equal("false", await app.Http.GetStringAsync("/svc/own", Ct));
        for (var i = 0; i < 3; i++)
            Assert.Equal("ok", await app.Http.GetStringAsync("/svc/x", Ct));
        Assert.Equal(hasModule ? 4 : 0, module.Calls);
        Assert.False(module.WasOnLoop);
    }

    sealed class WatchingModule : Tandem.Core.Module
    {
        public int Calls { get; private set; }
        public bool WasOnLoop { get; private set; }

        public override string Name => "watching";

        public override void Use(IApplicationBuilder app) => app.Use(async (context, next) =>
        {
            WasOnLoop |= EventLoop.IsCurrent;
            await next(context);
            WasOnLoop |= EventLoop.IsCurrent;
            Calls++;
        });
    }

    static string[] Settings(RawService service) =>
        ["--Gateway:Upstreams:svc:Path", "/svc", "--Gateway:Upstreams:svc:Addresses:0", service.Address, "--Gateway:Upstreams:svc:Open", "true"];

    static Task<TestApp> StartAsync(RawService service, params string[] settings) => TestApp.StartAsync(null, null, [.. Settings(service), .. settings]);

    static async Task<Socket> AskAsync(TestApp app, string path = "/svc/x")
    {
        var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(IPAddress.Loopback, app.Http.BaseAddress!.Port, Ct);
        await client.SendAsync(Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"), Ct);
        return client;
    }

    /// <returns>How many bytes came before the end, or when there are more than that.</returns>
    static async Task<long> ReadToEndAsync(Socket client, long upTo = long.MaxValue)
    {
        var buffer = new byte[256 * 1024];
        var read = 0L;
        while (read <= upTo && await client.ReceiveAsync(buffer, Ct) is > 0 and var count)
            read += count;
        return read;
    }
}
