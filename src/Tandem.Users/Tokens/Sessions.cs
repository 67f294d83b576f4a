using System.Text.Json;
using Tandem.Core.Backplane;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Users.Tokens;

/// <summary>
/// The sessions: one per sign-in, a family of refresh tokens each. A refresh token carries its session's id and a generation; only the newest
/// generation is exchanged, and for a short while the one before it.
/// </summary>
sealed class Sessions(Db db, Revocations revocations, IBackplane backplane, UsersOptions options)
{
    // A token is made a moment after its session's row is written, and checked by clocks that differ a little.
    public static readonly TimeSpan Margin = TimeSpan.FromMinutes(1);

    /// <summary>Opens a session, unless the account was deactivated or its password changed since <paramref name="passwordHash"/> was read.</summary>
    /// <param name="passwordHash">The hash that the password was checked against; null where none was (a command of the operator).</param>
    /// <param name="scopes">What its tokens allow instead of all that the account may do; null: all.</param>
    /// <param name="address">Where the sign-in came from.</param>
    /// <param name="accessLifetime">Of its first access token.</param>
    public Task<Session?> OpenAsync(long accountId, string? passwordHash, string? scopes, string? address, TimeSpan accessLifetime, DateTime now,
        CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        // The update holds the account's row until the commit: whoever deactivates it comes before, and is seen here, or after, and sees this session.
        Sql same = passwordHash is null ? Sql.Raw("") : $" and password_hash = {passwordHash}";
        var account = await tx.FindAsync<SignedIn>($"""
            update users_accounts set last_sign_in_at = {now} where id = {accountId} and is_active{same} returning id, is_administrator
            """, ct);
        if (account is null)
            return null;
        var id = Guid.CreateVersion7(now);
        await tx.ExecuteAsync($"""
            insert into users_sessions (id, account_id, scopes, address, generation, rotated_at, created_at, last_used_at, expires_at, access_until)
            values ({id}, {accountId}, {scopes}, {address}, 0, {now}, {now}, {now}, {now + options.RefreshTokenLifetime}, {now + accessLifetime + Margin})
            """, ct);
        return new Session(id, accountId, 0, account.IsAdministrator, scopes);
    }, ct);

    /// <summary>Exchanges a refresh token.</summary>
    /// <param name="id">The session that the token names.</param>
    /// <param name="generation">The generation that the token carries.</param>
    public Task<Refresh> RefreshAsync(Guid id, int generation, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        // An update first: two exchanges of one session never see the same generation as the newest.
        var row = await tx.FindAsync<Row>($"""
            update users_sessions set last_used_at = {now}
            where id = {id} and ended_at is null and expires_at > {now}
            returning account_id, scopes, generation, rotated_at
            """, ct);
        if (row is null)
            return new Refresh(null, null);
        if (row.Generation == generation)
            row = row with { Generation = generation + 1, RotatedAt = now };
        // The same answer again for whoever was faster than the other, or never got to read it.
        else if (row.Generation != generation + 1 || now - row.RotatedAt > options.RefreshGrace)
        {
            await EndAsync(tx, $"id = {id}", "refresh token used again", now, ct);
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

    /// <summary>Ends every session of an account; its tokens are worth nothing from the commit on.</summary>
    public Task EndAllAsync(Transaction tx, long accountId, string reason, DateTime now, CancellationToken ct) =>
        EndAsync(tx, $"account_id = {accountId}", reason, now, ct);

    /// <summary>Was this account signed in from this address before?</summary>
    public async Task<bool> KnowsAddressAsync(long accountId, string address, CancellationToken ct) =>
        await db.FindAsync<long>($"select count(*) from users_sessions where account_id = {accountId} and address = {address}", ct) > 0;

    /// <summary>Ends the sessions that <paramref name="which"/> names; their tokens are worth nothing from the commit on.</summary>
    public async Task EndAsync(Transaction tx, Sql which, string reason, DateTime now, CancellationToken ct)
    {
        var ended = await tx.ListAsync<EndedSession>($"""
            update users_sessions set ended_at = {now}, end_reason = {reason} where {which} and ended_at is null returning id, access_until
            """, ct);
        if (ended.Count == 0)
            return;
        tx.OnCommitted(() =>
        {
            revocations.Add(ended);
            backplane.Publish(RevocationWatch.Channel, JsonSerializer.Serialize(ended, Json.Stored));
        });
    }

    sealed record Row(long AccountId, string? Scopes, int Generation, DateTime RotatedAt);

    sealed record SignedIn(long Id, bool IsAdministrator);
}

/// <summary>What a session's next tokens say.</summary>
sealed record Session(Guid Id, long AccountId, int Generation, bool IsAdministrator, string? Scopes)
{
    /// <summary>Scopes narrow: a token that names what it is for is no administrator's.</summary>
    public bool ActsAsAdministrator => IsAdministrator && Scopes is null;
}

/// <param name="Session">The session, or null when the token is worth nothing.</param>
/// <param name="ReplayedAccountId">The account, when the token was used after its successor and the session was ended for it.</param>
sealed record Refresh(Session? Session, long? ReplayedAccountId);

/// <param name="Id">The session.</param>
/// <param name="AccessUntil">When the last of its access tokens expires.</param>
sealed record EndedSession(Guid Id, DateTime AccessUntil);
