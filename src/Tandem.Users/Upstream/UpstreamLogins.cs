using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Hashes;
using Tandem.Users.Look;
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;

namespace Tandem.Users.Upstream;

/// <summary>Which logins elsewhere open which account, and the browsers that are on their way there and back.</summary>
sealed class UpstreamLogins(Db db, Keys keys, UserTable users, Ownership ownership, AuditTrail trail, UsersOptions options, TimeProvider clock)
{
    /// <summary>Somebody has to find the password there, and a second step.</summary>
    public static readonly TimeSpan RequestLifetime = TimeSpan.FromMinutes(15);

    /// <summary>How long an account's own page may take to open the address that adds a login.</summary>
    public static readonly TimeSpan LinkLifetime = TimeSpan.FromMinutes(5);

    /// <summary>More than people have, and a bound on lists.</summary>
    const int PerAccount = 20;

    /// <summary>Keeps what has to be known when a browser comes back.</summary>
    /// <param name="state">What it comes back with.</param>
    public Task BeginAsync(string state, Begun begun, CancellationToken ct)
    {
        var expires = clock.UtcNow() + RequestLifetime;
        return db.ExecuteAsync($"""
            insert into users_upstream_requests (digest, provider, browser_digest, nonce, verifier, return_to, account_id, session_id, expires_at, fresh_since, needs_auth_time)
            values ({Secret.Digest(state)}, {begun.Provider}, {begun.BrowserDigest}, {begun.Nonce}, {begun.Verifier}, {begun.ReturnTo}, {begun.AccountId}, {begun.SessionId}, {expires},
                {begun.FreshSince}, {begun.NeedsAuthTime})
            """, ct);
    }

    /// <summary>Takes what was kept, once: for the browser it was kept for, and the provider that it was sent to.</summary>
    public async Task<Begun?> TakeAsync(string state, string provider, string browserDigest, CancellationToken ct) => await db.InTransactionAsync(tx => tx.FindAsync<Begun>($"""
        delete from users_upstream_requests where digest = {Secret.Digest(state)} and provider = {provider} and browser_digest = {browserDigest} and expires_at > {clock.UtcNow()}
        returning provider, browser_digest, nonce, verifier, return_to, account_id, session_id, fresh_since, needs_auth_time
        """, CancellationToken.None), ct);

    /// <summary>Forgets browsers that did not come back, a bounded number at a time.</summary>
    public async Task SweepAsync(CancellationToken ct)
    {
        const int BatchSize = 500;
        while (await db.ExecuteAsync($"delete from users_upstream_requests where digest in (select digest from users_upstream_requests where expires_at < {clock.UtcNow()} limit {BatchSize})", ct) == BatchSize)
        {
        }
    }

    /// <summary>Says whose account a login opens, makes one where there is none, and joins it to the one of its e-mail where both sides have shown that the mailbox is the person's own.</summary>
    /// <param name="t">In which the person is told why not.</param>
    /// <returns>The account. Whether it may be signed in to is not looked at.</returns>
    /// <exception cref="ProblemException">It opens none.</exception>
    public Task<long> EnterAsync(Provider provider, Identity identity, Language t, Origin origin, CancellationToken ct)
    {
        RefuseOtherDomains(provider, identity, t);
        return db.InTransactionAsync(async tx =>
        {
            var (now, issuer) = (clock.UtcNow(), provider.Options.Issuer);
            if (await tx.FindAsync<long>($"""
                update users_upstream_logins set last_used_at = {now}, email = {identity.Email} where issuer = {issuer} and subject = {identity.Subject} returning account_id
                """, CancellationToken.None) is not 0 and var known)
                return known;
            // Before anything is looked up: whoever has not shown that a mailbox is his learns nothing about it here.
            if (identity.Email is not { } email || !IsOwn(provider, identity))
                throw Refused(t.Say("upstream.unconfirmed", ("provider", TitleOf(provider))));
            var account = await tx.FindAsync<Found>($"""
                update users_accounts set id = id where email = {UserTable.Fold(email)} returning id, email, is_active, email_verified_at is not null as is_verified
                """, CancellationToken.None);
            var reason = By(provider);
            if (account is null)
            {
                if (!(provider.Options.AllowSignUp ?? options.SignUp))
                    throw new ProblemException(UserProblems.SignUpClosed, t.Say("problem.users/sign-up-closed"));
                var made = await users.AddVerifiedAsync(tx, email, identity.Name ?? email.Split('@')[0], StoredHash.None, now, origin, reason) ?? throw Refused(t.Say("upstream.just-made"));
                await AddAsync(tx, made.Id, provider, identity, origin, now, reason);
                return made.Id;
            }

            if (!account.IsActive)
                throw Refused(t.Say("upstream.not-active"));
            // Whoever signed up with it may have been somebody else, waiting for its owner; and where e-mails are not confirmed at all, it may be anybody.
            if (!account.IsVerified)
                throw Refused(t.Say("upstream.never-confirmed"));
            await AddAsync(tx, account.Id, provider, identity, origin, now, reason);
            await ownership.NoticeAsync(tx, account.Email, now, "login-added", ("provider", TitleOf(provider)));
            return account.Id;
        }, ct);
    }

    async Task AddAsync(Transaction tx, long accountId, Provider provider, Identity identity, Origin origin, DateTime now, string? reason)
    {
        var id = Guid.CreateVersion7(now);
        if (await tx.ExecuteAsync($"""
            insert into users_upstream_logins (id, account_id, issuer, subject, email, created_at, last_used_at)
            values ({id}, {accountId}, {provider.Options.Issuer}, {identity.Subject}, {identity.Email}, {now}, {now}) on conflict (issuer, subject) do nothing
            """, CancellationToken.None) == 0)
            throw new ProblemException(UserProblems.UpstreamTaken);
        await trail.AddAsync(tx, AuditEvents.UpstreamAdded, origin, accountId, now, reason, subjectPart: id);
    }

    /// <summary>Seals whose account a login is to be added to.</summary>
    public async Task<string> SealAsync(string provider, Caller caller, CancellationToken ct)
    {
        var text = string.Create(CultureInfo.InvariantCulture, $"{(clock.GetUtcNow() + LinkLifetime).ToUnixTimeMilliseconds()} {caller.AccountId} {caller.SessionId}");
        var (keyId, box) = await keys.SealAsync(Encoding.UTF8.GetBytes(text), PurposeOf(provider), ct);
        return $"{keyId}.{Base64Url.EncodeToString(box)}";
    }

    /// <returns>The account and the session that asked; null when the handle is not known, too old, or that session has ended.</returns>
    public async Task<(Account Account, Guid Session)?> OpenAsync(string provider, string handle, CancellationToken ct)
    {
        if (handle.Length > 500 || handle.Split('.') is not [{ Length: > 0 } keyId, { Length: > 0 } box] || !Base64Url.IsValid(keyId) || !Base64Url.IsValid(box)
            || await keys.TryOpenAsync(keyId, Base64Url.DecodeFromChars(box), PurposeOf(provider), ct) is not { } text)
            return null;
        var parts = Encoding.UTF8.GetString(text).Split(' ');
        var (until, account, session) = (long.Parse(parts[0], CultureInfo.InvariantCulture), long.Parse(parts[1], CultureInfo.InvariantCulture), Guid.Parse(parts[2]));
        return until > clock.GetUtcNow().ToUnixTimeMilliseconds()
            && await db.FindAsync<long>($"select count(*) from users_sessions where id = {session} and account_id = {account} and ended_at is null", ct) == 1
            && await users.FindAsync(account, ct) is { IsActive: true } owner ? (owner, session) : null;
    }

    /// <summary>Adds a login to the account whose person asked for it.</summary>
    /// <returns>The account's e-mail.</returns>
    /// <exception cref="ProblemException">It is somebody else's, or the session that asked has ended.</exception>
    public Task<string> LinkAsync(long accountId, Guid session, Provider provider, Identity identity, Language t, Origin origin, CancellationToken ct)
    {
        RefuseOtherDomains(provider, identity, t);
        return db.InTransactionAsync(async tx =>
        {
            var now = clock.UtcNow();
            if (await tx.FindAsync<Account>(UserTable.Locked(accountId), CancellationToken.None) is not { IsActive: true } owner || await tx.FindAsync<long>(
                $"select count(*) from users_sessions where id = {session} and account_id = {accountId} and ended_at is null", CancellationToken.None) == 0)
                throw Refused(t.Say("upstream.session-ended"));
            var holder = await tx.FindAsync<long>($"select account_id from users_upstream_logins where issuer = {provider.Options.Issuer} and subject = {identity.Subject}", CancellationToken.None);
            if (holder == accountId)
                return owner.Email;
            if (holder != 0)
                throw new ProblemException(UserProblems.UpstreamTaken);
            if (await tx.FindAsync<long>($"select count(*) from users_upstream_logins where account_id = {accountId}", CancellationToken.None) >= PerAccount)
                throw Refused(t.Say("upstream.too-many", ("most", $"{PerAccount}")));
            await AddAsync(tx, accountId, provider, identity, origin.As(accountId, session), now, By(provider));
            await ownership.NoticeAsync(tx, owner.Email, now, "login-added", ("provider", TitleOf(provider)));
            return owner.Email;
        }, ct);
    }

    /// <returns>An account's logins elsewhere, the oldest first.</returns>
    public Task<List<UpstreamLogin>> ListAsync(long accountId, CancellationToken ct) => db.ListAsync<UpstreamLogin>($"""
        select id, issuer, email, created_at, last_used_at from users_upstream_logins where account_id = {accountId} order by created_at, id
        """, ct);

    /// <returns>False when the account has no such login.</returns>
    /// <exception cref="ProblemException">Nothing would be left to sign in with.</exception>
    public Task<bool> RemoveAsync(long accountId, Guid id, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var now = clock.UtcNow();
        if (await tx.FindAsync<Account>(UserTable.Locked(accountId), ct) is not { } owner
            || await tx.FindAsync<string>($"delete from users_upstream_logins where id = {id} and account_id = {accountId} returning issuer", ct) is not { } issuer)
            return false;
        await ownership.KeepAWayInAsync(tx, accountId);
        await trail.AddAsync(tx, AuditEvents.UpstreamRemoved, origin, accountId, now, options.ProviderOf(issuer) is { } known ? $"by upstream {known.Name}" : null, subjectPart: id);
        await ownership.NoticeAsync(tx, owner.Email, now, "login-removed", ("provider", options.ProviderOf(issuer)?.Title ?? issuer));
        return true;
    }, ct);

    /// <summary>Removes every login of an account, and those that were about to be added.</summary>
    /// <returns>How many logins there were.</returns>
    public static async Task<int> ForgetAsync(Transaction tx, long accountId)
    {
        await tx.ExecuteAsync($"delete from users_upstream_requests where account_id = {accountId}", CancellationToken.None);
        return await tx.ExecuteAsync($"delete from users_upstream_logins where account_id = {accountId}", CancellationToken.None);
    }

    static bool IsOwn(Provider provider, Identity identity) => identity.Email is not null && (identity.IsEmailVerified || provider.Options.TrustEmail);

    static void RefuseOtherDomains(Provider provider, Identity identity, Language t)
    {
        if (provider.Options.Domains is { Length: > 0 } domains
            && !(IsOwn(provider, identity) && domains.Contains(identity.Email![(identity.Email!.LastIndexOf('@') + 1)..], StringComparer.OrdinalIgnoreCase))) // IsOwn says that there is one
            throw Refused(t.Say("upstream.other-domain"));
    }

    static ProblemException Refused(string why) => new(UserProblems.UpstreamRefused, why);

    static string TitleOf(Provider provider) => provider.Options.Title ?? provider.Name;

    static string By(Provider provider) => $"by upstream {provider.Name}";

    static string PurposeOf(string provider) => $"account that a login of {provider} is added to";

    sealed record Found(long Id, string Email, bool IsActive, bool IsVerified);
}

/// <summary>A browser that was sent to a provider.</summary>
/// <param name="Provider">Which one.</param>
/// <param name="BrowserDigest">Of what its cookie shows.</param>
/// <param name="ReturnTo">Where it goes on once it is signed in: an address of this server, without the slash in front.</param>
/// <param name="AccountId">To which the login is added; null: it signs in.</param>
/// <param name="SessionId">That asked for it.</param>
/// <param name="FreshSince">The person must not have signed in there before that; null: it may be as long ago as it is.</param>
/// <param name="NeedsAuthTime">The provider has to say when that was.</param>
sealed record Begun(string Provider, string BrowserDigest, string Nonce, string Verifier, string? ReturnTo, long? AccountId, Guid? SessionId, DateTime? FreshSince = null, bool NeedsAuthTime = false);

/// <summary>A row.</summary>
sealed record UpstreamLogin(Guid Id, string Issuer, string? Email, DateTime CreatedAt, DateTime? LastUsedAt);
