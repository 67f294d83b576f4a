using System.Collections.Concurrent;
using System.Formats.Tar;
using System.IO.Compression;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Tandem.Core.Data;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Backup;

/// <summary>Backup and restore as an operator does them, on the stores that the suite runs on.</summary>
public sealed class BackupTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("tandem-backup-").FullName;

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    string Archive => Path.Combine(_folder, "one.tar.gz");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_backup_beside_a_writing_server_holds_all_that_was_acknowledged_before_and_comes_back_whole()
    {
        await using var app = await StartAsync();
        var ada = await app.PersonAsync();
        Assert.Equal(0, (await Programs.RunAsync("model", "train", Path.Combine(Repository.Root, "samples", "iris.csv"), "--target", "species", "--data", app.Data)).Code);
        var acknowledged = new ConcurrentBag<long>();
        using var stop = new CancellationTokenSource();
        var writers = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
                acknowledged.Add(await AddAsync(ada.Http, "item"));
        }, Ct)).ToArray();
        await Eventually.TrueAsync(() => Task.FromResult(acknowledged.Count > 200));
        long[] before = [.. acknowledged];

        var (code, output, error) = await Programs.RunAsync("backup", Archive, "--data", app.Data, "--verify");
        Assert.True(code == 0, error);
        Assert.Contains("restored and compared", output);
        var written = acknowledged.Count;
        await Eventually.TrueAsync(() => Task.FromResult(acknowledged.Count > written + 50));
        await stop.CancelAsync();
        await Task.WhenAll(writers);

        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Archive));
        Assert.Equal([Archive], Directory.GetFiles(_folder));

        var data = Path.Combine(_folder, "data");
        (code, output, error) = await RestoreAsync(data);
        Assert.True(code == 0, error);
        await using var again = TestApp.KeepData(await StartAsync(data));
        // The view is of one moment: each row with its event, and nothing acknowledged before it is missing.
        var items = await again.Db.ListAsync<long>($"select id from resources_items order by id", Ct);
        await again.SettledAsync();
        Assert.Empty(before.Except(items));
        Assert.Equal(items.Count, await again.Db.FindAsync<long>($"select count(*) from events_log where name = 'items.created'", Ct));
        // A token of before still opens the door, and the model predicts.
        using var http = again.With(ada.AccessToken);
        await (await http.GetAsync($"/items/{before[0]}", Ct)).JsonAsync();
        var setosa = new { sepal_length = 5.1, sepal_width = 3.5, petal_length = 1.4, petal_width = 0.2 };
        await (await http.PostAsJsonAsync("/predict", setosa, Ct)).JsonAsync();
        // The database numbers on.
        Assert.True(await AddAsync(http, "next") > items[^1]);
        await TestStores.DropAsync(data);
    }

    [Fact]
    public async Task Numbers_once_given_out_are_not_given_out_again_after_a_restore()
    {
        await using var app = await StartAsync();
        var ada = await app.PersonAsync();
        await AddAsync(ada.Http, "kept");
        var last = await AddAsync(ada.Http, "deleted");
        await (await ada.Http.DeleteAsync($"/items/{last}", Ct)).JsonlessAsync(204);
        Assert.Equal(0, (await Programs.RunAsync("backup", Archive, "--data", app.Data)).Code);
        var data = Path.Combine(_folder, "data");
        Assert.Equal(0, (await RestoreAsync(data)).Code);
        await using var again = TestApp.KeepData(await StartAsync(data));
        using var http = again.With(ada.AccessToken);
        Assert.True(await AddAsync(http, "new") > last);
        await TestStores.DropAsync(data);
    }

    [Fact]
    public async Task A_drill_says_what_there_is_and_how_long_it_took_and_leaves_nothing()
    {
        await WriteArchiveAsync();
        var (code, output, error) = await Programs.RunAsync("restore", "--drill", Archive, "--json", "--data", Path.Combine(_folder, "none"));
        Assert.True(code == 0, error);
        var said = JsonDocument.Parse(output).RootElement;
        Assert.True(said.GetProperty("seconds").GetDouble() > 0);
        Assert.Contains(said.GetProperty("tables").EnumerateArray(), t => t.GetProperty("name").GetString() == "users_accounts" && t.GetProperty("rows").GetInt64() == 1);
        Assert.Empty(error);
        Assert.Equal([Archive], Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public async Task A_store_that_is_not_empty_or_is_served_is_not_replaced()
    {
        await WriteArchiveAsync();
        var data = Path.Combine(_folder, "data");
        int code;
        string error;
        await using (var app = TestApp.KeepData(await StartAsync(data)))
        {
            await app.RegisterAsync("other@example.com");
            (code, _, error) = await Programs.RunAsync("restore", Archive, "--data", data, "--force");
            Assert.NotEqual(0, code);
            Assert.Contains(TestStores.OnPostgres ? "stop the servers" : "Another server runs", error);
        }

        (code, _, error) = await Programs.RunAsync("restore", Archive, "--data", data);
        Assert.Equal(1, code);
        Assert.Contains("--force", error);

        (code, var output, error) = await Programs.RunAsync("restore", Archive, "--data", data, "--force");
        Assert.True(code == 0, error);
        await using (var again = TestApp.KeepData(await StartAsync(data)))
            Assert.Equal(["ada@example.com"], await again.Db.ListAsync<string>($"select email from users_accounts", Ct));
        await TestStores.DropAsync(data);
        if (TestStores.OnPostgres)
            return;
        // What was there can be had again.
        var former = Path.Combine(Assert.Single(Directory.GetDirectories(data, "replaced-*")), "tandem.db");
        Assert.Contains(Path.GetDirectoryName(former)!, output);
        await using var file = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={former};Pooling=False");
        await file.OpenAsync(Ct);
        await using var command = file.CreateCommand();
        command.CommandText = "select email from users_accounts";
        Assert.Equal("other@example.com", await command.ExecuteScalarAsync(Ct));
    }

    [Theory]
    [InlineData("cut", "is cut short|is damaged")]
    [InlineData("flipped", "is damaged|digest")]
    [InlineData("checksum flipped", "is damaged")]
    [InlineData("name flipped", "is damaged")]
    [InlineData("row changed", "holds 1 rows of users_accounts with digest")]
    [InlineData("row missing", "holds 0 rows of users_accounts with digest")]
    [InlineData("file changed", "file .* of the archive is damaged")]
    [InlineData("file missing", "does not hold the tables and files")]
    [InlineData("no manifest", "is cut short")]
    [InlineData("no archive", "no archive of Tandem")]
    [InlineData("later format", "format 2")]
    [InlineData("later schema", "a schema that this program does not know")]
    public async Task A_damaged_or_foreign_archive_is_refused_and_leaves_nothing(string damage, string said)
    {
        await WriteArchiveAsync();
        await DamageAsync(damage);
        var data = Path.Combine(_folder, "data");
        var (code, _, error) = await RestoreAsync(data);
        Assert.Equal(1, code);
        Assert.Matches(said, error);
        Assert.DoesNotContain("   at ", error);
        Assert.Empty(Directory.Exists(data) ? Directory.GetFiles(data, "tandem.db", SearchOption.AllDirectories) : []);
        if (TestStores.OnPostgres)
        {
            await using (var empty = TestApp.KeepData(await StartAsync(data)))
                Assert.Equal(0, await empty.Db.FindAsync<long>($"select count(*) from users_accounts", Ct));
            await TestStores.DropAsync(data);
        }
    }

    [Fact]
    public async Task Rows_whose_events_went_through_Kafka_are_drilled_but_not_restored_without_it()
    {
        await using (var app = await StartAsync())
        {
            await app.Db.ExecuteAsync($"insert into events_positions (consumer, partition, position, sequence) values ('kafka', {-1}, 5, 7)", Ct);
            Assert.Equal(0, (await Programs.RunAsync("backup", Archive, "--data", app.Data, "--verify")).Code);
        }

        var data = Path.Combine(_folder, "data");
        var (code, _, error) = await RestoreAsync(data);
        Assert.Equal(1, code);
        Assert.Contains("--kafka", error);
        await TestStores.DropAsync(data);
    }

    [Fact]
    public async Task An_archive_is_never_written_over_and_an_empty_or_missing_store_makes_none()
    {
        TestStores.OnlyEmbedded();
        await File.WriteAllTextAsync(Archive, "mine", Ct);
        await using var app = await StartAsync();
        Assert.Equal(2, (await Programs.RunAsync("backup", Archive, "--data", app.Data)).Code);
        Assert.Equal("mine", await File.ReadAllTextAsync(Archive, Ct));
        var (code, _, error) = await Programs.RunAsync("backup", _folder, "--data", Path.Combine(_folder, "none"));
        Assert.Equal(1, code);
        Assert.Contains("There is no data directory", error);
        Assert.False(Directory.Exists(Path.Combine(_folder, "none")));
        Assert.Equal(0, (await Programs.RunAsync("backup", _folder, "--data", app.Data)).Code);
        Assert.Matches(@"tandem-\d{8}-\d{6}\.tar\.gz$", Directory.GetFiles(_folder).Single(f => f != Archive));
    }

    [Fact]
    public async Task Rows_of_an_earlier_program_are_brought_to_this_ones_schema()
    {
        // Its things had a colour and no size.
        await using (var app = await TestApp.StartAsync(a => a.Resource<Earlier.Thing>("/things").AllowAnonymous()))
        {
            await (await app.Http.PostAsJsonAsync("/things", new { name = "one", colour = "red" }, Ct)).JsonAsync(201);
            Assert.Equal(0, await RunAsync(a => a.Resource<Earlier.Thing>("/things"), "backup", Archive, "--data", app.Data));
        }

        var data = Path.Combine(_folder, "data");
        Assert.Equal(0, await RunAsync(a => a.Resource<Later.Thing>("/things"), "restore", Archive, "--data", data));
        await using var again = TestApp.KeepData(await TestApp.StartAsync(a => a.Resource<Later.Thing>("/things").AllowAnonymous(), data));
        var thing = await (await again.Http.GetAsync("/things/1", Ct)).JsonAsync();
        Assert.Equal(("one", 7, true), (thing.GetProperty("name").GetString(), thing.GetProperty("size").GetInt32(), thing.GetProperty("is_good").GetBoolean()));
        // What this program does not know any more is not thrown away.
        Assert.Equal("red", await again.Db.FindAsync<string>($"select colour from resources_things", Ct));
        await TestStores.DropAsync(data);
    }

    static Task<TestApp> StartAsync(string? data = null) => TestApp.StartAsync(a => a.Resource<Item>("/items"), data);

    static async Task<long> AddAsync(HttpClient http, string name) =>
        (await (await http.PostAsJsonAsync("/items", new { name, price = 1.25m }, Ct)).JsonAsync(201)).GetProperty("id").GetInt64();

    Task<(int Code, string Output, string Error)> RestoreAsync(string data) => Programs.RunAsync("restore", Archive, "--data", data);

    /// <summary>A program with other types than the shipped one, in this process.</summary>
    static async Task<int> RunAsync(Action<TandemApp> configure, params string[] args)
    {
        var app = TandemApp.Create([.. args, .. await TestStores.SettingsAsync(args[^1])]);
        Tandem.Postgres.PostgresHosting.UsePostgres(app);
        configure(app);
        return await app.RunAsync();
    }

    async Task WriteArchiveAsync()
    {
        await using var app = await StartAsync();
        await app.RegisterAsync("ada@example.com");
        Assert.Equal(0, (await Programs.RunAsync("model", "train", Path.Combine(Repository.Root, "samples", "iris.csv"), "--target", "species", "--trees", "2", "--data", app.Data)).Code);
        var (code, _, error) = await Programs.RunAsync("backup", Archive, "--data", app.Data);
        Assert.True(code == 0, error);
    }

    async Task DamageAsync(string damage)
    {
        var bytes = await File.ReadAllBytesAsync(Archive, Ct);
        switch (damage)
        {
            case "cut":
                await File.WriteAllBytesAsync(Archive, bytes[..(bytes.Length / 2)], Ct);
                return;
            case "flipped":
                await File.WriteAllBytesAsync(Archive, Flipped(bytes), Ct);
                return;
            case "checksum flipped":
                await FlipChecksumAsync();
                return;
            case "no archive":
                await File.WriteAllTextAsync(Archive, "a letter to somebody", Ct);
                return;
        }

        var entries = new List<(string Name, byte[] Content)>();
        await using (var tar = new TarReader(new GZipStream(new MemoryStream(bytes), CompressionMode.Decompress)))
            while (await tar.GetNextEntryAsync(copyData: true, Ct) is { } entry)
            {
                var content = new MemoryStream();
                await (entry.DataStream ?? Stream.Null).CopyToAsync(content, Ct);
                entries.Add((entry.Name, content.ToArray()));
            }

        await using (var writer = new TarWriter(new GZipStream(new FileStream(Archive, FileMode.Create), CompressionLevel.Fastest)))
            await WriteAsync(writer, entries, damage);
        if (damage == "name flipped")
            await FlipChecksumAsync();
    }

    /// <summary>One bit in the middle is another. A reference to earlier zeros may be to others as well: such a bit changes nothing that is read, and the next one is taken.</summary>
    static byte[] Flipped(byte[] archive)
    {
        for (var at = archive.Length / 2; ; at++)
        {
            var flipped = (byte[])archive.Clone();
            flipped[at] ^= 0x10;
            if (!Unpacked(flipped).SequenceEqual(Unpacked(archive)))
                return flipped;
        }

        static byte[] Unpacked(byte[] bytes)
        {
            try
            {
                var whole = new MemoryStream();
                new GZipStream(new MemoryStream(bytes), CompressionMode.Decompress).CopyTo(whole);
                return whole.ToArray();
            }
            catch (InvalidDataException)
            {
                return [];
            }
        }
    }

    async Task FlipChecksumAsync()
    {
        var bytes = await File.ReadAllBytesAsync(Archive, Ct);
        // RFC 1952, 2.3.1: CRC-32 and length, four bytes each, are the last of the file.
        bytes[^8] ^= 0x10;
        await File.WriteAllBytesAsync(Archive, bytes, Ct);
    }

    static async Task WriteAsync(TarWriter writer, List<(string Name, byte[] Content)> entries, string damage)
    {
        foreach (var (name, content) in entries)
        {
            var text = Encoding.UTF8.GetString(content);
            var changed = (damage, name) switch
            {
                ("row changed", _) when name.Contains("users_accounts") => Encoding.UTF8.GetBytes(text.Replace("ada@", "eve@")),
                ("row missing", _) when name.Contains("users_accounts") => null,
                ("file changed", _) when name.StartsWith("files/") => [.. content[..^1], (byte)(content[^1] ^ 1)],
                ("file missing", _) when name.StartsWith("files/") => null,
                ("no manifest", "manifest.json") => null,
                ("later format", "schema.json") => Encoding.UTF8.GetBytes(text.Replace("\"format\":1", "\"format\":2")),
                ("later schema", "schema.json") => Encoding.UTF8.GetBytes(text.Replace("core/0001_core.sql", "core/9999_later.sql")),
                _ => content,
            };
            var called = damage == "name flipped" ? name.Replace("tables/", "tablas/") : name;
            if (changed is not null)
                await writer.WriteEntryAsync(new PaxTarEntry(TarEntryType.RegularFile, called) { DataStream = new MemoryStream(changed) }, Ct);
        }
    }

    sealed record Item(string Name, decimal Price);

    static class Earlier
    {
        internal sealed record Thing(string Name, string Colour);
    }

    static class Later
    {
        internal sealed record Thing(string Name, int Size = 7, bool IsGood = true);
    }
}
