using System.Text.Json;
using Tandem.Core.Backplane;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Mailing;
using Tandem.Users.OpenId;
using Tandem.Users.Tickets;

namespace Tandem.Users.Tokens;

/// <summary>
/// The sessions: one per sign-in, a family of refresh tokens each. In the same table are those of browsers and of clients (<see cref="OpenId.Browsers"/>,
/// <see cref="OpenId.ClientSessions"/>) and the API keys (<see cref="ApiKeys"/>), which end in the same ways. A refresh token carries its session's id and a
/// generation; only the newest generation is exchanged, and for a short while the one before it.
/// </summary>
sealed class Sessions(Db db, AuditTrail trail, Revocations revocations, IBackplane backplane, UsersOptions options, MailOptions mail)
{
    public const string ByOwner = "ended by its owner";

    // A token is made a moment after its session's row is written, and checked by clocks that differ a little.
    public static readonly TimeSpan Margin = TimeSpan.FromMinutes(1);

    /// <summary>Signs a person in who has shown who he is, unless the account was deactivated or its password changed meanwhile.</summary>
    /// <param name="proof">What was shown.</param>
    /// <param name="address">Where the sign-in came from.</param>
    public Task<SignIn> SignInAsync(Proof proof, string address, Origin origin, DateTime now, CancellationToken ct)
    {
        var handle = Secret.New();
        return db.InTransactionAsync(async tx =>
        {
            Sql same = proof.PasswordHash is null ? Sql.Raw("") : $" and password_hash = {proof.PasswordHash}";
            Sql replaced = proof.Better is null ? Sql.Raw("") : $", password_hash = {proof.Better}";
            // The update holds the account's row until the commit: whoever deactivates it comes before, and is seen here, or after, and sees this session.
            var account = await tx.FindAsync<Shown>($"""
                update users_accounts set id = id{replaced} where id = {proof.AccountId} and is_active{same} returning id, email_verified_at is not null as is_verified
                """, ct);
            if (account is null)
                return new SignIn(null, null, false);
            if (!account.IsVerified && options.Verification(mail) == EmailVerification.Required)
                return new SignIn(null, null, true);
            if (!Methods.AreSeveral(proof.Methods) && await tx.FindAsync<long>($"select count(*) from users_totp where account_id = {account.Id} and confirmed_at is not null", ct) > 0)
            {
                await TicketTable.WaitAsync(tx, account.Id, handle, proof.Methods, now, now + options.CodeLifetime);
                return new SignIn(null, handle, false);
            }

            return new SignIn(await OpenAsync(tx, account.Id, null, proof.Methods, address, options.AccessTokenLifetime, origin, now, proof.ShownAt), null, false);
        }, ct);
    }

    /// <summary>Opens a session on the operator's word.</summary>
    /// <param name="scopes">What its tokens allow instead of all that the account may do; null: all.</param>
    /// <param name="accessLifetime">Of its first access token.</param>
    /// <returns>Null when there is no such account, or it is not active.</returns>
    public Task<Session?> OpenAsync(long accountId, string? scopes, TimeSpan accessLifetime, Origin origin, DateTime now, CancellationToken ct) =>
        db.InTransactionAsync(tx => OpenAsync(tx, accountId, scopes, null, null, accessLifetime, origin, now), ct);

    /// <param name="methods">How the person has shown who he is, see <see cref="Methods"/>; null: the operator says so.</param>
    /// <param name="shownAt">When; null, or later than now: now.</param>
    public async Task<Session?> OpenAsync(Transaction tx, long accountId, string? scopes, string? methods, string? address, TimeSpan accessLifetime, Origin origin, DateTime now, DateTime? shownAt = null)
    {
        var authenticated = shownAt < now ? shownAt.Value : now;
        var account = await tx.FindAsync<SignedIn>($"update users_accounts set last_sign_in_at = {now} where id = {accountId} and is_active returning id, is_administrator", CancellationToken.None);
        if (account is null)
            return null;
        var id = Guid.CreateVersion7(now);
        await tx.ExecuteAsync($"""
            insert into users_sessions (id, account_id, scopes, methods, address, user_agent, generation, rotated_at, created_at, authenticated_at, last_used_at, expires_at, access_until)
            values ({id}, {accountId}, {scopes}, {methods}, {address}, {origin.UserAgent}, 0, {now}, {now}, {authenticated}, {now}, {now + options.RefreshTokenLifetime}, {now + accessLifetime + Margin})
            """, CancellationToken.None);
        await trail.AddAsync(tx, AuditEvents.SignedIn, methods is null ? origin : origin.As(accountId, id), accountId, now, methods is null or Methods.Password ? null : $"by {methods.Replace(':', ' ')}", subjectPart: id);
        return new Session(id, accountId, 0, account.IsAdministrator, scopes, authenticated, methods);
    }

    /// <summary>Was the person of a session there within <c>Users:StepUpAfter</c>? Where that is 0, nobody has to be.</summary>
    public async Task<bool> IsFreshAsync(Guid id, DateTime now, CancellationToken ct) => options.StepUpAfter == TimeSpan.Zero || await db.FindAsync<long>($"""
        select count(*) from users_sessions where id = {id} and key_digest is null and coalesce(authenticated_at, created_at) > {now - options.StepUpAfter}
        """, ct) == 1;

    /// <summary>Notes that the person of a session has shown again that he is there.</summary>
    /// <returns>The caller; null when the session has ended.</returns>
    public async Task<Caller?> ConfirmAsync(Transaction tx, Caller caller, Origin origin, DateTime now)
    {
        if (await tx.ExecuteAsync($"update users_sessions set authenticated_at = {now} where id = {caller.SessionId} and key_digest is null and ended_at is null", CancellationToken.None) == 0)
            return null;
        await trail.AddAsync(tx, AuditEvents.SignInConfirmed, origin, caller.AccountId, now, subjectPart: caller.SessionId);
        return caller;
    }

    /// <summary>Exchanges a refresh token.</summary>
    /// <param name="id">The session that the token names.</param>
    /// <param name="generation">The generation that the token carries.</param>
    /// <param name="origin">Where it came from.</param>
    public Task<Refresh> RefreshAsync(Guid id, int generation, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        // One statement where the token is good: of two exchanges of one session the second sees what the first has written.
        var within = now - options.RefreshGrace;
        var row = await tx.FindAsync<Row>($"""
            update users_sessions set generation = {generation + 1}, rotated_at = case when generation = {generation} then {now} else rotated_at end, last_used_at = {now},
                expires_at = {now + options.RefreshTokenLifetime}, access_until = {now + options.AccessTokenLifetime + Margin}
            where id = {id} and key_digest is null and ended_at is null and expires_at > {now} and exists (select 1 from users_accounts where id = account_id and is_active)
                and (generation = {generation}
                    -- The same answer again for whoever was faster than the other, or never got to read it.
                    or generation = {generation + 1} and rotated_at >= {within})
            returning account_id, scopes, coalesce(authenticated_at, created_at) as authenticated_at, methods, rotated_at, (select is_administrator from users_accounts where id = account_id) as is_administrator
            """, ct);
        if (row is not null)
            return new Refresh(new Session(id, row.AccountId, generation + 1, row.IsAdministrator, row.Scopes, row.AuthenticatedAt, row.Methods) { RotatedAt = row.RotatedAt }, null);
        // Holds the row: what is found is what is ended.
        var replayed = await tx.FindAsync<long?>($"""
            update users_sessions set last_used_at = {now} where id = {id} and key_digest is null and ended_at is null and expires_at > {now}
                and not (generation = {generation} or generation = {generation + 1} and rotated_at >= {within})
            returning account_id
            """, ct);
        if (replayed is { } account)
        {
            await tx.PublishAsync(new RefreshTokenReplayed(account, id), ct);
            await trail.AddAsync(tx, AuditEvents.RefreshTokenReplayed, origin, account, now, subjectPart: id);
            await EndAsync(tx, $"id = {id}", "refresh token used again", origin, now, ct);
        }

        return new Refresh(null, replayed);
    }, ct);

    /// <summary>Ends every session and API key of an account; its tokens are worth nothing from the commit on.</summary>
    /// <param name="except">One that goes on; null: none.</param>
    public Task EndAllAsync(Transaction tx, long accountId, string reason, Origin origin, DateTime now, CancellationToken ct, Guid? except = null) =>
        EndAsync(tx, $"account_id = {accountId} and id <> {except ?? Guid.Empty}", reason, origin, now, ct);

    /// <summary>Ends every API key of an account, and what others have as its person.</summary>
    public Task EndKeysAsync(Transaction tx, long accountId, string reason, Origin origin, DateTime now, CancellationToken ct) =>
        EndAsync(tx, $"account_id = {accountId} and (key_digest is not null or impersonator_id is not null)", reason, origin, now, ct);

    /// <returns>False when the account has no such API key, or it has ended before.</returns>
    public Task<bool> EndKeyAsync(long accountId, Guid id, string reason, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
        await EndAsync(tx, $"account_id = {accountId} and id = {id} and key_digest is not null", reason, origin, now, ct) > 0, ct);

    /// <summary>Ends one session of an account; a browser's with those of the clients that were signed in to from it. Ended by its own token, it is a sign-out.</summary>
    /// <returns>False when the account has no such session, or it has ended before.</returns>
    public Task<bool> EndAsync(long accountId, Guid id, string reason, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
        await EndAsync(tx, $"account_id = {accountId} and (id = {id} or browser_id = {id}) and key_digest is null", reason, origin, now, ct) > 0, ct);

    /// <summary>Ends the sessions of an account, but for one.</summary>
    public Task EndAllAsync(long accountId, Guid? except, string reason, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(tx =>
        EndAsync(tx, $"account_id = {accountId} and id <> {except ?? Guid.Empty} and key_digest is null", reason, origin, now, ct), ct);

    /// <returns>A page of an account's living sessions, the last used first, and how many there are.</returns>
    public async Task<(List<OpenSession> Page, long Total)> ListAsync(long accountId, int skip, int limit, DateTime now, CancellationToken ct)
    {
        Sql living = $"account_id = {accountId} and key_digest is null and ended_at is null and expires_at > {now}";
        return (await db.ListAsync<OpenSession>($"""
            select id, client_id, impersonator_id, user_agent, address, created_at, last_used_at from users_sessions where {living} order by last_used_at desc, id desc {Sql.Page(skip, limit)}
            """, ct), await db.FindAsync<long>($"select count(*) from users_sessions where {living}", ct));
    }

    /// <summary>Was this account signed in from this address before?</summary>
    public async Task<bool> KnowsAddressAsync(long accountId, string address, CancellationToken ct) =>
        await db.FindAsync<long>($"select count(*) from users_sessions where account_id = {accountId} and address = {address}", ct) > 0;

    /// <summary>Ends the sessions and keys that <paramref name="which"/> names; their tokens are worth nothing from the commit on.</summary>
    /// <returns>How many there were that had not ended before.</returns>
    public async Task<int> EndAsync(Transaction tx, Sql which, string reason, Origin origin, DateTime now, CancellationToken ct)
    {
        // Once its row says so, a key is not let in anew: that it has ended need not be remembered longer than others may still take it.
        var rows = await tx.ListAsync<Ended>($"""
            update users_sessions set ended_at = {now}, end_reason = {reason},
                access_until = case when key_digest is null then access_until else {now + ApiKeys.Trust + Margin} end
            where {which} and ended_at is null returning id, account_id, access_until, key_digest is not null as is_key, client_id, parent_id, is_parent
            """, ct);
        if (rows.Count == 0)
            return 0;
        foreach (var kind in rows.GroupBy(r => (r.AccountId, r.IsKey, r.ClientId is not null)))
        {
            List<Guid> ids = [.. kind.Select(r => r.Id)];
            var what = kind.Key.IsKey ? AuditEvents.KeyRevoked : ids is [var own] && own == origin.CredentialId && reason == ByOwner ? AuditEvents.SignedOut : AuditEvents.SessionEnded;
            await trail.AddAsync(tx, what, origin, kind.Key.AccountId == 0 ? null : kind.Key.AccountId, now, what == AuditEvents.SignedOut ? null : reason, ids is [var only] ? only : null, ids.Count);
        }

        // A client that acts for itself, or with the token of another, has nobody to sign out.
        foreach (var client in rows.Where(r => r is { ClientId: not null, ParentId: null, AccountId: not 0 }).GroupBy(r => r.ClientId!)) // see Where
            if (await tx.FindAsync<long>($"select count(*) from users_clients where id = {client.Key} and backchannel_logout_uri is not null", ct) > 0)
                foreach (var row in client)
                    await tx.EnqueueAsync(new LogoutNotice(row.Id, row.AccountId, client.Key), LogoutNotice.Delivery, ct);
        List<EndedSession> ended = [.. rows.Select(r => new EndedSession(r.Id, r.AccessUntil))];
        tx.OnCommitted(() =>
        {
            revocations.Add(ended);
            // A message may have a few kilobytes.
            foreach (var some in ended.Chunk(32))
                backplane.Publish(RevocationWatch.Channel, JsonSerializer.Serialize(some, Json.Stored));
        });
        // What was opened with a token of it. Whoever opens some now waits for this row, and finds it ended.
        foreach (var parent in rows.Where(r => r.IsParent))
            await EndAsync(tx, $"parent_id = {parent.Id}", reason, origin, now, ct);
        return rows.Count;
    }

    sealed record Ended(Guid Id, long AccountId, DateTime AccessUntil, bool IsKey, string? ClientId, Guid? ParentId, bool IsParent);

    sealed record Row(long AccountId, string? Scopes, DateTime AuthenticatedAt, string? Methods, DateTime RotatedAt, bool IsAdministrator);

    sealed record Shown(long Id, bool IsVerified);

    sealed record SignedIn(long Id, bool IsAdministrator);
}

/// <summary>What a session's next tokens say.</summary>
/// <param name="AuthenticatedAt">When the person has shown who he is; UTC.</param>
/// <param name="Methods">How, see <see cref="Tokens.Methods"/>.</param>
sealed record Session(Guid Id, long AccountId, int Generation, bool IsAdministrator, string? Scopes, DateTime AuthenticatedAt, string? Methods)
{
    /// <summary>When the refresh token of this generation was first exchanged; UTC. Whoever comes with it again gets the same.</summary>
    public DateTime RotatedAt { get; init; }

    /// <summary>The administrator who acts as the account; null: the person does.</summary>
    public long? ImpersonatorId { get; init; }

    /// <summary>Scopes narrow: a token that names what it is for is no administrator's.</summary>
    public bool ActsAsAdministrator => IsAdministrator && Scopes is null;
}

/// <summary>What somebody has shown to be signed in.</summary>
/// <param name="AccountId">Who he is then.</param>
/// <param name="Methods">How, see <see cref="Tokens.Methods"/>.</param>
/// <param name="PasswordHash">The hash that the password was checked against; null where none was.</param>
/// <param name="Better">Another hash of the same password, to be stored instead; null: the stored one stays.</param>
sealed record Proof(long AccountId, string Methods, string? PasswordHash = null, string? Better = null)
{
    /// <summary>When it was shown, where that was elsewhere; null: now. A second step that follows is shown here, and now.</summary>
    public DateTime? ShownAt { get; init; }
}

/// <summary>What came of a sign-in; nothing of all: the account is not there, not active or has another password by now.</summary>
/// <param name="Session">The session.</param>
/// <param name="Handle">Under it the sign-in waits for its second step.</param>
/// <param name="IsUnverified">The e-mail has to be confirmed first.</param>
sealed record SignIn(Session? Session, string? Handle, bool IsUnverified);

/// <summary>How a person shows who he is: names for the claim <c>amr</c> (RFC 8176 where it has one), in the order they were shown in.</summary>
static class Methods
{
    public const string Password = "pwd";
    /// <summary>A code or link that was mailed.</summary>
    public const string Email = "email";
    /// <summary>A code of an authenticator app.</summary>
    public const string Otp = "otp";
    public const string Recovery = "recovery";

    /// <summary>Has the device, and whatever opens it: the second step is in it.</summary>
    public const string Passkey = "passkey";

    /// <summary>A login at another provider, whose name follows. How it was shown there is not known here: it is one step, unless <see cref="Several"/> follows.</summary>
    public const string Upstream = "upstream:";

    /// <summary>Were more than one thing, on the word of a provider that is trusted with that.</summary>
    public const string Several = "mfa";

    public static string Add(string? first, string second) => $"{first} {second}".Trim();

    /// <summary>What the claim says: two are more than one. A passkey is the possession of a key, and its person's finger, face or PIN.</summary>
    public static string[] Claim(string methods) => methods == Passkey ? ["pop", "user", Several] : methods.Split(' ') is { Length: > 1 } several ? [.. several.Where(m => m != Several), Several] : [methods];

    /// <summary>No second step is asked for after that.</summary>
    public static bool AreSeveral(string methods) => Claim(methods).Contains(Several);
}

/// <summary>A session as its owner is shown it.</summary>
sealed record OpenSession(Guid Id, string? ClientId, long? ImpersonatorId, string? UserAgent, string? Address, DateTime CreatedAt, DateTime LastUsedAt);

/// <param name="Session">The session, or null when the token is worth nothing.</param>
/// <param name="ReplayedAccountId">The account, when the token was used after its successor and the session was ended for it.</param>
sealed record Refresh(Session? Session, long? ReplayedAccountId);

/// <param name="Id">The session.</param>
/// <param name="AccessUntil">When the last of its access tokens expires.</param>
sealed record EndedSession(Guid Id, DateTime AccessUntil);
