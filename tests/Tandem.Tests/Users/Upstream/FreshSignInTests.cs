using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Tests.Users.OpenId;
using Tandem.Tests.Users.SelfService;
using Tandem.Users.Audit;
using SignIn = Tandem.Tests.Users.OpenId.SignIn;

namespace Tandem.Tests.Users.Upstream;

/// <summary>A client that wants a fresh sign-in gets one, also where the person signs in by another provider.</summary>
public sealed class FreshSignInTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync(TestProvider provider) => OpenIdFixture.StartAsync(null, provider.Settings("elsewhere", ("Title", "Elsewhere")));

    static long Now => DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    static string WayBack(TestApp app, TestPage page) => new Uri(new Uri($"{app.Address}/auth/upstream/elsewhere/callback"), WebUtility.HtmlDecode(UpstreamVisits.Links().Match(page.Text).Groups[1].Value)).ToString();

    static async Task<List<string>> FailuresAsync(TestApp app)
    {
        await app.Services.GetRequiredService<FailedSignIns>().WriteAsync(all: true, Ct);
        await app.Services.GetRequiredService<AuditTrail>().SealAsync(Ct);
        return await app.Db.ListAsync<string>($"select reason from users_audit where event = {AuditEvents.SignInFailed}", Ct);
    }

    [Fact]
    public async Task What_the_client_wants_of_the_sign_in_is_told_to_the_provider()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync();
        provider.SomebodyNew();
        using var browser = new TestBrowser(app);

        await browser.SignInByAsync(app, provider, SignIn.Url(client));
        Assert.Empty(provider.Wanted.Keys.Intersect(["prompt", "max_age", "login_hint", "ui_locales"]));

        using var other = new TestBrowser(app);
        var answer = await other.SignInByAsync(app, provider, SignIn.Url(client, "openid", ("prompt", "login consent"), ("max_age", "300"), ("login_hint", "ada&co@example.com"), ("ui_locales", "fr de")));
        Assert.Equal(("login", "300", "ada&co@example.com", "fr de"), (provider.Wanted["prompt"], provider.Wanted["max_age"], provider.Wanted["login_hint"], provider.Wanted["ui_locales"]));
        // The consent is still asked for.
        Assert.Contains("value=\"allow\"", answer.Text, StringComparison.Ordinal);

        await other.SignInByAsync(app, provider, SignIn.Url(client, "openid", ("prompt", "select_account")));
        Assert.Equal("select_account", provider.Wanted["prompt"]);
    }

    [Fact]
    public async Task So_is_what_a_pushed_request_wants()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync();
        provider.SomebodyNew();
        using var browser = new TestBrowser(app);
        async Task<string> PushAsync() => (await (await app.TokenAsync(client, new()
        {
            ["response_type"] = "code",
            ["redirect_uri"] = client.Redirect,
            ["scope"] = "openid",
            ["code_challenge"] = SignIn.Challenge,
            ["code_challenge_method"] = "S256",
            ["prompt"] = "login",
            ["max_age"] = "60",
            ["login_hint"] = "ada@example.com",
        }, "/par")).JsonAsync(201)).GetProperty("request_uri").GetString()!;
        async Task<string> UrlAsync() => $"/authorize?client_id={client.Id}&request_uri={Uri.EscapeDataString(await PushAsync())}";

        var answer = await browser.SignInByAsync(app, provider, await UrlAsync());

        Assert.Equal(("login", "60", "ada@example.com"), (provider.Wanted["prompt"], provider.Wanted["max_age"], provider.Wanted["login_hint"]));
        Assert.True(answer.Answer.ContainsKey("code"));

        provider.Lie = c => c["auth_time"] = Now - 600;
        var refused = await browser.SignInByAsync(app, provider, await UrlAsync());
        Assert.Equal(400, refused.Status);
        Assert.Contains("you signed in there too long ago", refused.Text, StringComparison.Ordinal);
        Assert.True((await browser.GetAsync(WayBack(app, refused))).Has("password"));
    }

    [Theory]
    [InlineData("max_age", "300", null, "it does not say when you signed in there")]
    [InlineData("max_age", "300", "then", "it does not say when you signed in there")]
    [InlineData("max_age", "300", -1e30, "it does not say when you signed in there")]
    [InlineData("max_age", "300", 1e30, "it does not say when you signed in there")]
    [InlineData("max_age", "300", 420.0, "you signed in there too long ago, and were not asked again")]
    [InlineData("max_age", "0", 120.0, "you signed in there too long ago, and were not asked again")]
    [InlineData("max_age", "-5", 120.0, "you signed in there too long ago, and were not asked again")]
    [InlineData("prompt", "login", 120.0, "you signed in there too long ago, and were not asked again")]
    public async Task A_sign_in_that_is_not_as_fresh_as_the_client_wants_it_is_refused(string parameter, string value, object? ago, string reason)
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        provider.SomebodyNew();
        provider.Lie = c => c["auth_time"] = ago is double seconds ? Math.Abs(seconds) < 1e9 ? Now - (long)seconds : seconds : ago;
        using var browser = new TestBrowser(app);
        // Signed in already, which is what the client does not count.
        Assert.Equal(302, (await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email)).Status);
        await app.Db.ExecuteAsync($"update users_sessions set authenticated_at = {DateTime.UtcNow.AddHours(-1)}", Ct);

        var page = await browser.SignInByAsync(app, provider, SignIn.Url(client, "openid", (parameter, value)));

        Assert.True(page.Status == 400, page.Text);
        Assert.Contains(reason, page.Text, StringComparison.Ordinal);
        Assert.Contains($"by upstream elsewhere: {reason}", await FailuresAsync(app));
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_upstream_logins", Ct));
        // And the way back does not lead around it.
        var back = await browser.GetAsync(WayBack(app, page));
        Assert.True(back.Status == 200 && back.Has("password"), back.Text);
        provider.Lie = _ => { };
        await browser.SignInByAsync(app, provider, WayBack(app, page));
        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from users_upstream_logins", Ct));
    }

    [Fact]
    public async Task The_session_is_as_old_as_the_sign_in_there()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync();
        provider.SomebodyNew();
        var earlier = Now - 7200;
        provider.Who["auth_time"] = earlier;
        using var browser = new TestBrowser(app);

        var claims = await UpstreamTests.ClaimsAsync(app, client, await browser.SignInByAsync(app, provider, SignIn.Url(client, "openid", ("max_age", "10000"))));
        Assert.Equal(earlier, claims.GetProperty("auth_time").GetInt64());
        // Another client that wants a fresher one is not content with it.
        Assert.True((await browser.GetAsync(SignIn.Url(client, "openid", ("max_age", "3600")))).Has("password"));

        // No provider makes a sign-in younger than now.
        provider.Who["auth_time"] = Now + 90_000;
        using var other = new TestBrowser(app);
        claims = await UpstreamTests.ClaimsAsync(app, client, await other.SignInByAsync(app, provider, SignIn.Url(client, "openid", ("max_age", "10000"))));
        Assert.InRange(claims.GetProperty("auth_time").GetInt64(), Now - 60, Now);
    }

    [Fact]
    public async Task Whoever_is_signed_in_and_has_to_show_it_once_more_is_asked_there_too()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        provider.SomebodyNew();
        provider.Who["auth_time"] = Now - 7200;
        using var browser = new Visitor(app);
        async Task<Shown> ContinueAsync(Shown page) => await browser.GoAsync("/" + WebUtility.HtmlDecode(UpstreamVisits.Links().Match(page.Html).Groups[1].Value));

        var again = await ContinueAsync(await browser.GoAsync("/account/logins"));

        // Signed in, two hours ago: not enough for this page.
        Assert.Equal("Sign in to Tandem", again.Title);
        Assert.DoesNotContain("prompt", provider.Wanted.Keys);
        Assert.Equal("Your account", (await browser.GoAsync("/account")).Title);
        provider.Who["auth_time"] = Now;
        Assert.Equal("/account/logins", (await ContinueAsync(again)).Address.AbsolutePath);
        Assert.Equal("login", provider.Wanted["prompt"]);
    }
}
