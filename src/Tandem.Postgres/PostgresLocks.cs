using Microsoft.Extensions.Logging;
using Npgsql;

namespace Tandem.Postgres;

/// <summary>
/// Locks over all processes, held by a session of their own. PostgreSQL frees them the moment the session ends: a process that is killed
/// holds nothing from then on, and one that was cut off only until its connection is found dead.
/// </summary>
sealed class PostgresLocks(PostgresServer server, ILogger<PostgresLocks> logger) : IAsyncDisposable
{
    // The first key of every advisory lock of ours: "tand".
    public const int Class = 0x74616e64;

    static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(250);

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
            if (!await AskAsync("select pg_try_advisory_lock($1, hashtext($2))", name, ct))
                return null;
            _held.Add(name);
            return _lost.Token;
        }
        catch (Exception e) when (PostgresServer.IsAway(e))
        {
            await LoseAsync(e);
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
                await AskAsync("select pg_advisory_unlock($1, hashtext($2))", name, CancellationToken.None);
        }
        catch (Exception e) when (PostgresServer.IsAway(e))
        {
            await LoseAsync(e);
        }
        finally
        {
            _gate.Release();
        }
    }

    async Task ConnectAsync(CancellationToken ct)
    {
        if (_session is { State: System.Data.ConnectionState.Open })
            return;
        await LoseAsync(null);
        _session = await server.Alone.OpenConnectionAsync(ct);
        _lost = new CancellationTokenSource();
        _watching = WatchAsync(_session);
    }

    /// <summary>A dead session is found by asking, not by the next one who wants a lock.</summary>
    async Task WatchAsync(NpgsqlConnection session)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        await using var ends = _lost.Token.Register(timer.Dispose);
        while (await timer.WaitForNextTickAsync())
        {
            await _gate.WaitAsync();
            try
            {
                if (_session != session)
                    return;
                await using var command = new NpgsqlCommand("select 1", session) { CommandTimeout = 5 };
                await command.ExecuteScalarAsync();
            }
            catch (Exception e)
            {
                await LoseAsync(e);
                return;
            }
            finally
            {
                _gate.Release();
            }
        }
    }

    async Task<bool> AskAsync(string sql, string name, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(sql, _session);
        command.Parameters.Add(new NpgsqlParameter { Value = Class });
        command.Parameters.Add(new NpgsqlParameter { Value = name });
        return await command.ExecuteScalarAsync(ct) is true;
    }

    async Task LoseAsync(Exception? reason)
    {
        if (_session is not { } session)
            return;
        _session = null;
        if (_held.Count > 0 && reason is not null)
            logger.LocksLost(_held.Count, reason.Message);
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
