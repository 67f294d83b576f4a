using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Tandem.Core.Configuration;

namespace Tandem.Tests.Gateway;

public sealed class GatewayTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("/health", 200)]
    [InlineData("/users/1", 401)]
    [InlineData("/nothing", 404)]
    [InlineData("/token", 405)]
    public async Task Answers_and_errors_can_be_read_from_pages_of_other_origins(string path, int status)
    {
        await using var app = await TestApp.StartAsync();
        using var response = await SendAsync(app, HttpMethod.Get, path, ("Origin", "https://app.example.com"));
        Assert.True(status == (int)response.StatusCode || path == "/token", $"{path}: {(int)response.StatusCode}");
        Assert.Equal("*", response.Headers.GetValues("Access-Control-Allow-Origin").Single());
        Assert.Contains("ETag", response.Headers.GetValues("Access-Control-Expose-Headers").Single());
        Assert.Equal("nosniff", response.Headers.GetValues("X-Content-Type-Options").Single());
    }

    [Fact]
    public async Task A_preflight_is_answered_and_a_listed_origin_is_the_only_one()
    {
        await using var app = await TestApp.StartAsync(null, null, "--Gateway:Cors:Origins:0", "https://app.example.com", "--Gateway:Cors:Credentials", "true");
        using var allowed = await SendAsync(app, HttpMethod.Options, "/items", ("Origin", "https://app.example.com"),
            ("Access-Control-Request-Method", "PATCH"), ("Access-Control-Request-Headers", "authorization, content-type"));
        Assert.Equal(204, (int)allowed.StatusCode);
        Assert.Equal("https://app.example.com", allowed.Headers.GetValues("Access-Control-Allow-Origin").Single());
        Assert.Equal("true", allowed.Headers.GetValues("Access-Control-Allow-Credentials").Single());
        Assert.Contains("PATCH", allowed.Headers.GetValues("Access-Control-Allow-Methods").Single());
        Assert.Equal("authorization, content-type", allowed.Headers.GetValues("Access-Control-Allow-Headers").Single());
        using var foreign = await SendAsync(app, HttpMethod.Options, "/items", ("Origin", "https://evil.example"), ("Access-Control-Request-Method", "PATCH"));
        Assert.False(foreign.Headers.Contains("Access-Control-Allow-Origin"));
        Assert.Contains("Origin", foreign.Headers.Vary);
    }

    [Fact]
    public async Task The_general_limit_is_off_until_it_is_set_and_then_tells_how_much_is_left()
    {
        await using var off = await TestApp.StartAsync();
        Assert.False((await off.Http.GetAsync("/nothing", Ct)).Headers.Contains("RateLimit"));

        await using var app = await TestApp.StartAsync(null, null, "--Gateway:RateLimit:PermitsPerMinute", "3");
        for (var left = 2; left >= 0; left--)
        {
            var response = await app.Http.GetAsync("/nothing", Ct);
            Assert.StartsWith($"\"gateway\";r={left};", response.Headers.GetValues("RateLimit").Single());
        }

        var refused = await app.Http.GetAsync("/nothing", Ct);
        await refused.ShouldBeProblemAsync(429, "http/too-many-requests");
        Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 20);
        Assert.Equal(200, (int)(await app.Http.GetAsync("/health", Ct)).StatusCode);
    }

    [Fact]
    public async Task A_forwarded_address_counts_only_behind_a_trusted_proxy()
    {
        await using var trusting = await TestApp.StartAsync(null, null, "--Gateway:RateLimit:PermitsPerMinute", "1", "--Gateway:TrustedProxies:0", "127.0.0.0/8");
        Assert.Equal(404, (int)(await SendAsync(trusting, HttpMethod.Get, "/x", ("X-Forwarded-For", "203.0.113.1"))).StatusCode);
        Assert.Equal(404, (int)(await SendAsync(trusting, HttpMethod.Get, "/x", ("X-Forwarded-For", "203.0.113.2"))).StatusCode);
        // The client made the left entry up; the right one was written by the proxy.
        Assert.Equal(429, (int)(await SendAsync(trusting, HttpMethod.Get, "/x", ("X-Forwarded-For", "198.51.100.7, 203.0.113.2"))).StatusCode);

        await using var plain = await TestApp.StartAsync(null, null, "--Gateway:RateLimit:PermitsPerMinute", "1");
        Assert.Equal(404, (int)(await SendAsync(plain, HttpMethod.Get, "/x", ("X-Forwarded-For", "203.0.113.1"))).StatusCode);
        Assert.Equal(429, (int)(await SendAsync(plain, HttpMethod.Get, "/x", ("X-Forwarded-For", "203.0.113.2"))).StatusCode);
    }

    [Theory]
    [InlineData("POST /items HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("POST /items HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    public async Task A_length_that_two_servers_could_read_differently_is_refused(string request)
    {
        await using var app = await TestApp.StartAsync();
        using var client = new TcpClient();
        await client.ConnectAsync(app.Http.BaseAddress!.Host, app.Http.BaseAddress.Port, Ct);
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(request), Ct);
        using var reader = new StreamReader(client.GetStream());
        Assert.Contains(" 400 ", await reader.ReadLineAsync(Ct));
    }

    [Fact]
    public async Task An_upstream_gets_who_calls_and_never_what_the_caller_claims_to_be()
    {
        await using var upstream = await UpstreamAsync();
        await using var app = await StartAsync(upstream);
        await (await app.Http.GetAsync("/billing/who", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");

        using var response = await SendAsync(app, HttpMethod.Get, "/billing/who?a=b", ("Authorization", "Bearer person-7"),
            ("X-Tandem-Account", "1"), ("X-Tandem-Roles", "administrator"), ("X-Tandem-Scopes", "everything"));
        var seen = await response.JsonAsync();
        Assert.Equal("/who?a=b", seen.GetProperty("path").GetString());
        Assert.Equal("7", seen.GetProperty("account").GetString());
        Assert.Equal("", seen.GetProperty("roles").GetString());
        Assert.Equal("", seen.GetProperty("scopes").GetString());
        Assert.Equal("", seen.GetProperty("authorization").GetString());
        Assert.NotEqual("", seen.GetProperty("forwarded").GetString());
    }

    [Fact]
    public async Task Bodies_and_WebSockets_go_through()
    {
        await using var upstream = await UpstreamAsync();
        await using var app = await StartAsync(upstream);
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-7");
        var body = new string('x', 500_000);
        Assert.Equal(body, await (await app.Http.PostAsync("/billing/echo", new StringContent(body), Ct)).Content.ReadAsStringAsync(Ct));

        using var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("Authorization", "Bearer person-7");
        await socket.ConnectAsync(new Uri(app.Address.Replace("http", "ws") + "/billing/socket"), Ct);
        await socket.SendAsync("hello"u8.ToArray(), WebSocketMessageType.Text, true, Ct);
        var buffer = new byte[100];
        var received = await socket.ReceiveAsync(buffer, Ct);
        Assert.Equal("hello", Encoding.UTF8.GetString(buffer, 0, received.Count));
    }

    [Fact]
    public async Task An_upstream_that_is_away_or_slow_is_named_without_its_address()
    {
        await using var upstream = await UpstreamAsync();
        await using var app = await StartAsync(upstream, "--Gateway:Upstreams:billing:Timeout", "00:00:01",
            "--Gateway:Upstreams:gone:Path", "/gone", "--Gateway:Upstreams:gone:Addresses:0", "http://127.0.0.1:1", "--Gateway:Upstreams:gone:Open", "true");
        var down = await (await app.Http.GetAsync("/gone/x", Ct)).ShouldBeProblemAsync(502, "gateway/upstream-down");
        Assert.Contains("gone", down.GetProperty("detail").GetString());
        Assert.DoesNotContain("127.0.0.1", down.GetRawText());
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-7");
        await (await app.Http.GetAsync("/billing/slow", Ct)).ShouldBeProblemAsync(504, "gateway/upstream-slow");
    }

    [Theory]
    [InlineData("Gateway:Upstreams:b:Path", "/b", "Addresses")]
    [InlineData("Gateway:Upstreams:b:Pth", "/b", "no setting Gateway:Upstreams:b:Pth")]
    [InlineData("Gateway:RateLimit:PermitsPerMinute", "-1", "Gateway:RateLimit:PermitsPerMinute")]
    [InlineData("Gateway:RateLimit:By", "Moon", "Gateway:RateLimit:By")]
    [InlineData("Gateway:TrustedProxies:0", "somewhere", "Gateway:TrustedProxies")]
    [InlineData("Gateway:Cors:Credentials", "true", "Gateway:Cors:Origins")]
    public async Task A_setting_that_cannot_be_used_stops_the_start_with_its_name(string key, string value, string named)
    {
        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(null, null, "--" + key, value));
        Assert.Contains(named, e.Message);
    }

    static Task<TestApp> StartAsync(WebApplication upstream, params string[] settings) => TestApp.StartAsync(a => TestTokens.Use(a), null,
        ["--Gateway:Upstreams:billing:Path", "/billing", "--Gateway:Upstreams:billing:Addresses:0", upstream.Urls.First(), .. settings]);

    /// <summary>A service that knows nothing of Tandem.</summary>
    static async Task<WebApplication> UpstreamAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        app.UseWebSockets();
        app.MapGet("/who", (HttpRequest r) => new
        {
            path = r.Path + r.QueryString.ToString(),
            account = r.Headers["X-Tandem-Account"].ToString(),
            roles = r.Headers["X-Tandem-Roles"].ToString(),
            scopes = r.Headers["X-Tandem-Scopes"].ToString(),
            authorization = r.Headers.Authorization.ToString(),
            forwarded = r.Headers["X-Forwarded-For"].ToString(),
        });
        app.MapPost("/echo", (HttpRequest r) => Results.Stream(r.Body));
        app.MapGet("/slow", (CancellationToken ct) => Task.Delay(Timeout.Infinite, ct));
        app.MapGet("/socket", async (HttpContext c) =>
        {
            using var socket = await c.WebSockets.AcceptWebSocketAsync();
            var buffer = new byte[1000];
            var received = await socket.ReceiveAsync(buffer, c.RequestAborted);
            await socket.SendAsync(buffer.AsMemory(0, received.Count), WebSocketMessageType.Text, true, c.RequestAborted);
            await socket.ReceiveAsync(buffer, c.RequestAborted);
        });
        await app.StartAsync(Ct);
        return app;
    }

    static Task<HttpResponseMessage> SendAsync(TestApp app, HttpMethod method, string path, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(method, path);
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        return app.Http.SendAsync(request, Ct);
    }
}
