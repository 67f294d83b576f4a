using Microsoft.Extensions.DependencyInjection;
using MimeKit;
using Tandem.Users.Mailing;

namespace Tandem.Tests.Users;

/// <summary>What a program without a mail server has mailed.</summary>
static class Outbox
{
    /// <summary>The newest mail to somebody whose subject says so, when it is there.</summary>
    public static async Task<Letter> MailAsync(this TestApp app, string to, string subject)
    {
        Letter? found = null;
        await Eventually.TrueAsync(async () => (found = (await app.MailsAsync(to)).LastOrDefault(m => m.Subject.Contains(subject, StringComparison.Ordinal))) is not null);
        return found!;
    }

    /// <summary>Every mail to somebody so far, in the order they were sent in.</summary>
    public static async Task<List<Letter>> MailsAsync(this TestApp app, string to)
    {
        var letters = new List<Letter>();
        var folder = app.Services.GetRequiredService<MailSender>().Outbox;
        if (Directory.Exists(folder))
            foreach (var file in Directory.GetFiles(folder, "*.eml").Order(StringComparer.Ordinal))
            {
                using var message = await MimeMessage.LoadAsync(file, TestContext.Current.CancellationToken);
                if (message.To.Mailboxes.Single().Address == to)
                    letters.Add(new Letter(message.Subject ?? "", message.TextBody!.ReplaceLineEndings("\n")));
            }

        return letters;
    }

    /// <summary>Returns when every mail that was asked for is sent, or was found to be for nobody.</summary>
    public static Task MailedAsync(this TestApp app) => Eventually.TrueAsync(async () =>
        await app.Db.FindAsync<long>($"select count(*) from jobs_queue where state in ('available', 'running')", TestContext.Current.CancellationToken) == 0);
}

sealed record Letter(string Subject, string Text)
{
    /// <summary>The line that is a link.</summary>
    public string Link => Text.Split('\n').Single(l => l.StartsWith("http", StringComparison.Ordinal));

    /// <summary>What stands behind token= in it.</summary>
    public string Token => Text.Split("token=")[1].Split('\n')[0];

    /// <summary>The code of a mail to sign in.</summary>
    public string Code => Subject[..9];
}
