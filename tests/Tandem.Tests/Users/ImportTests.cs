using System.Net.Http.Json;
using System.Text.Json;
using Tandem.Users.Hashes;

namespace Tandem.Tests.Users;

/// <summary><c>tandem user import</c>, from files as other programs write them, and what those people then see.</summary>
public sealed class ImportTests(UsersFixture users) : IClassFixture<UsersFixture>, IDisposable
{
    // Made by the programs' own tools of this password; see ForeignHashTests.
    const string Password = "correct horse";
    const string Bcrypt = "$2y$04$DxN1AJQP.T5i57A6XfA6K.egievYUUdhTDbk.fgbmhF26jU1lEqHm";
    const string Md5 = "3cb4e732631f47e6eb961f34554b7cde";

    readonly string _folder = Directory.CreateTempSubdirectory("tandem-import-").FullName;

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => users.App;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>A file of each program, with $E where the test puts an e-mail nobody has: one person who may sign in, and one who may not.</summary>
    public static TheoryData<string, string, string> Files => new()
    {
        {
            "keycloak", "Ada Lovelace", """
            {
              "id": "acme", "realm": "acme", "displayName": "users { \" [",
              "roles": {"realm": [{"name": "users"}]},
              "users": [
                {
                  "id": "k1-$E", "createdTimestamp": 1700000000123, "username": "ada", "enabled": true, "totp": false, "emailVerified": true,
                  "firstName": "Ada", "lastName": "Lovelace", "email": "$E",
                  "credentials": [
                    {"type": "otp", "secretData": "{\"value\":\"JBSWY3DPEHPK3PXP\"}", "credentialData": "{\"subType\":\"totp\"}"},
                    {"id": "c", "type": "password", "createdDate": 1700000000123,
                     "secretData": "{\"value\":\"l9BlNpQu+jfIal9irsT6+r0SYv98FwjbGHxhnGiWYk4=\",\"salt\":\"amJWanI4MFF5Rm16eGxzWGQweUo4Qw==\",\"additionalParameters\":{}}",
                     "credentialData": "{\"hashIterations\":1000,\"algorithm\":\"pbkdf2-sha256\",\"additionalParameters\":{}}"}],
                  "realmRoles": ["default-roles-acme"], "notBefore": 0, "groups": []
                },
                {"id": "k2-$E", "username": "bob", "enabled": false, "email": "off-$E", "credentials": [{"type": "password",
                  "secretData": "{\"value\":\"yo/Vkf3b04HMhVyO46+irv+0DPX1EnKctcaquTFv6B0=\",\"salt\":\"c29tZXNhbHQ=\",\"additionalParameters\":{}}",
                  "credentialData": "{\"hashIterations\":2,\"algorithm\":\"argon2\",\"additionalParameters\":{\"hashLength\":[\"32\"],\"memory\":[\"64\"],\"type\":[\"id\"],\"version\":[\"1.3\"],\"parallelism\":[\"2\"]}}"}]}
              ],
              "clients": [{"clientId": "x", "users": [{"email": "no@example.com"}]}]
            }
            """
        },
        {
            "supabase", "Ada", """
            id,email,encrypted_password,email_confirmed_at,raw_app_meta_data,raw_user_meta_data,created_at,banned_until,deleted_at,last_sign_in_at
            k1-$E,$E,$2y$04$DxN1AJQP.T5i57A6XfA6K.egievYUUdhTDbk.fgbmhF26jU1lEqHm,2023-11-14 22:13:21.5+00,"{""provider"": ""email""}","{""name"": ""Ada""}",2023-11-14 22:13:20.123456+00,,,2024-01-01 00:00:00+00
            k2-$E,off-$E,$2y$04$DxN1AJQP.T5i57A6XfA6K.egievYUUdhTDbk.fgbmhF26jU1lEqHm,,{},{},2023-11-14 22:13:20+00,2924-01-01 00:00:00+00,,
            """
        },
        {
            "pocketbase", "Ada", """
            [{"avatar":"","created":"2023-11-14 22:13:20.123Z","email":"$E","emailVisibility":0,"id":"k1-$E","name":"Ada","password":"$2y$04$DxN1AJQP.T5i57A6XfA6K.egievYUUdhTDbk.fgbmhF26jU1lEqHm","tokenKey":"x","updated":"2023-11-14 22:13:20.123Z","verified":1}]
            """
        },
        {
            "auth0", "Ada", """
            {"_id":{"$oid":"k1-$E"},"email":"$E","email_verified":true,"name":"Ada","created_at":"2023-11-14T22:13:20.123Z","passwordHash":"$2b$04$f.ZiyB7GEMzMYbWhjXHnN.64/db/8jwveWKuqRs74cbONLACFSR7C","tenant":"acme","connection":"Username-Password-Authentication"}
            {"user_id":"auth0|k2-$E","email":"off-$E","blocked":true,"custom_password_hash":{"algorithm":"sha1","hash":{"value":"L55TUjtiq8FBorTWAZ0jy6g129A=","encoding":"base64"}}}
            """
        },
        {
            "firebase", "Ada", """
            {"users": [
            {"localId": "k1-$E", "email": "$E", "emailVerified": true, "displayName": "Ada", "createdAt": "1700000000123", "lastSignedInAt": "1700000000124",
             "passwordHash": "lSrfV15cpx95_sZS2W9c9Kp6i_LVgQNDNC_qzrCnh1SAyZvqmZqAjTdn3aoItz-VHjoZilo78198JAdRuid5lQ==", "salt": "42xEC-ixf3L2lw==", "providerUserInfo": []},
            {"localId": "k2-$E", "email": "off-$E", "disabled": true, "providerUserInfo": [{"providerId": "google.com"}]}
            ]}
            """
        },
        {
            "django", "Ada Lovelace", """
            [
            {"model": "auth.user", "pk": "k1-$E", "fields": {"password": "pbkdf2_sha256$1000$jbVjr80QyFmzxlsXd0yJ8C$l9BlNpQu+jfIal9irsT6+r0SYv98FwjbGHxhnGiWYk4=", "last_login": null, "is_superuser": false,
              "username": "ada", "first_name": "Ada", "last_name": "Lovelace", "email": "$E", "is_staff": false, "is_active": true, "date_joined": "2023-11-14T22:13:20.123Z", "groups": [], "user_permissions": []}},
            {"model": "auth.user", "pk": "k2-$E", "fields": {"password": "!x", "username": "bob", "first_name": "", "last_name": "", "email": "off-$E", "is_superuser": false, "is_active": false, "date_joined": "2023-11-14T22:13:20Z"}}
            ]
            """
        },
        {
            "wordpress", "Ada", """
            ID;user_login;display_name;user_email;user_registered;roles;user_pass
            k1-$E;ada;Ada;$E;"2023-11-14 22:13:20";subscriber;$P$6RANxFSZ5QlnlBnzps.aD0ygOiP6lo0
            """
        },
        {
            "aspnet", "Ada", """
            [{"Id":"k1-$E","UserName":"Ada","NormalizedUserName":"ADA","Email":"$E","NormalizedEmail":"$U","EmailConfirmed":true,"CreatedAt":"2023-11-14T22:13:20.123","PasswordHash":"$ASPNET","LockoutEnd":null,"LockoutEnabled":true},
             {"Id":"k2-$E","UserName":"bob","Email":"off-$E","EmailConfirmed":false,"PasswordHash":"NULL","LockoutEnd":"2999-12-31T23:59:59+00:00","LockoutEnabled":true}]
            """
        },
        {
            "json", "Ada", """{"email":"$E","name":"Ada","password_hash":"{SSHA}4otM5s55AyrgRRP4tCDMdsiHFZgMIYSw","external_id":"k1-$E","created_at":"2023-11-14T22:13:20Z","email_verified":true}"""
        },
        {
            "csv", "Ada", "email,name,password_hash,external_id,created_at,is_active\n$E,Ada,\"$argon2i$v=19$m=64,t=2,p=2$c29tZXNhbHQ$Rirr4oV2NrL7huBGNahNlDvXgnrk8+FCOKouYO7Gebw\",k1-$E,2023-11-14T23:13:20+01:00,true\noff-$E,Bob,!,,,false\n"
        },
    };

    [Theory]
    [MemberData(nameof(Files))]
    public async Task Who_comes_from_another_program_signs_in_with_the_password_of_there(string source, string name, string file)
    {
        var email = TestUsers.NewEmail();
        var aspNet = HashTools.Make("ASP.NET Identity", Password).Last().Hash;
        string[] more = source == "firebase" ? ["--firebase-hash", Write("hash.txt", """
            hash_config {
              algorithm: SCRYPT,
              base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,
              base64_salt_separator: Bw==,
              rounds: 8,
              mem_cost: 14,
            }
            """)] : [];
        var path = Write("users", file.Replace("$E", email).Replace("$U", email.ToUpperInvariant()).Replace("$ASPNET", aspNet));
        var count = file.Contains("off-$E", StringComparison.Ordinal) ? 2 : 1;

        var (code, output, error) = await ImportAsync(path, more);

        Assert.True(code == 0, error);
        Assert.StartsWith($"{source}: {count} read, {count} added, 0 already there, 0 refused\n", output);
        var password = source == "firebase" ? "user1password" : Password;
        await (await App.PostTokenAsync(email, password + "x")).ShouldBeProblemAsync(400, "users/invalid-grant");
        Assert.False((await StoredAsync(email)).IsCurrent);
        var token = (await App.SignInAsync(email, password)).GetProperty("access_token").GetString()!;
        // From now on it is one of ours.
        Assert.True((await StoredAsync(email)).IsCurrent);
        await App.SignInAsync(email, password);
        await (await App.PostTokenAsync(email, password + "x")).ShouldBeProblemAsync(400, "users/invalid-grant");
        if (count == 2)
            await (await App.PostTokenAsync("off-" + email, password)).ShouldBeProblemAsync(400, "users/invalid-grant");

        var row = await RowAsync(email);
        Assert.Equal((name, true, false, "2023-11-14T22:13:20Z"), (row.Name, row.IsActive, row.IsAdministrator, row.CreatedAt.ToString("yyyy-MM-dd'T'HH:mm:ssK")));
        Assert.Equal((source is "json" or "csv" ? "import" : source, source == "auth0" ? $"auth0|k1-{email}" : $"k1-{email}"), (row.ExternalSource, row.ExternalId));
        Assert.Equal(source is "django" or "wordpress" or "csv", row.EmailVerifiedAt is null);
        using var ada = App.With(token);
        Assert.Equal(name, (await (await ada.GetAsync($"/users/{row.Id}", Ct)).JsonAsync()).GetProperty("name").GetString());
        if (count == 2)
            Assert.False((await RowAsync("off-" + email)).IsActive);

        // Once more is nothing more.
        (code, output, _) = await ImportAsync(path, more);
        Assert.Equal((0, $"{source}: {count} read, 0 added, {count} already there, 0 refused\n"), (code, output));
    }

    [Fact]
    public async Task Two_first_sign_ins_at_once_both_succeed()
    {
        var email = TestUsers.NewEmail();
        Assert.Equal(0, (await ImportAsync(Write("users.csv", $"email,password_hash\n{email},{Bcrypt}\n"))).Code);

        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => App.PostTokenAsync(email, Password)));

        Assert.All(answers, a => Assert.Equal(200, (int)a.StatusCode));
    }

    [Fact]
    public async Task Every_refused_record_is_told_with_its_line_its_field_and_why_and_the_others_are_stored()
    {
        var (ada, bob, eve) = (TestUsers.NewEmail(), TestUsers.NewEmail(), TestUsers.NewEmail());
        var report = Path.Combine(_folder, "report.jsonl");
        var path = Write("users.csv", $"""
            email,name,password_hash,is_active,created_at
            {ada},"Ada, of
            two lines",{Bcrypt},true,
            {ada.ToUpperInvariant()},Ada again,{Bcrypt},true,
            nobody,Nobody,{Bcrypt},true,
            ,Nobody,{Bcrypt},true,
            {eve},Eve,$2b$99$DxN1AJQP.T5i57A6XfA6K.egievYUUdhTDbk.fgbmhF26jU1lEqHm,true,
            {eve},Eve,{Bcrypt},maybe,
            {eve},Eve,{Bcrypt},true,yesterday
            {eve},{new string('x', 201)},{Bcrypt},true,
            {eve},Eve,{Bcrypt}
            {bob},Bob,,true,
            """);

        var (code, output, error) = await ImportAsync(path, "--report", report);

        Assert.Equal((1, """
            csv: 10 read, 2 added, 0 already there, 8 refused
            1 of them without a password: they cannot sign in until they have one (tandem user passwd EMAIL)

            """.ReplaceLineEndings("\n")), (code, output));
        var told = File.ReadLines(report).Select(l => JsonDocument.Parse(l).RootElement)
            .Select(l => (l.GetProperty("line").GetInt32(), l.GetProperty("record").GetInt32(), l.GetProperty("field").GetString(), l.GetProperty("reason").GetString())).ToList();
        Assert.Equal(
        [
            (4, 2, "email", "stands in the file twice, in line 2 before"),
            (5, 3, "email", "must be an e-mail address, like ada@example.com"),
            (6, 4, "email", "is missing: an account signs in with its e-mail"),
            (7, 5, "password_hash", "has a bcrypt cost of more than 15"),
            (8, 6, "is_active", "is neither true nor false"),
            (9, 7, "created_at", "is no time like 2026-01-31T12:00:00Z"),
            (10, 8, "name", "has more than 200 characters"),
            (11, 9, "record", "has 3 fields where the header has 5"),
        ], told);
        Assert.Contains("line 4, record 2: email stands in the file twice", error);
        Assert.DoesNotContain("DxN1AJQP", error + File.ReadAllText(report));
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(report));
        Assert.Equal("Ada, of\ntwo lines", (await RowAsync(ada)).Name);
        // Without a password there is nothing that fits.
        foreach (var password in new[] { "", "!", Password })
            Assert.Equal(400, (int)(await App.PostTokenAsync(bob, password)).StatusCode);
    }

    [Fact]
    public async Task A_broken_record_of_JSON_hides_no_other()
    {
        var emails = Enumerable.Range(0, 5).Select(_ => TestUsers.NewEmail()).ToList();
        foreach (var (content, faults) in new (string, (int, string)[])[]
        {
            ($$"""
            {"email":"{{emails[0]}}"}
            {"email":"x
            {"email":"{{emails[1]}}","name":"}{"}
            {"email":"x","oops":{"a":[1,2}
            {"email":"x",}
            noise
            {"email":"{{emails[2]}}","email":"y"}
            {"email":"{{emails[3]}}","unknown":1}
            {"email":"{{emails[4]}}"
            """, [(2, "has a string that does not end"), (4, "ends before its last brace"), (5, "is no valid JSON (line 5, byte 13)"), (6, "is no JSON object"), (7, "names a member twice"), (8, "is not known here"), (9, "ends before its last brace")]),
            ($$"""
            [
            {"email":"{{emails[0]}}"}, 7, "text", ["{"],
            {"email":"{{emails[1]}}"
            """, [(2, "is no JSON object"), (2, "is no JSON object"), (2, "is no JSON object"), (3, "ends before its last brace")]),
            ("""{"users":[{"email":"x@example.com","is_active":{"a":1}}],"users2":[{""", [(1, "must"), (1, "the file ends in the middle")]),
        })
        {
            var report = Path.Combine(_folder, "report.jsonl");
            var (code, output, error) = await ImportAsync(Write("users.json", content), "--format", "json", "--report", report);
            Assert.True(code == 1, output + error);
            var told = File.ReadLines(report).Select(l => JsonDocument.Parse(l).RootElement).Select(l => (l.GetProperty("line").GetInt32(), l.GetProperty("reason").GetString()!)).ToList();
            Assert.True(told.Count == faults.Length && told.Zip(faults).All(p => p.First.Item1 == p.Second.Item1 && p.First.Item2.Contains(p.Second.Item2, StringComparison.Ordinal)), string.Join('\n', told));
        }
    }

    [Fact]
    public async Task An_update_changes_what_the_file_has_and_leaves_passwords_that_were_used_here()
    {
        var (ada, bob) = (TestUsers.NewEmail(), TestUsers.NewEmail());
        string File(string name, string hash, bool active) => Write("users.csv", $"email,name,password_hash,is_active,email_verified,external_id\n{ada},{name},{hash},{active},true,{ada}\n{bob},Bob,{hash},true,false,\n");
        await ImportAsync(File("Ada", Bcrypt, true));
        var tokens = await App.SignInAsync(ada, Password);
        using var http = App.With(tokens.GetProperty("access_token").GetString()!);
        var id = (await RowAsync(ada)).Id;

        // Of another password, "7".
        var other = HashTools.Make("ASP.NET Identity", "7").Last().Hash;
        Assert.Equal("csv: 2 read, 2 updated, 0 as they were, 0 refused", Line(await ImportAsync(File("Ada L.", other, true), "--update")).Replace("0 added, ", ""));
        await App.SignInAsync(ada, Password);
        await App.SignInAsync(bob, "7");
        Assert.Equal("Ada L.", (await (await http.GetAsync($"/users/{id}", Ct)).JsonAsync()).GetProperty("name").GetString());
        Assert.Equal("csv: 2 read, 0 added, 0 updated, 2 as they were, 0 refused", Line(await ImportAsync(File("Ada L.", other, true), "--update")));

        // Told to, also those; whoever was signed in by the one before is out, and what was mailed before opens nothing.
        await (await App.Http.PostAsJsonAsync("/auth/password/reset", new { email = ada }, Ct)).JsonlessAsync(202);
        var token = (await App.MailAsync(ada, "A new password")).Token;
        Assert.Equal("csv: 2 read, 0 added, 2 updated, 0 as they were, 0 refused", Line(await ImportAsync(File("Ada L.", other, true), "--update-passwords")));
        await Eventually.TrueAsync(async () => (int)(await http.GetAsync($"/users/{id}", Ct)).StatusCode == 401);
        await (await App.Http.PostAsJsonAsync("/auth/password", new { token, password = "another horse battery" }, Ct)).ShouldBeProblemAsync(400, "users/link-invalid");
        await App.SignInAsync(ada, "7");
        await ImportAsync(File("Ada L.", other, false), "--update");
        await (await App.PostTokenAsync(ada, "7")).ShouldBeProblemAsync(400, "users/invalid-grant");
        Assert.Equal((ada, "import"), ((await RowAsync(ada)).ExternalId, (await RowAsync(ada)).ExternalSource));
    }

    [Fact]
    public async Task A_file_makes_and_changes_administrators_only_where_the_operator_allows_it()
    {
        var (ada, bob) = (TestUsers.NewEmail(), TestUsers.NewEmail());
        using var root = await App.AdministratorAsync();
        var file = Write("users.csv", $"email,password_hash,is_administrator\n{ada},{Bcrypt},true\n{root.Email},{Bcrypt},false\n");

        var (code, output, error) = await ImportAsync(file, "--update-passwords");

        Assert.Equal(1, code);
        Assert.Contains("1 of them administrators where they come from", output);
        Assert.Contains("line 3, record 2: email is an administrator's here; --allow-admin", error);
        Assert.False((await RowAsync(ada)).IsAdministrator);
        await App.SignInAsync(root.Email);

        Assert.Equal(0, (await ImportAsync(file, "--update", "--allow-admin")).Code);
        Assert.True((await RowAsync(ada)).IsAdministrator);
        // A role is given by a file, never taken.
        Assert.True((await RowAsync(root.Email)).IsAdministrator);
        Assert.Equal(0, (await ImportAsync(Write("b.csv", $"email,is_administrator\n{bob},true\n"), "--allow-admin")).Code);
        Assert.True((await RowAsync(bob)).IsAdministrator);
    }

    [Fact]
    public async Task An_account_that_a_file_makes_administrator_keeps_its_sessions_and_loses_its_keys()
    {
        using var person = await App.PersonAsync();
        var made = await (await person.Http.PostAsJsonAsync("/keys", new { name = "script" }, Ct)).JsonAsync(201);

        Assert.Equal(0, (await ImportAsync(Write("users.csv", $"email,is_administrator\n{person.Email},true\n"), "--update", "--allow-admin")).Code);

        Assert.True((await RowAsync(person.Email)).IsAdministrator);
        using var script = App.With(made.GetProperty("key").GetString()!);
        await (await script.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        Assert.Empty((await (await person.Http.GetAsync("/keys", Ct)).JsonAsync()).EnumerateArray());
    }

    [Fact]
    public async Task The_last_administrator_stays_whatever_the_file_says()
    {
        await using var app = await TestApp.StartAsync();
        using var root = await app.AdministratorAsync();
        var file = Write("users.csv", $"email,is_active\n{TestUsers.NewEmail()},true\n{root.Email},false\n");

        var (code, output, error) = await Programs.RunAsync("user", "import", file, "--update", "--allow-admin", "--data", app.Data);

        Assert.Equal((1, "csv: 2 read, 1 added, 0 updated, 0 as they were, 1 refused"), (code, output.Split('\n')[0]));
        Assert.Contains("is_active cannot become false: This is the last active administrator", error);
        await app.SignInAsync(root.Email);
    }

    [Fact]
    public async Task A_foreign_id_belongs_to_one_account()
    {
        var (ada, eve) = (TestUsers.NewEmail(), TestUsers.NewEmail());
        var id = Guid.NewGuid();
        await ImportAsync(Write("a.csv", $"email,external_source,external_id\n{ada},old,{id}\n"));

        foreach (var update in new string[][] { [], ["--update"] })
        {
            var (code, _, error) = await ImportAsync(Write("b.csv", $"email,external_source,external_id\n{eve},old,{id}\n"), update);
            Assert.Equal(1, code);
            Assert.Contains($"external_id belongs to account {(await RowAsync(ada)).Id} already, which has another e-mail", error);
        }

        // Of another source it is another one.
        Assert.Equal(0, (await ImportAsync(Write("c.csv", $"email,external_id\n{eve},{id}\n"), "--source", "older")).Code);
        Assert.Equal(("older", $"{id}"), ((await RowAsync(eve)).ExternalSource, (await RowAsync(eve)).ExternalId));
    }

    [Fact]
    public async Task A_trial_says_what_would_be_and_stores_nothing()
    {
        await using var app = await TestApp.StartAsync();
        var file = Write("users.csv", "email\n" + string.Concat(Enumerable.Range(0, 450).Select(i => $"p{i}@example.com\n")) + "nobody\n");

        var (code, output, _) = await Programs.RunAsync("user", "import", file, "--dry-run", "--data", app.Data);

        Assert.Equal((1, "csv: 451 read, 450 to be added, 0 already there, 1 refused; nothing is stored"), (code, output.Split('\n')[0]));
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_accounts", Ct));
        await app.SettledAsync();
        Assert.Equal(0, await app.Db.FindAsync<long>($"select coalesce(sum(count), 0) from reports_signups", Ct));
    }

    [Fact]
    public async Task An_import_that_is_killed_goes_on_where_it_was_and_nobody_is_missing_or_there_twice()
    {
        await using var app = await TestApp.StartAsync();
        const int All = 20_000;
        var file = Write("users.csv", "email,password_hash\n" + string.Concat(Enumerable.Range(0, All).Select(i => $"p{i}@example.com,{Md5}\n")));
        using (var process = Programs.Start("user", "import", file, "--data", app.Data))
        {
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select count(*) from users_accounts", Ct) > 0, seconds: 30);
            process.Kill();
            await process.WaitForExitAsync(Ct);
        }

        var before = await app.Db.FindAsync<long>($"select count(*) from users_accounts", Ct);
        Assert.InRange(before, 1, All - 1);
        Assert.Equal(0, before % 200);

        var (code, output, error) = await Programs.RunAsync("user", "import", file, "--data", app.Data);

        Assert.True(code == 0, error);
        Assert.StartsWith($"csv: {All:N0} read, {All - before:N0} added, {before:N0} already there, 0 refused", output);
        Assert.Equal(All, await app.Db.FindAsync<long>($"select count(*) from users_accounts", Ct));
        // Each with its event.
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select coalesce(sum(count), 0) from reports_signups", Ct) == All);
        await app.SignInAsync("p19999@example.com", Password);
    }

    [Fact]
    public async Task What_cannot_be_begun_is_said_on_standard_error()
    {
        foreach (var (code, message, content, args) in new (int, string, string, string[])[]
        {
            (2, "like that of no program known here", "a,b\n1,2\n", []),
            (2, "the file is no JSON", "email\nx@example.com\n", ["--format", "json"]),
            (2, "'ldif' not recognized", "email\n", ["--format", "ldif"]),
            (2, "the header names a column twice", "email,email\nx@example.com,y\n", []),
            (2, "has no base64_signer_key", "email\n", ["--firebase-hash", Write("empty", "")]),
            (2, "--source must have", "email\n", ["--source", ""]),
            (1, "Could not find file", "email\n", ["--firebase-hash", Path.Combine(_folder, "none")]),
        })
        {
            var (got, output, error) = await ImportAsync(Write("users", content), args);
            Assert.True(got == code, $"{message}: {got} {output}{error}");
            Assert.Contains(message, error);
            Assert.DoesNotContain("   at ", error);
        }

        Assert.Contains("Could not find file", (await ImportAsync(Path.Combine(_folder, "none"))).Error);
        Assert.Equal((0, "csv: 0 read, 0 added, 0 already there, 0 refused\n", ""), await ImportAsync(Write("users", "email,name\n")));
        Assert.Equal((0, "json: 0 read, 0 added, 0 already there, 0 refused\n", ""), await ImportAsync(Write("users", "[]")));
        File.WriteAllBytes(Path.Combine(_folder, "latin"), [.. "email,name\nx@example.com,Andr"u8, 0xE9, .. "\n"u8]);
        Assert.Contains("is not UTF-8", (await ImportAsync(Path.Combine(_folder, "latin"), "--format", "csv")).Error);
    }

    async Task<StoredHash> StoredAsync(string email) => StoredHash.Read((await RowAsync(email)).PasswordHash);

    async Task<Row> RowAsync(string email) => await App.Db.FindAsync<Row>(
        $"select id, name, is_active, is_administrator, created_at, email_verified_at, external_source, external_id, password_hash from users_accounts where email = {email}", Ct)
        ?? throw new InvalidOperationException($"{email} is not there.");

    Task<(int Code, string Output, string Error)> ImportAsync(string path, params string[] args) => Programs.RunAsync(["user", "import", path, "--data", App.Data, .. args]);

    static string Line((int Code, string Output, string Error) said) => said.Code == 0 ? said.Output.Split('\n')[0] : said.Error;

    string Write(string name, string text)
    {
        var path = Path.Combine(_folder, name);
        File.WriteAllText(path, text);
        return path;
    }

    sealed record Row(long Id, string Name, bool IsActive, bool IsAdministrator, DateTime CreatedAt, DateTime? EmailVerifiedAt, string? ExternalSource, string? ExternalId, string PasswordHash);
}
