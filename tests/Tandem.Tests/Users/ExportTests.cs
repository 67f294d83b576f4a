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
