using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Backplane;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Users.Tokens;

/// <summary>The sessions that have ended while an access token of theirs could still be in somebody's hands.</summary>
sealed class Revocations(SessionEnds ends, TimeProvider clock)
{
    readonly ConcurrentDictionary<Guid, DateTime> _ended = new();

    /// <summary>Asked for every request with a token; a look-up takes no lock.</summary>
    public bool Contains(Guid sessionId) => _ended.ContainsKey(sessionId);

    public void Add(IEnumerable<EndedSession> ended)
    {
        var now = clock.UtcNow();
        HashSet<Guid>? news = null;
        foreach (var session in ended)
            if (session.AccessUntil > now && _ended.TryAdd(session.Id, session.AccessUntil))
                (news ??= []).Add(session.Id);
        // Behind the last one: whoever is told finds none of them honoured any more.
        if (news is not null)
            ends.Tell(news);
    }

    /// <summary>Forgets those whose last token has expired by itself.</summary>
    public void Sweep()
    {
        var now = clock.UtcNow();
        foreach (var entry in _ended)
            if (entry.Value <= now)
                _ended.TryRemove(entry);
    }
}

/// <summary>
/// Brings over what other processes did to keys and sessions: over the backplane in milliseconds, and whatever that misses within a second
/// from the database, which is the one thing they all share.
/// </summary>
sealed class RevocationWatch(Db db, Keys keys, KeyRing ring, Revocations revocations, IBackplane backplane, TimeProvider clock, ILogger<RevocationWatch> logger) : IHostedService, IDisposable
{
    public const string Channel = "users.sessions-ended";

    static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    // ended_at is taken from the clock of the process that writes it and seen only after its commit: look back further than both can differ.
    static readonly TimeSpan Overlap = TimeSpan.FromMinutes(1);

    static readonly TimeSpan CleanUpInterval = TimeSpan.FromHours(1);

    // How long the row of a dead session is kept for whoever asks what happened to it.
    static readonly TimeSpan Keep = TimeSpan.FromDays(30);

    readonly CancellationTokenSource _stop = new();
    IDisposable? _subscription;
    DateTime _looked;
    DateTime _cleaned;
    Task _watching = Task.CompletedTask;

    /// <summary>Returns when the keys and every session that ended before are known: no request is answered earlier.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        _subscription = backplane.Subscribe(Channel, message => revocations.Add(JsonSerializer.Deserialize<List<EndedSession>>(message, Json.Stored) ?? []));
        // Whoever serves knows the keys: a process that made them later would hand out tokens that the others refuse until they have looked.
        await keys.SigningAsync(cancellationToken);
        await keys.EncryptionAsync(cancellationToken);
        await ring.LoadAsync(cancellationToken);
        _looked = _cleaned = clock.UtcNow();
        revocations.Add(await db.ListAsync<EndedSession>(
            $"select id, access_until from users_sessions where ended_at is not null and access_until > {_looked}", cancellationToken));
        _watching = Task.Run(() => Rounds.RunAsync(Interval, LookAsync, logger.RevocationsNotRead, logger.RevocationsReadAgain, _stop.Token), CancellationToken.None);
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _subscription?.Dispose();
        await _stop.CancelAsync();
        await _watching;
    }

    async Task LookAsync(CancellationToken ct)
    {
        var now = clock.UtcNow();
        await ring.LoadAsync(ct);
        // Behind the last look that worked: while the database was away from here, others may have gone on.
        revocations.Add(await db.ListAsync<EndedSession>($"select id, access_until from users_sessions where ended_at > {_looked - Overlap}", ct));
        _looked = now;
        revocations.Sweep();
        if (now - _cleaned > CleanUpInterval)
            await CleanUpAsync(_cleaned = now, ct);
    }

    async Task CleanUpAsync(DateTime now, CancellationToken ct)
    {
        var removed = await db.ExecuteAsync($"""
            delete from users_sessions where id in (
                select id from users_sessions where expires_at < {now - Keep} and access_until < {now - Keep} limit 10000)
            """, ct);
        if (removed > 0)
            logger.SessionsRemoved(removed);
    }

    public void Dispose() => _stop.Dispose();
}
