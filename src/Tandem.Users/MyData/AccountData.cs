using System.Runtime.CompilerServices;
using System.Text.Json;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Mailing;

namespace Tandem.Users.MyData;

/// <summary>What the users module holds on a person. Hashes, secrets and digests are left out: they are of no use but to get in.</summary>
sealed class AccountData(Db db, AuditTrail trail, MailSender sender) : IPersonalData
{
    public string Name => "users";

    public async IAsyncEnumerable<PersonalRecord> ReadAsync(long accountId, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var account = await db.FindAsync<HeldAccount>($"""
            select id, email, name, is_active, is_administrator, created_at, last_sign_in_at, email_verified_at, external_source, external_id from users_accounts where id = {accountId}
            """, cancellationToken);
        if (account is null)
            yield break;
        yield return new("account", account);
        foreach (var session in await db.ListAsync<HeldSession>($"""
            select id, client_id, impersonator_id, key_name, scopes, address, user_agent, methods, created_at, last_used_at, expires_at, ended_at, end_reason
            from users_sessions where account_id = {accountId} order by created_at, id
            """, cancellationToken))
            yield return new("sessions_and_keys", session);
        foreach (var said in await db.ListAsync<HeldDirectory>($"select external_id, formatted, given_name, family_name from users_directory where account_id = {accountId}", cancellationToken))
            yield return new("directory", said);
        foreach (var email in await db.ListAsync<HeldEmail>($"select value, type, is_primary from users_directory_emails where account_id = {accountId} order by position", cancellationToken))
            yield return new("directory_emails", email);
        foreach (var group in await db.ListAsync<HeldGroup>($"select g.id, g.name from users_group_members m join users_groups g on g.id = m.group_id where m.account_id = {accountId} order by g.name_key", cancellationToken))
            yield return new("groups", group);
        foreach (var consent in await db.ListAsync<HeldConsent>($"select client_id, scopes, given_at from users_consents where account_id = {accountId} order by given_at", cancellationToken))
            yield return new("consents", consent);
        foreach (var membership in await db.ListAsync<HeldMembership>($"""
            select m.organisation_id, o.name, m.role, m.created_at from users_members m join users_organisations o on o.id = m.organisation_id where m.account_id = {accountId} order by m.created_at
            """, cancellationToken))
            yield return new("organisations", membership);
        foreach (var invitation in await db.ListAsync<HeldInvitation>($"select id, organisation_id, role, created_at, expires_at from users_invitations where email = {account.Email} order by created_at", cancellationToken))
            yield return new("invitations", invitation);
        foreach (var step in await db.ListAsync<HeldStep>($"select created_at, confirmed_at from users_totp where account_id = {accountId}", cancellationToken))
            yield return new("authenticator_apps", step);
        foreach (var passkey in await db.ListAsync<HeldPasskey>($"select id, name, created_at, last_used_at from users_passkeys where account_id = {accountId} order by created_at", cancellationToken))
            yield return new("passkeys", passkey);
        foreach (var login in await db.ListAsync<HeldLogin>($"select id, issuer, subject, email, created_at, last_used_at from users_upstream_logins where account_id = {accountId} order by created_at, id", cancellationToken))
            yield return new("logins_elsewhere", login);
        foreach (var ticket in await db.ListAsync<HeldTicket>($"""
            select purpose, email, address, user_agent, created_at, expires_at from users_tickets where account_id = {accountId} order by created_at
            """, cancellationToken))
            yield return new("mailed_links_and_codes", ticket);
        foreach (var mail in await MailsAsync(account.Email, cancellationToken))
            yield return new("mails", JsonElement.Parse(mail));
        // What the trail is about, and what the person did to others.
        await trail.SealAsync(cancellationToken);
        await foreach (var entry in trail.ReadAsync(new AuditFilter(Subject: accountId), cancellationToken))
            yield return new("audit", entry);
        await foreach (var entry in trail.ReadAsync(new AuditFilter(Actor: accountId.ToString(System.Globalization.CultureInfo.InvariantCulture)), cancellationToken))
            if (entry.SubjectId != accountId)
                yield return new("audit_of_others", new { entry.Number, entry.OccurredAt, entry.Event, entry.Network, entry.UserAgent, entry.TraceId });
    }

    public async Task EraseAsync(long accountId, CancellationToken cancellationToken)
    {
        if (await db.FindAsync<string>($"select email from users_accounts where id = {accountId}", cancellationToken) is not { } email)
            return;
        var to = MailedTo(email);
        await db.ExecuteAsync($"delete from jobs_queue where kind = {Mail} and substr(payload, 1, {to.Length}) = {to} and state not in ('available', 'running')", cancellationToken);
        sender.Forget(email);
    }

    const string Mail = "mail.send";

    Task<List<string>> MailsAsync(string email, CancellationToken ct)
    {
        var to = MailedTo(email);
        return db.ListAsync<string>($"select payload from jobs_queue where kind = {Mail} and substr(payload, 1, {to.Length}) = {to} order by created_at", ct);
    }

    /// <summary>How the payload of every mail to an address begins.</summary>
    static string MailedTo(string email) => $"{JsonSerializer.Serialize(new { To = email }, Json.Stored)[..^1]},";

    sealed record HeldAccount(long Id, string Email, string Name, bool IsActive, bool IsAdministrator, DateTime CreatedAt, DateTime? LastSignInAt, DateTime? EmailVerifiedAt, string? ExternalSource, string? ExternalId);

    sealed record HeldSession(Guid Id, string? ClientId, long? ImpersonatorId, string? KeyName, string? Scopes, string? Address, string? UserAgent, string? Methods, DateTime CreatedAt, DateTime LastUsedAt, DateTime ExpiresAt,
        DateTime? EndedAt, string? EndReason);

    sealed record HeldDirectory(string? ExternalId, string? Formatted, string? GivenName, string? FamilyName);

    sealed record HeldEmail(string Value, string? Type, bool IsPrimary);

    sealed record HeldGroup(Guid Id, string Name);

    sealed record HeldConsent(string ClientId, string Scopes, DateTime GivenAt);

    sealed record HeldMembership(Guid OrganisationId, string Name, string Role, DateTime CreatedAt);

    sealed record HeldInvitation(Guid Id, Guid OrganisationId, string Role, DateTime CreatedAt, DateTime ExpiresAt);

    sealed record HeldStep(DateTime CreatedAt, DateTime? ConfirmedAt);

    sealed record HeldPasskey(Guid Id, string Name, DateTime CreatedAt, DateTime? LastUsedAt);

    sealed record HeldLogin(Guid Id, string Issuer, string Subject, string? Email, DateTime CreatedAt, DateTime? LastUsedAt);

    sealed record HeldTicket(string Purpose, string? Email, string? Address, string? UserAgent, DateTime CreatedAt, DateTime ExpiresAt);
}
