using System.Diagnostics;
using System.Security.Claims;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Playwright;
using Tandem.Tests.Deploy;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Users.OpenId;

/// <summary>The clients that programs use, as they come.</summary>
public sealed class RealClientTests(OpenIdFixture fixture, Browser browser) : IClassFixture<OpenIdFixture>, IClassFixture<Browser>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Theory]
    [InlineData("openid-client")]
    [InlineData("oauth4webapi")]
    [InlineData("pushed")]
    [InlineData("device")]
    public async Task A_client_of_JavaScript_signs_in(string flow)
    {
        SkipWithoutTools();
        // openid-client leaves out the query of the address it came back to.
        var client = await App.ClientAsync(isTrusted: false, redirect: "https://app.example.com/callback",
            grants: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"], scopes: ["openid", "profile", "email", "offline_access"]);
        using var person = await App.PersonAsync();

        await ShouldSignInAsync(flow, App.Address + "/", client, person.Email);
    }

    [Fact]
    public async Task A_client_of_JavaScript_registers_itself_and_signs_in()
    {
        SkipWithoutTools();
        await using var app = await OpenIdFixture.StartAsync(null, "--Users:DynamicRegistration", "open");
        using var person = await app.PersonAsync();

        await ShouldSignInAsync("registered", app.Address + "/", new TestClient("none", null, "https://app.example.com/callback"), person.Email);
    }

    /// <summary>The same script with another server: a flow that fails here as well is not ours to mend.</summary>
    [Theory]
    [InlineData("openid-client")]
    [InlineData("oauth4webapi")]
    [InlineData("pushed")]
    [InlineData("device")]
    [InlineData("registered")]
    public async Task And_so_it_does_to_the_control(string flow)
    {
        SkipWithoutTools();
        var client = new TestClient("control", "a secret that is long enough for it", "https://app.example.com/callback");
        using var control = Process.Start(new ProcessStartInfo("node", [Path.Combine(Repository.Root, "tests", "tools", "provider.mjs")]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true })
            ?? throw new InvalidOperationException("The control did not start.");
        try
        {
            await control.StandardInput.WriteAsync(JsonSerializer.Serialize(new { client_id = client.Id, client_secret = client.Secret, redirect_uri = client.Redirect, email = "ada@example.com" }));
            control.StandardInput.Close();
            var said = control.StandardError.ReadToEndAsync(Ct);
            var issuer = await control.StandardOutput.ReadLineAsync(Ct).AsTask().WaitAsync(TimeSpan.FromSeconds(90), Ct) ?? throw new InvalidOperationException(await said);

            await ShouldSignInAsync(flow, issuer, client, "ada@example.com");
        }
        finally
        {
            control.Kill(entireProcessTree: true);
            await control.WaitForExitAsync(CancellationToken.None);
        }
    }

    static void SkipWithoutTools() =>
        Assert.SkipUnless(Directory.Exists(Path.Combine(Repository.Root, "artifacts", "tools", "node_modules", "oidc-provider")), "What tests/tools names is not installed; ./test does that.");

    static async Task ShouldSignInAsync(string flow, string issuer, TestClient client, string email)
    {
        var (code, output, error) = await Tools.RunAsync(new ProcessStartInfo("node", [Path.Combine(Repository.Root, "tests", "tools", "openid.mjs"), flow]), JsonSerializer.Serialize(new
        {
            issuer,
            client_id = client.Id,
            client_secret = client.Secret,
            redirect_uri = client.Redirect,
            email,
            password = TestUsers.Password,
        }));

        Assert.True(code == 0, error);
        Assert.Equal(email, JsonDocument.Parse(output).RootElement.GetProperty("email").GetString());
    }

    [Fact]
    public async Task An_application_of_ASPNET_signs_people_in_and_out_in_a_real_browser()
    {
        var client = await App.ClientAsync(isTrusted: false, redirect: "http://127.0.0.1/signin-oidc");
        await App.Db.ExecuteAsync($"update users_clients set post_logout_redirect_uris = {"http://127.0.0.1/signout-callback-oidc"} where id = {client.Id}", Ct);
        await using var shop = await ShopAsync(client.Id, client.Secret);
        var address = shop.Urls.First();
        using var person = await App.PersonAsync();

        var (page, _) = await browser.OpenAsync(App);
        await page.GotoAsync(address + "/me");
        await page.GetByLabel("E-mail").FillAsync(person.Email);
        await page.GetByLabel("Password").FillAsync("not the password");
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("password");
        await ShotAsync(page, "sign-in");
        await page.GetByLabel("Password").FillAsync(TestUsers.Password);
        await page.Keyboard.PressAsync("Enter");
        await Assertions.Expect(page.GetByRole(AriaRole.Heading)).ToContainTextAsync("Allow The <Shop>?");
        await ShotAsync(page, "consent");
        await page.GetByRole(AriaRole.Button, new() { Name = "Allow", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator("body")).ToContainTextAsync($"You are {person.Id}, {person.Email}");

        await page.GotoAsync(address + "/bye");
        await page.WaitForURLAsync(address + "/");
        await page.GotoAsync(address + "/me");
        await Assertions.Expect(page.GetByLabel("Password")).ToBeVisibleAsync();
        await page.GotoAsync(App.Address + "/authorize?client_id=nobody");
        await ShotAsync(page, "refused");
        await page.GotoAsync(App.Address + "/logout");
        await Assertions.Expect(page.GetByRole(AriaRole.Heading)).ToContainTextAsync("You are signed out");
        await page.CloseAsync();
    }

    [Fact]
    public async Task Whoever_has_a_second_step_shows_it_in_a_real_browser()
    {
        await using var app = await OpenIdFixture.StartAsync(null, "--Mail:OutboxPage", "true");
        var client = (await app.ClientAsync(redirect: "http://127.0.0.1/health")) with { Redirect = app.Address + "/health" };
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, TimeProvider.System);

        var (page, _) = await browser.OpenAsync(app);
        await page.GotoAsync(app.Address + SignIn.Url(client));
        await page.GetByRole(AriaRole.Button, new() { Name = "Forgot your password?" }).ClickAsync();
        // Both pages have the field: what is written too early is written on the page that is being left.
        await Assertions.Expect(page.GetByLabel("Password")).ToHaveCountAsync(0);
        await page.GetByLabel("E-mail").FillAsync(person.Email);
        await ShotAsync(page, "forgotten");
        await page.GetByRole(AriaRole.Button, new() { Name = "Back" }).ClickAsync();
        await Assertions.Expect(page.GetByLabel("Password")).ToBeVisibleAsync();
        await page.GetByLabel("E-mail").FillAsync(person.Email);
        await page.GetByLabel("Password").FillAsync(TestUsers.Password);
        await page.Keyboard.PressAsync("Enter");
        await page.GetByLabel("Code").FillAsync("000000");
        await page.Keyboard.PressAsync("Enter");
        await Assertions.Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("The code is wrong");
        await ShotAsync(page, "second-step");
        await page.GetByLabel("Code").FillAsync(authenticator.RecoveryCodes[0]);
        await page.Keyboard.PressAsync("Enter");

        await Assertions.Expect(page).ToHaveURLAsync(new Regex("[?&]code="));
        var code = QueryHelpers.ParseQuery(new Uri(page.Url).Query)["code"].ToString();
        await (await app.RedeemAsync(client, code)).JsonAsync();
        await page.CloseAsync();
    }

    static Task ShotAsync(IPage page, string name) => Environment.GetEnvironmentVariable("TANDEM_TEST_SHOTS") is { Length: > 0 } directory
        ? page.ScreenshotAsync(new() { Path = Path.Combine(directory, $"{name}.png") })
        : Task.CompletedTask;

    async Task<WebApplication> ShopAsync(string clientId, string? secret)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0").UseKestrel();
        builder.Logging.ClearProviders();
        var tandem = App.Address + "/";
        builder.Services.AddAuthentication(CookieAuthenticationDefaults.AuthenticationScheme)
            .AddCookie()
            .AddOpenIdConnect(options =>
            {
                options.Authority = tandem;
                options.ClientId = clientId;
                options.ClientSecret = secret;
                options.ResponseType = "code";
                options.ResponseMode = "query";
                options.MapInboundClaims = false;
                options.SaveTokens = true;
                options.GetClaimsFromUserInfoEndpoint = true;
                options.Scope.Add("email");
                // Without https, as on a developer's machine.
                options.RequireHttpsMetadata = false;
                options.NonceCookie.SecurePolicy = CookieSecurePolicy.SameAsRequest;
                options.CorrelationCookie.SecurePolicy = CookieSecurePolicy.SameAsRequest;
                options.NonceCookie.SameSite = options.CorrelationCookie.SameSite = SameSiteMode.Lax;
            });
        var app = builder.Build();
        app.UseAuthentication();
        app.MapGet("/", () => "The shop");
        app.MapGet("/me", (HttpContext http) => http.User.FindFirstValue("sub") is { } sub
            ? Results.Text($"You are {sub}, {http.User.FindFirstValue("email")}")
            : Results.Challenge(new() { RedirectUri = "/me" }, [OpenIdConnectDefaults.AuthenticationScheme]));
        app.MapGet("/bye", () => Results.SignOut(new() { RedirectUri = "/" }, [CookieAuthenticationDefaults.AuthenticationScheme, OpenIdConnectDefaults.AuthenticationScheme]));
        await app.StartAsync(Ct);
        return app;
    }
}
