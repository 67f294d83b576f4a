using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Tandem.Tests.Users.OpenId;

/// <summary>Devices without keyboard or browser (RFC 8628).</summary>
public sealed class DeviceTests(OpenIdFixture fixture) : IClassFixture<OpenIdFixture>
{
    const string Grant = "urn:ietf:params:oauth:grant-type:device_code";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Fact]
    public async Task A_person_lets_a_device_in_and_it_learns_who_that_is()
    {
        var client = await TelevisionAsync(App);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var asked = await AskAsync(App, client, "openid email offline_access");
        Assert.Equal((600, 5, App.Address + "/device"), (asked.GetProperty("expires_in").GetInt32(), asked.GetProperty("interval").GetInt32(), asked.GetProperty("verification_uri").GetString()));
        var code = asked.GetProperty("user_code").GetString()!;
        Assert.Matches("^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$", code);
        Assert.Equal($"{App.Address}/device?user_code={code}", asked.GetProperty("verification_uri_complete").GetString());
        await ShouldAnswerAsync(App, client, asked, "authorization_pending", "users/device-pending");

        // As people type it.
        var signIn = await browser.PressAsync(await browser.GetAsync("/device"), "continue", ("user_code", " " + code.Replace("-", "").ToLowerInvariant()));
        Assert.Contains("Sign in to The &lt;Shop&gt;", signIn.Text);
        var consent = await browser.FillInAsync(signIn, person.Email);
        Assert.Contains(person.Email, consent.Text);
        Assert.Contains("see your e-mail address", consent.Text);
        Assert.DoesNotContain("see your name", consent.Text);
        var done = await browser.PressAsync(consent, "allow");

        Assert.Contains("The device is signed in", done.Text);
        var tokens = await (await PollAsync(App, client, asked)).JsonAsync();
        Assert.Equal("openid email offline_access", tokens.GetProperty("scope").GetString());
        Assert.Equal(client.Id, JsonDocument.Parse(System.Buffers.Text.Base64Url.DecodeFromChars(tokens.GetProperty("id_token").GetString()!.Split('.')[1])).RootElement.GetProperty("aud").GetString());
        using var http = App.With(tokens.GetProperty("access_token").GetString()!);
        Assert.Equal(person.Email, (await (await http.GetAsync("/userinfo", Ct)).JsonAsync()).GetProperty("email").GetString());
        // Both codes are used up, and the device goes on by itself when the browser signs out.
        await ShouldAnswerAsync(App, client, asked, "invalid_grant", "users/invalid-device-code");
        Assert.Contains("No device waits", (await browser.PressAsync(await browser.GetAsync("/device"), "continue", ("user_code", code))).Text);
        await browser.PressAsync(await browser.GetAsync("/logout"), "sign-out");
        await (await App.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! })).JsonAsync();
    }

    [Fact]
    public async Task A_code_in_the_address_is_shown_and_not_used()
    {
        var client = await TelevisionAsync(App);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        await browser.SignInAsync(SignIn.Url(await App.ClientAsync()), person.Email);
        var asked = await AskAsync(App, client);

        var page = await browser.GetAsync(new Uri(asked.GetProperty("verification_uri_complete").GetString()!).PathAndQuery);

        Assert.Contains($"value=\"{asked.GetProperty("user_code").GetString()}\"", page.Text);
        Assert.Contains("form-action 'self';", page.Response.Headers.GetValues("Content-Security-Policy").Single());
        await ShouldAnswerAsync(App, client, asked, "authorization_pending", "users/device-pending");
        Assert.DoesNotContain("<script", (await browser.GetAsync("/device?user_code=\"><script>")).Text);
        // Also who is signed in, and has allowed the client before, is asked.
        var consent = await browser.PressAsync(page, "continue", ("user_code", asked.GetProperty("user_code").GetString()!));
        Assert.Contains("Allow it only if you have that device", consent.Text);
        Assert.Contains("user_code", consent.Fields.Keys);
    }

    [Fact]
    public async Task Who_does_not_allow_it_turns_the_device_away_for_good()
    {
        var client = await TelevisionAsync(App);
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var asked = await AskAsync(App, client);
        var consent = await ConsentAsync(browser, asked, person.Email);

        Assert.Contains("turned away", (await browser.PressAsync(consent, "deny")).Text);

        await ShouldAnswerAsync(App, client, asked, "access_denied", "users/device-denied");
        Assert.Contains("No device waits", (await browser.PressAsync(consent, "allow")).Text);
        await ShouldAnswerAsync(App, client, asked, "access_denied", "users/device-denied");
        var rows = (await (await admin.Http.GetAsync($"/audit?subject={person.Id}&event=device-denied", Ct)).JsonAsync()).EnumerateArray();
        Assert.Equal(client.Id, Assert.Single(rows).GetProperty("reason").GetString());
    }

    [Fact]
    public async Task A_device_that_asks_too_often_is_slowed_down_and_one_that_waits_too_long_is_told()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        var client = await TelevisionAsync(app);
        var asked = await AskAsync(app, client);
        await ShouldAnswerAsync(app, client, asked, "authorization_pending", "users/device-pending");
        await ShouldAnswerAsync(app, client, asked, "slow_down", "users/device-too-fast");
        clock.Advance(TimeSpan.FromSeconds(6));
        await ShouldAnswerAsync(app, client, asked, "slow_down", "users/device-too-fast");
        clock.Advance(TimeSpan.FromSeconds(15));
        await ShouldAnswerAsync(app, client, asked, "authorization_pending", "users/device-pending");
        clock.Advance(TimeSpan.FromMinutes(10));

        await ShouldAnswerAsync(app, client, asked, "expired_token", "users/device-code-expired");
        using var browser = new TestBrowser(app);
        Assert.Contains("No device waits", (await browser.PressAsync(await browser.GetAsync("/device"), "continue", ("user_code", asked.GetProperty("user_code").GetString()!))).Text);
    }

    [Fact]
    public async Task One_question_alone_gets_the_tokens()
    {
        var client = await TelevisionAsync(App);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var asked = await AskAsync(App, client);
        await browser.PressAsync(await ConsentAsync(browser, asked, person.Email), "allow");

        var answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => PollAsync(App, client, asked)));

        Assert.Single(answers, a => (int)a.StatusCode == 200);
        Assert.All(answers.Where(a => (int)a.StatusCode != 200), a => Assert.Equal(400, (int)a.StatusCode));
    }

    [Theory]
    [InlineData("password")]
    [InlineData("deactivated")]
    [InlineData("signed out")]
    public async Task What_ends_the_sign_in_before_the_device_comes_ends_its_code(string how)
    {
        var client = await TelevisionAsync(App);
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var asked = await AskAsync(App, client);
        await browser.PressAsync(await ConsentAsync(browser, asked, person.Email), "allow");

        if (how == "password")
            await (await person.Http.PutAsJsonAsync("/auth/password", new { password = "another horse battery" }, Ct)).JsonlessAsync(204);
        else if (how == "deactivated")
            await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).JsonAsync();
        else
            await browser.PressAsync(await browser.GetAsync("/logout"), "sign-out");

        await ShouldAnswerAsync(App, client, asked, "invalid_grant", "users/invalid-device-code");
    }

    [Fact]
    public async Task A_form_of_another_page_or_browser_lets_nothing_in()
    {
        var client = await TelevisionAsync(App);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        using var attacker = new TestBrowser(App);
        var asked = await AskAsync(App, client);
        var consent = await ConsentAsync(browser, asked, person.Email);
        var foreign = await attacker.GetAsync("/device");

        foreach (var token in new[] { "", "guessed", foreign.Fields["form_token"] })
            Assert.Equal(400, (await browser.PressAsync(consent, "allow", ("form_token", token))).Status);

        await ShouldAnswerAsync(App, client, asked, "authorization_pending", "users/device-pending");
    }

    [Fact]
    public async Task The_device_code_is_the_clients_own_and_the_grant_is_switched_on_for_it()
    {
        var (client, other, shop) = (await TelevisionAsync(App), await TelevisionAsync(App), await App.ClientAsync());
        var asked = await AskAsync(App, client);

        await ShouldAnswerAsync(App, other, asked, "invalid_grant", "users/invalid-device-code");
        var refused = await (await PostAsync(App, shop, "openid")).ShouldBeProblemAsync(400, "users/invalid-client-request");
        Assert.Equal("unauthorized_client", refused.GetProperty("error").GetString());
        Assert.Equal("unauthorized_client", (await (await PollAsync(App, shop, asked)).JsonAsync(400)).GetProperty("error").GetString());
        Assert.Equal("invalid_scope", (await (await PostAsync(App, client, "users:read")).JsonAsync(400)).GetProperty("error").GetString());
        Assert.Equal("invalid_scope", (await (await PostAsync(App, client, "")).JsonAsync(400)).GetProperty("error").GetString());
        await (await PostAsync(App, client with { Id = "nobody" }, "openid")).ShouldBeProblemAsync(401, "users/invalid-client");
        await (await PostAsync(App, client with { Secret = "guessed" }, "openid")).ShouldBeProblemAsync(401, "users/invalid-client");
        await (await App.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = Grant, ["device_code"] = asked.GetProperty("device_code").GetString()! })).ShouldBeProblemAsync(400, "users/invalid-token-request");
        var configuration = await (await App.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync();
        Assert.Equal(App.Address + "/device/code", configuration.GetProperty("device_authorization_endpoint").GetString());
        Assert.Contains(Grant, configuration.GetProperty("grant_types_supported").EnumerateArray().Select(g => g.GetString()));
    }

    [Fact]
    public async Task An_address_that_guesses_codes_is_put_off_and_so_is_one_that_asks_for_many()
    {
        await using var app = await OpenIdFixture.StartAsync(null, "--Users:RequestsPerMinutePerAddress", "2");
        var client = await TelevisionAsync(app);
        using var browser = new TestBrowser(app);
        var asked = await AskAsync(app, client);
        var page = await browser.GetAsync("/device");
        for (var i = 0; i < 10; i++)
            Assert.Equal(400, (await browser.PressAsync(page, "continue", ("user_code", "BCDF-GHJK"))).Status);

        var refused = await browser.PressAsync(page, "continue", ("user_code", asked.GetProperty("user_code").GetString()!));

        Assert.Equal(429, refused.Status);
        Assert.NotNull(refused.Response.Headers.RetryAfter);
        await AskAsync(app, client);
        await (await PostAsync(app, client, "openid")).ShouldBeProblemAsync(429, "http/too-many-requests");
    }

    [Fact]
    public async Task What_is_stored_signs_nobody_in()
    {
        var client = await TelevisionAsync(App);
        var asked = await AskAsync(App, client);
        foreach (var name in new[] { "device_code", "user_code" })
        {
            var code = asked.GetProperty(name).GetString();
            Assert.Equal(0, await App.Db.FindAsync<long>($"select count(*) from users_device_codes where digest = {code} or user_digest = {code}", Ct));
        }
    }

    [Fact]
    public async Task Under_a_public_address_the_page_is_there()
    {
        await using var app = await TestApp.StartAsync(null, null, "--Users:Issuer", "https://id.example.com/");
        var asked = await AskAsync(app, await TelevisionAsync(app));

        Assert.Equal("https://id.example.com/device", asked.GetProperty("verification_uri").GetString());
        Assert.StartsWith("https://id.example.com/device?user_code=", asked.GetProperty("verification_uri_complete").GetString());
    }

    static async Task<TestClient> TelevisionAsync(TestApp app)
    {
        using var admin = await app.AdministratorAsync();
        var id = $"tv{Guid.NewGuid():n}";
        await (await admin.Http.PostAsJsonAsync("/clients", new { id, name = "The <Shop>", grant_types = new[] { Grant, "refresh_token" }, is_public = true, is_trusted = true }, Ct)).JsonAsync(201);
        return new TestClient(id, null, "");
    }

    static Task<HttpResponseMessage> PostAsync(TestApp app, TestClient client, string scope)
    {
        var form = new Dictionary<string, string> { ["client_id"] = client.Id, ["scope"] = scope };
        if (client.Secret is not null)
            form["client_secret"] = client.Secret;
        return app.Http.PostAsync("/device/code", new FormUrlEncodedContent(form), Ct);
    }

    static async Task<JsonElement> AskAsync(TestApp app, TestClient client, string scope = "openid") => await (await PostAsync(app, client, scope)).JsonAsync();

    static Task<HttpResponseMessage> PollAsync(TestApp app, TestClient client, JsonElement asked) =>
        app.TokenAsync(client, new() { ["grant_type"] = Grant, ["device_code"] = asked.GetProperty("device_code").GetString()! });

    static async Task ShouldAnswerAsync(TestApp app, TestClient client, JsonElement asked, string error, string problem) =>
        Assert.Equal(error, (await (await PollAsync(app, client, asked)).ShouldBeProblemAsync(400, problem)).GetProperty("error").GetString());

    static async Task<TestPage> ConsentAsync(TestBrowser browser, JsonElement asked, string email) =>
        await browser.FillInAsync(await browser.PressAsync(await browser.GetAsync("/device"), "continue", ("user_code", asked.GetProperty("user_code").GetString()!)), email);
}
