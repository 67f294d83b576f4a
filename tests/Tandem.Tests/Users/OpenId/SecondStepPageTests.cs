using System.Buffers.Text;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Users.Audit;
using Tandem.Users.Tickets;

namespace Tandem.Tests.Users.OpenId;

/// <summary>The second step on the pages of a client's sign-in, and that there is no way around it.</summary>
public sealed class SecondStepPageTests
{
    static readonly DateTimeOffset Start = new(2026, 1, 31, 12, 0, 0, TimeSpan.Zero);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync(FakeTimeProvider clock, params string[] settings) => OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), settings);

    static Task<TestPage> CodeAsync(TestBrowser browser, TestPage page, string code) => browser.PressAsync(page, "second-step", ("code", code));

    /// <summary>How many sessions a browser or a client has of the account.</summary>
    static Task<long> SignedInAsync(TestApp app, Person person) => app.Db.FindAsync<long>(
        $"select count(*) from users_sessions where account_id = {person.Id} and ended_at is null and (cookie_digest is not null or client_id is not null)", Ct);

    [Fact]
    public async Task Behind_the_password_a_second_page_asks_for_the_code_and_the_ID_token_says_both()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        using var browser = new TestBrowser(app);

        var page = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client, "openid offline_access")), person.Email);

        Assert.Equal((200, null), (page.Status, page.Location));
        Assert.True(page.Has("code"));
        Assert.DoesNotContain(TestUsers.Password, page.Text);
        Assert.Equal(0, await SignedInAsync(app, person));
        var wrong = await CodeAsync(browser, page, "000000");
        Assert.Equal((400, null), (wrong.Status, wrong.Location));
        Assert.Contains("role=\"alert\"", wrong.Text);
        clock.Advance(TimeSpan.FromSeconds(90));
        var answer = (await CodeAsync(browser, wrong, authenticator.Code)).Answer;
        var tokens = await (await app.RedeemAsync(client, answer["code"])).JsonAsync();
        var signedInAt = clock.GetUtcNow().ToUnixTimeSeconds();
        ShouldSay(tokens, signedInAt, "pwd", "otp", "mfa");

        clock.Advance(TimeSpan.FromMinutes(10));
        ShouldSay(await (await app.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! })).JsonAsync(), signedInAt, "pwd", "otp", "mfa");
        // Another client in the same browser is told of the same sign-in.
        var other = await app.ClientAsync();
        ShouldSay(await (await app.RedeemAsync(other, (await browser.GetAsync(SignIn.Url(other))).Answer["code"])).JsonAsync(), signedInAt, "pwd", "otp", "mfa");

        await app.Services.GetRequiredService<FailedSignIns>().WriteAsync(all: true, Ct);
        var trail = app.Services.GetRequiredService<AuditTrail>();
        await trail.SealAsync(Ct);
        var rows = (await trail.FindAsync(new AuditFilter(), null, 100, Ct)).Select(r => $"{r.Event} {r.Reason}").ToList();
        Assert.Contains("signed-in by pwd otp", rows);
        Assert.Contains("sign-in-failed wrong code", rows);
    }

    [Fact]
    public async Task Without_a_second_step_the_ID_token_says_that_it_was_a_password()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);

        ShouldSay(await app.SignInAsync(client, person.Email, browser), Start.ToUnixTimeSeconds(), "pwd");

        var described = (await (await app.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync()).GetProperty("claims_supported").EnumerateArray().Select(c => c.GetString()).ToList();
        Assert.Subset(described.ToHashSet(), new HashSet<string?> { "amr", "auth_time", "sid", "email_verified" });
    }

    [Fact]
    public async Task A_recovery_code_takes_the_place_of_the_app_once()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        using var browser = new TestBrowser(app);
        var page = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email);

        var answer = (await CodeAsync(browser, page, authenticator.RecoveryCodes[0].ToUpperInvariant())).Answer;

        ShouldSay(await (await app.RedeemAsync(client, answer["code"])).JsonAsync(), clock.GetUtcNow().ToUnixTimeSeconds(), "pwd", "recovery", "mfa");
        using var elsewhere = new TestBrowser(app);
        page = await elsewhere.FillInAsync(await elsewhere.GetAsync(SignIn.Url(client)), person.Email);
        Assert.Equal(400, (await CodeAsync(elsewhere, page, authenticator.RecoveryCodes[0])).Status);
    }

    [Fact]
    public async Task Nothing_gets_around_the_second_step()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        var client = await app.ClientAsync(isTrusted: false);
        using var person = await app.PersonAsync();
        await Authenticator.SetUpAsync(person, clock);
        using var browser = new TestBrowser(app);
        var page = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email);
        var handle = page.Fields["handle"];

        // The browser is nobody's: asked again, allowed without a sign-in, without a page, with nothing in the place of the code.
        Assert.True((await browser.GetAsync(SignIn.Url(client))).Has("password"));
        Assert.True((await browser.PressAsync(page, "allow")).Has("password"));
        Assert.Equal("login_required", (await browser.GetAsync(SignIn.Url(client, "openid", ("prompt", "none")))).Answer["error"]);
        foreach (var code in new[] { "", " ", "000000", "\0", handle, new string('1', 101) })
        {
            var refused = await CodeAsync(browser, page, code);
            Assert.Equal((400, null), (refused.Status, refused.Location));
        }

        // By the client's own hand: a password is a person's, with or without a client beside it, and a handle is no code of the flow.
        var password = new Dictionary<string, string> { ["grant_type"] = "password", ["username"] = person.Email, ["password"] = TestUsers.Password, ["scope"] = "openid offline_access" };
        var asked = await (await app.TokenAsync(client, password)).ShouldBeProblemAsync(403, "users/second-step-wanted");
        Assert.False(asked.TryGetProperty("access_token", out _));
        await (await app.TokenAsync(client, new() { ["grant_type"] = "urn:tandem:second-step", ["handle"] = asked.GetProperty("handle").GetString()!, ["code"] = "000000" })).ShouldBeProblemAsync(400, "users/wrong-code");
        await (await app.RedeemAsync(client, handle)).ShouldBeProblemAsync(400, "users/invalid-code");
        await (await app.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = handle })).ShouldBeProblemAsync(400, "users/invalid-refresh-token");

        Assert.Equal(0, await SignedInAsync(app, person));
        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from users_sessions where account_id = {person.Id}", Ct));
    }

    [Fact]
    public async Task A_token_that_a_person_gets_beside_a_client_is_not_the_clients()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        var handle = (await (await app.PostTokenAsync(person.Email)).ShouldBeProblemAsync(403, "users/second-step-wanted")).GetProperty("handle").GetString()!;

        var tokens = await (await app.TokenAsync(client with { Secret = "guessed" }, new() { ["grant_type"] = "urn:tandem:second-step", ["handle"] = handle, ["code"] = authenticator.Code })).JsonAsync();

        Assert.False(Decode(tokens, "access_token").TryGetProperty("client_id", out _));
        Assert.False(tokens.TryGetProperty("id_token", out _));
    }

    [Fact]
    public async Task What_waits_for_a_code_is_one_accounts_and_works_once()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        var client = await app.ClientAsync();
        using var ada = await app.PersonAsync();
        using var eve = await app.PersonAsync();
        var adas = await Authenticator.SetUpAsync(ada, clock);
        var eves = await Authenticator.SetUpAsync(eve, clock);
        using var browser = new TestBrowser(app);
        var forAda = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), ada.Email);
        using var other = new TestBrowser(app);
        var forEve = await other.FillInAsync(await other.GetAsync(SignIn.Url(client)), eve.Email);

        // Eve knows Ada's password, and has an app of her own.
        Assert.Equal(400, (await other.PressAsync(forEve, "second-step", ("handle", forAda.Fields["handle"]), ("code", eves.Code))).Status);
        // In Ada's browser Eve's page does nothing: it was not shown there.
        var foreign = await browser.PressAsync(forEve, "second-step", ("code", eves.Code));
        Assert.Contains("came from another window", foreign.Text);
        Assert.Equal(0, await SignedInAsync(app, ada) + await SignedInAsync(app, eve));

        var answer = (await CodeAsync(browser, forAda, adas.Code)).Answer;
        Assert.Equal(ada.Id.ToString(), Decode(await (await app.RedeemAsync(client, answer["code"])).JsonAsync(), "id_token").GetProperty("sub").GetString());
        clock.Advance(TimeSpan.FromSeconds(30));
        foreach (var handle in new[] { forAda.Fields["handle"], "guessed" })
        {
            var replayed = await other.PressAsync(forEve, "second-step", ("handle", handle), ("code", adas.Code));
            Assert.Equal((400, null), (replayed.Status, replayed.Location));
            Assert.True(replayed.Has("password"));
        }

        Assert.Equal(0, await SignedInAsync(app, eve));
    }

    [Fact]
    public async Task Codes_cannot_be_tried_through_and_whoever_tries_begins_anew()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock, "--Users:CodeFailuresPerDay", "8");
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        using var browser = new TestBrowser(app);
        var page = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email);
        var last = page;
        for (var i = 0; i < TicketTable.MaxAttempts; i++)
            last = await CodeAsync(browser, page, "000000");
        Assert.True(last.Has("password"));
        Assert.Contains("Please sign in again", last.Text);
        Assert.True((await CodeAsync(browser, page, authenticator.Code)).Has("password"));

        // The account's codes of the day: eight, and as many from where it was signed in before. Six are used up.
        var statuses = new List<int>();
        for (var i = 0; i < 12; i++)
        {
            if (i % 4 == 0)
                page = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email);
            last = await CodeAsync(browser, page, "000000");
            statuses.Add(last.Status);
        }

        Assert.Equal((10, 2), (statuses.Count(s => s == 400), statuses.Count(s => s == 429)));
        Assert.Contains("Too many attempts", last.Text);
        Assert.NotNull(last.Response.Headers.RetryAfter);
        Assert.True(last.Has("code"));
    }

    [Fact]
    public async Task A_page_that_lies_open_too_long_leads_back_to_the_password()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        using var browser = new TestBrowser(app);
        var page = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email);
        clock.Advance(TimeSpan.FromMinutes(11));

        var late = await CodeAsync(browser, page, authenticator.Code);

        Assert.Equal(400, late.Status);
        page = await browser.FillInAsync(late, person.Email);
        Assert.NotEmpty((await CodeAsync(browser, page, authenticator.Code)).Answer["code"]);
    }

    [Theory]
    [InlineData("max_age", "60")]
    [InlineData("prompt", "login")]
    public async Task Who_has_to_sign_in_again_shows_both_again_and_its_other_applications_go_on(string parameter, string value)
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        var (client, other) = (await app.ClientAsync(), await app.ClientAsync());
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        using var browser = new TestBrowser(app);
        var page = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(other, "openid offline_access")), person.Email);
        var first = await (await app.RedeemAsync(other, (await CodeAsync(browser, page, authenticator.Code)).Answer["code"])).JsonAsync();
        clock.Advance(TimeSpan.FromMinutes(2));

        page = await browser.GetAsync(SignIn.Url(client, "openid", (parameter, value)));
        Assert.True(page.Has("password"));
        page = await browser.FillInAsync(page, person.Email);
        // The password alone is not enough, though the browser is still signed in from before.
        Assert.True(page.Has("code"));
        Assert.True((await browser.GetAsync(SignIn.Url(client, "openid", (parameter, value)))).Has("password"));
        var answer = (await CodeAsync(browser, page, authenticator.Code)).Answer;

        ShouldSay(await (await app.RedeemAsync(client, answer["code"])).JsonAsync(), clock.GetUtcNow().ToUnixTimeSeconds(), "pwd", "otp", "mfa");
        await (await app.TokenAsync(other, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = first.GetProperty("refresh_token").GetString()! })).JsonAsync();
    }

    [Fact]
    public async Task Until_the_other_one_has_shown_a_code_the_browser_stays_with_whoever_is_signed_in()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        var client = await app.ClientAsync(isTrusted: false);
        using var ada = await app.PersonAsync();
        using var bob = await app.PersonAsync();
        var bobs = await Authenticator.SetUpAsync(bob, clock);
        using var browser = new TestBrowser(app);
        var consent = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), ada.Email);
        var page = await browser.FillInAsync(await browser.PressAsync(consent, "switch"), bob.Email);
        Assert.True(page.Has("code"));

        Assert.Contains(ada.Email, (await browser.GetAsync(SignIn.Url(client))).Text);
        var adas = browser.Cookies.GetAllCookies().Single();
        using var copy = new TestBrowser(app);
        copy.Cookies.Add(new Cookie(adas.Name, adas.Value, "/", adas.Domain));
        consent = await CodeAsync(browser, page, bobs.Code);

        Assert.Contains(bob.Email, consent.Text);
        Assert.Equal((0, 1), (await SignedInAsync(app, ada), await SignedInAsync(app, bob)));
        // The cookie that stood for Ada stands for nobody.
        Assert.True((await copy.GetAsync(SignIn.Url(client))).Has("password"));
    }

    static void ShouldSay(JsonElement tokens, long authTime, params string[] methods)
    {
        var id = Decode(tokens, "id_token");
        Assert.Equal(methods, id.GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
        Assert.Equal(authTime, id.GetProperty("auth_time").GetInt64());
        // Who calls the API needs neither.
        Assert.False(Decode(tokens, "access_token").TryGetProperty("amr", out _));
    }

    static JsonElement Decode(JsonElement tokens, string name) => JsonDocument.Parse(Base64Url.DecodeFromChars(tokens.GetProperty(name).GetString()!.Split('.')[1])).RootElement;
}
