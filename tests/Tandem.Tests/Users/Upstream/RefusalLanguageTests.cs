using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Tests.Users.OpenId;
using Tandem.Tests.Users.SelfService;
using Tandem.Users.Audit;
using Tandem.Users.Look;
using SignIn = Tandem.Tests.Users.OpenId.SignIn;

namespace Tandem.Tests.Users.Upstream;

/// <summary>Why a login elsewhere does not let somebody in is said in the person's language, and written down in English.</summary>
public sealed class RefusalLanguageTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("en")]
    [InlineData("de")]
    [InlineData("fr")]
    [InlineData("es")]
    public async Task A_refusal_is_in_the_language_of_whoever_reads_it(string tag)
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await OpenIdFixture.StartAsync(null, [.. provider.Settings("elsewhere", ("Title", "Elsewhere")), "--Users:FailuresPerAddress", "0", "--Users:SignUp", "true"]);
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        using var browser = new Visitor(app, tag);
        var texts = Languages.BuiltInSentences(tag);
        string Said(string key) => texts[key].Replace("{provider}", "Elsewhere", StringComparison.Ordinal);
        async Task<string> TryAsync()
        {
            var signIn = await browser.GoAsync(SignIn.Url(client, "openid", ("prompt", "login")));
            var page = await browser.GoAsync("/" + WebUtility.HtmlDecode(UpstreamVisits.Links().Match(signIn.Html).Groups[1].Value));
            Assert.Contains($"<html lang=\"{tag}\"", page.Html);
            return page.Text;
        }

        provider.SomebodyNew();
        provider.Lie = c => c["nonce"] = "another";
        Assert.Contains(Said("upstream.refused").Replace("{reason}", texts["upstream-reason.foreign-token"], StringComparison.Ordinal), await TryAsync());
        provider.Lie = _ => { };
        provider.Who["email_verified"] = false;
        Assert.Contains(Said("upstream.unconfirmed"), await TryAsync());
        provider.SomebodyNew();
        provider.Who["email"] = person.Email;
        Assert.Contains(Said("upstream.never-confirmed"), await TryAsync());
        await app.Db.ExecuteAsync($"update users_accounts set is_active = {false} where id = {person.Id}", Ct);
        Assert.Contains(Said("upstream.not-active"), await TryAsync());
        provider.Instead["/token"] = http =>
        {
            http.Response.StatusCode = 503;
            return Task.CompletedTask;
        };
        Assert.Contains(Said("upstream.unavailable").Replace("{reason}", texts["upstream-reason.bad-answer"], StringComparison.Ordinal), await TryAsync());

        await app.Services.GetRequiredService<FailedSignIns>().WriteAsync(all: true, Ct);
        await app.Services.GetRequiredService<AuditTrail>().SealAsync(Ct);
        var reasons = await app.Db.ListAsync<string>($"select reason from users_audit where event = {AuditEvents.SignInFailed}", Ct);
        Assert.Contains("by upstream elsewhere: the ID token is not for this sign-in", reasons);
        Assert.Contains("by upstream elsewhere: its answer cannot be used", reasons);
    }

    [Theory]
    [InlineData("de", "AllowSignUp", "false", "problem.users/sign-up-closed")]
    [InlineData("fr", "Domains:0", "example.org", "upstream.other-domain")]
    public async Task So_is_what_the_settings_refuse(string tag, string key, string value, string sentence)
    {
        await using var provider = await TestProvider.StartAsync();
        await using var app = await OpenIdFixture.StartAsync(null, provider.Settings("elsewhere", (key, value)));
        using var browser = new Visitor(app, tag);
        provider.SomebodyNew();
        var signIn = await browser.GoAsync(SignIn.Url(await app.ClientAsync()));

        var page = await browser.GoAsync("/" + WebUtility.HtmlDecode(UpstreamVisits.Links().Match(signIn.Html).Groups[1].Value));

        Assert.Contains(Languages.BuiltInSentences(tag)[sentence], page.Text);
    }
}
