using System.Collections.ObjectModel;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
using Tandem.Users.Mailing;
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

    static async Task<IResult> ShowPassword(HttpContext context, TicketTable tickets, MailOptions mail, string? token = null, CancellationToken ct = default) =>
        await tickets.PurposeOfAsync(token ?? "", ct) == TicketPurpose.Reset ? Page(200, "Choose a new password", PasswordForm(token ?? "", mail, NoErrors)) : Gone(context);

    static async Task<IResult> SetPassword(HttpContext context, TicketTable tickets, Ownership ownership, Passwords passwords, CommonPasswordCheck common, MailOptions mail,
        TimeProvider clock, CancellationToken ct)
    {
        var form = await FormOf(context);
        var body = new NewPasswordByMail(form["token"].ToString(), form["password"].ToString());
        if (await tickets.PurposeOfAsync(body.Token, ct) != TicketPurpose.Reset)
            return Gone(context);
        var errors = JsonFaults.FindInvalid(body);
        if (errors.Count == 0)
            errors = common.Errors(body.Password);
        if (errors.Count > 0)
            return Page(422, "Choose a new password", PasswordForm(body.Token, mail, errors));
        var hash = await passwords.HashAsync(body.Password, ct);
        return await ownership.ResetPasswordAsync(body.Token, hash, clock.UtcNow(), Origin.Of(context), ct)
            ? Page(200, "Your password is changed", $"<p>You are signed out of {Encode(mail.Product)} everywhere. Sign in with the new password.</p>")
            : Gone(context);
    }

    static async Task<IResult> ShowEmail(HttpContext context, TicketTable tickets, MailOptions mail, string? token = null, CancellationToken ct = default) =>
        await tickets.PurposeOfAsync(token ?? "", ct) is TicketPurpose.Verify or TicketPurpose.Change ? Page(200, "Confirm your e-mail address", $"""
            <p>This makes it the address of your account at {Encode(mail.Product)}.</p>
            <form method="post" action="/auth/pages/email">
            {Hidden("token", token ?? "")}
            <button type="submit">Confirm</button>
            </form>
            """) : Gone(context);

    static async Task<IResult> ConfirmEmail(HttpContext context, Ownership ownership, MailOptions mail, TimeProvider clock, CancellationToken ct)
    {
        var form = await FormOf(context);
        return await ownership.ConfirmEmailAsync(form["token"].ToString(), clock.UtcNow(), Origin.Of(context), ct)
            ? Page(200, "Your e-mail address is confirmed", $"<p>Go on at {Encode(mail.Product)}; you may close this page.</p>")
            : Gone(context);
    }

    static string PasswordForm(string token, MailOptions mail, IReadOnlyDictionary<string, string[]> errors) => $"""
        <p>For your account at {Encode(mail.Product)}.</p>
        {(errors.Count > 0 ? "<p role=\"alert\" class=\"wrong\">Please look at the marked field.</p>" : "")}
        <form method="post" action="/auth/pages/password">
        {Hidden("token", token)}
        {Field("password", $"Password, at least {Passwords.MinLength} characters", "password", "", "new-password", $"minlength=\"{Passwords.MinLength}\" maxlength=\"{Passwords.MaxLength}\"", errors)}
        <button type="submit">Set password</button>
        </form>
        """;

    /// <summary>A person reads a page; whatever else comes here gets the problem.</summary>
    static IResult Gone(HttpContext context) => AreWanted(context.Request)
        ? Page(400, "This link does not work", "<p>It works once, and not for long. Ask for a new one.</p>")
        : Problem.Of(UserProblems.LinkInvalid);

    static async Task<IFormCollection> FormOf(HttpContext context) => Forms.IsUrlEncoded(context.Request) ? await Forms.ReadAsync(context.Request) : FormCollection.Empty;
}
