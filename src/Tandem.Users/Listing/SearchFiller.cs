using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Data;

namespace Tandem.Users.Listing;

/// <summary>
/// Writes the texts that searches are answered from, for the accounts that have changed. Beside the changes, not with them: an index of three characters
/// is written in segments, one for each savepoint, and a sign-up would pay for its own.
/// </summary>
sealed class SearchFiller(Db db, ILogger<SearchFiller> logger) : BackgroundService
{
    // The writer of SQLite is kept that long, and others wait for it.
    const int Batch = 256;

    // Where many wait somebody has imported them, and who searches waits as well.
    const int BigBatch = 2048;

    static readonly int[] Sizes = [128, 16, 1];

    static readonly TimeSpan Every = TimeSpan.FromSeconds(1);

    // One of several processes does it; the others wait until that one is gone.
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => db.RunAloneAsync("users/search",
        ct => Rounds.RunAsync(Every, FillAsync, logger.SearchNotFilled, logger.SearchFilledAgain, ct), stoppingToken);

    /// <summary>Returns when nothing waits.</summary>
    public async Task FillAsync(CancellationToken ct)
    {
        for (var size = Batch; await FillAsync(size, ct) == size; size = BigBatch)
        {
        }
    }

    async Task<int> FillAsync(int size, CancellationToken ct)
    {
        var ids = await db.ListAsync<long>($"select id from users_unread order by id {Sql.Page(0, size)}", ct);
        if (ids.Count == 0)
            return 0;
        var (first, last) = (ids[0], ids[^1]);
        await db.InTransactionAsync(async tx =>
        {
            // First, so that whoever changes one of them meanwhile waits or comes first: what is read below is what the account is when it is no longer unread.
            var read = await tx.ListAsync<long>($"delete from users_unread where id between {first} and {last} returning id", CancellationToken.None);
            var there = new List<Text>(read.Count);
            foreach (var some in read.Order().Chunk(Sizes[0]))
                there.AddRange(await AccountsAsync(tx, some));
            foreach (var id in read.Except(there.Select(t => t.Id)))
                await tx.ExecuteAsync($"delete from users_texts where id = {id}", CancellationToken.None);
            await WriteAsync(tx, there);
        }, ct);
        return ids.Count;
    }

    static async Task<List<Text>> AccountsAsync(Transaction tx, long[] ids)
    {
        var texts = new List<Text>(ids.Length);
        foreach (var some in Parts(ids))
        {
            var list = new Sql(0, 0);
            foreach (var (i, id) in some.Index())
                list.Append(i == 0 ? (Sql)$"{id}" : $", {id}");
            texts.AddRange(await tx.ListAsync<Text>($"select id, email, name from users_accounts where id in ({list})", CancellationToken.None));
        }

        return texts;
    }

    static async Task WriteAsync(Transaction tx, List<Text> texts)
    {
        foreach (var some in Parts([.. texts]))
        {
            var rows = new Sql(0, 0);
            foreach (var (i, text) in some.Index())
                rows.Append((Sql)$"{Sql.Raw(i == 0 ? "" : ", ")}({text.Id}, {text.Email}, {SearchText.Fold(text.Name)})");
            await tx.ExecuteAsync($"insert into users_texts (id, email, name) values {rows} on conflict (id) do update set email = excluded.email, name = excluded.name", CancellationToken.None);
        }
    }

    /// <summary>In a few sizes only: each makes a statement of its own, and those are kept.</summary>
    static IEnumerable<T[]> Parts<T>(T[] all)
    {
        for (var at = 0; at < all.Length;)
        {
            var size = Sizes.First(s => s <= all.Length - at);
            yield return all[at..(at + size)];
            at += size;
        }
    }

    sealed record Text(long Id, string Email, string Name);
}
