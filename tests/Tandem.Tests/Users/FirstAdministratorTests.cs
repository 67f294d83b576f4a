using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Configuration;
using Tandem.Core.Data;

namespace Tandem.Tests.Users;

public sealed class FirstAdministratorTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_link_of_a_first_start_makes_one_administrator_and_is_closed()
    {
        await using var app = await TestApp.StartAsync();
        var token = await TokenAsync(app);

        var page = await app.Http.GetAsync($"/setup?token={token}", Ct);
        Assert.Equal("text/html", page.Content.Headers.ContentType?.MediaType);
        Assert.Contains("<label for=\"password\">", await page.Content.ReadAsStringAsync(Ct));

        var done = await PostAsync(app, token, "Root@example.com", "Root <b>", "12345678");
        var text = await done.Content.ReadAsStringAsync(Ct);
        Assert.Equal(200, (int)done.StatusCode);
        Assert.Contains("root@example.com", text);
        Assert.Contains("/docs", text);
        using var http = app.With((await app.SignInAsync("root@example.com", "12345678")).GetProperty("access_token").GetString()!);
        Assert.Equal(1, (await (await http.GetAsync("/users", Ct)).JsonAsync()).GetArrayLength());

        await (await app.Http.GetAsync($"/setup?token={token}", Ct)).ShouldBeProblemAsync(404, "users/setup-closed");
        await (await PostAsync(app, token, "second@example.com", "Second", "12345678")).ShouldBeProblemAsync(404, "users/setup-closed");
        Assert.Null(await NoticeAsync(app));
    }

    [Fact]
    public async Task Without_its_token_there_is_no_setup()
    {
        await using var app = await TestApp.StartAsync();
        var token = await TokenAsync(app);
        foreach (var wrong in new[] { "", "x", token[1..], token + "A", (token[0] == 'A' ? "B" : "A") + token[1..] })
        {
            await (await app.Http.GetAsync($"/setup?token={wrong}", Ct)).ShouldBeProblemAsync(404, "users/setup-closed");
            await (await PostAsync(app, wrong, "root@example.com", "Root", "12345678")).ShouldBeProblemAsync(404, "users/setup-closed");
        }

        await (await app.Http.GetAsync("/setup", Ct)).ShouldBeProblemAsync(404, "users/setup-closed");
        await (await app.Http.PostAsJsonAsync("/setup", new { token }, Ct)).ShouldBeProblemAsync(404, "users/setup-closed");
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_accounts", Ct));
    }

    [Fact]
    public async Task Of_two_who_send_the_form_at_once_one_is_administrator()
    {
        await using var app = await TestApp.StartAsync();
        var token = await TokenAsync(app);

        var answers = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => PostAsync(app, token, $"root{i}@example.com", "Root", "12345678")));

        Assert.Single(answers, a => a.IsSuccessStatusCode);
        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from users_accounts", Ct));
    }

    [Fact]
    public async Task Faults_are_shown_at_their_fields_and_what_was_typed_is_kept_but_never_the_password()
    {
        await using var app = await TestApp.StartAsync();
        var token = await TokenAsync(app);

        var response = await PostAsync(app, token, "\"><script>", "Root", "tiny567");

        var page = await response.Content.ReadAsStringAsync(Ct);
        Assert.Equal(422, (int)response.StatusCode);
        Assert.Contains("must be an e-mail address", page);
        Assert.Contains("must have 8 to 256 characters", page);
        Assert.Contains("aria-describedby=\"email-wrong\"", page);
        Assert.Contains("value=\"Root\"", page);
        Assert.DoesNotContain("<script>", page);
        Assert.DoesNotContain("tiny567", page);
        // The link still works.
        Assert.Equal(200, (int)(await PostAsync(app, token, "root@example.com", "Root", "12345678")).StatusCode);
    }

    [Fact]
    public async Task An_email_that_somebody_has_is_not_taken_over()
    {
        await using var app = await TestApp.StartAsync();
        await app.RegisterAsync("root@example.com");
        var token = await TokenAsync(app);

        var response = await PostAsync(app, token, "root@example.com", "Root", "another password");

        Assert.Equal(400, (int)response.StatusCode);
        Assert.Contains("is registered already", await response.Content.ReadAsStringAsync(Ct));
        await app.SignInAsync("root@example.com");
    }

    [Fact]
    public async Task The_page_lets_nothing_load_but_its_own_style()
    {
        await using var app = await TestApp.StartAsync();

        var response = await app.Http.GetAsync($"/setup?token={await TokenAsync(app)}", Ct);

        var page = await response.Content.ReadAsStringAsync(Ct);
        var style = page.Split("<style>")[1].Split("</style>")[0];
        var policy = response.Headers.GetValues("Content-Security-Policy").Single();
        Assert.Contains($"default-src 'none'; style-src 'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(style)))}'", policy);
        Assert.Contains("frame-ancestors 'none'", policy);
        Assert.True(response.Headers.CacheControl?.NoStore);
        Assert.Equal("no-referrer", response.Headers.GetValues("Referrer-Policy").Single());
        Assert.DoesNotContain("http://", page);
        Assert.DoesNotContain("https://", page);
        Assert.DoesNotContain("style=\"", page);
    }

    [Fact]
    public async Task The_settings_make_the_first_administrator_and_no_link_is_printed()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Admin:Email", "Root@example.com", "--Admin:Password", "12345678"]);

        Assert.Null(await NoticeAsync(app));
        using var http = app.With((await app.SignInAsync("root@example.com", "12345678")).GetProperty("access_token").GetString()!);
        await (await http.GetAsync("/users", Ct)).JsonAsync();
    }

    [Fact]
    public async Task The_settings_leave_an_account_that_exists_as_it_is()
    {
        var first = TestApp.KeepData(await TestApp.StartAsync());
        await using (first)
            await first.RegisterAsync("root@example.com", "first password");

        await using var second = await TestApp.StartAsync(data: first.Data, settings: ["--Admin:Email", "root@example.com", "--Admin:Password", "second password"]);

        await (await second.PostTokenAsync("root@example.com", "second password")).ShouldBeProblemAsync(400, "users/invalid-grant");
        using var http = second.With((await second.SignInAsync("root@example.com", "first password")).GetProperty("access_token").GetString()!);
        await (await http.GetAsync("/users", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
    }

    [Theory]
    [InlineData("Admin:Password is missing", "--Admin:Email", "root@example.com")]
    [InlineData("Admin:Email is missing", "--Admin:Password", "a secret word")]
    [InlineData("Admin:Email must be an e-mail address", "--Admin:Email", "root", "--Admin:Password", "a secret word")]
    [InlineData("Admin:Password must have at least 8 characters", "--Admin:Email", "root@example.com", "--Admin:Password", "secret")]
    public async Task Settings_that_cannot_work_stop_the_start_without_showing_the_password(string message, params string[] settings)
    {
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));

        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(data: data, settings: settings));

        Assert.StartsWith(message, e.Message);
        Assert.DoesNotContain("secret", e.Message);
    }

    static Task<string?> NoticeAsync(TestApp app) => app.Services.GetServices<IStartNotice>().OfType<Tandem.Users.SetupLink>().Single().LineAsync("http://here", Ct);

    internal static async Task<string> TokenAsync(TestApp app)
    {
        var line = await NoticeAsync(app) ?? "";
        Assert.StartsWith("first    http://here/setup?token=", line);
        return line.Split("token=")[1].Split(' ')[0];
    }

    static Task<HttpResponseMessage> PostAsync(TestApp app, string token, string email, string name, string password) =>
        app.Http.PostAsync("/setup", new FormUrlEncodedContent(new Dictionary<string, string> { ["token"] = token, ["email"] = email, ["name"] = name, ["password"] = password }), Ct);
}
