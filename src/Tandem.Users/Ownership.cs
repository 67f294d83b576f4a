using System.Globalization;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Hashes;
using Tandem.Users.Look;
using Tandem.Users.Mailing;
using Tandem.Users.Passkeys;
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;
using Tandem.Users.Upstream;

namespace Tandem.Users;

/// <summary>Whose an account is: its password, its e-mail, and what a mailbox has shown.</summary>
sealed class Ownership(Db db, Sessions sessions, AuditTrail trail, TicketTable tickets, Letters letters, Languages languages, UsersOptions options, MailOptions mail)
{
    const string Unproved = "set before the e-mail was confirmed";

    /// <summary>Sets another password and ends the account's sessions and keys: whoever knew the old one is out.</summary>
    /// <param name="except">A session that goes on: the one that it is done with.</param>
    /// <returns>False when there is no such account.</returns>
    public Task<bool> ChangePasswordAsync(long id, string hash, DateTime now, Origin origin, CancellationToken ct, Guid? except = null) => db.InTransactionAsync(async tx =>
    {
        if (await tx.FindAsync<string>($"update users_accounts set password_hash = {hash} where id = {id} returning email", ct) is not { } email)
            return false;
        await PasswordChangedAsync(tx, id, email, now, origin, null, except);
        return true;
    }, ct);

    /// <summary>Sets another password with the link of a mail. It also shows that the mailbox is the person's own.</summary>
    /// <returns>False when the link opens nothing.</returns>
    public Task<bool> ResetPasswordAsync(string link, string hash, DateTime now, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tickets.UseLinkAsync(tx, TicketPurpose.Reset, link) is not { } used)
            return false;
        var email = await tx.FindAsync<string>($"update users_accounts set password_hash = {hash} where id = {used.AccountId} and email = {used.Email} and is_active returning email", ct);
        if (email is null)
            return false;
        if (Verifies && !await tx.FindAsync<bool>($"select email_verified_at is not null from users_accounts where id = {used.AccountId}", CancellationToken.None))
            await PutOutAsync(tx, used.AccountId, origin, now);
        await VerifiedAsync(tx, used.AccountId, email, origin, now);
        await PasswordChangedAsync(tx, used.AccountId, email, now, origin, "by mail", null);
        return true;
    }, ct);

    async Task PasswordChangedAsync(Transaction tx, long id, string email, DateTime now, Origin origin, string? reason, Guid? except)
    {
        await trail.AddAsync(tx, AuditEvents.PasswordChanged, origin, id, now, reason);
        await sessions.EndAllAsync(tx, id, "password changed", origin, now, CancellationToken.None, except);
        await TicketTable.DropAsync(tx, id);
        await NoticeAsync(tx, email, now, "password-changed");
    }

    /// <summary>Asks for another e-mail: the new address is mailed a link, the old one is told.</summary>
    public Task AskForEmailAsync(long id, string email, Request request, DateTime now, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tx.FindAsync<Account>(UserTable.Locked(id), ct) is not { } account)
            return;
        await tickets.AskAsync(tx, TicketPurpose.Change, email, id, request, null);
        await NoticeAsync(tx, account.Email, now, "email-asked", ("email", UserTable.Fold(email)));
    }, ct);

    /// <summary>Uses the link of a mail that shows that an e-mail is the person's own; of a change, makes it the account's.</summary>
    /// <returns>False when the link opens nothing.</returns>
    /// <exception cref="ProblemException">Somebody else has the e-mail meanwhile.</exception>
    public Task<bool> ConfirmEmailAsync(string link, DateTime now, Origin origin, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (await tickets.UseLinkAsync(tx, TicketPurpose.Verify, link) is { Email: { } shown } verified)
            return await VerifiedAsync(tx, verified.AccountId, shown, origin, now);
        if (await tickets.UseLinkAsync(tx, TicketPurpose.Change, link) is not { Email: { } email } used || await tx.FindAsync<Account>(UserTable.Locked(used.AccountId), ct) is not { IsActive: true } account)
            return false;
        if (await tx.FindAsync<long>($"select count(*) from users_accounts where email = {email} and id <> {account.Id}", ct) > 0)
            throw new ProblemException(UserProblems.EmailTaken);
        await tx.ExecuteAsync($"update users_accounts set email = {email}, email_verified_at = {now} where id = {account.Id}", ct);
        await trail.AddAsync(tx, AuditEvents.EmailChanged, origin, account.Id, now);
        await TicketTable.DropAsync(tx, account.Id);
        await tx.PublishAsync(new UserEmailChanged(account.Id), ct);
        foreach (var to in (string[])[account.Email, email])
            await NoticeAsync(tx, to, now, "email-changed", ("before", account.Email), ("after", email));
        return true;
    }, ct);

    /// <summary>Notes that the mailbox is the person's own.</summary>
    /// <returns>False when the account has another e-mail by now.</returns>
    async Task<bool> VerifiedAsync(Transaction tx, long id, string email, Origin origin, DateTime now)
    {
        if (await tx.ExecuteAsync($"update users_accounts set email_verified_at = {now} where id = {id} and email = {email} and email_verified_at is null", CancellationToken.None) == 1)
        {
            await trail.AddAsync(tx, AuditEvents.EmailVerified, origin, id, now);
            return true;
        }

        return await tx.FindAsync<long>($"select count(*) from users_accounts where id = {id} and email = {email}", CancellationToken.None) == 1;
    }

    /// <summary>Notes that the mailbox is the person's own because a mailed code or link signs in, and puts out whoever was in before that was ever shown.</summary>
    /// <returns>False when the account has another e-mail by now.</returns>
    public async Task<bool> SignsInByMailAsync(Transaction tx, long id, string email, Origin origin, DateTime now)
    {
        if (Verifies && await tx.ExecuteAsync($"update users_accounts set password_hash = {StoredHash.None} where id = {id} and email = {email} and email_verified_at is null", CancellationToken.None) == 1)
        {
            await PutOutAsync(tx, id, origin, now);
            await trail.AddAsync(tx, AuditEvents.PasswordChanged, origin, id, now, Unproved);
            await sessions.EndAllAsync(tx, id, "opened before the e-mail was confirmed", origin, now, CancellationToken.None);
        }

        return await VerifiedAsync(tx, id, email, origin, now);
    }

    /// <summary>Where e-mails are not verified at all, nobody has shown anything, and everything stays.</summary>
    bool Verifies => options.Verification(mail) != EmailVerification.Off;

    /// <summary>
    /// Whoever made an account without having shown that its mailbox is his may have been somebody else, waiting for the owner to come: beside his password, sessions and keys his second step, his passkeys and his logins elsewhere go, the change
    /// to an e-mail of his that still waits for its link, and what he has allowed to clients.
    /// </summary>
    async Task PutOutAsync(Transaction tx, long id, Origin origin, DateTime now)
    {
        if (await PasskeyTable.ForgetAsync(tx, id) is > 0 and var passkeys)
            await trail.AddAsync(tx, AuditEvents.PasskeyRemoved, origin, id, now, Unproved, times: passkeys);
        if (await UpstreamLogins.ForgetAsync(tx, id) is > 0 and var logins)
            await trail.AddAsync(tx, AuditEvents.UpstreamRemoved, origin, id, now, Unproved, times: logins);
        if (await UserTable.ForgetAsync(tx, id))
            await trail.AddAsync(tx, AuditEvents.SecondStepOff, origin, id, now, Unproved);
    }

    /// <summary>Looks at what is left after something was taken away: a password, a passkey, a login of a provider that is set up here, or a confirmed e-mail where mails reach somebody.</summary>
    /// <exception cref="ProblemException">Nothing would be left to sign in with.</exception>
    public async Task KeepAWayInAsync(Transaction tx, long id)
    {
        var mails = mail.Host is not null || mail.OutboxPage;
        if (await tx.FindAsync<long>($"""
            select count(*) from users_accounts where id = {id} and password_hash = {StoredHash.None} and (email_verified_at is null or {!mails})
                and not exists (select 1 from users_passkeys where account_id = {id})
            """, CancellationToken.None) == 1
            && !(await tx.ListAsync<string>($"select issuer from users_upstream_logins where account_id = {id}", CancellationToken.None)).Exists(i => options.ProviderOf(i) is not null))
            throw new ProblemException(UserProblems.LastWayIn);
    }

    /// <summary>Tells the person what happened to the account, so that whoever did it cannot hide it: nor has his browser a say in the language, which is that of the settings.</summary>
    /// <param name="what">A sentence: <c>notice.…</c>.</param>
    public Task NoticeAsync(Transaction tx, string email, DateTime now, string what, params ReadOnlySpan<(string Name, string? Value)> values)
    {
        var t = languages.Named(null);
        return tx.MailAsync(letters.Write(email, t, "notice", ("what", t.Say($"notice.{what}", values)), ("when", now.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture))), CancellationToken.None);
    }
}
