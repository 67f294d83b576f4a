using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core;
using Tandem.Users.Audit;
using Tandem.Users.Hashes;
using Tandem.Users.Passkeys;

namespace Tandem.Tests.Users;

public sealed class PasskeyTests(UsersFixture fixture) : IClassFixture<UsersFixture>
{
    static readonly DateTimeOffset Start = new(2026, 1, 31, 12, 0, 0, TimeSpan.Zero);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    static Task<TestApp> StartAsync(FakeTimeProvider clock, params string[] settings) => TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), settings: settings);

    static async Task<List<JsonElement>> ListAsync(Person person) => [.. (await (await person.Http.GetAsync("/auth/passkeys", Ct)).JsonAsync()).EnumerateArray()];

    [Theory]
    [InlineData(SoftAuthenticator.ES256)]
    [InlineData(SoftAuthenticator.ES384)]
    [InlineData(SoftAuthenticator.RS256)]
    public async Task A_passkey_signs_its_owner_in_without_an_email_and_counts_as_both_steps(string algorithm)
    {
        using var person = await App.PersonAsync();
        using var authenticator = new SoftAuthenticator(algorithm);
        var asked = await person.AskForNewAsync();
        var options = asked.GetProperty("options");
        Assert.Equal(("localhost", person.Email, "Ada", "required", "required", "none", 300), (options.GetProperty("rp").GetProperty("id").GetString(), options.GetProperty("user").GetProperty("name").GetString(),
            options.GetProperty("user").GetProperty("displayName").GetString(), options.GetProperty("authenticatorSelection").GetProperty("residentKey").GetString(),
            options.GetProperty("authenticatorSelection").GetProperty("userVerification").GetString(), options.GetProperty("attestation").GetString(), asked.GetProperty("expires_in").GetInt32()));

        var added = await (await person.AddAsync(asked, authenticator.Create(options), "My laptop")).JsonAsync(201);
        var tokens = await (await App.SignInAsync(authenticator)).JsonAsync();

        Assert.Equal(["access_token", "token_type", "expires_in", "refresh_token"], tokens.EnumerateObject().Select(p => p.Name));
        var claims = SecondStepTests.Claims(tokens);
        Assert.Equal(person.Id.ToString(System.Globalization.CultureInfo.InvariantCulture), claims.GetProperty("sub").GetString());
        Assert.Equal(["pop", "user", "mfa"], claims.GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
        var listed = Assert.Single(await ListAsync(person));
        Assert.Equal((added.GetProperty("id").GetGuid(), "My laptop", false), (listed.GetProperty("id").GetGuid(), listed.GetProperty("name").GetString(), listed.GetProperty("synced").GetBoolean()));
        Assert.Equal(JsonValueKind.Null, added.GetProperty("last_used_at").ValueKind);
        Assert.Equal(JsonValueKind.String, listed.GetProperty("last_used_at").ValueKind);
        Assert.Equal(1, (await (await person.Http.GetAsync("/auth/me", Ct)).JsonAsync()).GetProperty("passkeys").GetInt32());
        await App.MailAsync(person.Email, "The passkey \"My laptop\" was added");
        Assert.Contains(await EntriesAsync(App, person.Id), e => e is { Event: "signed-in", Reason: "by passkey" });
        Assert.Contains(await EntriesAsync(App, person.Id), e => e.Event == "passkey-added" && e.ObjectId == added.GetProperty("id").GetGuid());
    }

    [Fact]
    public async Task Whoever_has_a_second_step_is_not_asked_for_it_beside_a_passkey()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        using var authenticator = new SoftAuthenticator();
        await person.AddAsync(authenticator);
        await Authenticator.SetUpAsync(person, clock);

        await (await app.PostTokenAsync(person.Email)).ShouldBeProblemAsync(403, "users/second-step-wanted");
        await (await app.SignInAsync(authenticator)).JsonAsync();
    }

    [Fact]
    public async Task Passkeys_are_renamed_and_removed_by_their_owner_alone()
    {
        using var person = await App.PersonAsync();
        using var other = await App.PersonAsync();
        using var authenticator = new SoftAuthenticator();
        var id = await person.AddAsync(authenticator);

        await (await other.Http.PatchAsJsonAsync($"/auth/passkeys/{id}", new { name = "Mine" }, Ct)).ShouldBeProblemAsync(404, "users/passkey-not-found");
        await (await other.Http.DeleteAsync($"/auth/passkeys/{id}", Ct)).ShouldBeProblemAsync(404, "users/passkey-not-found");
        Assert.Empty(await ListAsync(other));
        foreach (var name in new[] { "", "   ", new string('x', 65) })
            await (await person.Http.PatchAsJsonAsync($"/auth/passkeys/{id}", new { name }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        var renamed = await (await person.Http.PatchAsJsonAsync($"/auth/passkeys/{id}", new { name = new string('x', 64) }, Ct)).JsonAsync();
        Assert.Equal(new string('x', 64), renamed.GetProperty("name").GetString());
        await (await App.SignInAsync(authenticator)).JsonAsync();
        await (await person.Http.DeleteAsync($"/auth/passkeys/{id}", Ct)).JsonlessAsync(204);

        await (await App.SignInAsync(authenticator)).ShouldBeProblemAsync(400, "users/passkey-refused");
        Assert.Empty(await ListAsync(person));
        Assert.Subset((await ByMailTests.AuditedAsync(App, person.Id)).ToHashSet(), new HashSet<string> { "passkey-added", "passkey-renamed", "passkey-removed" });
        await App.MailAsync(person.Email, "A passkey was removed");
    }

    [Fact]
    public async Task An_authenticator_is_told_of_those_it_has_already_and_a_passkey_is_registered_once()
    {
        using var person = await App.PersonAsync();
        using var other = await App.PersonAsync();
        using var authenticator = new SoftAuthenticator();
        await person.AddAsync(authenticator);

        var asked = await person.AskForNewAsync();

        var known = Assert.Single(asked.GetProperty("options").GetProperty("excludeCredentials").EnumerateArray());
        Assert.Equal(authenticator.IdText, known.GetProperty("id").GetString());
        Assert.Equal(["internal", "hybrid"], known.GetProperty("transports").EnumerateArray().Select(t => t.GetString()));
        // One account has one handle, and it says nothing.
        Assert.Equal(authenticator.UserHandle, asked.GetProperty("options").GetProperty("user").GetProperty("id").GetString());
        await (await person.AddAsync(asked, authenticator.Create(asked.GetProperty("options")))).ShouldBeProblemAsync(409, "users/passkey-taken");
        asked = await other.AskForNewAsync();
        await (await other.AddAsync(asked, authenticator.Create(asked.GetProperty("options")))).ShouldBeProblemAsync(409, "users/passkey-taken");
    }

    [Fact]
    public async Task Asking_for_a_passkey_tells_nothing()
    {
        using var person = await App.PersonAsync();
        using var authenticator = new SoftAuthenticator();
        await person.AddAsync(authenticator);

        var asked = await App.AskAsync();

        var options = asked.GetProperty("options");
        Assert.Equal(["challenge", "timeout", "rpId", "allowCredentials", "userVerification"], options.EnumerateObject().Where(p => p.Name != "hints").Select(p => p.Name));
        Assert.Empty(options.GetProperty("allowCredentials").EnumerateArray());
        Assert.Equal("required", options.GetProperty("userVerification").GetString());
    }

    [Fact]
    public async Task What_is_not_quite_right_is_refused()
    {
        using var person = await App.PersonAsync();
        using var other = await App.PersonAsync();
        using var authenticator = new SoftAuthenticator { Counter = 1 };
        await person.AddAsync(authenticator);
        using var stranger = new SoftAuthenticator { UserHandle = authenticator.UserHandle };
        using var elsewhere = new SoftAuthenticator { UserHandle = authenticator.UserHandle, Id = authenticator.Id };

        async Task RefusedAsync(Action bend, Action back, SoftAuthenticator? by = null)
        {
            bend();
            authenticator.Counter++;
            await (await App.SignInAsync(by ?? authenticator)).ShouldBeProblemAsync(400, "users/passkey-refused");
            back();
        }

        await RefusedAsync(() => authenticator.Origin = "http://evil.example", () => authenticator.Origin = "http://localhost:5173");
        await RefusedAsync(() => authenticator.Origin = "http://localhost:5173/", () => authenticator.Origin = "http://localhost:5173");
        await RefusedAsync(() => authenticator.Origin = "http://localhost.evil.example", () => authenticator.Origin = "http://localhost:5173");
        await RefusedAsync(() => authenticator.CrossOrigin = true, () => authenticator.CrossOrigin = false);
        await RefusedAsync(() => authenticator.Flags = SoftAuthenticator.UserPresent, () => authenticator.Flags = SoftAuthenticator.UserPresent | SoftAuthenticator.UserVerified);
        await RefusedAsync(() => authenticator.Flags = SoftAuthenticator.UserVerified, () => authenticator.Flags = SoftAuthenticator.UserPresent | SoftAuthenticator.UserVerified);
        var handle = authenticator.UserHandle;
        await RefusedAsync(() => authenticator.UserHandle = null, () => authenticator.UserHandle = handle);
        await RefusedAsync(() => authenticator.UserHandle = "b3RoZXI", () => authenticator.UserHandle = handle);
        await RefusedAsync(() => { }, () => { }, stranger);
        await RefusedAsync(() => { }, () => { }, elsewhere);
        using var site = new SoftAuthenticator(domain: "example.com") { UserHandle = handle };
        await RefusedAsync(() => { }, () => { }, site);
        // What was asked of somebody who adds one is no question for somebody who signs in, nor the other way round.
        var asked = await person.AskForNewAsync();
        await (await App.SignInAsync(asked, authenticator.Get(asked.GetProperty("options")))).ShouldBeProblemAsync(400, "users/passkey-refused");
        using var second = new SoftAuthenticator();
        var others = await other.AskForNewAsync();
        await (await person.AddAsync(others, second.Create(others.GetProperty("options")))).ShouldBeProblemAsync(400, "users/passkey-refused");
        await (await person.AddAsync(asked, second.Create((await person.AskForNewAsync()).GetProperty("options")))).ShouldBeProblemAsync(400, "users/passkey-refused");
        second.Origin = "https://example.com";
        await (await person.AddAsync(asked, second.Create(asked.GetProperty("options")))).ShouldBeProblemAsync(400, "users/passkey-refused");

        authenticator.Counter++;
        await (await App.SignInAsync(authenticator)).JsonAsync();
        await App.Services.GetRequiredService<FailedSignIns>().WriteAsync(all: true, Ct);
    }

    [Fact]
    public async Task Nonsense_is_a_problem_and_nothing_worse()
    {
        using var person = await App.PersonAsync();
        foreach (var (handle, credential) in new[]
        {
            ("x", "{}"), ("a.b", "{}"), ("..", "{}"), ("AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", """{"id":"AAAA"}"""), ("a.b", "["), ("a.b", "null"), ("a.b", """{"id":7}"""),
            ("a.b", """{"id":"%"}"""), ((await App.AskAsync()).GetProperty("handle").GetString()!, """{"id":"AAAA","type":"public-key"}"""),
        })
        {
            await (await App.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "urn:tandem:passkey", ["handle"] = handle, ["credential"] = credential }))
                .ShouldBeProblemAsync(400, "users/passkey-refused");
        }

        foreach (var form in new Dictionary<string, string>[] { new() { ["handle"] = "x" }, new() { ["credential"] = "{}" }, new() { ["handle"] = "x", ["credential"] = new string('x', PasskeyTable.MaxCredentialLength + 1) } })
            await (await App.PostTokenAsync(new Dictionary<string, string>(form) { ["grant_type"] = "urn:tandem:passkey" })).ShouldBeProblemAsync(400, "users/invalid-token-request");
        var asked = (await person.AskForNewAsync()).GetProperty("handle").GetString();
        await (await person.Http.PostAsJsonAsync("/auth/passkeys", new { name = "x", handle = asked, credential = new { id = "AAAA", type = "public-key", response = new { } } }, Ct)).ShouldBeProblemAsync(400, "users/passkey-refused");
        await (await person.Http.PostAsJsonAsync("/auth/passkeys", new { name = "x", handle = asked, credential = "text" }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        await (await person.Http.PostAsJsonAsync("/auth/passkeys", new { name = "x", handle = asked, credential = new { id = new string('x', PasskeyTable.MaxCredentialLength) } }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        await (await person.Http.PostAsJsonAsync("/auth/passkeys", new { name = " ", handle = asked, credential = new { } }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
    }

    [Fact]
    public async Task A_question_is_answered_once_however_many_try_at_once()
    {
        using var person = await App.PersonAsync();
        // Without a counter, as synced passkeys are: nothing else would tell.
        using var authenticator = new SoftAuthenticator();
        var forNew = await person.AskForNewAsync();
        var created = authenticator.Create(forNew.GetProperty("options"));
        await (await person.AddAsync(forNew, created)).JsonAsync(201);
        using var another = new SoftAuthenticator();
        await (await person.AddAsync(forNew, another.Create(forNew.GetProperty("options")))).ShouldBeProblemAsync(400, "users/passkey-refused");
        var asked = await App.AskAsync();
        var credential = authenticator.Get(asked.GetProperty("options"));

        var answers = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => App.SignInAsync(asked, credential)));

        Assert.Single(answers, a => a.IsSuccessStatusCode);
        foreach (var refused in answers.Where(a => !a.IsSuccessStatusCode))
            await refused.ShouldBeProblemAsync(400, "users/passkey-refused");
        // Spelt in another way it is the same question: of the last character two bits mean nothing.
        var handle = asked.GetProperty("handle").GetString()!;
        foreach (var last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
            Assert.False((await App.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "urn:tandem:passkey", ["handle"] = handle[..^1] + last, ["credential"] = credential.ToJsonString() })).IsSuccessStatusCode);
    }

    [Fact]
    public async Task A_question_is_worth_nothing_after_five_minutes_and_what_was_kept_of_it_goes()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        using var authenticator = new SoftAuthenticator();
        await person.AddAsync(authenticator);
        var (asked, forNew) = (await app.AskAsync(), await person.AskForNewAsync());
        clock.Advance(TimeSpan.FromMinutes(5));

        await (await app.SignInAsync(asked, authenticator.Get(asked.GetProperty("options")))).ShouldBeProblemAsync(400, "users/passkey-refused");
        using var second = new SoftAuthenticator();
        await (await person.AddAsync(forNew, second.Create(forNew.GetProperty("options")))).ShouldBeProblemAsync(400, "users/passkey-refused");

        asked = await app.AskAsync();
        clock.Advance(TimeSpan.FromMinutes(5) - TimeSpan.FromMilliseconds(1));
        await (await app.SignInAsync(asked, authenticator.Get(asked.GetProperty("options")))).JsonAsync();
        Assert.Equal(2, await app.Db.FindAsync<long>($"select count(*) from users_passkey_answers", Ct));
        clock.Advance(TimeSpan.FromMinutes(1));
        await app.Services.GetRequiredService<PasskeyTable>().SweepAsync(Ct);
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_passkey_answers", Ct));
    }

    [Fact]
    public async Task A_counter_that_does_not_go_up_is_refused_and_stands_in_the_trail()
    {
        using var person = await App.PersonAsync();
        using var authenticator = new SoftAuthenticator { Counter = 5 };
        var id = await person.AddAsync(authenticator);
        authenticator.Counter = 6;
        await (await App.SignInAsync(authenticator)).JsonAsync();

        foreach (var behind in new uint[] { 6, 5, 0 })
        {
            authenticator.Counter = behind;
            await (await App.SignInAsync(authenticator)).ShouldBeProblemAsync(400, "users/passkey-refused");
        }

        Assert.Equal(3, (await EntriesAsync(App, person.Id)).Count(e => e.Event == "passkey-behind" && e.ObjectId == id));
        authenticator.Counter = 7;
        await (await App.SignInAsync(authenticator)).JsonAsync();
        authenticator.Counter = uint.MaxValue;
        await (await App.SignInAsync(authenticator)).JsonAsync();
    }

    [Fact]
    public async Task A_synced_passkey_stays_what_it_is()
    {
        using var person = await App.PersonAsync();
        using var authenticator = new SoftAuthenticator();
        authenticator.Flags |= SoftAuthenticator.BackupEligible;
        await person.AddAsync(authenticator);
        Assert.False((await ListAsync(person))[0].GetProperty("synced").GetBoolean());

        authenticator.Flags |= SoftAuthenticator.BackedUp;
        await (await App.SignInAsync(authenticator)).JsonAsync();
        Assert.True((await ListAsync(person))[0].GetProperty("synced").GetBoolean());

        authenticator.Flags = SoftAuthenticator.UserPresent | SoftAuthenticator.UserVerified;
        await (await App.SignInAsync(authenticator)).ShouldBeProblemAsync(400, "users/passkey-refused");
    }

    [Fact]
    public async Task An_account_has_as_many_as_the_setting_says()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:PasskeysPerAccount", "2"]);
        using var person = await app.PersonAsync();
        using var first = new SoftAuthenticator();
        using var second = new SoftAuthenticator();
        using var third = new SoftAuthenticator();
        var id = await person.AddAsync(first);
        await person.AddAsync(second);

        var asked = await person.AskForNewAsync();
        await (await person.AddAsync(asked, third.Create(asked.GetProperty("options")))).ShouldBeProblemAsync(409, "users/too-many-passkeys");
        await (await person.Http.DeleteAsync($"/auth/passkeys/{id}", Ct)).JsonlessAsync(204);
        await person.AddAsync(third);
    }

    [Fact]
    public async Task Adding_and_removing_take_a_fresh_sign_in_which_a_passkey_makes()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock, "--Users:AccessTokenLifetime", "01:00:00");
        using var person = await app.PersonAsync();
        using var other = await app.PersonAsync();
        using var authenticator = new SoftAuthenticator();
        using var others = new SoftAuthenticator();
        var id = await person.AddAsync(authenticator);
        await other.AddAsync(others);
        await Authenticator.SetUpAsync(person, clock);
        clock.Advance(TimeSpan.FromMinutes(16));

        await (await person.Http.PostAsync("/auth/passkeys/options", null, Ct)).ShouldBeProblemAsync(401, "users/sign-in-too-old");
        await (await person.Http.PostAsJsonAsync("/auth/passkeys", new { name = "x", handle = "x", credential = new { } }, Ct)).ShouldBeProblemAsync(401, "users/sign-in-too-old");
        await (await person.Http.DeleteAsync($"/auth/passkeys/{id}", Ct)).ShouldBeProblemAsync(401, "users/sign-in-too-old");

        async Task<HttpResponseMessage> ConfirmAsync(SoftAuthenticator by)
        {
            var asked = await app.AskAsync();
            return await person.Http.PostAsJsonAsync("/auth/confirmation", new { handle = asked.GetProperty("handle").GetString(), credential = by.Get(asked.GetProperty("options")) }, Ct);
        }

        await (await ConfirmAsync(others)).ShouldBeProblemAsync(400, "users/passkey-refused");
        await (await person.Http.PostAsJsonAsync("/auth/confirmation", new { credential = new { } }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        await (await person.Http.PostAsync("/auth/passkeys/options", null, Ct)).ShouldBeProblemAsync(401, "users/sign-in-too-old");
        await (await ConfirmAsync(authenticator)).JsonlessAsync(204);
        await (await person.Http.DeleteAsync($"/auth/passkeys/{id}", Ct)).JsonlessAsync(204);
    }

    [Fact]
    public async Task The_last_way_into_an_account_without_a_password_stays()
    {
        using var person = await App.PersonAsync();
        using var first = new SoftAuthenticator();
        using var second = new SoftAuthenticator();
        var (one, two) = (await person.AddAsync(first), await person.AddAsync(second));
        await App.Db.ExecuteAsync($"update users_accounts set password_hash = {StoredHash.None} where id = {person.Id}", Ct);

        await (await person.Http.DeleteAsync($"/auth/passkeys/{one}", Ct)).JsonlessAsync(204);
        await (await person.Http.DeleteAsync($"/auth/passkeys/{two}", Ct)).ShouldBeProblemAsync(409, "users/last-way-in");

        await (await App.SignInAsync(second)).JsonAsync();
        await (await person.Http.PutAsJsonAsync("/auth/password", new { password = TestUsers.Password }, Ct)).JsonlessAsync(204);
        await (await person.Http.DeleteAsync($"/auth/passkeys/{two}", Ct)).JsonlessAsync(204);
    }

    [Fact]
    public async Task Passkeys_of_a_banned_account_wait_and_those_of_a_deleted_one_go()
    {
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        using var authenticator = new SoftAuthenticator();
        await person.AddAsync(authenticator);

        await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).JsonAsync();
        await (await App.SignInAsync(authenticator)).ShouldBeProblemAsync(400, "users/passkey-refused");
        await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = true }, Ct)).JsonAsync();
        await (await App.SignInAsync(authenticator)).JsonAsync();

        await (await admin.Http.DeleteAsync($"/users/{person.Id}", Ct)).JsonlessAsync(204);
        await (await App.SignInAsync(authenticator)).ShouldBeProblemAsync(400, "users/passkey-refused");
        Assert.Equal(0, await App.Db.FindAsync<long>($"select count(*) from users_passkeys where account_id = {person.Id}", Ct));
    }

    [Fact]
    public async Task Whoever_waits_with_a_passkey_in_an_account_of_somebody_elses_email_is_put_out_when_its_owner_comes()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:EmailVerification", "Sent"]);
        using var squatter = await app.PersonAsync();
        using var authenticator = new SoftAuthenticator();
        await squatter.AddAsync(authenticator);

        var asked = await (await app.Http.PostAsJsonAsync("/auth/code", new { email = squatter.Email }, Ct)).JsonAsync(202);
        var mail = await app.MailAsync(squatter.Email, "is your code");
        await (await app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "urn:tandem:email-code", ["handle"] = asked.GetProperty("handle").GetString()!, ["code"] = mail.Subject[..9] })).JsonAsync();

        await (await app.SignInAsync(authenticator)).ShouldBeProblemAsync(400, "users/passkey-refused");
        Assert.Contains(await EntriesAsync(app, squatter.Id), e => e is { Event: "passkey-removed", Reason: "set before the e-mail was confirmed" });
    }

    [Fact]
    public async Task An_address_that_goes_on_failing_is_put_off()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:FailuresPerAddress", "3"]);
        using var person = await app.PersonAsync();
        using var authenticator = new SoftAuthenticator();
        await person.AddAsync(authenticator);
        using var stranger = new SoftAuthenticator { UserHandle = authenticator.UserHandle };
        for (var i = 0; i < 3; i++)
            await (await app.SignInAsync(stranger)).ShouldBeProblemAsync(400, "users/passkey-refused");

        await (await app.SignInAsync(authenticator)).ShouldBeProblemAsync(429, "http/too-many-requests");
    }

    [Fact]
    public async Task Domain_and_origins_come_from_the_public_address_or_the_settings()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:PublicUrl", "https://Accounts.example.com/"]);
        using var person = await app.PersonAsync();
        using var authenticator = new SoftAuthenticator(domain: "accounts.example.com", origin: "https://accounts.example.com");
        await person.AddAsync(authenticator);
        await (await app.SignInAsync(authenticator)).JsonAsync();
        authenticator.Origin = "https://accounts.example.com:8443";
        await (await app.SignInAsync(authenticator)).ShouldBeProblemAsync(400, "users/passkey-refused");

        await using var wide = await TestApp.StartAsync(settings: ["--Users:PublicUrl", "https://accounts.example.com", "--Users:PasskeyDomain", "example.com",
            "--Users:PasskeyOrigins:0", "https://shop.example.com", "--Users:PasskeyOrigins:1", "android:apk-key-hash:abc"]);
        using var shopper = await wide.PersonAsync();
        foreach (var origin in new[] { "https://shop.example.com", "android:apk-key-hash:abc" })
        {
            using var shopping = new SoftAuthenticator(domain: "example.com", origin: origin);
            await shopper.AddAsync(shopping);
            await (await wide.SignInAsync(shopping)).JsonAsync();
            shopping.Origin = "https://accounts.example.com";
            await (await wide.SignInAsync(shopping)).ShouldBeProblemAsync(400, "users/passkey-refused");
        }
    }

    [Fact]
    public async Task Where_there_is_no_name_there_are_no_passkeys()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:PublicUrl", "http://192.0.2.1:8080"]);
        using var person = await app.PersonAsync();

        await (await app.Http.PostAsync("/auth/passkey/options", null, Ct)).ShouldBeProblemAsync(409, "users/no-passkey-domain");
        await (await person.Http.PostAsync("/auth/passkeys/options", null, Ct)).ShouldBeProblemAsync(409, "users/no-passkey-domain");
    }

    [Theory]
    [InlineData("--Users:PasskeyDomain", "https://example.com")]
    [InlineData("--Users:PasskeyDomain", "192.0.2.1")]
    [InlineData("--Users:PasskeyOrigins:0", "example.com")]
    [InlineData("--Users:PasskeyOrigins:0", "https://example.com/")]
    [InlineData("--Users:PasskeyOrigins:0", "https://example.com/path")]
    public async Task A_setting_that_can_never_fit_stops_the_start(string setting, string value)
    {
        var error = await Assert.ThrowsAsync<Tandem.Core.Configuration.ConfigurationException>(() => TestApp.StartAsync(settings: [setting, value]));

        Assert.Contains(value, error.Message);
    }

    static async Task<IReadOnlyList<AuditEntry>> EntriesAsync(TestApp app, long subject)
    {
        var trail = app.Services.GetRequiredService<AuditTrail>();
        await trail.SealAsync(Ct);
        return [.. await trail.FindAsync(new AuditFilter(Subject: subject), null, 100, Ct)];
    }
}
