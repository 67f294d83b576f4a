using System.Collections.ObjectModel;
using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Look;
using Tandem.Users.OpenId;
using Tandem.Users.Tokens;
using static Tandem.Users.Pages;

namespace Tandem.Users.SelfService;

/// <summary>
/// The pages under /account, on which a person looks after the own account with nothing but a browser. They decide nothing: what a page does is done by the same methods as the API's. Who it is says the browser's cookie, which opens
/// these pages and nothing else; each form comes from a page that this browser was shown, and what is dangerous takes a fresh sign-in first.
/// </summary>
sealed class AccountPages(IEnumerable<IAccountPage> all, Browsers browsers, SignInPages signIns, Sessions sessions, UserTable users, Theme theme, UsersOptions options, TimeProvider clock)
{
    readonly IAccountPage[] _pages = [.. all];

    public static void Map(IEndpointRouteBuilder routes)
    {
        string[] methods = ["GET", "POST"];
        var account = routes.MapGroup("/account").AllowAnonymous().ExcludeFromDescription();
        account.MapMethods("", methods, (HttpContext context, AccountPages pages) => pages.AnswerAsync(context, ""));
        account.MapMethods("{page}", methods, (string page, HttpContext context, AccountPages pages) => pages.AnswerAsync(context, page));
    }

    async Task<IResult> AnswerAsync(HttpContext http, string name)
    {
        var (request, ct, t) = (http.Request, http.RequestAborted, Language.Of(http));
        if (Array.Find(_pages, p => p.Name == name && p.IsThere(options)) is not { } page)
            return Problem.Of(HttpProblems.NotFound);
        // The links of a page are relative to its address.
        if (HttpMethods.IsGet(request.Method) && request.Path.Value!.EndsWith('/')) // a request that was routed has one
            return Go(http, name.Length == 0 ? "../account" : $"../{name}");
        var form = HttpMethods.IsPost(request.Method) && Forms.IsUrlEncoded(request) ? await Forms.ReadAsync(request) : null;
        var browser = await browsers.FindAsync(http, ct);
        var account = browser is null ? null : await users.FindAsync(browser.AccountId, ct);
        if (name.Length == 0 && (form is not null ? form.ContainsKey("to") : request.Query.ContainsKey("to") || account is null))
            return await SignInAsync(http, t, form, browser, account);
        if (browser is null || account is null || page.IsDangerous && !await sessions.IsFreshAsync(browser.SessionId, clock.UtcNow(), ct))
            return Go(http, $"{(name.Length == 0 ? "" : "../")}account?to={name}");

        http.Features.Set(new Caller(account.Id, browser.SessionId, false, []));
        var visit = new Visit(http, t, account, browser.SessionId, name, browsers.FormToken(http));
        if (form is null)
            return await ShowAsync(page, visit);
        if (!browsers.IsOwnForm(http, form["form_token"].ToString()))
            return visit.Done("stale");
        try
        {
            return await page.AnswerAsync(visit, form["action"].ToString(), form);
        }
        catch (FormFaultException e)
        {
            return await ShowAsync(page, visit with { Status = 422, Faults = e.Faults, Typed = form });
        }
        catch (ProblemException e)
        {
            if (e.Result.RetryAfterSeconds is { } seconds)
                http.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
            return await ShowAsync(page, visit with { Status = e.Result.Problem.Status, Wrong = t.Say(e.Result), Typed = form });
        }
    }

    async Task<IResult> ShowAsync(IAccountPage page, Visit visit) => Show(page, visit, await page.ShowAsync(visit));

    /// <summary>A page of the account, with the links to the others above it.</summary>
    IResult Show(IAccountPage page, Visit visit, View view)
    {
        var t = visit.T;
        var links = string.Concat(_pages.Where(p => p.IsThere(options)).Select(p =>
            $"<li><a href=\"{visit.To(p.Name)}\"{(p == page ? " aria-current=\"page\"" : "")}>{t.Html(p.Name.Length == 0 ? "account.overview" : $"{p.Key}.nav")}</a></li>\n"));
        var done = visit.Http.Request.Query["done"].ToString() is { Length: > 0 and <= 40 } what && HttpMethods.IsGet(visit.Http.Request.Method) ? t.Find(what == "stale" ? "account.stale" : $"{page.Key}.done-{what}") : null;
        return Page(visit.Status, view.Title, $"""
            {(visit.Wrong is { } wrong ? $"<p role=\"alert\" class=\"wrong\" id=\"wrong\">{Encode(wrong)}</p>" : visit.Faults.Count > 0 ? $"<p role=\"alert\" class=\"wrong\">{t.Html("field.look")}</p>" : "")}
            {(done is null ? "" : $"<p role=\"status\" class=\"done\">{Encode(done)}</p>")}
            {view.Body}
            """, script: view.Script, navigation: $"<ul>\n{links}</ul>\n");
    }

    /// <summary>The sign-in in front of the pages, also for whoever is signed in and has to show it once more.</summary>
    async Task<IResult> SignInAsync(HttpContext http, Language t, IFormCollection? form, Browser? browser, Account? account)
    {
        var ct = http.RequestAborted;
        // Where it goes on is one of our own pages, whatever an address says.
        var asked = form is null ? http.Request.Query["to"].ToString() : form["to"].ToString();
        var to = Array.Find(_pages, p => p.Name == asked && p.IsThere(options)) ?? _pages[0];
        FormPage? page = null;
        if (form is not null && browsers.IsOwnForm(http, form["form_token"].ToString()))
        {
            (var session, page) = await signIns.AnswerAsync(http, theme.Product, form["action"].ToString(), form);
            if (session is not null)
            {
                await browsers.BeginAsync(http, session, browser, ct);
                return Go(http, Address(to));
            }
        }
        else if (form is null)
        {
            page = signIns.Waiting(http);
            if (page is null && browser is not null && account is not null && (!to.IsDangerous || await sessions.IsFreshAsync(browser.SessionId, clock.UtcNow(), ct)))
                return Go(http, Address(to));
        }

        page ??= signIns.Password(t, theme.Product, account?.Email ?? "", form is null || form["action"] == "switch" ? null : Problem.Of(HttpProblems.BadRequest, t.Say("signin.stale")));
        if (page.Refusal?.RetryAfterSeconds is { } seconds)
            http.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        return Page(page.Status, page.Title, $"""
            {(page.Refusal is { } refusal ? $"<p role=\"alert\" class=\"wrong\" id=\"wrong\">{Encode(t.Say(refusal))}</p>" : account is not null && page.IsSignIn ? $"<p>{t.Html("account.again")}</p>" : "")}
            {page.Text}
            <form method="post" action="account">
            {Hidden("to", to.Name)}{Hidden("form_token", browsers.FormToken(http))}{page.Form}
            </form>
            {(page.IsSignIn ? signIns.Upstreams(t, $"account?to={to.Name}") : "")}
            """, script: page.Script);
    }

    static string Address(IAccountPage page) => page.Name.Length == 0 ? "account" : $"account/{page.Name}";

    static IResult Go(HttpContext http, string address)
    {
        http.Response.Headers.CacheControl = "no-store";
        return Results.Redirect(address);
    }
}

/// <summary>A page of the account.</summary>
interface IAccountPage
{
    /// <summary>Its address under /account; empty for the first.</summary>
    string Name { get; }

    /// <summary>Its sentences begin with it: <c>.title</c>, <c>.nav</c>, <c>.done-…</c>.</summary>
    string Key { get; }

    /// <summary>It takes a sign-in that is not older than <see cref="UsersOptions.StepUpAfter"/>.</summary>
    bool IsDangerous { get; }

    bool IsThere(UsersOptions options) => true;

    Task<View> ShowAsync(Visit visit);

    /// <summary>Answers a button of the page.</summary>
    /// <exception cref="FormFaultException">Fields are filled in wrongly: the page is shown again.</exception>
    /// <exception cref="ProblemException">It cannot be done: the page is shown again, with why.</exception>
    Task<IResult> AnswerAsync(Visit visit, string action, IFormCollection form);
}

/// <param name="Title">Plain text.</param>
/// <param name="Body">HTML.</param>
/// <param name="Script">See <see cref="Page"/>.</param>
sealed record View(string Title, string Body, string? Script = null);

/// <summary>Somebody's request for a page of the account.</summary>
/// <param name="Session">The browser's.</param>
/// <param name="Page">Its name.</param>
/// <param name="FormToken">What each form carries.</param>
sealed record Visit(HttpContext Http, Language T, Account Account, Guid Session, string Page, string FormToken)
{
    public int Status { get; init; } = 200;

    /// <summary>Why nothing was done; null: nothing is wrong.</summary>
    public string? Wrong { get; init; }

    /// <summary>What is wrong with which field.</summary>
    public IReadOnlyDictionary<string, string[]> Faults { get; init; } = ReadOnlyDictionary<string, string[]>.Empty;

    /// <summary>What was filled in, where the page is shown again.</summary>
    public IFormCollection Typed { get; init; } = FormCollection.Empty;

    public CancellationToken Ct => Http.RequestAborted;

    /// <summary>In front of addresses that are not of the account: relative, because nobody says here what stands in front of all of them.</summary>
    public string Root => Page.Length == 0 ? "" : "../";

    /// <summary>The address of a page of the account.</summary>
    public string To(string page) => page.Length == 0 ? $"{Root}account" : Page.Length == 0 ? $"account/{page}" : page;

    /// <summary>A form of this page.</summary>
    /// <param name="inner">HTML.</param>
    public string Form(string inner) => $"<form method=\"post\" action=\"{To(Page)}\">\n{Hidden("form_token", FormToken)}{inner}</form>\n";

    /// <summary>It is done: the browser gets the page anew, with a sentence that says so. Reloading that does nothing twice.</summary>
    public IResult Done(string what, string more = "")
    {
        Http.Response.Headers.CacheControl = "no-store";
        return Results.Redirect($"{To(Page)}?done={what}{more}");
    }

    /// <summary>An answer that is shown once, and that no address leads to.</summary>
    public IResult Show(string title, string body) => Pages.Page(Status, title, body);

    /// <summary>HTML: a time as people and programs read it, in UTC.</summary>
    public static string Time(DateTime utc) => string.Create(CultureInfo.InvariantCulture, $"<time datetime=\"{utc:yyyy-MM-dd'T'HH:mm:ss'Z'}\">{utc:yyyy-MM-dd HH:mm} UTC</time>");
}

/// <summary>A form was filled in wrongly.</summary>
/// <param name="faults">By field, as people read it.</param>
sealed class FormFaultException(IReadOnlyDictionary<string, string[]> faults) : Exception("A form was filled in wrongly.")
{
    public IReadOnlyDictionary<string, string[]> Faults => faults;

    public static void ThrowIfAny(IReadOnlyDictionary<string, string[]> faults)
    {
        if (faults.Count > 0)
            throw new FormFaultException(faults);
    }
}
