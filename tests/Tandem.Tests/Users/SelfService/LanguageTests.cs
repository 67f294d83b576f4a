using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.RegularExpressions;
using Tandem.Core.Configuration;
using Tandem.Core.Http;
using Tandem.Tests.Repo;
using Tandem.Tests.Users.OpenId;
using Tandem.Users.Look;
using SignIn = Tandem.Tests.Users.OpenId.SignIn;

namespace Tandem.Tests.Users.SelfService;

/// <summary>In which language people are spoken to, and that each has all there is to say.</summary>
public sealed partial class LanguageTests(OpenIdFixture fixture) : IClassFixture<OpenIdFixture>
{
    TestApp App => fixture.App;

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static readonly IReadOnlyDictionary<string, string> English = Languages.BuiltInSentences("en");

    [Theory]
    [InlineData("de")]
    [InlineData("fr")]
    [InlineData("es")]
    public void Every_sentence_is_in_every_language_with_what_is_filled_in(string tag)
    {
        var sentences = Languages.BuiltInSentences(tag);

        Assert.Equal(English.Keys.Order(StringComparer.Ordinal), sentences.Keys.Order(StringComparer.Ordinal));
        foreach (var (key, sentence) in sentences)
        {
            Assert.True(Languages.NamesIn(English[key]).Order().SequenceEqual(Languages.NamesIn(sentence).Order()), $"{tag}: {key} has other names in braces than in English");
            // Short words may be the same; a sentence that is has not been translated.
            Assert.True(sentence != English[key] || sentence.Length < 12, $"{tag}: {key} is English");
            // What a button is called for screen readers begins with what stands on it (WCAG 2.2, 2.5.3).
            if (key.EndsWith("-label", StringComparison.Ordinal))
                Assert.StartsWith(sentences[key[..^"-label".Length]], sentence, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Every_sentence_is_said_somewhere()
    {
        var source = string.Concat(Directory.GetFiles(Path.Combine(Repository.Root, "src", "Tandem.Users"), "*.cs", SearchOption.AllDirectories).Select(File.ReadAllText));

        Assert.Equal([], English.Keys.Where(key => !source.Contains($"\"{key}\"", StringComparison.Ordinal)
            && !source.Contains($"\"{key[(key.IndexOf('.') + 1)..].Replace("done-", "", StringComparison.Ordinal)}\"", StringComparison.Ordinal)
            && !key.EndsWith(".nav", StringComparison.Ordinal) && key != $"problem.{HttpProblems.TooManyRequests.Code}"));
    }

    [Theory]
    [InlineData(null, null, "en")]
    [InlineData(null, "de", "de")]
    [InlineData(null, "de-AT,en;q=0.5", "de")]
    [InlineData(null, "en;q=0.5, fr;q=0.9, *;q=0.1", "fr")]
    [InlineData(null, "xx, es-419", "es")]
    [InlineData(null, "de;q=0", "en")]
    [InlineData(null, "de;q=nonsense,es;q=0.2", "es")]
    [InlineData(null, ",,;;--,-", "en")]
    [InlineData("fr-CA fr en", "de", "fr")]
    [InlineData("tlh es", "de", "es")]
    [InlineData("tlh", "de", "de")]
    public async Task A_page_is_in_the_language_that_the_client_asks_for_or_the_browser_is_set_up_with(string? asked, string? set, string spoken)
    {
        var client = await App.ClientAsync();
        using var browser = new Visitor(App, set);
        var page = await browser.GoAsync(SignIn.Url(client, "openid", ("ui_locales", asked)));

        Assert.Contains($"<html lang=\"{spoken}\" dir=\"ltr\">", page.Html);
        Assert.Contains($">{WebUtility.HtmlEncode(Languages.BuiltInSentences(spoken)["signin.password"])}</label>", page.Html);
        // And so is the page that follows, although nothing is remembered but what its form carries.
        Assert.Contains($"<html lang=\"{spoken}\"", (await browser.PressAsync(page, "sign-in", "", ("email", TestUsers.NewEmail()), ("password", "wrong"))).Html);
    }

    [Fact]
    public async Task A_pushed_request_has_its_language_too_and_a_refused_one()
    {
        var client = await App.ClientAsync();
        var pushed = await (await App.TokenAsync(client, new()
        {
            ["response_type"] = "code",
            ["redirect_uri"] = client.Redirect,
            ["scope"] = "openid",
            ["code_challenge"] = SignIn.Challenge,
            ["code_challenge_method"] = "S256",
            ["ui_locales"] = "es",
        }, "/par")).JsonAsync(201);
        using var browser = new Visitor(App, "de");

        Assert.Contains("lang=\"es\"", (await browser.GoAsync($"/authorize?client_id={client.Id}&request_uri={Uri.EscapeDataString(pushed.GetProperty("request_uri").GetString()!)}")).Html);
        var refused = await browser.GoAsync(SignIn.Url(client, "openid", ("redirect_uri", "https://evil.example/"), ("ui_locales", "fr")));
        Assert.Contains("Cette connexion ne peut pas continuer", refused.Text);
        Assert.Contains("<p lang=\"en\">", refused.Html);
    }

    [Fact]
    public async Task Discovery_says_which_languages_there_are() => Assert.Equal(["en", "de", "fr", "es"],
        (await (await App.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync()).GetProperty("ui_locales_supported").EnumerateArray().Select(t => t.GetString()));

    [Fact]
    public async Task In_German_no_page_says_anything_in_English()
    {
        // Where mails end in a folder, nobody is offered one.
        await using var App = await OpenIdFixture.StartAsync(null, "--Mail:OutboxPage", "true", "--Users:Upstream:elsewhere:Issuer", "https://id.example.com", "--Users:Upstream:elsewhere:ClientId", "tandem");
        var client = await App.ClientAsync(isTrusted: false, grants: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]);
        using var person = await App.PersonAsync();
        using var browser = new Visitor(App, "de");
        var pages = new List<Shown>();
        async Task<Shown> Keep(Task<Shown> page)
        {
            pages.Add(await page);
            return pages[^1];
        }

        var signIn = await Keep(browser.GoAsync(SignIn.Url(client, "openid profile email")));
        await Keep(browser.PressAsync(signIn, "sign-in", "", ("email", person.Email), ("password", "wrong")));
        await Keep(browser.PressAsync(signIn, "sign-in", "", ("form_token", "stale")));
        var forgotten = await Keep(browser.PressAsync(signIn, "forgot"));
        await Keep(browser.PressAsync(forgotten, "reset", "", ("email", "nobody")));
        await Keep(browser.PressAsync(forgotten, "reset", "", ("email", TestUsers.NewEmail())));
        await Keep(browser.PressAsync(signIn, "sign-in", "", ("email", person.Email), ("password", TestUsers.Password)));
        await Keep(browser.GoAsync(SignIn.Url(client, "openid", ("redirect_uri", "https://evil.example/"))));
        await Keep(browser.GoAsync("/device"));
        await Keep(browser.PressAsync(pages[^1], "continue", "", ("user_code", "BBBB-BBBB")));
        var asked = await (await App.TokenAsync(client, new() { ["scope"] = "openid email" }, "/device/code")).JsonAsync();
        await Keep(browser.PressAsync(pages[^2], "continue", "", ("user_code", asked.GetProperty("user_code").GetString()!)));
        await Keep(browser.PressAsync(pages[^1], "allow"));
        await Keep(browser.GoAsync("/auth/pages/password?token=nothing"));
        await Keep(browser.GoAsync("/auth/upstream/nobody?to=device"));
        foreach (var page in new[] { "", "/sessions", "/password", "/email", "/second-step", "/passkeys", "/logins", "/applications", "/data" })
            await Keep(browser.GoAsync("/account" + page));
        await Keep(browser.PressAsync(await browser.GoAsync("/account/logins"), "add"));
        await Keep(browser.GoAsync("/auth/upstream/elsewhere/callback?state=nothing"));
        await Keep(browser.PressAsync(await browser.GoAsync("/account"), "rename", "", ("name", "")));
        await Keep(browser.PressAsync(await browser.GoAsync("/account/password"), "change", "", ("password", "x")));
        await Keep(browser.PressAsync(await browser.GoAsync("/account/email"), "change", "", ("email", "x")));
        await Keep(browser.PressAsync(await browser.GoAsync("/account/second-step"), "begin"));
        await Keep(browser.PressAsync(pages[^1], "confirm", "", ("code", "1")));
        await Keep(browser.PressAsync(await browser.GoAsync("/account/data"), "erase", "", ("confirmation", "x")));
        await Keep(browser.GoAsync("/account?done=renamed"));
        await Keep(browser.GoAsync("/account/sessions?done=stale"));
        await Keep(browser.GoAsync("/logout"));
        await Keep(browser.PressAsync(pages[^1], "sign-out"));

        string[] parts = [.. English.Where(s => !s.Key.StartsWith("mail.", StringComparison.Ordinal)).SelectMany(s => Names().Split(s.Value)).Select(p => p.Trim()).Where(p => p.Length >= 12).Except(Languages.BuiltInSentences("de").Values.SelectMany(s => Names().Split(s)).Select(p => p.Trim()))];
        Assert.InRange(parts.Length, 150, 1000);
        foreach (var page in pages)
        {
            Assert.Contains("<html lang=\"de\"", page.Html);
            // What is wrong with a client's request is for those who wrote the client.
            var text = WebUtility.HtmlDecode(Tags().Replace(Developers().Replace(page.Html, ""), " "));
            Assert.Equal([], parts.Where(p => text.Contains(p, StringComparison.Ordinal)));
        }
    }

    [Fact]
    public async Task What_somebody_asks_to_be_mailed_is_in_the_language_of_the_browser_and_notices_in_that_of_the_settings()
    {
        using var person = await App.PersonAsync();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/auth/password/reset") { Content = JsonContent.Create(new { email = person.Email }) };
        request.Headers.Add("Accept-Language", "de-CH");
        Assert.Equal(202, (int)(await App.Http.SendAsync(request, Ct)).StatusCode);

        var link = (await App.MailAsync(person.Email, "Neues Passwort für Tandem")).Token;
        using var set = new HttpRequestMessage(HttpMethod.Post, "/auth/password") { Content = JsonContent.Create(new { token = link, password = "another correct horse" }) };
        set.Headers.Add("Accept-Language", "de-CH");
        Assert.Equal(204, (int)(await App.Http.SendAsync(set, Ct)).StatusCode);
        await App.MailAsync(person.Email, "Your password was changed");
    }

    [Fact]
    public async Task A_folder_adds_languages_and_changes_words_and_what_is_missing_is_said_in_English()
    {
        var folder = Directory.CreateTempSubdirectory("tandem-languages-").FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "ar.json"), """{ "signin.button": "تسجيل الدخول", "signin.title": "تسجيل الدخول إلى {client}" }""", Ct);
        await File.WriteAllTextAsync(Path.Combine(folder, "de.json"), """{ "signin.button": "Reinlassen" }""", Ct);
        await using var app = await OpenIdFixture.StartAsync(null, "--Pages:Texts", folder, "--Pages:Language", "ar");

        using var browser = new Visitor(app, "tlh");
        var arabic = await browser.GoAsync("/account");
        Assert.Contains("<html lang=\"ar\" dir=\"rtl\">", arabic.Html);
        Assert.Contains("تسجيل الدخول إلى Tandem", arabic.Text);
        Assert.Contains("Forgot your password?", (await browser.GoAsync("/auth/pages/password?token=x")).Text + English["signin.forgot"]);
        using var german = new Visitor(app, "de");
        var page = await german.GoAsync("/account");
        Assert.Contains("Reinlassen", page.Text);
        Assert.Contains("Passwort", page.Text);
        Directory.Delete(folder, recursive: true);
    }

    [Theory]
    [InlineData("it.json", """{ "signin.buton": "Accedi" }""", "signin.buton")]
    [InlineData("it.json", """{ "signin.title": "Accedi" }""", "{client}")]
    [InlineData("it.json", """{ "signin.button": "Accedi {now}" }""", "{now}")]
    [InlineData("it.json", """{ "signin.button": " " }""", "signin.button")]
    [InlineData("it.json", """{ "signin.button": 1 }""", "strings")]
    [InlineData("it.json", """["signin.button"]""", "object")]
    [InlineData("it.json", """{ "signin.button": "a", "signin.button": "b" }""", "once")]
    [InlineData("it.json", "not JSON", "it.json")]
    [InlineData("italiano!.json", "{}", "must be named by a language")]
    public async Task A_file_that_cannot_be_right_stops_the_start_and_says_why(string name, string text, string said)
    {
        var folder = Directory.CreateTempSubdirectory("tandem-languages-").FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, name), text, Ct);

        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(null, null, "--Pages:Texts", folder));

        Assert.Contains("Pages:Texts", e.Message);
        Assert.Contains(name, e.Message);
        Assert.Contains(said, e.Message);
        Directory.Delete(folder, recursive: true);
    }

    [GeneratedRegex(@"\{[a-z_]+\}")]
    private static partial Regex Names();

    [GeneratedRegex("<style>.*?</style>|<script>.*?</script>|<[^>]*>", RegexOptions.Singleline)]
    private static partial Regex Tags();

    [GeneratedRegex("<p lang=\"en\">.*?</p>", RegexOptions.Singleline)]
    private static partial Regex Developers();
}
