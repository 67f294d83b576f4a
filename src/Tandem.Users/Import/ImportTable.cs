using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Hashes;

namespace Tandem.Users.Import;

/// <summary>Accounts as an import stores them and an export reads them: with all that is known of them.</summary>
sealed class ImportTable(Db db, AuditTrail trail, UserTable accounts)
{
    const string Reason = "import";

    static readonly Sql Columns = Sql.Raw(
        "id, email, name, is_active, is_administrator, created_at, email_verified_at, last_sign_in_at, external_source, external_id, password_hash");

    /// <summary>The accounts with the next higher ids.</summary>
    public Task<List<WholeAccount>> ListAsync(long after, int limit, CancellationToken ct) =>
        db.ListAsync<WholeAccount>($"select {Columns} from users_accounts where id > {after} order by id {Sql.Page(0, limit)}", ct);

    /// <summary>Stores users in one transaction, each with its events; who is there already is left alone or updated, as the settings say.</summary>
    /// <returns>What became of each, in their order.</returns>
    public async Task<List<Stored>> StoreAsync(IReadOnlyList<ImportedUser> users, string source, ImportSettings settings, CancellationToken ct)
    {
        // Before the accounts: nobody who signs up meanwhile gets one of their ids.
        if (!settings.IsTrial && users.Max(u => u.Id) is { } highest)
            await db.ExecuteAsync($"insert into users_highest_id (id) values ({highest})", ct);
        try
        {
            return await db.InTransactionAsync(async tx =>
            {
                var stored = new List<Stored>(users.Count);
                foreach (var user in users)
                    stored.Add(await StoreAsync(tx, user, user.ExternalId is null ? null : user.ExternalSource ?? settings.Source ?? source, settings));
                return settings.IsTrial ? throw new OnlyTriedException(stored) : stored;
            }, ct);
        }
        catch (OnlyTriedException e)
        {
            return e.Stored;
        }
    }

    async Task<Stored> StoreAsync(Transaction tx, ImportedUser user, string? source, ImportSettings settings)
    {
        // Whole seconds on the wire: every client of the contract reads them.
        var created = user.CreatedAt ?? settings.Now;
        created = new DateTime(created.Ticks - created.Ticks % TimeSpan.TicksPerSecond, DateTimeKind.Utc);
        var (idColumn, id) = user.Id is { } kept ? (Sql.Raw("id, "), (Sql)$"{kept}, ") : (Sql.Raw(""), Sql.Raw(""));
        var added = await tx.FindAsync<Account>($"""
            insert into users_accounts ({idColumn}email, name, password_hash, is_administrator, is_active, created_at, email_verified_at, last_sign_in_at, external_source, external_id)
            values ({id}{user.Email}, {user.Name}, {user.PasswordHash ?? StoredHash.None}, {user.IsAdministrator && settings.AllowAdministrators}, {user.IsActive}, {created},
                {user.EmailVerifiedAt}, {user.LastSignInAt}, {source}, {user.ExternalId})
            on conflict do nothing
            returning id, email, name, created_at, is_active, is_administrator
            """);
        if (added is not null)
        {
            await tx.PublishAsync(new UserRegistered(added.Id, added.CreatedAt));
            await NoteAsync(AuditEvents.UserCreated, added.Id);
            if (added.IsAdministrator)
                await NoteAsync(AuditEvents.AdministratorMade, added.Id);
            if (!added.IsActive)
            {
                await tx.PublishAsync(new UserDeactivated(added.Id));
                await NoteAsync(AuditEvents.UserDeactivated, added.Id);
            }

            return new Stored(Outcome.Added);
        }

        // As everywhere where an account is decided on: a write first, so that what is read of it stays true.
        if (settings.Update && await tx.FindAsync<WholeAccount>($"update users_accounts set id = id where email = {user.Email} returning {Columns}") is { } account)
            return await UpdateAsync(tx, account, user, source, settings);
        if (await tx.FindAsync<long>($"select count(*) from users_accounts where email = {user.Email}") > 0)
            return new Stored(Outcome.AlreadyThere);
        if (await HolderAsync(tx, source, user.ExternalId) is { } holder)
            return new Stored(Outcome.Refused, "external_id", $"belongs to account {holder} already, which has another e-mail");
        return new Stored(Outcome.Refused, "id", $"{user.Id} belongs to an account already, which has another e-mail");

        Task NoteAsync(string what, long id) => trail.AddAsync(tx, what, Origin.Operator, id, settings.Now, Reason);
    }

    async Task<Stored> UpdateAsync(Transaction tx, WholeAccount account, ImportedUser user, string? source, ImportSettings settings)
    {
        // Whoever could sign up elsewhere by the e-mail of an administrator here would otherwise be handed the account.
        if (account.IsAdministrator && !settings.AllowAdministrators)
            return new Stored(Outcome.Refused, "email", "is an administrator's here; --allow-admin lets the file change it");
        if (user.ExternalId is not null && await HolderAsync(tx, source, user.ExternalId) is { } holder && holder != account.Id)
            return new Stored(Outcome.Refused, "external_id", $"belongs to account {holder} already, which has another e-mail");
        var after = account with
        {
            Name = user.Name,
            IsActive = user.IsActive,
            IsAdministrator = account.IsAdministrator || user.IsAdministrator,
            EmailVerifiedAt = account.EmailVerifiedAt ?? user.EmailVerifiedAt,
            ExternalSource = user.ExternalId is null ? account.ExternalSource : source,
            ExternalId = user.ExternalId ?? account.ExternalId,
            // A password that was used or set here is the newer one, unless the operator says otherwise.
            PasswordHash = user.PasswordHash is { } hash && (settings.UpdatePasswords || !IsOwn(account.PasswordHash)) ? hash : account.PasswordHash,
        };
        after = after with { IsAdministrator = after.IsAdministrator && (account.IsAdministrator || settings.AllowAdministrators) };
        if (after == account)
            return new Stored(Outcome.Unchanged);
        if (account.IsAdministrator && !after.IsActive)
            try
            {
                await UserTable.KeepAnAdministratorAsync(tx, account.Account, CancellationToken.None);
            }
            catch (ProblemException e)
            {
                return new Stored(Outcome.Refused, "is_active", $"cannot become false: {e.Message}");
            }

        await tx.ExecuteAsync($"""
            update users_accounts set name = {after.Name}, is_active = {after.IsActive}, is_administrator = {after.IsAdministrator}, email_verified_at = {after.EmailVerifiedAt},
                external_source = {after.ExternalSource}, external_id = {after.ExternalId}, password_hash = {after.PasswordHash}
            where id = {account.Id}
            """);
        await accounts.FollowAsync(tx, account.Account, after.Account, after.PasswordHash != account.PasswordHash, settings.Now, Origin.Operator, Reason, CancellationToken.None);
        return new Stored(Outcome.Updated);
    }

    static Task<long?> HolderAsync(Transaction tx, string? source, string? externalId) =>
        tx.FindAsync<long?>($"select id from users_accounts where external_source = {source} and external_id = {externalId}");

    static bool IsOwn(string hash) => StoredHash.TryRead(hash, out var stored, out _) && stored.IsCurrent;

    /// <summary>Undoes what was tried, and carries what would have become of it.</summary>
    sealed class OnlyTriedException(List<Stored> stored) : Exception("This was a trial.")
    {
        public List<Stored> Stored => stored;
    }
}

/// <summary>Everything that is stored of an account.</summary>
sealed record WholeAccount(long Id, string Email, string Name, bool IsActive, bool IsAdministrator, DateTime CreatedAt, DateTime? EmailVerifiedAt, DateTime? LastSignInAt,
    string? ExternalSource, string? ExternalId, string PasswordHash)
{
    public Account Account => new(Id, Email, Name, CreatedAt, IsActive, IsAdministrator);
}

enum Outcome
{
    Added,
    Updated,
    Unchanged,
    AlreadyThere,
    Refused,
}

/// <param name="Field">What is wrong about a refused one.</param>
/// <param name="Reason">The rest of a sentence that begins with the field.</param>
readonly record struct Stored(Outcome Outcome, string? Field = null, string? Reason = null);
