using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Configuration;
using Tandem.Core.Contracts;
using Tandem.Tests.Users.OpenId;
using Tandem.Users.Hashes;

namespace Tandem.Tests.Users.Upstream;

/// <summary>People who sign in by another provider, and what becomes of their accounts.</summary>
public sealed class UpstreamTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync(TestProvider provider, params string[] settings) => OpenIdFixture.StartAsync(null, [.. provider.Settings("elsewhere", ("Title", "<Elsewhere>")), .. settings]);

    /// <summary>What the client learns: the claims of its ID token, and with <paramref name="asks"/> those of userinfo.</summary>
    internal static async Task<JsonElement> ClaimsAsync(TestApp app, TestClient client, TestPage answer, bool asks = false)
    {
        var tokens = await (await app.RedeemAsync(client, answer.Answer["code"])).JsonAsync();
        if (asks)
        {
            using var http = app.With(tokens.GetProperty("access_token").GetString()!);
            return await (await http.GetAsync("/userinfo", Ct)).JsonAsync();
        }

        return JsonDocument.Parse(System.Buffers.Text.Base64Url.DecodeFromChars(tokens.GetProperty("id_token").GetString()!.Split('.')[1])).RootElement;
    }

    static Task VerifyAsync(TestApp app, Person person) => app.Db.ExecuteAsync($"update users_accounts set email_verified_at = {DateTime.UtcNow} where id = {person.Id}", Ct);

    [Fact]
    public async Task Somebody_new_signs_in_by_another_provider_and_has_an_account_without_a_password()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync(scopes: ["openid", "profile", "email"]);
        var email = provider.SomebodyNew();
        using var browser = new TestBrowser(app);
        var page = await browser.GetAsync(SignIn.Url(client));
        Assert.Contains("Continue with &lt;Elsewhere&gt;", page.Text, StringComparison.Ordinal);

        var answer = await browser.SignInByAsync(app, provider, SignIn.Url(client, "openid profile email"));

        Assert.Equal("st&te", answer.Answer["state"]);
        var claims = await ClaimsAsync(app, client, answer, asks: true);
        Assert.Equal((email, true, "Ada of Elsewhere"), (claims.GetProperty("email").GetString(), claims.GetProperty("email_verified").GetBoolean(), claims.GetProperty("name").GetString()));
        var id = long.Parse(claims.GetProperty("sub").GetString()!, System.Globalization.CultureInfo.InvariantCulture);
        Assert.Equal(StoredHash.None, await app.Db.FindAsync<string>($"select password_hash from users_accounts where id = {id}", Ct));
        using var admin = await app.AdministratorAsync();
        var rows = (await (await admin.Http.GetAsync($"/audit?subject={id}&limit=100", Ct)).JsonAsync()).EnumerateArray().Select(r => $"{r.GetProperty("event").GetString()} {r.GetProperty("reason").GetString()}").ToList();
        Assert.Contains("user-created by upstream elsewhere", rows);
        Assert.Contains("upstream-login-added by upstream elsewhere", rows);
        Assert.Contains("signed-in by upstream elsewhere", rows);

        // Another browser, another day: the same account, whatever e-mail the provider says by then.
        provider.Who["email"] = TestUsers.NewEmail();
        using var other = new TestBrowser(app);
        claims = await ClaimsAsync(app, client, await other.SignInByAsync(app, provider, SignIn.Url(client)));
        Assert.Equal(id.ToString(System.Globalization.CultureInfo.InvariantCulture), claims.GetProperty("sub").GetString());
        Assert.Equal(["upstream:elsewhere"], claims.GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
        // What asked for a sign-in is done by it, and not asked for again.
        await ClaimsAsync(app, client, await other.SignInByAsync(app, provider, SignIn.Url(client, "openid", ("prompt", "login"), ("max_age", "0"))));
    }

    [Fact]
    public async Task An_account_is_joined_only_where_both_sides_have_shown_that_the_mailbox_is_the_persons_own()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        provider.SomebodyNew();
        provider.Who["email"] = person.Email;
        using var browser = new TestBrowser(app);

        // Ours was never confirmed: it may be somebody who waits there for the owner.
        var waiting = await browser.SignInByAsync(app, provider, SignIn.Url(client));
        Assert.Equal(400, waiting.Status);
        Assert.Contains("never confirmed", waiting.Text, StringComparison.Ordinal);

        // Theirs was not: anybody may have written it there, and learns nothing.
        await VerifyAsync(app, person);
        provider.Who["email_verified"] = false;
        var written = await browser.SignInByAsync(app, provider, SignIn.Url(client));
        provider.Who["email"] = TestUsers.NewEmail();
        var unknown = await browser.SignInByAsync(app, provider, SignIn.Url(client));
        Assert.Equal((400, unknown.Text), (written.Status, written.Text));
        Assert.Empty(await app.Db.ListAsync<string>($"select subject from users_upstream_logins where account_id = {person.Id}", Ct));

        provider.Who["email"] = person.Email.ToUpperInvariant();
        provider.Who["email_verified"] = true;
        Assert.Equal(person.Id.ToString(System.Globalization.CultureInfo.InvariantCulture), (await ClaimsAsync(app, client, await browser.SignInByAsync(app, provider, SignIn.Url(client)))).GetProperty("sub").GetString());
        Assert.Contains("A login of <Elsewhere> was added", (await app.MailAsync(person.Email, "was added")).Text, StringComparison.Ordinal);
        // The password goes on.
        await app.SignInAsync(person.Email);
    }

    [Fact]
    public async Task The_second_step_is_ours_also_then()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, TimeProvider.System);
        await VerifyAsync(app, person);
        provider.SomebodyNew();
        provider.Who["email"] = person.Email;
        provider.Who["amr"] = new[] { "mfa" };
        using var browser = new TestBrowser(app);

        var page = await browser.SignInByAsync(app, provider, SignIn.Url(client, "openid", ("prompt", "login")));

        Assert.True(page.Has("code"), page.Text);
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_sessions where account_id = {person.Id} and cookie_digest is not null", Ct));
        page = await browser.PressAsync(page, "second-step", ("code", "000000"));
        Assert.Contains("The code is wrong", page.Text, StringComparison.Ordinal);
        page = await browser.PressAsync(page, "second-step", ("code", authenticator.RecoveryCodes[0]));
        var claims = await ClaimsAsync(app, client, page);
        Assert.Equal(["upstream:elsewhere", "recovery", "mfa"], claims.GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
    }

    [Theory]
    [InlineData("true", "mfa", true)]
    [InlineData("true", "pwd,mfa,otp", true)]
    [InlineData("true", "pwd", false)]
    [InlineData("true", "MFA", false)]
    [InlineData("true", "", false)]
    [InlineData("true", null, false)]
    [InlineData("false", "mfa", false)]
    public async Task Two_steps_there_are_two_here_where_the_provider_is_trusted_with_it(string trusts, string? amr, bool counts)
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider, "--Users:Upstream:elsewhere:TrustSecondStep", trusts);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        await Authenticator.SetUpAsync(person, TimeProvider.System);
        await VerifyAsync(app, person);
        provider.SomebodyNew();
        provider.Who["email"] = person.Email;
        if (amr is not null)
            provider.Who["amr"] = amr.Split(',', StringSplitOptions.RemoveEmptyEntries);
        using var browser = new TestBrowser(app);

        var page = await browser.SignInByAsync(app, provider, SignIn.Url(client));

        Assert.Equal(!counts, page.Has("code"));
        if (!counts)
            return;
        Assert.Equal(["upstream:elsewhere", "mfa"], (await ClaimsAsync(app, client, page)).GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
    }

    [Fact]
    public async Task A_word_about_two_steps_that_is_no_list_is_none_and_from_userinfo_it_does_not_count()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider, "--Users:Upstream:elsewhere:TrustSecondStep", "true");
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        await Authenticator.SetUpAsync(person, TimeProvider.System);
        await VerifyAsync(app, person);
        provider.SomebodyNew();
        provider.UserInfo = new(provider.Who) { ["email"] = person.Email, ["amr"] = new[] { "mfa" } };
        provider.Who.Remove("email");
        using var browser = new TestBrowser(app);

        foreach (var amr in new object?[] { null, "mfa", new object[] { 1, new[] { "mfa" } } })
        {
            provider.Who["amr"] = amr;
            Assert.True((await browser.SignInByAsync(app, provider, SignIn.Url(client))).Has("code"));
        }
    }

    [Fact]
    public async Task Whoever_is_not_active_stays_out()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync();
        var email = provider.SomebodyNew();
        using var browser = new TestBrowser(app);
        await ClaimsAsync(app, client, await browser.SignInByAsync(app, provider, SignIn.Url(client)));
        await app.Db.ExecuteAsync($"update users_accounts set is_active = {false} where email = {email}", Ct);

        using var again = new TestBrowser(app);
        var page = await again.SignInByAsync(app, provider, SignIn.Url(client));

        Assert.Equal(400, page.Status);
        Assert.Contains("not active", page.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Sign_up_and_domains_are_what_the_settings_say()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await OpenIdFixture.StartAsync(null, [.. provider.Settings("elsewhere", ("AllowSignUp", "false"), ("Domains:0", "example.com"))]);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        await VerifyAsync(app, person);
        Assert.EndsWith("@example.com", person.Email, StringComparison.Ordinal);
        provider.SomebodyNew();
        using var browser = new TestBrowser(app);

        var closed = await browser.SignInByAsync(app, provider, SignIn.Url(client));
        Assert.Equal(403, closed.Status);
        Assert.Contains("There is no account for this login", closed.Text, StringComparison.Ordinal);
        foreach (var other in (string[])["ada@example.org", "ada@sub.example.com", "ada@example.com.example.org"])
        {
            provider.Who["email"] = other;
            Assert.Contains("certain domains", (await browser.SignInByAsync(app, provider, SignIn.Url(client))).Text, StringComparison.Ordinal);
        }

        provider.Who["email"] = person.Email;
        await ClaimsAsync(app, client, await browser.SignInByAsync(app, provider, SignIn.Url(client)));
        // Also who was in before: the domain is what lets people in.
        provider.Who["email"] = "ada@example.org";
        using var again = new TestBrowser(app);
        Assert.Contains("certain domains", (await again.SignInByAsync(app, provider, SignIn.Url(client))).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Emails_that_the_operator_trusts_need_not_be_confirmed_there_and_may_come_by_userinfo()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await OpenIdFixture.StartAsync(null, [.. provider.Settings("elsewhere", ("TrustEmail", "true"))]);
        var client = await app.ClientAsync(scopes: ["openid", "email"]);
        var email = provider.SomebodyNew();
        provider.UserInfo = new() { ["sub"] = provider.Who["sub"], ["email"] = email };
        provider.Who = new() { ["sub"] = provider.Who["sub"] };
        using var browser = new TestBrowser(app);

        var claims = await ClaimsAsync(app, client, await browser.SignInByAsync(app, provider, SignIn.Url(client, "openid email")), asks: true);

        Assert.Equal(email, claims.GetProperty("email").GetString());
        provider.UserInfo["sub"] = "somebody else";
        using var again = new TestBrowser(app);
        Assert.Contains("userinfo is about somebody else", (await again.SignInByAsync(app, provider, SignIn.Url(client))).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_pushed_request_and_a_device_go_on_after_it()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync(grants: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]);
        provider.SomebodyNew();
        using var browser = new TestBrowser(app);
        var asked = QueryHelpers.ParseQuery(new Uri(app.Address + SignIn.Url(client, "openid", ("prompt", "login consent"))).Query).ToDictionary(q => q.Key, q => q.Value.ToString());
        var pushed = await (await app.TokenAsync(client, asked, "/par")).JsonAsync(201);

        var page = await browser.SignInByAsync(app, provider, $"/authorize?client_id={client.Id}&request_uri={Uri.EscapeDataString(pushed.GetProperty("request_uri").GetString()!)}");

        Assert.Contains("Allow The &lt;Shop&gt;?", page.Text, StringComparison.Ordinal);
        await ClaimsAsync(app, client, await browser.PressAsync(page, "allow"));

        var device = await (await app.TokenAsync(client, new() { ["scope"] = "openid" }, "/device/code")).JsonAsync();
        using var phone = new TestBrowser(app);
        var code = device.GetProperty("user_code").GetString()!;
        var form = await phone.GetAsync($"/device?user_code={code}");
        var signIn = await phone.PressAsync(form, "continue", ("user_code", code));
        var link = System.Net.WebUtility.HtmlDecode(UpstreamVisits.Links().Match(signIn.Text).Groups[1].Value);
        var back = await phone.FollowAsync(app, await provider.VisitAsync((await phone.GetAsync("/" + link)).Location!));
        Assert.Contains(code, back.Text, StringComparison.Ordinal);
        Assert.Contains("on a device?", (await phone.PressAsync(back, "continue", ("user_code", code))).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_person_adds_lists_and_removes_logins_and_is_told()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        using var person = await app.PersonAsync();
        provider.SomebodyNew();
        provider.Who["email_verified"] = false;
        using var browser = new TestBrowser(app);

        var url = (await (await person.Http.PostAsync("/auth/upstream/elsewhere/link", null, Ct)).JsonAsync()).GetProperty("url").GetString()!;
        var page = await browser.GetAsync(url);
        Assert.Contains(person.Email, page.Text, StringComparison.Ordinal);
        var link = new Uri(new Uri(url), System.Net.WebUtility.HtmlDecode(UpstreamVisits.Links().Match(page.Text).Groups[1].Value)).ToString();
        // Whoever is sent the second address, past the page that asks, goes nowhere.
        using var victim = new TestBrowser(app);
        Assert.Equal(400, (await victim.GetAsync(link)).Status);
        var done = await browser.FollowAsync(app, await provider.VisitAsync((await browser.GetAsync(link)).Location!));
        Assert.Contains("was added", done.Text, StringComparison.Ordinal);

        var listed = Assert.Single((await (await person.Http.GetAsync("/auth/upstreams", Ct)).JsonAsync()).EnumerateArray());
        Assert.Equal(("elsewhere", "<Elsewhere>", provider.Issuer, (string?)provider.Who["email"]),
            (listed.GetProperty("provider").GetString(), listed.GetProperty("title").GetString(), listed.GetProperty("issuer").GetString(), listed.GetProperty("email").GetString()));
        Assert.Contains("A login of <Elsewhere> was added", (await app.MailAsync(person.Email, "was added")).Text, StringComparison.Ordinal);
        var client = await app.ClientAsync();
        Assert.Equal(person.Id.ToString(System.Globalization.CultureInfo.InvariantCulture), (await ClaimsAsync(app, client, await victim.SignInByAsync(app, provider, SignIn.Url(client)))).GetProperty("sub").GetString());

        // Somebody else does not get the same login, nor removes it.
        using var other = await app.PersonAsync();
        var otherUrl = (await (await other.Http.PostAsync("/auth/upstream/elsewhere/link", null, Ct)).JsonAsync()).GetProperty("url").GetString()!;
        using var otherBrowser = new TestBrowser(app);
        var otherLink = new Uri(new Uri(otherUrl), System.Net.WebUtility.HtmlDecode(UpstreamVisits.Links().Match((await otherBrowser.GetAsync(otherUrl)).Text).Groups[1].Value)).ToString();
        Assert.Equal(409, (await otherBrowser.FollowAsync(app, await provider.VisitAsync((await otherBrowser.GetAsync(otherLink)).Location!))).Status);
        var id = listed.GetProperty("id").GetGuid();
        await (await other.Http.DeleteAsync($"/auth/upstreams/{id}", Ct)).ShouldBeProblemAsync(404, "users/upstream-login-not-found");

        await (await person.Http.DeleteAsync($"/auth/upstreams/{id}", Ct)).JsonlessAsync(204);
        Assert.Empty((await (await person.Http.GetAsync("/auth/upstreams", Ct)).JsonAsync()).EnumerateArray());
        Assert.Contains("A login of <Elsewhere> was removed", (await app.MailAsync(person.Email, "was removed")).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_last_way_in_stays()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        using var person = await app.PersonAsync();
        await AddAsync(app, provider, person);
        await app.Db.ExecuteAsync($"update users_accounts set password_hash = {StoredHash.None}, email_verified_at = {DateTime.UtcNow} where id = {person.Id}", Ct);
        var id = (await (await person.Http.GetAsync("/auth/upstreams", Ct)).JsonAsync())[0].GetProperty("id").GetGuid();

        // Mails of this program lie in a folder: a code that is mailed lets nobody in.
        await (await person.Http.DeleteAsync($"/auth/upstreams/{id}", Ct)).ShouldBeProblemAsync(409, "users/last-way-in");

        await (await person.Http.PutAsJsonAsync("/auth/password", new { password = "another password" }, Ct)).JsonlessAsync(204);
        await (await person.Http.DeleteAsync($"/auth/upstreams/{id}", Ct)).JsonlessAsync(204);
    }

    [Fact]
    public async Task A_login_is_in_the_persons_data_and_goes_with_the_account_and_with_a_squatter()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider, "--Users:EmailVerification", "Sent");
        using var person = await app.PersonAsync();
        await AddAsync(app, provider, person);
        var held = new List<string>();
        await foreach (var record in app.Services.GetServices<IPersonalData>().Single(d => d.Name == "users").ReadAsync(person.Id, Ct))
            held.Add($"{record.Kind} {JsonSerializer.Serialize(record.Value)}");
        Assert.Contains(held, h => h.StartsWith("logins_elsewhere", StringComparison.Ordinal) && h.Contains((string)provider.Who["sub"]!, StringComparison.Ordinal));
        await (await person.Http.DeleteAsync($"/users/{person.Id}", Ct)).JsonlessAsync(204);
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_upstream_logins", Ct));

        using var squatter = await app.PersonAsync();
        await AddAsync(app, provider, squatter);
        var begun = (await (await squatter.Http.PostAsync("/auth/upstream/elsewhere/link", null, Ct)).JsonAsync()).GetProperty("url").GetString()!;
        var handle = (await (await app.Http.PostAsJsonAsync("/auth/code", new { email = squatter.Email }, Ct)).JsonAsync(202)).GetProperty("handle").GetString()!;
        await (await app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "urn:tandem:email-code", ["handle"] = handle, ["code"] = (await app.MailAsync(squatter.Email, "is your code")).Code })).JsonAsync();

        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_upstream_logins", Ct));
        using var browser = new TestBrowser(app);
        Assert.Equal(400, (await browser.GetAsync(begun)).Status);
        Assert.Contains("upstream-login-removed", await ByMailTests.AuditedAsync(app, squatter.Id));
    }

    [Fact]
    public async Task Without_a_provider_there_is_nothing()
    {
        await using var app = await OpenIdFixture.StartAsync();
        using var browser = new TestBrowser(app);
        using var person = await app.PersonAsync();

        Assert.DoesNotContain("upstream", (await browser.GetAsync(SignIn.Url(await app.ClientAsync()))).Text, StringComparison.OrdinalIgnoreCase);
        await (await app.Http.GetAsync("/auth/upstream/google?to=device", Ct)).ShouldBeProblemAsync(404, "users/upstream-not-found");
        await (await app.Http.GetAsync("/auth/upstream/google/callback?state=s&code=c", Ct)).ShouldBeProblemAsync(404, "users/upstream-not-found");
        await (await person.Http.PostAsync("/auth/upstream/google/link", null, Ct)).ShouldBeProblemAsync(404, "users/upstream-not-found");
    }

    [Theory]
    [InlineData("Issuer", "http://id.example.com", "must be an https address")]
    [InlineData("Issuer", "https://id.example.com/?x=1", "must be an https address")]
    [InlineData("Scopes", "email", "must have openid")]
    [InlineData("Domains:0", "@example.com", "must be names such as")]
    [InlineData("ClientId", "", "Users:Upstream:elsewhere:ClientId")]
    [InlineData("TrustSecondStep", "sometimes", "Users:Upstream:elsewhere:TrustSecondStep")]
    public async Task Settings_that_cannot_work_stop_the_program(string key, string value, string message)
    {
        var settings = new Dictionary<string, string> { ["Issuer"] = "https://id.example.com", ["ClientId"] = "tandem", [key] = value };

        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(settings: [.. settings.SelectMany(s => new[] { $"--Users:Upstream:elsewhere:{s.Key}", s.Value })]));

        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }

    internal static async Task AddAsync(TestApp app, TestProvider provider, Person person)
    {
        provider.SomebodyNew();
        using var browser = new TestBrowser(app);
        var url = (await (await person.Http.PostAsync("/auth/upstream/elsewhere/link", null, Ct)).JsonAsync()).GetProperty("url").GetString()!;
        var link = new Uri(new Uri(url), System.Net.WebUtility.HtmlDecode(UpstreamVisits.Links().Match((await browser.GetAsync(url)).Text).Groups[1].Value)).ToString();
        Assert.Equal(200, (await browser.FollowAsync(app, await provider.VisitAsync((await browser.GetAsync(link)).Location!))).Status);
    }
}
