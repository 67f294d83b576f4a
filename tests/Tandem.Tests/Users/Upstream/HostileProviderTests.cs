using System.Buffers.Text;
using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Tandem.Tests.Users.OpenId;
using Tandem.Users.Audit;

namespace Tandem.Tests.Users.Upstream;

/// <summary>Providers that lie, answers that are somebody else's, and browsers that were sent a link: each is refused with a page, stands in the audit trail, and signs nobody in.</summary>
public sealed class HostileProviderTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync(TestProvider provider, params string[] settings) => OpenIdFixture.StartAsync(null, [.. provider.Settings("elsewhere"), .. settings]);

    static async Task ShouldBeRefusedAsync(TestApp app, TestPage page, string reason, int status = 400)
    {
        Assert.True(page.Status == status, $"expected {status}, got {page.Status}: {page.Location} {page.Text}");
        Assert.Contains("This sign-in cannot go on", page.Text, StringComparison.Ordinal);
        await app.Services.GetRequiredService<FailedSignIns>().WriteAsync(all: true, Ct);
        await app.Services.GetRequiredService<AuditTrail>().SealAsync(Ct);
        Assert.Contains(reason, await app.Db.ListAsync<string>($"select reason from users_audit where event = {AuditEvents.SignInFailed}", Ct));
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_upstream_logins", Ct));
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_sessions where cookie_digest is not null", Ct));
    }

    [Theory]
    [InlineData("nonce", "the ID token is not for this sign-in")]
    [InlineData("no nonce", "the ID token is not for this sign-in")]
    [InlineData("aud", "the ID token is not good")]
    [InlineData("one of two audiences", "the ID token is not for this sign-in")]
    [InlineData("azp", "the ID token is not for this sign-in")]
    [InlineData("iss", "the ID token is not good")]
    [InlineData("expired", "the ID token is not good")]
    [InlineData("no exp", "the ID token is not good")]
    [InlineData("old", "the ID token is not of this moment")]
    [InlineData("of tomorrow", "the ID token is not of this moment")]
    [InlineData("no iat", "the ID token is not for this sign-in")]
    [InlineData("at_hash", "the ID token is not for this sign-in")]
    [InlineData("no sub", "the ID token is not for this sign-in")]
    [InlineData("strange sub", "the ID token says nobody")]
    [InlineData("other key", "the ID token is not good")]
    [InlineData("none", "the ID token is not good")]
    [InlineData("None", "the ID token is not good")]
    [InlineData("our secret", "the ID token is not good")]
    [InlineData("their public key as a secret", "the ID token is not good")]
    public async Task A_token_that_is_not_right_signs_nobody_in(string fault, string reason)
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        using var browser = new TestBrowser(app);
        using var other = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        provider.SomebodyNew();
        (provider.Lie, provider.Algorithm, provider.SignOtherwise) = fault switch
        {
            "nonce" => (c => c["nonce"] = "another", "ES256", null),
            "no nonce" => (c => c.Remove("nonce"), "ES256", null),
            "aud" => (c => c["aud"] = "another client", "ES256", null),
            "one of two audiences" => (c => (c["aud"], c["azp"]) = (new[] { TestProvider.ClientId, "another client" }, "another client"), "ES256", null),
            "azp" => (c => c["azp"] = "another client", "ES256", null),
            "iss" => (c => c["iss"] = "https://accounts.google.com", "ES256", null),
            "expired" => (c => (c["iat"], c["exp"]) = (now - 600, now - 120), "ES256", null),
            "no exp" => (c => c.Remove("exp"), "ES256", null),
            "old" => (c => c["iat"] = now - 600, "ES256", null),
            "of tomorrow" => (c => c["iat"] = now + 600, "ES256", null),
            "no iat" => (c => c.Remove("iat"), "ES256", null),
            "at_hash" => (c => c["at_hash"] = Base64Url.EncodeToString(SHA256.HashData("another token"u8)[..16]), "ES256", null),
            "no sub" => (c => c.Remove("sub"), "ES256", null),
            "strange sub" => (c => c["sub"] = "a\0b", "ES256", null),
            "other key" => (_ => { }, "ES256", t => Base64Url.EncodeToString(other.SignData(Encoding.ASCII.GetBytes(t), HashAlgorithmName.SHA256))),
            "none" or "None" => (_ => { }, fault, _ => ""),
            "our secret" => (_ => { }, "HS256", t => Base64Url.EncodeToString(HMACSHA256.HashData(Encoding.UTF8.GetBytes(TestProvider.ClientSecret), Encoding.ASCII.GetBytes(t)))),
            "their public key as a secret" => ((Action<Dictionary<string, object?>>)(_ => { }), "HS256", (Func<string, string>?)(t => Base64Url.EncodeToString(HMACSHA256.HashData(provider.Key.ExportSubjectPublicKeyInfo(), Encoding.ASCII.GetBytes(t))))),
            _ => throw new ArgumentOutOfRangeException(nameof(fault)),
        };

        var page = await browser.SignInByAsync(app, provider, SignIn.Url(await app.ClientAsync()));

        await ShouldBeRefusedAsync(app, page, $"by upstream elsewhere: {reason}");
        Assert.Contains("Back to the sign-in", page.Text, StringComparison.Ordinal);
        // And with the truth it goes on from there.
        (provider.Lie, provider.Algorithm, provider.SignOtherwise) = (_ => { }, "ES256", null);
        Assert.Equal(302, (await browser.SignInByAsync(app, provider, SignIn.Url(await app.ClientAsync()))).Status);
    }

    [Fact]
    public async Task An_answer_is_for_the_browser_that_left_and_for_one_time()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync();
        provider.SomebodyNew();
        using var attacker = new TestBrowser(app);
        using var victim = new TestBrowser(app);
        var answer = await provider.VisitAsync(await attacker.LeaveAsync(SignIn.Url(client)));

        // The attacker's answer, opened by somebody else, with a cookie and without one.
        await ShouldBeRefusedAsync(app, await victim.GetAsync(answer), "by upstream elsewhere: unknown state");
        await victim.GetAsync(SignIn.Url(client));
        await ShouldBeRefusedAsync(app, await victim.GetAsync(answer), "by upstream elsewhere: unknown state");
        // A state that nobody was given, and none.
        await ShouldBeRefusedAsync(app, await attacker.GetAsync(answer.Replace("state=", "state=x", StringComparison.Ordinal)), "by upstream elsewhere: unknown state");
        await ShouldBeRefusedAsync(app, await attacker.GetAsync("/auth/upstream/elsewhere/callback?code=c"), "by upstream elsewhere: unknown state");
        await (await app.Http.GetAsync(answer, Ct)).ShouldBeProblemAsync(400, "users/upstream-refused");

        // Whoever left comes back, once; of many at once one.
        var pages = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => attacker.GetAsync(answer)));
        Assert.Equal(1, pages.Count(p => p.Status == 302));
        Assert.Equal(7, pages.Count(p => p.Status == 400));
    }

    [Fact]
    public async Task A_code_that_was_used_and_an_answer_that_comes_late_are_refused()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var provider = await TestProvider.StartAsync();
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), provider.Settings("elsewhere"));
        var client = await app.ClientAsync();
        provider.SomebodyNew();
        using var browser = new TestBrowser(app);

        // A code of another sign-in, put into one's own.
        var stolen = QueryHelpers.ParseQuery(new Uri(await provider.VisitAsync(await browser.LeaveAsync(SignIn.Url(client)))).Query)["code"].ToString();
        var own = await provider.VisitAsync(await browser.LeaveAsync(SignIn.Url(client)));
        var code = QueryHelpers.ParseQuery(new Uri(own).Query)["code"].ToString();
        await ShouldBeRefusedAsync(app, await browser.GetAsync(own.Replace(code, stolen, StringComparison.Ordinal)), "by upstream elsewhere: the provider did not take the code");

        var late = await provider.VisitAsync(await browser.LeaveAsync(SignIn.Url(client)));
        clock.Advance(TimeSpan.FromMinutes(16));
        await ShouldBeRefusedAsync(app, await browser.GetAsync(late), "by upstream elsewhere: unknown state");
    }

    [Fact]
    public async Task Two_providers_are_never_mixed_up()
    {
        await using var honest = await TestProvider.StartAsync();
        await using var hostile = await TestProvider.StartAsync();
        await using var app = await OpenIdFixture.StartAsync(null, [.. honest.Settings("honest"), .. hostile.Settings("hostile"), "--Users:FailuresPerAddress", "0"]);
        var client = await app.ClientAsync();
        honest.SomebodyNew();
        hostile.Who = honest.Who;
        using var browser = new TestBrowser(app);

        // The hostile one sends a browser that came to it on to the honest one, with the state it was given, to have that one's code sent to itself.
        var left = await browser.LeaveAsync(SignIn.Url(client), "hostile");
        var mixed = await honest.VisitAsync(left.Replace(hostile.Issuer, honest.Issuer, StringComparison.Ordinal));
        await ShouldBeRefusedAsync(app, await browser.GetAsync(mixed), "by upstream hostile: the answer is another provider's");
        Assert.DoesNotContain("/token", hostile.Asked);

        // An answer without iss of one that announces it, and one for the other's address.
        hostile.AnswerIssuer = null;
        await ShouldBeRefusedAsync(app, await browser.GetAsync(await hostile.VisitAsync(await browser.LeaveAsync(SignIn.Url(client), "hostile"))), "by upstream hostile: the answer is another provider's");
        var other = await hostile.VisitAsync(await browser.LeaveAsync(SignIn.Url(client), "hostile"));
        await ShouldBeRefusedAsync(app, await browser.GetAsync(other.Replace("/hostile/", "/honest/", StringComparison.Ordinal)), "by upstream honest: unknown state");

        // It says that it is the honest one: in its token, and in its configuration.
        hostile.AnswerIssuer = hostile.Issuer;
        hostile.Lie = c => c["iss"] = honest.Issuer;
        await ShouldBeRefusedAsync(app, await browser.SignInByAsync(app, hostile, SignIn.Url(client), "hostile"), "by upstream hostile: the ID token is not good");
        Assert.DoesNotContain("/token", honest.Asked);
    }

    [Fact]
    public async Task A_provider_that_refuses_says_so_on_a_page()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync();
        using var browser = new TestBrowser(app);

        foreach (var (error, reason) in new[] { ("access_denied", "it was not allowed there"), ("<script>", "the provider refused") })
        {
            var left = await browser.LeaveAsync(SignIn.Url(client));
            var page = await browser.GetAsync(QueryHelpers.AddQueryString($"{app.Address}/auth/upstream/elsewhere/callback", new Dictionary<string, string?>
            {
                ["error"] = error,
                ["state"] = UpstreamVisits.StateOf(left),
                ["iss"] = provider.Issuer,
            }));
            await ShouldBeRefusedAsync(app, page, $"by upstream elsewhere: {reason}");
            Assert.DoesNotContain("<script>", page.Text, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("/token", "huge")]
    [InlineData("/token", "endless")]
    [InlineData("/token", "no JSON")]
    [InlineData("/token", "array")]
    [InlineData("/token", "error")]
    [InlineData("/token", "redirect")]
    [InlineData("/token", "cut off")]
    [InlineData("/jwks", "huge")]
    [InlineData("/jwks", "no JSON")]
    [InlineData("/.well-known/openid-configuration", "huge")]
    [InlineData("/.well-known/openid-configuration", "array")]
    [InlineData("/.well-known/openid-configuration", "error")]
    [InlineData("/.well-known/openid-configuration", "redirect")]
    [InlineData("/.well-known/openid-configuration", "endless")]
    public async Task Answers_that_cannot_be_used_are_a_502_within_the_time_that_a_person_waits(string path, string fault)
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        var client = await app.ClientAsync();
        provider.SomebodyNew();
        using var browser = new TestBrowser(app);
        provider.Instead[path] = async http =>
        {
            switch (fault)
            {
                case "huge":
                    var chunk = new byte[64 * 1024];
                    for (var i = 0; i < 1024; i++)
                        await http.Response.Body.WriteAsync(chunk, http.RequestAborted);
                    break;
                case "endless":
                    await http.Response.WriteAsync("{", http.RequestAborted);
                    await http.Response.Body.FlushAsync(http.RequestAborted);
                    await Task.Delay(Timeout.Infinite, http.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
                    break;
                case "no JSON":
                    await http.Response.WriteAsync("<!doctype html><h1>Hello");
                    break;
                case "array":
                    await http.Response.WriteAsync("[1]");
                    break;
                case "error":
                    http.Response.StatusCode = 503;
                    break;
                case "redirect":
                    http.Response.Redirect("http://169.254.169.254/latest/meta-data/");
                    break;
                default:
                    http.Response.ContentLength = 1000;
                    await http.Response.WriteAsync("{\"id_token\":");
                    await http.Response.Body.FlushAsync();
                    http.Abort();
                    break;
            }
        };

        var watch = Stopwatch.StartNew();
        var signIn = await browser.GetAsync(SignIn.Url(client));
        var left = await browser.GetAsync("/" + System.Net.WebUtility.HtmlDecode(UpstreamVisits.Links().Match(signIn.Text).Groups[1].Value));
        var page = left.Status == 302 ? await browser.GetAsync(await provider.VisitAsync(left.Location!)) : left;

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(30), $"it took {watch.Elapsed}");
        Assert.True(page.Status == 502, $"{page.Status}: {page.Text}");
        Assert.Contains("cannot be asked at the moment", page.Text, StringComparison.Ordinal);
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_upstream_logins", Ct));
        // Not its fault: the password still signs in.
        using var person = await app.PersonAsync();
        Assert.Equal(302, (await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email)).Status);
    }

    [Fact]
    public async Task A_configuration_that_is_another_issuers_or_leads_astray_is_not_followed()
    {
        await using var provider = await TestProvider.StartAsync();
        foreach (var (member, value) in new[] { ("issuer", "https://accounts.google.com"), ("token_endpoint", "http://192.0.2.1/token"), ("authorization_endpoint", "javascript:alert(1)"), ("jwks_uri", "file:///etc/passwd") })
        {
            await using var app = await StartAsync(provider);
            provider.Instead["/.well-known/openid-configuration"] = http => http.Response.WriteAsJsonAsync(new Dictionary<string, object?>
            {
                ["issuer"] = provider.Issuer,
                ["authorization_endpoint"] = $"{provider.Issuer}/authorize",
                ["token_endpoint"] = $"{provider.Issuer}/token",
                ["jwks_uri"] = $"{provider.Issuer}/jwks",
                [member] = value,
            });
            using var browser = new TestBrowser(app);
            var signIn = await browser.GetAsync(SignIn.Url(await app.ClientAsync()));

            var page = await browser.GetAsync("/" + System.Net.WebUtility.HtmlDecode(UpstreamVisits.Links().Match(signIn.Text).Groups[1].Value));

            Assert.True(page.Status == 502, $"{member}: {page.Status} {page.Location}");
        }
    }

    [Fact]
    public async Task New_keys_of_a_provider_are_found_and_nobody_has_them_read_all_the_time()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var provider = await TestProvider.StartAsync();
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), [.. provider.Settings("elsewhere"), "--Users:FailuresPerAddress", "0"]);
        var client = await app.ClientAsync();
        provider.SomebodyNew();
        using var browser = new TestBrowser(app);
        Assert.Equal(302, (await browser.SignInByAsync(app, provider, SignIn.Url(client))).Status);
        using var next = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        (provider.Key, provider.KeyId) = (next, "second");

        clock.Advance(TimeSpan.FromSeconds(45));
        using var other = new TestBrowser(app);
        Assert.Equal(302, (await other.SignInByAsync(app, provider, SignIn.Url(client))).Status);
        Assert.Equal(2, provider.Asked.Count(a => a == "/jwks"));

        provider.KeyId = "made up";
        provider.SignOtherwise = _ => Base64Url.EncodeToString(new byte[64]);
        using var third = new TestBrowser(app);
        for (var i = 0; i < 5; i++)
            Assert.Equal(400, (await third.SignInByAsync(app, provider, SignIn.Url(client))).Status);
        Assert.Equal(2, provider.Asked.Count(a => a == "/jwks"));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("https://evil.example.com/")]
    [InlineData("//evil.example.com")]
    [InlineData("/authorize?x=1")]
    [InlineData("authorize/../../evil?x")]
    [InlineData("users")]
    [InlineData("device?x=\\\\evil")]
    [InlineData("authorize?x=1\r\nSet-Cookie: a=b")]
    public async Task Nobody_is_sent_anywhere_else_afterwards(string? to)
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider);
        using var browser = new TestBrowser(app);

        var page = await browser.GetAsync(to is null ? "/auth/upstream/elsewhere" : $"/auth/upstream/elsewhere?to={Uri.EscapeDataString(to)}");

        Assert.Equal(400, page.Status);
        Assert.Empty(provider.Asked);
    }

    [Fact]
    public async Task Addresses_that_begin_again_and_again_are_put_off()
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await StartAsync(provider, "--Users:RequestsPerMinutePerAddress", "3");
        using var browser = new TestBrowser(app);

        var pages = new List<int>();
        for (var i = 0; i < 5; i++)
            pages.Add((await browser.GetAsync("/auth/upstream/elsewhere?to=device")).Status);

        Assert.Equal([302, 302, 302, 429, 429], pages);
    }

    [Fact]
    public async Task Neither_secret_nor_code_nor_email_is_logged_or_shown()
    {
        await using var provider = await TestProvider.StartAsync();
        var lines = new Lines();
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<ILoggerProvider>(lines), [.. provider.Settings("elsewhere"), "--Log:Level", "Debug"]);
        var client = await app.ClientAsync();
        var email = provider.SomebodyNew();
        using var browser = new TestBrowser(app);
        await browser.SignInByAsync(app, provider, SignIn.Url(client));
        provider.Lie = c => c["nonce"] = "another";
        using var other = new TestBrowser(app);
        var answer = await provider.VisitAsync(await other.LeaveAsync(SignIn.Url(client)));
        await other.GetAsync(answer);

        Assert.Contains(lines.All, l => l.Text.Contains("the ID token is not for this sign-in", StringComparison.Ordinal));
        var code = QueryHelpers.ParseQuery(new Uri(answer).Query)["code"].ToString();
        foreach (var secret in (string[])[TestProvider.ClientSecret, email, code, (string)provider.Who["sub"]!])
            Assert.DoesNotContain(lines.All, l => l.Text.Contains(secret, StringComparison.Ordinal));
    }
}
