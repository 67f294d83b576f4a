using System.Net.Http.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Tandem.Tests.Users.OpenId;

/// <summary>What /authorize refuses, whom it asks, and that it sends nobody where no client of ours is.</summary>
public sealed class AuthorizeTests(OpenIdFixture fixture) : IClassFixture<OpenIdFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Theory]
    [InlineData("client_id", "nobody")]
    [InlineData("client_id", "a\0b")]
    [InlineData("client_id", null)]
    [InlineData("redirect_uri", "https://evil.example/callback")]
    [InlineData("redirect_uri", "https://app.example.com/callback")]
    [InlineData("redirect_uri", "https://app.example.com/callback?from=tandem&x=1")]
    [InlineData("redirect_uri", "https://app.example.com/Callback?from=tandem")]
    [InlineData("redirect_uri", "https://app.example.com:443/callback?from=tandem")]
    [InlineData("redirect_uri", "https://app.example.com/callback?from=tandem#")]
    [InlineData("redirect_uri", "https://app.example.com/x/../callback?from=tandem")]
    [InlineData("redirect_uri", "//app.example.com/callback?from=tandem")]
    [InlineData("redirect_uri", "javascript:alert(1)")]
    [InlineData("redirect_uri", null)]
    [InlineData("code_challenge", null)]
    [InlineData("code_challenge_method", "plain")]
    [InlineData("code_challenge_method", null)]
    [InlineData("response_type", "token")]
    [InlineData("response_type", "code id_token")]
    [InlineData("response_type", null)]
    [InlineData("response_mode", "fragment")]
    [InlineData("prompt", "none login")]
    [InlineData("request", "eyJhbGciOiJub25lIn0.e30.")]
    [InlineData("scope", null)]
    public async Task What_is_not_right_is_said_on_a_page_and_nobody_is_sent_anywhere(string parameter, string? value)
    {
        var client = await App.ClientAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        // Not even somebody who is signed in.
        await browser.SignInAsync(SignIn.Url(client), person.Email);

        var page = await browser.GetAsync(SignIn.Url(client, "openid", (parameter, value)));

        Assert.Equal(400, page.Status);
        Assert.Null(page.Location);
        if (value?.Contains('\0') != true)
            Assert.Contains("<h1>This sign-in cannot go on</h1>", page.Text);
        var problem = await (await App.Http.GetAsync(SignIn.Url(client, "openid", (parameter, value)), Ct)).JsonAsync(400);
        Assert.NotEmpty(problem.GetProperty("detail").GetString()!);
    }

    [Theory]
    [InlineData("http://127.0.0.1/cb", "http://127.0.0.1:53211/cb", true)]
    [InlineData("http://127.0.0.1:1234/cb", "http://127.0.0.1/cb", true)]
    [InlineData("http://[::1]/cb", "http://[::1]:9/cb", true)]
    [InlineData("http://127.0.0.1/cb", "http://127.0.0.1:53211/cb?x", false)]
    [InlineData("http://127.0.0.1/cb", "http://127.0.0.1:53211@evil.example/cb", false)]
    [InlineData("http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb", false)]
    [InlineData("http://127.0.0.1/cb", "http://[::1]/cb", false)]
    [InlineData("http://localhost:3000/cb", "http://localhost:3001/cb", false)]
    [InlineData("http://localhost:3000/cb", "http://localhost:3000/cb", true)]
    public async Task On_the_machine_itself_the_port_is_free(string registered, string sent, bool isRight)
    {
        var client = await App.ClientAsync(isPublic: true, redirect: registered);
        using var browser = new TestBrowser(App);

        var page = await browser.GetAsync(SignIn.Url(client with { Redirect = sent }));

        Assert.Equal(isRight ? 200 : 400, page.Status);
    }

    [Fact]
    public async Task Without_a_page_nobody_signs_in()
    {
        var client = await App.ClientAsync(isTrusted: false);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);

        var nobody = (await browser.GetAsync(SignIn.Url(client, "openid", ("prompt", "none")))).Answer;
        Assert.Equal(("login_required", "st&te", App.Address + "/"), (nobody["error"], nobody["state"], nobody["iss"]));
        Assert.False(nobody.ContainsKey("code"));

        await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email);
        Assert.Equal("consent_required", (await browser.GetAsync(SignIn.Url(client, "openid", ("prompt", "none")))).Answer["error"]);
        await browser.PressAsync(await browser.GetAsync(SignIn.Url(client)), "allow");
        Assert.NotEmpty((await browser.GetAsync(SignIn.Url(client, "openid", ("prompt", "none")))).Answer["code"]);
        Assert.Equal("login_required", (await browser.GetAsync(SignIn.Url(client, "openid", ("prompt", "none"), ("max_age", "0")))).Answer["error"]);
    }

    [Fact]
    public async Task Who_does_not_allow_it_is_sent_back_with_access_denied_and_asked_again_the_next_time()
    {
        var client = await App.ClientAsync(isTrusted: false);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var consent = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email);

        var answer = (await browser.PressAsync(consent, "deny")).Answer;

        Assert.Equal(("access_denied", "st&te"), (answer["error"], answer["state"]));
        Assert.True((await browser.GetAsync(SignIn.Url(client))).Has("form_token"));
    }

    [Fact]
    public async Task A_form_that_another_page_or_another_browser_sends_does_nothing()
    {
        var client = await App.ClientAsync(isTrusted: false);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        using var attacker = new TestBrowser(App);
        var page = await browser.GetAsync(SignIn.Url(client));
        var foreign = await attacker.GetAsync(SignIn.Url(client));

        foreach (var token in new[] { "", "guessed", foreign.Fields["form_token"] })
        {
            var refused = await browser.PressAsync(page, "sign-in", ("email", person.Email), ("password", TestUsers.Password), ("form_token", token));
            Assert.Equal(400, refused.Status);
            Assert.Contains("open for too long", refused.Text);
            Assert.Null(refused.Location);
        }

        Assert.Equal(0, await App.Db.FindAsync<long>($"select count(*) from users_sessions where account_id = {person.Id} and cookie_digest is not null", Ct));
        // A consent that was not given on a page of this browser's is none.
        var consent = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email);
        var forged = await browser.PressAsync(consent, "allow", ("form_token", foreign.Fields["form_token"]));
        Assert.Null(forged.Location);
        // What the form carries is checked like any request.
        var elsewhere = await browser.PressAsync(consent, "allow", ("redirect_uri", "https://evil.example/"));
        Assert.Equal((400, null), (elsewhere.Status, elsewhere.Location));
    }

    [Fact]
    public async Task Known_and_unknown_emails_get_the_same_page()
    {
        var client = await App.ClientAsync();
        using var person = await App.PersonAsync();
        var pages = new List<string>();
        foreach (var email in new[] { person.Email, TestUsers.NewEmail() })
        {
            using var browser = new TestBrowser(App);
            var page = await browser.GetAsync(SignIn.Url(client));
            var answer = await browser.FillInAsync(page, email, "not the password");
            Assert.Equal(400, answer.Status);
            pages.Add(answer.Text.Replace(email, "").Replace(page.Fields["form_token"], ""));
        }

        Assert.Equal(pages[0], pages[1]);
        Assert.Contains("role=\"alert\"", pages[0]);
    }

    [Fact]
    public async Task The_page_shares_its_limits_with_the_token_endpoint()
    {
        var client = await App.ClientAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var page = await browser.GetAsync(SignIn.Url(client));
        for (var i = 0; i < 25; i++)
            page = await browser.FillInAsync(page, person.Email, "not the password");

        Assert.Equal(429, page.Status);
        Assert.Contains("Too many attempts", page.Text);
        Assert.Equal(429, (int)(await App.PostTokenAsync(person.Email, "not the password")).StatusCode);
    }

    [Fact]
    public async Task Each_sign_in_draws_the_cookie_anew_and_scripts_and_other_sites_have_nothing_of_it()
    {
        var client = await App.ClientAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var page = await browser.GetAsync(SignIn.Url(client));
        var before = Assert.Single(browser.Cookies.GetAllCookies());

        var answer = await browser.FillInAsync(page, person.Email);

        var after = Assert.Single(browser.Cookies.GetAllCookies());
        Assert.NotEqual(before.Value, after.Value);
        var header = Assert.Single(answer.Response.Headers.GetValues("Set-Cookie"));
        Assert.Equal($"tandem={after.Value}; path=/; samesite=lax; httponly", header);
        Assert.Equal(0, await App.Db.FindAsync<long>($"select count(*) from users_sessions where cookie_digest = {after.Value}", Ct));
        var policy = page.Response.Headers.GetValues("Content-Security-Policy").Single();
        Assert.Contains("frame-ancestors 'none'", policy);
        Assert.Contains("default-src 'none'", policy);
        Assert.DoesNotContain("script-src", policy);
        Assert.Contains("form-action 'self' https://app.example.com;", policy);
        Assert.DoesNotContain("<script", page.Text);
    }

    [Fact]
    public async Task Under_a_public_address_the_cookie_is_for_https_and_this_host_alone()
    {
        await using var app = await TestApp.StartAsync(null, null, "--Users:Issuer", "https://id.example.com/");
        var client = await app.ClientAsync();
        using var browser = new TestBrowser(app);

        var page = await browser.GetAsync(SignIn.Url(client));

        Assert.Matches("^__Host-tandem=[\\w-]{43}; path=/; secure; samesite=lax; httponly$", page.Response.Headers.GetValues("Set-Cookie").Single());
        var configuration = await (await app.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync();
        Assert.Equal("https://id.example.com/authorize", configuration.GetProperty("authorization_endpoint").GetString());
        Assert.Equal("https://id.example.com/token", configuration.GetProperty("token_endpoint").GetString());
    }

    [Fact]
    public async Task Who_has_to_sign_in_again_does_and_its_other_applications_go_on()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var first = await app.SignInAsync(client, person.Email, browser);
        Assert.NotEmpty((await browser.GetAsync(SignIn.Url(client, "openid", ("max_age", "60")))).Answer["code"]);
        clock.Advance(TimeSpan.FromMinutes(2));

        foreach (var ask in new[] { ("max_age", "60"), ("prompt", "login"), ("prompt", "select_account") })
        {
            var page = await browser.GetAsync(SignIn.Url(client, "openid", ask));
            Assert.True(page.Has("password"), ask.ToString());
            Assert.NotEmpty((await browser.FillInAsync(page, person.Email)).Answer["code"]);
            clock.Advance(TimeSpan.FromMinutes(2));
        }

        await (await app.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = first.GetProperty("refresh_token").GetString()! })).JsonAsync();
        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from users_sessions where cookie_digest is not null and ended_at is null", Ct));
    }

    [Fact]
    public async Task An_answer_by_form_post_is_a_form_that_sends_itself()
    {
        var client = await App.ClientAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);

        var page = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client, "openid", ("response_mode", "form_post"))), person.Email);

        Assert.Equal(200, page.Status);
        Assert.Equal(client.Redirect, page.Target);
        Assert.Equal("st&te", page.Fields["state"]);
        Assert.Equal(App.Address + "/", page.Fields["iss"]);
        await (await App.RedeemAsync(client, page.Fields["code"])).JsonAsync();
        Assert.Matches("script-src 'sha256-", page.Response.Headers.GetValues("Content-Security-Policy").Single());
    }

    [Fact]
    public async Task Signing_out_ends_the_browser_and_every_client_and_goes_back_where_it_may()
    {
        var client = await App.ClientAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var tokens = await App.SignInAsync(client, person.Email, browser);
        var hint = tokens.GetProperty("id_token").GetString();

        foreach (var bad in new[] { "https://evil.example/", client.Redirect, "https://app.example.com/bye?x" })
        {
            var refused = await browser.GetAsync($"/logout?id_token_hint={hint}&post_logout_redirect_uri={Uri.EscapeDataString(bad)}");
            Assert.Equal((400, null), (refused.Status, refused.Location));
        }

        // Without a word of the client it could be a picture on any page: the person is asked.
        var asked = await browser.GetAsync($"/logout?client_id={client.Id}&post_logout_redirect_uri=https://app.example.com/bye");
        Assert.Contains("Sign out?", asked.Text);
        Assert.Equal(200, (await browser.PressAsync(asked, "sign-out", ("form_token", "guessed"))).Status);
        Assert.NotEmpty((await browser.GetAsync(SignIn.Url(client))).Answer["code"]);

        var back = await browser.GetAsync($"/logout?id_token_hint={hint}&post_logout_redirect_uri=https://app.example.com/bye&state=s1");
        Assert.Equal((302, "https://app.example.com/bye?state=s1"), (back.Status, back.Location));
        Assert.True((await browser.GetAsync(SignIn.Url(client))).Has("password"));
        await (await App.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! }))
            .ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        using var http = App.With(tokens.GetProperty("access_token").GetString()!);
        await (await http.GetAsync("/userinfo", Ct)).ShouldBeProblemAsync(401, "users/invalid-access-token");
    }
}
