using System.Collections.ObjectModel;
using Microsoft.AspNetCore.Http;
using Tandem.Core.Http;
using Tandem.Users.Look;
using Tandem.Users.Mailing;
using Tandem.Users.Passkeys;
using Tandem.Users.SecondSteps;
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;
using static Tandem.Users.Pages;

namespace Tandem.Users.OpenId;

/// <summary>
/// The pages on which a person shows who he is: the password, the second step where the account has one, and the two ways out by mail. They check nothing by themselves; a session comes from
/// <see cref="SignIns"/> alone, as at POST /token. Between password and code nothing but the form holds the handle, and that is worth nothing without the code.
/// </summary>
sealed class SignInPages(SignIns signIns, SecondStep secondStep, TicketTable tickets, MailAllowance allowance, UsersOptions options, MailOptions mail)
{
    /// <summary>The fields that these pages have.</summary>
    public static readonly string[] Fields = ["email", "password", "handle", "code", "credential"];

    // What is drawn here is shorter, and so is a code that somebody types.
    const int MaxLength = 100;

    static readonly IReadOnlyDictionary<string, string[]> NoErrors = ReadOnlyDictionary<string, string[]>.Empty;

    /// <summary>Answers a button of one of the pages.</summary>
    /// <param name="name">What is signed in to.</param>
    /// <param name="action">The button; of others than these pages have, nothing comes.</param>
    /// <returns>The session that was opened, or the page to be shown next.</returns>
    public async Task<(Session? Session, FormPage? Page)> AnswerAsync(HttpContext http, string name, string action, IFormCollection form)
    {
        var (t, email) = (Language.Of(http), form["email"].ToString());
        switch (action)
        {
            case "sign-in":
                return await SignInAsync(http, name, email, form["password"].ToString());
            case "passkey":
                return await ByPasskeyAsync(http, name, form["handle"].ToString(), form["credential"].ToString());
            case "second-step":
                return await FinishAsync(http, name, Short(form["handle"]), Short(form["code"]));
            case "verify":
                return (null, await MailAsync(http, TicketPurpose.Verify, email, (_, refused) => Unverified(t, email, refused)));
            case "forgot":
                return (null, Forgotten(t, email, NoErrors, null));
            case "reset":
                return (null, await MailAsync(http, TicketPurpose.Reset, email, (errors, refused) => Forgotten(t, email, errors, refused)));
            default:
                return (null, null);
        }
    }

    async Task<(Session?, FormPage?)> SignInAsync(HttpContext http, string name, string email, string password)
    {
        try
        {
            var signIn = await signIns.ByPasswordAsync(email, password, http);
            return (signIn.Session, signIn.Session is not null ? null : signIn.Handle is { } handle ? SecondStepOf(Language.Of(http), handle, null) : Unverified(Language.Of(http), email, null));
        }
        catch (ProblemException e)
        {
            return (null, Password(Language.Of(http), name, email, e.Result));
        }
    }

    async Task<(Session?, FormPage?)> ByPasskeyAsync(HttpContext http, string name, string handle, string credential)
    {
        try
        {
            var signIn = await signIns.ByPasskeyAsync(handle, credential, http);
            return (signIn.Session, signIn.Session is null ? Unverified(Language.Of(http), "", null) : null);
        }
        catch (ProblemException e)
        {
            var t = Language.Of(http);
            return (null, Password(t, name, "", e.Result.Problem == UserProblems.PasskeyRefused ? Problem.Of(e.Result.Problem, t.Say("signin.passkey-refused")) : e.Result));
        }
    }

    async Task<(Session?, FormPage?)> FinishAsync(HttpContext http, string name, string handle, string code)
    {
        try
        {
            return ((await signIns.BySecondStepAsync(handle, code, http)).Session, null);
        }
        catch (ProblemException e)
        {
            var t = Language.Of(http);
            return (null, e.Result.Problem == HttpProblems.TooManyRequests || await secondStep.IsWaitingAsync(handle, http.RequestAborted)
                ? SecondStepOf(t, handle, e.Result)
                : Password(t, name, "", Problem.Of(e.Result.Problem, t.Say("signin.too-long"))));
        }
    }

    /// <summary>Whether anybody has the e-mail is not told, and not looked at.</summary>
    async Task<FormPage> MailAsync(HttpContext http, string purpose, string email, Func<IReadOnlyDictionary<string, string[]>, ProblemResult?, FormPage> again)
    {
        var t = Language.Of(http);
        if (JsonFaults.FindInvalid(new EmailWanted(email)) is { Count: > 0 } errors)
            return again(t.Faults(errors), null);
        if (await allowance.RefuseAsync(http) is { } refusal)
            return again(NoErrors, refusal);
        await tickets.AskAsync(purpose, email, null, MailedEndpoints.RequestOf(http), null, http.RequestAborted);
        return new FormPage(200, t.Say("mailbox.title"), $"<p>{t.Html("mailbox.text", ("email", Strong(email)))}</p>", Button("switch", t.Html("signin.go-on")));
    }

    /// <param name="name">What is signed in to.</param>
    public FormPage Password(Language t, string name, string email, ProblemResult? wrong)
    {
        // Where mails end in a folder that nobody looks into, the way out would be none.
        var forgot = mail.Host is not null || mail.OutboxPage ? Button("forgot", t.Html("signin.forgot"), isSecond: true) : "";
        // Shown by the script, where the browser and the address have passkeys.
        var passkey = options.PasskeyHost is { } host ? $"<button type=\"button\" id=\"passkey\" class=\"second\" data-domain=\"{Encode(host)}\"{(wrong?.Problem == UserProblems.PasskeyRefused ? " data-refused" : "")} hidden>{t.Html("signin.passkey")}</button>\n" : "";
        return new FormPage(wrong, t.Say("signin.title", ("client", name)), "", $"""
            <label for="email">{t.Html("signin.email")}</label>
            <input id="email" name="email" type="email" value="{Encode(email.Length <= 254 ? email : "")}" autocomplete="username{(options.PasskeyHost is null ? "" : " webauthn")}" required{(wrong is null ? " autofocus" : " aria-describedby=\"wrong\"")}>
            <label for="password">{t.Html("signin.password")}</label>
            <input id="password" name="password" type="password" autocomplete="current-password" required{(wrong is null ? "" : " aria-describedby=\"wrong\" autofocus")}>
            {Button("sign-in", t.Html("signin.button"))}{forgot}{passkey}
            """)
        {
            Script = options.PasskeyHost is null ? null : PasskeyScript.Text,
            IsSignIn = true,
        };
    }

    /// <summary>The other providers that somebody may sign in with. They are links: a form may only lead where the page's policy says, and nobody knows where a provider sends people on to.</summary>
    /// <param name="to">Where the sign-in goes on, an address of this server without the slash in front.</param>
    public string Upstreams(Language t, string to) => string.Concat(options.Providers.Select(p =>
        $"<p><a class=\"button second\" href=\"auth/upstream/{p.Name}?to={Uri.EscapeDataString(to)}\">{t.Html("signin.upstream", ("provider", Encode(p.Provider.Title ?? p.Name)))}</a></p>\n"));

    /// <returns>The page for a sign-in that waits for its second step and was begun elsewhere; null: none does.</returns>
    public FormPage? Waiting(HttpContext http) => Short(http.Request.Query["handle"]) is { Length: > 0 } handle && options.Upstream.Count > 0 ? SecondStepOf(Language.Of(http), handle, null) : null;

    static FormPage SecondStepOf(Language t, string handle, ProblemResult? wrong) => new(wrong, t.Say("code.title"), $"<p>{t.Html("code.text")}</p>", $"""
        {Hidden("handle", handle)}<label for="code">{t.Html("code.field")}</label>
        <input id="code" name="code" type="text" autocomplete="one-time-code" autocapitalize="none" spellcheck="false" maxlength="{MaxLength}" required autofocus{(wrong is null ? "" : " aria-describedby=\"wrong\"")}>
        {Button("second-step", t.Html("signin.button"))}{Button("switch", t.Html("signin.switch"), isSecond: true)}
        """);

    static FormPage Unverified(Language t, string email, ProblemResult? refused) => new(refused, t.Say("unverified.title"), $"<p>{t.Html("unverified.text", ("email", Strong(email)))}</p>",
        Hidden("email", email) + Button("switch", t.Html("signin.go-on")) + Button("verify", t.Html("unverified.send"), isSecond: true));

    static FormPage Forgotten(Language t, string email, IReadOnlyDictionary<string, string[]> errors, ProblemResult? refused) => new(errors.Count > 0 ? 422 : refused?.Problem.Status ?? 200, t.Say("forgotten.title"),
        $"<p>{t.Html("forgotten.text")}</p>", Field("email", t.Say("signin.email"), "email", email.Length <= 254 ? email : "", "username", "", errors) + Button("reset", t.Html("forgotten.send")) + Button("switch", t.Html("forgotten.back"), isSecond: true))
    {
        Refusal = refused,
    };

    static string Short(string? text) => text is { Length: <= MaxLength } ? text : "";
}

/// <summary>A page with a form that carries on what the client has asked for.</summary>
/// <param name="Status">HTTP status.</param>
/// <param name="Title">Plain text.</param>
/// <param name="Text">HTML in front of the form.</param>
/// <param name="Form">HTML of the form's own fields and buttons.</param>
sealed record FormPage(int Status, string Title, string Text, string Form)
{
    /// <param name="refusal">Why the page is shown once more; null: it is shown for the first time.</param>
    public FormPage(ProblemResult? refusal, string title, string text, string form) : this(refusal?.Problem.Status ?? 200, title, text, form) => Refusal = refusal;

    /// <summary>The page's script; null: none.</summary>
    public string? Script { get; init; }

    /// <summary>Other ways to sign in stand below it.</summary>
    public bool IsSignIn { get; init; }

    /// <summary>Said at the top.</summary>
    public ProblemResult? Refusal { get; init; }
}
