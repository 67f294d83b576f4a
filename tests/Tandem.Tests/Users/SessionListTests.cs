using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Tests.Users;

public sealed class SessionListTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_person_sees_where_it_is_signed_in_and_which_of_them_it_is()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        app.Http.DefaultRequestHeaders.UserAgent.ParseAdd("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_0) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15");
        using var laptop = app.With((await app.SignInAsync(person.Email)).GetProperty("access_token").GetString()!);
        using var other = await app.PersonAsync();

        var response = await laptop.GetAsync("/sessions", Ct);

        var sessions = await response.JsonAsync();
        Assert.Equal(2, sessions.GetArrayLength());
        Assert.Equal("2", response.Headers.GetValues("X-Total-Count").Single());
        Assert.Equal(["id", "client", "impersonated_by", "device", "network", "created_at", "last_used_at", "current"], sessions[0].EnumerateObject().Select(p => p.Name));
        Assert.Equal(("Safari on macOS", "127.0.0.0/24", true), (sessions[0].GetProperty("device").GetString(), sessions[0].GetProperty("network").GetString(), sessions[0].GetProperty("current").GetBoolean()));
        Assert.False(sessions[1].GetProperty("current").GetBoolean());
        Assert.Equal(1, (await (await laptop.GetAsync("/sessions?limit=1&skip=1", Ct)).JsonAsync()).GetArrayLength());
        await (await laptop.GetAsync("/sessions?limit=101", Ct)).ShouldBeProblemAsync(422, "http/invalid");
    }

    [Fact]
    public async Task The_last_use_is_kept_at_a_refresh_and_otherwise_once_a_minute()
    {
        var clock = new FakeTimeProvider(new DateTimeOffset(2026, 1, 31, 12, 0, 0, TimeSpan.Zero));
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        using var person = await app.PersonAsync();
        Assert.Equal(0, await UsedAsync(30));
        Assert.Equal(70, await UsedAsync(40));
        Assert.Equal(70, await UsedAsync(30));
        Assert.Equal(135, await UsedAsync(35));
        clock.Advance(TimeSpan.FromSeconds(5));
        var next = await (await RefreshAsync(app, person.RefreshToken)).JsonAsync();
        using var http = app.With(next.GetProperty("access_token").GetString()!);
        Assert.Equal(140, await LastAsync(http));

        async Task<int> UsedAsync(int seconds)
        {
            clock.Advance(TimeSpan.FromSeconds(seconds));
            for (var i = 0; i < 3; i++)
                await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
            await app.Services.GetRequiredService<LastUse>().WriteAsync(Ct);
            return await LastAsync(person.Http);
        }

        async Task<int> LastAsync(HttpClient client) =>
            (int)((await (await client.GetAsync("/sessions", Ct)).JsonAsync())[0].GetProperty("last_used_at").GetDateTime() - new DateTime(2026, 1, 31, 12, 0, 0, DateTimeKind.Utc)).TotalSeconds;
    }

    [Fact]
    public async Task Ending_one_session_leaves_the_others_and_ending_ones_own_is_a_sign_out()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        var tokens = await app.SignInAsync(person.Email);
        using var elsewhere = app.With(tokens.GetProperty("access_token").GetString()!);
        var ids = await IdsAsync(person.Http);

        await (await person.Http.DeleteAsync($"/sessions/{ids.Others.Single()}", Ct)).JsonlessAsync(204);

        await (await elsewhere.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await RefreshAsync(app, tokens.GetProperty("refresh_token").GetString()!)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        await (await person.Http.DeleteAsync($"/sessions/{ids.Others.Single()}", Ct)).ShouldBeProblemAsync(404, "users/session-not-found");
        Assert.Empty((await IdsAsync(person.Http)).Others);

        await (await person.Http.DeleteAsync($"/sessions/{ids.Current}", Ct)).JsonlessAsync(204);
        await (await person.Http.GetAsync("/sessions", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        Assert.Equal(["signed-out", "session-ended"], (await AuditedAsync(app, person.Id)).Take(2).Select(e => e.Event));
    }

    [Fact]
    public async Task Everywhere_is_everywhere_and_everywhere_else_is_everywhere_else()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        using var bystander = await app.PersonAsync();
        for (var i = 0; i < 3; i++)
            await app.SignInAsync(person.Email);

        await (await person.Http.DeleteAsync("/sessions?except=mine", Ct)).ShouldBeProblemAsync(422, "http/invalid");
        await (await person.Http.DeleteAsync("/sessions?except=current", Ct)).JsonlessAsync(204);
        Assert.Empty((await IdsAsync(person.Http)).Others);
        Assert.Equal(("session-ended", 3), (await AuditedAsync(app, person.Id)).Select(e => (e.Event, e.Times)).First());

        await (await person.Http.DeleteAsync("/sessions", Ct)).JsonlessAsync(204);
        await (await person.Http.GetAsync("/sessions", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await IdsAsync(bystander.Http);
    }

    [Fact]
    public async Task Nobody_ends_a_session_of_somebody_else_but_an_administrator()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        using var eve = await app.PersonAsync();
        var id = (await IdsAsync(person.Http)).Current;

        await (await eve.Http.DeleteAsync($"/sessions/{id}", Ct)).ShouldBeProblemAsync(404, "users/session-not-found");
        await (await eve.Http.GetAsync($"/users/{person.Id}/sessions", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await eve.Http.DeleteAsync($"/users/{person.Id}/sessions", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await IdsAsync(person.Http);

        var seen = (await (await admin.Http.GetAsync($"/users/{person.Id}/sessions", Ct)).JsonAsync())[0];
        Assert.Equal((id, false), (seen.GetProperty("id").GetString(), seen.GetProperty("current").GetBoolean()));
        await (await admin.Http.DeleteAsync($"/users/{person.Id}/sessions", Ct)).JsonlessAsync(204);
        await (await person.Http.GetAsync("/sessions", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await admin.Http.GetAsync("/users/999/sessions", Ct)).ShouldBeProblemAsync(404, "users/not-found");
        await (await admin.Http.DeleteAsync("/users/999/sessions", Ct)).ShouldBeProblemAsync(404, "users/not-found");
        Assert.Equal((admin.Id, "ended by an administrator"), (await AuditedAsync(app, person.Id)).Select(e => (e.ActorId, e.Reason)).First());
    }

    /// <summary>The clock stands still, so that no sweep and no expiry can be what ends anything.</summary>
    [Theory]
    [InlineData("sign out")]
    [InlineData("everywhere")]
    [InlineData("by an administrator")]
    [InlineData("deactivate")]
    [InlineData("delete")]
    [InlineData("password")]
    [InlineData("demote")]
    [InlineData("replay")]
    public async Task However_a_session_ends_its_tokens_and_sockets_end_before_that_is_answered(string how)
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        using var admin = await app.AdministratorAsync();
        using var person = how == "demote" ? await app.AdministratorAsync() : await app.PersonAsync();
        var next = await (await RefreshAsync(app, person.RefreshToken)).JsonAsync();
        await (await RefreshAsync(app, next.GetProperty("refresh_token").GetString()!)).JsonAsync();
        using var socket = await OpenAsync(app, person.AccessToken);
        using var bystander = await OpenAsync(app, admin.AccessToken);
        var verifier = app.Services.GetRequiredService<ITokenVerifier>();
        Assert.True(verifier.TryVerify(person.AccessToken, out var caller));
        var happened = new List<string>();
        using var _ = app.Services.GetRequiredService<SessionEnds>().Subscribe(ended =>
        {
            if (ended.Contains(caller.SessionId))
                happened.Add(verifier.IsHonoured(caller) || verifier.TryVerify(person.AccessToken, out var _) ? "told too early" : "ended");
        });
        var users = app.Services.GetRequiredService<UserTable>();

        var answered = how switch
        {
            "sign out" => (await person.Http.DeleteAsync($"/sessions/{caller.SessionId}", Ct)).IsSuccessStatusCode,
            "everywhere" => (await person.Http.DeleteAsync("/sessions", Ct)).IsSuccessStatusCode,
            "by an administrator" => (await admin.Http.DeleteAsync($"/users/{person.Id}/sessions", Ct)).IsSuccessStatusCode,
            "deactivate" => (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).IsSuccessStatusCode,
            "delete" => (await admin.Http.DeleteAsync($"/users/{person.Id}", Ct)).IsSuccessStatusCode,
            "password" => await app.Services.GetRequiredService<Ownership>().ChangePasswordAsync(person.Id, "-", DateTime.UtcNow, Origin.Operator, Ct),
            "demote" => await users.ChangeAsync(person.Id, new AccountChange(IsAdministrator: false), DateTime.UtcNow, Origin.Operator, Ct) is not null,
            _ => (int)(await RefreshAsync(app, person.RefreshToken)).StatusCode == 400,
        };
        Assert.True(answered);
        happened.Add("answered");

        Assert.Equal(["ended", "answered"], happened);
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        limit.CancelAfter(TimeSpan.FromSeconds(90));
        await socket.ReceiveAsync(new byte[100], limit.Token);
        Assert.Equal(WebSocketCloseStatus.PolicyViolation, socket.CloseStatus);
        await bystander.SendAsync("still here"u8.ToArray(), WebSocketMessageType.Text, true, Ct);
        Assert.Equal(WebSocketMessageType.Text, (await bystander.ReceiveAsync(new byte[100], limit.Token)).MessageType);
        await Assert.ThrowsAsync<WebSocketException>(() => OpenAsync(app, person.AccessToken));
    }

    static async Task<ClientWebSocket> OpenAsync(TestApp app, string token)
    {
        var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("Authorization", "Bearer " + token);
        await socket.ConnectAsync(new Uri(app.Address.Replace("http:", "ws:") + "/ws/somebody"), Ct);
        return socket;
    }

    static async Task<(string Current, List<string> Others)> IdsAsync(HttpClient http)
    {
        var sessions = (await (await http.GetAsync("/sessions?limit=100", Ct)).JsonAsync()).EnumerateArray().ToLookup(s => s.GetProperty("current").GetBoolean(), s => s.GetProperty("id").GetString()!);
        return (sessions[true].Single(), [.. sessions[false]]);
    }

    static async Task<List<AuditEntry>> AuditedAsync(TestApp app, long subject)
    {
        var trail = app.Services.GetRequiredService<AuditTrail>();
        await trail.SealAsync(Ct);
        return await trail.FindAsync(new AuditFilter(Subject: subject), null, 100, Ct);
    }

    static Task<HttpResponseMessage> RefreshAsync(TestApp app, string token) =>
        app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = token });
}
