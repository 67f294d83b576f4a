using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Tandem.Core;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
using Tandem.Users.Hashes;
using Tandem.Users.Tickets;

namespace Tandem.Users.Scim;

/// <summary>Accounts as a directory sees them.</summary>
sealed class ScimUsers(Db db, UserTable users, Ownership ownership, AuditTrail trail, Passwords passwords, CommonPasswordCheck common, TimeProvider clock)
{
    const string Reason = "by a directory";

    static readonly Sql Select = Sql.Raw("""
        select a.id, a.email, a.name, a.created_at, a.is_active, a.is_administrator, coalesce(a.changed_at, a.created_at) as changed_at, d.account_id is not null as is_known,
            d.external_id, d.formatted, d.given_name, d.family_name
        """);

    static readonly Sql From = Sql.Raw("from users_accounts a left join users_directory d on d.account_id = a.id");

    /// <exception cref="ScimException">404.</exception>
    public async Task<ScimResource> FindAsync(string id, string address, CancellationToken ct)
    {
        var row = await RowAsync(db.FindAsync<Row>, IdOf(id), ct) ?? throw ScimException.NotFound("user", id);
        return (await WholeAsync([row], address, withGroups: true, ct))[0];
    }

    public async Task<(List<ScimResource> Page, long Total)> ListAsync(Sql where, Sql order, int skip, int limit, string address, bool withGroups, CancellationToken ct)
    {
        var total = await db.FindAsync<long>($"select count(*) {From} where {where}", ct);
        var rows = limit == 0 || skip >= total ? [] : await db.ListAsync<Row>($"{Select} {From} where {where} order by {order}a.id {Sql.Page(skip, limit)}", ct);
        return (await WholeAsync(rows, address, withGroups, ct), total);
    }

    /// <exception cref="ScimException">uniqueness, invalidValue.</exception>
    public async Task<string> AddAsync(ScimUser user, Origin origin, CancellationToken ct)
    {
        var email = user.UserName ?? throw ScimException.Value("userName is required: the e-mail that the person signs in with.");
        if (await users.FindAsync(email, ct) is not null)
            throw Taken(email);
        var (hash, now) = (await HashAsync(user.Password, ct) ?? StoredHash.None, clock.UtcNow());
        return await db.InTransactionAsync(async tx =>
        {
            // The directory is whom the company believes about its mailboxes.
            if (await users.AddVerifiedAsync(tx, email, user.Name, hash, now, origin, Reason) is not { } account)
                throw Taken(email);
            if (user.Active == false)
            {
                await tx.ExecuteAsync($"update users_accounts set is_active = {false} where id = {account.Id}", ct);
                await users.FollowAsync(tx, account, account with { IsActive = false }, hasNewPassword: false, now, origin, Reason, ct);
            }

            await KeepAsync(tx, account.Id, user, isOwnEmail: user.Emails.Count == 0, isNew: true);
            return account.Id.ToString(CultureInfo.InvariantCulture);
        }, ct);
    }

    /// <summary>Changes a user.</summary>
    /// <param name="id">Which.</param>
    /// <param name="versions">One of these it must have; null: any.</param>
    /// <param name="change">Makes of what it is what it is to be; it is called more than once.</param>
    /// <exception cref="ScimException">404, 412, uniqueness, 403 for what a directory may not do to an administrator.</exception>
    /// <exception cref="ProblemException">It is the last active administrator.</exception>
    public async Task ChangeAsync(string id, string? versions, Func<ScimUser, ScimUser> change, Origin origin, CancellationToken ct)
    {
        var key = IdOf(id);
        // For its faults, and for its password: a hash takes too long for a transaction.
        var first = await RowAsync(db.FindAsync<Row>, key, ct) ?? throw ScimException.NotFound("user", id);
        var hash = await HashAsync(change(first.User(await EmailsAsync(db.ListAsync<EmailRow>, [key], ct))).Password, ct);
        var now = clock.UtcNow();
        await db.InTransactionAsync(async tx =>
        {
            if (await tx.FindAsync<Account>(UserTable.Locked(key), ct) is not { } before || await RowAsync(tx.FindAsync<Row>, key, ct) is not { } row)
                throw ScimException.NotFound("user", id);
            var stored = await EmailsAsync(tx.ListAsync<EmailRow>, [key], ct);
            if (versions is not null && !ScimResource.Fits(versions, row.VersionOf(row.User(stored))))
                throw new ScimException(412, null, "The user was changed since you read it: read it again and repeat your change on that version.");
            var (was, user) = (row.User(stored), change(row.User(stored)));
            var after = before with { Email = UserTable.Fold(user.UserName ?? before.Email), Name = user.Name, IsActive = user.Active ?? before.IsActive };
            if (before.IsAdministrator && (after.Email != before.Email || hash is not null))
                throw new ScimException(403, null, "The account is an administrator's: a directory changes neither its userName nor its password, since whoever has those may do everything.");
            if (!after.IsActive)
                await UserTable.KeepAnAdministratorAsync(tx, before, ct);
            if (after.Email != before.Email)
                await MoveAsync(tx, before, after, now, origin);
            await tx.ExecuteAsync($"update users_accounts set name = {after.Name}, is_active = {after.IsActive}, changed_at = {now} where id = {key}", ct);
            if (hash is not null)
                await tx.ExecuteAsync($"update users_accounts set password_hash = {hash} where id = {key}", ct);
            await users.FollowAsync(tx, before, after, hash is not null, now, origin, Reason, ct);
            await KeepAsync(tx, key, user, isOwnEmail: user.Emails.Count == 0 || stored.Count == 0 && user.Emails.SequenceEqual(was.Emails));
        }, ct);
    }

    /// <exception cref="ScimException">404.</exception>
    /// <exception cref="ProblemException">It is the last active administrator.</exception>
    public async Task DeleteAsync(string id, Origin origin, CancellationToken ct)
    {
        if (!await users.DeleteAsync(IdOf(id), clock.UtcNow(), origin, ct))
            throw ScimException.NotFound("user", id);
    }

    /// <summary>Removes what a directory has said of an account, and its memberships.</summary>
    public static async Task ForgetAsync(Transaction tx, long id)
    {
        await tx.ExecuteAsync($"delete from users_group_members where account_id = {id}", CancellationToken.None);
        await tx.ExecuteAsync($"delete from users_directory_emails where account_id = {id}", CancellationToken.None);
        await tx.ExecuteAsync($"delete from users_directory where account_id = {id}", CancellationToken.None);
    }

    /// <summary>The e-mail is what one signs in with. That it was shown to be the person's own stays so by the directory's word; where it never was, whoever made the account is not believed for it.</summary>
    async Task MoveAsync(Transaction tx, Account before, Account after, DateTime now, Origin origin)
    {
        if (await tx.FindAsync<long>($"select count(*) from users_accounts where email = {after.Email}", CancellationToken.None) > 0)
            throw Taken(after.Email);
        await tx.ExecuteAsync($"update users_accounts set email = {after.Email}, email_verified_at = case when email_verified_at is null then null else {now} end where id = {after.Id}", CancellationToken.None);
        await trail.AddAsync(tx, AuditEvents.EmailChanged, origin, after.Id, now, Reason);
        await TicketTable.DropAsync(tx, after.Id);
        await tx.PublishAsync(new UserEmailChanged(after.Id), CancellationToken.None);
        foreach (var to in (string[])[before.Email, after.Email])
            await ownership.NoticeAsync(tx, to, now, "email-changed", ("before", before.Email), ("after", after.Email));
    }

    static async Task KeepAsync(Transaction tx, long id, ScimUser user, bool isOwnEmail, bool isNew = false)
    {
        await tx.ExecuteAsync($"""
            insert into users_directory (account_id, external_id, formatted, given_name, family_name) values ({id}, {user.ExternalId}, {user.Formatted}, {user.GivenName}, {user.FamilyName})
            on conflict (account_id) do update set external_id = excluded.external_id, formatted = excluded.formatted, given_name = excluded.given_name, family_name = excluded.family_name
            """, CancellationToken.None);
        if (!isNew)
            await tx.ExecuteAsync($"delete from users_directory_emails where account_id = {id}", CancellationToken.None);
        if (!isOwnEmail)
            foreach (var (position, email) in user.Emails.Index())
                await tx.ExecuteAsync($"insert into users_directory_emails (account_id, position, value, type, is_primary) values ({id}, {position}, {email.Value}, {email.Type}, {email.IsPrimary})", CancellationToken.None);
    }

    async Task<string?> HashAsync(string? password, CancellationToken ct)
    {
        if (password is null)
            return null;
        if (common.Errors(password) is { Count: > 0 })
            throw ScimException.Value($"password {CommonPasswordCheck.Message}.");
        return await passwords.HashAsync(password, ct);
    }

    async Task<List<ScimResource>> WholeAsync(List<Row> rows, string address, bool withGroups, CancellationToken ct)
    {
        if (rows.Count == 0)
            return [];
        long[] ids = [.. rows.Select(r => r.Id)];
        var emails = (await EmailsAsync(db.ListAsync<EmailRow>, ids, ct)).ToLookup(e => e.AccountId);
        var groups = (withGroups ? await db.ListAsync<GroupRow>($"""
            select m.account_id, g.id, g.name from users_group_members m join users_groups g on g.id = m.group_id where m.account_id in ({In(ids)}) order by m.account_id, g.name_key
            """, ct) : []).ToLookup(g => g.AccountId);
        return rows.ConvertAll(r => r.Resource([.. emails[r.Id]], groups[r.Id], address));
    }

    static Task<Row?> RowAsync(Func<Sql, CancellationToken, Task<Row?>> find, long id, CancellationToken ct) => find($"{Select} {From} where a.id = {id}", ct);

    static Task<List<EmailRow>> EmailsAsync(Func<Sql, CancellationToken, Task<List<EmailRow>>> list, long[] ids, CancellationToken ct) =>
        list($"select account_id, value, type, is_primary from users_directory_emails where account_id in ({In(ids)}) order by account_id, position", ct);

    /// <summary>Parameters with commas between them.</summary>
    public static Sql In(IReadOnlyList<long> ids)
    {
        Sql list = $"{ids[0]}";
        for (var i = 1; i < ids.Count; i++)
            list.Append($", {ids[i]}");
        return list;
    }

    /// <returns>What no account has for what is no id.</returns>
    public static long IdOf(string id) => long.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var key) ? key : 0;

    static ScimException Taken(string email) => ScimException.Taken($"userName \"{email}\" is another account's already.");

    sealed record EmailRow(long AccountId, string Value, string? Type, bool IsPrimary);

    sealed record GroupRow(long AccountId, Guid Id, string Name);

    sealed record Row(long Id, string Email, string Name, DateTime CreatedAt, bool IsActive, bool IsAdministrator, DateTime ChangedAt, bool IsKnown, string? ExternalId, string? Formatted, string? GivenName, string? FamilyName)
    {
        public ScimUser User(List<EmailRow> emails) => new()
        {
            UserName = Email,
            ExternalId = ExternalId,
            DisplayName = Name,
            Formatted = Formatted,
            GivenName = GivenName,
            FamilyName = FamilyName,
            Active = IsActive,
            Emails = emails.Count == 0 ? [new ScimEmail(Email, "work", true)] : emails.ConvertAll(e => new ScimEmail(e.Value, e.Type, e.IsPrimary)),
        };

        /// <summary>Of what it says: whichever way it was changed, it is another.</summary>
        public string VersionOf(ScimUser user)
        {
            var text = string.Join('\n', [Email, Name, $"{IsActive}", ExternalId, Formatted, GivenName, FamilyName, .. user.Emails.Select(e => $"{e.Value} {e.IsPrimary} {e.Type}")]);
            return $"W/\"{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)).AsSpan(0, 12))}\"";
        }

        public ScimResource Resource(List<EmailRow> emails, IEnumerable<GroupRow> groups, string address)
        {
            var user = User(emails);
            var (id, version) = (Id.ToString(CultureInfo.InvariantCulture), VersionOf(user));
            var body = new JsonObject { ["schemas"] = new JsonArray(ScimAttributes.UserUrn), ["id"] = id };
            if (ExternalId is not null)
                body["externalId"] = ExternalId;
            body["userName"] = Email;
            var name = new JsonObject();
            foreach (var (part, value) in new[] { ("formatted", Formatted), ("familyName", FamilyName), ("givenName", GivenName) })
                if (value is not null)
                    name[part] = value;
            if (name.Count > 0)
                body["name"] = name;
            body["displayName"] = Name;
            body["active"] = IsActive;
            body["emails"] = new JsonArray([.. user.Emails.Select(EmailOf)]);
            var list = new JsonArray([.. groups.Select(g => (JsonNode)new JsonObject { ["value"] = g.Id.ToString(), ["$ref"] = $"{address}/Groups/{g.Id}", ["display"] = g.Name, ["type"] = "direct" })]);
            if (list.Count > 0)
                body["groups"] = list;
            return new ScimResource("User", id, body, CreatedAt, ChangedAt, $"{address}/Users/{id}", version);
        }

        static JsonNode EmailOf(ScimEmail email)
        {
            var body = new JsonObject { ["value"] = email.Value };
            if (email.Type is not null)
                body["type"] = email.Type;
            body["primary"] = email.IsPrimary;
            return body;
        }
    }
}

/// <summary>A resource that is answered with.</summary>
sealed class ScimResource
{
    public ScimResource(string kind, string id, JsonObject body, DateTime created, DateTime changed, string location, string version)
    {
        (Id, Body, Location, Version) = (id, body, location, version);
        body["meta"] = new JsonObject { ["resourceType"] = kind, ["created"] = ScimJson.Time(created), ["lastModified"] = ScimJson.Time(changed), ["location"] = location, ["version"] = version };
    }

    public string Id { get; }
    public JsonObject Body { get; }
    public string Location { get; }
    public string Version { get; }

    /// <summary>Does one of the versions of If-Match or If-None-Match fit?</summary>
    public static bool Fits(string versions, string version) => versions.Trim() == "*" || versions.Split(',', StringSplitOptions.TrimEntries).Contains(version);
}
