using System.Net.Http.Json;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Users.Audit;
using Tandem.Users.OpenId;

namespace Tandem.Tests.Users.OpenId;

/// <summary>What mail does for whoever signs in to a client: a forgotten password, an e-mail that has to be confirmed first. And what all pages have in common.</summary>
public sealed partial class SignInByMailPageTests
{
    const string NewPassword = "another horse battery";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync(params string[] settings) => OpenIdFixture.StartAsync(null, settings);

    [Fact]
    public async Task A_forgotten_password_is_set_anew_by_mail_and_the_sign_in_goes_on()
    {
        await using var app = await StartAsync("--Mail:OutboxPage", "true");
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var page = await browser.GetAsync(SignIn.Url(client));

        var forgotten = await browser.PressAsync(page, "forgot", ("email", person.Email));
        Assert.Contains($"value=\"{person.Email}\"", forgotten.Text);
        var sent = await browser.PressAsync(forgotten, "reset", ("email", person.Email));

        Assert.Contains("Look into your mailbox", sent.Text);
        var mail = await app.MailAsync(person.Email, "A new password");
        var set = await browser.GetAsync(new Uri(mail.Link).PathAndQuery);
        Assert.Contains("password is changed", (await browser.PostAsync(set.Target, set.Fields.Append(KeyValuePair.Create("password", NewPassword)))).Text);
        page = await browser.PressAsync(sent, "switch");
        Assert.Equal(400, (await browser.FillInAsync(page, person.Email)).Status);
        Assert.NotEmpty((await browser.FillInAsync(page, person.Email, NewPassword)).Answer["code"]);
    }

    [Fact]
    public async Task Whether_anybody_has_the_email_is_not_told_and_what_is_no_email_is()
    {
        await using var app = await StartAsync("--Mail:OutboxPage", "true", "--Users:MailsPerAddress", "3");
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var page = await browser.PressAsync(await browser.GetAsync(SignIn.Url(client)), "forgot");

        foreach (var action in new[] { "reset", "verify" })
        {
            var bad = await browser.PressAsync(page, action, ("email", "no <e-mail>"));
            Assert.Equal((action == "reset" ? 422 : 200, false), (bad.Status, bad.Text.Contains("<e-mail>", StringComparison.Ordinal)));
        }

        var texts = new List<string>();
        foreach (var email in new[] { person.Email, TestUsers.NewEmail() })
            texts.Add((await browser.PressAsync(page, "reset", ("email", email))).Text.Replace(email, ""));
        Assert.Equal(texts[0], texts[1]);
        await browser.PressAsync(page, "verify", ("email", person.Email));
        foreach (var action in new[] { "reset", "verify" })
        {
            var refused = await browser.PressAsync(page, action, ("email", person.Email));
            Assert.Equal(429, refused.Status);
            Assert.Contains("Too many attempts", refused.Text);
            Assert.NotNull(refused.Response.Headers.RetryAfter);
        }

        // Nor does a page of another site have somebody mailed to.
        Assert.Contains("came from another window", (await browser.PressAsync(page, "reset", ("email", person.Email), ("form_token", "guessed"))).Text);
    }

    [Fact]
    public async Task Where_nobody_would_get_the_mail_the_page_offers_none()
    {
        await using var app = await StartAsync();
        var client = await app.ClientAsync();
        using var browser = new TestBrowser(app);

        Assert.DoesNotContain("Forgot", (await browser.GetAsync(SignIn.Url(client))).Text);
    }

    [Fact]
    public async Task Whose_email_has_to_be_confirmed_first_is_told_so_and_can_have_the_mail_sent_again()
    {
        await using var app = await StartAsync("--Users:EmailVerification", "Required");
        var client = await RegisteredAsync(app);
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);
        var first = await app.MailAsync(email, "Confirm your e-mail");
        using var browser = new TestBrowser(app);
        var page = await browser.GetAsync(SignIn.Url(client, "openid email"));

        // Only whoever has the password learns that.
        Assert.Contains("password is wrong", (await browser.FillInAsync(page, email, "not the password")).Text);
        var told = await browser.FillInAsync(page, email);
        Assert.Contains("Confirm your e-mail address first", told.Text);
        Assert.Null(told.Location);
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_sessions where cookie_digest is not null", Ct));
        Assert.True((await browser.GetAsync(SignIn.Url(client))).Has("password"));

        var sent = await browser.PressAsync(told, "verify");
        Assert.Contains("Look into your mailbox", sent.Text);
        await Eventually.TrueAsync(async () => (await app.MailsAsync(email)).Any(m => m.Subject == first.Subject && m.Token != first.Token));
        var confirm = await browser.GetAsync(new Uri((await app.MailsAsync(email)).Last().Link).PathAndQuery);
        Assert.Contains("is confirmed", (await browser.PostAsync(confirm.Target, confirm.Fields)).Text);
        var answer = (await browser.FillInAsync(await browser.PressAsync(sent, "switch"), email)).Answer;

        var tokens = await (await app.RedeemAsync(client, answer["code"])).JsonAsync();
        using var http = app.With(tokens.GetProperty("access_token").GetString()!);
        Assert.True((await (await http.GetAsync("/userinfo", Ct)).JsonAsync()).GetProperty("email_verified").GetBoolean());
    }

    [Fact]
    public async Task Every_page_has_the_same_shell_and_lets_nothing_else_in()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), "--Mail:OutboxPage", "true");
        using var browser = new TestBrowser(app);
        var pages = new Dictionary<string, TestPage> { ["setup"] = await browser.GetAsync($"/setup?token={await FirstAdministratorTests.TokenAsync(app)}") };
        var client = await app.ClientAsync(isTrusted: false);
        using var person = await app.PersonAsync();
        using var careful = await app.PersonAsync();
        await Authenticator.SetUpAsync(careful, clock);
        await (await app.Http.PostAsJsonAsync("/auth/password/reset", new { email = person.Email }, Ct)).JsonlessAsync(202);
        await (await app.Http.PostAsJsonAsync("/auth/email/verification", new { email = person.Email }, Ct)).JsonlessAsync(202);
        foreach (var subject in new[] { "A new password", "Confirm your e-mail" })
            pages[subject] = await browser.GetAsync(new Uri((await app.MailAsync(person.Email, subject)).Link).PathAndQuery);
        pages["dead link"] = await browser.GetAsync("/auth/pages/password?token=x");
        pages["sign-in"] = await browser.GetAsync(SignIn.Url(client));
        pages["wrong"] = await browser.FillInAsync(pages["sign-in"], person.Email, "not the password");
        pages["forgotten"] = await browser.PressAsync(pages["sign-in"], "forgot");
        pages["sent"] = await browser.PressAsync(pages["sign-in"], "reset", ("email", person.Email));
        pages["second step"] = await browser.FillInAsync(pages["sign-in"], careful.Email);
        pages["consent"] = await browser.FillInAsync(pages["sign-in"], person.Email);
        pages["sign-out"] = await browser.GetAsync("/logout");
        pages["signed out"] = await browser.PressAsync(pages["sign-out"], "sign-out");
        pages["refused"] = await browser.GetAsync(SignIn.Url(client, "openid", ("client_id", "nobody")));
        pages["outbox"] = await browser.GetAsync("/dev/mail");

        Assert.Single(pages.Values.Select(p => Style().Match(p.Text).Value).Distinct());
        foreach (var (name, page) in pages)
        {
            var headers = page.Response.Headers;
            Assert.True(page.Response.Content.Headers.ContentType?.ToString() == "text/html; charset=utf-8", name);
            Assert.Equal(("no-referrer", "nosniff", true), (headers.GetValues("Referrer-Policy").Single(), headers.GetValues("X-Content-Type-Options").Single(), headers.CacheControl!.NoStore));
            Assert.Matches("^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; form-action 'self'( https://app\\.example\\.com)?; base-uri 'none'; frame-ancestors 'none'$",
                headers.GetValues("Content-Security-Policy").Single());
            Assert.Contains("<html lang=\"en\" dir=\"ltr\">", page.Text);
            Assert.Single(Heading().Matches(page.Text));
            Assert.DoesNotMatch(" style=\"|<script| on[a-z]+=\"|<img|<link", page.Text);
        }
    }

    /// <summary>By the store: here not even an administrator is let in without an e-mail that was confirmed.</summary>
    static async Task<TestClient> RegisteredAsync(TestApp app)
    {
        var client = new Client("shop", "The shop", null, OpenIdClients.Callback, "", "authorization_code", "openid email", IsTrusted: true, DateTime.UtcNow, RequirePar: false, null);
        Assert.True(await app.Services.GetRequiredService<ClientTable>().AddAsync(client, Origin.Operator, Ct));
        return new TestClient(client.Id, null, OpenIdClients.Callback);
    }

    [GeneratedRegex("<style>.*?</style>", RegexOptions.Singleline)]
    private static partial Regex Style();

    [GeneratedRegex("<h1>")]
    private static partial Regex Heading();
}
