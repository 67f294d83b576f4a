using System.Collections.Concurrent;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Data;

namespace Tandem.Users.Tokens;

/// <summary>When sessions were last used: noted where tokens are checked, at most once a minute for each, and written beside the requests.</summary>
/// <remarks>A process that is killed forgets what it noted within the last seconds: the time that is shown is then up to a minute older.</remarks>
sealed class LastUse(Db db, ILogger<LastUse> logger) : BackgroundService
{
    /// <summary>Between two notes of one token.</summary>
    public static readonly TimeSpan Step = TimeSpan.FromMinutes(1);

    static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    // Rows of one transaction: some ten milliseconds, and a refresh that meets it waits no longer.
    const int BatchSize = 100;

    readonly ConcurrentDictionary<Guid, DateTime> _used = new();

    public void Note(Guid sessionId, DateTime at) => _used[sessionId] = at;

    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Rounds.RunAsync(Interval, WriteAsync, logger.LastUseNotWritten, logger.LastUseWrittenAgain, stoppingToken);

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        try
        {
            await WriteAsync(cancellationToken);
        }
        catch (Exception e)
        {
            logger.LastUseNotWritten(e);
        }
    }

    public async Task WriteAsync(CancellationToken ct)
    {
        foreach (var batch in _used.ToArray().Chunk(BatchSize))
        {
            await db.InTransactionAsync(async tx =>
            {
                // Other processes see the same session: of what they have noted within the same minute one is enough.
                foreach (var (id, at) in batch)
                    await tx.ExecuteAsync($"update users_sessions set last_used_at = {at} where id = {id} and last_used_at <= {at - Step}", ct);
            }, ct);
            foreach (var entry in batch)
                _used.TryRemove(entry);
        }
    }
}
