using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Users.Audit;

namespace Tandem.Tests.Users.OpenId;

/// <summary>Clients in the audit trail, and what they may not do to the person who let them in.</summary>
public sealed class ClientAuditTests(OpenIdFixture fixture) : IClassFixture<OpenIdFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Fact]
    public async Task What_clients_do_and_what_is_done_to_them_is_in_the_trail()
    {
        await using var app = await OpenIdFixture.StartAsync();
        var client = await app.ClientAsync(isTrusted: false);
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email, "not the password");
        var code = (await browser.SignInAsync(SignIn.Url(client, "openid offline_access"), person.Email))["code"];
        var first = await (await app.RedeemAsync(client, code)).JsonAsync();
        await (await app.RedeemAsync(client, code)).ShouldBeProblemAsync(400, "users/invalid-code");
        var second = await app.SignInAsync(client, person.Email, browser, "openid");
        Assert.Equal(200, (int)(await RevokeAsync(app, client, second)).StatusCode);
        var third = await app.SignInAsync(client, person.Email, browser, "openid");
        await browser.PressAsync(await browser.GetAsync("/logout"), "sign-out");
        await app.SignInAsync(client, person.Email, browser, "openid");
        await (await admin.Http.DeleteAsync($"/clients/{client.Id}", Ct)).JsonlessAsync(204);
        await app.Services.GetRequiredService<FailedSignIns>().WriteAsync(all: true, Ct);

        var rows = await RowsAsync(admin, $"subject={person.Id}");
        // Failed sign-ins are written a moment later: they stand somewhere.
        Assert.Equal(
            new[]
            {
                "user-created operator", "signed-in user", "sign-in-failed anonymous wrong password",
                "signed-in user", $"client-allowed user {client.Id}: openid offline_access", $"client-signed-in client {client.Id}",
                $"code-reused client {client.Id}", "session-ended client code used again",
                $"client-signed-in client {client.Id}", "session-ended client revoked",
                $"client-signed-in client {client.Id}", "session-ended user ended by its owner", "signed-out user",
                "signed-in user", $"client-signed-in client {client.Id}", "session-ended user client removed",
            }.Order(),
            rows.Select(Told).Order());
        var signedIn = rows.First(r => Text(r, "event") == "client-signed-in" && Text(r, "object_id") == Sid(first));
        Assert.Contains(rows, r => Text(r, "event") == "signed-in" && Text(r, "object_id") == Text(signedIn, "credential_id"));
        Assert.Contains(rows, r => Text(r, "event") == "session-ended" && Text(r, "object_id") == Sid(third) && Text(r, "credential_id") == Text(signedIn, "credential_id"));

        var registered = Assert.Single(await RowsAsync(admin, "event=client-registered"));
        Assert.Equal(("user", client.Id, ""), (Text(registered, "actor"), Text(registered, "reason"), Text(registered, "subject_id")));
        var removed = Assert.Single(await RowsAsync(admin, "event=client-removed"));
        Assert.Equal((admin.Id.ToString(), client.Id), (Text(removed, "actor_id"), Text(removed, "reason")));
    }

    [Fact]
    public async Task A_client_that_acts_for_itself_is_told_from_people()
    {
        await using var app = await OpenIdFixture.StartAsync();
        using var admin = await app.AdministratorAsync();
        var client = await app.ClientAsync(grants: ["client_credentials"], scopes: ["users:read", "users:write"]);
        await (await app.TokenAsync(client with { Secret = "guessed" }, Own())).ShouldBeProblemAsync(401, "users/invalid-client");
        var tokens = await (await app.TokenAsync(client, Own())).JsonAsync();
        using var http = app.With(tokens.GetProperty("access_token").GetString()!);
        using var person = await app.PersonAsync();
        await (await http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).JsonAsync();
        await app.Services.GetRequiredService<FailedSignIns>().WriteAsync(all: true, Ct);

        var rows = await RowsAsync(admin, "actor=client");
        Assert.Equal(["client-signed-in", "session-ended", "user-deactivated"], rows.Select(r => Text(r, "event")).Order());
        Assert.All(rows, r => Assert.Equal((Sid(tokens), ""), (Text(r, "credential_id"), Text(r, "actor_id"))));
        Assert.Equal("wrong client secret", Text(Assert.Single(await RowsAsync(admin, "event=sign-in-failed")), "reason"));
    }

    [Fact]
    public async Task A_client_that_was_let_in_makes_no_keys_and_puts_nobody_out()
    {
        var client = await App.ClientAsync(scopes: ["openid", "api"]);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var tokens = await App.SignInAsync(client, person.Email, browser, "openid api");
        using var http = App.With(tokens.GetProperty("access_token").GetString()!);
        await (await http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        await (await http.PostAsJsonAsync("/keys", new { name = "to stay" }, Ct)).ShouldBeProblemAsync(403, "users/session-wanted");
        await (await http.GetAsync("/keys", Ct)).ShouldBeProblemAsync(403, "users/session-wanted");
        await (await http.GetAsync("/sessions", Ct)).ShouldBeProblemAsync(403, "users/session-wanted");
        await (await http.DeleteAsync("/sessions", Ct)).ShouldBeProblemAsync(403, "users/session-wanted");
        await (await http.DeleteAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(403, "users/session-wanted");
        var own = await App.ClientAsync(grants: ["client_credentials"], scopes: ["users:read"]);
        using var itself = App.With((await (await App.TokenAsync(own, Own())).JsonAsync()).GetProperty("access_token").GetString()!);
        await (await itself.GetAsync("/sessions", Ct)).ShouldBeProblemAsync(403, "users/session-wanted");
        await (await itself.DeleteAsync("/sessions", Ct)).ShouldBeProblemAsync(403, "users/session-wanted");
    }

    [Fact]
    public async Task A_person_sees_which_client_has_a_session_and_a_browsers_takes_those_of_its_clients_along()
    {
        var client = await App.ClientAsync(scopes: ["openid", "api"]);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var tokens = await App.SignInAsync(client, person.Email, browser, "openid api");
        using var http = App.With(tokens.GetProperty("access_token").GetString()!);
        var list = (await (await person.Http.GetAsync("/sessions", Ct)).JsonAsync()).EnumerateArray().ToList();
        Assert.Equal(3, list.Count);
        Assert.Equal(Sid(tokens), Text(Assert.Single(list, s => Text(s, "client") == client.Id), "id"));
        var browsers = Assert.Single(list, s => Text(s, "client") == "" && !s.GetProperty("current").GetBoolean());

        await (await person.Http.DeleteAsync($"/sessions/{Text(browsers, "id")}", Ct)).JsonlessAsync(204);

        await (await http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        Assert.True((await browser.GetAsync(SignIn.Url(client))).Has("password"));
        Assert.Single((await (await person.Http.GetAsync("/sessions", Ct)).JsonAsync()).EnumerateArray());
    }

    [Fact]
    public async Task A_refresh_token_that_a_client_uses_after_its_successor_ends_the_session_once_the_grace_is_over()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), "--Users:RefreshGrace", "00:00:30");
        var client = await app.ClientAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var first = await app.SignInAsync(client, person.Email, browser);
        var second = await (await RefreshAsync(first)).JsonAsync();
        clock.Advance(TimeSpan.FromSeconds(29));
        await (await RefreshAsync(first)).JsonAsync();
        clock.Advance(TimeSpan.FromSeconds(2));

        var problem = await (await RefreshAsync(first)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");

        Assert.Equal("invalid_grant", Text(problem, "error"));
        await (await RefreshAsync(second)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        using var http = app.With(second.GetProperty("access_token").GetString()!);
        await (await http.GetAsync("/userinfo", Ct)).ShouldBeProblemAsync(401, "users/invalid-access-token");
        var row = Assert.Single(await RowsAsync(admin, "event=refresh-token-replayed"));
        Assert.Equal((person.Id.ToString(), Sid(second)), (Text(row, "subject_id"), Text(row, "object_id")));
        // The browser is another session, and goes on.
        Assert.NotEmpty((await browser.GetAsync(SignIn.Url(client))).Answer["code"]);

        Task<HttpResponseMessage> RefreshAsync(JsonElement tokens) =>
            app.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! });
    }

    [Fact]
    public async Task Whether_a_mailbox_is_proved_is_told_as_it_was_imported()
    {
        var client = await App.ClientAsync();
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        await App.Db.ExecuteAsync($"update users_accounts set email_verified_at = {DateTime.UtcNow} where id = {person.Id}", Ct);
        using var http = App.With((await App.SignInAsync(client, person.Email, browser, "openid email")).GetProperty("access_token").GetString()!);
        Assert.True((await (await http.GetAsync("/userinfo", Ct)).JsonAsync()).GetProperty("email_verified").GetBoolean());
    }

    static Dictionary<string, string> Own() => new() { ["grant_type"] = "client_credentials" };

    static Task<HttpResponseMessage> RevokeAsync(TestApp app, TestClient client, JsonElement tokens) => app.Http.PostAsync("/revoke",
        new FormUrlEncodedContent(new Dictionary<string, string>
        {
            ["token"] = tokens.GetProperty("access_token").GetString()!,
            ["client_id"] = client.Id,
            ["client_secret"] = client.Secret!,
        }), Ct);

    /// <summary>The oldest first.</summary>
    static async Task<List<JsonElement>> RowsAsync(Person reader, string filter) =>
        [.. (await (await reader.Http.GetAsync($"/audit?limit=100&{filter}", Ct)).JsonAsync()).EnumerateArray().OrderBy(r => r.GetProperty("number").GetInt64())];

    static string Told(JsonElement row) => $"{Text(row, "event")} {Text(row, "actor")} {Text(row, "reason")}".TrimEnd();

    static string Text(JsonElement json, string name) => json.GetProperty(name).ToString();

    static string Sid(JsonElement tokens) => Text(JsonDocument.Parse(System.Buffers.Text.Base64Url.DecodeFromChars(tokens.GetProperty("access_token").GetString()!.Split('.')[1])).RootElement, "sid");
}
