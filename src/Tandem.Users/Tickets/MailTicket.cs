using System.Globalization;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Core.Jobs;
using Tandem.Users.Audit;
using Tandem.Users.Look;
using Tandem.Users.Mailing;
using Tandem.Users.Tokens;

namespace Tandem.Users.Tickets;

/// <summary>Mails what opens a ticket. The secret is drawn here, so that neither the job nor the ticket ever holds it.</summary>
/// <param name="Language">Of whoever asked; null: the settings'.</param>
[Job("users.mail-ticket")]
sealed record MailTicket(Guid TicketId, string? Language = null);

sealed class TicketMailer(Db db, TicketTable tickets, UserTable users, Sessions sessions, AuditTrail trail, Letters letters, Languages languages, MailSender sender, IRateLimits limits, IServer server,
    UsersOptions options, TimeProvider clock, ILogger<TicketMailer> logger) : IJobHandler<MailTicket>
{
    const string ByEmail = "users/mail-email";
    const string ByFamiliar = "users/mail-familiar";

    static readonly TimeSpan Window = TimeSpan.FromHours(1);

    public async Task RunAsync(JobRun<MailTicket> run, CancellationToken cancellationToken)
    {
        if (await tickets.FindAsync(run.Job.TicketId, cancellationToken) is not { } ticket)
            return;
        // Once it is armed, whose it is was decided, and counted: an attempt that comes later sends the mail, and nothing else.
        var account = ticket is { IsArmed: true, AccountId: null } ? null : await FindAsync(ticket, cancellationToken);
        var giveBack = ticket.IsArmed || account is null ? null : await TakeAsync(ticket, account, cancellationToken);
        if (account is not null && !ticket.IsArmed && giveBack is null)
        {
            logger.MailWithheld(ticket.Id, account.Id);
            account = null;
        }

        // For nobody the same is done, and thrown away: a machine that is busy with mails to known addresses would show which they are.
        var (link, code, expires) = (Secret.New(), Secret.NewCode(), clock.UtcNow() + tickets.LifetimeOf(ticket.Purpose));
        var isTaken = ticket.Purpose == TicketPurpose.Change && await users.FindAsync(ticket.Email, cancellationToken) is { } other && other.Id != account?.Id;
        var language = languages.Named(run.Job.Language);
        var mail = isTaken
            ? letters.Write(ticket.Email, language, "change-taken")
            : letters.Write(ticket.Email, language, ticket.Purpose, ("link", AddressOf(ticket.Purpose, link)), ("code", code), ("until", expires.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture)));
        if (await ArmAsync(ticket, account?.Id, link, code, expires, isTaken, giveBack, cancellationToken) && account is not null)
            await sender.SendAsync(mail, run.Id, cancellationToken);
    }

    /// <returns>False when the ticket has gone meanwhile.</returns>
    async Task<bool> ArmAsync(Ticket ticket, long? owner, string link, string code, DateTime expires, bool isTaken, Func<ValueTask>? giveBack, CancellationToken ct)
    {
        try
        {
            return await db.InTransactionAsync(async tx =>
            {
                if (owner is { } id && !isTaken && !ticket.IsArmed)
                    await trail.AddAsync(tx, AuditEvents.MailAsked, new Origin(Origin.Anonymous, null, null, ClientNetwork.Of(ticket.Address), ticket.UserAgent, ticket.TraceId), id, clock.UtcNow(), ticket.Purpose);
                // The letter of an e-mail that is taken names no link: nobody has what opens this.
                return await TicketTable.ArmAsync(tx, ticket, owner, link, code, expires);
            }, ct);
        }
        catch (Exception) when (giveBack is not null)
        {
            // The next attempt takes it again.
            await giveBack();
            throw;
        }
    }

    async Task<Account?> FindAsync(Ticket ticket, CancellationToken ct)
    {
        var account = ticket.AccountId is { } id ? await users.FindAsync(id, ct) : await users.FindAsync(ticket.Email, ct);
        // There is nothing left to confirm for whoever has done so.
        return account is { IsActive: true } && (ticket.Purpose != TicketPurpose.Verify || !await users.IsVerifiedAsync(account.Id, ct)) ? account : null;
    }

    /// <summary>Whoever has somebody mailed to all day does not keep him from asking himself: where the account was signed in before there is an allowance of its own.</summary>
    /// <returns>Puts back what was taken; null: there is nothing left to take.</returns>
    async Task<Func<ValueTask>?> TakeAsync(Ticket ticket, Account account, CancellationToken ct)
    {
        if (options.MailsPerEmail == 0)
            return () => ValueTask.CompletedTask;
        if (await MayAsync(ByEmail, ticket.Email))
            return () => limits.GiveBackAsync(ByEmail, ticket.Email, options.MailsPerEmail, Window);
        var familiar = $"{ticket.Address} {ticket.Email}";
        return ticket.Address is { } address && await sessions.KnowsAddressAsync(account.Id, address, ct) && await MayAsync(ByFamiliar, familiar)
            ? () => limits.GiveBackAsync(ByFamiliar, familiar, options.MailsPerEmail, Window)
            : null;

        async Task<bool> MayAsync(string rule, string key) => (await limits.TakeAsync(rule, key, options.MailsPerEmail, Window)).Allowed;
    }

    string? AddressOf(string purpose, string link)
    {
        var page = purpose switch
        {
            TicketPurpose.Reset => options.PasswordPage ?? Own("/auth/pages/password"),
            TicketPurpose.Code => options.SignInPage,
            _ => options.EmailPage ?? Own("/auth/pages/email"),
        };
        return page is null ? null : $"{page}{(page.Contains('?') ? '&' : '?')}token={link}";
    }

    /// <summary>Never what a request's Host header says: anybody may send another one, and the mail would lead there.</summary>
    string Own(string path)
    {
        var address = options.PublicUrl ?? server.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? options.Issuer;
        return address.Replace("//0.0.0.0", "//localhost").Replace("//[::]", "//localhost").TrimEnd('/') + path;
    }
}
