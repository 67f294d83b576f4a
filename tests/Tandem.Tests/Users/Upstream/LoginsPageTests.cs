using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Tests.Users.OpenId;
using Tandem.Tests.Users.SelfService;

namespace Tandem.Tests.Users.Upstream;

/// <summary>The page of the account on which a person looks after the logins elsewhere.</summary>
public sealed class LoginsPageTests
{
    const string Page = "/account/logins";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync(TestProvider provider) => OpenIdFixture.StartAsync(null, provider.Settings("elsewhere", ("Title", "<Elsewhere>")));

    static Task<long> CountAsync(TestApp app, long account) => app.Db.FindAsync<long>($"select count(*) from users_upstream_logins where account_id = {account}", Ct);

    [Fact]
    public async Task A_login_is_added_over_the_page_that_asks_and_stands_in_the_list_until_it_is_removed()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        using var person = await app.PersonAsync();
        provider.SomebodyNew();
        provider.Who["email"] = "ada&co@example.com";
        using var browser = new Visitor(app);
        var page = await browser.SignInAsync(Page, person.Email);
        Assert.Equal((200, "Logins at other providers", Page), (page.Status, page.Title, page.Address.AbsolutePath));
        Assert.Contains("There are none.", page.Text);
        Assert.Contains("Add &lt;Elsewhere&gt;", page.Html);

        var asked = await browser.PressAsync(page, "add");
        Assert.Equal("Add <Elsewhere> to your account?", asked.Title);
        Assert.Contains(person.Email, asked.Text);
        Assert.Equal(0, await CountAsync(app, person.Id));
        var added = await browser.GoAsync(new Uri(asked.Address, WebUtility.HtmlDecode(UpstreamVisits.Links().Match(asked.Html).Groups[1].Value)).ToString());

        Assert.Equal("<Elsewhere> was added", added.Title);
        page = await browser.GoAsync(Page);
        Assert.Contains("as ada&co@example.com", page.Text);
        Assert.DoesNotContain("There are none.", page.Text);
        Assert.Contains("aria-label=\"Remove the login of &lt;Elsewhere&gt;\"", page.Html);
        page = await browser.PressAsync(page, "remove");
        Assert.Contains("The login is removed.", page.Text);
        Assert.Contains("There are none.", page.Text);
        Assert.Equal(0, await CountAsync(app, person.Id));
        Assert.Contains("upstream-login-removed", await ByMailTests.AuditedAsync(app, person.Id));
    }

    [Fact]
    public async Task The_last_way_in_is_not_removed()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        provider.SomebodyNew();
        using var browser = new Visitor(app);
        var signIn = await browser.GoAsync(Page);
        var page = await browser.GoAsync("/" + WebUtility.HtmlDecode(UpstreamVisits.Links().Match(signIn.Html).Groups[1].Value));
        Assert.Equal(Page, page.Address.AbsolutePath);

        var refused = await browser.PressAsync(page, "remove");

        Assert.Equal(409, refused.Status);
        Assert.Contains("Nothing would be left to sign in with", refused.Text);
        Assert.Contains("Remove the login of", refused.Html);
        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from users_upstream_logins", Ct));
    }

    [Fact]
    public async Task A_login_of_somebody_else_and_a_provider_that_is_none_are_refused_on_the_page()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        using var person = await app.PersonAsync();
        using var other = await app.PersonAsync();
        await UpstreamTests.AddAsync(app, provider, person);
        await UpstreamTests.AddAsync(app, provider, other);
        var foreign = await app.Db.FindAsync<Guid>($"select id from users_upstream_logins where account_id = {other.Id}", Ct);
        using var browser = new Visitor(app);
        var page = await browser.SignInAsync(Page, person.Email);

        var refused = await browser.PressAsync(page, "remove", "", ("id", foreign.ToString()));
        Assert.Equal(404, refused.Status);
        Assert.Contains("Login not found", refused.Text);
        var unknown = await browser.PressAsync(page, "add", "", ("provider", "nobody"));
        Assert.Equal(404, unknown.Status);
        Assert.Contains("No provider of this name is set up here.", unknown.Text);
        Assert.Contains("Nothing was changed", (await browser.PressAsync(page, "remove", "", ("form_token", "x"))).Text);
        Assert.Contains("Nothing was changed", (await browser.PressAsync(page, "remove", "", ("id", "x"))).Text);
        Assert.Equal((1, 1), (await CountAsync(app, person.Id), await CountAsync(app, other.Id)));
    }

    [Fact]
    public async Task A_login_of_a_provider_that_the_settings_name_no_more_is_said_to_be_worth_nothing_and_can_go()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        using var person = await app.PersonAsync();
        await UpstreamTests.AddAsync(app, provider, person);
        await app.Db.ExecuteAsync($"update users_upstream_logins set issuer = {"https://gone.example.com"}", Ct);
        using var browser = new Visitor(app);

        var page = await browser.SignInAsync(Page, person.Email);

        Assert.Contains("https://gone.example.com", page.Text);
        Assert.Contains("It is set up here no more, and signs in no more.", page.Text);
        Assert.Contains("The login is removed.", (await browser.PressAsync(page, "remove")).Text);
    }

    [Fact]
    public async Task The_page_wants_a_fresh_sign_in_and_is_there_with_a_provider_alone()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var provider = await TestProvider.StartAsync();
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), provider.Settings("elsewhere"));
        using var person = await app.PersonAsync();
        using var browser = new Visitor(app);
        var page = await browser.SignInAsync(Page, person.Email);
        clock.Advance(TimeSpan.FromMinutes(16));

        var asked = await browser.PressAsync(page, "add");
        Assert.Equal("Sign in to Tandem", asked.Title);
        Assert.Equal(Page, (await browser.PressAsync(asked, "sign-in", "", ("email", person.Email), ("password", TestUsers.Password))).Address.AbsolutePath);

        await using var without = await OpenIdFixture.StartAsync();
        using var nobody = new Visitor(without);
        Assert.Equal(404, (int)(await nobody.GetAsync(Page)).StatusCode);
    }
}
