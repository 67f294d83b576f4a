using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Jobs;
using Tandem.Tests.Modules;
using Tandem.Users.MyData;

namespace Tandem.Tests.Users;

/// <summary>A person gets all that is held, and can have it erased.</summary>
public sealed class MyDataTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_person_takes_along_what_every_module_holds()
    {
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<IPersonalData, Diary>(), settings: ["--Mail:OutboxPage", "true"]);
        using var person = await app.PersonAsync();
        using var other = await app.PersonAsync();
        var key = (await (await person.Http.PostAsJsonAsync("/keys", new { name = "my laptop" }, Ct)).JsonAsync(201)).GetProperty("key").GetString()!;
        await person.Http.PostAsJsonAsync("/auth/totp", new { }, Ct);
        await app.Http.PostAsJsonAsync("/auth/password/reset", new { email = person.Email }, Ct);
        await (await person.Http.PostAsJsonAsync("/auth/email", new { email = TestUsers.NewEmail() }, Ct)).JsonlessAsync(202);
        await app.MailedAsync();

        var text = await ExportAsync(app, person);

        var all = JsonDocument.Parse(text).RootElement;
        Assert.Equal(person.Id, all.GetProperty("account_id").GetInt64());
        var users = all.GetProperty("users");
        Assert.Equal(person.Email, users.GetProperty("account")[0].GetProperty("email").GetString());
        var sessions = users.GetProperty("sessions_and_keys").EnumerateArray().ToList();
        Assert.Equal("127.0.0.1", sessions.First(s => s.GetProperty("key_name").ValueKind == JsonValueKind.Null).GetProperty("address").GetString());
        Assert.Contains(sessions, s => s.GetProperty("key_name").GetString() == "my laptop");
        Assert.Equal(1, users.GetProperty("authenticator_apps").GetArrayLength());
        Assert.Contains(users.GetProperty("mailed_links_and_codes").EnumerateArray(), t => t.GetProperty("purpose").GetString() == "reset");
        Assert.Contains("Another e-mail address", users.GetProperty("mails")[0].GetProperty("text").GetString());
        Assert.Contains(users.GetProperty("audit").EnumerateArray(), e => e.GetProperty("event").GetString() == "key-created");
        Assert.Contains(all.GetProperty("core").GetProperty("jobs").EnumerateArray(), j => j.GetProperty("kind").GetString() == "users.export-data");
        Assert.Equal("Dear diary", all.GetProperty("diary").GetProperty("entries")[0].GetProperty("text").GetString());
        Assert.DoesNotContain(other.Email, text);
        foreach (var secret in (string[])[key, "argon2", "digest", "password_hash", "secret"])
            Assert.DoesNotContain(secret, text);
        var trail = await (await (await AdministratorAsync(app)).GetAsync($"/audit?event=data-exported&subject={person.Id}", Ct)).JsonAsync();
        Assert.Equal(1, trail.GetArrayLength());
    }

    [Fact]
    public async Task An_export_larger_than_a_part_arrives_whole_and_the_next_takes_its_place()
    {
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<IPersonalData>(new Diary(Entries: 3000)));
        using var person = await app.PersonAsync();

        var first = JsonDocument.Parse(await ExportAsync(app, person)).RootElement;
        Assert.Equal(3000, first.GetProperty("diary").GetProperty("entries").GetArrayLength());
        Assert.True(await app.Db.FindAsync<long>($"select count(*) from users_export_parts", Ct) > 2);

        await ExportAsync(app, person);
        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from users_exports where account_id = {person.Id}", Ct));
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_export_parts where export_id not in (select id from users_exports)", Ct));
    }

    [Fact]
    public async Task A_person_is_erased_from_every_table()
    {
        var diary = new Diary();
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<IPersonalData>(diary), settings: ["--Mail:OutboxPage", "true"]);
        using var person = await app.PersonAsync();
        await person.Http.PostAsJsonAsync("/keys", new { name = "my laptop" }, Ct);
        await app.Http.PostAsJsonAsync("/auth/password/reset", new { email = person.Email }, Ct);
        await (await person.Http.PostAsJsonAsync("/auth/email", new { email = TestUsers.NewEmail() }, Ct)).JsonlessAsync(202);
        await app.MailedAsync();
        await ExportAsync(app, person);
        string[] traces = [person.Email, "my laptop"];
        Assert.Superset(new HashSet<string> { "users_accounts", "users_sessions", "users_tickets", "jobs_queue" }, await TablesWithAsync(app, traces));

        var job = (await (await person.Http.PostAsync($"/users/{person.Id}/erasure", null, Ct)).JsonAsync(202)).GetProperty("id").GetGuid();
        await CompletedAsync(app, job);

        Assert.Equal([person.Id], diary.Erased);
        await (await person.Http.GetAsync("/sessions", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await app.PostTokenAsync(person.Email)).ShouldBeProblemAsync(400, "users/invalid-grant");
        // What searches are answered from follows a moment behind.
        await Eventually.TrueAsync(async () => (await TablesWithAsync(app, traces)).Count == 0);
        Assert.DoesNotContain(Directory.GetFiles(Path.Combine(app.Data, "outbox")), f => File.ReadAllText(f).Contains(person.Email));
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_sessions where account_id = {person.Id} and (address is not null or user_agent is not null)", Ct));
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_export_parts", Ct));
    }

    [Fact]
    public async Task A_module_of_ones_own_joins_in()
    {
        await using var app = await TestApp.StartAsync(a => a.Add<InvoicesModule>());
        using var person = await app.PersonAsync();
        await (await person.Http.PostAsJsonAsync("/invoices", new { total = 12.5m }, Ct)).JsonAsync(201);

        var invoices = JsonDocument.Parse(await ExportAsync(app, person)).RootElement.GetProperty("invoices").GetProperty("invoices");
        Assert.Equal(12.5m, invoices[0].GetProperty("total").GetDecimal());

        await CompletedAsync(app, (await (await person.Http.PostAsync($"/users/{person.Id}/erasure", null, Ct)).JsonAsync(202)).GetProperty("id").GetGuid());
        Assert.Equal(0, await app.Db.FindAsync<long>($"select user_id from invoices_invoices", Ct));
    }

    [Fact]
    public async Task What_fails_in_a_module_is_tried_again_and_the_account_stays_until_it_is_done()
    {
        var diary = new Diary { Failures = 2 };
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<IPersonalData>(diary), settings: ["--Jobs:RetryBase", "00:00:00.01"]);
        using var person = await app.PersonAsync();
        var before = new List<bool>();
        diary.Erasing = async () => before.Add(await app.Db.FindAsync<long>($"select count(*) from users_accounts where id = {person.Id}") == 1);

        var job = (await (await person.Http.PostAsync($"/users/{person.Id}/erasure", null, Ct)).JsonAsync(202)).GetProperty("id").GetGuid();
        await CompletedAsync(app, job);

        Assert.Equal([true, true, true], before);
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_accounts where id = {person.Id}", Ct));
    }

    [Fact]
    public async Task Nobody_takes_or_erases_anothers_and_the_last_administrator_stays()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        using var other = await app.PersonAsync();
        var key = (await (await person.Http.PostAsJsonAsync("/keys", new { name = "k" }, Ct)).JsonAsync(201)).GetProperty("key").GetString()!;
        using var script = app.With(key);

        foreach (var (method, what) in ((HttpMethod, string)[])[(HttpMethod.Post, "export"), (HttpMethod.Get, "export"), (HttpMethod.Post, "erasure")])
        {
            await (await other.Http.SendAsync(new(method, $"/users/{person.Id}/{what}"), Ct)).ShouldBeProblemAsync(403, "users/not-yours");
            await (await script.SendAsync(new(method, $"/users/{person.Id}/{what}"), Ct)).ShouldBeProblemAsync(403, "users/session-wanted");
        }

        await (await person.Http.GetAsync($"/users/{person.Id}/export", Ct)).ShouldBeProblemAsync(404, "users/no-export");
        using var administrator = await app.AdministratorAsync();
        await (await administrator.Http.PostAsync("/users/999999/export", null, Ct)).ShouldBeProblemAsync(404, "users/not-found");
        await (await administrator.Http.PostAsync($"/users/{administrator.Id}/erasure", null, Ct)).ShouldBeProblemAsync(409, "users/last-administrator");
        var job = (await (await administrator.Http.PostAsync($"/users/{person.Id}/export", null, Ct)).JsonAsync(202)).GetProperty("id").GetGuid();
        await CompletedAsync(app, job);
        Assert.Contains(person.Email, await administrator.Http.GetStringAsync($"/users/{person.Id}/export", Ct));
    }

    [Fact]
    public async Task It_is_collected_ten_times_a_day_and_kept_for_a_week()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        using var person = await app.PersonAsync();
        await ExportAsync(app, person);
        for (var i = 0; i < 9; i++)
            await (await person.Http.PostAsync($"/users/{person.Id}/export", null, Ct)).JsonAsync(202);
        var refused = await person.Http.PostAsync($"/users/{person.Id}/export", null, Ct);
        await refused.ShouldBeProblemAsync(429, "http/too-many-requests");
        Assert.True(refused.Headers.RetryAfter?.Delta > TimeSpan.Zero);

        var exports = app.Services.GetRequiredService<Exports>();
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select count(*) from jobs_queue where kind = 'users.export-data' and state <> 'completed'", Ct) == 0);
        await exports.SweepAsync(Ct);
        Assert.NotNull(await exports.FindAsync(person.Id, Ct));
        await app.Db.ExecuteAsync($"update users_exports set expires_at = {clock.GetUtcNow().UtcDateTime}", Ct);
        Assert.Null(await exports.FindAsync(person.Id, Ct));
        await exports.SweepAsync(Ct);
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_export_parts", Ct));
    }

    static async Task<HttpClient> AdministratorAsync(TestApp app) => (await app.AdministratorAsync()).Http;

    static async Task<string> ExportAsync(TestApp app, Person person)
    {
        var job = (await (await person.Http.PostAsync($"/users/{person.Id}/export", null, Ct)).JsonAsync(202)).GetProperty("id").GetGuid();
        await CompletedAsync(app, job);
        var response = await person.Http.GetAsync($"/users/{person.Id}/export", Ct);
        Assert.Equal("attachment", response.Content.Headers.ContentDisposition?.DispositionType);
        return (await response.JsonAsync()).GetRawText();
    }

    static Task CompletedAsync(TestApp app, Guid job) => Eventually.TrueAsync(async () =>
    {
        var view = await app.Services.GetRequiredService<IJobQueue>().FindAsync(job, Ct);
        Assert.False(view is { State: "discarded" or "cancelled" }, view?.Error);
        return view is { State: "completed" };
    });

    static async Task<HashSet<string>> TablesWithAsync(TestApp app, string[] traces)
    {
        var found = new HashSet<string>();
        foreach (var table in await TablesAsync(app))
            foreach (var row in await app.Db.ListAsync(Sql.Raw($"select * from {table}"), r => string.Join("|", Enumerable.Range(0, r.FieldCount).Select(r.GetValue)), Ct))
                if (traces.Any(t => row.Contains(t, StringComparison.OrdinalIgnoreCase)))
                    found.Add(table);
        return found;
    }

    /// <summary>All tables with data of their own.</summary>
    internal static Task<List<string>> TablesAsync(TestApp app) => app.Db.ListAsync<string>(Sql.Raw(app.Db.Engine == "sqlite"
        ? "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' and sql not like 'create virtual%'"
        : "select tablename::text from pg_tables where schemaname = current_schema()"), Ct);

    /// <summary>What a module of the team's own holds.</summary>
    sealed record Diary(int Entries = 1) : IPersonalData
    {
        public List<long> Erased { get; } = [];
        public int Failures { get; set; }
        public Func<Task> Erasing { get; set; } = () => Task.CompletedTask;
        public string Name => "diary";

        public async IAsyncEnumerable<PersonalRecord> ReadAsync(long accountId, [EnumeratorCancellation] CancellationToken cancellationToken)
        {
            await Task.Yield();
            for (var i = 0; i < Entries; i++)
                yield return new("entries", new { Text = "Dear diary", Padding = new string('x', Entries > 1 ? 300 : 0) });
        }

        public async Task EraseAsync(long accountId, CancellationToken cancellationToken)
        {
            await Erasing();
            if (Failures-- > 0)
                throw new InvalidOperationException("The diary is locked.");
            Erased.Add(accountId);
        }
    }
}
