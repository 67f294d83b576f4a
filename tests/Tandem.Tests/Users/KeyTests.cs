using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Tests.Users;

public sealed class KeyTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_key_is_shown_once_stored_nowhere_and_works_wherever_a_token_does()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();

        var response = await person.Http.PostAsJsonAsync("/keys", new { name = "Backup of the notes" }, Ct);

        var made = await response.JsonAsync(201);
        Assert.True(response.Headers.CacheControl?.NoStore);
        Assert.Equal(["id", "name", "scopes", "created_at", "expires_at", "key"], made.EnumerateObject().Select(p => p.Name));
        var key = made.GetProperty("key").GetString()!;
        Assert.Matches("^tdm_[0-9a-f]{32}[0-9A-Za-z]{49}$", key);
        Assert.Equal(made.GetProperty("id").GetGuid().ToString("n"), key[4..36]);
        Assert.Equal(90, (made.GetProperty("expires_at").GetDateTime() - made.GetProperty("created_at").GetDateTime()).TotalDays);
        using var script = app.With(key);
        await (await script.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        await (await script.PatchAsJsonAsync($"/users/{person.Id}", new { name = "Ada L." }, Ct)).JsonAsync();

        var listed = await person.Http.GetStringAsync("/keys", Ct);
        Assert.DoesNotContain(key[36..], listed);
        var row = Assert.Single(JsonDocument.Parse(listed).RootElement.EnumerateArray());
        Assert.Equal(["id", "name", "scopes", "created_at", "expires_at", "last_used_at"], row.EnumerateObject().Select(p => p.Name));
        Assert.Equal("Backup of the notes", row.GetProperty("name").GetString());
        Assert.NotEqual(JsonValueKind.Null, row.GetProperty("last_used_at").ValueKind);
        var stored = await app.Db.ListAsync($"select * from users_sessions", r => string.Join('|', Enumerable.Range(0, r.FieldCount).Select(i => r.GetValue(i))), Ct);
        Assert.All(stored, s => Assert.DoesNotContain(key[36..79], s));
        // A key is no session.
        Assert.Single((await (await person.Http.GetAsync("/sessions", Ct)).JsonAsync()).EnumerateArray());
    }

    [Fact]
    public async Task What_is_not_exactly_a_key_gets_the_answer_of_a_wrong_token()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:FailuresPerAddress", "0"]);
        using var person = await app.PersonAsync();
        var key = await MakeAsync(person.Http);
        using var http = app.With("garbage");
        var expected = await (await http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");

        string[] wrong = [.. Enumerable.Range(0, key.Length).Select(i => key[..i] + (key[i] == 'a' ? 'b' : 'a') + key[(i + 1)..]),
            key[..^1], key + "0", key.ToUpperInvariant(), "tdm_", ApiKeyText.Make(Guid.NewGuid()).Text, ApiKeyText.Make(Guid.ParseExact(key[4..36], "N")).Text];
        foreach (var text in wrong)
        {
            using var script = app.With(text);
            var response = await script.GetAsync($"/users/{person.Id}", Ct);
            var problem = await response.ShouldBeProblemAsync(401, "http/unauthorized");
            Assert.Equal(expected.GetProperty("detail").GetString(), problem.GetProperty("detail").GetString());
            Assert.Equal("Bearer error=\"invalid_token\"", response.Headers.WwwAuthenticate.ToString());
        }

        using var right = app.With(key);
        await (await right.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
    }

    [Fact]
    public async Task A_key_has_the_rights_of_its_owner_or_those_it_was_made_with()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        using var all = app.With(await MakeAsync(admin.Http));
        using var reader = app.With(await MakeAsync(admin.Http, "users:read"));
        using var none = app.With(await MakeAsync(admin.Http, null));

        await (await all.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = true }, Ct)).JsonAsync();
        await (await all.GetAsync("/audit", Ct)).JsonAsync();
        await (await reader.GetAsync("/users", Ct)).JsonAsync();
        await (await reader.GetAsync("/audit", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await reader.PatchAsJsonAsync($"/users/{person.Id}", new { name = "X" }, Ct)).ShouldBeProblemAsync(403, "users/not-yours");
        await (await none.GetAsync("/users", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await none.GetAsync($"/users/{admin.Id}", Ct)).JsonAsync();

        // Neither a person nor a token that is for less gives what it has not got.
        await (await person.Http.PostAsJsonAsync("/keys", new { name = "x", scopes = new[] { "users:read" } }, Ct)).ShouldBeProblemAsync(403, "users/scope-not-held");
        using var narrow = await ScopedAsync(app, admin, "users:read audit:read");
        await (await narrow.PostAsJsonAsync("/keys", new { name = "x", scopes = new[] { "users:write" } }, Ct)).ShouldBeProblemAsync(403, "users/scope-not-held");
        Assert.Equal(["audit:read", "users:read"], (await (await narrow.PostAsJsonAsync("/keys", new { name = "x" }, Ct)).JsonAsync(201)).GetProperty("scopes").EnumerateArray().Select(s => s.GetString()).Order());
        using var lent = await ScopedAsync(app, person, "users:read");
        await (await lent.PostAsJsonAsync("/keys", new { name = "x" }, Ct)).ShouldBeProblemAsync(403, "users/scope-not-held");
    }

    [Fact]
    public async Task Whoever_finds_a_key_makes_no_others_and_puts_nobody_out()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        using var script = app.With(await MakeAsync(person.Http));
        using var root = app.With(await MakeAsync(admin.Http));

        foreach (var refused in new[]
        {
            await script.PostAsJsonAsync("/keys", new { name = "more" }, Ct), await script.GetAsync("/keys", Ct), await script.DeleteAsync($"/keys/{Guid.NewGuid()}", Ct),
            await script.GetAsync("/sessions", Ct), await script.DeleteAsync("/sessions", Ct), await script.DeleteAsync($"/users/{person.Id}", Ct),
            await root.PostAsJsonAsync($"/users/{person.Id}/keys", new { name = "more" }, Ct),
        })
            await refused.ShouldBeProblemAsync(403, "users/session-wanted");
        await (await root.DeleteAsync($"/users/{person.Id}/sessions", Ct)).JsonlessAsync(204);
    }

    [Fact]
    public async Task Administrators_make_list_and_revoke_the_keys_of_others()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var service = await app.PersonAsync();
        using var eve = await app.PersonAsync();
        var made = await (await admin.Http.PostAsJsonAsync($"/users/{service.Id}/keys", new { name = "ingest" }, Ct)).JsonAsync(201);
        using var script = app.With(made.GetProperty("key").GetString()!);
        await (await script.GetAsync($"/users/{service.Id}", Ct)).JsonAsync();
        var id = made.GetProperty("id").GetString();

        await (await eve.Http.PostAsJsonAsync($"/users/{service.Id}/keys", new { name = "mine" }, Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await eve.Http.GetAsync($"/users/{service.Id}/keys", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await eve.Http.DeleteAsync($"/users/{service.Id}/keys/{id}", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await eve.Http.DeleteAsync($"/keys/{id}", Ct)).ShouldBeProblemAsync(404, "users/key-not-found");
        using var writer = await ScopedAsync(app, admin, "users:write");
        await (await writer.PostAsJsonAsync($"/users/{admin.Id}/keys", new { name = "more than I am" }, Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await admin.Http.PostAsJsonAsync("/users/999/keys", new { name = "nobody's" }, Ct)).ShouldBeProblemAsync(404, "users/not-found");
        await (await admin.Http.GetAsync("/users/999/keys", Ct)).ShouldBeProblemAsync(404, "users/not-found");

        Assert.Equal(id, (await (await admin.Http.GetAsync($"/users/{service.Id}/keys", Ct)).JsonAsync())[0].GetProperty("id").GetString());
        await (await admin.Http.DeleteAsync($"/users/{service.Id}/keys/{id}", Ct)).JsonlessAsync(204);
        await (await script.GetAsync($"/users/{service.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await admin.Http.DeleteAsync($"/users/{service.Id}/keys/{id}", Ct)).ShouldBeProblemAsync(404, "users/key-not-found");
    }

    [Theory]
    [InlineData("""{"name": " "}""", "name")]
    [InlineData("""{"name": "x", "scopes": ["a b"]}""", "scopes")]
    [InlineData("""{"name": "x", "scopes": [null]}""", "scopes")]
    [InlineData("""{"name": "x", "expires_at": "2020-01-01T00:00:00Z"}""", "expires_at")]
    [InlineData("""{"name": "x", "expires_at": "2999-01-01T00:00:00Z"}""", "expires_at")]
    [InlineData("""{"name": "x", "expires_at": "soon"}""", "expires_at")]
    public async Task What_cannot_be_a_key_is_named(string body, string field)
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        var problem = await (await person.Http.PostAsync("/keys", new StringContent(body, System.Text.Encoding.UTF8, "application/json"), Ct)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.StartsWith(field, problem.GetProperty("errors").EnumerateObject().Single().Name);
    }

    [Fact]
    public async Task A_key_ends_when_it_was_to_and_an_account_has_a_bounded_number_of_them()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), settings: ["--Users:KeysPerAccount", "2"]);
        using var person = await app.PersonAsync();
        var ends = clock.GetUtcNow().AddMinutes(10);
        var made = await (await person.Http.PostAsJsonAsync("/keys", new { name = "short", expires_at = ends }, Ct)).JsonAsync(201);
        using var script = app.With(made.GetProperty("key").GetString()!);
        await MakeAsync(person.Http);
        await (await person.Http.PostAsJsonAsync("/keys", new { name = "one more" }, Ct)).ShouldBeProblemAsync(409, "users/too-many-keys");

        clock.Advance(TimeSpan.FromSeconds(599));
        await (await script.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        clock.Advance(TimeSpan.FromSeconds(1));
        await (await script.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await MakeAsync(person.Http);
    }

    [Fact]
    public async Task A_key_that_was_seen_costs_no_read_until_an_hour_has_passed()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        using var person = await app.PersonAsync();
        var key = await MakeAsync(person.Http);
        using var script = app.With(key);
        var verifier = app.Services.GetRequiredService<ITokenVerifier>();
        Assert.False(verifier.TryVerify(key, out _));

        await (await script.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        Assert.True(verifier.TryVerify(key, out var first));
        Assert.True(verifier.TryVerify(key, out var second));
        Assert.Same(first, second);
        clock.Advance(ApiKeys.Trust);
        Assert.False(verifier.TryVerify(key, out _));
        // A socket stays open all the same.
        Assert.True(verifier.IsHonoured(first));
        await (await script.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        Assert.True(verifier.TryVerify(key, out _));
    }

    /// <summary>The clock stands still, so that no sweep and no expiry can be what ends anything.</summary>
    [Theory]
    [InlineData("revoke")]
    [InlineData("by an administrator")]
    [InlineData("deactivate")]
    [InlineData("delete")]
    [InlineData("password")]
    [InlineData("demote")]
    [InlineData("promote")]
    public async Task However_a_key_ends_it_and_its_sockets_end_before_that_is_answered(string how)
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        using var admin = await app.AdministratorAsync();
        using var person = how == "demote" ? await app.AdministratorAsync() : await app.PersonAsync();
        var key = await MakeAsync(person.Http);
        using var script = app.With(key);
        using var socket = await OpenAsync(app, "?access_token=" + key);
        var verifier = app.Services.GetRequiredService<ITokenVerifier>();
        Assert.True(verifier.TryVerify(key, out var caller));
        Assert.Equal((person.Id, true), (caller.AccountId, caller.IsApiKey));
        var happened = new List<string>();
        using var _ = app.Services.GetRequiredService<SessionEnds>().Subscribe(ended =>
        {
            if (ended.Contains(caller.SessionId))
                happened.Add(verifier.IsHonoured(caller) || verifier.TryVerify(key, out var _) ? "told too early" : "ended");
        });
        var users = app.Services.GetRequiredService<UserTable>();

        var answered = how switch
        {
            "revoke" => (await person.Http.DeleteAsync($"/keys/{caller.SessionId}", Ct)).IsSuccessStatusCode,
            "by an administrator" => (await admin.Http.DeleteAsync($"/users/{person.Id}/keys/{caller.SessionId}", Ct)).IsSuccessStatusCode,
            "deactivate" => (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).IsSuccessStatusCode,
            "delete" => (await admin.Http.DeleteAsync($"/users/{person.Id}", Ct)).IsSuccessStatusCode,
            "password" => await app.Services.GetRequiredService<Ownership>().ChangePasswordAsync(person.Id, "-", DateTime.UtcNow, Origin.Operator, Ct),
            _ => await users.ChangeAsync(person.Id, new AccountChange(IsAdministrator: how == "promote"), DateTime.UtcNow, Origin.Operator, Ct) is not null,
        };
        Assert.True(answered);
        happened.Add("answered");

        Assert.Equal(["ended", "answered"], happened);
        await (await script.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        limit.CancelAfter(TimeSpan.FromSeconds(90));
        await socket.ReceiveAsync(new byte[100], limit.Token);
        Assert.Equal(WebSocketCloseStatus.PolicyViolation, socket.CloseStatus);
    }

    [Fact]
    public async Task Signing_out_everywhere_leaves_keys_alone()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        using var script = app.With(await MakeAsync(person.Http));
        await (await person.Http.DeleteAsync("/sessions", Ct)).JsonlessAsync(204);
        await (await script.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
    }

    [Fact]
    public async Task Wrong_keys_count_against_their_network_and_keys_that_were_seen_go_on()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:FailuresPerAddress", "3"]);
        using var admin = await app.AdministratorAsync();
        using var seen = app.With(await MakeAsync(admin.Http));
        using var unseen = app.With(await MakeAsync(admin.Http));
        await (await seen.GetAsync("/users", Ct)).JsonAsync();
        for (var i = 0; i < 3; i++)
        {
            using var wrong = app.With(ApiKeyText.Make(Guid.NewGuid()).Text);
            await (await wrong.GetAsync("/users", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        }

        var refused = await unseen.GetAsync("/users", Ct);
        await refused.ShouldBeProblemAsync(429, "http/too-many-requests");
        Assert.NotNull(refused.Headers.RetryAfter);
        await (await app.PostTokenAsync(admin.Email)).ShouldBeProblemAsync(429, "http/too-many-requests");
        await (await seen.GetAsync("/users", Ct)).JsonAsync();
        // Text that only looks like one costs nobody anything.
        using var garbage = app.With("tdm_" + new string('a', 81));
        await (await garbage.GetAsync("/users", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");

        var told = (await (await admin.Http.GetAsync("/audit?event=sign-in-failed", Ct)).JsonAsync()).EnumerateArray();
        Assert.Equal(3, told.Where(r => r.GetProperty("reason").GetString() == "wrong API key").Sum(r => r.GetProperty("times").GetInt32()));
    }

    [Fact]
    public async Task A_keys_life_is_told_and_its_last_use_is_kept_once_a_minute()
    {
        var clock = new FakeTimeProvider(new DateTimeOffset(2026, 1, 31, 12, 0, 0, TimeSpan.Zero));
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        using var person = await app.PersonAsync();
        var key = await MakeAsync(person.Http);
        using var script = app.With(key);
        script.DefaultRequestHeaders.UserAgent.ParseAdd("nightly/1.0");
        Assert.Null(await LastUsedAsync());
        Assert.Equal(10, await UseAsync(10));
        Assert.Equal(10, await UseAsync(50));
        Assert.Equal(75, await UseAsync(15));
        await (await person.Http.DeleteAsync($"/keys/{Guid.ParseExact(key[4..36], "N")}", Ct)).JsonlessAsync(204);

        var trail = app.Services.GetRequiredService<AuditTrail>();
        await trail.SealAsync(Ct);
        var told = await trail.FindAsync(new AuditFilter(Subject: person.Id), null, 10, Ct);
        Assert.Equal(["key-revoked", "key-first-used", "key-created"], told.Take(3).Select(e => e.Event));
        Assert.All(told.Take(3), e => Assert.Equal(key[4..36], e.ObjectId?.ToString("n")));
        Assert.Equal(("nightly", "127.0.0.0/24", key[4..36]), (told[1].UserAgent, told[1].Network, told[1].CredentialId?.ToString("n")));
        Assert.DoesNotContain(told, e => e.ToString().Contains(key[36..], StringComparison.Ordinal));

        async Task<int?> UseAsync(int seconds)
        {
            clock.Advance(TimeSpan.FromSeconds(seconds));
            for (var i = 0; i < 3; i++)
                await (await script.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
            await app.Services.GetRequiredService<LastUse>().WriteAsync(Ct);
            return await LastUsedAsync();
        }

        async Task<int?> LastUsedAsync() => (await (await person.Http.GetAsync("/keys", Ct)).JsonAsync())[0].GetProperty("last_used_at") is { ValueKind: JsonValueKind.String } at
            ? (int)(at.GetDateTime() - new DateTime(2026, 1, 31, 12, 0, 0, DateTimeKind.Utc)).TotalSeconds
            : null;
    }

    [Fact]
    public async Task Endpoints_that_are_open_and_give_more_to_those_they_know_know_keys_as_well()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:SignUp", "false"]);
        using var admin = await app.AdministratorAsync();
        using var script = app.With(await MakeAsync(admin.Http, "users:write"));
        await (await script.PostAsJsonAsync("/users", new { email = TestUsers.NewEmail(), name = "Bob", password = TestUsers.Password }, Ct)).JsonAsync(201);
        using var other = app.With(await MakeAsync(admin.Http));
        await (await other.GetAsync("/reports/signups?format=json", Ct)).JsonAsync();
    }

    [Fact]
    public async Task The_gateway_tells_other_services_who_a_key_is()
    {
        await using var service = await TestApp.StartAsync(a => a.MapGet("/who", (HttpContext c) => c.Request.Headers.Where(h => h.Key.StartsWith("X-Tandem-", StringComparison.Ordinal))
            .ToDictionary(h => h.Key, h => h.Value.ToString())).AllowAnonymous());
        await using var app = await TestApp.StartAsync(null, null, "--Gateway:Upstreams:svc:Path", "/svc", "--Gateway:Upstreams:svc:Addresses:0", service.Address);
        using var admin = await app.AdministratorAsync();
        var key = await MakeAsync(admin.Http, "svc:use");
        using var script = app.With(key);

        var who = await (await script.GetAsync("/svc/who", Ct)).JsonAsync();

        Assert.Equal((admin.Id.ToString(), Guid.ParseExact(key[4..36], "N").ToString(), "svc:use"),
            (who.GetProperty("X-Tandem-Account").GetString(), who.GetProperty("X-Tandem-Session").GetString(), who.GetProperty("X-Tandem-Scopes").GetString()));
        Assert.False(who.TryGetProperty("X-Tandem-Roles", out _));
    }

    [Fact]
    public async Task A_socket_to_another_service_ends_with_the_key_that_opened_it()
    {
        await using var service = await TestApp.StartAsync(settings: ["--Realtime:Open", "true"]);
        await using var app = await TestApp.StartAsync(settings: ["--Gateway:Upstreams:svc:Path", "/svc", "--Gateway:Upstreams:svc:Addresses:0", service.Address]);
        using var person = await app.PersonAsync();
        var key = await MakeAsync(person.Http);
        using var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("Authorization", "Bearer " + key);
        await socket.ConnectAsync(new Uri(app.Address.Replace("http:", "ws:") + "/svc/ws/somebody"), Ct);
        await socket.SendAsync("hello"u8.ToArray(), WebSocketMessageType.Text, true, Ct);
        Assert.Equal(WebSocketMessageType.Text, (await socket.ReceiveAsync(new byte[100], Ct)).MessageType);

        await (await person.Http.DeleteAsync($"/keys/{Guid.ParseExact(key[4..36], "N")}", Ct)).JsonlessAsync(204);

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        limit.CancelAfter(TimeSpan.FromSeconds(90));
        await Assert.ThrowsAsync<WebSocketException>(() => socket.ReceiveAsync(new byte[100], limit.Token));
    }

    [Fact]
    public async Task The_command_line_makes_lists_and_revokes_keys_beside_a_running_server()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        var (code, key, error) = await Programs.RunAsync("key", "create", admin.Email, "--name", "nightly \e[31mred", "--lifetime", "7.00:00:00", "--scope", "users:read", "--data", app.Data);
        Assert.Equal((0, ""), (code, error));
        using var script = app.With(key.Trim());
        await (await script.GetAsync("/users", Ct)).JsonAsync();

        var json = JsonDocument.Parse((await Programs.RunAsync("key", "list", admin.Email, "--json", "--data", app.Data)).Output).RootElement[0];
        var id = json.GetProperty("id").GetString()!;
        Assert.Equal(key[4..36], Guid.Parse(id).ToString("n"));
        Assert.Contains($"{id}  until", (await Programs.RunAsync("key", "list", admin.Email, "--data", app.Data)).Output);
        Assert.Contains("nightly ?[31mred", (await Programs.RunAsync("key", "list", admin.Email, "--data", app.Data)).Output);

        Assert.Equal((0, $"{id} is revoked\n", ""), await Programs.RunAsync("key", "revoke", id, "--data", app.Data));
        await Eventually.TrueAsync(async () => (int)(await script.GetAsync("/users", Ct)).StatusCode == 401, seconds: 5);

        foreach (var (expected, message, args) in new (int, string, string[])[]
        {
            (1, "API key not found", ["revoke", id]),
            (1, "There is no account", ["create", "nobody@example.com", "--name", "x"]),
            (1, "no more than its owner", ["create", person.Email, "--name", "x", "--scope", "users:read"]),
            (1, "expires_at must be in the future", ["create", person.Email, "--name", "x", "--lifetime", "9999.00:00:00"]),
            (2, "--lifetime must be a duration", ["create", person.Email, "--name", "x", "--lifetime", "7"]),
            (2, "name must not be empty", ["create", person.Email, "--name", " "]),
            (2, "--name", ["create", person.Email]),
        })
        {
            (code, _, error) = await Programs.RunAsync(["key", .. args, "--data", app.Data]);
            Assert.Equal(expected, code);
            Assert.Contains(message, error);
        }
    }

    [Fact]
    public async Task A_default_life_above_the_longest_stops_the_start()
    {
        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(settings: ["--Users:MaxKeyLifetime", "1.00:00:00"]));
        Assert.StartsWith("Users:KeyLifetime", e.Message);
    }

    /// <param name="scopes">None: left out; null: an empty list.</param>
    static async Task<string> MakeAsync(HttpClient http, params string[]? scopes)
    {
        object body = scopes is { Length: 0 } ? new { name = "a key" } : new { name = "a key", scopes = scopes ?? [] };
        return (await (await http.PostAsJsonAsync("/keys", body, Ct)).JsonAsync(201)).GetProperty("key").GetString()!;
    }

    static async Task<ClientWebSocket> OpenAsync(TestApp app, string query)
    {
        var socket = new ClientWebSocket();
        await socket.ConnectAsync(new Uri(app.Address.Replace("http:", "ws:") + "/ws/somebody" + query), Ct);
        return socket;
    }

    static async Task<HttpClient> ScopedAsync(TestApp app, Person person, string scopes)
    {
        var session = await app.Services.GetRequiredService<Sessions>().OpenAsync(person.Id, scopes, TimeSpan.FromMinutes(5), Origin.Operator, DateTime.UtcNow, Ct);
        return app.With(await app.Services.GetRequiredService<AccessTokens>().MakeAsync(session!, DateTime.UtcNow, TimeSpan.FromMinutes(5), Ct));
    }
}
