using System.Text.Json;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Playwright;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Users.OpenId;

/// <summary>Passkeys in a real browser, whose authenticator is Chromium's virtual one.</summary>
public sealed class PasskeyPageTests(Browser browser) : IClassFixture<Browser>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    // Browsers keep passkeys for names: the address has none.
    static Task<TestApp> StartAsync() => OpenIdFixture.StartAsync(null, "--Users:PublicUrl", "http://localhost");

    static string Named(TestApp app) => app.Address.Replace("127.0.0.1", "localhost", StringComparison.Ordinal);

    /// <summary>What a team's own page has: the functions of the guide.</summary>
    static readonly string Functions = string.Concat(Snippets.Blocks(File.ReadAllText(Path.Combine(Repository.Root, "docs", "guide", "passkeys.md"))).Where(b => b.Language == "js").Select(b => b.Text));

    static async Task<JsonElement> CallAsync(IPage page, string call, object? argument = null) =>
        JsonDocument.Parse(await page.EvaluateAsync<string>($"async (to) => {{ {Functions}\nreturn JSON.stringify(await {call}); }}", argument)).RootElement;

    static async Task<(ICDPSession Devices, string Id)> AuthenticatorAsync(IPage page)
    {
        var devices = await page.Context.NewCDPSessionAsync(page);
        await devices.SendAsync("WebAuthn.enable", new() { ["enableUI"] = false });
        var added = await devices.SendAsync("WebAuthn.addVirtualAuthenticator", new()
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
        return (devices, added!.Value.GetProperty("authenticatorId").GetString()!);
    }

    static async Task<JsonElement> RegisterAsync(TestApp app, IPage page, Person person)
    {
        await page.GotoAsync(Named(app) + "/health");
        return await CallAsync(page, "addPasskey(to.token, to.name)", new { token = person.AccessToken, name = "Chromium" });
    }

    [Fact]
    public async Task A_page_of_ones_own_registers_a_passkey_and_signs_in_with_it()
    {
        await using var app = await StartAsync();
        using var person = await app.PersonAsync();
        var (page, _) = await browser.OpenAsync(app);
        var (devices, authenticator) = await AuthenticatorAsync(page);

        var added = await RegisterAsync(app, page, person);
        Assert.Equal("Chromium", added.GetProperty("name").GetString());
        var kept = (await devices.SendAsync("WebAuthn.getCredentials", new() { ["authenticatorId"] = authenticator }))!.Value.GetProperty("credentials");
        Assert.Equal(("localhost", true), (kept[0].GetProperty("rpId").GetString(), kept[0].GetProperty("isResidentCredential").GetBoolean()));
        // The browser itself refuses a second one in the same place.
        var twice = await Assert.ThrowsAsync<PlaywrightException>(() => RegisterAsync(app, page, person));
        Assert.Contains("InvalidStateError", twice.Message, StringComparison.Ordinal);

        for (var i = 0; i < 2; i++)
        {
            var tokens = await CallAsync(page, "signInWithPasskey(to)", i == 0 ? "optional" : "conditional");
            Assert.Equal(person.Id.ToString(System.Globalization.CultureInfo.InvariantCulture), SecondStepTests.Claims(tokens).GetProperty("sub").GetString());
        }

        await page.CloseAsync();
    }

    [Fact]
    public async Task The_sign_in_page_has_a_button_for_it()
    {
        await using var app = await StartAsync();
        var client = (await app.ClientAsync(redirect: "http://127.0.0.1/health")) with { Redirect = app.Address + "/health" };
        using var person = await app.PersonAsync();
        var (page, faults) = await browser.OpenAsync(app);
        await AuthenticatorAsync(page);
        await RegisterAsync(app, page, person);
        // A browser that does not offer passkeys by itself: the virtual authenticator would take the offer before anybody reaches the button.
        await page.AddInitScriptAsync("PublicKeyCredential.isConditionalMediationAvailable = async () => false");
        await page.GotoAsync(Named(app) + SignIn.Url(client));
        var button = page.GetByRole(AriaRole.Button, new() { Name = "Sign in with a passkey" });
        await Assertions.Expect(page.GetByLabel("E-mail")).ToHaveAttributeAsync("autocomplete", "username webauthn");

        await button.ClickAsync();

        await ShouldBeSignedInAsync(app, client, page);
        Assert.DoesNotContain(faults, f => f.Contains("Content Security Policy", StringComparison.Ordinal));
        await page.CloseAsync();
    }

    [Fact]
    public async Task And_offers_passkeys_by_itself()
    {
        await using var app = await StartAsync();
        var client = (await app.ClientAsync(redirect: "http://127.0.0.1/health")) with { Redirect = app.Address + "/health" };
        using var person = await app.PersonAsync();
        var (page, _) = await browser.OpenAsync(app);
        await AuthenticatorAsync(page);
        await RegisterAsync(app, page, person);

        // The virtual authenticator takes what is offered at once.
        await page.GotoAsync(Named(app) + SignIn.Url(client), new() { WaitUntil = WaitUntilState.Commit });

        await ShouldBeSignedInAsync(app, client, page);
        await page.CloseAsync();
    }

    [Fact]
    public async Task A_passkey_that_is_gone_is_told_so_and_the_password_still_works()
    {
        await using var app = await StartAsync();
        var client = (await app.ClientAsync(redirect: "http://127.0.0.1/health")) with { Redirect = app.Address + "/health" };
        using var person = await app.PersonAsync();
        var (page, _) = await browser.OpenAsync(app);
        var (devices, authenticator) = await AuthenticatorAsync(page);
        var added = await RegisterAsync(app, page, person);
        await (await person.Http.DeleteAsync($"/auth/passkeys/{added.GetProperty("id").GetGuid()}", Ct)).JsonlessAsync(204);
        await devices.SendAsync("WebAuthn.setAutomaticPresenceSimulation", new() { ["authenticatorId"] = authenticator, ["enabled"] = false });
        await page.GotoAsync(Named(app) + SignIn.Url(client));
        var button = page.GetByRole(AriaRole.Button, new() { Name = "Sign in with a passkey" });
        await Assertions.Expect(button).ToBeVisibleAsync();
        await devices.SendAsync("WebAuthn.setAutomaticPresenceSimulation", new() { ["authenticatorId"] = authenticator, ["enabled"] = true });
        await button.ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("That passkey is not known here");
        // It stays there, with the authenticator still at hand.
        await page.WaitForLoadStateAsync(LoadState.NetworkIdle);
        await Assertions.Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("That passkey is not known here");
        await devices.SendAsync("WebAuthn.removeVirtualAuthenticator", new() { ["authenticatorId"] = authenticator });

        await page.GetByLabel("E-mail").FillAsync(person.Email);
        await page.GetByLabel("Password").FillAsync(TestUsers.Password);
        await page.Keyboard.PressAsync("Enter");

        await page.WaitForURLAsync(url => url.Contains("code=", StringComparison.Ordinal));
        await page.CloseAsync();
    }

    [Fact]
    public async Task Without_a_name_the_page_has_neither_button_nor_script()
    {
        await using var app = await OpenIdFixture.StartAsync();
        using var visitor = new TestBrowser(app);

        var page = await visitor.GetAsync(SignIn.Url(await app.ClientAsync()));

        Assert.DoesNotContain("passkey", page.Text, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("<script", page.Text, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("script-src", page.Response.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
    }

    static async Task ShouldBeSignedInAsync(TestApp app, TestClient client, IPage page)
    {
        await page.WaitForURLAsync(url => url.Contains("code=", StringComparison.Ordinal));
        var code = QueryHelpers.ParseQuery(new Uri(page.Url).Query)["code"].ToString();
        var tokens = await (await app.RedeemAsync(client, code)).JsonAsync();
        var payload = JsonDocument.Parse(System.Buffers.Text.Base64Url.DecodeFromChars(tokens.GetProperty("id_token").GetString()!.Split('.')[1])).RootElement;
        Assert.Equal(["pop", "user", "mfa"], payload.GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
    }
}
