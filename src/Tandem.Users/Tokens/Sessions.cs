using System.Text.Json;
using Tandem.Core.Backplane;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;

namespace Tandem.Users.Tokens;

/// <summary>
/// The sessions: one per sign-in, a family of refresh tokens each; and in the same table the API keys, which end in the same ways (<see cref="ApiKeys"/>).
/// A refresh token carries its session's id and a generation; only the newest generation is exchanged, and for a short while the one before it.
/// </summary>
sealed class Sessions(Db db, AuditTrail trail, Revocations revocations, IBackplane backplane, UsersOptions options)
{
    public const string ByOwner = "ended by its owner";

    // A token is made a moment after its session's row is written, and checked by clocks that differ a little.
    static readonly TimeSpan Margin = TimeSpan.FromMinutes(1);

    /// <summary>Opens a session, unless the account was deactivated or its password changed since <paramref name="passwordHash"/> was read.</summary>
    /// <param name="passwordHash">The hash that the password was checked against; null where none was (a command of the operator).</param>
    /// <param name="better">Another hash of the same password, to be stored instead; null: the stored one stays.</param>
    /// <param name="scopes">What its tokens allow instead of all that the account may do; null: all.</param>
    /// <param name="address">Where the sign-in came from.</param>
    /// <param name="accessLifetime">Of its first access token.</param>
    /// <param name="origin">Who signs in: nobody yet, or the operator.</param>
    public Task<Session?> OpenAsync(long accountId, string? passwordHash, string? better, string? scopes, string? address, TimeSpan accessLifetime, Origin origin, DateTime now,
        CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        // The update holds the account's row until the commit: whoever deactivates it comes before, and is seen here, or after, and sees this session.
        Sql same = passwordHash is null ? Sql.Raw("") : $" and password_hash = {passwordHash}";
        Sql replaced = better is null ? Sql.Raw("") : $", password_hash = {better}";
        var account = await tx.FindAsync<SignedIn>($"""
            update users_accounts set last_sign_in_at = {now}{replaced} where id = {accountId} and is_active{same} returning id, is_administrator
            """, ct);
        if (account is null)
            return null;
        var id = Guid.CreateVersion7(now);
        await tx.ExecuteAsync($"""
            insert into users_sessions (id, account_id, scopes, address, user_agent, generation, rotated_at, created_at, last_used_at, expires_at, access_until)
            values ({id}, {accountId}, {scopes}, {address}, {origin.UserAgent}, 0, {now}, {now}, {now}, {now + options.RefreshTokenLifetime}, {now + accessLifetime + Margin})
            """, ct);
        await trail.AddAsync(tx, AuditEvents.SignedIn, passwordHash is null ? origin : origin.As(accountId, id), accountId, now, subjectPart: id);
        return new Session(id, accountId, 0, account.IsAdministrator, scopes);
    }, ct);

    /// <summary>Exchanges a refresh token.</summary>
    /// <param name="id">The session that the token names.</param>
    /// <param name="generation">The generation that the token carries.</param>
    /// <param name="origin">Where it came from.</param>
    public Task<Refresh> RefreshAsync(Guid id, int generation, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        // An update first: two exchanges of one session never see the same generation as the newest.
        var row = await tx.FindAsync<Row>($"""
            update users_sessions set last_used_at = {now}
            where id = {id} and key_digest is null and ended_at is null and expires_at > {now}
            returning account_id, scopes, generation, rotated_at
            """, ct);
        if (row is null)
            return new Refresh(null, null);
        if (row.Generation == generation)
            row = row with { Generation = generation + 1, RotatedAt = now };
        // The same answer again for whoever was faster than the other, or never got to read it.
        else if (row.Generation != generation + 1 || now - row.RotatedAt > options.RefreshGrace)
        {
            await tx.PublishAsync(new RefreshTokenReplayed(row.AccountId, id), ct);
            await trail.AddAsync(tx, AuditEvents.RefreshTokenReplayed, origin, row.AccountId, now, subjectPart: id);
            await EndAsync(tx, $"id = {id}", row.AccountId, "refresh token used again", origin, now, ct);
            return new Refresh(null, row.AccountId);
        }

        var account = await tx.FindAsync<SignedIn>($"select id, is_administrator from users_accounts where id = {row.AccountId} and is_active", ct);
        if (account is null)
            return new Refresh(null, null);
        await tx.ExecuteAsync($"""
            update users_sessions set generation = {row.Generation}, rotated_at = {row.RotatedAt}, expires_at = {now + options.RefreshTokenLifetime},
                access_until = {now + options.AccessTokenLifetime + Margin}
            where id = {id}
            """, ct);
        return new Refresh(new Session(id, row.AccountId, row.Generation, account.IsAdministrator, row.Scopes), null);
    }, ct);

    /// <summary>Ends every session and API key of an account; its tokens are worth nothing from the commit on.</summary>
    public Task EndAllAsync(Transaction tx, long accountId, string reason, Origin origin, DateTime now, CancellationToken ct) =>
        EndAsync(tx, $"account_id = {accountId}", accountId, reason, origin, now, ct);

    /// <summary>Ends every API key of an account.</summary>
    public Task EndKeysAsync(Transaction tx, long accountId, string reason, Origin origin, DateTime now, CancellationToken ct) =>
        EndAsync(tx, $"account_id = {accountId} and key_digest is not null", accountId, reason, origin, now, ct);

    /// <returns>False when the account has no such API key, or it has ended before.</returns>
    public Task<bool> EndKeyAsync(long accountId, Guid id, string reason, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
        await EndAsync(tx, $"account_id = {accountId} and id = {id} and key_digest is not null", accountId, reason, origin, now, ct) > 0, ct);

    /// <summary>Ends one session of an account. Ended by its own token, it is a sign-out.</summary>
    /// <returns>False when the account has no such session, or it has ended before.</returns>
    public Task<bool> EndAsync(long accountId, Guid id, string reason, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
        await EndAsync(tx, $"account_id = {accountId} and id = {id} and key_digest is null", accountId, reason, origin, now, ct) > 0, ct);

    /// <summary>Ends the sessions of an account, but for one.</summary>
    public Task EndAllAsync(long accountId, Guid? except, string reason, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(tx =>
        EndAsync(tx, $"account_id = {accountId} and id <> {except ?? Guid.Empty} and key_digest is null", accountId, reason, origin, now, ct), ct);

    /// <returns>A page of an account's living sessions, the last used first, and how many there are.</returns>
    public async Task<(List<OpenSession> Page, long Total)> ListAsync(long accountId, int skip, int limit, DateTime now, CancellationToken ct)
    {
        Sql living = $"account_id = {accountId} and key_digest is null and ended_at is null and expires_at > {now}";
        return (await db.ListAsync<OpenSession>($"""
            select id, user_agent, address, created_at, last_used_at from users_sessions where {living} order by last_used_at desc, id desc {Sql.Page(skip, limit)}
            """, ct), await db.FindAsync<long>($"select count(*) from users_sessions where {living}", ct));
    }

    /// <summary>Was this account signed in from this address before?</summary>
    public async Task<bool> KnowsAddressAsync(long accountId, string address, CancellationToken ct) =>
        await db.FindAsync<long>($"select count(*) from users_sessions where account_id = {accountId} and address = {address}", ct) > 0;

    async Task<int> EndAsync(Transaction tx, Sql which, long accountId, string reason, Origin origin, DateTime now, CancellationToken ct)
    {
        // Once its row says so, a key is not let in anew: that it has ended need not be remembered longer than others may still take it.
        var rows = await tx.ListAsync<Ended>($"""
            update users_sessions set ended_at = {now}, end_reason = {reason},
                access_until = case when key_digest is null then access_until else {now + ApiKeys.Trust + Margin} end
            where {which} and ended_at is null returning id, access_until, key_digest is not null as is_key
            """, ct);
        if (rows.Count == 0)
            return 0;
        foreach (var kind in rows.GroupBy(r => r.IsKey))
        {
            List<Guid> ids = [.. kind.Select(r => r.Id)];
            var what = kind.Key ? AuditEvents.KeyRevoked : ids is [var own] && own == origin.CredentialId && reason == ByOwner ? AuditEvents.SignedOut : AuditEvents.SessionEnded;
            await trail.AddAsync(tx, what, origin, accountId, now, what == AuditEvents.SignedOut ? null : reason, ids is [var only] ? only : null, ids.Count);
        }

        List<EndedSession> ended = [.. rows.Select(r => new EndedSession(r.Id, r.AccessUntil))];
        tx.OnCommitted(() =>
        {
            revocations.Add(ended);
            // A message may have a few kilobytes.
            foreach (var some in ended.Chunk(32))
                backplane.Publish(RevocationWatch.Channel, JsonSerializer.Serialize(some, Json.Stored));
        });
        return rows.Count;
    }

    sealed record Ended(Guid Id, DateTime AccessUntil, bool IsKey);

    sealed record Row(long AccountId, string? Scopes, int Generation, DateTime RotatedAt);

    sealed record SignedIn(long Id, bool IsAdministrator);
}

/// <summary>What a session's next tokens say.</summary>
sealed record Session(Guid Id, long AccountId, int Generation, bool IsAdministrator, string? Scopes)
{
    /// <summary>Scopes narrow: a token that names what it is for is no administrator's.</summary>
    public bool ActsAsAdministrator => IsAdministrator && Scopes is null;
}

/// <summary>A session as its owner is shown it.</summary>
sealed record OpenSession(Guid Id, string? UserAgent, string? Address, DateTime CreatedAt, DateTime LastUsedAt);

/// <param name="Session">The session, or null when the token is worth nothing.</param>
/// <param name="ReplayedAccountId">The account, when the token was used after its successor and the session was ended for it.</param>
sealed record Refresh(Session? Session, long? ReplayedAccountId);

/// <param name="Id">The session.</param>
/// <param name="AccessUntil">When the last of its access tokens expires.</param>
sealed record EndedSession(Guid Id, DateTime AccessUntil);
