using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Tandem.Users.Import;

namespace Tandem.Tests.Users;

/// <summary><c>tandem user export</c>: whoever leaves takes everything along, and may come back.</summary>
public sealed class ExportTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("tandem-export-").FullName;

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("json")]
    [InlineData("csv")]
    public async Task An_export_that_is_imported_is_exported_as_the_same_bytes(string format)
    {
        await using var from = await TestApp.StartAsync();
        using var root = await from.AdministratorAsync();
        // Beginning, gap and end of the ids; names of every kind; somebody from elsewhere; somebody without a password.
        var names = new[] { "Ada", " Ada \"L\", \n the; first\t|", "日本 😀", "NULL", @"\N", "=1+1", "-", "#x", "'", "{}" };
        foreach (var (i, name) in names.Index())
            await from.RegisterAsync($"p{i}@example.com", name: name);
        await root.Http.DeleteAsync("/users/4", Ct);
        await root.Http.PatchAsJsonAsync("/users/5", new { is_active = false }, Ct);
        await from.SignInAsync("p0@example.com");
        await ImportAsync(from, Write("more.csv", "email,password_hash,external_source,external_id,email_verified,created_at\nk@example.com,{SSHA}4otM5s55AyrgRRP4tCDMdsiHFZgMIYSw,keycloak,a b,true,2020-02-29T23:59:59Z\nn@example.com,,,,,\n"));
        var first = Path.Combine(_folder, "first");
        Assert.Equal((0, $"12 accounts are in {first}\n", ""), await ExportAsync(from, "--format", format, "--out", first, "--with-password-hashes"));

        await using var to = await TestApp.StartAsync();
        var (code, output, error) = await ImportAsync(to, first, "--keep-ids", "--allow-admin");
        Assert.True(code == 0, error);
        Assert.StartsWith($"{format}: 12 read, 12 added", output);
        var second = Path.Combine(_folder, "second");
        await ExportAsync(to, "--format", format, "--out", second, "--with-password-hashes");

        Assert.Equal(File.ReadAllText(first), File.ReadAllText(second));
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(first));
        await to.SignInAsync(root.Email);
        await to.SignInAsync("k@example.com", "correct horse");
        // Ids that came along are not given out again.
        var highest = await from.Db.FindAsync<long>($"select max(id) from users_accounts", Ct);
        Assert.True(await to.RegisterAsync("new@example.com") > highest);
        Assert.Equal(13, await to.Db.FindAsync<long>($"select cast(sum(accounts) as bigint) from users_blocks where level = 2", Ct));
    }

    [Fact]
    public async Task Hashes_leave_only_when_they_are_asked_for_and_no_file_is_written_over()
    {
        await using var app = await TestApp.StartAsync();
        await app.RegisterAsync("ada@example.com");

        var (code, output, error) = await ExportAsync(app);
        Assert.Equal((0, ""), (code, error));
        Assert.Equal("ada@example.com", JsonDocument.Parse(output).RootElement[0].GetProperty("email").GetString());
        Assert.DoesNotContain("argon2", output);
        Assert.DoesNotContain("password", output);
        Assert.DoesNotContain("argon2", (await ExportAsync(app, "--format", "csv")).Output);
        Assert.Contains("$argon2id$v=19$", (await ExportAsync(app, "--with-password-hashes")).Output);

        var file = Write("mine", "precious");
        (code, _, error) = await ExportAsync(app, "--out", file);
        Assert.Equal(1, code);
        Assert.Contains("is there already", error);
        Assert.Equal("precious", File.ReadAllText(file));
    }

    [Fact]
    public async Task Without_keeping_ids_an_account_knows_what_it_was_called()
    {
        await using var app = await TestApp.StartAsync();
        await app.RegisterAsync("first@example.com");
        var file = Write("old.json", """[{"id":7,"email":"ada@example.com"},{"id":8,"email":"k@example.com","external_source":"keycloak","external_id":"x"}]""");

        Assert.Equal(0, (await ImportAsync(app, file)).Code);

        var all = JsonDocument.Parse((await ExportAsync(app)).Output).RootElement.EnumerateArray()
            .Select(a => (a.GetProperty("id").GetInt64(), a.GetProperty("external_source").GetString(), a.GetProperty("external_id").GetString())).ToList();
        Assert.Equal([(1, null, null), (2, "tandem", "7"), (3, "keycloak", "x")], all);

        var (code, _, error) = await ImportAsync(app, Write("taken.json", """[{"id":1,"email":"other@example.com"},{"id":9007199254740993,"email":"x@example.com"}]"""), "--keep-ids");
        Assert.Equal(1, code);
        Assert.Contains("id 1 belongs to an account already", error);
        Assert.Contains("id is no number from 1 to 9007199254740991", error);
    }

    [Fact]
    public async Task An_export_holds_every_column_of_an_account()
    {
        await using var app = await TestApp.StartAsync();
        await app.RegisterAsync("ada@example.com");

        var columns = (await app.Db.ListAsync($"select * from users_accounts", r => Enumerable.Range(0, r.FieldCount).Select(r.GetName).ToList(), Ct)).Single();

        // When it was changed last is what this server saw; another one sees it come.
        Assert.Equal(columns.Where(c => c != "changed_at").Order(), Sources.Columns.Order());
    }

    [Fact]
    public async Task An_export_of_everything_has_people_get_in_again_by_every_way_they_had()
    {
        await using var from = await TestApp.StartAsync();
        using var authenticator = new SoftAuthenticator();
        var (person, app, key) = await WithEverythingAsync(from, authenticator);
        using var signedIn = person;
        var first = Path.Combine(_folder, "first");
        Assert.Equal((0, $"2 accounts are in {first}\n", ""), await ExportAsync(from, "--everything", "--out", first));

        await using var to = await TestApp.StartAsync();
        var (code, output, error) = await ImportAsync(to, first, "--keep-ids", "--allow-admin");
        Assert.True(code == 0, error);
        Assert.StartsWith("json: 2 read, 2 added", output);

        var second = Path.Combine(_folder, "second");
        await ExportAsync(to, "--everything", "--out", second);
        Assert.Equal(File.ReadAllText(first), File.ReadAllText(second));
        foreach (var table in PersonTables.All)
            Assert.Contains($"\"{table.Member}\":[{{", File.ReadAllText(first));
        // Once more changes nothing.
        Assert.StartsWith("json: 2 read, 0 added, 2 already there", (await ImportAsync(to, first, "--keep-ids", "--allow-admin")).Output);
        await ExportAsync(to, "--everything", "--out", second + ".2");
        Assert.Equal(File.ReadAllText(first), File.ReadAllText(second + ".2"));

        await (await to.SignInAsync(authenticator)).JsonAsync();
        using var script = to.With(key);
        Assert.Equal(person.Email, (await (await script.GetAsync($"/users/{person.Id}", Ct)).JsonAsync()).GetProperty("email").GetString());
        var problem = await (await to.PostTokenAsync(person.Email)).ShouldBeProblemAsync(403, "users/second-step-wanted");
        await (await to.PostTokenAsync(new Dictionary<string, string>
        {
            ["grant_type"] = "urn:tandem:second-step",
            ["handle"] = problem.GetProperty("handle").GetString()!,
            ["code"] = app.RecoveryCodes[0],
        })).JsonAsync();
        // Sealed with another key than before, and opened by it.
        var text = JsonDocument.Parse(File.ReadAllText(second)).RootElement.EnumerateArray().Single(a => a.TryGetProperty("authenticator_app", out var _)).GetProperty("authenticator_app")[0].GetProperty("secret").GetString();
        Assert.Equal(app.Secret, System.Buffers.Text.Base64Url.DecodeFromChars(text));
    }

    [Fact]
    public async Task What_an_export_leaves_out_it_says()
    {
        await using var from = await TestApp.StartAsync();
        using var authenticator = new SoftAuthenticator();
        var (person, app, _) = await WithEverythingAsync(from, authenticator);
        using var signedIn = person;

        foreach (var format in new[] { "json", "csv" })
        {
            var (code, output, error) = await ExportAsync(from, "--format", format, "--with-password-hashes");
            Assert.Equal((0, "left out: 1 passkeys, 1 authenticator_app, 10 recovery_codes, 1 logins_elsewhere, 1 api_keys, 1 consents, 1 directory, 1 directory_emails, 1 groups, 1 organisations; --everything takes them along, as JSON\n"), (code, error));
            Assert.DoesNotContain(System.Buffers.Text.Base64Url.EncodeToString(app.Secret), output);
        }

        var refused = await ExportAsync(from, "--everything", "--format", "csv");
        Assert.Equal(2, refused.Code);
        Assert.Contains("--everything needs --format json", refused.Error);
    }

    [Fact]
    public async Task What_is_damaged_in_an_export_of_everything_is_refused_by_its_field_and_nothing_of_it_is_stored()
    {
        await using var app = await TestApp.StartAsync();
        await app.Db.ExecuteAsync($"insert into users_organisations (id, slug, name, created_at) values ({Guid.NewGuid()}, {"taken"}, {"x"}, {DateTime.UnixEpoch})", Ct);
        const string Time = "2026-01-31T12:00:00Z";
        var id = Guid.NewGuid();
        var codes = string.Join(',', Enumerable.Repeat("""{"digest":"x"}""", 1001));
        foreach (var (member, said) in new (string, string)[]
        {
            ("\"passkeys\":1", "passkeys is no list"),
            ("\"passkeys\":[1]", "passkeys[0] is no object"),
            ("\"passkeys\":[{}]", "passkeys[0].id is missing"),
            ("\"recovery_codes\":[{\"digest\":\"a\",\"more\":1}]", "recovery_codes[0].more is not known here"),
            ("\"recovery_codes\":[{\"digest\":1}]", "recovery_codes[0].digest is no text"),
            ("\"recovery_codes\":[{\"digest\":\"a\\u0000\"}]", "recovery_codes[0].digest is no text of at most 64 characters"),
            ($"\"recovery_codes\":[{codes}]", "recovery_codes has more than 1000 entries"),
            ("\"recovery_codes\":[{\"digest\":\"a\"},{\"digest\":\"a\"}]", "recovery_codes has an entry that is there already"),
            ($$""" "authenticator_app":[{"key_id":"x","secret":"AAAA","last_step":1,"created_at":"{{Time}}","confirmed_at":"{{Time}}"}]""", "authenticator_app[0].key_id is not known here"),
            ($$""" "authenticator_app":[{"secret":"A!","last_step":1,"created_at":"{{Time}}","confirmed_at":"{{Time}}"}]""", "authenticator_app[0].secret is not base64url of 1 to 128 bytes"),
            ($$""" "authenticator_app":[{"secret":"AAAA","last_step":-1,"created_at":"{{Time}}","confirmed_at":"{{Time}}"}]""", "authenticator_app[0].last_step is no number from 0"),
            ($$""" "organisations":[{"id":"{{id}}","slug":"a","name":"A","created_at":"{{Time}}","role":"god","joined_at":"{{Time}}"}]""", "organisations[0].role is none of member, admin, owner"),
            ($$""" "groups":[{"id":"{{id}}","name":"G","created_at":"{{Time}}","changed_at":"{{Time}}"}],"organisations":[{"id":"{{id}}","slug":"taken","name":"A","created_at":"{{Time}}","role":"owner","joined_at":"{{Time}}"}]""",
                "organisations has "),
        })
        {
            var (code, _, error) = await ImportAsync(app, Write("bad.json", $"[\n{{\"id\":7,\"email\":\"ada@example.com\",{member}}}]"), "--keep-ids");
            Assert.True(code == 1, member);
            Assert.Contains($"line 2, record 1: {said}", error);
        }

        foreach (var table in PersonTables.All.Select(t => t.Name).Append("users_accounts").Append("users_groups"))
            Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from {Tandem.Core.Data.Sql.Raw(table)}", Ct));
        var without = await ImportAsync(app, Write("bad.json", """[{"id":7,"email":"ada@example.com","recovery_codes":[{"digest":"a"}]}]"""));
        Assert.Contains("recovery_codes belongs to the account by its id: import with --keep-ids", without.Error);
    }

    [Fact]
    public async Task No_table_of_a_person_is_forgotten_by_an_export()
    {
        // Which tables stay behind, and why.
        var left = new Dictionary<string, string>
        {
            ["users_accounts"] = "the account itself",
            ["users_groups"] = "comes with its members; one that is empty is the directory's to make again",
            ["users_organisations"] = "comes with its members, of whom there is always one",
            ["users_invitations"] = "of an organisation, to somebody who is not there yet, for days",
            ["users_clients"] = "of programs, not of people",
            ["users_signing_keys"] = "of the server",
            ["users_setup_links"] = "of the server",
            ["users_audit"] = "what happened here; it has an export of its own",
            ["users_audit_pending"] = "the same",
            ["users_audit_head"] = "the same",
            ["users_tickets"] = "minutes or hours",
            ["users_passkey_answers"] = "minutes",
            ["users_pushed_requests"] = "minutes",
            ["users_device_codes"] = "minutes",
            ["users_upstream_requests"] = "minutes",
            ["users_exports"] = "copies of what is here",
            ["users_export_parts"] = "the same",
            ["users_highest_id"] = "follows from the accounts",
            ["users_blocks"] = "follows from the accounts",
            ["users_unread"] = "follows from the accounts",
            ["users_texts"] = "follows from the accounts",
        };
        await using var app = await TestApp.StartAsync();

        var tables = (await MyDataTests.TablesAsync(app)).Where(t => t.StartsWith("users_", StringComparison.Ordinal) && !t.StartsWith("users_trigrams", StringComparison.Ordinal)).ToList();

        Assert.Contains("users_accounts", tables);
        Assert.Empty(tables.Except(left.Keys).Except(PersonTables.All.Select(t => t.Name)));
        Assert.Empty(left.Keys.Intersect(PersonTables.All.Select(t => t.Name)));
        // Of those that go along, all columns but these do.
        foreach (var table in PersonTables.All.Where(t => t.Name != "users_sessions"))
        {
            var columns = (await app.Db.ListAsync($"select c.* from (select 1 as one) x left join {Tandem.Core.Data.Sql.Raw(table.Name)} c on 1 = 1", r => Enumerable.Range(0, r.FieldCount).Select(r.GetName).ToList(), Ct))[0];
            Assert.Equal(columns.Order(), table.Columns.Where(c => !c.IsParents).Select(c => c.Name).Append("account_id").Order());
        }
    }

    /// <summary>Somebody with a row in every table that an export takes along, beside an administrator.</summary>
    static async Task<(Person Person, Authenticator App, string Key)> WithEverythingAsync(TestApp app, SoftAuthenticator authenticator)
    {
        using var root = await app.AdministratorAsync();
        var person = await app.PersonAsync();
        await person.AddAsync(authenticator);
        var key = (await (await person.Http.PostAsJsonAsync("/keys", new { name = "Backup" }, Ct)).JsonAsync(201)).GetProperty("key").GetString()!;
        await (await person.Http.PostAsJsonAsync("/organisations", new { slug = "engines", name = "Engines" }, Ct)).JsonAsync(201);
        var totp = await Authenticator.SetUpAsync(person, TimeProvider.System);
        var (id, now, group) = (person.Id, new DateTime(2026, 1, 31, 12, 0, 0, 123, DateTimeKind.Utc), Guid.NewGuid());
        await app.Db.ExecuteAsync($"insert into users_upstream_logins (id, account_id, issuer, subject, email, created_at) values ({Guid.NewGuid()}, {id}, {"https://id.example"}, {"4711"}, {"ada@id.example"}, {now})", Ct);
        await app.Db.ExecuteAsync($"insert into users_consents (account_id, client_id, scopes, given_at) values ({id}, {"shop"}, {"openid email"}, {now})", Ct);
        await app.Db.ExecuteAsync($"insert into users_directory (account_id, external_id, given_name) values ({id}, {"e-1"}, {"Ada"})", Ct);
        await app.Db.ExecuteAsync($"insert into users_directory_emails (account_id, position, value, type, is_primary) values ({id}, {0}, {"ada@work.example"}, {"work"}, {true})", Ct);
        await app.Db.ExecuteAsync($"insert into users_groups (id, name_key, name, external_id, created_at, changed_at) values ({group}, {"staff"}, {"Staff"}, {"g-1"}, {now}, {now})", Ct);
        await app.Db.ExecuteAsync($"insert into users_group_members (group_id, account_id) values ({group}, {id})", Ct);
        return (person, totp, key);
    }

    [Fact]
    public async Task Thousands_are_exported_in_pages_and_none_is_missing()
    {
        await using var app = await TestApp.StartAsync();
        Assert.Equal((0, "[]\n"), ((await ExportAsync(app)).Code, (await ExportAsync(app)).Output));
        const int All = 3333;
        await ImportAsync(app, Write("users.csv", "email\n" + string.Concat(Enumerable.Range(0, All).Select(i => $"p{i}@example.com\n"))));

        var exported = JsonDocument.Parse((await ExportAsync(app)).Output).RootElement.EnumerateArray().Select(a => a.GetProperty("email").GetString()).ToList();

        Assert.Equal(Enumerable.Range(0, All).Select(i => $"p{i}@example.com"), exported);
    }

    static Task<(int Code, string Output, string Error)> ImportAsync(TestApp app, string path, params string[] args) => Programs.RunAsync(["user", "import", path, "--data", app.Data, .. args]);

    static Task<(int Code, string Output, string Error)> ExportAsync(TestApp app, params string[] args) => Programs.RunAsync(["user", "export", "--data", app.Data, .. args]);

    string Write(string name, string text)
    {
        var path = Path.Combine(_folder, name);
        File.WriteAllText(path, text, new UTF8Encoding(false));
        return path;
    }
}
