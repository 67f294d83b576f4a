using System.Buffers.Text;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Tests.Repo;
using Tandem.Tests.Users.OpenId;
using Tandem.Users;
using Tandem.Users.Audit;
using Tandem.Users.SecondSteps;
using Tandem.Users.Tokens;

namespace Tandem.Tests.Users;

/// <summary>Keys take turns while the program runs. Clocks are moved by an hour or two; what takes months is put into the table.</summary>
public sealed class SigningKeyTests
{
    static readonly TimeSpan Notice = KeyRotation.Notice;

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync(FakeTimeProvider clock, params string[] settings) => TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), settings: settings);

    static FakeTimeProvider Clock() => new(DateTimeOffset.UtcNow);

    [Fact]
    public async Task The_next_key_is_published_an_hour_before_it_signs_and_what_the_last_one_signed_is_valid_to_its_end()
    {
        var clock = Clock();
        await using var app = await StartAsync(clock, "--Users:AccessTokenLifetime", "02:00:00");
        using var person = await app.PersonAsync();
        var first = KeyOf(person.AccessToken);
        Assert.Equal([first], await PublishedAsync(app));

        Assert.Equal(2, (await RotationOf(app).RotateAsync(atOnce: false, Origin.Operator, Ct)).Count);

        var published = await PublishedAsync(app);
        Assert.Equal(2, published.Count);
        Assert.Contains(first, published);
        var second = published.Single(id => id != first);
        clock.Advance(Notice - TimeSpan.FromSeconds(1));
        Assert.Equal(first, KeyOf(await SignInAsync(app, person.Email)));
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(second, KeyOf(await SignInAsync(app, person.Email)));
        Assert.Equal(published.Order(), (await PublishedAsync(app)).Order());

        // The old access token to its last second, and the old refresh token, which is encrypted with an old key as well.
        clock.Advance(TimeSpan.FromMinutes(59));
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        var refreshed = await (await RefreshAsync(app, person.RefreshToken)).JsonAsync();
        Assert.Equal(second, KeyOf(refreshed.GetProperty("access_token").GetString()!));
        await (await RefreshAsync(app, refreshed.GetProperty("refresh_token").GetString()!)).JsonAsync();
        clock.Advance(TimeSpan.FromMinutes(1));
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Fact]
    public async Task The_clock_rotates_when_a_key_has_signed_for_its_lifetime()
    {
        var clock = Clock();
        await using var app = await StartAsync(clock, "--Users:SigningKeyLifetime", "30.00:00:00");
        using var admin = await app.AdministratorAsync();
        var first = KeyOf(admin.AccessToken);
        await AgeAsync(app, clock, TimeSpan.FromDays(30) - Notice - TimeSpan.FromMinutes(10));
        await RotationOf(app).KeepAsync(Ct);
        Assert.Equal([first], await PublishedAsync(app));

        clock.Advance(TimeSpan.FromMinutes(10));

        await Eventually.TrueAsync(async () => (await PublishedAsync(app)).Count == 2);
        Assert.Equal(first, KeyOf(await SignInAsync(app, admin.Email)));
        clock.Advance(Notice);
        var second = KeyOf(await SignInAsync(app, admin.Email));
        Assert.NotEqual(first, second);
        await RotationOf(app).KeepAsync(Ct);
        Assert.Equal(4, (await RotationOf(app).ListAsync(Ct)).Count);

        using var http = app.With((await app.SignInAsync(admin.Email)).GetProperty("access_token").GetString()!);
        var made = (await (await http.GetAsync("/audit?event=signing-keys-made", Ct)).JsonAsync()).EnumerateArray().Single();
        Assert.Equal("schedule", made.GetProperty("actor").GetString());
        Assert.Contains(second, made.GetProperty("reason").GetString());
    }

    [Fact]
    public async Task With_a_lifetime_of_nothing_the_clock_never_rotates_and_less_than_a_day_is_refused()
    {
        var clock = Clock();
        await using var app = await StartAsync(clock, "--Users:SigningKeyLifetime", "00:00:00");
        using var person = await app.PersonAsync();
        await AgeAsync(app, clock, TimeSpan.FromDays(4000));

        await RotationOf(app).KeepAsync(Ct);

        Assert.Equal([KeyOf(person.AccessToken)], await PublishedAsync(app));
        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(settings: ["--Users:SigningKeyLifetime", "23:59:59"]));
        Assert.StartsWith("Users:SigningKeyLifetime must be 0 or at least a day", e.Message);
    }

    [Fact]
    public async Task A_key_that_is_revoked_takes_all_with_it_that_it_signed_sockets_as_well()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        using var admin = await app.AdministratorAsync();
        var key = (await (await admin.Http.PostAsJsonAsync("/keys", new { name = "script" }, Ct)).JsonAsync(201)).GetProperty("key").GetString()!;
        using var script = app.With(key);
        using var socket = await SocketAsync(app, person.AccessToken);
        using var bystander = await SocketAsync(app, key);
        var stolen = KeyOf(person.AccessToken);
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        var (code, _, error) = await CommandTests.RunAsync(app.Data, "", "signing-key", "revoke", stolen);
        Assert.Equal(2, code);
        Assert.Contains("--yes", error);
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        (code, var output, error) = await CommandTests.RunAsync(app.Data, "", "signing-key", "revoke", stolen, "--yes");
        Assert.Equal((0, ""), (code, error));
        Assert.Contains("takes its place", output);

        await Eventually.TrueAsync(async () => (int)(await person.Http.GetAsync($"/users/{person.Id}", Ct)).StatusCode == 401, seconds: 2);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        limit.CancelAfter(TimeSpan.FromSeconds(90));
        await socket.ReceiveAsync(new byte[100], limit.Token);
        Assert.Equal(WebSocketCloseStatus.PolicyViolation, socket.CloseStatus);
        Assert.DoesNotContain(stolen, await PublishedAsync(app));
        // What no key has signed goes on: refresh tokens, API keys, and people who sign in again.
        var next = (await (await RefreshAsync(app, person.RefreshToken)).JsonAsync()).GetProperty("access_token").GetString()!;
        Assert.NotEqual(stolen, KeyOf(next));
        using var refreshed = app.With(next);
        await (await refreshed.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        await bystander.SendAsync("still here"u8.ToArray(), WebSocketMessageType.Text, true, Ct);
        Assert.Equal(WebSocketMessageType.Text, (await bystander.ReceiveAsync(new byte[100], limit.Token)).MessageType);
        var rows = (await (await script.GetAsync("/audit?event=signing-keys-revoked", Ct)).JsonAsync()).EnumerateArray().ToList();
        Assert.Equal(("operator", stolen), (rows.Single().GetProperty("actor").GetString(), rows.Single().GetProperty("reason").GetString()));
        using var again = app.With(await SignInAsync(app, person.Email));
        await (await again.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        (code, _, error) = await CommandTests.RunAsync(app.Data, "", "signing-key", "revoke", stolen, "--yes");
        Assert.Equal(1, code);
        Assert.Contains("no such key", error);
    }

    [Fact]
    public async Task Second_steps_outlive_the_key_that_they_were_sealed_with()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        var setup = await (await person.Http.PostAsync("/auth/totp", null, Ct)).JsonAsync();
        var authenticator = new Authenticator(setup.GetProperty("secret").GetString()!, TimeProvider.System);
        var encryption = (await RotationOf(app).ListAsync(Ct)).Single(k => k.Purpose == Keys.Refresh);

        Assert.NotNull(await RotationOf(app).RevokeAsync(encryption.Id, Origin.Operator, Ct));

        await (await person.Http.PostAsJsonAsync("/auth/totp/confirmation", new { code = authenticator.Code }, Ct)).JsonAsync();
        await (await app.PostTokenAsync(person.Email)).ShouldBeProblemAsync(403, "users/second-step-wanted");
        // What was encrypted with it is gone, what was only signed is not.
        await (await RefreshAsync(app, person.RefreshToken)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        Assert.NotEqual(encryption.Id, (await RotationOf(app).ListAsync(Ct)).Single(k => k.Purpose == Keys.Refresh).Id);
    }

    [Fact]
    public async Task An_announced_key_that_is_revoked_leaves_the_turn_to_the_one_before_it()
    {
        var clock = Clock();
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        var next = (await RotationOf(app).RotateAsync(atOnce: false, Origin.Operator, Ct)).Single(k => k.Purpose == Keys.Access);

        var revoked = await RotationOf(app).RevokeAsync(next.Id, Origin.Operator, Ct);

        Assert.Null(revoked?.Next);
        clock.Advance(Notice + Notice);
        Assert.Equal(KeyOf(person.AccessToken), KeyOf(await SignInAsync(app, person.Email)));
        Assert.Null((await RotationOf(app).ListAsync(Ct)).Single(k => k.Purpose == Keys.Access).RetiredAt);
        // Asked for again, there is one again; the other purpose's has begun meanwhile, and has a successor as well.
        Assert.Equal(2, (await RotationOf(app).RotateAsync(atOnce: false, Origin.Operator, Ct)).Count);
    }

    [Fact]
    public async Task An_announced_key_takes_the_place_of_one_that_is_revoked()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        var next = (await RotationOf(app).RotateAsync(atOnce: false, Origin.Operator, Ct)).Single(k => k.Purpose == Keys.Access);

        Assert.Equal(next.Id, (await RotationOf(app).RevokeAsync(KeyOf(person.AccessToken), Origin.Operator, Ct))?.Next?.Id);

        Assert.Equal(next.Id, KeyOf(await SignInAsync(app, person.Email)));
        Assert.Equal([next.Id], await PublishedAsync(app));
    }

    [Fact]
    public async Task An_old_key_is_removed_once_nothing_that_it_made_is_valid_and_not_before()
    {
        var clock = Clock();
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        var setup = await (await person.Http.PostAsync("/auth/totp", null, Ct)).JsonAsync();
        var now = clock.GetUtcNow().UtcDateTime;
        // A script's token for a year, as tandem token makes it.
        var session = await app.Services.GetRequiredService<Sessions>().OpenAsync(person.Id, null, TimeSpan.FromDays(365), Origin.Operator, now, Ct);
        var token = await app.Services.GetRequiredService<AccessTokens>().MakeAsync(session!, now, TimeSpan.FromDays(365), Ct);
        var old = KeyOf(token);
        await RotationOf(app).RotateAsync(atOnce: true, Origin.Operator, Ct);
        await AgeAsync(app, clock, TimeSpan.FromDays(29));

        await CleanAsync();
        Assert.Equal(4, (await RotationOf(app).ListAsync(Ct)).Count);
        await AgeAsync(app, clock, TimeSpan.FromDays(31));
        await CleanAsync();
        // The person's session is over, the script's is not.
        Assert.Equal(4, (await RotationOf(app).ListAsync(Ct)).Count);
        using var script = app.With(token);
        await (await script.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        await app.Services.GetRequiredService<Sessions>().EndAsync(person.Id, session!.Id, "no longer needed", Origin.Operator, now, Ct);
        await Eventually.TrueAsync(async () =>
        {
            await CleanAsync();
            return (await RotationOf(app).ListAsync(Ct)).Count == 2;
        });

        var left = await RotationOf(app).ListAsync(Ct);
        Assert.DoesNotContain(old, left.Select(k => k.Id));
        // The second step is sealed with the key that stays.
        Assert.Equal(left.Single(k => k.Purpose == Keys.Refresh).Id, await app.Db.FindAsync<string>($"select key_id from users_totp where account_id = {person.Id}", Ct));
        using var again = app.With(await SignInAsync(app, person.Email));
        await (await again.PostAsJsonAsync("/auth/totp/confirmation", new { code = new Authenticator(setup.GetProperty("secret").GetString()!, clock).Code }, Ct)).JsonAsync();

        async Task CleanAsync()
        {
            await app.Services.GetRequiredService<KeyRing>().LoadAsync(Ct);
            clock.Advance(TimeSpan.FromHours(1));
            await RotationOf(app).KeepAsync(Ct);
        }
    }

    [Fact]
    public async Task A_database_from_before_keys_took_turns_keeps_its_tokens_and_rotates()
    {
        var before = TestApp.KeepData(await TestApp.StartAsync());
        string email, accessToken, refreshToken;
        long id;
        await using (before)
        {
            using var person = await before.PersonAsync();
            (id, email, accessToken, refreshToken) = (person.Id, person.Email, person.AccessToken, person.RefreshToken);
            // One key of each purpose, and nothing that says since when: as 0001 made the table.
            await before.Db.InTransactionAsync(async tx =>
            {
                await tx.ExecuteAsync(Sql.Raw("alter table users_signing_keys drop column signs_from"), Ct);
                // With 0040 the table is made anew, so what 0150 has done to it is as well.
                Assert.Equal(2, await tx.ExecuteAsync(Sql.Raw("delete from core_migrations where scriptname like '%0040_key_rotation%' or scriptname like '%0150_rsa_keys%'"), Ct));
                await tx.ExecuteAsync(Sql.Raw(before.Db.Engine == "sqlite" ? "pragma user_version = 0" : "delete from core_migrated"), Ct);
            }, Ct);
        }

        await using var app = await TestApp.StartAsync(data: before.Data);
        using var old = app.With(accessToken);
        Assert.Equal(email, (await (await old.GetAsync($"/users/{id}", Ct)).JsonAsync()).GetProperty("email").GetString());
        Assert.Equal([KeyOf(accessToken)], await PublishedAsync(app));
        Assert.Equal(KeyOf(accessToken), KeyOf(await SignInAsync(app, email)));

        var next = (await RotationOf(app).RotateAsync(atOnce: true, Origin.Operator, Ct)).Single(k => k.Purpose == Keys.Access).Id;

        Assert.Equal(next, KeyOf(await SignInAsync(app, email)));
        await (await old.GetAsync($"/users/{id}", Ct)).JsonAsync();
        Assert.Equal(next, KeyOf((await (await RefreshAsync(app, refreshToken)).JsonAsync()).GetProperty("access_token").GetString()!));
    }

    [Fact]
    public async Task A_second_step_that_is_sealed_while_its_key_is_revoked_is_sealed_anew()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        var (keys, secondStep) = (app.Services.GetRequiredService<Keys>(), app.Services.GetRequiredService<SecondStep>());
        // Sealed here; stored only after somebody has revoked the key.
        var (keyId, box) = await keys.SealAsync([1, 2, 3], SecondStep.Purpose(person.Id), Ct);
        Assert.NotNull(await RotationOf(app).RevokeAsync(keyId, Origin.Operator, Ct));
        Assert.Null(await secondStep.StoreAsync(person.Id, keyId, box, Ct));

        // The other way round, and all that lies between: whoever sets an app up while keys go one after another can use it afterwards.
        var people = Enumerable.Range(1000, 40).Select(i => new Account(i, $"p{i}@example.com", "P", DateTime.UnixEpoch, true, false)).ToList();
        using var done = new CancellationTokenSource();
        var revoking = Task.Run(async () =>
        {
            var count = 0;
            for (; !done.IsCancellationRequested; count++)
                await RotationOf(app).RevokeAsync((await keys.EncryptionAsync(Ct)).Id, Origin.Operator, Ct);
            return count;
        }, Ct);
        try
        {
            await Parallel.ForEachAsync(people, new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = Ct }, async (account, ct) => await secondStep.BeginAsync(account, ct));
        }
        finally
        {
            await done.CancelAsync();
        }

        Assert.True(await revoking > 0);

        var sealedOnes = await app.Db.ListAsync<(long, string, byte[])>($"select account_id, key_id, secret from users_totp", Ct);
        Assert.Equal(people.Count, sealedOnes.Count);
        foreach (var (account, key, secret) in sealedOnes)
            Assert.Equal(20, (await keys.OpenAsync(key, secret, SecondStep.Purpose(account), Ct)).Length);
    }

    [Fact]
    public async Task ID_tokens_and_what_clients_hold_follow_the_rotation()
    {
        await using var app = await OpenIdFixture.StartAsync();
        var client = await app.ClientAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var tokens = await app.SignInAsync(client, person.Email, browser);
        var (first, hint) = (KeyOf(tokens.GetProperty("id_token").GetString()!), tokens.GetProperty("id_token").GetString()!);
        var late = (await browser.GetAsync(OpenId.SignIn.Url(client, "openid offline_access"))).Answer["code"];

        var second = (await RotationOf(app).RotateAsync(atOnce: true, Origin.Operator, Ct)).Single(k => k.Purpose == Keys.Access).Id;

        // A code from before, a refresh token from before.
        var redeemed = await (await app.RedeemAsync(client, late)).JsonAsync();
        Assert.Equal(second, KeyOf(redeemed.GetProperty("id_token").GetString()!));
        var refreshed = await (await app.TokenAsync(client, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! })).JsonAsync();
        Assert.Equal((second, second), (KeyOf(refreshed.GetProperty("id_token").GetString()!), KeyOf(refreshed.GetProperty("access_token").GetString()!)));
        Assert.NotEqual(first, second);
        // An access token from before where OpenIddict checks it, and an ID token as a hint.
        using var userInfo = app.With(tokens.GetProperty("access_token").GetString()!);
        Assert.Equal(person.Email, (await (await userInfo.GetAsync("/userinfo", Ct)).JsonAsync()).GetProperty("email").GetString());
        Assert.Equal(HttpStatusCode.Found, (await SignOutAsync(hint)).StatusCode);

        Assert.NotNull(await RotationOf(app).RevokeAsync(first, Origin.Operator, Ct));
        Assert.Equal(HttpStatusCode.BadRequest, (await SignOutAsync(hint)).StatusCode);
        await (await userInfo.GetAsync("/userinfo", Ct)).ShouldBeProblemAsync(401, "users/invalid-access-token");

        async Task<HttpResponseMessage> SignOutAsync(string hint)
        {
            using var handler = new HttpClientHandler { AllowAutoRedirect = false };
            using var http = new HttpClient(handler) { BaseAddress = new Uri(app.Address) };
            return await http.GetAsync($"/logout?id_token_hint={hint}&post_logout_redirect_uri={Uri.EscapeDataString("https://app.example.com/bye")}", Ct);
        }
    }

    [Fact]
    public async Task A_process_that_meets_a_key_it_does_not_know_looks_once_a_second_for_everybody_together()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        // Another process, with nobody who reads the keys now and then.
        using var ring = new KeyRing(app.Db, app.Services.GetRequiredService<SessionEnds>(), TimeProvider.System);
        await ring.LoadAsync(Ct);
        await RotationOf(app).RotateAsync(atOnce: true, Origin.Operator, Ct);
        var made = KeyOf(await SignInAsync(app, person.Email));
        Assert.False(ring.Has(made));

        Assert.All(await Task.WhenAll(Enumerable.Range(0, 100).Select(async _ => await ring.LookForAsync(made))), Assert.True);
        Assert.Equal(1, ring.Looks);

        // Over HTTP: a stranger's tokens, each with a key of its own.
        var (started, here) = (Stopwatch.StartNew(), app.Services.GetRequiredService<KeyRing>());
        await Parallel.ForEachAsync(Enumerable.Range(0, 200), Ct, async (i, ct) =>
        {
            var header = Base64Url.EncodeToString(Encoding.ASCII.GetBytes($$"""{"alg":"ES256","typ":"at+jwt","kid":"stranger{{i:d8}}"}"""));
            using var http = app.With(header + person.AccessToken[person.AccessToken.IndexOf('.')..]);
            await (await http.GetAsync($"/users/{person.Id}", ct)).ShouldBeProblemAsync(401, "http/unauthorized");
            await (await app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = header + ".a.b.c.d" })).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        });
        Assert.InRange(here.Looks, 1, 1 + (int)started.Elapsed.TotalSeconds + 1);
    }

    [Fact]
    public async Task The_operator_lists_and_rotates_beside_a_running_server()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        var first = KeyOf(person.AccessToken);

        var (code, output, error) = await CommandTests.RunAsync(app.Data, "", "signing-key", "rotate");
        Assert.Equal((0, ""), (code, error));
        Assert.Equal(2, output.TrimEnd().Split('\n').Count(l => l.Contains("announced")));
        await Eventually.TrueAsync(async () => (await PublishedAsync(app)).Count == 2, seconds: 5);
        Assert.Equal(first, KeyOf(await SignInAsync(app, person.Email)));

        (code, _, error) = await CommandTests.RunAsync(app.Data, "", "signing-key", "rotate");
        Assert.Equal(1, code);
        Assert.Contains("announced already", error);
        (code, output, error) = await CommandTests.RunAsync(app.Data, "", "signing-key", "rotate", "--now", "--json");
        Assert.Equal((0, ""), (code, error));
        var second = JsonDocument.Parse(output).RootElement.EnumerateArray().Single(k => k.GetProperty("use").GetString() == "signs").GetProperty("id").GetString();
        await Eventually.TrueAsync(async () => KeyOf(await SignInAsync(app, person.Email)) == second, seconds: 5);
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        output = (await CommandTests.RunAsync(app.Data, "", "signing-key", "list")).Output;
        Assert.Matches($"(?m)^{second}  signs     current    from [0-9-]{{10}} [0-9:]{{5}}$", output);
        Assert.Matches($"(?m)^{first}  signs     old        from [0-9-]{{10}} [0-9:]{{5}} until ", output);
        Assert.Equal(4, output.TrimEnd().Split('\n').Length);
        var listed = await CommandTests.RunAsync(app.Data, "", "signing-key", "list", "--json");
        Assert.All(JsonDocument.Parse(listed.Output).RootElement.EnumerateArray(), k => Assert.False(k.TryGetProperty("secret", out _)));
    }

    [Fact]
    public async Task Two_processes_rotate_once_and_take_each_others_tokens_from_the_first_one_on()
    {
        Assert.SkipUnless(TestStores.OnPostgres, "Two servers share a database on PostgreSQL.");
        await using var one = await TestApp.StartAsync();
        var other = TestApp.KeepData(await TestApp.StartAsync(data: one.Data));
        await using (other)
        {
            using var person = await one.PersonAsync();
            var made = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => RotationOf(i % 2 == 0 ? one : other).RotateAsync(atOnce: false, Origin.Schedule, Ct)));
            Assert.Equal(2, made.Sum(m => m.Count));
            Assert.Equal(4, (await RotationOf(other).ListAsync(Ct)).Count);

            await RotationOf(one).RotateAsync(atOnce: true, Origin.Operator, Ct);
            var token = await SignInAsync(one, person.Email);
            Assert.Equal(made.SelectMany(m => m).Single(k => k.Purpose == Keys.Access).Id, KeyOf(token));
            using var http = other.With(token);
            await (await http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
            // Nobody had heard of this one before it signed.
            for (var i = 0; i < 5; i++)
            {
                await RotationOf(one).RotateAsync(atOnce: true, Origin.Operator, Ct);
                var tokens = await one.SignInAsync(person.Email);
                using var at = other.With(tokens.GetProperty("access_token").GetString()!);
                await (await at.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
                await (await RefreshAsync(other, tokens.GetProperty("refresh_token").GetString()!)).JsonAsync();
                await Task.Delay(TimeSpan.FromSeconds(1), Ct);
            }

            using var revoked = other.With(await SignInAsync(one, person.Email));
            await (await revoked.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
            await RotationOf(one).RevokeAsync((await RotationOf(one).ListAsync(Ct)).Single(k => k is { Purpose: Keys.Access, RetiredAt: null }).Id, Origin.Operator, Ct);
            await Eventually.TrueAsync(async () => (int)(await revoked.GetAsync($"/users/{person.Id}", Ct)).StatusCode == 401, seconds: 2);
        }
    }

    [Fact]
    public async Task Tokens_of_all_keys_outlive_a_restart()
    {
        var first = TestApp.KeepData(await TestApp.StartAsync());
        List<JsonElement> tokens = [];
        long id;
        await using (first)
        {
            using var person = await first.PersonAsync();
            (id, tokens) = (person.Id, [person.Tokens]);
        }

        var second = TestApp.KeepData(await TestApp.StartAsync(data: first.Data));
        await using (second)
        {
            await StillWorkAsync(second);
            Assert.Equal(KeyOf(tokens[0].GetProperty("access_token").GetString()!), KeyOf(tokens[1].GetProperty("access_token").GetString()!));
            await RotationOf(second).RotateAsync(atOnce: true, Origin.Operator, Ct);
            await StillWorkAsync(second);
        }

        await using var third = await TestApp.StartAsync(data: first.Data);
        await StillWorkAsync(third);
        Assert.Equal(2, tokens.Select(t => KeyOf(t.GetProperty("access_token").GetString()!)).Distinct().Count());

        async Task StillWorkAsync(TestApp app)
        {
            foreach (var token in tokens)
            {
                using var http = app.With(token.GetProperty("access_token").GetString()!);
                await (await http.GetAsync($"/users/{id}", Ct)).JsonAsync();
            }

            tokens.Add(await (await RefreshAsync(app, tokens[^1].GetProperty("refresh_token").GetString()!)).JsonAsync());
        }
    }

    [Fact]
    public async Task A_backup_has_all_keys()
    {
        var folder = Directory.CreateTempSubdirectory("tandem-keys-").FullName;
        var (archive, data) = (Path.Combine(folder, "one.tar.gz"), Path.Combine(folder, "restored"));
        long id;
        string before, after;
        List<Turn> keys;
        await using (var app = await TestApp.StartAsync())
        {
            using var person = await app.PersonAsync();
            await RotationOf(app).RotateAsync(atOnce: true, Origin.Operator, Ct);
            (id, before, after) = (person.Id, person.AccessToken, await SignInAsync(app, person.Email));
            await RotationOf(app).RotateAsync(atOnce: false, Origin.Operator, Ct);
            keys = await RotationOf(app).ListAsync(Ct);
            var (failed, _, why) = await Programs.RunAsync("backup", archive, "--data", app.Data);
            Assert.True(failed == 0, why);
        }

        var (code, _, error) = await Programs.RunAsync("restore", archive, "--data", data);
        Assert.True(code == 0, error);

        await using (var restored = await TestApp.StartAsync(data: data))
        {
            Assert.Equal(6, keys.Count);
            Assert.Equal(keys, await RotationOf(restored).ListAsync(Ct));
            foreach (var token in new[] { before, after })
            {
                using var http = restored.With(token);
                await (await http.GetAsync($"/users/{id}", Ct)).JsonAsync();
            }
        }

        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task A_resource_server_of_JavaScript_that_read_the_keys_within_the_hour_needs_no_second_look()
    {
        Assert.SkipUnless(Directory.Exists(Path.Combine(Repository.Root, "artifacts", "tools", "node_modules", "jose")), "What tests/tools names is not installed; ./test does that.");
        var clock = Clock();
        await using var app = await StartAsync(clock, "--Users:AccessTokenLifetime", "03:00:00");
        using var person = await app.PersonAsync();
        await RotationOf(app).RotateAsync(atOnce: false, Origin.Operator, Ct);
        using var server = Process.Start(new ProcessStartInfo("node", [Path.Combine(Repository.Root, "tests", "tools", "jwks.mjs"), app.Address + "/.well-known/jwks", "http://localhost/", "tandem"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;

        Assert.Equal(($"{person.Id}", 1), await AskAsync(person.AccessToken));
        clock.Advance(Notice);
        var after = await SignInAsync(app, person.Email);
        Assert.NotEqual(KeyOf(person.AccessToken), KeyOf(after));
        Assert.Equal(($"{person.Id}", 1), await AskAsync(after));
        Assert.Equal(($"{person.Id}", 1), await AskAsync(person.AccessToken));
        var signature = after.LastIndexOf('.') + 1;
        Assert.Equal(("ERR_JWS_SIGNATURE_VERIFICATION_FAILED", 1), await AskAsync($"{after[..signature]}{(after[signature] == 'A' ? 'B' : 'A')}{after[(signature + 1)..]}"));
        server.StandardInput.Close();
        await server.WaitForExitAsync(Ct);

        async Task<(string?, int)> AskAsync(string token)
        {
            await server.StandardInput.WriteLineAsync(JsonSerializer.Serialize(new { token, now = clock.GetUtcNow().ToUnixTimeMilliseconds() }));
            await server.StandardInput.FlushAsync(Ct);
            var answer = JsonDocument.Parse(await server.StandardOutput.ReadLineAsync(Ct) ?? "{}").RootElement;
            return (answer.GetProperty("said").GetString(), answer.GetProperty("reads").GetInt32());
        }
    }

    static KeyRotation RotationOf(TestApp app) => app.Services.GetRequiredService<KeyRotation>();

    /// <summary>Makes every key older, and what it has made.</summary>
    static async Task AgeAsync(TestApp app, FakeTimeProvider clock, TimeSpan age)
    {
        var then = (clock.GetUtcNow() - age).UtcDateTime;
        await app.Db.ExecuteAsync($"update users_signing_keys set signs_from = {then} where retired_at is null", Ct);
        await app.Db.ExecuteAsync($"update users_signing_keys set retired_at = {then}, signs_from = {then.AddMinutes(-1)} where retired_at is not null", Ct);
        await app.Db.ExecuteAsync($"update users_sessions set rotated_at = {then}, expires_at = {then + TimeSpan.FromDays(30)} where key_digest is null", Ct);
        await app.Services.GetRequiredService<KeyRing>().LoadAsync(Ct);
    }

    static async Task<string> SignInAsync(TestApp app, string email) => (await app.SignInAsync(email)).GetProperty("access_token").GetString()!;

    static Task<HttpResponseMessage> RefreshAsync(TestApp app, string token) =>
        app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = token });

    static async Task<List<string>> PublishedAsync(TestApp app)
    {
        var keys = (await (await app.Http.GetAsync("/.well-known/jwks", Ct)).JsonAsync()).GetProperty("keys").EnumerateArray().ToList();
        Assert.All(keys, k => Assert.False(k.TryGetProperty("d", out _) || k.TryGetProperty("k", out _)));
        return [.. keys.Select(k => k.GetProperty("kid").GetString()!)];
    }

    static string KeyOf(string token) => JsonDocument.Parse(Base64Url.DecodeFromChars(token.AsSpan(0, token.IndexOf('.')))).RootElement.GetProperty("kid").GetString()!;

    static async Task<ClientWebSocket> SocketAsync(TestApp app, string token)
    {
        var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("Authorization", "Bearer " + token);
        await socket.ConnectAsync(new Uri(app.Address.Replace("http:", "ws:") + "/ws/somebody"), Ct);
        return socket;
    }
}
