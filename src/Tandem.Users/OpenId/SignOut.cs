using Microsoft.AspNetCore.Http;
using OpenIddict.Abstractions;
using Tandem.Users.Audit;
using Tandem.Users.Look;
using Tandem.Users.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.OpenId;

/// <summary>Signing out as a client asks for it (OpenID Connect RP-Initiated Logout 1.0): the browser's session ends, and with it those of all clients it was opened for.</summary>
sealed class SignOut(ClientTable clients, Browsers browsers, Languages languages)
{
    static readonly string[] OwnFields = ["form_token", "action"];
    static readonly string[] Carried = [Parameters.ClientId, Parameters.PostLogoutRedirectUri, Parameters.State, Parameters.IdTokenHint, Parameters.UiLocales];

    public static ValueTask Strip(ExtractEndSessionRequestContext context)
    {
        foreach (var field in OwnFields)
            context.Request?.RemoveParameter(field);
        return ValueTask.CompletedTask;
    }

    public async ValueTask ValidateAsync(ValidateEndSessionRequestContext context)
    {
        if (string.IsNullOrEmpty(context.PostLogoutRedirectUri))
            return;
        var id = context.ClientId is { Length: > 0 } named ? named : context.IdentityTokenHintPrincipal?.GetAudiences().FirstOrDefault();
        if (await clients.FindAsync(id, OpenIdServer.HttpOf(context).RequestAborted) is not { } client)
            context.Reject(Errors.InvalidRequest, "post_logout_redirect_uri needs a client_id or an id_token_hint of a client that is known here.");
        else if (!client.MayReturnTo(context.PostLogoutRedirectUri))
            context.Reject(Errors.InvalidRequest, $"post_logout_redirect_uri is none of those that are registered for the client {client.Id}; they are compared letter by letter.");
    }

    public async ValueTask DecideAsync(HandleEndSessionRequestContext context)
    {
        var http = OpenIdServer.HttpOf(context);
        languages.Choose(http, context.Request.UiLocales);
        var (t, ct) = (languages.Of(http), http.RequestAborted);
        var form = http.Request.HasFormContentType ? http.Request.Form : FormCollection.Empty;
        var browser = await browsers.FindAsync(http, ct);
        // Who has an ID token of this sign-in asks for the person; anyone else could as well be a picture on some page.
        var hinted = Guid.TryParse(context.IdentityTokenHintPrincipal?.GetClaim(ClientGrants.SessionClaim), out var session) ? await browsers.OfClientAsync(session, ct) : null;
        var isAgreed = form["action"] == "sign-out" && browsers.IsOwnForm(http, form["form_token"].ToString());
        if (browser is not null && !isAgreed && hinted != browser.SessionId)
        {
            await AskAsync(context, http, t);
            return;
        }

        if (hinted is { } which && which != browser?.SessionId)
            await browsers.EndAsync(which, Origin.Of(http).AsClient(session), ct);
        if (browser is not null)
            await browsers.EndAsync(browser.SessionId, Origin.Of(http).As(browser.AccountId, browser.SessionId), ct);
        if (context.Request.PostLogoutRedirectUri is { Length: > 0 })
            context.SignOut();
        else
        {
            await Pages.Page(200, t.Say("signout.done-title"), $"<p>{t.Html("signout.done-text")}</p>").ExecuteAsync(http);
            context.HandleRequest();
        }
    }

    async Task AskAsync(HandleEndSessionRequestContext context, HttpContext http, Language t)
    {
        var carried = string.Concat(Carried.Select(name => (string?)context.Request[name] is { Length: > 0 } value ? Pages.Hidden(name, value) : ""));
        await Pages.Page(200, t.Say("signout.title"), $"""
            <p>{t.Html("signout.text")}</p>
            <form method="post" action="logout">
            {carried}{Pages.Hidden("form_token", browsers.FormToken(http))}
            <button type="submit" name="action" value="sign-out">{t.Html("signout.button")}</button>
            </form>
            """, context.Request.PostLogoutRedirectUri is { Length: > 0 } target ? target : null).ExecuteAsync(http);
        context.HandleRequest();
    }

    public async ValueTask WriteAsync(ApplyEndSessionResponseContext context)
    {
        var http = OpenIdServer.HttpOf(context);
        languages.Choose(http, context.Request?.UiLocales);
        if (TokenServer.HasFailed(http))
            context.HandleRequest();
        else if (context.Response.Error is not null)
        {
            await OpenIdServer.RefuseAsync(http, "signout.cannot-go-on", ClientProblems.InvalidSignOut, context.Response);
            context.HandleRequest();
        }
    }
}
