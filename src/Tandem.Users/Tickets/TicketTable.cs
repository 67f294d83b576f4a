using Tandem.Core;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;

namespace Tandem.Users.Tickets;

/// <summary>
/// Tickets: what somebody has asked for and has to show something for that only the right person has. Asking writes a row and a job and looks at no account, so an
/// e-mail that nobody has is answered in the same bytes after the same work; the job finds out whose it is.
/// </summary>
sealed class TicketTable(Db db, UsersOptions options, TimeProvider clock)
{
    /// <summary>How often a code may be tried.</summary>
    public const int MaxAttempts = 5;

    // Time runs from the moment that the mail is sent; so long a server that is away is waited for.
    static readonly TimeSpan Unsent = TimeSpan.FromDays(1);

    /// <summary>Asks for a mail.</summary>
    /// <param name="purpose">What it is to be good for.</param>
    /// <param name="email">Where it goes.</param>
    /// <param name="accountId">Whose it is, where that is known; null: of whoever has the e-mail.</param>
    /// <param name="request">Where it was asked for.</param>
    /// <param name="handle">What the asking client is told and has to send with the code; null: none.</param>
    public Task AskAsync(string purpose, string email, long? accountId, Request request, string? handle, CancellationToken ct) =>
        db.InTransactionAsync(tx => AskAsync(tx, purpose, email, accountId, request, handle), ct);

    /// <inheritdoc cref="AskAsync(string, string, long?, Request, string?, CancellationToken)"/>
    public async Task AskAsync(Transaction tx, string purpose, string email, long? accountId, Request request, string? handle)
    {
        var now = clock.UtcNow();
        var id = Guid.CreateVersion7(now);
        await tx.ExecuteAsync($"""
            insert into users_tickets (id, purpose, account_id, email, address, user_agent, trace_id, handle_digest, created_at, expires_at)
            values ({id}, {purpose}, {accountId}, {email.ToLowerInvariant()}, {request.Address}, {request.Origin.UserAgent}, {request.Origin.TraceId},
                {(handle is null ? null : Secret.Digest(handle))}, {now}, {now + Unsent})
            """, CancellationToken.None);
        await tx.EnqueueAsync(new MailTicket(id, request.Language), MailJobs.Delivery, CancellationToken.None);
    }

    /// <summary>A ticket that waits for its mail, however long ago an attempt to send it was made.</summary>
    public Task<Ticket?> FindAsync(Guid id, CancellationToken ct) => db.FindAsync<Ticket>(
        $"select id, purpose, account_id, email, address, user_agent, trace_id, link_digest is not null as is_armed from users_tickets where id = {id} and created_at > {clock.UtcNow() - Unsent}", ct);

    /// <summary>Says what opens a ticket, just before that is mailed.</summary>
    /// <param name="accountId">Whose it is; null: nobody's, and what is said opens nothing.</param>
    /// <returns>False when it has gone meanwhile.</returns>
    public static async Task<bool> ArmAsync(Transaction tx, Ticket ticket, long? accountId, string link, string code, DateTime expiresAt) => await tx.ExecuteAsync($"""
        update users_tickets set account_id = {accountId}, link_digest = {Secret.Digest(link)}, code_digest = {Secret.Digest(ticket.Id.ToString(), code)}, expires_at = {expiresAt}
        where id = {ticket.Id}
        """, CancellationToken.None) == 1;

    /// <summary>Does a link open something?</summary>
    public async Task<string?> PurposeOfAsync(string link, CancellationToken ct) => await db.FindAsync<string>(
        $"select purpose from users_tickets where link_digest = {Secret.Digest(link)} and account_id is not null and expires_at > {clock.UtcNow()}", ct);

    /// <summary>Uses a link up.</summary>
    /// <returns>Null when there is none of that purpose, or it was used or has expired.</returns>
    public Task<Used?> UseLinkAsync(Transaction tx, string purpose, string link) => tx.FindAsync<Used>($"""
        delete from users_tickets where link_digest = {Secret.Digest(link)} and purpose = {purpose} and account_id is not null and expires_at > {clock.UtcNow()}
        returning account_id, email, methods
        """, CancellationToken.None);

    /// <summary>Tries a code: counts, and uses the ticket up when it is right.</summary>
    /// <returns>Null when there is no such ticket, it has expired, the code is wrong, or too many were.</returns>
    public async Task<Used?> UseCodeAsync(Transaction tx, string handle, string code)
    {
        var tried = await tx.FindAsync<Tried>($"""
            update users_tickets set attempts = attempts + 1
            where handle_digest = {Secret.Digest(handle)} and purpose = {TicketPurpose.Code} and attempts < {MaxAttempts} and expires_at > {clock.UtcNow()}
            returning id, account_id, email, code_digest
            """, CancellationToken.None);
        var digest = Secret.Digest((tried?.Id ?? Guid.Empty).ToString(), code);
        if (!Secret.Same(digest, tried?.CodeDigest ?? Secret.Digest("")) || tried?.AccountId is not { } account)
            return null;
        await tx.ExecuteAsync($"delete from users_tickets where id = {tried.Id}", CancellationToken.None);
        return new Used(account, tried.Email, null);
    }

    /// <summary>Keeps a sign-in that waits for its second step.</summary>
    public static Task WaitAsync(Transaction tx, long accountId, string handle, string methods, DateTime now, DateTime expiresAt) => tx.ExecuteAsync($"""
        insert into users_tickets (id, purpose, account_id, handle_digest, methods, created_at, expires_at)
        values ({Guid.CreateVersion7(now)}, {TicketPurpose.SecondStep}, {accountId}, {Secret.Digest(handle)}, {methods}, {now}, {expiresAt})
        """, CancellationToken.None);

    /// <summary>Takes an account's tickets back: what was mailed before its password or its e-mail changed opens nothing any more.</summary>
    public static Task DropAsync(Transaction tx, long accountId) => tx.ExecuteAsync($"delete from users_tickets where account_id = {accountId}", CancellationToken.None);

    /// <summary>Deletes tickets that have expired and wait for no mail any more, a bounded number at a time.</summary>
    public async Task SweepAsync(CancellationToken ct)
    {
        const int BatchSize = 500;
        var now = clock.UtcNow();
        while (await db.ExecuteAsync($"delete from users_tickets where id in (select id from users_tickets where expires_at < {now} and created_at < {now - Unsent} limit {BatchSize})", ct) == BatchSize)
        {
        }
    }

    public TimeSpan LifetimeOf(string purpose) => purpose == TicketPurpose.Code ? options.CodeLifetime : options.LinkLifetime;

    sealed record Tried(Guid Id, long? AccountId, string? Email, string? CodeDigest);
}

/// <summary>What a ticket is for.</summary>
static class TicketPurpose
{
    public const string Reset = "reset";
    public const string Verify = "verify";
    public const string Change = "change";
    public const string Code = "code";
    public const string SecondStep = "second-step";
}

/// <summary>A ticket that waits for its mail.</summary>
/// <param name="AccountId">Whose it is. Null: of whoever has the e-mail; once it is armed, nobody's.</param>
/// <param name="IsArmed">An attempt before this one has said whose it is and what opens it, and could not send the mail.</param>
sealed record Ticket(Guid Id, string Purpose, long? AccountId, string Email, string? Address, string? UserAgent, string? TraceId, bool IsArmed);

/// <summary>What a ticket was good for.</summary>
/// <param name="AccountId">Whose it was.</param>
/// <param name="Email">Where its mail went.</param>
/// <param name="Methods">How its owner had shown who he is before, see <see cref="Tokens.Methods"/>.</param>
sealed record Used(long AccountId, string? Email, string? Methods);

/// <summary>Where something is asked for.</summary>
/// <param name="Address">Of <see cref="ClientAddress"/>.</param>
/// <param name="Language">Of the person, as far as the browser tells; null: the settings'.</param>
readonly record struct Request(Origin Origin, string Address, string? Language = null);
