using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Tandem.Tests.Repo;
using Tandem.Users.Audit;

namespace Tandem.Tests.Backup;

/// <summary>From the data directory to PostgreSQL and back. Where the suite runs on PostgreSQL.</summary>
public sealed class GrowTests : IAsyncDisposable
{
    // What keeps a program on its data directory although the suite runs on PostgreSQL.
    static readonly string[] Embedded = ["--Postgres:ConnectionString", ""];

    readonly string _data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
    readonly string _database = $"grow_{Guid.NewGuid():n}";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    string[] Postgres => ["--Postgres:ConnectionString", TestStores.ConnectionString(_database)];

    public async ValueTask DisposeAsync()
    {
        if (Directory.Exists(_data))
            Directory.Delete(_data, recursive: true);
        if (TestStores.OnPostgres)
            await TestStores.RunAsync("postgres", $"drop database if exists {_database} with (force)");
    }

    [Fact]
    public async Task Everything_moves_to_PostgreSQL_and_back_and_nobody_has_to_sign_in_again()
    {
        await MakeDatabaseAsync();
        Person ada;
        await using (var app = await StartAsync(Embedded))
        {
            ada = await app.PersonAsync();
            await AddAsync(ada.Http, "first", 0.1m);
            await AddAsync(ada.Http, "naïve \\ \t \n 😀", 999_999_999_999.99m);
            for (var i = 0; i < 3; i++)
                await app.RegisterAsync($"early{i}@example.com");
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select coalesce(sum(count), 0) from reports_signups", Ct) == 4);
        }

        Assert.Equal(0, (await Programs.RunAsync(["model", "train", Path.Combine(Repository.Root, "samples", "iris.csv"), "--target", "species", "--data", _data, .. Embedded])).Code);
        // The consumer that counts sign-ups does not run in this one: what it has not seen must move too.
        await using (var app = await StartAsync(["--roles", "users,gateway", .. Embedded]))
        {
            for (var i = 0; i < 2; i++)
                await app.RegisterAsync($"late{i}@example.com");
            var (refused, _, why) = await GrowAsync();
            Assert.Equal(2, refused);
            Assert.Contains("Another server runs", why);
        }

        var (code, output, error) = await GrowAsync("--json");
        Assert.True(code == 0, error);
        var said = JsonDocument.Parse(output).RootElement;
        Assert.True(said.GetProperty("read_only_seconds").GetDouble() > 0);
        Assert.Equal(1, said.GetProperty("files").GetInt32());
        Assert.Contains(said.GetProperty("tables").EnumerateArray(), t => t.GetProperty("name").GetString() == "users_accounts" && t.GetProperty("rows").GetInt64() == 6);

        // Nobody goes on with what was left behind, by mistake.
        (code, _, error) = await Programs.RunAsync(["user", "list", "--data", _data, .. Embedded]);
        Assert.Equal(2, code);
        Assert.Contains("was moved to PostgreSQL", error);

        await using (var app = await StartAsync(Postgres))
        {
            await IsWholeAsync(app, ada, accounts: 6);
            await app.RegisterAsync("grown@example.com");
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select coalesce(sum(count), 0) from reports_signups", Ct) == 7);
            var (refused, _, why) = await GrowAsync("--to-embedded");
            Assert.Equal(1, refused);
            Assert.Contains("stop the servers first", why);
        }

        (code, output, error) = await GrowAsync("--to-embedded");
        Assert.True(code == 0, error);
        Assert.Contains("moved and compared", output);
        await using (var app = await StartAsync(Embedded))
        {
            await IsWholeAsync(app, ada, accounts: 7);
            Assert.Equal(8, await app.RegisterAsync("back@example.com"));
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select coalesce(sum(count), 0) from reports_signups", Ct) == 8);
        }
    }

    [Fact]
    public async Task Killed_in_the_middle_it_goes_on_where_it_was_and_no_server_starts_on_a_half()
    {
        await MakeDatabaseAsync();
        const int Rows = 60_000;
        await using (var app = await StartAsync(Embedded))
            await app.RegisterAsync("ada@example.com");
        await FillAsync(Rows);

        using (var process = Programs.Start(["grow", "--data", _data, .. Postgres]))
        {
            process.StandardInput.Close();
            // Seen from the database: some of the items are there and not all.
            await Eventually.TrueAsync(async () => process.HasExited || await CountAsync() is > 0, 60);
            process.Kill();
            await process.WaitForExitAsync(Ct);
        }

        Assert.InRange(await CountAsync(), 1, Rows - 1);
        await Eventually.TrueAsync(async () => await TestStores.ScalarAsync<long>(_database, "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'tandem'") == 0);
        using (var server = Programs.Start(["serve", "--data", _data, "--urls", "http://127.0.0.1:0", .. Postgres]))
        {
            var why = server.StandardError.ReadToEndAsync(Ct);
            await server.WaitForExitAsync(Ct);
            Assert.Equal(2, server.ExitCode);
            Assert.Contains("half of a store", await why);
        }

        var (code, output, error) = await GrowAsync("--json");
        Assert.True(code == 0, error);
        Assert.True(JsonDocument.Parse(output).RootElement.GetProperty("resumed").GetInt64() > 0);
        Assert.Equal(Rows, await CountAsync());
        Assert.Equal(0, await TestStores.ScalarAsync<long>(_database, "select count(*) from pg_tables where tablename = 'core_grow'"));
    }

    [Fact]
    public async Task What_changed_between_two_runs_is_found_and_copied_anew_on_request()
    {
        await MakeDatabaseAsync();
        await using (var app = await StartAsync(Embedded))
            await app.RegisterAsync("ada@example.com");
        Assert.Equal(0, (await GrowAsync()).Code);
        // As if the run had been broken off at its end, and somebody had written to the directory afterwards.
        File.Delete(Path.Combine(_data, "grown.json"));
        await TestStores.RunAsync(_database, """
            create table core_grow (name text primary key, copied bigint not null);
            do $$
            declare
                t text;
                n bigint;
            begin
                for t in select tablename from pg_tables where schemaname = 'public' loop
                    execute format('select count(*) from %I', t) into n;
                    insert into core_grow values (t, n);
                end loop;
            end $$
            """);
        await ExecuteAsync("update users_accounts set name = 'Eve'");

        var (code, _, error) = await GrowAsync();
        Assert.Equal(1, code);
        Assert.Contains("users_accounts has 1 rows", error);
        Assert.Contains("--restart", error);
        (code, _, error) = await GrowAsync("--restart");
        Assert.True(code == 0, error);
        Assert.Equal("Eve", await TestStores.ScalarAsync<string>(_database, "select name from users_accounts"));
    }

    [Fact]
    public async Task A_database_that_holds_rows_and_a_directory_that_holds_none_are_refused()
    {
        await MakeDatabaseAsync();
        var (code, _, error) = await GrowAsync();
        Assert.Equal(1, code);
        Assert.Contains("holds no store", error);
        await using (var app = await StartAsync(Postgres))
            await app.RegisterAsync("ada@example.com");
        await using (var app = await StartAsync(Embedded))
            await app.RegisterAsync("eve@example.com");
        (code, _, error) = await GrowAsync();
        Assert.Equal(1, code);
        Assert.Contains("holds rows already", error);
        (code, _, error) = await GrowAsync("--restart");
        Assert.Equal(1, code);
        (code, _, error) = await GrowAsync("--to-embedded");
        Assert.Equal(1, code);
        Assert.Contains("holds a store of its own", error);
        Assert.Equal("ada@example.com", await TestStores.ScalarAsync<string>(_database, "select email from users_accounts"));
    }

    [Fact]
    public async Task The_settings_to_use_are_printed_without_the_password()
    {
        await MakeDatabaseAsync();
        await using (var app = await StartAsync(Embedded))
            await app.RegisterAsync("ada@example.com");
        var (code, output, error) = await Programs.RunAsync("grow", "--data", _data, "--postgres", TestStores.ConnectionString(_database, ";Password=hush hush"), "--Postgres:ConnectionString", TestStores.ConnectionString(_database, ";Password=hush hush"));
        Assert.True(code == 0, error);
        Assert.Contains("Postgres:ConnectionString", output);
        Assert.Contains($"Database={_database}", output);
        Assert.Contains("Password=…", output);
        Assert.DoesNotContain("hush", output + error);
    }

    /// <summary>All that was there before the move, seen over HTTP with a token of before it.</summary>
    static async Task IsWholeAsync(TestApp app, Person ada, int accounts)
    {
        using var http = app.With(ada.AccessToken);
        var items = (await (await http.GetAsync("/items?sort=id", Ct)).JsonAsync()).EnumerateArray().ToList();
        Assert.Equal([("first", 0.1m), ("naïve \\ \t \n 😀", 999_999_999_999.99m)], items.Select(i => (i.GetProperty("name").GetString()!, i.GetProperty("price").GetDecimal())));
        await (await http.PostAsJsonAsync("/predict", new { sepal_length = 5.1, sepal_width = 3.5, petal_length = 1.4, petal_width = 0.2 }, Ct)).JsonAsync();
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select coalesce(sum(count), 0) from reports_signups", Ct) == accounts);
        Assert.Equal(accounts, await app.Db.FindAsync<long>($"select count(*) from users_accounts", Ct));
        // The refresh token too.
        var form = new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = ada.Tokens.GetProperty("refresh_token").GetString()! };
        await (await app.PostTokenAsync(form)).JsonAsync();
        // And the chain of the audit trail, over what was written on either database.
        var trail = app.Services.GetRequiredService<AuditTrail>();
        await trail.SealAsync(Ct);
        var verdict = await trail.VerifyAsync(null, Ct);
        Assert.True(verdict.Broken is null && verdict.Rows > accounts, $"{verdict.Rows} rows, row {verdict.Broken} {verdict.Fault}");
    }

    Task<TestApp> StartAsync(string[] settings) => KeptAsync(TestApp.StartAsync(a => a.Resource<Item>("/items"), _data, settings));

    static async Task<TestApp> KeptAsync(Task<TestApp> app) => TestApp.KeepData(await app);

    Task<(int Code, string Output, string Error)> GrowAsync(params string[] args) => Programs.RunAsync(["grow", .. args, "--data", _data, .. Postgres]);

    static async Task AddAsync(HttpClient http, string name, decimal price) => await (await http.PostAsJsonAsync("/items", new { name, price }, Ct)).JsonAsync(201);

    async Task MakeDatabaseAsync()
    {
        Assert.SkipUnless(TestStores.OnPostgres, "It needs both stores: TANDEM_TEST_STORES=postgres.");
        await TestStores.RunAsync("postgres", $"create database {_database}");
    }

    Task FillAsync(int rows) => ExecuteAsync($"""
        with recursive n (i) as (select 1 union all select i + 1 from n where i < {rows})
        insert into resources_items (row_version, row_created_at, row_updated_at, name, price)
        select 1, '2026-01-02 03:04:05.000000', '2026-01-02 03:04:05.000000', 'item ' || i, i / 4.0 from n
        """);

    async Task ExecuteAsync(string sql)
    {
        await using var file = new SqliteConnection($"Data Source={Path.Combine(_data, "tandem.db")};Pooling=False");
        await file.OpenAsync(Ct);
        await using var command = file.CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync(Ct);
    }

    async Task<long> CountAsync()
    {
        try
        {
            return await TestStores.ScalarAsync<long>(_database, "select count(*) from resources_items");
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.UndefinedTable)
        {
            return 0;
        }
    }

    sealed record Item(string Name, decimal Price);
}
