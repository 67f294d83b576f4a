using System.ComponentModel.DataAnnotations;
using System.Net.Mail;
using Tandem.Core.Configuration;

namespace Tandem.Users.Mailing;

/// <summary>Settings of outgoing mail, section <c>Mail</c>.</summary>
public sealed class MailOptions
{
    /// <summary>The SMTP server. Default none: mails are files in the folder <c>outbox</c> of the data directory.</summary>
    public string? Host { get; set; }

    /// <summary>Its port. Default: 587 for StartTls, 465 for Tls, 25 for None.</summary>
    [Range(1, 65535)]
    public int? Port { get; set; }

    /// <summary>StartTls (default; a server that does not offer it gets nothing), Tls from the first byte on, or None: for a server on this machine.</summary>
    public MailTls Tls { get; set; }

    /// <summary>Who signs in at the server. Default none: nobody does.</summary>
    public string? User { get; set; }

    /// <summary>The password of <c>User</c>. Default none.</summary>
    public string? Password { get; set; }

    /// <summary>Who the mails are from: an address, or <c>Name &lt;address&gt;</c>. Needed where <c>Host</c> is set. Default no-reply@localhost.</summary>
    [Required]
    public string From { get; set; } = NoOne;

    /// <summary>What your product is called in mails and on the pages that they lead to. Default Tandem.</summary>
    [Required, MaxLength(100)]
    public string Product { get; set; } = "Tandem";

    /// <summary>A folder with texts of your own, named as docs/guide/mail.md says; what is not there is in English. Default none.</summary>
    public string? Texts { get; set; }

    /// <summary>Whether <c>/dev/mail</c> shows the outbox, to programs on this machine alone, while <c>Host</c> is not set. Default false: for development.</summary>
    public bool OutboxPage { get; set; }

    /// <summary>How long the SMTP server may take for an answer. Default 30 seconds; 1 second to 5 minutes.</summary>
    [TimeRange("00:00:01", "00:05:00")]
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(30);

    const string NoOne = "no-reply@localhost";

    /// <exception cref="ConfigurationException">The settings contradict each other; the message never has the password.</exception>
    internal void Check()
    {
        // The default is right; the framework's parser, so that the start loads nothing of what sends mail.
        if (From != NoOne && !MailAddress.TryCreate(From, out _))
            throw new ConfigurationException($"Mail:From must be an address, like \"Shop <no-reply@example.com>\"; it is \"{From}\".");
        if (Host is not null && From == NoOne)
            throw new ConfigurationException("Mail:From is missing: set it to the address that mails are from.");
        if (User is null != Password is null)
            throw new ConfigurationException($"Mail:{(User is null ? "User" : "Password")} is missing; set both or none.");
        if (User is not null && Tls == MailTls.None && Host is not ("localhost" or "127.0.0.1" or "::1"))
            throw new ConfigurationException("Mail:Tls is None: the password would go over the network for everybody to read. Set StartTls or Tls.");
        if (Texts is not null && !Directory.Exists(Texts))
            throw new ConfigurationException($"Mail:Texts must be a folder; there is none at \"{Texts}\".");
    }
}

/// <summary>How mail is protected on its way to the SMTP server.</summary>
public enum MailTls
{
    /// <summary>Begins in clear text and changes over; without it nothing is sent.</summary>
    StartTls,
    /// <summary>TLS from the first byte on.</summary>
    Tls,
    /// <summary>Not at all.</summary>
    None,
}
