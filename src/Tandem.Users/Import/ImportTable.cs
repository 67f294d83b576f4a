using System.Security.Cryptography;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Hashes;
using Tandem.Users.Organisations;
using Tandem.Users.SecondSteps;
using Tandem.Users.Tokens;

namespace Tandem.Users.Import;

/// <summary>Accounts as an import stores them and an export reads them: with all that is known of them.</summary>
sealed class ImportTable(Db db, Keys keys, AuditTrail trail, UserTable accounts)
{
    const string Reason = "import";

    static readonly Sql Columns = Sql.Raw(
        "id, email, name, is_active, is_administrator, created_at, email_verified_at, last_sign_in_at, external_source, external_id, password_hash");

    /// <summary>The accounts with the next higher ids.</summary>
    public Task<List<WholeAccount>> ListAsync(long after, int limit, CancellationToken ct) =>
        db.ListAsync<WholeAccount>($"select {Columns} from users_accounts where id > {after} order by id {Sql.Page(0, limit)}", ct);

    /// <summary>What belongs to the persons of a page, by account and in the order of the tables; secrets are opened.</summary>
    /// <exception cref="InvalidDataException">A secret was changed in its table, or its key is gone.</exception>
    public async Task<ILookup<long, PersonRow>> ListBesideAsync(long first, long last, CancellationToken ct)
    {
        var all = new List<(long AccountId, PersonRow Row)>();
        foreach (var table in PersonTables.All)
            foreach (var (id, values) in await db.ListAsync(table.Select(first, last), r => (r.GetInt64(0), table.Read(r)), ct))
            {
                if (SealOf(table) is >= 0 and var at)
                    try
                    {
                        values[at + 1] = await keys.OpenAsync((string)values[at]!, (byte[])values[at + 1]!, SecondStep.Purpose(id), ct); // both columns are not null
                    }
                    catch (Exception e) when (e is CryptographicException or InvalidOperationException)
                    {
                        throw new InvalidDataException($"The authenticator app of account {id} cannot be opened any more; switch it off first (tandem user second-step-off).", e);
                    }

                all.Add((id, new PersonRow(table, values)));
            }

        return all.ToLookup(r => r.AccountId, r => r.Row);
    }

    /// <returns>How many rows there are beside the accounts, by what an export calls them; none of those of which there are none.</returns>
    public async Task<List<(string Member, long Rows)>> CountBesideAsync(CancellationToken ct)
    {
        var counts = new List<(string, long)>();
        foreach (var table in PersonTables.All)
            if (await db.FindAsync<long>($"select count(*) from {Sql.Raw(table.Name)} m where 1 = 1 {Sql.Raw(table.Where)}", ct) is > 0 and var rows)
                counts.Add((table.Member, rows));
        return counts;
    }

    static int SealOf(PersonTable table) => Array.FindIndex(table.Columns, c => c.Kind == Kind.Seal);

    /// <summary>Stores users in one transaction, each with its events; who is there already is left alone or updated, as the settings say.</summary>
    /// <returns>What became of each, in their order.</returns>
    public async Task<List<Stored>> StoreAsync(IReadOnlyList<ImportedUser> users, string source, ImportSettings settings, CancellationToken ct)
    {
        // Before the accounts: nobody who signs up meanwhile gets one of their ids.
        if (!settings.IsTrial && users.Max(u => u.Id) is { } highest)
            await db.ExecuteAsync($"insert into users_highest_id (id) values ({highest})", ct);
        // The key of this database, in place of none.
        foreach (var user in users)
            foreach (var (table, values) in user.Beside)
                if (SealOf(table) is >= 0 and var at)
                    (values[at], values[at + 1]) = await keys.SealAsync((byte[])values[at + 1]!, SecondStep.Purpose(user.Id!.Value), ct); // rows come with ids that are kept
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
            if (await AddBesideAsync(tx, added.Id, user.Beside, settings.Now) is { } refused)
                return refused;
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

    /// <returns>Why it cannot be, with nothing of the account left; null when all is stored.</returns>
    async Task<Stored?> AddBesideAsync(Transaction tx, long id, List<PersonRow> rows, DateTime now)
    {
        var made = new List<(string Parent, Guid Id)>();
        foreach (var (table, values) in rows)
        {
            string? reason = null;
            if (table.Parent is { } parent)
            {
                var group = (Guid)values[0]!; // the first column names it, and is not optional
                if (await tx.ExecuteAsync(table.InsertParent(values)) == 1)
                    made.Add((parent, group));
                else if (await tx.FindAsync<long>($"select count(*) from {Sql.Raw(parent)} where id = {group}") == 0)
                    reason = $"has {group}, whose name is another's here";
            }

            if (SealOf(table) is >= 0 and var at && await tx.FindAsync<long>($"select count(*) from users_signing_keys where id = {values[at]}") == 0)
                reason = "was sealed with a key that was revoked at this moment; import it once more";
            if (reason is null && await tx.ExecuteAsync(table.Insert(id, values)) == 0)
                reason = "has an entry that is there already, of this or another account";
            if (reason is null)
                continue;
            foreach (var begun in rows.Select(r => r.Table).Distinct())
                await tx.ExecuteAsync($"delete from {Sql.Raw(begun.Name)} where account_id = {id} {Sql.Raw(begun.Where.Replace("m.", "", StringComparison.Ordinal))}");
            foreach (var (name, group) in made)
                await tx.ExecuteAsync($"delete from {Sql.Raw(name)} where id = {group}");
            await tx.ExecuteAsync($"delete from users_accounts where id = {id}");
            return new Stored(Outcome.Refused, table.Member, reason);
        }

        foreach (var (_, organisation) in made.Where(m => m.Parent == "users_organisations"))
            await tx.PublishAsync(new OrganisationCreated(organisation));
        foreach (var values in rows.Where(r => r.Table.Parent == "users_organisations").Select(r => r.Values))
        {
            var (organisation, role) = ((Guid)values[0]!, (string)values[4]!); // neither is optional
            await trail.AddAsync(tx, AuditEvents.MemberAdded, Origin.Operator, id, now, role, organisation);
            await tx.PublishAsync(new MemberAdded(organisation, id, OrganisationTable.RoleOf(role)!.Value)); // one of the roles: checked when it was read
        }

        return null;
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
