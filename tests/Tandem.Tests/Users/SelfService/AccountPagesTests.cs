using System.Net.Http.Json;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Tests.Users.OpenId;
using Tandem.Users;
using Tandem.Users.Audit;
using Tandem.Users.SecondSteps;
using SignIn = Tandem.Tests.Users.OpenId.SignIn;

namespace Tandem.Tests.Users.SelfService;

/// <summary>The pages under /account, by a browser without JavaScript.</summary>
public sealed partial class AccountPagesTests(OpenIdFixture fixture) : IClassFixture<OpenIdFixture>
{
    static readonly DateTimeOffset Start = new(2026, 1, 31, 12, 0, 0, TimeSpan.Zero);

    TestApp App => fixture.App;

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync(FakeTimeProvider clock, params string[] settings) => OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), settings);

    [Theory]
    [InlineData("", "Your account")]
    [InlineData("/sessions", "Where you are signed in")]
    [InlineData("/password", "Change your password")]
    [InlineData("/email", "Change your e-mail address")]
    [InlineData("/second-step", "Second step")]
    [InlineData("/passkeys", "Passkeys")]
    [InlineData("/applications", "Applications with access to your account")]
    [InlineData("/data", "Your data")]
    public async Task Every_page_leads_to_the_sign_in_and_back(string page, string title)
    {
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App);

        var asked = await browser.GoAsync("/account" + page);
        Assert.Equal("Sign in to Tandem", asked.Title);
        var shown = await browser.PressAsync(asked, "sign-in", "", ("email", person.Email), ("password", TestUsers.Password));

        Assert.Equal((200, title, "/account" + page), (shown.Status, shown.Title, shown.Address.AbsolutePath));
        Assert.Single(Regex.Matches(shown.Html, "<h1>"));
        Assert.Contains("<nav aria-label=\"Your account\">", shown.Html);
        Assert.Single(Regex.Matches(shown.Html, "aria-current=\"page\""));
        var policy = shown.Response.Headers.GetValues("Content-Security-Policy").Single();
        Assert.StartsWith("default-src 'none'; ", policy);
        Assert.DoesNotContain("unsafe", policy);
        Assert.Equal("no-store", shown.Response.Headers.CacheControl?.ToString());
        // A slash at the end would put every link of the page elsewhere.
        Assert.Equal("/account" + page, (await browser.GoAsync($"/account{page}/")).Address.AbsolutePath);
        Assert.Equal(404, (int)(await browser.GetAsync("/account/nothing")).StatusCode);
    }

    [Fact]
    public async Task A_wrong_password_is_said_on_the_page_and_where_it_goes_on_is_one_of_our_pages_alone()
    {
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App);

        var wrong = await browser.PressAsync(await browser.GoAsync("/account?to=sessions"), "sign-in", "", ("email", person.Email), ("password", "no such password"));
        Assert.Equal(400, wrong.Status);
        Assert.Contains("The e-mail or the password is wrong", wrong.Text);
        var shown = await browser.PressAsync(wrong, "sign-in", "", ("email", person.Email), ("password", TestUsers.Password), ("to", "https://evil.example/"));
        Assert.Equal("/account", shown.Address.AbsolutePath);
    }

    [Fact]
    public async Task The_cookie_opens_these_pages_and_no_route_of_the_API()
    {
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App);
        await browser.SignInAsync("/account", person.Email);

        foreach (var route in new[] { "/auth/me", "/sessions", "/keys", "/auth/passkeys", "/auth/upstreams", $"/users/{person.Id}", $"/users/{person.Id}/export" })
            Assert.Equal(401, (int)(await browser.GetAsync(route)).StatusCode);
    }

    [Fact]
    public async Task A_name_is_changed_and_a_blank_one_is_refused_beside_the_field()
    {
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App);
        var page = await browser.SignInAsync("/account", person.Email);

        var wrong = await browser.PressAsync(page, "rename", "", ("name", "  "));
        Assert.Equal(422, wrong.Status);
        Assert.Contains("aria-invalid=\"true\" aria-describedby=\"name-wrong\"", wrong.Html);
        var done = await browser.PressAsync(wrong, "rename", "", ("name", "Ada <Lovelace>"));
        Assert.Contains("Your name is changed.", done.Text);
        Assert.Contains("value=\"Ada &lt;Lovelace&gt;\"", done.Html);
        Assert.Equal("Ada <Lovelace>", (await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync()).GetProperty("name").GetString());
    }

    [Fact]
    public async Task A_form_that_this_browser_was_not_shown_changes_nothing()
    {
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App);
        var page = await browser.SignInAsync("/account/sessions", person.Email);
        using var other = new Visitor(App);
        var foreign = await other.SignInAsync("/account/sessions", person.Email);

        foreach (var token in new[] { "", "x", Token().Match(foreign.Html).Groups[1].Value })
        {
            var answer = await browser.PressAsync(page, "end-others", "", ("form_token", token));
            Assert.Contains("Nothing was changed", answer.Text);
        }

        Assert.Contains("this browser", (await other.GoAsync("/account/sessions")).Text);
        Assert.Equal(302, (int)(await browser.PostAsync("/account", [KeyValuePair.Create("action", "rename"), KeyValuePair.Create("name", "Eve")])).StatusCode);
        Assert.Equal("Ada", (await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync()).GetProperty("name").GetString());
    }

    [Fact]
    public async Task Sessions_are_listed_with_device_and_network_and_end_one_by_one_or_all_but_this()
    {
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App);
        var page = await browser.SignInAsync("/account/sessions", person.Email);
        Assert.Contains("Firefox on Linux", page.Text);
        Assert.Contains("127.0.0.0/24", page.Text);
        Assert.Contains("this browser", page.Text);

        var session = (await (await person.Http.GetAsync("/sessions", Ct)).JsonAsync()).EnumerateArray().Single(s => s.GetProperty("current").GetBoolean()).GetProperty("id").GetString()!;
        page = await browser.PressAsync(page, "end", session);
        Assert.Contains("The session has ended.", page.Text);
        Assert.Equal(401, (int)(await person.Http.GetAsync("/auth/me", Ct)).StatusCode);
        using var again = App.With((await App.SignInAsync(person.Email)).GetProperty("access_token").GetString()!);
        page = await browser.PressAsync(await browser.GoAsync("/account/sessions"), "end-others");
        Assert.Contains("All other sessions have ended.", page.Text);
        Assert.Equal(401, (int)(await again.GetAsync("/auth/me", Ct)).StatusCode);
        Assert.DoesNotContain("value=\"end\"", page.Html);
        Assert.Contains("this browser", page.Text);
    }

    [Fact]
    public async Task A_session_of_somebody_else_does_not_end_by_its_number()
    {
        using var person = await App.PersonAsync();
        using var other = await App.PersonAsync();
        using var browser = new Visitor(App);
        var page = await browser.SignInAsync("/account/sessions", person.Email);
        var theirs = (await (await other.Http.GetAsync("/sessions", Ct)).JsonAsync())[0].GetProperty("id").GetString()!;

        var answer = await browser.PressAsync(page, "end", "", ("id", theirs));

        Assert.Equal(404, answer.Status);
        Assert.Contains("Session not found", answer.Text);
        Assert.Equal(200, (int)(await other.Http.GetAsync("/auth/me", Ct)).StatusCode);
    }

    [Fact]
    public async Task Another_password_ends_every_session_but_this_browsers()
    {
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App);
        var page = await browser.SignInAsync("/account/password", person.Email);

        var wrong = await browser.PressAsync(page, "change", "", ("password", "short"));
        Assert.Equal(422, wrong.Status);
        Assert.Contains("must have 8 to 256 characters", wrong.Text);
        var done = await browser.PressAsync(wrong, "change", "", ("password", "another correct horse"));

        Assert.Contains("Your password is changed", done.Text);
        Assert.DoesNotContain("another correct horse", done.Html);
        Assert.Equal(401, (int)(await person.Http.GetAsync("/auth/me", Ct)).StatusCode);
        Assert.Equal(400, (int)(await App.PostTokenAsync(person.Email)).StatusCode);
        Assert.Equal("Your account", (await browser.GoAsync("/account")).Title);
        var trail = App.Services.GetRequiredService<AuditTrail>();
        await trail.SealAsync(Ct);
        AuditEntry? row = null;
        await foreach (var entry in trail.ReadAsync(new AuditFilter(Subject: person.Id), Ct))
            row = entry.Event == "password-changed" ? entry : row;
        Assert.Equal(("user", person.Id), (row!.Actor, row.ActorId));
    }

    [Fact]
    public async Task What_is_dangerous_leads_over_a_fresh_sign_in_and_back()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        using var browser = new Visitor(app);
        var page = await browser.SignInAsync("/account/password", person.Email);

        clock.Advance(TimeSpan.FromMinutes(16));
        Assert.Equal("Where you are signed in", (await browser.GoAsync("/account/sessions")).Title);
        foreach (var name in new[] { "password", "email", "second-step", "passkeys", "data" })
            Assert.Contains("show once more that it is you", (await browser.GoAsync($"/account/{name}")).Text);
        // Also a form that was open before.
        var asked = await browser.PressAsync(page, "change", "", ("password", "another correct horse"));
        Assert.Contains("show once more that it is you", asked.Text);
        Assert.Contains($"value=\"{person.Email}\"", asked.Html);
        Assert.Equal(200, (int)(await app.PostTokenAsync(person.Email)).StatusCode);
        var back = await browser.PressAsync(asked, "sign-in", "", ("email", person.Email), ("password", TestUsers.Password));
        Assert.Equal("/account/password", back.Address.AbsolutePath);
        Assert.Contains("Your password is changed", (await browser.PressAsync(back, "change", "", ("password", "another correct horse"))).Text);
    }

    [Fact]
    public async Task Another_email_is_asked_for_and_both_addresses_are_told()
    {
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App);
        var next = TestUsers.NewEmail();
        var page = await browser.SignInAsync("/account/email", person.Email);

        Assert.Contains("must be an e-mail address", (await browser.PressAsync(page, "change", "", ("email", "nobody"))).Text);
        Assert.Contains("on its way to the new address", (await browser.PressAsync(page, "change", "", ("email", next))).Text);

        await App.MailAsync(person.Email, "Another e-mail address was asked for");
        var link = (await App.MailAsync(next, "Confirm your new e-mail")).Token;
        Assert.Equal(204, (int)(await App.Http.PostAsJsonAsync("/auth/email/confirmation", new { token = link }, Ct)).StatusCode);
        Assert.Contains(next, (await browser.GoAsync("/account")).Text);
    }

    [Fact]
    public async Task An_authenticator_app_is_set_up_by_a_picture_and_codes_are_shown_once()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        using var browser = new Visitor(app);
        var page = await browser.SignInAsync("/account/second-step", person.Email);

        page = await browser.PressAsync(page, "begin");
        Assert.Contains("<svg role=\"img\" aria-label=\"QR code", page.Html);
        var phone = new Authenticator(SecretPattern().Match(page.Html).Groups[1].Value, clock);
        var wrong = await browser.PressAsync(page, "confirm", "", ("code", "000000"));
        Assert.Equal(400, wrong.Status);
        Assert.Contains("aria-describedby=\"code-wrong\"", wrong.Html);
        var codes = await browser.PressAsync(wrong, "confirm", "", ("code", phone.Code));
        Assert.Equal(10, Regex.Matches(codes.Html, "<li><code>").Count);
        page = await browser.GoAsync("/account/second-step");
        Assert.DoesNotContain("<code>", page.Html);
        Assert.Contains("Recovery codes left: 10", page.Text);
        var renewed = await browser.PressAsync(page, "renew");
        Assert.Equal(10, Regex.Matches(renewed.Html, "<li><code>").Count);
        Assert.NotEqual(codes.Html, renewed.Html);

        // From now on the sign-in in front of the pages asks for it as well.
        clock.Advance(TimeSpan.FromMinutes(16));
        var asked = await browser.SignInAsync("/account/second-step", person.Email);
        Assert.Equal("Enter a code", asked.Title);
        page = await browser.PressAsync(asked, "second-step", "", ("code", phone.Code));
        Assert.Equal("/account/second-step", page.Address.AbsolutePath);
        Assert.Contains("The authenticator app is removed.", (await browser.PressAsync(page, "remove")).Text);
        Assert.False(await app.Services.GetRequiredService<SecondStep>().IsOnAsync(person.Id, Ct));
    }

    [Fact]
    public async Task An_application_loses_its_access_and_its_tokens()
    {
        var client = await App.ClientAsync(isTrusted: false);
        using var person = await App.PersonAsync();
        using var elsewhere = new TestBrowser(App);
        var tokens = await App.SignInAsync(client, person.Email, elsewhere);
        using var browser = new Visitor(App);
        var page = await browser.SignInAsync("/account/applications", person.Email);
        Assert.Contains("The <Shop>", page.Text);
        Assert.Contains("see your e-mail address", page.Text);
        Assert.Contains("The <Shop>, on", (await browser.GoAsync("/account/sessions")).Text);

        page = await browser.PressAsync(page, "take-back");

        Assert.Contains("has no access any more", page.Text);
        Assert.Contains("There are none.", page.Text);
        await (await App.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! })).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        Assert.Contains("Allow The &lt;Shop&gt;?", (await elsewhere.GetAsync(SignIn.Url(client))).Text);
    }

    [Fact]
    public async Task All_data_is_collected_and_comes_as_the_answer_to_a_button()
    {
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App);
        var page = await browser.PressAsync(await browser.SignInAsync("/account/data", person.Email), "export");
        await Eventually.TrueAsync(async () => (page = await browser.GoAsync(page.Address.PathAndQuery)).Html.Contains("value=\"download\"", StringComparison.Ordinal));

        var file = await browser.AnswerAsync(page, "download");

        Assert.Equal("attachment", file.Content.Headers.ContentDisposition?.DispositionType);
        Assert.Contains(person.Email, await file.Content.ReadAsStringAsync(Ct));
        Assert.DoesNotContain("value=\"download\"", (await new Visitor(App).GoAsync("/account/data")).Html);
    }

    [Fact]
    public async Task An_account_is_erased_when_its_email_is_typed()
    {
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App);
        var page = await browser.SignInAsync("/account/data", person.Email);

        var wrong = await browser.PressAsync(page, "erase", "", ("confirmation", "yes"));
        Assert.Equal(422, wrong.Status);
        Assert.Contains("is not your e-mail address", wrong.Text);
        Assert.Equal("Your account is being erased", (await browser.PressAsync(wrong, "erase", "", ("confirmation", person.Email.ToUpperInvariant()))).Title);
        await Eventually.TrueAsync(async () => await App.Services.GetRequiredService<UserTable>().FindAsync(person.Id, Ct) is null);
        Assert.Equal("Sign in to Tandem", (await browser.GoAsync("/account/data")).Title);
    }

    [GeneratedRegex("name=\"form_token\" value=\"([^\"]*)\"")]
    private static partial Regex Token();

    [GeneratedRegex("Secret: <code>([A-Z2-7]+)</code>")]
    private static partial Regex SecretPattern();
}
