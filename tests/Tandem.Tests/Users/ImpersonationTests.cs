using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Data;
using Tandem.Users;
using Tandem.Users.Audit;

namespace Tandem.Tests.Users;

public sealed class ImpersonationTests(UsersFixture fixture) : IClassFixture<UsersFixture>
{
    const string Reason = "Ticket 4711: the invoice is missing";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    static Task<HttpResponseMessage> AskAsync(Person admin, long id, string reason = Reason, int? expires_in = null) =>
        admin.Http.PostAsJsonAsync($"/users/{id}/impersonation", new { reason, expires_in }, Ct);

    static async Task<(HttpClient Http, JsonElement Answer)> ActAsync(TestApp app, Person admin, long id, int? expires_in = null)
    {
        var answer = await (await AskAsync(admin, id, expires_in: expires_in)).JsonAsync();
        return (app.With(answer.GetProperty("access_token").GetString()!), answer);
    }

    static async Task<List<JsonElement>> AuditAsync(Person admin, long subject) =>
        [.. (await (await admin.Http.GetAsync($"/audit?subject={subject}&limit=100", Ct)).JsonAsync()).EnumerateArray()];

    [Fact]
    public async Task Token_and_every_row_say_who_acts_and_the_person_is_told_and_sees_it()
    {
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();

        var (http, answer) = await ActAsync(App, admin, person.Id, 120);

        using var acting = http;
        Assert.Equal(["access_token", "token_type", "expires_in", "session_id"], answer.EnumerateObject().Select(p => p.Name));
        Assert.Equal(120, answer.GetProperty("expires_in").GetInt32());
        var claims = SecondStepTests.Claims(answer);
        Assert.Equal(($"{person.Id}", $"{admin.Id}", 120L), (claims.GetProperty("sub").GetString(), claims.GetProperty("act").GetProperty("sub").GetString(),
            claims.GetProperty("exp").GetInt64() - claims.GetProperty("iat").GetInt64()));
        Assert.False(claims.TryGetProperty("role", out _));

        // What the person may, the administrator may as the person, and is not one meanwhile.
        Assert.Equal("Grace", (await (await acting.PatchAsJsonAsync($"/users/{person.Id}", new { name = "Grace" }, Ct)).JsonAsync()).GetProperty("name").GetString());
        await (await acting.GetAsync("/users", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await acting.GetAsync($"/users/{admin.Id}", Ct)).ShouldBeProblemAsync(403, "users/not-yours");
        await (await acting.PostAsJsonAsync($"/users/{admin.Id}/impersonation", new { reason = Reason }, Ct)).ShouldBeProblemAsync(403, "http/forbidden");

        var session = answer.GetProperty("session_id").GetString();
        var row = Assert.Single(await AuditAsync(admin, person.Id), r => r.GetProperty("event").GetString() == "impersonated");
        Assert.Equal(("user", admin.Id, Reason, session), (row.GetProperty("actor").GetString(), row.GetProperty("actor_id").GetInt64(), row.GetProperty("reason").GetString(), row.GetProperty("object_id").GetString()));
        var mail = await App.MailAsync(person.Email, "An administrator has signed in as you, for 2 minutes at most");
        Assert.Contains(Reason, mail.Text);
        var listed = Assert.Single((await (await person.Http.GetAsync("/sessions", Ct)).JsonAsync()).EnumerateArray(), s => s.GetProperty("id").GetString() == session);
        Assert.Equal(admin.Id, listed.GetProperty("impersonated_by").GetInt64());

        // The person may end it.
        await (await person.Http.DeleteAsync($"/sessions/{session}", Ct)).JsonlessAsync(204);
        await (await acting.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Fact]
    public async Task Whoever_acts_as_somebody_else_changes_no_way_in_and_takes_nothing_away()
    {
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        var (http, _) = await ActAsync(App, admin, person.Id);
        using var acting = http;

        HttpResponseMessage[] refused =
        [
            await acting.PutAsJsonAsync("/auth/password", new { password = "another horse battery" }, Ct),
            await acting.PostAsJsonAsync("/auth/email", new { email = TestUsers.NewEmail() }, Ct),
            await acting.PostAsJsonAsync("/auth/confirmation", new { password = TestUsers.Password }, Ct),
            await acting.PostAsync("/auth/totp", null, Ct),
            await acting.PostAsync("/auth/passkeys/options", null, Ct),
            await acting.PostAsJsonAsync("/keys", new { name = "mine" }, Ct),
            await acting.GetAsync("/keys", Ct),
            await acting.GetAsync("/sessions", Ct),
            await acting.DeleteAsync("/sessions", Ct),
            await acting.DeleteAsync($"/users/{person.Id}", Ct),
            await acting.PostAsync($"/users/{person.Id}/export", null, Ct),
            await acting.PostAsync($"/users/{person.Id}/erasure", null, Ct),
        ];

        foreach (var response in refused)
            await response.ShouldBeProblemAsync(403, "users/impersonated");
        await App.SignInAsync(person.Email);
    }

    [Fact]
    public async Task What_is_done_as_somebody_else_stands_in_the_trail_under_the_administrator()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        var organisation = (await (await person.Http.PostAsJsonAsync("/organisations", new { slug = $"o{Guid.NewGuid():n}", name = "Engines" }, Ct)).JsonAsync(201)).GetProperty("id").GetString();
        var (http, answer) = await ActAsync(app, admin, person.Id);
        using var acting = http;

        await (await acting.PatchAsJsonAsync($"/organisations/{organisation}", new { name = "Looms" }, Ct)).JsonAsync();
        await (await acting.DeleteAsync($"/organisations/{organisation}", Ct)).ShouldBeProblemAsync(403, "users/impersonated");

        var row = Assert.Single((await (await admin.Http.GetAsync("/audit?actor=impersonator", Ct)).JsonAsync()).EnumerateArray());
        Assert.Equal(("organisation-changed", admin.Id, organisation, answer.GetProperty("session_id").GetString()), (row.GetProperty("event").GetString(), row.GetProperty("actor_id").GetInt64(),
            row.GetProperty("object_id").GetString(), row.GetProperty("credential_id").GetString()));
    }

    [Fact]
    public async Task Only_active_persons_are_impersonated_by_administrators_with_a_reason_and_for_a_while()
    {
        using var admin = await App.AdministratorAsync();
        using var other = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        using var banned = await App.PersonAsync();
        await (await admin.Http.PatchAsJsonAsync($"/users/{banned.Id}", new { is_active = false }, Ct)).JsonAsync();

        foreach (var id in new[] { admin.Id, other.Id, banned.Id })
            await (await AskAsync(admin, id)).ShouldBeProblemAsync(409, "users/not-impersonated");
        await (await AskAsync(admin, 999_999_999)).ShouldBeProblemAsync(404, "users/not-found");
        await (await AskAsync(person, banned.Id)).ShouldBeProblemAsync(403, "http/forbidden");
        foreach (var reason in new[] { "", "  ", "ab", new string('x', 201) })
            await (await AskAsync(admin, person.Id, reason)).ShouldBeProblemAsync(422, "http/invalid");
        foreach (var seconds in new[] { 59, 901, 3601, -1 })
            await (await AskAsync(admin, person.Id, expires_in: seconds)).ShouldBeProblemAsync(422, "http/invalid");
        await (await admin.Http.PostAsJsonAsync($"/users/{person.Id}/impersonation", new { }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.DoesNotContain(await AuditAsync(admin, person.Id), r => r.GetProperty("event").GetString() == "impersonated");
    }

    public static TheoryData<string> Ends => ["administrator signs out", "administrator is deactivated", "administrator is none any more", "another ends it", "person is deactivated", "person becomes administrator"];

    [Theory]
    [MemberData(nameof(Ends))]
    public async Task It_ends_with_what_it_stands_on_and_its_sockets_with_it(string end)
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var other = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        var (http, answer) = await ActAsync(app, admin, person.Id);
        using var acting = http;
        using var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("Authorization", $"Bearer {answer.GetProperty("access_token").GetString()}");
        await socket.ConnectAsync(new Uri(app.Address.Replace("http", "ws", StringComparison.Ordinal) + "/ws/one"), Ct);
        await (await acting.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        var done = end switch
        {
            "administrator signs out" => admin.Http.DeleteAsync("/sessions", Ct),
            "administrator is deactivated" => other.Http.PatchAsJsonAsync($"/users/{admin.Id}", new { is_active = false }, Ct),
            "another ends it" => other.Http.DeleteAsync($"/users/{person.Id}/impersonation", Ct),
            "person is deactivated" => other.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct),
            _ => null,
        };
        if (done is not null)
            Assert.True((await done).IsSuccessStatusCode);
        else
        {
            var (whose, becomes) = end == "person becomes administrator" ? (person.Id, true) : (admin.Id, false);
            await app.Services.GetRequiredService<UserTable>().ChangeAsync(whose, new AccountChange(IsAdministrator: becomes), DateTime.UtcNow, Origin.Operator, Ct);
        }

        await (await acting.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        var closed = await socket.ReceiveAsync(new byte[100], Ct);
        Assert.Equal((WebSocketMessageType.Close, WebSocketCloseStatus.PolicyViolation), (closed.MessageType, closed.CloseStatus));
    }

    [Fact]
    public async Task It_ends_by_itself_and_takes_a_fresh_sign_in_and_can_be_switched_off()
    {
        var clock = new FakeTimeProvider(new DateTimeOffset(2026, 1, 31, 12, 0, 0, TimeSpan.Zero));
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), settings: ["--Users:ImpersonationLifetime", "00:02:00", "--Users:StepUpAfter", "00:10:00", "--Users:TellImpersonated", "false"]);
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        var (http, answer) = await ActAsync(app, admin, person.Id);
        using var acting = http;
        Assert.Equal(120, answer.GetProperty("expires_in").GetInt32());

        clock.Advance(TimeSpan.FromSeconds(119));
        await (await acting.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        clock.Advance(TimeSpan.FromSeconds(1));
        await (await acting.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");

        clock.Advance(TimeSpan.FromMinutes(8));
        await (await AskAsync(admin, person.Id)).ShouldBeProblemAsync(401, "users/sign-in-too-old");
        await using var off = await TestApp.StartAsync(settings: ["--Users:ImpersonationLifetime", "00:00:00"]);
        using var boss = await off.AdministratorAsync();
        using var somebody = await off.PersonAsync();
        await (await AskAsync(boss, somebody.Id)).ShouldBeProblemAsync(403, "users/impersonation-off");
    }
}
