using System.Globalization;
using MailKit.Net.Smtp;
using MailKit.Security;
using Microsoft.Extensions.Logging;
using MimeKit;
using Tandem.Core;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Jobs;

namespace Tandem.Users.Mailing;

/// <summary>Sends mails: to the SMTP server, or where none is set into the outbox folder.</summary>
sealed class MailSender(MailOptions options, DataDirectory data, TimeProvider clock, ILogger<MailSender> logger)
{
    /// <summary>Whoever can make the program send mail must not be able to fill the disk.</summary>
    public const int MaxFiles = 1000;

    public string Outbox => Path.Combine(data.Path, "outbox");

    /// <param name="mail">What.</param>
    /// <param name="id">The same for each try: a receiver knows a second copy by its Message-Id.</param>
    /// <exception cref="IOException">The server does not take it now; try again. What else is thrown says that it cannot be reached.</exception>
    public async Task SendAsync(Mail mail, Guid id, CancellationToken ct)
    {
        var named = new System.Net.Mail.MailAddress(options.From); // MailOptions.Check has read it the same way
        var from = new MailboxAddress(named.DisplayName, named.Address);
        using var message = new MimeMessage
        {
            From = { from },
            To = { new MailboxAddress("", mail.To) },
            Subject = mail.Subject,
            Date = clock.GetUtcNow(),
            MessageId = $"{id:n}@{from.Domain}",
            Body = new BodyBuilder { TextBody = mail.Text, HtmlBody = mail.Html }.ToMessageBody(),
        };
        // RFC 3834: no out-of-office notes come back.
        message.Headers.Add(HeaderId.AutoSubmitted, "auto-generated");
        if (options.Host is null)
            await KeepAsync(message, id, ct);
        else
            await SendAsync(message, id, options.Host, ct);
    }

    async Task SendAsync(MimeMessage message, Guid id, string host, CancellationToken ct)
    {
        using var smtp = new SmtpClient { Timeout = (int)options.Timeout.TotalMilliseconds };
        var (port, security) = options.Tls switch
        {
            MailTls.Tls => (465, SecureSocketOptions.SslOnConnect),
            MailTls.None => (25, SecureSocketOptions.None),
            _ => (587, SecureSocketOptions.StartTls),
        };
        await smtp.ConnectAsync(host, options.Port ?? port, security, ct);
        if (options is { User: { } user, Password: { } password })
            await smtp.AuthenticateAsync(user, password, ct);
        try
        {
            await smtp.SendAsync(message, ct);
        }
        catch (SmtpCommandException e)
        {
            // RFC 5321, 4.2.1: 5yz is a no that stays one, 4yz is tried again. What servers write beside it names the mailbox, and goes neither into the log nor to the job.
            if ((int)e.StatusCode < 500 || e.ErrorCode is not (SmtpErrorCode.RecipientNotAccepted or SmtpErrorCode.MessageNotAccepted))
                throw new IOException($"The mail server answered {(int)e.StatusCode} ({e.ErrorCode}).");
            logger.MailRefused(id, (int)e.StatusCode);
        }

        await smtp.DisconnectAsync(quit: true, ct);
    }

    /// <summary>Deletes the mails to an address from the outbox folder.</summary>
    public void Forget(string email)
    {
        if (!Directory.Exists(Outbox))
            return;
        foreach (var path in Directory.GetFiles(Outbox, "*.eml"))
        {
            using var message = MimeMessage.Load(path);
            if (message.To.Mailboxes.Any(m => m.Address.Equals(email, StringComparison.OrdinalIgnoreCase)))
                File.Delete(path);
        }
    }

    async Task KeepAsync(MimeMessage message, Guid id, CancellationToken ct)
    {
        Directory.CreateDirectory(Outbox);
        // By name the oldest come first.
        var files = Directory.GetFiles(Outbox, "*.eml");
        foreach (var old in files.Order(StringComparer.Ordinal).Take(files.Length - MaxFiles + 1))
            File.Delete(old);
        var path = Path.Combine(Outbox, string.Create(CultureInfo.InvariantCulture, $"{clock.UtcNow():yyyyMMdd-HHmmss-ffffff}-{id:n}.eml"));
        await using (var file = File.Create(path + ".part"))
        {
            await message.WriteToAsync(file, ct);
            file.Flush(flushToDisk: true);
        }

        File.Move(path + ".part", path);
    }
}

/// <summary>Sends what <see cref="MailJobs.MailAsync"/> has enqueued.</summary>
sealed class SendMail(MailSender sender) : IJobHandler<Mail>
{
    public Task RunAsync(JobRun<Mail> run, CancellationToken cancellationToken) => sender.SendAsync(run.Job, run.Id, cancellationToken);
}
