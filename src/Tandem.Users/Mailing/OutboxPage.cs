using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using MimeKit;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Look;
using static Tandem.Users.Pages;

namespace Tandem.Users.Mailing;

/// <summary><c>/dev/mail</c>: what is in the outbox, for whoever develops on this machine and for nobody else.</summary>
static class OutboxPage
{
    const int Shown = 50;

    static readonly string[] Forwarding = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via"];

    public static void MapOutbox(this IEndpointRouteBuilder routes)
    {
        var outbox = routes.MapGroup("/dev/mail").AllowAnonymous().ExcludeFromDescription().AddEndpointFilter(static (context, next) =>
            IsOwn(context.HttpContext) ? next(context) : ValueTask.FromResult<object?>(Problem.Of(HttpProblems.NotFound)));
        outbox.MapGet("", ListAsync);
        outbox.MapGet("{name}", ShowAsync);
    }

    /// <summary>
    /// Mails hold the links that accounts are taken over by: a proxy on this machine, a page of another site in a browser on this machine and a name that was
    /// made to mean this machine come from here as well, and get nothing.
    /// </summary>
    static bool IsOwn(HttpContext context)
    {
        var (request, headers) = (context.Request, context.Request.Headers);
        return context.Connection.RemoteIpAddress is { } from && IPAddress.IsLoopback(from)
            && request.Host.Host is "localhost" or "127.0.0.1" or "[::1]"
            && headers.Origin.Count == 0 && headers["Sec-Fetch-Site"].ToString() is "" or "none" or "same-origin"
            && !Forwarding.Any(headers.ContainsKey);
    }

    static async Task<IResult> ListAsync(HttpContext context, MailSender sender, CancellationToken ct)
    {
        var mails = new List<OutboxMail>();
        if (Directory.Exists(sender.Outbox))
            foreach (var file in Directory.GetFiles(sender.Outbox, "*.eml").OrderDescending(StringComparer.Ordinal).Take(Shown))
                mails.Add(await ReadAsync(file, ct));
        if (!AreWanted(context.Request))
            return TypedResults.Json(mails, Json.Options);
        var t = Language.Of(context);
        return Page(200, t.Say("outbox.title"), mails.Count == 0 ? $"<p>{t.Html("outbox.empty")}</p>" : $"""
            <p>{t.Html("outbox.text")}</p>
            <ul>{string.Concat(mails.Select(m => $"<li><a href=\"/dev/mail/{Encode(m.Name)}\">{Encode(m.Subject)}</a><br>{t.Html("outbox.to", ("email", Encode(m.To)), ("time", $"{m.SentAt:yyyy-MM-dd HH:mm:ss} UTC"))}</li>"))}</ul>
            """);
    }

    static async Task<IResult> ShowAsync(string name, HttpContext context, MailSender sender, CancellationToken ct)
    {
        var file = Path.Combine(sender.Outbox, name);
        // Only what stands in the list has such a name, and no name leads out of the folder.
        if (Path.GetFileName(name) != name || !name.EndsWith(".eml", StringComparison.Ordinal) || !File.Exists(file))
            return Problem.Of(HttpProblems.NotFound);
        var mail = await ReadAsync(file, ct);
        var text = string.Join('\n', mail.Text.Split('\n').Select(line => line.StartsWith("http", StringComparison.Ordinal)
            ? $"<a href=\"{Encode(line.Trim())}\">{Encode(line)}</a>"
            : Encode(line)));
        var t = Language.Of(context);
        return AreWanted(context.Request)
            ? Page(200, mail.Subject, $"<p>{t.Html("outbox.to", ("email", Encode(mail.To)), ("time", $"{mail.SentAt:yyyy-MM-dd HH:mm:ss} UTC"))} · <a href=\"/dev/mail\">{t.Html("outbox.all")}</a></p><pre>{text}</pre>")
            : TypedResults.Json(mail, Json.Options);
    }

    static async Task<OutboxMail> ReadAsync(string file, CancellationToken ct)
    {
        using var message = await MimeMessage.LoadAsync(file, ct);
        return new OutboxMail(Path.GetFileName(file), message.To.ToString(), message.Subject ?? "", message.Date.UtcDateTime, (message.TextBody ?? "").ReplaceLineEndings("\n"));
    }
}

/// <summary>A mail in the outbox.</summary>
sealed record OutboxMail(string Name, string To, string Subject, DateTime SentAt, string Text);
