using System.Collections.ObjectModel;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
using Tandem.Users.Look;
using static Tandem.Users.Pages;

namespace Tandem.Users.Tickets;

/// <summary>Where the links of mails lead when no app of the user's own takes them. Looking at a page uses nothing up: mail programs do so before a person does.</summary>
static class MailedPages
{
    static readonly IReadOnlyDictionary<string, string[]> NoErrors = ReadOnlyDictionary<string, string[]>.Empty;

    public static void MapMailedPages(this IEndpointRouteBuilder routes)
    {
        var pages = routes.MapGroup("/auth/pages").AllowAnonymous().ExcludeFromDescription();
        pages.MapGet("password", ShowPassword);
        pages.MapPost("password", SetPassword);
        pages.MapGet("email", ShowEmail);
        pages.MapPost("email", ConfirmEmail);
    }

    static async Task<IResult> ShowPassword(HttpContext context, TicketTable tickets, Theme theme, string? token = null, CancellationToken ct = default) =>
        await tickets.PurposeOfAsync(token ?? "", ct) == TicketPurpose.Reset ? Page(200, Language.Of(context).Say("password.title"), PasswordForm(Language.Of(context), token ?? "", theme, NoErrors)) : Gone(context);

    static async Task<IResult> SetPassword(HttpContext context, TicketTable tickets, Ownership ownership, Passwords passwords, CommonPasswordCheck common, Theme theme,
        TimeProvider clock, CancellationToken ct)
    {
        var form = await FormOf(context);
        var body = new NewPasswordByMail(form["token"].ToString(), form["password"].ToString());
        if (await tickets.PurposeOfAsync(body.Token, ct) != TicketPurpose.Reset)
            return Gone(context);
        var t = Language.Of(context);
        var errors = JsonFaults.FindInvalid(body);
        if (errors.Count == 0)
            errors = common.Errors(body.Password);
        if (errors.Count > 0)
            return Page(422, t.Say("password.title"), PasswordForm(t, body.Token, theme, t.Faults(errors)));
        var hash = await passwords.HashAsync(body.Password, ct);
        return await ownership.ResetPasswordAsync(body.Token, hash, clock.UtcNow(), Origin.Of(context), ct)
            ? Page(200, t.Say("password.done-title"), $"<p>{t.Html("password.done-text", ("product", Encode(theme.Product)))}</p>")
            : Gone(context);
    }

    static async Task<IResult> ShowEmail(HttpContext context, TicketTable tickets, Theme theme, string? token = null, CancellationToken ct = default) =>
        await tickets.PurposeOfAsync(token ?? "", ct) is TicketPurpose.Verify or TicketPurpose.Change ? Page(200, Language.Of(context).Say("email.title"), $"""
            <p>{Language.Of(context).Html("email.text", ("product", Encode(theme.Product)))}</p>
            <form method="post" action="/auth/pages/email">
            {Hidden("token", token ?? "")}
            <button type="submit">{Language.Of(context).Html("email.button")}</button>
            </form>
            """) : Gone(context);

    static async Task<IResult> ConfirmEmail(HttpContext context, Ownership ownership, Theme theme, TimeProvider clock, CancellationToken ct)
    {
        var (form, t) = (await FormOf(context), Language.Of(context));
        return await ownership.ConfirmEmailAsync(form["token"].ToString(), clock.UtcNow(), Origin.Of(context), ct)
            ? Page(200, t.Say("email.done-title"), $"<p>{t.Html("email.done-text", ("product", Encode(theme.Product)))}</p>")
            : Gone(context);
    }

    static string PasswordForm(Language t, string token, Theme theme, IReadOnlyDictionary<string, string[]> errors) => $"""
        <p>{t.Html("password.text", ("product", Encode(theme.Product)))}</p>
        {(errors.Count > 0 ? $"<p role=\"alert\" class=\"wrong\">{t.Html("field.look")}</p>" : "")}
        <form method="post" action="/auth/pages/password">
        {Hidden("token", token)}
        {Field("password", t.Say("field.new-password", ("least", $"{Passwords.MinLength}")), "password", "", "new-password", $"minlength=\"{Passwords.MinLength}\" maxlength=\"{Passwords.MaxLength}\"", errors)}
        <button type="submit">{t.Html("password.button")}</button>
        </form>
        """;

    /// <summary>A person reads a page; whatever else comes here gets the problem.</summary>
    static IResult Gone(HttpContext context) => AreWanted(context.Request)
        ? Page(400, Language.Of(context).Say("link.title"), $"<p>{Language.Of(context).Html("link.text")}</p>")
        : Problem.Of(UserProblems.LinkInvalid);

    static async Task<IFormCollection> FormOf(HttpContext context) => Forms.IsUrlEncoded(context.Request) ? await Forms.ReadAsync(context.Request) : FormCollection.Empty;
}
