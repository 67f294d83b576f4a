using System.Globalization;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Users.Audit;
using Tandem.Users.SecondSteps;

namespace Tandem.Users.Tokens;

/// <summary>
/// Replaces the keys: by the clock, when somebody says so, and at once when one was stolen. Keys take turns. The next one is announced before it makes
/// tokens, so that whoever checks them has it by then; the last one checks what it has made until nothing of that is valid any more.
/// </summary>
/// <remarks>
/// Of each purpose one key has no retired_at, the newest, and a unique index keeps it so: of several processes that rotate at once, one retires it and
/// the others find it retired.
/// </remarks>
sealed class KeyRotation(Db db, Keys keys, KeyRing ring, SecondStep secondStep, AuditTrail trail, UsersOptions options, TimeProvider clock, ILogger<KeyRotation> logger)
{
    /// <summary>How long a key is published before it signs. Libraries keep what they have read for 5 to 15 minutes, and most look again for a key they do not know.</summary>
    public static readonly TimeSpan Notice = TimeSpan.FromHours(1);

    // Clocks differ a little, a token is made a moment after its session's row, and within Users:RefreshGrace once more.
    static readonly TimeSpan Slack = TimeSpan.FromMinutes(10);

    static readonly TimeSpan CleanUpInterval = TimeSpan.FromHours(1);

    const int MaxTries = 20;

    DateTime _cleaned = DateTime.MinValue;

    /// <summary>All keys, without their secrets: those that sign first, of each purpose the newest first.</summary>
    public Task<List<Turn>> ListAsync(CancellationToken ct) =>
        db.ListAsync<Turn>(Sql.Raw("select id, purpose, signs_from, retired_at from users_signing_keys order by purpose, signs_from desc"), ct);

    /// <summary>Has the next keys announced, or sign.</summary>
    /// <param name="atOnce">Without notice; also those that are announced already.</param>
    /// <param name="origin">Who says so.</param>
    /// <param name="ct">Honoured until the change begins.</param>
    /// <returns>The keys that were made, or whose turn comes earlier; none when all are announced already.</returns>
    public Task<List<Turn>> RotateAsync(bool atOnce, Origin origin, CancellationToken ct) => RotateAsync(_ => true, atOnce, origin, ct);

    async Task<List<Turn>> RotateAsync(Func<Turn, bool> isDue, bool atOnce, Origin origin, CancellationToken ct)
    {
        // Where there were none, the first ones are new enough.
        await keys.SigningAsync(ct);
        await keys.EncryptionAsync(ct);
        var now = clock.UtcNow();
        var from = atOnce ? now : now + Notice;
        // Made outside of the transaction, which an RSA key would hold up, and only where there is one to be replaced.
        var fresh = (await ListAsync(ct)).Where(k => k.RetiredAt is null && isDue(k)).ToDictionary(k => k.Purpose, k => Keys.New(k.Purpose));
        var next = await db.InTransactionAsync(async tx =>
        {
            List<Turn> next = [];
            foreach (var newest in await tx.ListAsync<Turn>(Sql.Raw("select id, purpose, signs_from, retired_at from users_signing_keys where retired_at is null order by purpose"), ct))
                if (newest.IsAnnounced(now) && atOnce && isDue(newest))
                    next.Add(await BeginAsync(tx, newest, now, ct));
                // The first of a purpose that came meanwhile is new enough.
                else if (!newest.IsAnnounced(now) && isDue(newest) && fresh.TryGetValue(newest.Purpose, out var key))
                {
                    await tx.ExecuteAsync($"update users_signing_keys set retired_at = {from} where id = {newest.Id}", ct);
                    next.Add(await InsertAsync(tx, key, newest.Purpose, now, from, ct));
                }

            if (next.Count > 0)
                await trail.AddAsync(tx, AuditEvents.SigningKeysMade, origin, null, now, Names(next), times: next.Count);
            return next;
        }, ct);
        foreach (var key in next)
            logger.KeyMade(key.Id, key.SignsFrom);
        await ring.LoadAsync(ct);
        return next;
    }

    /// <summary>Forgets a key: what it has made is worth nothing. Where it was the one that makes tokens, the next one takes its turn.</summary>
    /// <returns>What the key was, and the key that begins for it; null when there is no such key.</returns>
    public async Task<Revoked?> RevokeAsync(string id, Origin origin, CancellationToken ct)
    {
        var now = clock.UtcNow();
        if (await db.FindAsync<Turn>($"select id, purpose, signs_from, retired_at from users_signing_keys where id = {id}", ct) is not { } going)
            return null;
        Turn? before = null;
        // Second steps are sealed by it: another one has to be there, and to seal them, before it goes.
        if (going.Purpose == Keys.Refresh && !going.IsOld(now) && !going.IsAnnounced(now))
            before = (await RotateAsync(k => k.Purpose == Keys.Refresh, atOnce: true, origin, ct)).FirstOrDefault();
        var fresh = Keys.New(going.Purpose);
        Revoked? revoked = null;
        var isSealing = true;
        for (var tries = 0; isSealing; tries++)
        {
            // By a clock that runs behind the others' the key may be the only one there is to seal with.
            if (tries == MaxTries)
                throw new InvalidOperationException($"Second steps are still being sealed with the key {id}; rotate the keys, then revoke it again.");
            var lost = going.Purpose == Keys.Refresh ? await secondStep.ResealAsync(id, ct) : 0;
            (isSealing, revoked) = await db.InTransactionAsync(async tx =>
            {
                // Another process has sealed one meanwhile: once more. Whoever comes after this finds the key gone (SecondStep.StoreAsync).
                if (going.Purpose == Keys.Refresh && await tx.FindAsync<long>($"select count(*) from users_totp where key_id = {id}", ct) > lost)
                    return (true, (Revoked?)null);
                return (false, await ForgetAsync(tx));
            }, ct);
        }

        await ring.LoadAsync(ct);
        if (revoked is null)
            return null;
        logger.SigningKeyRevoked(id);
        if (revoked.Next is { } begun)
            logger.KeyMade(begun.Id, begun.SignsFrom);
        return revoked with { Next = revoked.Next ?? before };

        async Task<Revoked?> ForgetAsync(Transaction tx)
        {
            if (await tx.FindAsync<Turn>($"delete from users_signing_keys where id = {id} returning id, purpose, signs_from, retired_at", ct) is not { } gone)
                return null;
            Turn? next = null;
            if (gone.IsAnnounced(now))
                // It has not begun: the one before it goes on.
                await tx.ExecuteAsync($"update users_signing_keys set retired_at = null where purpose = {gone.Purpose} and retired_at = {gone.SignsFrom}", ct);
            else if (!gone.IsOld(now))
                next = await tx.FindAsync<Turn>($"select id, purpose, signs_from, retired_at from users_signing_keys where purpose = {gone.Purpose} and retired_at is null", ct) is { } announced
                    ? await BeginAsync(tx, announced, now, ct)
                    : await InsertAsync(tx, fresh, gone.Purpose, now, now, ct);
            await trail.AddAsync(tx, AuditEvents.SigningKeysRevoked, origin, null, now, gone.Id);
            if (next is not null)
                await trail.AddAsync(tx, AuditEvents.SigningKeysMade, origin, null, now, next.Id);
            return new Revoked(gone, next);
        }
    }

    /// <summary>Does what the clock asks for. As long as that is nothing, no store is read.</summary>
    public async Task KeepAsync(CancellationToken ct)
    {
        var (now, turns) = (clock.UtcNow(), ring.Now.Turns.ToList());
        bool IsDue(Turn key) => options.SigningKeyLifetime > TimeSpan.Zero && key.SignsFrom + options.SigningKeyLifetime - Notice <= now;
        if (turns.Any(t => t.RetiredAt is null && IsDue(t)))
            await RotateAsync(IsDue, atOnce: false, Origin.Schedule, ct);
        if (now - _cleaned < CleanUpInterval)
            return;
        // An ID token is a hint at signing out long after its end: for as long as a session may lie unused.
        var ended = now - (options.RefreshTokenLifetime > options.AccessTokenLifetime ? options.RefreshTokenLifetime : options.AccessTokenLifetime) - Slack;
        foreach (var old in turns.Where(t => t.RetiredAt < ended))
            await RemoveAsync(old, ended, ct);
        _cleaned = now;
    }

    /// <summary>Removes a key that has made nothing for long, unless something of that is valid all the same: a token of the operator, one from when settings were others.</summary>
    async Task RemoveAsync(Turn old, DateTime ended, CancellationToken ct)
    {
        var now = clock.UtcNow();
        // All that a key makes is of a session, and rotated_at is when that got its last one. A browser's session (cookie_digest) has none.
        if (await db.FindAsync<bool>($"""
            select exists (select 1 from users_sessions where ended_at is null and key_digest is null and cookie_digest is null and rotated_at < {old.RetiredAt + Slack}
                and (expires_at > {now} or access_until > {now}))
            """, ct))
            return;
        if (old.Purpose == Keys.Refresh)
            await secondStep.ResealAsync(old.Id, ct);
        // A second step that another process has sealed with it meanwhile keeps it here until the next round.
        if (await db.ExecuteAsync($"""
            delete from users_signing_keys where id = {old.Id} and retired_at < {ended} and not exists (select 1 from users_totp where key_id = {old.Id})
            """, ct) == 1)
            logger.SigningKeyRemoved(old.Id);
    }

    /// <summary>The turn of an announced key comes now.</summary>
    static async Task<Turn> BeginAsync(Transaction tx, Turn announced, DateTime now, CancellationToken ct)
    {
        await tx.ExecuteAsync($"update users_signing_keys set retired_at = {now} where purpose = {announced.Purpose} and retired_at = {announced.SignsFrom}", ct);
        await tx.ExecuteAsync($"update users_signing_keys set signs_from = {now} where id = {announced.Id}", ct);
        return announced with { SignsFrom = now };
    }

    static async Task<Turn> InsertAsync(Transaction tx, StoredKey key, string purpose, DateTime now, DateTime from, CancellationToken ct)
    {
        await tx.ExecuteAsync(Keys.Insert(key, purpose, now, from), ct);
        return new Turn(key.Id, purpose, from, null);
    }

    static string Names(List<Turn> turns) => string.Create(CultureInfo.InvariantCulture, $"{string.Join(", ", turns.Select(t => t.Id))} from {turns[0].SignsFrom:yyyy-MM-dd'T'HH:mm:ss'Z'} on");
}

/// <param name="Key">The key as it was.</param>
/// <param name="Next">The key that makes tokens in its place from now on; null when it was not its turn.</param>
sealed record Revoked(Turn Key, Turn? Next);

/// <summary>Looks after the keys, in each process that serves accounts.</summary>
sealed class KeySchedule(KeyRotation rotation, ILogger<KeySchedule> logger) : BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Rounds.RunAsync(TimeSpan.FromSeconds(1), rotation.KeepAsync, logger.SigningKeysNotKept, logger.SigningKeysKeptAgain, stoppingToken);
}
