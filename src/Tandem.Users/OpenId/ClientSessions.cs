using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Users.OpenId;

/// <summary>
/// The sessions that clients have. A code carries the id of the session it will make, so the table's primary key is what makes it worth something
/// once: no code is stored, not even its digest.
/// </summary>
sealed class ClientSessions(Db db, Sessions sessions, AuditTrail trail, UsersOptions options)
{
    /// <summary>Opens the session that a code is for. A code that comes again ends what it has made.</summary>
    public Task<Redeemed> RedeemAsync(Code code, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var account = await HoldAsync(tx, code.AccountId, ct);
        if (await tx.FindAsync<long>($"select count(*) from users_sessions where id = {code.SessionId}", ct) == 0)
            return new Redeemed(account is null ? null : await OpenAsync(tx, code, account, code.BrowserId, origin, now, ct), false);

        if (await tx.FindAsync<long>($"select count(*) from users_sessions where id = {code.SessionId} and ended_at is null", ct) == 1)
        {
            await trail.AddAsync(tx, AuditEvents.CodeReused, origin.AsClient(code.BrowserId), code.AccountId, now, code.ClientId, code.SessionId);
            await sessions.EndAsync(tx, $"id = {code.SessionId}", "code used again", origin.AsClient(code.BrowserId), now, ct);
            await tx.PublishAsync(new CodeReused(code.AccountId, code.ClientId, code.SessionId), ct);
        }

        return new Redeemed(null, true);
    }, ct);

    /// <summary>
    /// Opens the session of a device that was let in, once. It is its own, and goes on when the browser signs out in which that was done; until it is opened it hangs on that, so that whoever takes a password back takes
    /// this back as well.
    /// </summary>
    /// <returns>Null when nobody has let it in, or not in time, or it has its session already.</returns>
    public Task<Session?> RedeemAsync(string deviceDigest, string clientId, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var device = await tx.FindAsync<Allowed>($"""
            delete from users_device_codes where digest = {deviceDigest} and client_id = {clientId} and account_id is not null and not is_denied and expires_at > {now}
            returning account_id, browser_id, scopes
            """, ct);
        return device is not null && await HoldAsync(tx, device.AccountId, ct) is { } account
            ? await OpenAsync(tx, new Code(Guid.CreateVersion7(now), device.AccountId, device.BrowserId, clientId, device.Scopes), account, null, origin, now, ct)
            : null;
    }, ct);

    /// <summary>As at a sign-in: whoever deactivates the account comes before, and is seen here, or after, and sees this session.</summary>
    static Task<Holder?> HoldAsync(Transaction tx, long accountId, CancellationToken ct) =>
        tx.FindAsync<Holder>($"update users_accounts set id = id where id = {accountId} and is_active returning id, is_administrator", ct);

    /// <param name="browserId">What it ends with.</param>
    async Task<Session?> OpenAsync(Transaction tx, Code code, Holder account, Guid? browserId, Origin origin, DateTime now, CancellationToken ct)
    {
        // The client may have been changed since the person was asked.
        var from = await tx.FindAsync<From>($"""
            select users_clients.scopes, backchannel_logout_uri is not null as is_told, methods, coalesce(authenticated_at, users_sessions.created_at) as authenticated_at from users_sessions, users_clients
            where users_sessions.id = {code.BrowserId} and users_sessions.ended_at is null and users_clients.id = {code.ClientId}
            """, ct);
        string[] granted = from is null ? [] : [.. Client.Words(code.Scopes).Intersect(Client.Words(from.Scopes))];
        if (from is null || granted.Length == 0)
            return null;
        var scopes = string.Join(' ', granted);
        // Who is told of its end has a session of its own until then.
        var unused = granted.Contains("offline_access") || from.IsTold ? options.RefreshTokenLifetime : options.AccessTokenLifetime;
        await InsertAsync(tx, code.SessionId, code.AccountId, scopes, code.ClientId, browserId, from, unused, now, ct);
        await trail.AddAsync(tx, AuditEvents.ClientSignedIn, origin.AsClient(code.BrowserId), code.AccountId, now, code.ClientId, code.SessionId);
        return new Session(code.SessionId, code.AccountId, 0, account.IsAdministrator, scopes, from.AuthenticatedAt, from.Methods);
    }

    /// <summary>Opens a session of a client that acts for itself: no account, and nothing to refresh.</summary>
    public Task<Guid> OpenOwnAsync(string clientId, string scopes, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var id = Guid.CreateVersion7(now);
        await InsertAsync(tx, id, 0, scopes, clientId, null, null, options.AccessTokenLifetime, now, ct);
        await trail.AddAsync(tx, AuditEvents.ClientSignedIn, origin.AsClient(id), null, now, clientId, id);
        return id;
    }, ct);

    /// <summary>Opens a session for a token that is made of another one, and ends with that one's.</summary>
    /// <param name="parent">The session of the token that was shown.</param>
    /// <param name="accountId">Whose that is.</param>
    /// <param name="clientId">Who has shown it.</param>
    /// <param name="scopes">What the new one is for.</param>
    /// <param name="fromClient">Whom the token was made for; null: the person itself.</param>
    /// <param name="lifetime">Of its only token.</param>
    /// <returns>Null when that session has ended.</returns>
    public Task<Guid?> ExchangeAsync(Guid parent, long accountId, string clientId, string scopes, string? fromClient, TimeSpan lifetime, Origin origin, DateTime now, CancellationToken ct) =>
        db.InTransactionAsync<Guid?>(async tx =>
        {
            // Holds the row: whoever ends it comes before, and is seen here, or after, and sees this session.
            if (lifetime <= TimeSpan.Zero || await tx.ExecuteAsync($"update users_sessions set is_parent = {true} where id = {parent} and account_id = {accountId} and ended_at is null", ct) == 0)
                return null;
            var id = Guid.CreateVersion7(now);
            await InsertAsync(tx, id, accountId, scopes, clientId, null, null, lifetime, now, ct);
            await tx.ExecuteAsync($"update users_sessions set parent_id = {parent} where id = {id}", ct);
            await trail.AddAsync(tx, AuditEvents.TokenExchanged, origin.AsClient(parent), accountId, now, $"{clientId} from {fromClient ?? "the person"}: {scopes}", id);
            return id;
        }, ct);

    /// <summary>Ends one session; nothing happens when it has ended already.</summary>
    public Task EndAsync(Guid id, string reason, Origin origin, DateTime now, CancellationToken ct) =>
        db.InTransactionAsync(tx => sessions.EndAsync(tx, $"id = {id}", reason, origin.AsClient(id), now, ct), ct);

    /// <param name="id">The session.</param>
    /// <param name="generation">Of a refresh token; null for an access token.</param>
    /// <param name="now">UTC.</param>
    /// <param name="ct">Ends the wait.</param>
    public async Task<bool> IsAliveAsync(Guid id, int? generation, DateTime now, CancellationToken ct) =>
        await db.FindAsync<Alive>($"select generation, expires_at from users_sessions where id = {id} and ended_at is null", ct) is { } alive
        && (generation is null || alive.Generation == generation && alive.ExpiresAt > now);

    Task<int> InsertAsync(Transaction tx, Guid id, long accountId, string scopes, string clientId, Guid? browserId, From? from, TimeSpan unused, DateTime now, CancellationToken ct) => tx.ExecuteAsync($"""
        insert into users_sessions (id, account_id, scopes, client_id, browser_id, methods, authenticated_at, generation, rotated_at, created_at, last_used_at, expires_at, access_until)
        values ({id}, {accountId}, {scopes}, {clientId}, {browserId}, {from?.Methods}, {from?.AuthenticatedAt}, 0, {now}, {now}, {now}, {now + unused}, {now + options.AccessTokenLifetime + Sessions.Margin})
        """, ct);

    /// <summary>What the client may have by now, and how and when the person has shown who he is in the browser.</summary>
    sealed record From(string Scopes, bool IsTold, string? Methods, DateTime AuthenticatedAt);

    sealed record Allowed(long AccountId, Guid BrowserId, string Scopes);

    sealed record Holder(long Id, bool IsAdministrator);

    sealed record Alive(int Generation, DateTime ExpiresAt);
}

/// <summary>What an authorization code says, once its client, address and verifier are proved.</summary>
sealed record Code(Guid SessionId, long AccountId, Guid BrowserId, string ClientId, string Scopes);

/// <param name="Session">The session; null when the code is worth nothing.</param>
/// <param name="WasReused">It was used before.</param>
sealed record Redeemed(Session? Session, bool WasReused);
