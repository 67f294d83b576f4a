using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Tandem.Users.OpenId;

namespace Tandem.Tests.Users.OpenId;

/// <summary>Clients are told that a session of theirs has ended (OpenID Connect Back-Channel Logout 1.0).</summary>
public sealed class BackChannelTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync() => OpenIdFixture.StartAsync(null, "--Users:CallPrivateAddresses", "true", "--Jobs:RetryBase", "00:00:00.010", "--Jobs:RetryCap", "00:00:01");

    [Theory]
    [InlineData("logout")]
    [InlineData("logout", "RS256")]
    [InlineData("everywhere")]
    [InlineData("deactivated")]
    [InlineData("deleted")]
    [InlineData("password")]
    [InlineData("revoked")]
    public async Task However_a_session_ends_its_client_is_told(string how, string algorithm = "ES256")
    {
        await using var app = await StartAsync();
        await using var receiver = await Receiver.StartAsync();
        var client = await ClientAsync(app, receiver.Address);
        var silent = await app.ClientAsync();
        using var admin = await app.AdministratorAsync();
        await (await admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", new { id_token_signed_response_alg = algorithm }, Ct)).JsonAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var tokens = await app.SignInAsync(client, person.Email, browser);
        await app.SignInAsync(silent, person.Email, browser);
        var idToken = tokens.GetProperty("id_token").GetString()!;

        switch (how)
        {
            case "logout":
                await browser.GetAsync($"/logout?id_token_hint={idToken}");
                break;
            case "everywhere":
                await (await person.Http.DeleteAsync("/sessions", Ct)).JsonlessAsync(204);
                break;
            case "deactivated":
                await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).JsonAsync();
                break;
            case "deleted":
                await (await person.Http.DeleteAsync($"/users/{person.Id}", Ct)).JsonlessAsync(204);
                break;
            case "password":
                await (await person.Http.PutAsJsonAsync("/auth/password", new { password = "another horse battery" }, Ct)).JsonlessAsync(204);
                break;
            default:
                await app.Http.PostAsync("/revoke", new FormUrlEncodedContent(new Dictionary<string, string>
                {
                    ["token"] = tokens.GetProperty("refresh_token").GetString()!,
                    ["client_id"] = client.Id,
                    ["client_secret"] = client.Secret!,
                }), Ct);
                break;
        }

        var token = await receiver.NextAsync();
        var keys = new JsonWebKeySet(await app.Http.GetStringAsync("/.well-known/jwks", Ct));
        var valid = await new JsonWebTokenHandler().ValidateTokenAsync(token, new TokenValidationParameters
        {
            ValidIssuer = app.Address + "/",
            ValidAudience = client.Id,
            IssuerSigningKeys = keys.GetSigningKeys(),
            ValidTypes = ["logout+jwt"],
            ValidAlgorithms = [algorithm],
        });
        Assert.True(valid.IsValid, valid.Exception?.ToString());
        var said = new JsonWebToken(token);
        Assert.Equal((person.Id.ToString(), new JsonWebToken(idToken).GetClaim("sid").Value), (said.Subject, said.GetClaim("sid").Value));
        Assert.Equal("{\"http://schemas.openid.net/event/backchannel-logout\":{}}", said.GetPayloadValue<JsonElement>("events").GetRawText());
        Assert.False(said.TryGetClaim("nonce", out _));
        Assert.Equal(TimeSpan.FromMinutes(2), said.ValidTo - said.IssuedAt);
        // It opens nothing here.
        using var http = app.With(token);
        await (await http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        Assert.Equal(1, receiver.Count);
    }

    [Fact]
    public async Task A_client_that_is_away_is_told_later_and_one_that_refuses_is_not_asked_again()
    {
        await using var app = await StartAsync();
        await using var receiver = await Receiver.StartAsync(503, 429, 200, 400, 200);
        var client = await ClientAsync(app, receiver.Address);
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        await app.SignInAsync(client, person.Email, browser);

        await browser.PressAsync(await browser.GetAsync("/logout"), "sign-out");
        var ids = new HashSet<string>();
        for (var i = 0; i < 3; i++)
            ids.Add(new JsonWebToken(await receiver.NextAsync()).Id);
        Assert.Single(ids);

        await app.SignInAsync(client, person.Email, browser);
        await browser.PressAsync(await browser.GetAsync("/logout"), "sign-out");
        await receiver.NextAsync();
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select count(*) from jobs_queue where kind = {"users.logout-notice"} and state <> {"completed"}", Ct) == 0);
        Assert.Equal(4, receiver.Count);
    }

    [Fact]
    public async Task Neighbours_of_the_server_are_not_called_unless_that_is_switched_on()
    {
        await using var app = await OpenIdFixture.StartAsync();
        await using var receiver = await Receiver.StartAsync();
        var client = await ClientAsync(app, receiver.Address);
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        await app.SignInAsync(client, person.Email, browser);

        await browser.PressAsync(await browser.GetAsync("/logout"), "sign-out");

        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select count(*) from jobs_queue where kind = {"users.logout-notice"} and state = {"completed"}", Ct) == 1);
        Assert.Equal(0, receiver.Count);
    }

    [Theory]
    [InlineData("8.8.8.8", true, true)]
    [InlineData("2606:4700::1111", true, true)]
    [InlineData("127.0.0.1", false, true)]
    [InlineData("10.1.2.3", false, true)]
    [InlineData("172.31.0.1", false, true)]
    [InlineData("172.32.0.1", true, true)]
    [InlineData("192.168.0.1", false, true)]
    [InlineData("100.64.0.1", false, true)]
    [InlineData("::1", false, true)]
    [InlineData("fd00::1", false, true)]
    [InlineData("::ffff:10.0.0.1", false, true)]
    [InlineData("64:ff9b::10.0.0.1", false, true)]
    [InlineData("64:ff9b::8.8.8.8", true, true)]
    [InlineData("169.254.169.254", false, false)]
    [InlineData("::ffff:169.254.169.254", false, false)]
    [InlineData("64:ff9b::169.254.169.254", false, false)]
    [InlineData("fe80::1", false, false)]
    [InlineData("0.0.0.0", false, false)]
    [InlineData("::", false, false)]
    [InlineData("224.0.0.1", false, false)]
    [InlineData("255.255.255.255", false, false)]
    [InlineData("2002:a00:1::", false, false)]
    [InlineData("2001:db8::1", false, false)]
    public void Which_addresses_are_called(string address, bool byDefault, bool switchedOn) =>
        Assert.Equal((byDefault, switchedOn), (BackChannel.IsCalled(IPAddress.Parse(address), false), BackChannel.IsCalled(IPAddress.Parse(address), true)));

    [Fact]
    public async Task The_address_is_part_of_the_client()
    {
        await using var app = await StartAsync();
        using var admin = await app.AdministratorAsync();
        var client = await ClientAsync(app, "https://app.example.com/bye");
        Assert.True((await (await app.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync()).GetProperty("backchannel_logout_session_supported").GetBoolean());

        foreach (var bad in new[] { "http://app.example.com/bye", "https://app.example.com/bye#x", "bye" })
            await (await admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", new { backchannel_logout_uri = bad }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal("https://app.example.com/bye", (await (await admin.Http.GetAsync($"/clients/{client.Id}", Ct)).JsonAsync()).GetProperty("backchannel_logout_uri").GetString());
        var without = await (await admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", new { backchannel_logout_uri = "" }, Ct)).JsonAsync();
        Assert.False(without.TryGetProperty("backchannel_logout_uri", out var uri) && uri.ValueKind != JsonValueKind.Null);
    }

    static async Task<TestClient> ClientAsync(TestApp app, string address)
    {
        var client = await app.ClientAsync();
        using var admin = await app.AdministratorAsync();
        await (await admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", new { backchannel_logout_uri = address }, Ct)).JsonAsync();
        return client;
    }

    /// <summary>An application that is told.</summary>
    sealed class Receiver : IAsyncDisposable
    {
        readonly WebApplication _app;
        readonly BlockingCollection<string> _tokens = [];
        readonly ConcurrentQueue<int> _answers;
        int _count;

        Receiver(int[] answers)
        {
            _answers = new(answers);
            var builder = WebApplication.CreateSlimBuilder();
            builder.WebHost.UseUrls("http://127.0.0.1:0").UseKestrel();
            builder.Logging.ClearProviders();
            _app = builder.Build();
            _app.MapPost("/bye", async (HttpContext http) =>
            {
                var form = await http.Request.ReadFormAsync();
                Interlocked.Increment(ref _count);
                http.Response.StatusCode = _answers.TryDequeue(out var status) ? status : 200;
                _tokens.Add(form["logout_token"].ToString());
            });
        }

        public string Address => _app.Urls.First() + "/bye";

        public int Count => _count;

        public static async Task<Receiver> StartAsync(params int[] answers)
        {
            var receiver = new Receiver(answers);
            await receiver._app.StartAsync(Ct);
            return receiver;
        }

        public Task<string> NextAsync() => Task.Run(() => _tokens.TryTake(out var token, (int)TimeSpan.FromSeconds(90).TotalMilliseconds, Ct) ? token : throw new TimeoutException("No logout token came."), Ct);

        public async ValueTask DisposeAsync()
        {
            await _app.DisposeAsync();
            _tokens.Dispose();
        }
    }
}
