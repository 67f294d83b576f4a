using Tandem.Core.Data;
using Tandem.Core.Jobs;

namespace Tandem.Core.Contracts;

/// <summary>A mail to one person. It is sent as a job by a process that has the users role, see <see cref="MailJobs.MailAsync"/>.</summary>
/// <remarks>The job keeps it for <c>Jobs:Retention</c>: put no secret in.</remarks>
/// <param name="To">The address.</param>
/// <param name="Subject">One line.</param>
/// <param name="Text">Plain text; lines end with \n.</param>
/// <param name="Html">The same as HTML, or null for plain text alone.</param>
[Job("mail.send")]
public sealed record Mail(string To, string Subject, string Text, string? Html = null);

/// <summary>Sends mail out of a transaction.</summary>
public static class MailJobs
{
    /// <summary>A server that is away is tried again for about eight hours.</summary>
    public static JobOptions Delivery { get; } = new() { MaxAttempts = 100 };

    /// <summary>Sends a mail exactly when the transaction commits; at least once, and as a rule once.</summary>
    /// <param name="tx">Of the change that the mail is about.</param>
    /// <param name="mail">What to send.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The job's id.</returns>
    public static Task<Guid> MailAsync(this Transaction tx, Mail mail, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(tx);
        return tx.EnqueueAsync(mail, Delivery, cancellationToken);
    }
}
