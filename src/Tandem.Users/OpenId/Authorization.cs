using System.Globalization;
using System.Security.Claims;
using Microsoft.AspNetCore;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Look;
using Tandem.Users.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.OpenId;

/// <summary>
/// What happens at /authorize. Its pages post back to it with the client's whole request, which is checked anew each time: between two requests nothing is
/// kept but the ticket of a sign-in that waits for its second step (and what <see cref="PushedRequests"/> has), and there is nothing to be changed in a form that could not as well have been asked for in the first place.
/// </summary>
sealed class Authorization(ClientTable clients, ClientGrants grants, Browsers browsers, SignInPages pages, PushedRequests pushed, UserTable users, Languages languages, TimeProvider clock)
{
    const string Page = "authorize?";

    /// <summary>The fields of our own forms. OpenIddict never sees them.</summary>
    static readonly string[] OwnFields = ["form_token", "action", .. SignInPages.Fields];

    // What a request may have, and so a form carries on.
    static readonly string[] Carried =
    [
        Parameters.ResponseType, Parameters.ResponseMode, Parameters.ClientId, Parameters.RedirectUri, Parameters.Scope, Parameters.State, Parameters.Nonce,
        Parameters.CodeChallenge, Parameters.CodeChallengeMethod, Parameters.Prompt, Parameters.MaxAge, Parameters.LoginHint, Parameters.IdTokenHint, Parameters.UiLocales,
    ];

    // Of a pushed request the rest is here.
    static readonly string[] CarriedPushed = [Parameters.ClientId, Parameters.RequestUri];

    public static ValueTask Strip(ExtractAuthorizationRequestContext context)
    {
        foreach (var field in OwnFields)
            context.Request?.RemoveParameter(field);
        return ValueTask.CompletedTask;
    }

    /// <summary>Nobody is sent anywhere before this has said that the address is the client's.</summary>
    public async ValueTask ValidateAsync(ValidateAuthorizationRequestContext context)
    {
        var client = await clients.FindAsync(context.ClientId, OpenIdServer.HttpOf(context).RequestAborted);
        if (FaultOf(client, context.Request, context.RedirectUri) is var (error, description))
            context.Reject(error, description);
        else if (client!.RequirePar && context.RequestTokenPrincipal is null) // FaultOf finds a fault with none
            context.Reject(Errors.InvalidRequest, $"The client {client.Id} has to send its requests to /par first (RFC 9126).");
        else
            context.Transaction.SetProperty(ClientGrants.ClientProperty, client);
    }

    /// <summary>The same for a request that is pushed; who sends it is proved by then.</summary>
    public async ValueTask ValidateAsync(ValidatePushedAuthorizationRequestContext context)
    {
        var client = await clients.FindAsync(context.ClientId, OpenIdServer.HttpOf(context).RequestAborted);
        if (FaultOf(client, context.Request, context.RedirectUri) is var (error, description))
            context.Reject(error, description);
        else if (PushedRequests.FaultOf(context.Request) is { } fault)
            context.Reject(Errors.InvalidRequest, fault);
    }

    static (string Error, string Description)? FaultOf(Client? client, OpenIddictRequest request, string? redirectUri)
    {
        if (client is null)
            return (Errors.InvalidRequest, "client_id names no client that is known here.");
        if (string.IsNullOrEmpty(redirectUri))
            return (Errors.InvalidRequest, "redirect_uri is missing.");
        if (!client.MayRedirectTo(redirectUri))
            return (Errors.InvalidRequest, $"redirect_uri is none of those that are registered for the client {client.Id}; they are compared letter by letter.");
        if (!client.MayUse(NewClient.Code))
            return (Errors.UnauthorizedClient, $"The client {client.Id} is not registered for authorization_code.");
        return request.GetScopes().IsEmpty ? (Errors.InvalidScope, $"scope is missing; the client {client.Id} may ask for {client.Scopes}.") : null;
    }

    public async ValueTask DecideAsync(HandleAuthorizationRequestContext context)
    {
        var code = await AnswerAsync(context);
        if (context.IsRequestHandled)
            return;
        // With the answer, whatever it is, a pushed request is used; of two answers at once one is none.
        var isFirst = context.Request.RequestUri is not { Length: > 0 } uri || await pushed.UseUpAsync(uri, OpenIdServer.HttpOf(context).RequestAborted);
        if (code is not null && isFirst)
            context.SignIn(code);
        else if (code is not null)
            context.Reject(Errors.InvalidRequest, "This request was answered before.");
    }

    /// <returns>What the code says; null when a page is shown, or the request refused.</returns>
    async Task<ClaimsPrincipal?> AnswerAsync(HandleAuthorizationRequestContext context)
    {
        var (http, request) = (OpenIdServer.HttpOf(context), context.Request);
        var client = context.Transaction.GetProperty<Client>(ClientGrants.ClientProperty) ?? throw new InvalidOperationException("A request that nobody has checked.");
        var (form, ct) = (http.Request.HasFormContentType ? http.Request.Form : FormCollection.Empty, http.RequestAborted);
        languages.Choose(http, request.UiLocales);
        var t = languages.Of(http);
        var browser = await browsers.FindAsync(http, ct);
        var action = form["action"].ToString();
        var isStale = action.Length > 0 && !browsers.IsOwnForm(http, form["form_token"].ToString());
        if (isStale)
            action = "";

        var (session, page) = await pages.AnswerAsync(http, client.Name, action, form);
        if (HttpMethods.IsGet(http.Request.Method) && !request.HasPromptValue(PromptValues.None))
            page = pages.Waiting(http);
        if (page is not null)
        {
            await ShowAsync(context, page, []);
            return null;
        }

        if (session is not null)
            browser = await browsers.BeginAsync(http, session, browser, ct);
        if (browser is null || action == "switch" || session is null && MustSignIn(context, browser))
        {
            if (request.HasPromptValue(PromptValues.None))
                context.Reject(Errors.LoginRequired, "Nobody is signed in with this browser, or not as this request asks.");
            else
                await ShowAsync(context, pages.Password(t, client.Name, request.LoginHint ?? "", isStale ? Problem.Of(HttpProblems.BadRequest, t.Say("signin.stale")) : null), []);
            return null;
        }

        if (await users.FindAsync(browser.AccountId, ct) is not { } account)
        {
            context.Reject(Errors.LoginRequired, "The account is no longer there.");
            return null;
        }

        var scopes = Grantable(client, account, request.GetScopes());
        if (scopes.Length == 0)
        {
            context.Reject(Errors.InvalidScope, $"The client {client.Id} may have none of these scopes here.");
            return null;
        }

        if (await NeedsConsentAsync(http, client, account, browser, scopes, request, action, ct))
        {
            if (request.HasPromptValue(PromptValues.None))
                context.Reject(Errors.ConsentRequired, "The person has not allowed this yet.");
            else if (action == "deny")
                context.Reject(Errors.AccessDenied, "The person does not allow it.");
            else
                await AskForConsentAsync(context, t, client, account, scopes);
            return null;
        }

        return grants.CodeFor(client, browser, scopes);
    }

    bool MustSignIn(HandleAuthorizationRequestContext context, Browser browser)
    {
        var request = context.Request;
        return request.HasPromptValue(PromptValues.Login) || request.HasPromptValue(PromptValues.SelectAccount)
            || request.MaxAge is { } seconds && clock.GetUtcNow() - browser.SignedInAt > TimeSpan.FromSeconds(Math.Clamp(seconds, 0, int.MaxValue))
            || context.IdentityTokenHintPrincipal is { } hint && hint.GetClaim(Claims.Subject) != browser.AccountId.ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>What the client asks for, may have, and this person can give (RFC 6749, 3.3: the rest is left out, and the answer says so).</summary>
    public static string[] Grantable(Client client, Account account, IEnumerable<string> asked)
    {
        var allowed = Client.Words(client.Scopes);
        return [.. asked.Where(s => allowed.Contains(s) && (account.IsAdministrator || ClientScopes.Personal.Contains(s))
            && (s != Scopes.OfflineAccess || client.MayUse(NewClient.Refresh)))];
    }

    async Task<bool> NeedsConsentAsync(HttpContext http, Client client, Account account, Browser browser, string[] scopes, OpenIddictRequest request, string action,
        CancellationToken ct)
    {
        if (action == "allow")
        {
            await clients.AllowAsync(account.Id, client.Id, scopes, clock.UtcNow(), Origin.Of(http).As(account.Id, browser.SessionId), ct);
            return false;
        }

        if (action == "deny" || request.HasPromptValue(PromptValues.Consent))
            return true;
        if (client.IsTrusted)
            return false;
        return !client.IsAssured(request.RedirectUri ?? "") || scopes.Except(await clients.ConsentAsync(account.Id, client.Id, ct)).Any();
    }

    /// <summary>What people are told of a client that registered itself.</summary>
    public static string Unknown(Language t) => $"<p role=\"note\"><strong>{t.Html("consent.unknown")}</strong> {t.Html("consent.unknown-more")}</p>\n";

    /// <summary>HTML: what somebody is asked to allow.</summary>
    public static string ListOf(Language t, string[] scopes) => $"<ul>\n{string.Concat(scopes.Select(s => $"<li>{Pages.Encode(ClientScopes.Describe(t, s))}</li>\n"))}</ul>";

    // The person was just asked who he is, or need not be: the answer to this page must not ask for it again.
    Task AskForConsentAsync(HandleAuthorizationRequestContext context, Language t, Client client, Account account, string[] scopes) => ShowAsync(context, new FormPage(200, t.Say("consent.title", ("client", client.Name)), $"""
        <p>{t.Html("consent.text", ("email", Pages.Strong(account.Email)), ("client", Pages.Encode(client.Name)))}</p>
        {ListOf(t, scopes)}
        {(client.IsOwnWord ? Unknown(t) : "")}<p>{t.Html("consent.back-to", ("address", Pages.Encode(new Uri(context.Request.RedirectUri!).GetLeftPart(UriPartial.Authority))))}</p>
        """, Pages.Button("allow", t.Html("consent.allow")) + Pages.Button("deny", t.Html("consent.deny"), isSecond: true) + Pages.Button("switch", t.Html("signin.switch"), isSecond: true)),
        [Parameters.Prompt, Parameters.MaxAge]);

    /// <param name="without">What the form does not carry on of the client's request.</param>
    async Task ShowAsync(HandleAuthorizationRequestContext context, FormPage page, string[] without)
    {
        var http = OpenIdServer.HttpOf(context);
        var t = languages.Of(http);
        if (page.Refusal?.RetryAfterSeconds is { } seconds)
            http.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        if (context.Request.RequestUri is { Length: > 0 } uri)
            await pushed.ShownAsync(http, uri, without, http.RequestAborted);
        await Pages.Page(page.Status, page.Title, $"""
            {(page.Refusal is { } refusal ? $"<p role=\"alert\" class=\"wrong\" id=\"wrong\">{Pages.Encode(t.Say(refusal))}</p>" : "")}
            {page.Text}
            <form method="post" action="authorize">
            {Carry(context.Request, without)}{Pages.Hidden("form_token", browsers.FormToken(http))}{page.Form}
            </form>
            {(page.IsSignIn ? pages.Upstreams(t, "authorize" + QueryOf(context.Request)) : "")}
            """, context.Request.RedirectUri, page.Script).ExecuteAsync(http);
        context.HandleRequest();
    }

    static string Carry(OpenIddictRequest request, string[] without) => string.Concat(PartsOf(request).Where(p => !without.Contains(p.Key)).Select(p => Pages.Hidden(p.Key, p.Value)));

    static IEnumerable<KeyValuePair<string, string>> PartsOf(OpenIddictRequest request)
    {
        foreach (var name in request.RequestUri is { Length: > 0 } ? CarriedPushed : Carried)
            if ((string?)request[name] is { Length: > 0 } value)
                yield return KeyValuePair.Create(name, value);
    }

    static string QueryOf(OpenIddictRequest request) => QueryString.Create(PartsOf(request).Select(p => KeyValuePair.Create(p.Key, (string?)p.Value))).Value ?? "";

    /// <returns>The request at an address of this server, not checked; null: it is another page's.</returns>
    public static OpenIddictRequest? RequestOf(string to) => to.StartsWith(Page, StringComparison.Ordinal) ? new OpenIddictRequest(QueryHelpers.ParseQuery(to[Page.Length..])) : null;

    /// <summary>An address for somebody who comes back to it signed in: what asked for that is done by then.</summary>
    public static string AfterSignIn(string to) => !to.StartsWith(Page, StringComparison.Ordinal) ? to : "authorize" + QueryString.Create(QueryHelpers.ParseQuery(to[Page.Length..]).Where(p => p.Key != Parameters.MaxAge)
        .Select(p => KeyValuePair.Create(p.Key, p.Key == Parameters.Prompt ? WithoutSignIn(p.Value.ToString()) : p.Value.ToString())).Where(p => p.Value is not null)).Value;

    /// <returns>What of a prompt is still to be done once somebody has signed in; null: nothing.</returns>
    public static string? WithoutSignIn(string? prompt) => prompt?.Split(' ').Contains(PromptValues.Consent) == true ? PromptValues.Consent : null;

    /// <summary>Says what is wrong to whoever is in front of it, unless it may be said to the client.</summary>
    public async ValueTask WriteAsync(ApplyAuthorizationResponseContext context)
    {
        var http = OpenIdServer.HttpOf(context);
        languages.Choose(http, context.Request?.UiLocales);
        if (TokenServer.HasFailed(http))
            context.HandleRequest();
        else if (string.IsNullOrEmpty(context.RedirectUri))
        {
            await OpenIdServer.RefuseAsync(http, "signin.cannot-go-on", ClientProblems.InvalidAuthorization, context.Response);
            context.HandleRequest();
        }
        else if (context.ResponseMode == ResponseModes.FormPost)
        {
            await Pages.Post(context.RedirectUri, context.Response.GetParameters().Select(p => KeyValuePair.Create(p.Key, (string?)p.Value ?? ""))).ExecuteAsync(http);
            context.HandleRequest();
        }
        else
            // Where the answer with the code goes, the address of this page does not.
            http.Response.Headers["Referrer-Policy"] = "no-referrer";
    }
}
