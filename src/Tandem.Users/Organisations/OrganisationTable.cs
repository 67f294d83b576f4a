using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Look;
using Tandem.Users.Mailing;

namespace Tandem.Users.Organisations;

/// <summary>Organisations, who belongs to them, and who may join.</summary>
/// <remarks>Every change holds the organisation's row first, so that of two owners who leave at once the second sees that he is the last.</remarks>
sealed class OrganisationTable(Db db, AuditTrail trail, Letters letters, Languages languages, UsersOptions options) : IOrganisations
{
    public async Task<OrganisationRole?> RoleAsync(Guid organisationId, long accountId, CancellationToken cancellationToken) =>
        RoleOf(await db.FindAsync<string>($"select role from users_members where organisation_id = {organisationId} and account_id = {accountId}", cancellationToken));

    /// <param name="idOrSlug">As a stranger sent it.</param>
    /// <returns>Null when there is none, or it is not for the caller to know: he does not belong to it and may not read every user.</returns>
    public async Task<Membership?> FindAsync(string idOrSlug, Caller caller, CancellationToken ct)
    {
        Sql which = Guid.TryParse(idOrSlug, out var id) ? (Sql)$"o.id = {id}" : $"o.slug = {(idOrSlug.Contains('\0') ? "" : idOrSlug)}";
        return await db.FindAsync<Membership>($"""
            select o.id, o.slug, o.name, o.created_at, m.role from users_organisations o left join users_members m on m.organisation_id = o.id and m.account_id = {caller.AccountId} where {which}
            """, ct) is { } found && (found.Role is not null || caller.May(UserEndpoints.Read)) ? found : null;
    }

    /// <param name="accountId">Whose; null: all.</param>
    public async Task<(List<Membership> Page, long Total)> ListAsync(long? accountId, int skip, int limit, CancellationToken ct) => accountId is { } id
        ? (await db.ListAsync<Membership>($"""
            select o.id, o.slug, o.name, o.created_at, m.role from users_members m join users_organisations o on o.id = m.organisation_id where m.account_id = {id} order by o.slug {Sql.Page(skip, limit)}
            """, ct), await db.FindAsync<long>($"select count(*) from users_members where account_id = {id}", ct))
        : (await db.ListAsync<Membership>($"select id, slug, name, created_at, null as role from users_organisations order by slug {Sql.Page(skip, limit)}", ct),
            await db.FindAsync<long>(Sql.Raw("select count(*) from users_organisations"), ct));

    /// <exception cref="ProblemException">users/organisation-taken, users/too-many-organisations.</exception>
    public Task<Membership> AddAsync(NewOrganisation o, long ownerId, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.FindAsync<Account>(UserTable.Locked(ownerId), ct) is null)
            throw new ProblemException(UserProblems.NotFound);
        if (await tx.FindAsync<long>($"select count(*) from users_members where account_id = {ownerId}", ct) >= options.OrganisationsPerAccount)
            throw new ProblemException(UserProblems.TooManyOrganisations);
        var id = Guid.CreateVersion7(now);
        if (await tx.ExecuteAsync($"insert into users_organisations (id, slug, name, created_at) values ({id}, {o.Slug}, {o.Name}, {now}) on conflict (slug) do nothing", ct) == 0)
            throw new ProblemException(UserProblems.OrganisationTaken);
        await trail.AddAsync(tx, AuditEvents.OrganisationCreated, origin, null, now, subjectPart: id);
        await tx.PublishAsync(new OrganisationCreated(id), ct);
        await JoinAsync(tx, id, ownerId, OrganisationRole.Owner, origin, now, ct);
        return new Membership(id, o.Slug, o.Name, now, Text(OrganisationRole.Owner));
    }, ct);

    /// <exception cref="ProblemException">users/organisation-taken.</exception>
    public Task<Membership?> ChangeAsync(Membership before, OrganisationChange change, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.FindAsync<Kept>(Locked(before.Id), ct) is not { } kept)
            return null;
        var (slug, name) = (change.Slug ?? kept.Slug, change.Name ?? kept.Name);
        if (slug == kept.Slug && name == kept.Name)
            return before;
        if (await tx.FindAsync<long>($"select count(*) from users_organisations where slug = {slug} and id <> {before.Id}", ct) > 0)
            throw new ProblemException(UserProblems.OrganisationTaken);
        await tx.ExecuteAsync($"update users_organisations set slug = {slug}, name = {name} where id = {before.Id}", ct);
        await trail.AddAsync(tx, AuditEvents.OrganisationChanged, origin, null, now, subjectPart: before.Id);
        return before with { Slug = slug, Name = name };
    }, ct);

    public Task<bool> RemoveAsync(Guid id, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
        await tx.FindAsync<Kept>(Locked(id), ct) is not null && await RemoveAsync(tx, id, origin, now, ct), ct);

    async Task<bool> RemoveAsync(Transaction tx, Guid id, Origin origin, DateTime now, CancellationToken ct)
    {
        foreach (var account in await tx.ListAsync<long>($"delete from users_members where organisation_id = {id} returning account_id", ct))
            await tx.PublishAsync(new MemberRemoved(id, account), ct);
        await tx.ExecuteAsync($"delete from users_invitations where organisation_id = {id}", ct);
        await tx.ExecuteAsync($"delete from users_organisations where id = {id}", ct);
        await trail.AddAsync(tx, AuditEvents.OrganisationDeleted, origin, null, now, subjectPart: id);
        await tx.PublishAsync(new OrganisationDeleted(id), ct);
        return true;
    }

    public async Task<(List<Member> Page, long Total)> MembersAsync(Guid id, int skip, int limit, CancellationToken ct) => (await db.ListAsync<Member>($"""
        select a.id, a.email, a.name, m.role, m.created_at from users_members m join users_accounts a on a.id = m.account_id where m.organisation_id = {id} order by m.account_id {Sql.Page(skip, limit)}
        """, ct), await db.FindAsync<long>($"select count(*) from users_members where organisation_id = {id}", ct));

    /// <summary>Gives a member another role.</summary>
    /// <param name="by">Who does it; administrators of the program, and null, may put anybody in as well.</param>
    /// <exception cref="ProblemException">users/not-a-member, users/last-owner, users/role-not-held, users/too-many-members.</exception>
    public Task SetAsync(Guid id, long accountId, OrganisationRole role, Caller? by, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.FindAsync<Kept>(Locked(id), ct) is null || await tx.FindAsync<Account>(UserTable.Locked(accountId), ct) is null)
            throw new ProblemException(UserProblems.NotAMember);
        var (mine, before) = (await HeldAsync(tx, id, by), await RoleAsync(tx, id, accountId, ct));
        if (before is null)
        {
            if (mine is not null)
                throw new ProblemException(UserProblems.NotAMember);
            await JoinAsync(tx, id, accountId, role, origin, now, ct);
            return;
        }

        if (before == role)
            return;
        Refuse(mine, before.Value);
        Refuse(mine, role);
        await KeepAnOwnerAsync(tx, id, accountId, before, ct);
        await tx.ExecuteAsync($"update users_members set role = {Text(role)} where organisation_id = {id} and account_id = {accountId}", ct);
        await trail.AddAsync(tx, AuditEvents.MemberRoleChanged, origin, accountId, now, Text(role), id);
        await tx.PublishAsync(new MemberRoleChanged(id, accountId, role), ct);
    }, ct);

    /// <summary>Puts a member out; oneself: leaves.</summary>
    /// <exception cref="ProblemException">users/not-a-member, users/last-owner, users/role-not-held.</exception>
    public Task PutOutAsync(Guid id, long accountId, Caller by, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.FindAsync<Kept>(Locked(id), ct) is null || await RoleAsync(tx, id, accountId, ct) is not { } before)
            throw new ProblemException(UserProblems.NotAMember);
        if (accountId != by.AccountId)
            Refuse(await HeldAsync(tx, id, by), before);
        await KeepAnOwnerAsync(tx, id, accountId, before, ct);
        await LeaveAsync(tx, id, accountId, origin, now, ct);
    }, ct);

    /// <summary>Invites whoever has an e-mail. Whether that is somebody here makes no difference to anything.</summary>
    /// <exception cref="ProblemException">users/role-not-held, users/too-many-invitations, users/already-a-member.</exception>
    public Task<Invitation> InviteAsync(Membership to, string email, OrganisationRole role, Caller? by, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.FindAsync<Kept>(Locked(to.Id), ct) is null)
            throw new ProblemException(UserProblems.OrganisationNotFound);
        Refuse(await HeldAsync(tx, to.Id, by), role);
        var folded = UserTable.Fold(email);
        if (await tx.FindAsync<long>($"select count(*) from users_members m join users_accounts a on a.id = m.account_id where m.organisation_id = {to.Id} and a.email = {folded}", ct) > 0)
            throw new ProblemException(UserProblems.AlreadyAMember);
        if (await tx.FindAsync<long>($"select count(*) from users_invitations where organisation_id = {to.Id} and email <> {folded}", ct) >= options.InvitationsPerOrganisation)
            throw new ProblemException(UserProblems.TooManyInvitations);
        var (id, expires) = (Guid.CreateVersion7(now), now + options.InvitationLifetime);
        // Once more is a new one: the old one's number is in a mail that may say another role.
        await tx.ExecuteAsync($"delete from users_invitations where organisation_id = {to.Id} and email = {folded}", ct);
        await tx.ExecuteAsync($"""
            insert into users_invitations (id, organisation_id, email, role, created_at, expires_at) values ({id}, {to.Id}, {folded}, {Text(role)}, {now}, {expires})
            """, ct);
        await trail.AddAsync(tx, AuditEvents.MemberInvited, origin, null, now, Text(role), to.Id);
        await tx.MailAsync(letters.Write(folded, languages.Named(null), "invitation", ("organisation", to.Name), ("until", expires.ToString("yyyy-MM-dd", System.Globalization.CultureInfo.InvariantCulture))), CancellationToken.None);
        return new Invitation(id, to.Id, to.Name, folded, Text(role), now, expires);
    }, ct);

    /// <param name="email">Of whom; null: all of the organisation.</param>
    public Task<List<Invitation>> InvitationsAsync(Guid? id, string? email, DateTime now, CancellationToken ct)
    {
        Sql which = id is { } organisation ? (Sql)$"i.organisation_id = {organisation}" : $"i.email = {email}";
        return db.ListAsync<Invitation>($"""
            select i.id, i.organisation_id, o.name as organisation, i.email, i.role, i.created_at, i.expires_at from users_invitations i join users_organisations o on o.id = i.organisation_id
            where {which} and i.expires_at > {now} order by i.id limit {options.InvitationsPerOrganisation}
            """, ct);
    }

    /// <returns>False when there is no such invitation.</returns>
    public Task<bool> WithdrawAsync(Guid id, Guid invitation, Caller? by, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        await HeldAsync(tx, id, by);
        return await tx.ExecuteAsync($"delete from users_invitations where id = {invitation} and organisation_id = {id}", ct) == 1;
    }, ct);

    /// <summary>Takes or declines an invitation to the e-mail that the account has, and has confirmed.</summary>
    /// <returns>Null when there is none for it.</returns>
    /// <exception cref="ProblemException">users/email-unconfirmed, users/too-many-organisations, users/too-many-members.</exception>
    public Task<Invitation?> AnswerAsync(Guid invitation, long accountId, bool takes, Origin origin, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.FindAsync<Account>(UserTable.Locked(accountId), ct) is not { } account
            || await tx.FindAsync<Invitation>($"""
                select i.id, i.organisation_id, o.name as organisation, i.email, i.role, i.created_at, i.expires_at from users_invitations i join users_organisations o on o.id = i.organisation_id
                where i.id = {invitation} and i.email = {account.Email} and i.expires_at > {now}
                """, ct) is not { } found)
            return null;
        // Whoever signed up with somebody else's address must not get what that one is invited to.
        if (!await tx.FindAsync<bool>($"select email_verified_at is not null from users_accounts where id = {accountId}", ct))
            throw new ProblemException(UserProblems.EmailUnconfirmed);
        if (await tx.FindAsync<Kept>(Locked(found.OrganisationId), ct) is null || await tx.ExecuteAsync($"delete from users_invitations where id = {invitation}", ct) == 0)
            return null;
        if (takes && await RoleAsync(tx, found.OrganisationId, accountId, ct) is null)
        {
            if (await tx.FindAsync<long>($"select count(*) from users_members where account_id = {accountId}", ct) >= options.OrganisationsPerAccount)
                throw new ProblemException(UserProblems.TooManyOrganisations);
            await JoinAsync(tx, found.OrganisationId, accountId, RoleOf(found.Role)!.Value, origin, now, ct); // as it was stored
        }

        return found;
    }, ct);

    /// <summary>Takes an account that is deleted out of its organisations. One that nobody else belongs to goes with it.</summary>
    /// <exception cref="ProblemException">users/last-owner: others would be left without one.</exception>
    public async Task ForgetAsync(Transaction tx, long accountId, string email, Origin origin, DateTime now, CancellationToken ct)
    {
        foreach (var id in await tx.ListAsync<Guid>($"select organisation_id from users_members where account_id = {accountId} order by organisation_id", ct))
        {
            if (await tx.FindAsync<Kept>(Locked(id), ct) is null)
                continue;
            if (await tx.FindAsync<long>($"select count(*) from users_members where organisation_id = {id} and account_id <> {accountId}", ct) == 0)
            {
                await RemoveAsync(tx, id, origin, now, ct);
                continue;
            }

            await KeepAnOwnerAsync(tx, id, accountId, await RoleAsync(tx, id, accountId, ct), ct);
            await LeaveAsync(tx, id, accountId, origin, now, ct);
        }

        await tx.ExecuteAsync($"delete from users_invitations where email = {email}", ct);
    }

    /// <exception cref="ProblemException">users/last-owner: an organisation would be left without one.</exception>
    public static async Task KeepOwnersAsync(Transaction tx, long accountId, CancellationToken ct)
    {
        foreach (var id in await tx.ListAsync<Guid>($"""
            select organisation_id from users_members m where account_id = {accountId} and exists (select 1 from users_members o where o.organisation_id = m.organisation_id and o.account_id <> {accountId})
            """, ct))
            await KeepAnOwnerAsync(tx, id, accountId, await RoleAsync(tx, id, accountId, ct), ct);
    }

    /// <summary>Deletes invitations that nobody has taken in time.</summary>
    public Task SweepAsync(DateTime now, CancellationToken ct) => db.ExecuteAsync($"delete from users_invitations where expires_at < {now}", ct);

    async Task JoinAsync(Transaction tx, Guid id, long accountId, OrganisationRole role, Origin origin, DateTime now, CancellationToken ct)
    {
        if (await tx.FindAsync<long>($"select count(*) from users_members where organisation_id = {id}", ct) >= options.MembersPerOrganisation)
            throw new ProblemException(UserProblems.TooManyMembers);
        await tx.ExecuteAsync($"insert into users_members (organisation_id, account_id, role, created_at) values ({id}, {accountId}, {Text(role)}, {now})", ct);
        await trail.AddAsync(tx, AuditEvents.MemberAdded, origin, accountId, now, Text(role), id);
        await tx.PublishAsync(new MemberAdded(id, accountId, role), ct);
    }

    async Task LeaveAsync(Transaction tx, Guid id, long accountId, Origin origin, DateTime now, CancellationToken ct)
    {
        await tx.ExecuteAsync($"delete from users_members where organisation_id = {id} and account_id = {accountId}", ct);
        await trail.AddAsync(tx, AuditEvents.MemberRemoved, origin, accountId, now, subjectPart: id);
        await tx.PublishAsync(new MemberRemoved(id, accountId), ct);
    }

    static async Task KeepAnOwnerAsync(Transaction tx, Guid id, long accountId, OrganisationRole? before, CancellationToken ct)
    {
        if (before == OrganisationRole.Owner && await tx.FindAsync<long>(
            $"select count(*) from users_members where organisation_id = {id} and role = {Text(OrganisationRole.Owner)} and account_id <> {accountId}", ct) == 0)
            throw new ProblemException(UserProblems.LastOwner, $"{UserProblems.LastOwner.Detail} It is organisation {id}.");
    }

    /// <summary>What whoever asks is, as the transaction sees it: he may have been put out a moment ago.</summary>
    /// <returns>Null: an administrator of the program, who is above every role.</returns>
    /// <exception cref="ProblemException">users/role-not-held: he is no more than a member.</exception>
    static async Task<OrganisationRole?> HeldAsync(Transaction tx, Guid id, Caller? by) => by is null || by.May(UserEndpoints.Write) ? null
        : await RoleAsync(tx, id, by.AccountId, CancellationToken.None) is { } role and > OrganisationRole.Member ? role : throw new ProblemException(UserProblems.RoleNotHeld);

    /// <summary>Nobody gives or takes a role above his own.</summary>
    static void Refuse(OrganisationRole? mine, OrganisationRole role)
    {
        if (mine < role)
            throw new ProblemException(UserProblems.RoleNotHeld);
    }

    static async Task<OrganisationRole?> RoleAsync(Transaction tx, Guid id, long accountId, CancellationToken ct) =>
        RoleOf(await tx.FindAsync<string>($"select role from users_members where organisation_id = {id} and account_id = {accountId}", ct));

    static Sql Locked(Guid id) => $"update users_organisations set id = id where id = {id} returning slug, name";

    public static OrganisationRole? RoleOf(string? text) => text is null ? null : Enum.Parse<OrganisationRole>(text, ignoreCase: true);

    public static string Text(OrganisationRole role) => role.ToString().ToLowerInvariant();

    sealed record Kept(string Slug, string Name);
}

/// <param name="Role">Of whoever asks; null: an administrator who does not belong to it.</param>
sealed record Membership(Guid Id, string Slug, string Name, DateTime CreatedAt, string? Role);

sealed record Member(long Id, string Email, string Name, string Role, DateTime CreatedAt);

sealed record Invitation(Guid Id, Guid OrganisationId, string Organisation, string Email, string Role, DateTime CreatedAt, DateTime ExpiresAt);
