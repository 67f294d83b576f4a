using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;

namespace Tandem.Users.Tokens;

/// <summary>API keys: sessions whose token does not change, made to be put into scripts. They allow what their owner may do, or some of it.</summary>
sealed class ApiKeys(Db db, Sessions sessions, AuditTrail trail, FailedSignIns failures, SignInLimits limits, UsersOptions options, TimeProvider clock)
{
    /// <summary>
    /// How long a process takes a key that it has seen without looking at its row again. That it was revoked is told before; this is for what nobody tells.
    /// </summary>
    public static readonly TimeSpan Trust = TimeSpan.FromHours(1);

    /// <summary>Makes a key.</summary>
    /// <param name="accountId">Its owner.</param>
    /// <param name="key">Checked already.</param>
    /// <param name="scopes">What it allows; null: all that its owner may do.</param>
    /// <returns>The key and its text, which is nowhere else; null when there is no such account, or it is not active.</returns>
    /// <exception cref="ProblemException">The owner has not got one of the scopes, or has as many keys as allowed; the time is not valid.</exception>
    public async Task<(ApiKey Key, string Text)?> CreateAsync(long accountId, NewKey key, IReadOnlyCollection<string>? scopes, Origin origin, CancellationToken ct)
    {
        var now = clock.UtcNow();
        var ends = ExpiryOf(key, now);
        var id = Guid.CreateVersion7(now);
        var (text, digest) = ApiKeyText.Make(id);
        var made = new ApiKey(id, key.Name, scopes is null ? null : string.Join(' ', scopes.Distinct()), now, ends, null);
        return await db.InTransactionAsync(async tx =>
        {
            // Holds the account's row: whoever takes its role away, or makes another key, comes before or after.
            var owner = await tx.FindAsync<Owner>($"update users_accounts set id = id where id = {accountId} and is_active returning id, is_administrator", ct);
            if (owner is null)
                return false;
            if (scopes is { Count: > 0 } && !owner.IsAdministrator)
                throw new ProblemException(UserProblems.ScopeNotHeld);
            if (await tx.FindAsync<long>($"select count(*) from users_sessions where {Living(accountId, now)}", ct) >= options.KeysPerAccount)
                throw new ProblemException(UserProblems.TooManyKeys);
            await tx.ExecuteAsync($"""
                insert into users_sessions (id, account_id, scopes, key_name, key_digest, generation, rotated_at, created_at, last_used_at, expires_at, access_until)
                values ({id}, {accountId}, {made.Scopes}, {made.Name}, {digest}, 0, {now}, {now}, {now}, {ends}, {ends})
                """, ct);
            await trail.AddAsync(tx, AuditEvents.KeyCreated, origin, accountId, now, subjectPart: id);
            return true;
        }, ct) ? (made, text) : null;
    }

    /// <returns>A page of an account's keys, the newest first, and how many there are.</returns>
    public async Task<(List<ApiKey> Page, long Total)> ListAsync(long accountId, int skip, int limit, CancellationToken ct)
    {
        var living = Living(accountId, clock.UtcNow());
        return (await db.ListAsync<ApiKey>($"""
            select id, key_name as name, scopes, created_at, expires_at, case when key_first_used_at is null then null else last_used_at end as last_used_at
            from users_sessions where {living} order by created_at desc, id desc {Sql.Page(skip, limit)}
            """, ct), await db.FindAsync<long>($"select count(*) from users_sessions where {living}", ct));
    }

    /// <param name="accountId">Its owner; null: whoever that is.</param>
    /// <returns>False when the account has no such key, or no longer.</returns>
    public async Task<bool> RevokeAsync(long? accountId, Guid id, Origin origin, CancellationToken ct)
    {
        var owner = accountId ?? await db.FindAsync<long>($"select account_id from users_sessions where id = {id} and key_digest is not null", ct);
        return await sessions.EndKeyAsync(owner, id, "revoked", origin, clock.UtcNow(), ct);
    }

    /// <summary>Looks a key up that this process has not seen lately.</summary>
    /// <returns>Whose it is, and when it was used last; null for one that is worth nothing.</returns>
    /// <exception cref="ProblemException">Too many wrong ones came from this address.</exception>
    public async Task<(Caller Caller, DateTime LastUsedAt)?> FindAsync(string text, HttpContext context)
    {
        // No key at all: like any other token that is none.
        if (!ApiKeyText.TryRead(text, out var id, out var digest))
            return null;
        var (address, now, ct) = (ClientAddress.Of(context), clock.UtcNow(), context.RequestAborted);
        await limits.RefuseExhaustedAsync(address, context.Response, "wrong keys and failed sign-ins came from this address");
        var row = await db.FindAsync<Row>($"""
            select s.account_id, s.scopes, s.key_digest, s.expires_at, s.last_used_at, s.key_first_used_at, a.is_administrator
            from users_sessions s join users_accounts a on a.id = s.account_id
            where s.id = {id} and s.key_digest is not null and s.ended_at is null and s.expires_at > {now} and a.is_active
            """, ct);
        if (row is null || !CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(row.KeyDigest), Encoding.ASCII.GetBytes(digest)))
        {
            await limits.FailedAsync(address);
            failures.Add(row?.AccountId, Origin.Of(context), "wrong API key");
            return null;
        }

        var caller = row.CallerOf(id);
        if (row.KeyFirstUsedAt is null)
            await FirstUseAsync(caller, Origin.Of(context), now, ct);
        return (caller, row.KeyFirstUsedAt is null ? now : row.LastUsedAt);
    }

    Task FirstUseAsync(Caller caller, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.ExecuteAsync($"update users_sessions set key_first_used_at = {now}, last_used_at = {now} where id = {caller.SessionId} and key_first_used_at is null", ct) == 1)
            await trail.AddAsync(tx, AuditEvents.KeyFirstUsed, origin.As(caller.AccountId, caller.SessionId), caller.AccountId, now, subjectPart: caller.SessionId);
    }, ct);

    DateTime ExpiryOf(NewKey key, DateTime now)
    {
        if (key.ExpiresAt is not { } wanted)
            return now + options.KeyLifetime;
        var ends = new DateTime(wanted.UtcTicks - wanted.UtcTicks % TimeSpan.TicksPerMicrosecond, DateTimeKind.Utc);
        if (ends > now && ends <= now + options.MaxKeyLifetime)
            return ends;
        var wrong = string.Create(CultureInfo.InvariantCulture, $"must be in the future, and not after {now + options.MaxKeyLifetime:yyyy-MM-dd'T'HH:mm:ss'Z'}");
        throw new ProblemException(HttpProblems.Invalid, $"expires_at {wrong}.", new Dictionary<string, string[]> { ["expires_at"] = [wrong] });
    }

    static Sql Living(long accountId, DateTime now) => $"account_id = {accountId} and key_digest is not null and ended_at is null and expires_at > {now}";

    sealed record Owner(long Id, bool IsAdministrator);

    sealed record Row(long AccountId, string? Scopes, string KeyDigest, DateTime ExpiresAt, DateTime LastUsedAt, DateTime? KeyFirstUsedAt, bool IsAdministrator)
    {
        // A scope is an administrator's to give: whatever became of the account, the key has no more than it.
        public Caller CallerOf(Guid id) => new(AccountId, id, IsAdministrator && Scopes is null,
            IsAdministrator ? Scopes?.Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? [] : [])
        {
            IsApiKey = true,
            ExpiresAt = ExpiresAt,
        };
    }
}

/// <summary>A key without its secret.</summary>
/// <param name="Scopes">Separated by blanks; null: all that the owner may do.</param>
sealed record ApiKey(Guid Id, string Name, string? Scopes, DateTime CreatedAt, DateTime ExpiresAt, DateTime? LastUsedAt);
