using System.Globalization;
using Microsoft.AspNetCore.Http;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Look;

namespace Tandem.Users.OpenId;

/// <summary>
/// Where a person lets a device in that shows a code (RFC 8628, 3.3): the code, the sign-in where there is none, and what the device wants. It is asked each time and of every client, because
/// whoever sends somebody a code of his own device is let in by nothing but that answer.
/// </summary>
sealed class DevicePages(ClientTable clients, DeviceCodes codes, Browsers browsers, SignInPages pages, UserTable users, FailedSignIns failures, IRateLimits limits)
{
    // Of 20^8 codes nobody finds one that way, and somebody who mistypes does not come to the end of it.
    const int WrongCodes = 10;
    const string Rule = "users/device-code";

    const int MaxLength = 40;

    static readonly TimeSpan Window = TimeSpan.FromMinutes(5);

    static ProblemResult Unknown(Language t) => Problem.Of(HttpProblems.BadRequest, t.Say("device.unknown"));

    /// <summary>The page of the address that a device shows. With a code in the address it is filled in, and not yet used: the person is to compare it.</summary>
    public Task ShowAsync(HttpContext http)
    {
        var code = Short(http.Request.Query["user_code"]);
        return ShowAsync(http, pages.Waiting(http) ?? CodePage(Language.Of(http), code, null), code);
    }

    /// <summary>Answers a button of one of the pages.</summary>
    public async Task AnswerAsync(HttpContext http)
    {
        var form = Forms.IsUrlEncoded(http.Request) ? await Forms.ReadAsync(http.Request) : FormCollection.Empty;
        var code = Short(form["user_code"]);
        var t = Language.Of(http);
        var page = browsers.IsOwnForm(http, form["form_token"].ToString()) ? await AnswerAsync(http, t, form, code) : CodePage(t, code, Problem.Of(HttpProblems.BadRequest, t.Say("device.stale")));
        await ShowAsync(http, page, code);
    }

    async Task<FormPage> AnswerAsync(HttpContext http, Language t, IFormCollection form, string code)
    {
        var (ct, action) = (http.RequestAborted, form["action"].ToString());
        // Taken before it is looked up: a thousand guesses at once are no way round.
        var (address, origin) = (ClientAddress.Of(http), Origin.Of(http));
        var limit = await limits.TakeAsync(Rule, address, WrongCodes, Window);
        if (!limit.Allowed)
        {
            limit.WriteHeaders(http.Response, "device-code");
            return CodePage(t, code, limit.Refusal("Too many wrong codes; try again later."));
        }

        var device = await codes.FindAsync(code, ct);
        if (device is null || await clients.FindAsync(device.ClientId, ct) is not { } client || !client.MayUse(NewClient.Device))
        {
            failures.Add(null, origin, "wrong device code");
            return CodePage(t, code, Unknown(t));
        }

        await limits.GiveBackAsync(Rule, address, WrongCodes, Window);
        var browser = await browsers.FindAsync(http, ct);
        var (session, page) = await pages.AnswerAsync(http, client.Name, action, form);
        if (page is not null)
            return page;
        if (session is not null)
            browser = await browsers.BeginAsync(http, session, browser, ct);
        if (browser is null || action == "switch" || await users.FindAsync(browser.AccountId, ct) is not { } account)
            return pages.Password(t, client.Name, "", null);
        var scopes = Authorization.Grantable(client, account, Client.Words(device.Scopes));
        if (scopes.Length == 0)
            return new FormPage(403, t.Say("device.nothing-title"), $"<p>{t.Html("device.nothing-text", ("email", Pages.Encode(account.Email)))}</p>", Pages.Button("switch", t.Html("signin.switch")));
        switch (action)
        {
            case "allow":
                return await codes.AllowAsync(device, code, browser, scopes, origin.As(account.Id, browser.SessionId), ct)
                    ? new FormPage(200, t.Say("device.done-title"), $"<p>{t.Html("device.done-text", ("client", Pages.Encode(client.Name)))}</p>", "")
                    : CodePage(t, "", Unknown(t));
            case "deny":
                return await codes.DenyAsync(device, code, browser, origin.As(account.Id, browser.SessionId), ct)
                    ? new FormPage(200, t.Say("device.denied-title"), $"<p>{t.Html("device.denied-text")}</p>", "")
                    : CodePage(t, "", Unknown(t));
            default:
                return Consent(t, client, account, scopes, code);
        }
    }

    static FormPage CodePage(Language t, string code, ProblemResult? wrong) => new(wrong, t.Say("device.title"), $"<p>{t.Html("device.text")}</p>", $"""
        <label for="user_code">{t.Html("code.field")}</label>
        <input id="user_code" name="user_code" type="text" value="{Pages.Encode(code)}" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="{MaxLength}" required{(wrong is null ? " autofocus" : " aria-describedby=\"wrong\" autofocus")}>
        {Pages.Button("continue", t.Html("device.continue"))}
        """);

    static FormPage Consent(Language t, Client client, Account account, string[] scopes, string code) => new(200, t.Say("device.consent-title", ("client", client.Name)), $"""
        <p>{t.Html("device.consent-text", ("email", Pages.Strong(account.Email)), ("code", Pages.Strong(code.ToUpperInvariant())))}</p>
        {Authorization.ListOf(t, scopes)}
        {(client.IsOwnWord ? Authorization.Unknown(t) : "")}<p>{t.Html("device.consent-more")}</p>
        """, Pages.Button("allow", t.Html("consent.allow")) + Pages.Button("deny", t.Html("consent.deny"), isSecond: true) + Pages.Button("switch", t.Html("signin.switch"), isSecond: true));

    async Task ShowAsync(HttpContext http, FormPage page, string code)
    {
        // A person reads a page; whatever else comes here gets the problem.
        if (page.Refusal is { } problem && !Pages.AreWanted(http.Request))
        {
            await problem.ExecuteAsync(http);
            return;
        }

        if (page.Refusal?.RetryAfterSeconds is { } seconds)
            http.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        var t = Language.Of(http);
        // The page that asks for the code has it in a field of its own.
        var carried = page.Form.Contains("name=\"user_code\"", StringComparison.Ordinal) ? "" : Pages.Hidden("user_code", code);
        var form = page.Form.Length == 0 ? "" : $"<form method=\"post\" action=\"device\">\n{carried}{Pages.Hidden("form_token", browsers.FormToken(http))}{page.Form}</form>";
        await Pages.Page(page.Status, page.Title, $"""
            {(page.Refusal is { } refusal ? $"<p role=\"alert\" class=\"wrong\" id=\"wrong\">{Pages.Encode(t.Say(refusal))}</p>" : "")}
            {page.Text}
            {form}
            {(page.IsSignIn ? pages.Upstreams(t, "device" + QueryString.Create("user_code", code).Value) : "")}
            """).ExecuteAsync(http);
    }

    static string Short(string? text) => text is { Length: <= MaxLength } ? text : "";
}
