using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Tandem.Postgres;

/// <summary>
/// Locks over all processes, held by a session of their own. PostgreSQL frees them the moment the session ends: a process that is killed
/// holds nothing from then on.
/// </summary>
/// <remarks>
/// One that was cut off without a word would hold them until TCP gives up, and where something between the two still acknowledges, for ever. So
/// the session is a lease: the server ends it when it has heard nothing for <see cref="Lease"/>, and its holder, who says something every second,
/// counts from before the last thing it said and so gives up first. What is done under a lock must bear a second holder all the same: a process
/// that was suspended learns of its loss when it wakes.
/// </remarks>
sealed class PostgresLocks(PostgresServer server, ILogger<PostgresLocks> logger) : IAsyncDisposable
{
    // The first key of every advisory lock of ours: "tand".
    public const int Class = 0x74616e64;

    static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(250);

    // Short, since others wait for so long to take over; three lost heartbeats long, since a busy machine may be late with one.
    static readonly TimeSpan Lease = TimeSpan.FromSeconds(4);
    static readonly TimeSpan Margin = TimeSpan.FromMilliseconds(250);
    static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(1);

    // In seconds; nothing that is asked here takes time.
    const int AnswerTime = 2;

    const string Silent = "the server did not answer in time";

    readonly SemaphoreSlim _gate = new(1, 1);
    readonly HashSet<string> _held = [];
    NpgsqlConnection? _session;
    CancellationTokenSource _lost = new();
    Task _watching = Task.CompletedTask;

    /// <summary>Waits for a lock.</summary>
    /// <returns>A token that is cancelled when the lock is lost with its session.</returns>
    public async Task<CancellationToken> TakeAsync(string name, CancellationToken ct)
    {
        while (true)
        {
            if (await TryTakeAsync(name, ct) is { } held)
                return held;
            await Task.Delay(LookInterval, ct);
        }
    }

    /// <returns>Null when another session holds it, or the server is away.</returns>
    public async Task<CancellationToken?> TryTakeAsync(string name, CancellationToken ct)
    {
        await _gate.WaitAsync(ct);
        try
        {
            await ConnectAsync(ct);
            if (_held.Contains(name))
                return _lost.Token;
            if (!await AskAsync("select pg_try_advisory_lock($1, hashtext($2))", name))
                return null;
            _held.Add(name);
            return _lost.Token;
        }
        catch (Exception e) when (PostgresServer.IsAway(e))
        {
            await LoseAsync(e.Message);
            return null;
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Gives a lock back to whoever waits for it.</summary>
    public async Task ReleaseAsync(string name)
    {
        await _gate.WaitAsync();
        try
        {
            if (_held.Remove(name))
                await AskAsync("select pg_advisory_unlock($1, hashtext($2))", name);
        }
        catch (Exception e) when (PostgresServer.IsAway(e))
        {
            await LoseAsync(e.Message);
        }
        finally
        {
            _gate.Release();
        }
    }

    async Task ConnectAsync(CancellationToken ct)
    {
        if (_session is { State: System.Data.ConnectionState.Open } && !_lost.IsCancellationRequested)
            return;
        await LoseAsync(_lost.IsCancellationRequested ? Silent : "it has ended");
        _lost = new CancellationTokenSource();
        _session = await server.Alone.OpenConnectionAsync(ct);
        await SayAsync($"set idle_session_timeout = {(long)Lease.TotalMilliseconds}");
        _watching = WatchAsync(_session, _lost.Token);
    }

    /// <summary>A dead session is found by asking, not by the next one who wants a lock.</summary>
    async Task WatchAsync(NpgsqlConnection session, CancellationToken lost)
    {
        using var timer = new PeriodicTimer(Heartbeat);
        await using var ends = lost.Register(timer.Dispose);
        while (true)
        {
            var isLost = !await timer.WaitForNextTickAsync();
            await _gate.WaitAsync();
            try
            {
                if (_session != session)
                    return;
                if (!isLost)
                {
                    await SayAsync("select 1");
                    continue;
                }

                await LoseAsync(Silent);
                return;
            }
            catch (Exception e)
            {
                await LoseAsync(e.Message);
                return;
            }
            finally
            {
                _gate.Release();
            }
        }
    }

    /// <summary>Says something, from before which the lease then counts anew.</summary>
    async Task SayAsync(string sql)
    {
        var before = Stopwatch.GetTimestamp();
        await using (var command = new NpgsqlCommand(sql, _session) { CommandTimeout = AnswerTime })
            await command.ExecuteNonQueryAsync();
        var left = Lease - Margin - Stopwatch.GetElapsedTime(before);
        _lost.CancelAfter(left > TimeSpan.Zero ? left : TimeSpan.Zero);
    }

    // Without a token: given up in the middle, nobody would know that the lock was taken.
    async Task<bool> AskAsync(string sql, string name)
    {
        await using var command = new NpgsqlCommand(sql, _session) { CommandTimeout = AnswerTime };
        command.Parameters.Add(new NpgsqlParameter { Value = Class });
        command.Parameters.Add(new NpgsqlParameter { Value = name });
        return await command.ExecuteScalarAsync() is true;
    }

    async Task LoseAsync(string? reason)
    {
        if (_session is not { } session)
            return;
        _session = null;
        if (_held.Count > 0 && reason is not null)
            logger.LocksLost(_held.Count, reason);
        _held.Clear();
        await _lost.CancelAsync();
        await session.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _gate.WaitAsync();
        await LoseAsync(null);
        _gate.Release();
        await _watching;
    }
}
