using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Tandem.Tests.Users.OpenId;

/// <summary>What a person does to the own account, and nobody else in the person's name; and what is left of it when it goes.</summary>
public sealed class InPersonTests
{
    const string NewPassword = "another horse battery";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <summary>Every request of /auth, /keys and /sessions that takes a token, as the program has mapped them, and deleting the own account.</summary>
    static List<(HttpMethod Method, string Path)> OwnRequests(TestApp app, Person person)
    {
        var mapped = app.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Where(e => e.Metadata.GetMetadata<IAllowAnonymous>() is null && e.RoutePattern.RawText?.Split('/', StringSplitOptions.RemoveEmptyEntries) is ["auth" or "keys" or "sessions", ..])
            .SelectMany(e => e.Metadata.GetRequiredMetadata<IHttpMethodMetadata>().HttpMethods.Select(m => (new HttpMethod(m), "/" + e.RoutePattern.RawText!.Trim('/').Replace("{id}", Guid.NewGuid().ToString()))));
        return [.. mapped, (HttpMethod.Delete, $"/users/{person.Id}")];
    }

    static readonly object Body = new { name = "to stay", password = NewPassword, email = "eve@example.com", code = "000000", handle = "x", credential = new { id = "AAAA" } };

    [Fact]
    public async Task Neither_a_key_nor_a_client_that_was_let_in_does_what_takes_the_person()
    {
        await using var app = await OpenIdFixture.StartAsync();
        var client = await app.ClientAsync(scopes: ["openid", "api", "offline_access"]);
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        using var key = app.With((await (await person.Http.PostAsJsonAsync("/keys", new { name = "k" }, Ct)).JsonAsync(201)).GetProperty("key").GetString()!);
        using var allowed = app.With((await app.SignInAsync(client, person.Email, browser, "openid api offline_access")).GetProperty("access_token").GetString()!);
        var requests = OwnRequests(app, person);
        Assert.Subset(requests.Select(r => $"{r.Method} {r.Path}").ToHashSet(),
            new HashSet<string> { "GET /auth/me", "POST /auth/confirmation", "PUT /auth/password", "POST /auth/email", "POST /auth/totp", "POST /auth/totp/confirmation", "DELETE /auth/totp", "POST /auth/recovery-codes", "POST /keys", "DELETE /sessions" });

        foreach (var http in new[] { key, allowed })
        {
            await (await http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
            foreach (var (method, path) in requests)
                await (await SendAsync(http, method, path)).ShouldBeProblemAsync(403, "users/session-wanted");
        }
    }

    [Fact]
    public async Task Nor_does_an_administrators_key_nor_a_client_that_acts_for_itself()
    {
        await using var app = await OpenIdFixture.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        using var key = app.With((await (await admin.Http.PostAsJsonAsync("/keys", new { name = "k" }, Ct)).JsonAsync(201)).GetProperty("key").GetString()!);
        var own = await app.ClientAsync(grants: ["client_credentials"], scopes: ["users:read", "users:write"]);
        using var itself = app.With((await (await app.TokenAsync(own, new() { ["grant_type"] = "client_credentials" })).JsonAsync()).GetProperty("access_token").GetString()!);

        foreach (var http in new[] { key, itself })
        {
            foreach (var (method, path) in OwnRequests(app, person).SkipLast(1))
                await (await SendAsync(http, method, path)).ShouldBeProblemAsync(403, "users/session-wanted");
            // What it was given the right to is another matter.
            await (await http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        }

        await (await key.PostAsJsonAsync($"/users/{person.Id}/keys", Body, Ct)).ShouldBeProblemAsync(403, "users/session-wanted");
    }

    [Fact]
    public async Task A_client_with_an_administrators_right_is_not_asked_to_have_been_there_lately()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), "--Users:AccessTokenLifetime", "01:00:00");
        var own = await app.ClientAsync(grants: ["client_credentials"], scopes: ["users:write"]);
        using var http = app.With((await (await app.TokenAsync(own, new() { ["grant_type"] = "client_credentials" })).JsonAsync()).GetProperty("access_token").GetString()!);
        using var person = await app.PersonAsync();
        clock.Advance(TimeSpan.FromMinutes(30));

        await (await http.DeleteAsync($"/users/{person.Id}", Ct)).JsonlessAsync(204);
    }

    [Theory]
    [InlineData("by mail")]
    [InlineData("by its owner")]
    public async Task Another_password_ends_what_clients_and_browsers_have(string how)
    {
        await using var app = await OpenIdFixture.StartAsync();
        var client = await app.ClientAsync(isTrusted: false, scopes: ["openid", "api", "offline_access"]);
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var tokens = await app.SignInAsync(client, person.Email, browser, "openid api offline_access");
        var code = (await browser.GetAsync(SignIn.Url(client))).Answer["code"];

        if (how == "by mail")
        {
            await (await app.Http.PostAsJsonAsync("/auth/password/reset", new { email = person.Email }, Ct)).JsonlessAsync(202);
            var token = (await app.MailAsync(person.Email, "A new password")).Token;
            await (await app.Http.PostAsJsonAsync("/auth/password", new { token, password = NewPassword }, Ct)).JsonlessAsync(204);
        }
        else
            await (await person.Http.PutAsJsonAsync("/auth/password", new { password = NewPassword }, Ct)).JsonlessAsync(204);

        await ShouldBeOutAsync(app, client, person, browser, tokens);
        await (await app.RedeemAsync(client, code)).ShouldBeProblemAsync(400, "users/invalid-code");
        // What the person has allowed stays allowed.
        Assert.NotEmpty((await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email, NewPassword)).Answer["code"]);
    }

    [Fact]
    public async Task Nothing_is_left_of_an_account_that_is_deleted()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        var client = await app.ClientAsync(isTrusted: false, scopes: ["openid", "api", "offline_access"]);
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var tokens = await app.SignInAsync(client, person.Email, browser, "openid api offline_access");
        await Authenticator.SetUpAsync(person, clock);
        await (await app.PostTokenAsync(person.Email)).ShouldBeProblemAsync(403, "users/second-step-wanted");
        var next = TestUsers.NewEmail();
        await (await person.Http.PostAsJsonAsync("/auth/email", new { email = next }, Ct)).JsonlessAsync(202);
        await app.MailAsync(next, "Confirm your new e-mail");
        Assert.Equal((1, 2, 1, 10), await LeftAsync(app, person));

        await (await person.Http.DeleteAsync($"/users/{person.Id}", Ct)).JsonlessAsync(204);

        Assert.Equal((0, 0, 0, 0), await LeftAsync(app, person));
        await ShouldBeOutAsync(app, client, person, browser, tokens);
    }

    [Theory]
    [InlineData("code")]
    [InlineData("password/reset")]
    public async Task Whoever_waited_in_an_account_for_its_owner_goes_with_all_that_was_prepared(string way)
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), "--Users:EmailVerification", "Sent");
        var client = await app.ClientAsync(isTrusted: false, scopes: ["openid", "api"]);
        using var eve = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        await app.SignInAsync(client, eve.Email, browser, "openid api");
        await Authenticator.SetUpAsync(eve, clock);
        var hers = TestUsers.NewEmail();
        await (await eve.Http.PostAsJsonAsync("/auth/email", new { email = hers }, Ct)).JsonlessAsync(202);
        var change = (await app.MailAsync(hers, "Confirm your new e-mail")).Token;
        var answer = await (await app.Http.PostAsJsonAsync($"/auth/{way}", new { email = eve.Email }, Ct)).Content.ReadAsStringAsync(Ct);

        // The owner of the mailbox comes, and signs in with nothing else.
        if (way == "code")
        {
            var handle = JsonDocument.Parse(answer).RootElement.GetProperty("handle").GetString()!;
            await (await app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "urn:tandem:email-code", ["handle"] = handle, ["code"] = (await app.MailAsync(eve.Email, "is your code")).Code })).JsonAsync();
        }
        else
        {
            await (await app.Http.PostAsJsonAsync("/auth/password", new { token = (await app.MailAsync(eve.Email, "A new password")).Token, password = NewPassword }, Ct)).JsonlessAsync(204);
            await app.SignInAsync(eve.Email, NewPassword);
        }

        Assert.Equal((0, 0, 0, 0), await LeftAsync(app, eve));
        await (await app.Http.PostAsJsonAsync("/auth/email/confirmation", new { token = change }, Ct)).ShouldBeProblemAsync(400, "users/link-invalid");
        await (await eve.Http.GetAsync("/sessions", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        Assert.True((await browser.GetAsync(SignIn.Url(client))).Has("password"));
        Assert.Contains("second-step-off", await ByMailTests.AuditedAsync(app, eve.Id));
    }

    static async Task ShouldBeOutAsync(TestApp app, TestClient client, Person person, TestBrowser browser, JsonElement tokens)
    {
        using var http = app.With(tokens.GetProperty("access_token").GetString()!);
        await (await http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await app.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! })).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        Assert.True((await browser.GetAsync(SignIn.Url(client))).Has("password"));
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_sessions where account_id = {person.Id} and ended_at is null and (cookie_digest is not null or client_id is not null)", Ct));
    }

    static async Task<(long Consents, long Tickets, long Apps, long Codes)> LeftAsync(TestApp app, Person person) => (
        await app.Db.FindAsync<long>($"select count(*) from users_consents where account_id = {person.Id}", Ct),
        await app.Db.FindAsync<long>($"select count(*) from users_tickets where account_id = {person.Id}", Ct),
        await app.Db.FindAsync<long>($"select count(*) from users_totp where account_id = {person.Id}", Ct),
        await app.Db.FindAsync<long>($"select count(*) from users_recovery_codes where account_id = {person.Id}", Ct));

    static async Task<HttpResponseMessage> SendAsync(HttpClient http, HttpMethod method, string path)
    {
        using var request = new HttpRequestMessage(method, path) { Content = method == HttpMethod.Get ? null : JsonContent.Create(Body) };
        return await http.SendAsync(request, Ct);
    }
}
