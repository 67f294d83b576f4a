using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Users;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Tests.Users;

public sealed class AuditTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_happens_to_an_account_is_told_with_who_where_and_by_what()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        app.Http.DefaultRequestHeaders.UserAgent.ParseAdd("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
        var email = TestUsers.NewEmail();
        var id = await app.RegisterAsync(email);
        var session = await SessionOfAsync(app, email);
        await (await app.PostTokenAsync(email, "not the password")).ShouldBeProblemAsync(400, "users/invalid-grant");
        await (await admin.Http.PatchAsJsonAsync($"/users/{id}", new { is_active = false }, Ct)).JsonAsync();
        await (await admin.Http.PatchAsJsonAsync($"/users/{id}", new { is_active = true }, Ct)).JsonAsync();
        await (await admin.Http.DeleteAsync($"/users/{id}", Ct)).JsonlessAsync(204);

        var rows = await (await admin.Http.GetAsync($"/audit?subject={id}&limit=100", Ct)).JsonAsync();

        var told = rows.EnumerateArray().Select(r => (Event: r.GetProperty("event").GetString(), Actor: r.GetProperty("actor").GetString())).ToList();
        Assert.Equal(
            [("session-ended", "user"), ("sign-in-failed", "anonymous"), ("signed-in", "user"), ("user-activated", "user"), ("user-created", "anonymous"), ("user-deactivated", "user"), ("user-deleted", "user")],
            told.Order());
        var signedIn = rows.EnumerateArray().Single(r => r.GetProperty("event").GetString() == "signed-in");
        Assert.Equal(session.ToString(), signedIn.GetProperty("object_id").GetString());
        Assert.Equal(session.ToString(), signedIn.GetProperty("credential_id").GetString());
        Assert.Equal("127.0.0.0/24", signedIn.GetProperty("network").GetString());
        Assert.Equal("Firefox on Linux", signedIn.GetProperty("user_agent").GetString());
        Assert.NotEqual("", signedIn.GetProperty("trace_id").GetString());
        var ended = rows.EnumerateArray().Single(r => r.GetProperty("event").GetString() == "session-ended");
        Assert.Equal((admin.Id, "deactivated", session.ToString()), (ended.GetProperty("actor_id").GetInt64(), ended.GetProperty("reason").GetString(), ended.GetProperty("object_id").GetString()));
        var numbers = rows.EnumerateArray().Select(r => r.GetProperty("number").GetInt64()).ToList();
        Assert.Equal(numbers.OrderDescending(), numbers);
    }

    [Fact]
    public async Task A_refresh_token_used_again_after_its_successor_is_an_event_and_two_rows()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        var next = await (await RefreshAsync(app, person.RefreshToken)).JsonAsync();
        await (await RefreshAsync(app, next.GetProperty("refresh_token").GetString()!)).JsonAsync();
        await (await RefreshAsync(app, person.RefreshToken)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");

        Assert.Equal(["refresh-token-replayed", "session-ended"], (await EventsAsync(admin, $"subject={person.Id}")).Take(2).Order());
        await app.SettledAsync();
        var events = await app.Services.GetRequiredService<IEventLog>().ReadAsync(0, 0, ["users.refresh-token-replayed"], 10, Ct);
        Assert.Equal(person.Id.ToString(), Assert.Single(events).Key);
    }

    [Fact]
    public async Task Who_may_not_read_the_trail_is_refused()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        await (await app.Http.GetAsync("/audit", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await person.Http.GetAsync("/audit", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        using var reader = await ScopedAsync(app, person, "audit:read");
        await (await reader.GetAsync("/audit", Ct)).JsonAsync();
    }

    [Fact]
    public async Task Pages_lead_through_the_whole_trail_once_and_filters_narrow_it()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        for (var i = 0; i < 7; i++)
            await app.RegisterAsync(TestUsers.NewEmail());
        var all = await (await admin.Http.GetAsync("/audit?limit=100", Ct)).JsonAsync();

        var seen = new List<long>();
        for (var address = "/audit?limit=3"; address is not null;)
        {
            var response = await admin.Http.GetAsync(address, Ct);
            var page = await response.JsonAsync();
            seen.AddRange(page.EnumerateArray().Select(r => r.GetProperty("number").GetInt64()));
            address = response.Headers.TryGetValues("Link", out var links) ? links.Single().Split('>')[0][1..] : null;
        }

        Assert.Equal(all.EnumerateArray().Select(r => r.GetProperty("number").GetInt64()), seen);
        Assert.Equal(8, (await EventsAsync(admin, "event=user-created&limit=100")).Count);
        Assert.Equal(["administrator-made", "user-created"], (await EventsAsync(admin, "actor=operator")).Order());
        Assert.Equal(["signed-in"], await EventsAsync(admin, $"actor={admin.Id}"));
        Assert.Empty(await EventsAsync(admin, "to=2020-01-01T00:00:00Z"));
        Assert.Equal(all.GetArrayLength(), (await EventsAsync(admin, "from=2020-01-01T00:00:00Z&limit=100")).Count);
        await (await admin.Http.GetAsync("/audit?limit=0", Ct)).ShouldBeProblemAsync(422, "http/invalid");
        await (await admin.Http.GetAsync("/audit?from=yesterday", Ct)).ShouldBeProblemAsync(422, "http/invalid");
    }

    [Fact]
    public async Task What_is_undone_leaves_no_row()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        await (await admin.Http.DeleteAsync($"/users/{admin.Id}", Ct)).ShouldBeProblemAsync(409, "users/last-administrator");
        await (await app.Http.PostAsJsonAsync("/users", new { email = admin.Email, name = "Eve", password = TestUsers.Password }, Ct)).ShouldBeProblemAsync(400, "users/email-taken");
        Assert.Equal(["signed-in", "administrator-made", "user-created"], await EventsAsync(admin, ""));
    }

    [Fact]
    public async Task Failed_sign_ins_are_counted_by_account_network_and_minute_and_an_attack_fills_a_bounded_number_of_rows()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        var (failures, trail) = (app.Services.GetRequiredService<FailedSignIns>(), app.Services.GetRequiredService<AuditTrail>());
        // It would write between two of the failures where the machine is slow; here the test says when.
        await app.Services.GetServices<IHostedService>().OfType<AuditSealer>().Single().StopAsync(Ct);
        var origin = new Origin(Origin.Anonymous, null, null, "192.0.2.0/24", "curl", "1");
        for (var i = 0; i < 50; i++)
            failures.Add(7, origin, "wrong password");
        Assert.Equal([50], await TimesAsync());
        for (var i = 0; i < 30; i++)
            failures.Add(7, origin, "wrong password");
        // The first is told at once, the number of the rest when the minute is over.
        await failures.WriteAsync(all: false, Ct);
        clock.Advance(TimeSpan.FromSeconds(61));
        Assert.Equal([50, 30], await TimesAsync());

        for (var i = 0; i < 10_000; i++)
            failures.Add(i, origin, "wrong password");
        var (rows, attempts) = (0, 0);
        foreach (var times in (await TimesAsync())[2..])
            (rows, attempts) = (rows + 1, attempts + times);
        Assert.Equal((FailedSignIns.MaxKeys + 1, 10_000), (rows, attempts));

        async Task<List<int>> TimesAsync()
        {
            await failures.WriteAsync(all: false, Ct);
            await trail.SealAsync(Ct);
            var times = new List<int>();
            await foreach (var entry in trail.ReadAsync(new AuditFilter(Event: AuditEvents.SignInFailed), Ct))
                times.Add(entry.Times);
            return times;
        }
    }

    [Fact]
    public async Task Failed_sign_ins_say_what_was_wrong_and_never_what_was_typed()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:FailuresPerAccount", "2"]);
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        await app.PostTokenAsync("my-password-in-the-wrong-field@example.com", "x");
        // Two of everybody's, two more from where the account was signed in before.
        for (var i = 0; i < 5; i++)
            await app.PostTokenAsync(person.Email, "wrong but secret too");
        await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct);

        var text = await admin.Http.GetStringAsync("/audit?event=sign-in-failed", Ct);

        var rows = JsonDocument.Parse(text).RootElement.EnumerateArray()
            .GroupBy(r => (r.GetProperty("subject_id") is { ValueKind: JsonValueKind.Number } id ? id.GetInt64() : 0, r.GetProperty("reason").GetString()))
            .Select(g => (g.Key.Item1, g.Key.Item2, g.Sum(r => r.GetProperty("times").GetInt32())));
        Assert.Equal([(0, "no such account", 1), (person.Id, "too many attempts", 1), (person.Id, "wrong password", 4)], rows.Order());
        Assert.DoesNotContain("secret", text);
        Assert.DoesNotContain("example.com", text);
    }

    [Fact]
    public async Task Sealers_of_several_processes_at_once_make_one_chain_without_a_gap_while_others_write()
    {
        await using var app = await TestApp.StartAsync();
        var db = app.Db;
        var trails = Enumerable.Range(0, 4).Select(_ => new AuditTrail(db)).ToList();
        var writers = Enumerable.Range(0, 8).Select(async w =>
        {
            for (var i = 0; i < 50; i++)
                await db.InTransactionAsync(tx => trails[w % 4].AddAsync(tx, AuditEvents.SignedIn, Origin.Operator, w, DateTime.UtcNow), Ct);
        }).ToList();
        var sealers = trails.Select(async t =>
        {
            while (writers.Any(w => !w.IsCompleted))
                await t.SealAsync(Ct);
            await t.SealAsync(Ct);
        });
        await Task.WhenAll([.. writers, .. sealers]);

        var verdict = await trails[0].VerifyAsync(null, Ct);
        Assert.Equal((400, null), (verdict.Rows, verdict.Broken));
        Assert.Equal((verdict.Rows, verdict.Hash), await trails[0].HeadAsync(Ct) is var head ? (head.Number, head.Hash) : default);
    }

    public static TheoryData<string, string> Tampering => new()
    {
        { "update users_audit set occurred_at = (select occurred_at from users_audit where number = 1) where number = 5", "row 5 is not as it was written" },
        { "update users_audit set event = 'signed-out' where number = 5", "row 5 is not as it was written" },
        { "update users_audit set actor = 'anonymous' where number = 5", "row 5 is not as it was written" },
        { "update users_audit set actor_id = 99 where number = 5", "row 5 is not as it was written" },
        { "update users_audit set credential_id = null where number = 5", "row 5 is not as it was written" },
        { "update users_audit set subject_id = null where number = 5", "row 5 is not as it was written" },
        { "update users_audit set object_id = null where number = 5", "row 5 is not as it was written" },
        { "update users_audit set network = null where number = 5", "row 5 is not as it was written" },
        { "update users_audit set user_agent = '' where number = 5", "row 5 is not as it was written" },
        { "update users_audit set reason = 'because' where number = 5", "row 5 is not as it was written" },
        { "update users_audit set trace_id = '1' where number = 5", "row 5 is not as it was written" },
        { "update users_audit set times = 2 where number = 5", "row 5 is not as it was written" },
        { "update users_audit set hash = (select hash from users_audit where number = 4) where number = 5", "row 5 is not as it was written" },
        { "update users_audit set network = user_agent, user_agent = network where number = 5", "row 5 is not as it was written" },
        { "update users_audit set number = 100 where number = 5", "row 5 is missing" },
        { "delete from users_audit where number = 5", "row 5 is missing" },
        { "delete from users_audit where number = 1", "row 1 is missing" },
        { "delete from users_audit where number >= 5", "row 5 is missing" },
        { "delete from users_audit; delete from users_audit_head", "row 1 is missing, or the trail was written anew" },
        { "insert into users_audit (number, occurred_at, event, actor, times, hash) select 0, occurred_at, event, actor, times, hash from users_audit where number = 1", "row 0 was put in front" },
        { "update users_audit set number = 100 where number = 5; update users_audit set number = 5 where number = 6; update users_audit set number = 6 where number = 100", "row 5 is not as it was written" },
        { "update users_audit_head set number = 5, hash = (select hash from users_audit where number = 5)", "row 6 was put behind the last row" },
        { "update users_audit_head set hash = (select hash from users_audit where number = 4)", "is not the one that was written last then" },
    };

    [Theory]
    [MemberData(nameof(Tampering))]
    public async Task Tampering_with_any_column_or_row_is_found(string sql, string fault)
    {
        await using var app = await TestApp.StartAsync();
        var trail = app.Services.GetRequiredService<AuditTrail>();
        var somebody = new Origin(Origin.User, 7, Guid.NewGuid(), "192.0.2.0/24", "curl", "0af7651916cd43dd8448eb211c80319c");
        for (var i = 0; i < 9; i++)
            await app.Db.InTransactionAsync(tx => trail.AddAsync(tx, AuditEvents.SignedIn, somebody, i, DateTime.UtcNow, "why", Guid.NewGuid()), Ct);
        await trail.SealAsync(Ct);
        var head = await trail.HeadAsync(Ct);
        Assert.Null((await trail.VerifyAsync(head.Hash, Ct)).Broken);

        // Whoever can write to the tables can take the trigger away.
        await Assert.ThrowsAsync<ConstraintViolationException>(() => app.Db.ExecuteAsync(Sql.Raw("update users_audit set times = 2 where number = 5"), Ct));
        var on = TestStores.OnPostgres ? " on users_audit" : "";
        await app.Db.ExecuteAsync(Sql.Raw($"drop trigger users_audit_not_updated{on}"), Ct);
        foreach (var statement in sql.Split("; "))
            await app.Db.ExecuteAsync(Sql.Raw(statement), Ct);

        var verdict = await trail.VerifyAsync(head.Hash, Ct);
        Assert.StartsWith(fault.StartsWith("row", StringComparison.Ordinal) ? fault : "row 9 " + fault, $"row {verdict.Broken} {verdict.Fault}");
    }

    [Fact]
    public async Task A_trail_that_was_cut_off_and_goes_on_is_found_by_a_head_that_was_noted_outside()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        var (code, head, error) = await Programs.RunAsync("audit", "head", "--data", app.Data);
        Assert.Equal((0, ""), (code, error));
        Assert.Matches("^3 [0-9a-f]{64}\n$", head);
        var noted = head.Trim().Split(' ')[1];
        await app.RegisterAsync(TestUsers.NewEmail());
        Assert.Equal(0, (await Programs.RunAsync("audit", "verify", "--head", noted, "--data", app.Data)).Code);

        // An attacker who knows how it is done: the rows are gone, the end of the chain says so, and new rows go on from there.
        await app.Db.ExecuteAsync(Sql.Raw("delete from users_audit where number >= 3"), Ct);
        await app.Db.ExecuteAsync(Sql.Raw("update users_audit_head set number = 2, hash = (select hash from users_audit where number = 2)"), Ct);
        await app.RegisterAsync(TestUsers.NewEmail());

        Assert.Equal(0, (await Programs.RunAsync("audit", "verify", "--data", app.Data)).Code);
        (code, _, error) = await Programs.RunAsync("audit", "verify", "--head", noted, "--data", app.Data);
        Assert.Equal(1, code);
        Assert.Contains($"no row has the hash {noted}", error);
    }

    [Fact]
    public async Task The_command_line_verifies_and_exports_and_its_own_changes_are_in_the_trail()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        // The last administrator could not be demoted.
        using var other = await app.AdministratorAsync();
        await Programs.RunAsync("user", "promote", person.Email, "--data", app.Data);
        await Programs.RunAsync("token", person.Email, "--data", app.Data);
        await Programs.RunAsync("user", "demote", person.Email, "--data", app.Data);

        var (code, output, error) = await Programs.RunAsync("audit", "verify", "--data", app.Data);
        Assert.True(code == 0, error);
        Assert.Matches("^9 rows are as they were written; head [0-9a-f]{64}\n$", output);

        var json = JsonDocument.Parse((await Programs.RunAsync("audit", "export", "--data", app.Data)).Output).RootElement;
        Assert.Equal(["user-created", "signed-in", "user-created", "administrator-made", "signed-in", "administrator-made", "signed-in", "administrator-unmade", "session-ended"],
            json.EnumerateArray().Select(r => r.GetProperty("event").GetString()));
        Assert.Equal("tandem token", json[6].GetProperty("user_agent").GetString());
        Assert.Equal("operator", json[6].GetProperty("actor").GetString());
        var csv = (await Programs.RunAsync("audit", "export", "--format", "csv", "--from", "2020-01-01", "--data", app.Data)).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.StartsWith("number,occurred_at,event,actor,actor_id,", csv[0]);
        Assert.Equal(json.GetArrayLength() + 1, csv.Length);
        Assert.EndsWith(json[0].GetProperty("hash").GetString()!, csv[1]);
        Assert.Equal("[]\n", (await Programs.RunAsync("audit", "export", "--to", "2020-01-01", "--data", app.Data)).Output);
        Assert.Equal(2, (await Programs.RunAsync("audit", "export", "--to", "yesterday", "--data", app.Data)).Code);
        Assert.Equal(2, (await Programs.RunAsync("audit", "verify", "--head", "short", "--data", app.Data)).Code);
    }

    [Fact]
    public async Task The_first_administrator_by_link_is_told_with_the_link()
    {
        await using var app = await TestApp.StartAsync();
        var line = await app.Services.GetRequiredService<SetupLink>().LineAsync(app.Address, Ct);
        var token = line!.Split("token=")[1].Split(' ')[0];
        var response = await app.Http.PostAsync("/setup", new FormUrlEncodedContent(
            new Dictionary<string, string> { ["token"] = token, ["email"] = "root@example.com", ["name"] = "Root", ["password"] = TestUsers.Password }), Ct);
        Assert.Equal(200, (int)response.StatusCode);
        using var admin = app.With((await app.SignInAsync("root@example.com")).GetProperty("access_token").GetString()!);
        var events = (await (await admin.GetAsync("/audit", Ct)).JsonAsync()).EnumerateArray().Select(r => r.GetProperty("event").GetString());
        Assert.Equal(["signed-in", "administrator-made", "user-created", "setup-link-used"], events);
    }

    [Theory]
    [InlineData("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0", "Edge on Windows")]
    [InlineData("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1", "Safari on iPhone")]
    [InlineData("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36", "Chrome on Android")]
    [InlineData("curl/8.14.1", "curl")]
    [InlineData("=cmd|' /C calc'!A0", null)]
    [InlineData("a.very.long.name.that.goes.on.and.on.and.on/1", "a.very.long.name.that.goes.on.an")]
    [InlineData("", null)]
    public void Of_a_user_agent_the_family_is_kept(string header, string? family) => Assert.Equal(family, UserAgent.FamilyOf(header));

    [Theory]
    [InlineData("203.0.113.77", "203.0.113.0/24")]
    [InlineData("2001:db8:1:2::/64", "2001:db8:1:2::/64")]
    [InlineData("local", null)]
    [InlineData(null, null)]
    public void Of_an_address_the_network_is_kept(string? address, string? network) => Assert.Equal(network, ClientNetwork.Of(address));

    static async Task<List<string?>> EventsAsync(Person reader, string query) =>
        [.. (await (await reader.Http.GetAsync("/audit?" + query, Ct)).JsonAsync()).EnumerateArray().Select(r => r.GetProperty("event").GetString())];

    static async Task<Guid> SessionOfAsync(TestApp app, string email)
    {
        await app.SignInAsync(email);
        return await app.Db.FindAsync<Guid>($"select s.id from users_sessions s join users_accounts a on a.id = s.account_id where a.email = {email}", Ct);
    }

    static async Task<HttpClient> ScopedAsync(TestApp app, Person person, string scopes)
    {
        var session = await app.Services.GetRequiredService<Sessions>().OpenAsync(person.Id, scopes, TimeSpan.FromMinutes(5), Origin.Operator, DateTime.UtcNow, Ct);
        return app.With(await app.Services.GetRequiredService<AccessTokens>().MakeAsync(session!, DateTime.UtcNow, TimeSpan.FromMinutes(5), Ct));
    }

    static Task<HttpResponseMessage> RefreshAsync(TestApp app, string token) =>
        app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = token });
}
