using System.Buffers.Text;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Tandem.Tests.Users.OpenId;

public sealed class CodeFlowTests(OpenIdFixture fixture) : IClassFixture<OpenIdFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Fact]
    public async Task A_person_signs_in_to_a_client_and_the_client_learns_who_it_is()
    {
        var client = await App.ClientAsync(isTrusted: false);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);

        var page = await browser.GetAsync(SignIn.Url(client, "openid profile email offline_access"));
        Assert.Equal(200, page.Status);
        Assert.Contains("The &lt;Shop&gt;", page.Text);
        var consent = await browser.FillInAsync(page, person.Email);
        Assert.Contains("see your e-mail address", consent.Text);
        var answer = (await browser.PressAsync(consent, "allow")).Answer;

        Assert.Equal("st&te", answer["state"]);
        Assert.Equal(App.Address + "/", answer["iss"]);
        Assert.Equal("tandem", answer["from"]);
        var tokens = await (await App.RedeemAsync(client, answer["code"])).JsonAsync();
        Assert.Equal(["access_token", "token_type", "expires_in", "scope", "id_token", "refresh_token"], tokens.EnumerateObject().Select(p => p.Name).OrderBy(n => Array.IndexOf(["access_token", "token_type", "expires_in", "scope", "id_token", "refresh_token"], n)));
        Assert.Equal("openid profile email offline_access", tokens.GetProperty("scope").GetString());
        var id = Decode(tokens, "id_token");
        Assert.Equal(person.Id.ToString(), id.GetProperty("sub").GetString());
        Assert.Equal(client.Id, id.GetProperty("aud").GetString());
        Assert.Equal("n0nce", id.GetProperty("nonce").GetString());
        Assert.InRange(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - id.GetProperty("auth_time").GetInt64(), 0, 60);
        Assert.True(id.TryGetProperty("at_hash", out _));
        Assert.Equal(Decode(tokens, "access_token").GetProperty("sid").GetString(), id.GetProperty("sid").GetString());
        Assert.False(id.TryGetProperty("browser", out _));

        var who = await (await UserInfoAsync(tokens)).JsonAsync();
        Assert.Equal(person.Email, who.GetProperty("email").GetString());
        Assert.Equal("Ada", who.GetProperty("name").GetString());
        Assert.False(who.GetProperty("email_verified").GetBoolean());
        // It knows who it is; it has no say over the account.
        using var http = App.With(tokens.GetProperty("access_token").GetString()!);
        await (await http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        // Allowed once, it is not asked again.
        Assert.NotEmpty((await browser.GetAsync(SignIn.Url(client, "openid profile"))).Answer["code"]);
        Assert.True((await browser.GetAsync(SignIn.Url(client, "openid profile", ("prompt", "consent")))).Has("form_token"));
    }

    [Fact]
    public async Task A_client_goes_on_with_its_refresh_token_and_nobody_else_does()
    {
        var (client, other) = (await App.ClientAsync(), await App.ClientAsync());
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var tokens = await App.SignInAsync(client, person.Email, browser);
        var form = new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! };

        await (await App.TokenAsync(other, new(form))).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        await (await App.PostTokenAsync(form)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        await (await App.TokenAsync(client with { Secret = "guessed" }, new(form))).ShouldBeProblemAsync(401, "users/invalid-client");
        var next = await (await App.TokenAsync(client, new(form))).JsonAsync();

        Assert.Equal(Decode(tokens, "id_token").GetProperty("auth_time").GetInt64(), Decode(next, "id_token").GetProperty("auth_time").GetInt64());
        Assert.Equal(Decode(tokens, "id_token").GetProperty("sid").GetString(), Decode(next, "id_token").GetProperty("sid").GetString());
        await (await UserInfoAsync(next)).JsonAsync();
    }

    [Fact]
    public async Task A_client_may_ask_for_less_when_it_refreshes_and_for_all_of_it_again_but_never_for_more()
    {
        var client = await App.ClientAsync(scopes: ["openid", "profile", "email", "offline_access", "api"]);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var tokens = await App.SignInAsync(client, person.Email, browser, "openid email offline_access api");

        var less = await (await RefreshAsync(tokens, "openid")).JsonAsync();
        using var narrow = App.With(less.GetProperty("access_token").GetString()!);
        var who = await (await narrow.GetAsync("/userinfo", Ct)).JsonAsync();
        Assert.Equal(person.Id.ToString(), who.GetProperty("sub").GetString());
        Assert.False(who.TryGetProperty("email", out _));
        await (await narrow.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");

        var problem = await (await RefreshAsync(less, "openid profile")).ShouldBeProblemAsync(400, "users/invalid-token-request");
        Assert.Equal("invalid_scope", problem.GetProperty("error").GetString());

        var all = await (await RefreshAsync(less, null)).JsonAsync();
        Assert.Equal("openid email offline_access api", all.GetProperty("scope").GetString());
        using var wide = App.With(all.GetProperty("access_token").GetString()!);
        await (await wide.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        Task<HttpResponseMessage> RefreshAsync(JsonElement last, string? scope)
        {
            var form = new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = last.GetProperty("refresh_token").GetString()! };
            if (scope is not null)
                form["scope"] = scope;
            return App.TokenAsync(client, form);
        }
    }

    [Fact]
    public async Task A_code_gives_no_more_than_the_client_may_have_when_it_is_exchanged()
    {
        var client = await App.ClientAsync(scopes: ["openid", "email", "offline_access"]);
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var code = (await browser.SignInAsync(SignIn.Url(client, "openid email offline_access"), person.Email))["code"];
        await (await admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", new { scopes = new[] { "openid" } }, Ct)).JsonAsync();

        var tokens = await (await App.RedeemAsync(client, code)).JsonAsync();

        Assert.Equal("openid", tokens.GetProperty("scope").GetString());
        Assert.False(tokens.TryGetProperty("refresh_token", out _));
    }

    [Fact]
    public async Task A_code_is_worth_something_once_and_its_second_use_ends_what_the_first_one_made()
    {
        await using var app = await OpenIdFixture.StartAsync();
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var code = (await browser.SignInAsync(SignIn.Url(client, "openid offline_access"), person.Email))["code"];
        var tokens = await (await app.RedeemAsync(client, code)).JsonAsync();
        using var http = app.With(tokens.GetProperty("access_token").GetString()!);
        await (await http.GetAsync("/userinfo", Ct)).JsonAsync();

        var problem = await (await app.RedeemAsync(client, code)).ShouldBeProblemAsync(400, "users/invalid-code");

        Assert.Equal("invalid_grant", problem.GetProperty("error").GetString());
        await (await http.GetAsync("/userinfo", Ct)).ShouldBeProblemAsync(401, "users/invalid-access-token");
        await (await app.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! }))
            .ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        await (await app.RedeemAsync(client, code)).ShouldBeProblemAsync(400, "users/invalid-code");
        await app.SettledAsync();
        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from events_log where name = 'users.code-reused'", Ct));
    }

    [Fact]
    public async Task Of_many_exchanges_of_one_code_at_once_at_most_one_gets_tokens()
    {
        var client = await App.ClientAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var code = (await browser.SignInAsync(SignIn.Url(client), person.Email))["code"];

        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => App.RedeemAsync(client, code)));

        Assert.Single(answers, a => a.IsSuccessStatusCode);
        Assert.All(answers.Where(a => !a.IsSuccessStatusCode), a => Assert.Equal(400, (int)a.StatusCode));
    }

    [Fact]
    public async Task A_code_is_bound_to_its_client_its_address_and_its_verifier()
    {
        var (client, other) = (await App.ClientAsync(), await App.ClientAsync());
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var code = (await browser.SignInAsync(SignIn.Url(client), person.Email))["code"];

        await (await App.RedeemAsync(other, code)).ShouldBeProblemAsync(400, "users/invalid-code");
        await (await App.RedeemAsync(client, code, redirect: "https://app.example.com/callback")).ShouldBeProblemAsync(400, "users/invalid-code");
        await (await App.RedeemAsync(client, code, verifier: SignIn.Verifier[..^1] + "j")).ShouldBeProblemAsync(400, "users/invalid-code");
        await (await App.TokenAsync(client, new() { ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = client.Redirect })).ShouldBeProblemAsync(400, "users/invalid-token-request");
        await (await App.RedeemAsync(client with { Secret = "guessed" }, code)).ShouldBeProblemAsync(401, "users/invalid-client");
        await (await App.RedeemAsync(client with { Secret = null }, code)).ShouldBeProblemAsync(401, "users/invalid-client");

        // None of that has used it up.
        await (await App.RedeemAsync(client, code)).JsonAsync();
    }

    [Fact]
    public async Task A_code_is_over_after_a_minute()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var early = (await browser.SignInAsync(SignIn.Url(client), person.Email))["code"];
        var late = (await browser.GetAsync(SignIn.Url(client))).Answer["code"];

        clock.Advance(TimeSpan.FromSeconds(59));
        await (await app.RedeemAsync(client, early)).JsonAsync();
        clock.Advance(TimeSpan.FromSeconds(2));
        await (await app.RedeemAsync(client, late)).ShouldBeProblemAsync(400, "users/invalid-code");
    }

    [Fact]
    public async Task A_code_is_worth_nothing_once_the_person_is_deactivated_or_signed_out()
    {
        var client = await App.ClientAsync();
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var first = (await browser.SignInAsync(SignIn.Url(client), person.Email))["code"];
        var page = await browser.PressAsync(await browser.GetAsync("/logout"), "sign-out");
        Assert.Contains("You are signed out", page.Text);
        await (await App.RedeemAsync(client, first)).ShouldBeProblemAsync(400, "users/invalid-code");

        var second = (await browser.SignInAsync(SignIn.Url(client), person.Email))["code"];
        await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).JsonAsync();
        await (await App.RedeemAsync(client, second)).ShouldBeProblemAsync(400, "users/invalid-code");
        // And the browser is signed in no longer.
        Assert.True((await browser.GetAsync(SignIn.Url(client))).Has("password"));
    }

    [Fact]
    public async Task A_client_may_have_what_an_administrator_gives_and_no_plain_person_can_give_it()
    {
        var client = await App.ClientAsync(scopes: ["openid", "api", "users:read"]);
        using var person = await App.PersonAsync();
        using var admin = await App.AdministratorAsync();
        using var browser = new TestBrowser(App);
        using var other = new TestBrowser(App);

        var plain = await App.SignInAsync(client, person.Email, browser, "openid api users:read users:write");
        Assert.Equal("openid api", plain.GetProperty("scope").GetString());
        using var http = App.With(plain.GetProperty("access_token").GetString()!);
        await (await http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        await (await http.GetAsync("/users", Ct)).ShouldBeProblemAsync(403, "http/forbidden");

        var given = await App.SignInAsync(client, admin.Email, other, "openid users:read users:write");
        Assert.Equal("openid users:read", given.GetProperty("scope").GetString());
        using var reader = App.With(given.GetProperty("access_token").GetString()!);
        await (await reader.GetAsync("/users", Ct)).JsonAsync();
        await (await reader.GetAsync("/clients", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
    }

    [Fact]
    public async Task A_client_acts_for_itself_with_its_secret()
    {
        var client = await App.ClientAsync(grants: ["client_credentials"], scopes: ["users:read"]);
        var tokens = await (await App.TokenAsync(client, new() { ["grant_type"] = "client_credentials" })).JsonAsync();
        Assert.Equal("users:read", tokens.GetProperty("scope").GetString());
        Assert.False(tokens.TryGetProperty("refresh_token", out _));
        using var http = App.With(tokens.GetProperty("access_token").GetString()!);

        await (await http.GetAsync("/users", Ct)).JsonAsync();
        await (await http.PostAsJsonAsync("/clients", new { id = "mine" }, Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await http.GetAsync("/userinfo", Ct)).ShouldBeProblemAsync(401, "users/invalid-access-token");
        await (await App.TokenAsync(client with { Secret = "guessed" }, new() { ["grant_type"] = "client_credentials" })).ShouldBeProblemAsync(401, "users/invalid-client");
        var pages = await App.ClientAsync();
        var problem = await (await App.TokenAsync(pages, new() { ["grant_type"] = "client_credentials" })).ShouldBeProblemAsync(400, "users/invalid-token-request");
        Assert.Equal("unauthorized_client", problem.GetProperty("error").GetString());

        using var admin = await App.AdministratorAsync();
        Assert.Equal(204, (int)(await admin.Http.DeleteAsync($"/clients/{client.Id}", Ct)).StatusCode);
        await (await http.GetAsync("/users", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Fact]
    public async Task Clients_ask_whether_their_tokens_are_good_and_end_them()
    {
        var (client, other, page) = (await App.ClientAsync(), await App.ClientAsync(), await App.ClientAsync(isPublic: true));
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var tokens = await App.SignInAsync(client, person.Email, browser);
        var (access, refresh) = (tokens.GetProperty("access_token").GetString()!, tokens.GetProperty("refresh_token").GetString()!);

        var known = await (await AskAsync("/introspect", client, access)).JsonAsync();
        Assert.True(known.GetProperty("active").GetBoolean());
        Assert.Equal(person.Id.ToString(), known.GetProperty("sub").GetString());
        Assert.Equal(client.Id, known.GetProperty("client_id").GetString());
        Assert.True((await (await AskAsync("/introspect", client, refresh)).JsonAsync()).GetProperty("active").GetBoolean());
        Assert.False((await (await AskAsync("/introspect", other, access)).JsonAsync()).GetProperty("active").GetBoolean());
        Assert.False((await (await AskAsync("/introspect", client, "garbage")).JsonAsync()).GetProperty("active").GetBoolean());
        await (await AskAsync("/introspect", client with { Secret = "guessed" }, access)).ShouldBeProblemAsync(401, "users/invalid-client");
        await (await AskAsync("/introspect", page, access)).ShouldBeProblemAsync(401, "users/invalid-client");
        await (await AskAsync("/revoke", client with { Secret = "guessed" }, refresh)).ShouldBeProblemAsync(401, "users/invalid-client");

        Assert.Equal(200, (int)(await AskAsync("/revoke", client, refresh)).StatusCode);

        await (await UserInfoAsync(tokens)).ShouldBeProblemAsync(401, "users/invalid-access-token");
        Assert.False((await (await AskAsync("/introspect", client, access)).JsonAsync()).GetProperty("active").GetBoolean());
        await (await App.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = refresh })).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        Assert.Equal(200, (int)(await AskAsync("/revoke", client, "garbage")).StatusCode);
    }

    [Fact]
    public async Task Who_somebody_is_takes_a_token_for_that()
    {
        var client = await App.ClientAsync(scopes: ["api", "openid"]);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var response = await App.Http.GetAsync("/userinfo", Ct);
        await response.ShouldBeProblemAsync(401, "users/invalid-access-token");
        Assert.Equal("Bearer", response.Headers.WwwAuthenticate.Single().Scheme);

        var tokens = await App.SignInAsync(client, person.Email, browser, "api");
        await (await UserInfoAsync(tokens)).ShouldBeProblemAsync(403, "users/insufficient-scope");
        Assert.False(tokens.TryGetProperty("id_token", out _));
    }

    async Task<HttpResponseMessage> UserInfoAsync(JsonElement tokens)
    {
        using var http = App.With(tokens.GetProperty("access_token").GetString()!);
        return await http.GetAsync("/userinfo", Ct);
    }

    async Task<HttpResponseMessage> AskAsync(string path, TestClient client, string token)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new FormUrlEncodedContent(new Dictionary<string, string> { ["token"] = token }) };
        if (client.Secret is null)
            request.Content = new FormUrlEncodedContent(new Dictionary<string, string> { ["token"] = token, ["client_id"] = client.Id });
        else
            request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.ASCII.GetBytes($"{client.Id}:{client.Secret}")));
        return await App.Http.SendAsync(request, Ct);
    }

    static JsonElement Decode(JsonElement tokens, string name) => JsonDocument.Parse(Base64Url.DecodeFromChars(tokens.GetProperty(name).GetString()!.Split('.')[1])).RootElement;
}
