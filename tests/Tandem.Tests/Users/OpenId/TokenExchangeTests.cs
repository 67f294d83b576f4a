using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Tandem.Tests.Users.OpenId;

/// <summary>A token that is made of another one (RFC 8693).</summary>
public sealed class TokenExchangeTests(OpenIdFixture fixture) : IClassFixture<OpenIdFixture>
{
    const string Grant = "urn:ietf:params:oauth:grant-type:token-exchange";
    const string AccessToken = "urn:ietf:params:oauth:token-type:access_token";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Fact]
    public async Task A_service_gets_a_narrower_token_that_says_who_acts()
    {
        var (shop, stock, mail) = (await App.ClientAsync(scopes: ["openid", "profile", "api"]), await ServiceAsync(App), await ServiceAsync(App));
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var token = (await App.SignInAsync(shop, person.Email, browser, "openid profile api")).GetProperty("access_token").GetString()!;

        var answer = await (await ExchangeAsync(App, stock, token, "api")).JsonAsync();

        Assert.Equal((AccessToken, "bearer", "api"), (answer.GetProperty("issued_token_type").GetString(), answer.GetProperty("token_type").GetString(), answer.GetProperty("scope").GetString()));
        Assert.False(answer.TryGetProperty("refresh_token", out _) || answer.TryGetProperty("id_token", out _));
        var made = answer.GetProperty("access_token").GetString()!;
        var said = Decode(made);
        Assert.Equal((person.Id.ToString(), stock.Id, "api", $$"""{"sub":"{{stock.Id}}"}"""),
            (said.GetProperty("sub").GetString(), said.GetProperty("client_id").GetString(), said.GetProperty("scope").GetString(), said.GetProperty("act").GetRawText()));
        Assert.NotEqual(Decode(token).GetProperty("sid").GetString(), said.GetProperty("sid").GetString());
        Assert.InRange(said.GetProperty("exp").GetInt64(), 0, Decode(token).GetProperty("exp").GetInt64());
        using var http = App.With(made);
        await (await http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        await (await http.PostAsJsonAsync("/keys", new { name = "to stay" }, Ct)).ShouldBeProblemAsync(403, "users/session-wanted");
        // Of a service for which another acts, both are told, the last one first.
        var next = Decode((await (await ExchangeAsync(App, mail, made, null)).JsonAsync()).GetProperty("access_token").GetString()!);
        Assert.Equal($$$"""{"sub":"{{{mail.Id}}}","act":{"sub":"{{{stock.Id}}}"}}""", next.GetProperty("act").GetRawText());
        Assert.Equal("api", next.GetProperty("scope").GetString());
        var known = await (await App.TokenAsync(stock, new() { ["token"] = made }, "/introspect")).JsonAsync();
        Assert.Equal(stock.Id, known.GetProperty("act").GetProperty("sub").GetString());
        var row = (await (await admin.Http.GetAsync($"/audit?event=token-exchanged&subject={person.Id}", Ct)).JsonAsync()).EnumerateArray().Last();
        Assert.Equal($"{stock.Id} from {shop.Id}: api", row.GetProperty("reason").GetString());
    }

    [Theory]
    [InlineData("openid api", "api profile", false)]
    [InlineData("openid api", "users:read", false)]
    [InlineData("openid api", "offline_access", false)]
    [InlineData("openid api", "email", false)]
    [InlineData("openid api", "openid", true)]
    [InlineData("openid api", null, true)]
    public async Task It_never_gets_more_than_the_token_and_the_client_have(string held, string? asked, bool isRight)
    {
        var (shop, stock) = (await App.ClientAsync(scopes: ["openid", "profile", "api", "email"]), await ServiceAsync(App, "openid", "profile", "api", "users:read", "offline_access"));
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var token = (await App.SignInAsync(shop, person.Email, browser, held)).GetProperty("access_token").GetString()!;

        var answer = await ExchangeAsync(App, stock, token, asked);

        if (isRight)
            Assert.Equal(asked ?? "openid api", (await answer.JsonAsync()).GetProperty("scope").GetString());
        else
            Assert.Equal("invalid_scope", (await answer.ShouldBeProblemAsync(400, "users/scope-not-in-token")).GetProperty("error").GetString());
    }

    [Fact]
    public async Task An_administrators_own_token_becomes_none_of_an_administrator()
    {
        var stock = await ServiceAsync(App, "api", "users:read");
        using var admin = await App.AdministratorAsync();

        Assert.Equal("invalid_scope", (await (await ExchangeAsync(App, stock, admin.AccessToken, "users:read")).JsonAsync(400)).GetProperty("error").GetString());
        var made = (await (await ExchangeAsync(App, stock, admin.AccessToken, null)).JsonAsync()).GetProperty("access_token").GetString()!;
        Assert.False(Decode(made).TryGetProperty("role", out _));
        using var http = App.With(made);
        await (await http.GetAsync("/users", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await http.GetAsync($"/users/{admin.Id}", Ct)).JsonAsync();
    }

    [Fact]
    public async Task Who_acts_as_a_person_is_seen_through_the_services_that_the_token_goes_through()
    {
        var stock = await ServiceAsync(App);
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        var token = (await (await admin.Http.PostAsJsonAsync($"/users/{person.Id}/impersonation", new { reason = "Ticket 4711" }, Ct)).JsonAsync()).GetProperty("access_token").GetString()!;

        var made = (await (await ExchangeAsync(App, stock, token, "api")).JsonAsync()).GetProperty("access_token").GetString()!;

        Assert.Equal($$$"""{"sub":"{{{stock.Id}}}","act":{"sub":"{{{admin.Id}}}"}}""", Decode(made).GetProperty("act").GetRawText());
        using var http = App.With(made);
        await (await http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        await (await http.PostAsJsonAsync("/keys", new { name = "to stay" }, Ct)).ShouldBeProblemAsync(403, "users/impersonated");
        await (await admin.Http.DeleteAsync($"/users/{person.Id}/impersonation", Ct)).JsonlessAsync(204);
        await (await http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Theory]
    [InlineData("first")]
    [InlineData("all")]
    [InlineData("between")]
    public async Task It_ends_with_the_session_that_it_was_made_of(string what)
    {
        var (shop, stock, mail) = (await App.ClientAsync(scopes: ["openid", "api"]), await ServiceAsync(App), await ServiceAsync(App));
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var token = (await App.SignInAsync(shop, person.Email, browser, "openid api")).GetProperty("access_token").GetString()!;
        var made = (await (await ExchangeAsync(App, stock, token, null)).JsonAsync()).GetProperty("access_token").GetString()!;
        var last = (await (await ExchangeAsync(App, mail, made, null)).JsonAsync()).GetProperty("access_token").GetString()!;

        if (what == "all")
            await (await person.Http.DeleteAsync("/sessions", Ct)).JsonlessAsync(204);
        else
            Assert.Equal(200, (int)(await App.TokenAsync(what == "first" ? shop : stock, new() { ["token"] = what == "first" ? token : made }, "/revoke")).StatusCode);

        foreach (var (ended, isOver) in new[] { (token, what != "between"), (made, true), (last, true) })
        {
            using var http = App.With(ended);
            Assert.Equal(isOver ? 401 : 200, (int)(await http.GetAsync($"/users/{person.Id}", Ct)).StatusCode);
            if (isOver)
                Assert.Equal("invalid_request", (await (await ExchangeAsync(App, stock, ended, null)).ShouldBeProblemAsync(400, "users/invalid-subject-token")).GetProperty("error").GetString());
        }
    }

    [Fact]
    public async Task It_is_good_for_no_longer()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        var stock = await ServiceAsync(app);
        using var person = await app.PersonAsync();
        clock.Advance(TimeSpan.FromMinutes(10));

        var answer = await (await ExchangeAsync(app, stock, person.AccessToken, null)).JsonAsync();

        // Times in tokens are whole seconds.
        Assert.InRange(answer.GetProperty("expires_in").GetInt32(), 298, 300);
        Assert.InRange(Decode(person.AccessToken).GetProperty("exp").GetInt64() - Decode(answer.GetProperty("access_token").GetString()!).GetProperty("exp").GetInt64(), 0, 1);
        clock.Advance(TimeSpan.FromMinutes(6));
        await (await ExchangeAsync(app, stock, answer.GetProperty("access_token").GetString()!, null)).ShouldBeProblemAsync(400, "users/invalid-subject-token");
    }

    [Fact]
    public async Task Only_who_was_given_the_grant_exchanges_and_only_what_was_meant_for_it()
    {
        var (shop, stock) = (await App.ClientAsync(scopes: ["openid", "api"]), await ServiceAsync(App));
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var tokens = await App.SignInAsync(shop, person.Email, browser, "openid");
        var token = tokens.GetProperty("access_token").GetString()!;

        // It says to the shop who somebody is, and opens nothing here.
        await (await ExchangeAsync(App, stock, token, null)).ShouldBeProblemAsync(400, "users/invalid-subject-token");
        Assert.Equal("unauthorized_client", (await (await ExchangeAsync(App, shop, token, null)).JsonAsync(400)).GetProperty("error").GetString());
        await (await ExchangeAsync(App, stock with { Secret = "guessed" }, person.AccessToken, null)).ShouldBeProblemAsync(401, "users/invalid-client");
        foreach (var bad in new[] { "garbage", tokens.GetProperty("id_token").GetString()!, person.AccessToken[..^3] + "AAA" })
            await (await ExchangeAsync(App, stock, bad, null)).ShouldBeProblemAsync(400, "users/invalid-subject-token");
        var own = await App.ClientAsync(grants: ["client_credentials"], scopes: ["users:read"]);
        var itself = (await (await App.TokenAsync(own, new() { ["grant_type"] = "client_credentials" })).JsonAsync()).GetProperty("access_token").GetString()!;
        await (await ExchangeAsync(App, stock, itself, null)).ShouldBeProblemAsync(400, "users/invalid-subject-token");
        foreach (var (name, value, error) in new[]
        {
            ("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token", "invalid_request"), ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token", "invalid_request"),
            ("audience", "https://other.example/", "invalid_target"), ("resource", "https://other.example/", "invalid_target"), ("actor_token", person.AccessToken, "invalid_request"),
        })
            Assert.Equal(error, (await (await ExchangeAsync(App, stock, person.AccessToken, null, (name, value))).JsonAsync(400)).GetProperty("error").GetString());
        await (await admin.Http.PostAsJsonAsync("/clients", new { id = $"p{Guid.NewGuid():n}", grant_types = new[] { Grant }, is_public = true }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
    }

    static async Task<TestClient> ServiceAsync(TestApp app, params string[] scopes) =>
        await app.ClientAsync(grants: [Grant], scopes: scopes.Length == 0 ? ["openid", "api"] : scopes);

    static Task<HttpResponseMessage> ExchangeAsync(TestApp app, TestClient client, string token, string? scope, params (string Name, string Value)[] more)
    {
        var form = new Dictionary<string, string> { ["grant_type"] = Grant, ["subject_token"] = token, ["subject_token_type"] = AccessToken };
        if (scope is not null)
            form["scope"] = scope;
        foreach (var (name, value) in more)
            form[name] = value;
        if (form.ContainsKey("actor_token"))
            form["actor_token_type"] = AccessToken;
        return app.TokenAsync(client, form);
    }

    static JsonElement Decode(string token) => JsonDocument.Parse(System.Buffers.Text.Base64Url.DecodeFromChars(token.Split('.')[1])).RootElement;
}
