using System.Text.Json;
using Microsoft.Playwright;
using Tandem.Tests.Repo;
using Tandem.Tests.Users.OpenId;
using SignIn = Tandem.Tests.Users.OpenId.SignIn;

namespace Tandem.Tests.Users.SelfService;

/// <summary>Every page in a real browser: axe-core finds nothing, in light and dark, nothing is wider than a small phone, and nothing is asked for elsewhere.</summary>
public sealed class AccessibilityTests(Browser browser) : IClassFixture<Browser>
{
    static readonly string Axe = Path.Combine(Repository.Root, "artifacts", "tools", "node_modules", "axe-core", "axe.min.js");

    static readonly string[] AccountPages = ["", "/sessions", "/password", "/email", "/second-step", "/passkeys", "/logins", "/applications", "/data"];

    // Browsers keep passkeys for names: the address has none.
    static Task<TestApp> StartAsync(params string[] settings) => OpenIdFixture.StartAsync(null, ["--Users:PublicUrl", "http://localhost", "--Mail:OutboxPage", "true", .. settings]);

    static string Named(TestApp app) => app.Address.Replace("127.0.0.1", "localhost", StringComparison.Ordinal);

    /// <summary>To look at them: the folder that PICTURES_OF_PAGES names gets one of each.</summary>
    static readonly string? Pictures = Environment.GetEnvironmentVariable("PICTURES_OF_PAGES");

    static async Task<List<string>> LookAsync(IPage page, string name)
    {
        var wrong = new List<string>();
        foreach (var scheme in new[] { ColorScheme.Light, ColorScheme.Dark })
        {
            await page.EmulateMediaAsync(new() { ColorScheme = scheme });
            var found = await page.EvaluateAsync<string>("async () => JSON.stringify((await axe.run(document, { resultTypes: ['violations'] })).violations.map(v => ({ id: v.id, nodes: v.nodes.map(n => n.html + ' ' + n.failureSummary) })))");
            wrong.AddRange(JsonDocument.Parse(found).RootElement.EnumerateArray().Select(v => $"{name}, {scheme}: {v}"));
            if (Pictures is not null)
                await page.ScreenshotAsync(new() { Path = Path.Combine(Pictures, $"{name.Replace('/', '-').Replace(' ', '-')}-{scheme}.png"), FullPage = true });
        }

        var size = page.ViewportSize!;
        await page.SetViewportSizeAsync(320, 640);
        if (await page.EvaluateAsync<int>("document.documentElement.scrollWidth") > 320)
            wrong.Add($"{name} is wider than 320 pixels");
        if (Pictures is not null)
            await page.ScreenshotAsync(new() { Path = Path.Combine(Pictures, $"{name.Replace('/', '-').Replace(' ', '-')}-small.png"), FullPage = true });
        await page.SetViewportSizeAsync(size.Width, size.Height);
        return wrong;
    }

    [Fact]
    public async Task Nothing_on_any_page_keeps_anybody_out()
    {
        Assert.SkipUnless(File.Exists(Axe), "What tests/tools names is not installed; ./test does that.");
        // Nobody goes there: its links lead to the public address, which is another program's here.
        await using var app = await StartAsync("--Users:Upstream:elsewhere:Issuer", "https://id.example.com", "--Users:Upstream:elsewhere:ClientId", "tandem", "--Users:Upstream:elsewhere:Title", "Elsewhere, a provider with a <long> name");
        var client = (await app.ClientAsync(isTrusted: false, redirect: "http://127.0.0.1/health", grants: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"])) with { Redirect = app.Address + "/health" };
        using var person = await app.PersonAsync();
        await app.Db.ExecuteAsync($"""
            insert into users_upstream_logins (id, account_id, issuer, subject, email, created_at) values ({Guid.CreateVersion7()}, {person.Id}, {"https://id.example.com"}, {"s-1"}, {person.Email}, {DateTime.UtcNow})
            """, TestContext.Current.CancellationToken);
        var (page, faults) = await browser.OpenAsync(app);
        // Not a part of the page: its policy would not run it.
        await page.AddInitScriptAsync(await File.ReadAllTextAsync(Axe, TestContext.Current.CancellationToken));
        var wrong = new List<string>();

        await page.GotoAsync(app.Address + SignIn.Url(client, "openid profile email"));
        wrong.AddRange(await LookAsync(page, "sign-in"));
        await page.GetByRole(AriaRole.Button, new() { Name = "Forgot your password?" }).ClickAsync();
        wrong.AddRange(await LookAsync(page, "forgotten"));
        await page.GetByLabel("E-mail").FillAsync("a@b");
        await page.GetByRole(AriaRole.Button, new() { Name = "Send the link" }).ClickAsync();
        wrong.AddRange(await LookAsync(page, "forgotten, wrong"));
        await page.GotoAsync(app.Address + SignIn.Url(client, "openid profile email"));
        await SubmitAsync(page, person.Email, "wrong");
        wrong.AddRange(await LookAsync(page, "sign-in, wrong"));
        await SubmitAsync(page, person.Email, TestUsers.Password);
        await Assertions.Expect(page.GetByRole(AriaRole.Heading, new() { Level = 1 })).ToContainTextAsync("Allow The <Shop>?");
        wrong.AddRange(await LookAsync(page, "consent"));
        await page.GotoAsync(app.Address + "/device");
        wrong.AddRange(await LookAsync(page, "device"));
        var asked = await (await app.TokenAsync(client, new() { ["scope"] = "openid email" }, "/device/code")).JsonAsync();
        await page.GetByLabel("Code").FillAsync(asked.GetProperty("user_code").GetString()!);
        await page.GetByRole(AriaRole.Button, new() { Name = "Continue" }).ClickAsync();
        wrong.AddRange(await LookAsync(page, "device consent"));
        await page.GetByRole(AriaRole.Button, new() { Name = "Allow", Exact = true }).ClickAsync();
        await app.SignInAsync(person.Email);
        foreach (var name in AccountPages)
        {
            await page.GotoAsync($"{app.Address}/account{name}");
            wrong.AddRange(await LookAsync(page, $"account{name}"));
        }

        await page.GotoAsync($"{app.Address}/account/logins");
        await page.GetByRole(AriaRole.Button, new() { Name = "Add Elsewhere" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Heading, new() { Level = 1 })).ToContainTextAsync("to your account?");
        wrong.AddRange(await LookAsync(page, "a login elsewhere, asked"));
        await page.GotoAsync($"{app.Address}/auth/upstream/elsewhere/callback?state=nothing");
        wrong.AddRange(await LookAsync(page, "a login elsewhere, refused"));
        await page.GotoAsync($"{app.Address}/account/email");
        await page.GetByLabel("New e-mail address").FillAsync("a@b");
        await page.GetByRole(AriaRole.Button, new() { Name = "Send the link" }).ClickAsync();
        wrong.AddRange(await LookAsync(page, "account/email, wrong"));
        await page.GotoAsync($"{app.Address}/account/second-step");
        await page.GetByRole(AriaRole.Button, new() { Name = "Set an authenticator app up" }).ClickAsync();
        wrong.AddRange(await LookAsync(page, "account/second-step, picture"));
        var phone = new Authenticator((await page.Locator("p code").TextContentAsync())!, TimeProvider.System);
        await page.GetByRole(AriaRole.Textbox, new() { Name = "Code" }).FillAsync(phone.Code);
        await page.GetByRole(AriaRole.Button, new() { Name = "Switch on" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Heading, new() { Level = 1 })).ToHaveTextAsync("Your recovery codes");
        wrong.AddRange(await LookAsync(page, "account/second-step, codes"));
        await page.GotoAsync($"{app.Address}/account/second-step");
        wrong.AddRange(await LookAsync(page, "account/second-step, on"));
        await page.GotoAsync($"{app.Address}/auth/pages/password?token=nothing");
        wrong.AddRange(await LookAsync(page, "link"));
        await page.GotoAsync($"{app.Address}/logout");
        wrong.AddRange(await LookAsync(page, "sign-out"));

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        Assert.Equal([], faults.Where(f => !f.StartsWith("Failed to load resource: the server responded with a status of 4", StringComparison.Ordinal)));
        await page.CloseAsync();
    }

    static async Task SubmitAsync(IPage page, string email, string password)
    {
        await page.GetByLabel("E-mail").FillAsync(email);
        await page.GetByLabel("Password").FillAsync(password);
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in", Exact = true }).ClickAsync();
    }

    [Fact]
    public async Task A_passkey_is_added_renamed_and_removed_on_its_page()
    {
        await using var app = await StartAsync();
        using var person = await app.PersonAsync();
        var (page, _) = await browser.OpenAsync(app);
        var devices = await page.Context.NewCDPSessionAsync(page);
        await devices.SendAsync("WebAuthn.enable", new() { ["enableUI"] = false });
        await devices.SendAsync("WebAuthn.addVirtualAuthenticator", new()
        {
            ["options"] = new Dictionary<string, object>
            {
                ["protocol"] = "ctap2",
                ["transport"] = "internal",
                ["hasResidentKey"] = true,
                ["hasUserVerification"] = true,
                ["isUserVerified"] = true,
                ["automaticPresenceSimulation"] = true,
            },
        });
        await page.GotoAsync($"{Named(app)}/account/passkeys");
        await SubmitAsync(page, person.Email, TestUsers.Password);

        await page.GetByLabel("Name", new() { Exact = true }).FillAsync("My <phone>");
        await page.GetByRole(AriaRole.Button, new() { Name = "Add a passkey" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Status)).ToHaveTextAsync("The passkey is added.");
        await page.GetByLabel("Name of the passkey My <phone>", new() { Exact = true }).FillAsync("Phone");
        await page.GetByRole(AriaRole.Button, new() { Name = "Rename the passkey My <phone>" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Status)).ToHaveTextAsync("The passkey has another name.");
        // In the same place there is one already: the browser itself refuses, and the page says so.
        await page.GetByLabel("Name", new() { Exact = true }).FillAsync("Again");
        await page.GetByRole(AriaRole.Button, new() { Name = "Add a passkey" }).ClickAsync();
        await Assertions.Expect(page.Locator("#passkey-failed")).ToBeVisibleAsync();

        // It signs in on the page in front of the account, where the address of the question is a relative one.
        await page.Context.ClearCookiesAsync();
        await page.GotoAsync($"{Named(app)}/account/passkeys");
        await Assertions.Expect(page.GetByText("Phone", new() { Exact = true })).ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Remove the passkey Phone" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Status)).ToHaveTextAsync("The passkey is removed.");
        await page.CloseAsync();
    }
}
