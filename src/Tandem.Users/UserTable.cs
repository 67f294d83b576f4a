using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Hashes;
using Tandem.Users.MyData;
using Tandem.Users.Organisations;
using Tandem.Users.Passkeys;
using Tandem.Users.Scim;
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;
using Tandem.Users.Upstream;

namespace Tandem.Users;

/// <summary>The accounts and what happens to them.</summary>
sealed class UserTable(Db db, Sessions sessions, AuditTrail trail, TicketTable tickets, OrganisationTable organisations)
{
    /// <summary>Runs before every other: what else a write finds out about the account stays true until it commits, on either engine.</summary>
    public static Sql Locked(long id) => $"update users_accounts set id = id where id = {id} returning id, email, name, created_at, is_active, is_administrator";

    public Task<Account?> FindAsync(long id, CancellationToken ct) =>
        db.FindAsync<Account>($"select id, email, name, created_at, is_active, is_administrator from users_accounts where id = {id}", ct);

    public Task<Account?> FindAsync(string email, CancellationToken ct) => db.FindAsync<Account>(
        $"select id, email, name, created_at, is_active, is_administrator from users_accounts where email = {Fold(email)}", ct);

    public Task<Credentials?> FindCredentialsAsync(string email, CancellationToken ct) =>
        db.FindAsync<Credentials>($"select id, password_hash, is_active from users_accounts where email = {Fold(email)}", ct);

    public Task<Credentials?> FindCredentialsAsync(long id, CancellationToken ct) =>
        db.FindAsync<Credentials>($"select id, password_hash, is_active from users_accounts where id = {id}", ct);

    /// <summary>Has it been shown that the mailbox is the person's own?</summary>
    public Task<bool> IsVerifiedAsync(long id, CancellationToken ct) => db.FindAsync<bool>($"select email_verified_at is not null from users_accounts where id = {id}", ct);

    public async Task<bool> HasAdministratorAsync(CancellationToken ct) =>
        await db.FindAsync<long>($"select count(*) from users_accounts where is_administrator", ct) > 0;

    /// <returns>The stored account; null with nothing written or published when the e-mail is taken, or another administrator came first.</returns>
    /// <param name="user">Checked already.</param>
    /// <param name="hash">Of the password.</param>
    /// <param name="role">What the account may do.</param>
    /// <param name="now">UTC.</param>
    /// <param name="origin">Who does it.</param>
    /// <param name="reason">By which way, where the origin does not tell.</param>
    public Task<Account?> AddAsync(NewUser user, string hash, Role role, DateTime now, Origin origin, string? reason, CancellationToken ct) => db.InTransactionAsync(async tx =>
        role == Role.FirstAdministrator && await tx.FindAsync<long>($"select count(*) from users_accounts where is_administrator", ct) > 0
            ? null
            : await InsertAsync(tx, user, hash, role, now, origin, reason), ct);

    /// <summary>Signs a person up, once per key.</summary>
    /// <returns>The stored account with its hash, which is another one than <paramref name="hash"/> when it was stored before; null when the e-mail is taken.</returns>
    /// <param name="verify">Where it is done, when the person is to be mailed a link to confirm the e-mail.</param>
    public Task<Registered?> RegisterAsync(IdempotencyKey? key, NewUser user, string hash, DateTime now, Origin origin, Request? verify, CancellationToken ct) => db.OnceAsync(key, async tx =>
    {
        if (await InsertAsync(tx, user, hash, Role.Person, now, origin, null) is not { } account)
            return null;
        if (verify is { } request)
            await tickets.AskAsync(tx, TicketPurpose.Verify, account.Email, account.Id, request, null);
        return new Registered(account, hash);
    }, ct);

    /// <summary>Makes an account for somebody whose e-mail was shown to be his own elsewhere.</summary>
    /// <returns>Null when the e-mail is taken.</returns>
    public async Task<Account?> AddVerifiedAsync(Transaction tx, string email, string name, string hash, DateTime now, Origin origin, string reason)
    {
        if (await InsertAsync(tx, new NewUser(email, name, ""), hash, Role.Person, now, origin, reason, isVerified: true) is not { } account)
            return null;
        await trail.AddAsync(tx, AuditEvents.EmailVerified, origin, account.Id, now, reason);
        return account;
    }

    async Task<Account?> InsertAsync(Transaction tx, NewUser user, string hash, Role role, DateTime now, Origin origin, string? reason, bool isVerified = false)
    {
        // Whole seconds on the wire: every client of the contract reads them.
        var created = new DateTime(now.Ticks - now.Ticks % TimeSpan.TicksPerSecond, DateTimeKind.Utc);
        var account = await tx.FindAsync<Account>($"""
            insert into users_accounts (email, name, password_hash, is_administrator, is_active, created_at, email_verified_at)
            values ({Fold(user.Email)}, {user.Name}, {hash}, {role != Role.Person}, {true}, {created}, {(isVerified ? now : (DateTime?)null)})
            on conflict (email) do nothing
            returning id, email, name, created_at, is_active, is_administrator
            """, CancellationToken.None);
        if (account is null)
            return null;
        if (role == Role.FirstAdministrator)
            await trail.AddAsync(tx, AuditEvents.SetupLinkUsed, origin, account.Id, now);
        await trail.AddAsync(tx, AuditEvents.UserCreated, origin, account.Id, now, reason);
        if (account.IsAdministrator)
            await trail.AddAsync(tx, AuditEvents.AdministratorMade, origin, account.Id, now, reason);
        await tx.PublishAsync(new UserRegistered(account.Id, account.CreatedAt), CancellationToken.None);
        return account;
    }

    /// <returns>The changed account, or null when there is none.</returns>
    /// <exception cref="ProblemException">It is the last active administrator and would no longer be one.</exception>
    public Task<Account?> ChangeAsync(long id, AccountChange change, DateTime now, Origin origin, CancellationToken ct) =>
        change is { Name: { } name, IsActive: null, IsAdministrator: null } ? RenameAsync(id, name, ct) : ChangeRightsAsync(id, change, now, origin, ct);

    // No transaction decides anything by a name, so this one stands alone: it waits for whoever changes the account, and compares with what he left.
    async Task<Account?> RenameAsync(long id, string name, CancellationToken ct) => await db.ChangeAsync<Account>(
        $"""
        update users_accounts set name = {name} where id = {id} and name <> {name}
        returning id, email, name, created_at, is_active, is_administrator
        """, new UserRenamed(id), standsAlone: true, ct) ?? await FindAsync(id, ct);

    Task<Account?> ChangeRightsAsync(long id, AccountChange change, DateTime now, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.FindAsync<Account>(Locked(id), ct) is not { } before)
            return null;
        var after = before with
        {
            Name = change.Name ?? before.Name,
            IsActive = change.IsActive ?? before.IsActive,
            IsAdministrator = change.IsAdministrator ?? before.IsAdministrator,
        };
        if (after == before)
            return before;
        if (!(after is { IsActive: true, IsAdministrator: true }))
            await KeepAnAdministratorAsync(tx, before, ct);
        await tx.ExecuteAsync($"""
            update users_accounts set name = {after.Name}, is_active = {after.IsActive}, is_administrator = {after.IsAdministrator} where id = {id}
            """, ct);
        await FollowAsync(tx, before, after, hasNewPassword: false, now, origin, null, ct);
        return after;
    }, ct);

    /// <summary>Does what a change of an account brings with it, by whichever way it comes: its rows of the trail, the end of sessions and keys, its events.</summary>
    /// <param name="tx">In which the account's row was changed.</param>
    /// <param name="before">What it was, with the row held.</param>
    /// <param name="after">What it is.</param>
    /// <param name="hasNewPassword">Whoever knew the old one is put out.</param>
    /// <param name="reason">By which way, where the origin does not tell.</param>
    public async Task FollowAsync(Transaction tx, Account before, Account after, bool hasNewPassword, DateTime now, Origin origin, string? reason, CancellationToken ct)
    {
        var id = after.Id;
        if (hasNewPassword)
        {
            await trail.AddAsync(tx, AuditEvents.PasswordChanged, origin, id, now, reason);
            await TicketTable.DropAsync(tx, id);
        }

        if (after.IsActive != before.IsActive)
            await trail.AddAsync(tx, after.IsActive ? AuditEvents.UserActivated : AuditEvents.UserDeactivated, origin, id, now, reason);
        if (after.IsAdministrator != before.IsAdministrator)
            await trail.AddAsync(tx, after.IsAdministrator ? AuditEvents.AdministratorMade : AuditEvents.AdministratorUnmade, origin, id, now, reason);
        if (before.IsActive && !after.IsActive)
            await sessions.EndAllAsync(tx, id, "deactivated", origin, now, ct);
        else if (hasNewPassword)
            await sessions.EndAllAsync(tx, id, "password changed", origin, now, ct);
        else if (before.IsAdministrator && !after.IsAdministrator)
            await sessions.EndAllAsync(tx, id, "no longer administrator", origin, now, ct);
        // A key that lies in some script must not become an administrator's by itself, nor may one administrator act as another.
        else if (!before.IsAdministrator && after.IsAdministrator)
            await sessions.EndKeysAsync(tx, id, "made administrator", origin, now, ct);
        if (after.Name != before.Name)
            await tx.PublishAsync(new UserRenamed(id), ct);
        if (after.IsActive != before.IsActive)
            await (after.IsActive ? tx.PublishAsync(new UserActivated(id), ct) : tx.PublishAsync(new UserDeactivated(id), ct));
    }

    /// <returns>False when there is no such account.</returns>
    /// <exception cref="ProblemException">It is the last active administrator, or the last owner of an organisation that others belong to.</exception>
    public Task<bool> DeleteAsync(long id, DateTime now, Origin origin, CancellationToken ct) => db.InTransactionAsync(tx => DeleteAsync(tx, id, now, origin, null, ct), ct);

    /// <inheritdoc cref="DeleteAsync(long, DateTime, Origin, CancellationToken)"/>
    public async Task<bool> DeleteAsync(Transaction tx, long id, DateTime now, Origin origin, string? reason, CancellationToken ct)
    {
        if (await tx.FindAsync<Account>(Locked(id), ct) is not { } account)
            return false;
        await KeepAnAdministratorAsync(tx, account, ct);
        await organisations.ForgetAsync(tx, id, account.Email, origin, now, ct);
        await trail.AddAsync(tx, AuditEvents.UserDeleted, origin, id, now, reason);
        await sessions.EndAllAsync(tx, id, "deleted", origin, now, ct);
        // They stay until their last token has expired, so that none is let in; who it was is not needed for that.
        await tx.ExecuteAsync($"update users_sessions set address = null, user_agent = null, key_name = case when key_name is null then null else '' end where account_id = {id}", ct);
        await ForgetAsync(tx, id);
        await Exports.ForgetAsync(tx, id);
        await ScimUsers.ForgetAsync(tx, id);
        await tx.ExecuteAsync($"delete from users_accounts where id = {id}", ct);
        await tx.PublishAsync(new UserDeleted(id), ct);
        return true;
    }

    /// <summary>Removes what belongs to an account beside its sessions: the second step, passkeys, logins elsewhere, what was mailed, what clients were allowed.</summary>
    /// <returns>True when the second step was on.</returns>
    public static async Task<bool> ForgetAsync(Transaction tx, long id)
    {
        await tx.ExecuteAsync($"delete from users_consents where account_id = {id}", CancellationToken.None);
        await TicketTable.DropAsync(tx, id);
        await PasskeyTable.ForgetAsync(tx, id);
        await UpstreamLogins.ForgetAsync(tx, id);
        return await ForgetSecondStepAsync(tx, id);
    }

    /// <summary>Removes the authenticator app and the recovery codes.</summary>
    /// <returns>True when the second step was on.</returns>
    public static async Task<bool> ForgetSecondStepAsync(Transaction tx, long id)
    {
        await tx.ExecuteAsync($"delete from users_recovery_codes where account_id = {id}", CancellationToken.None);
        return await tx.FindAsync<bool>($"delete from users_totp where account_id = {id} returning confirmed_at is not null", CancellationToken.None);
    }

    /// <exception cref="ProblemException">It is the last active administrator.</exception>
    public static async Task KeepAnAdministratorAsync(Transaction tx, Account account, CancellationToken ct)
    {
        if (account is { IsAdministrator: true, IsActive: true } && await tx.FindAsync<long>(
            $"select count(*) from users_accounts where is_administrator and is_active and id <> {account.Id}", ct) == 0)
            throw new ProblemException(UserProblems.LastAdministrator);
    }

    public static string Fold(string email) => email.ToLowerInvariant();
}

/// <summary>A row without its hash.</summary>
sealed record Account(long Id, string Email, string Name, DateTime CreatedAt, bool IsActive, bool IsAdministrator);

/// <summary>What came of a sign-up.</summary>
sealed record Registered(Account Account, string PasswordHash);

/// <summary>What a sign-in is checked against.</summary>
sealed record Credentials(long Id, string PasswordHash, bool IsActive);

/// <summary>What changes; null stays.</summary>
sealed record AccountChange(string? Name = null, bool? IsActive = null, bool? IsAdministrator = null);

enum Role
{
    Person,
    Administrator,
    /// <summary>Only while there is no other.</summary>
    FirstAdministrator,
}
