using System.Security.Cryptography;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Data;
using Tandem.Core.Files;

namespace Tandem.Tests.Core;

/// <summary>What the store of files promises, in the data directory and in the database.</summary>
public sealed class FileStoreTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static TheoryData<string> Kinds => ["directory", "database"];

    [Theory, MemberData(nameof(Kinds))]
    public async Task A_file_comes_back_as_it_was_and_the_same_bytes_are_one_file(string kind)
    {
        await using var app = await TestApp.StartAsync();
        var files = Make(app, kind, TimeProvider.System);
        // Empty, shorter than a piece, whole pieces, and more than a transaction takes.
        byte[][] contents = [[], Random(1), Random(DatabaseFiles.PieceBytes), Random(4 * DatabaseFiles.PieceBytes), Random(5 * DatabaseFiles.PieceBytes + 7)];
        foreach (var content in contents)
        {
            var stored = await files.PutAsync(content, Ct);
            Assert.Equal(new StoredFile(Convert.ToHexStringLower(SHA256.HashData(content)), content.Length), stored);
            Assert.Equal(stored, await files.PutAsync(content, Ct));
            Assert.True(await files.ExistsAsync(stored.Digest, Ct));
            Assert.Equal(content, await files.ReadAsync(stored.Digest, content.Length, Ct));
        }

        var all = new List<StoredFile>();
        while (await files.ListAsync(all.LastOrDefault()?.Digest ?? "", 2, Ct) is { Count: > 0 } page)
            all.AddRange(page);
        Assert.Equal(contents.Select(c => Convert.ToHexStringLower(SHA256.HashData(c))).Order(StringComparer.Ordinal), all.Select(f => f.Digest));
        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from core_file_chunks c where not exists (select 1 from core_files f where f.content = c.content)", Ct));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task What_is_not_there_or_too_large_or_no_digest_is_said_so(string kind)
    {
        await using var app = await TestApp.StartAsync();
        var files = Make(app, kind, TimeProvider.System);
        var digest = new string('a', 64);
        Assert.False(await files.ExistsAsync(digest, Ct));
        await Assert.ThrowsAsync<FileNotFoundException>(() => files.OpenAsync(digest, Ct));
        await Assert.ThrowsAsync<FileNotFoundException>(() => files.OpenAsync("../tandem.db", Ct));
        Assert.False(await files.ExistsAsync("../tandem.db", Ct));
        var stored = await files.PutAsync(Random(100), Ct);
        Assert.Contains("at most 99", (await Assert.ThrowsAsync<IOException>(() => files.ReadAsync(stored.Digest, 99, Ct))).Message);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Damage_is_noticed_and_storing_the_file_again_mends_it(string kind)
    {
        await using var app = await TestApp.StartAsync();
        var files = Make(app, kind, TimeProvider.System);
        var content = Random(3 * DatabaseFiles.PieceBytes);
        var digest = (await files.PutAsync(content, Ct)).Digest;
        foreach (var damage in new[] { "changed", "cut" })
        {
            await DamageAsync(app, kind, digest, damage);
            var e = await Assert.ThrowsAsync<DamagedFileException>(() => files.ReadAsync(digest, content.Length, Ct));
            Assert.Equal(digest, e.Digest);
            await files.PutAsync(content, Ct);
            Assert.Equal(content, await files.ReadAsync(digest, content.Length, Ct));
        }
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task A_file_whose_writing_breaks_off_is_not_there_and_its_remains_go_after_a_day(string kind)
    {
        await using var app = await TestApp.StartAsync();
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var files = Make(app, kind, clock);
        await Assert.ThrowsAsync<IOException>(() => files.PutAsync(new BrokenStream(Random(6 * DatabaseFiles.PieceBytes)), Ct));
        Assert.Empty(await files.ListAsync("", 10, Ct));
        // What a killed process leaves, which cannot tidy up after itself.
        var folder = Path.Combine(app.Data, "files");
        if (kind == "directory")
            await File.WriteAllTextAsync(Path.Combine(folder, "dead.tmp"), "half", Ct);
        Assert.NotEqual(0, await RemainsAsync());

        await files.PutAsync(Random(10), Ct);
        Assert.NotEqual(0, await RemainsAsync());
        clock.Advance(TimeSpan.FromDays(2));
        await files.PutAsync(Random(10), Ct);
        Assert.Equal(0, await RemainsAsync());
        Assert.Equal(2, (await files.ListAsync("", 10, Ct)).Count);

        async Task<long> RemainsAsync() => kind == "directory"
            ? Directory.EnumerateFiles(folder, "*.tmp").Count()
            : await app.Db.FindAsync<long>($"select count(*) from core_file_chunks c where not exists (select 1 from core_files f where f.content = c.content)", Ct);
    }

    [Fact]
    public async Task Files_stored_at_once_by_many_are_all_there()
    {
        await using var app = await TestApp.StartAsync();
        foreach (var kind in new[] { "directory", "database" })
        {
            var files = Make(app, kind, TimeProvider.System);
            var contents = Enumerable.Range(0, 8).Select(_ => Random(DatabaseFiles.PieceBytes + 1)).ToArray();
            await Task.WhenAll(contents.Concat(contents).Select(c => files.PutAsync(c, Ct)));
            Assert.Equal(8, (await files.ListAsync("", 100, Ct)).Count);
            foreach (var content in contents)
                Assert.Equal(content, await files.ReadAsync(Convert.ToHexStringLower(SHA256.HashData(content)), content.Length, Ct));
        }
    }

    [Fact]
    public async Task Embedded_files_are_in_the_data_directory()
    {
        TestStores.OnlyEmbedded();
        await using var app = await TestApp.StartAsync();
        var stored = await app.Services.GetRequiredService<IFileStore>().PutAsync(Random(10), Ct);
        Assert.Equal(10, new FileInfo(Path.Combine(app.Data, "files", stored.Digest)).Length);
    }

    static IFileStore Make(TestApp app, string kind, TimeProvider clock) => kind == "directory"
        ? new DirectoryFiles(new DataDirectory(app.Data), clock)
        : new DatabaseFiles(app.Db, clock);

    static async Task DamageAsync(TestApp app, string kind, string digest, string damage)
    {
        if (kind == "directory")
        {
            var path = Path.Combine(app.Data, "files", digest);
            var bytes = await File.ReadAllBytesAsync(path, Ct);
            bytes[^1] ^= 1;
            await File.WriteAllBytesAsync(path, damage == "cut" ? bytes[..^1] : bytes, Ct);
        }
        else if (damage == "cut")
            await app.Db.ExecuteAsync($"delete from core_file_chunks where number = 1", Ct);
        else
            await app.Db.ExecuteAsync($"update core_file_chunks set bytes = {Random(DatabaseFiles.PieceBytes)} where number = 1", Ct);
    }

    static byte[] Random(int length) => RandomNumberGenerator.GetBytes(length);

    /// <summary>Gives its bytes and then fails, as a connection does that is cut.</summary>
    sealed class BrokenStream(byte[] bytes) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            Position == Length ? throw new IOException("cut") : base.ReadAsync(buffer, cancellationToken);
    }
}
