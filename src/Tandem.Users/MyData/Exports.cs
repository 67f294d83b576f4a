using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Data;

namespace Tandem.Users.MyData;

/// <summary>The exports of people's data, each in parts that fit into memory.</summary>
/// <remarks>They are kept in the database and not with the files: what is stored there is never deleted.</remarks>
sealed class Exports(Db db, TimeProvider clock)
{
    /// <summary>Makes room for an export, and removes what an attempt before has left.</summary>
    public Task BeginAsync(Guid id, long accountId, DateTime now, DateTime expiresAt, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        await tx.ExecuteAsync($"delete from users_export_parts where export_id = {id}", CancellationToken.None);
        await tx.ExecuteAsync($"""
            insert into users_exports (id, account_id, made_at, expires_at) values ({id}, {accountId}, {now}, {expiresAt})
            on conflict (id) do update set made_at = excluded.made_at, expires_at = excluded.expires_at
            """, CancellationToken.None);
    }, ct);

    /// <summary>An export is ready; it takes the place of those before it.</summary>
    public static async Task FinishAsync(Transaction tx, Guid id, long length)
    {
        var account = await tx.FindAsync<long>($"update users_exports set length = {length} where id = {id} returning account_id", CancellationToken.None);
        await ForgetAsync(tx, account, except: id);
    }

    /// <summary>Removes an account's exports.</summary>
    public static async Task ForgetAsync(Transaction tx, long accountId, Guid except = default)
    {
        await tx.ExecuteAsync($"delete from users_export_parts where export_id in (select id from users_exports where account_id = {accountId} and id <> {except})", CancellationToken.None);
        await tx.ExecuteAsync($"delete from users_exports where account_id = {accountId} and id <> {except}", CancellationToken.None);
    }

    /// <summary>The account's export that is ready, or null.</summary>
    public Task<ReadyExport?> FindAsync(long accountId, CancellationToken ct) => db.FindAsync<ReadyExport>($"""
        select id, length, made_at from users_exports where account_id = {accountId} and length is not null and expires_at > {clock.UtcNow()} order by made_at desc limit 1
        """, ct);

    /// <summary>The export of an account that is being collected, which is called like its job; null: there is none.</summary>
    public Task<Guid?> UnfinishedAsync(long accountId, CancellationToken ct) => db.FindAsync<Guid?>($"""
        select id from users_exports where account_id = {accountId} and length is null and expires_at > {clock.UtcNow()} order by made_at desc limit 1
        """, ct);

    /// <summary>Writes an export to the end of <paramref name="to"/>.</summary>
    /// <exception cref="IOException">It was deleted meanwhile: whoever reads must not take what has come for the whole.</exception>
    public async Task WriteAsync(ReadyExport export, Stream to, CancellationToken ct)
    {
        var written = 0L;
        for (var number = 0; written < export.Length; number++)
        {
            var bytes = await db.FindAsync<byte[]>($"select bytes from users_export_parts where export_id = {export.Id} and number = {number}", ct)
                ?? throw new IOException($"The export {export.Id} was deleted while it was read.");
            await to.WriteAsync(bytes, ct);
            written += bytes.Length;
        }
    }

    /// <summary>Deletes those that have expired, one at a time: each may be large.</summary>
    public async Task SweepAsync(CancellationToken ct)
    {
        while (await db.FindAsync<Guid?>($"select id from users_exports where expires_at <= {clock.UtcNow()} order by expires_at limit 1", ct) is { } id)
            await db.InTransactionAsync(async tx =>
            {
                await tx.ExecuteAsync($"delete from users_export_parts where export_id = {id}", CancellationToken.None);
                await tx.ExecuteAsync($"delete from users_exports where id = {id}", CancellationToken.None);
            }, ct);
    }
}

/// <summary>Deletes the exports that have expired, once a minute.</summary>
sealed class ExportSweep(Exports exports, ILogger<ExportSweep> logger) : BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Rounds.RunAsync(TimeSpan.FromMinutes(1), exports.SweepAsync, logger.ExportsNotSwept, logger.ExportsSweptAgain, stoppingToken);
}

/// <param name="Id">Of the export and its job.</param>
/// <param name="Length">In bytes.</param>
/// <param name="MadeAt">UTC.</param>
sealed record ReadyExport(Guid Id, long Length, DateTime MadeAt);

/// <summary>Takes the bytes of an export and stores them as parts.</summary>
sealed class PartStream(Db db, Guid export) : MemoryStream
{
    public const int Size = 256 << 10;

    int _number;

    /// <summary>How many bytes are stored.</summary>
    public long Stored { get; private set; }

    /// <param name="whole">Only parts of the full size; otherwise also the last.</param>
    public async Task StoreAsync(bool whole, CancellationToken ct)
    {
        var all = ToArray();
        var at = 0;
        for (; all.Length - at >= Size || (!whole && at < all.Length); at += Math.Min(Size, all.Length - at))
        {
            var (part, number) = (all[at..Math.Min(at + Size, all.Length)], _number++);
            // Whoever was erased meanwhile must not leave parts behind that nobody looks for.
            if (await db.ExecuteAsync($"insert into users_export_parts (export_id, number, bytes) select id, {number}, {part} from users_exports where id = {export}", ct) == 0)
                throw new OperationCanceledException($"The export {export} is not wanted any more.");
            Stored += part.Length;
        }

        SetLength(0);
        Write(all.AsSpan(at));
    }
}
