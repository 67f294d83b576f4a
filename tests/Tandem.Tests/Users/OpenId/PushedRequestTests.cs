using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Tandem.Tests.Users.OpenId;

/// <summary>Requests that are sent ahead (RFC 9126), and who has answered one (RFC 9207).</summary>
public sealed class PushedRequestTests(OpenIdFixture fixture) : IClassFixture<OpenIdFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Fact]
    public async Task Discovery_says_that_answers_name_the_issuer_and_where_requests_are_pushed()
    {
        foreach (var path in new[] { "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server" })
        {
            var configuration = await (await App.Http.GetAsync(path, Ct)).JsonAsync();
            Assert.True(configuration.GetProperty("authorization_response_iss_parameter_supported").GetBoolean());
            Assert.Equal(App.Address + "/par", configuration.GetProperty("pushed_authorization_request_endpoint").GetString());
            Assert.False(configuration.TryGetProperty("require_pushed_authorization_requests", out var required) && required.GetBoolean());
        }

        await using var app = await TestApp.StartAsync(null, null, "--Users:Issuer", "https://id.example.com/");
        Assert.Equal("https://id.example.com/par", (await (await app.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync()).GetProperty("pushed_authorization_request_endpoint").GetString());
    }

    [Theory]
    [InlineData("query")]
    [InlineData("form_post")]
    public async Task An_error_that_goes_back_names_the_issuer_as_well(string mode)
    {
        var client = await App.ClientAsync(isTrusted: false);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var consent = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client, "openid", ("response_mode", mode))), person.Email);

        var denied = await browser.PressAsync(consent, "deny");

        var answer = mode == "query" ? denied.Answer : denied.Fields;
        Assert.Equal(("access_denied", App.Address + "/"), (answer["error"], answer["iss"]));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_person_signs_in_with_a_request_that_was_pushed(bool isPublic)
    {
        var client = await App.ClientAsync(isPublic, isTrusted: false);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var response = await PushAsync(App, client, "openid profile");
        var pushed = await response.JsonAsync(201);
        Assert.True(response.Headers.CacheControl?.NoStore);
        Assert.InRange(pushed.GetProperty("expires_in").GetInt32(), 89, 90);
        Assert.Matches(@"^urn:ietf:params:oauth:request_uri:[\w-]{43}$", pushed.GetProperty("request_uri").GetString());

        // What else stands in the address counts for nothing.
        var page = await browser.GetAsync(UrlOf(client, pushed) + "&scope=api&redirect_uri=https://evil.example/&state=other");
        Assert.Contains("Sign in to The &lt;Shop&gt;", page.Text);
        Assert.Equal(["client_id", "form_token", "request_uri"], page.Fields.Keys.Order());
        var consent = await browser.FillInAsync(page, person.Email);
        Assert.Contains("see your name", consent.Text);
        Assert.DoesNotContain("use this server", consent.Text);
        var answer = (await browser.PressAsync(consent, "allow")).Answer;

        Assert.Equal(("st&te", App.Address + "/"), (answer["state"], answer["iss"]));
        var tokens = await (await App.RedeemAsync(client, answer["code"])).JsonAsync();
        Assert.Equal("openid profile", tokens.GetProperty("scope").GetString());
        Assert.Equal(0, await App.Db.FindAsync<long>($"select count(*) from users_pushed_requests where client_id = {client.Id}", Ct));
    }

    [Fact]
    public async Task A_request_is_answered_once_and_belongs_to_the_browser_that_opened_it()
    {
        var client = await App.ClientAsync(isTrusted: false);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        using var attacker = new TestBrowser(App);
        var url = UrlOf(client, await (await PushAsync(App, client)).JsonAsync(201));

        var page = await browser.GetAsync(url);
        await ShouldBeRefusedAsync(attacker, url);
        // Who reloads the page sees it again, also once signed in.
        Assert.True((await browser.GetAsync(url)).Has("password"));
        var consent = await browser.FillInAsync(page, person.Email);
        Assert.DoesNotContain("name=\"password\"", (await browser.GetAsync(url)).Text);
        var answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => browser.PressAsync(consent, "allow")));

        Assert.Single(answers, a => a.Status == 302 && a.Answer.ContainsKey("code"));
        await ShouldBeRefusedAsync(browser, url);
        // A refusal is an answer as well.
        var denied = UrlOf(client, await (await PushAsync(App, client, "openid", ("prompt", "consent"))).JsonAsync(201));
        Assert.Equal("access_denied", (await browser.PressAsync(await browser.GetAsync(denied), "deny")).Answer["error"]);
        await ShouldBeRefusedAsync(browser, denied);
    }

    [Theory]
    [InlineData("prompt", "login")]
    [InlineData("max_age", "0")]
    public async Task Who_has_to_sign_in_again_does_so_once(string name, string value)
    {
        var client = await App.ClientAsync(isTrusted: false);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        await browser.SignInAsync(SignIn.Url(client, "profile"), person.Email);
        var url = UrlOf(client, await (await PushAsync(App, client, "openid", (name, value))).JsonAsync(201));

        var page = await browser.GetAsync(url);
        Assert.True(page.Has("password"));
        var consent = await browser.FillInAsync(page, person.Email);

        Assert.NotEmpty((await browser.PressAsync(consent, "allow")).Answer["code"]);
    }

    [Fact]
    public async Task Nobody_but_the_client_itself_uses_or_makes_it()
    {
        var (client, other) = (await App.ClientAsync(), await App.ClientAsync());
        using var browser = new TestBrowser(App);
        var pushed = await (await PushAsync(App, client)).JsonAsync(201);

        await ShouldBeRefusedAsync(browser, UrlOf(other, pushed));
        await ShouldBeRefusedAsync(browser, $"/authorize?client_id={client.Id}&request_uri=urn:ietf:params:oauth:request_uri:guessed");
        await ShouldBeRefusedAsync(browser, $"/authorize?client_id={client.Id}&request_uri=https://evil.example/request");
        var wrong = await PushAsync(App, client with { Secret = "guessed" });
        Assert.Equal("Basic", wrong.Headers.WwwAuthenticate.Single().Scheme);
        Assert.Equal("invalid_client", (await wrong.ShouldBeProblemAsync(401, "users/invalid-client")).GetProperty("error").GetString());
        await (await PushAsync(App, client with { Id = "nobody" })).ShouldBeProblemAsync(401, "users/invalid-client");
        await (await PushAsync(App, client with { Secret = null })).ShouldBeProblemAsync(401, "users/invalid-client");
    }

    [Theory]
    [InlineData("redirect_uri", "https://evil.example/callback")]
    [InlineData("redirect_uri", null)]
    [InlineData("scope", null)]
    [InlineData("code_challenge", null)]
    [InlineData("code_challenge_method", "plain")]
    [InlineData("response_type", "token")]
    [InlineData("response_mode", "fragment")]
    [InlineData("request_uri", "urn:ietf:params:oauth:request_uri:x")]
    [InlineData("state", "long")]
    public async Task What_would_be_wrong_at_authorize_is_not_kept(string parameter, string? value)
    {
        var client = await App.ClientAsync();

        var problem = await (await PushAsync(App, client, "openid", (parameter, value == "long" ? new string('x', 9000) : value))).ShouldBeProblemAsync(400, "users/invalid-client-request");

        Assert.NotEmpty(problem.GetProperty("error").GetString()!);
        Assert.Equal(0, await App.Db.FindAsync<long>($"select count(*) from users_pushed_requests where client_id = {client.Id}", Ct));
    }

    [Fact]
    public async Task A_request_that_nobody_opens_expires_and_one_that_is_open_waits_for_its_person()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var (late, open) = (UrlOf(client, await (await PushAsync(app, client)).JsonAsync(201)), UrlOf(client, await (await PushAsync(app, client)).JsonAsync(201)));
        var page = await browser.GetAsync(open);
        clock.Advance(TimeSpan.FromSeconds(91));

        await ShouldBeRefusedAsync(browser, late);
        clock.Advance(TimeSpan.FromMinutes(28));
        Assert.NotEmpty((await browser.FillInAsync(page, person.Email)).Answer["code"]);
    }

    [Fact]
    public async Task A_client_can_be_made_to_push_each_of_its_requests()
    {
        using var admin = await App.AdministratorAsync();
        var client = await App.ClientAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var changed = await (await admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", new { require_par = true }, Ct)).JsonAsync();
        Assert.True(changed.GetProperty("require_par").GetBoolean());

        var refused = await browser.GetAsync(SignIn.Url(client));
        Assert.Equal((400, null), (refused.Status, refused.Location));
        Assert.Contains("/par", refused.Text);
        var page = await browser.GetAsync(UrlOf(client, await (await PushAsync(App, client)).JsonAsync(201)));
        Assert.NotEmpty((await browser.FillInAsync(page, person.Email)).Answer["code"]);

        var own = await App.ClientAsync(grants: ["client_credentials"]);
        await (await admin.Http.PatchAsJsonAsync($"/clients/{own.Id}", new { require_par = true }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
    }

    [Fact]
    public async Task A_stranger_fills_no_table_with_a_public_clients_name()
    {
        await using var app = await OpenIdFixture.StartAsync(null, "--Users:RequestsPerMinutePerAddress", "2");
        var (page, client) = (await app.ClientAsync(isPublic: true), await app.ClientAsync());
        for (var i = 0; i < 2; i++)
            await (await PushAsync(app, page)).JsonAsync(201);

        var response = await PushAsync(app, page);

        Assert.Equal("temporarily_unavailable", (await response.ShouldBeProblemAsync(429, "http/too-many-requests")).GetProperty("error").GetString());
        Assert.NotNull(response.Headers.RetryAfter);
        // Who has a secret is known.
        await (await PushAsync(app, client)).JsonAsync(201);
    }

    static async Task ShouldBeRefusedAsync(TestBrowser browser, string url)
    {
        var page = await browser.GetAsync(url);
        Assert.Equal((400, null), (page.Status, page.Location));
        Assert.Contains("This sign-in cannot go on", page.Text);
    }

    static string UrlOf(TestClient client, JsonElement pushed) => $"/authorize?client_id={client.Id}&request_uri={pushed.GetProperty("request_uri").GetString()}";

    /// <summary>Sends what <see cref="SignIn.Url"/> would ask for, with the secret in a header.</summary>
    static async Task<HttpResponseMessage> PushAsync(TestApp app, TestClient client, string scope = "openid", params (string Name, string? Value)[] changes)
    {
        var query = Microsoft.AspNetCore.WebUtilities.QueryHelpers.ParseQuery(SignIn.Url(client, scope, changes)["/authorize".Length..]);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/par") { Content = new FormUrlEncodedContent(query.Select(q => KeyValuePair.Create(q.Key, q.Value.ToString()))) };
        if (client.Secret is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.ASCII.GetBytes($"{client.Id}:{client.Secret}")));
        return await app.Http.SendAsync(request, Ct);
    }
}
