using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Playwright;
using Tandem.Tests.Repo;
using Tandem.Tests.Users.OpenId;

namespace Tandem.Tests.Users.Upstream;

/// <summary>Providers that others have written, in a real browser: oidc-provider of npm, and Tandem itself.</summary>
public sealed class RealProviderTests(Browser browser) : IClassFixture<Browser>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task By_oidc_provider_in_a_real_browser()
    {
        Assert.SkipUnless(Directory.Exists(Path.Combine(Repository.Root, "artifacts", "tools", "node_modules", "oidc-provider")), "What tests/tools names is not installed; ./test does that.");
        // Each has to know the other's address before it starts.
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        listener.Stop();
        var (email, secret) = (TestUsers.NewEmail(), "a secret that is long enough for it");
        await using var app = await OpenIdFixture.StartAsync(null, "--Users:Upstream:control:Issuer", $"http://127.0.0.1:{port}", "--Users:Upstream:control:ClientId", "control", "--Users:Upstream:control:ClientSecret", secret,
            "--Users:Upstream:control:Title", "the control");
        var client = (await app.ClientAsync(redirect: "http://127.0.0.1/health", isTrusted: false, scopes: ["openid", "email"])) with { Redirect = app.Address + "/health" };
        using var control = Process.Start(new ProcessStartInfo("node", [Path.Combine(Repository.Root, "tests", "tools", "provider.mjs")]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true })
            ?? throw new InvalidOperationException("The control did not start.");
        try
        {
            await control.StandardInput.WriteAsync(JsonSerializer.Serialize(new { client_id = "control", client_secret = secret, redirect_uri = app.Address + "/auth/upstream/control/callback", email, port }));
            control.StandardInput.Close();
            var said = control.StandardError.ReadToEndAsync(Ct);
            _ = await control.StandardOutput.ReadLineAsync(Ct).AsTask().WaitAsync(TimeSpan.FromSeconds(90), Ct) ?? throw new InvalidOperationException(await said);
            var (page, faults) = await browser.OpenAsync(app);
            await page.GotoAsync(app.Address + SignIn.Url(client, "openid email", ("prompt", "login")));
            await page.GetByRole(AriaRole.Link, new() { Name = "Continue with the control" }).ClickAsync();

            await page.Locator("input[name=login]").FillAsync(email);
            await page.Locator("input[name=password]").FillAsync("whatever it takes");
            await page.Locator("button[type=submit]").ClickAsync();
            await page.Locator("button[type=submit]").ClickAsync();

            await Assertions.Expect(page.GetByRole(AriaRole.Heading)).ToContainTextAsync("Allow The <Shop>?");
            await page.GetByRole(AriaRole.Button, new() { Name = "Allow", Exact = true }).ClickAsync();
            await Assertions.Expect(page).ToHaveURLAsync(new Regex($"^{Regex.Escape(client.Redirect)}.*code="));
            Assert.DoesNotContain(faults, f => f.Contains("Content Security Policy", StringComparison.Ordinal));
            await ShouldBeAsync(app, client, page.Url, email);
            await page.CloseAsync();
        }
        finally
        {
            control.Kill(entireProcessTree: true);
            await control.WaitForExitAsync(CancellationToken.None);
        }
    }

    [Fact]
    public async Task By_another_Tandem()
    {
        await using var other = await OpenIdFixture.StartAsync();
        using var person = await other.PersonAsync();
        await other.Db.ExecuteAsync($"update users_accounts set email_verified_at = {DateTime.UtcNow} where id = {person.Id}", Ct);
        // The port of the address on this machine is free.
        var registered = await other.ClientAsync(redirect: "http://127.0.0.1/auth/upstream/other/callback", scopes: ["openid", "email", "profile"]);
        await using var app = await OpenIdFixture.StartAsync(null, "--Users:Upstream:other:Issuer", other.Address + "/", "--Users:Upstream:other:ClientId", registered.Id, "--Users:Upstream:other:ClientSecret", registered.Secret!);
        var client = await app.ClientAsync(scopes: ["openid", "email"]);
        using var here = new TestBrowser(app);
        using var there = new TestBrowser(other);

        var signIn = await there.FillInAsync(await there.GetAsync(await here.LeaveAsync(SignIn.Url(client, "openid email"), "other")), person.Email);
        var back = await here.FollowAsync(app, signIn.Location!);

        await ShouldBeAsync(app, client, back.Location!, person.Email);
    }

    static async Task ShouldBeAsync(TestApp app, TestClient client, string answer, string email)
    {
        var tokens = await (await app.RedeemAsync(client, QueryHelpers.ParseQuery(new Uri(answer).Query)["code"].ToString())).JsonAsync();
        using var http = app.With(tokens.GetProperty("access_token").GetString()!);
        var claims = await (await http.GetAsync("/userinfo", Ct)).JsonAsync();
        Assert.Equal((email, true), (claims.GetProperty("email").GetString(), claims.GetProperty("email_verified").GetBoolean()));
    }
}
