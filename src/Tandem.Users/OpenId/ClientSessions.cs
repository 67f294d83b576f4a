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
        // As at a sign-in: whoever deactivates the account comes before, and is seen here, or after, and sees this session.
        var account = await tx.FindAsync<Holder>($"update users_accounts set id = id where id = {code.AccountId} and is_active returning id, is_administrator", ct);
        // The client may have been changed since the person was asked.
        var from = account is null ? null : await tx.FindAsync<From>($"""
            select users_clients.scopes, methods, coalesce(authenticated_at, users_sessions.created_at) as authenticated_at from users_sessions, users_clients
            where users_sessions.id = {code.BrowserId} and users_sessions.ended_at is null and users_clients.id = {code.ClientId}
            """, ct);
        if (await tx.FindAsync<long>($"select count(*) from users_sessions where id = {code.SessionId}", ct) == 0)
        {
            string[] granted = from is null ? [] : [.. Client.Words(code.Scopes).Intersect(Client.Words(from.Scopes))];
            if (account is null || from is null || granted.Length == 0)
                return new Redeemed(null, false);
            var scopes = string.Join(' ', granted);
            var unused = granted.Contains("offline_access") ? options.RefreshTokenLifetime : options.AccessTokenLifetime;
            await InsertAsync(tx, code.SessionId, code.AccountId, scopes, code.ClientId, code.BrowserId, from, unused, now, ct);
            await trail.AddAsync(tx, AuditEvents.ClientSignedIn, origin.AsClient(code.BrowserId), code.AccountId, now, code.ClientId, code.SessionId);
            return new Redeemed(new Session(code.SessionId, code.AccountId, 0, account.IsAdministrator, scopes, from.AuthenticatedAt, from.Methods), false);
        }

        if (await tx.FindAsync<long>($"select count(*) from users_sessions where id = {code.SessionId} and ended_at is null", ct) == 1)
        {
            await trail.AddAsync(tx, AuditEvents.CodeReused, origin.AsClient(code.BrowserId), code.AccountId, now, code.ClientId, code.SessionId);
            await sessions.EndAsync(tx, $"id = {code.SessionId}", "code used again", origin.AsClient(code.BrowserId), now, ct);
            await tx.PublishAsync(new CodeReused(code.AccountId, code.ClientId, code.SessionId), ct);
        }

        return new Redeemed(null, true);
    }, ct);

    /// <summary>Opens a session of a client that acts for itself: no account, and nothing to refresh.</summary>
    public Task<Guid> OpenOwnAsync(string clientId, string scopes, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var id = Guid.CreateVersion7(now);
        await InsertAsync(tx, id, 0, scopes, clientId, null, null, options.AccessTokenLifetime, now, ct);
        await trail.AddAsync(tx, AuditEvents.ClientSignedIn, origin.AsClient(id), null, now, clientId, id);
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
    sealed record From(string Scopes, string? Methods, DateTime AuthenticatedAt);

    sealed record Holder(long Id, bool IsAdministrator);

    sealed record Alive(int Generation, DateTime ExpiresAt);
}

/// <summary>What an authorization code says, once its client, address and verifier are proved.</summary>
sealed record Code(Guid SessionId, long AccountId, Guid BrowserId, string ClientId, string Scopes);

/// <param name="Session">The session; null when the code is worth nothing.</param>
/// <param name="WasReused">It was used before.</param>
sealed record Redeemed(Session? Session, bool WasReused);
