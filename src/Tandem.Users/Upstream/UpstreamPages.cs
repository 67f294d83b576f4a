using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Look;
using Tandem.Users.OpenId;
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static Tandem.Users.Pages;

namespace Tandem.Users.Upstream;

/// <summary>
/// A browser's way to a provider and back. It leaves by a link, because browsers hold the redirects that follow a form to the policy of its page, and nobody knows where a provider sends people on to. What it comes back
/// with is taken from the browser that left, for the provider that it was sent to, and once.
/// </summary>
sealed class UpstreamPages(Providers providers, UpstreamLogins logins, Browsers browsers, SignIns signIns, PushedRequests pushed, SignInLimits signInLimits, FailedSignIns failures, IRateLimits limits,
    UsersOptions options, TimeProvider clock, ILogger<UpstreamPages> logger)
{
    // What a client asks for at /authorize has a few hundred characters; a server takes a line of eight thousand.
    const int MaxReturn = 6000;

    /// <summary>Sends a browser to a provider: to sign in and go on at <paramref name="to"/>, or, with a handle, to add a login to its account.</summary>
    /// <param name="proof">Says that this browser was shown the page that asks for that.</param>
    public async Task<IResult> BeginAsync(HttpContext http, string name, string? to, string? handle, string? proof)
    {
        var ct = http.RequestAborted;
        if (providers.Find(name) is not { } provider)
            return Refuse(http, Problem.Of(UserProblems.UpstreamNotFound), null);
        if (await limits.RefuseAsync(http, "client-requests", ClientAddress.Of(http), options.RequestsPerMinutePerAddress, TimeSpan.FromMinutes(1)) is { } refusal)
            return Refuse(http, refusal, null);
        var form = browsers.FormToken(http);
        var (begun, demand) = (new Begun(name, Secret.Digest(form), Secret.New(), Secret.New(), null, null, null), Demand.None);
        if (handle is null)
        {
            if (!MayReturnTo(to))
                return Refuse(http, Problem.Of(UserProblems.UpstreamRefused, Language.Of(http).Say("upstream.begin-there")), null);
            demand = await DemandOfAsync(to!, begun.BrowserDigest, ct); // MayReturnTo says that there is one
            begun = begun with { ReturnTo = to, FreshSince = demand.FreshSince(clock.UtcNow()), NeedsAuthTime = demand.MaxAge is not null };
            // Whoever is signed in and is shown a sign-in all the same has to show who he is, or who else.
            if (demand is { Prompt: null, MaxAge: null } && await browsers.FindAsync(http, ct) is not null)
                demand = demand with { Prompt = PromptValues.Login };
        }
        else if (Secret.Same(Secret.Digest(proof ?? ""), Secret.Digest(ProofOf(form, handle))) && await logins.OpenAsync(name, handle, ct) is var (account, session))
            begun = begun with { AccountId = account.Id, SessionId = session };
        else
            return Refuse(http, Problem.Of(UserProblems.LinkInvalid), null);

        try
        {
            // First the address: nothing is kept for a provider that is away.
            var state = Secret.New();
            var address = await provider.AddressAsync(CallbackOf(http, name), state, begun, demand, ct);
            await logins.BeginAsync(state, begun, ct);
            return Go(http, address);
        }
        catch (UpstreamException e)
        {
            return Refuse(http, provider, e, begun.ReturnTo);
        }
    }

    /// <summary>Takes a browser that comes back from a provider.</summary>
    public async Task<IResult> ReturnAsync(HttpContext http, string name)
    {
        var (ct, t, address, origin, answer) = (http.RequestAborted, Language.Of(http), ClientAddress.Of(http), Origin.Of(http), http.Request.Query);
        if (providers.Find(name) is not { } provider)
            return Refuse(http, Problem.Of(UserProblems.UpstreamNotFound), null);
        await signInLimits.RefuseExhaustedAsync(address, http.Response);
        var browser = Secret.Digest(browsers.FormToken(http));
        if (answer["state"].ToString() is not { Length: > 0 and <= 100 } state || await logins.TakeAsync(state, name, browser, ct) is not { } begun)
        {
            await signInLimits.FailedAsync(address);
            failures.Add(null, origin, $"by upstream {name}: unknown state");
            return Refuse(http, Problem.Of(UserProblems.UpstreamRefused, t.Say("upstream.unknown")), null);
        }

        try
        {
            var identity = await provider.TakeAsync(answer, CallbackOf(http, name), begun, ct);
            if (begun is { AccountId: { } owner, SessionId: { } asking })
            {
                var email = await logins.LinkAsync(owner, asking, provider, identity, t, origin, ct);
                return Page(200, t.Say("upstream.added-title", ("provider", TitleOf(provider))), $"<p>{t.Html("upstream.added-text", ("email", Strong(email)))}</p>");
            }

            var account = await logins.EnterAsync(provider, identity, t, origin, ct);
            var signIn = await signIns.ByUpstreamAsync(account, name, identity.SignedInAt, provider.Options.TrustSecondStep && identity.HasTwoSteps, http);
            if (signIn.IsUnverified)
                return Refuse(http, Problem.Of(UserProblems.EmailNotVerified), begun.ReturnTo);
            // Its page is shown where the sign-in goes on: the client's request is checked there first.
            if (signIn.Session is not { } session)
                return Go(http, BackTo(QueryHelpers.AddQueryString(begun.ReturnTo!, "handle", signIn.Handle!))); // one of the two is there, and so is where a sign-in goes on
            await browsers.BeginAsync(http, session, await browsers.FindAsync(http, ct), ct);
            var to = begun.ReturnTo!; // as above
            if (QueryHelpers.ParseQuery(to[(to.IndexOf('?', StringComparison.Ordinal) + 1)..]).TryGetValue("request_uri", out var uri))
                await pushed.SignedInAsync(http, uri.ToString(), browser, ct);
            return Go(http, BackTo(Authorization.AfterSignIn(to)));
        }
        catch (UpstreamException e)
        {
            if (e.IsRefused)
                await signInLimits.FailedAsync(address);
            failures.Add(begun.AccountId, origin, $"by upstream {name}: {e.Reason}");
            return Refuse(http, provider, e, begun.ReturnTo);
        }
        catch (ProblemException e)
        {
            // What SignIns refuses it has noted.
            if (e.Result.Problem != UserProblems.InvalidGrant)
                failures.Add(begun.AccountId, origin, $"by upstream {name}: {e.Result.Problem.Code}");
            return Refuse(http, e.Result, begun.ReturnTo);
        }
    }

    /// <summary>Shows whose account a login is to be added to: an address can be sent to somebody else, whose login would then open an account that is not his.</summary>
    public async Task<IResult> AskAsync(HttpContext http, string name, string? handle)
    {
        if (providers.Find(name) is not { } provider)
            return Refuse(http, Problem.Of(UserProblems.UpstreamNotFound), null);
        if (handle is null || await logins.OpenAsync(name, handle, http.RequestAborted) is not var (account, _))
            return Refuse(http, Problem.Of(UserProblems.LinkInvalid), null);
        var t = Language.Of(http);
        var address = QueryHelpers.AddQueryString($"../{name}", new Dictionary<string, string?> { ["handle"] = handle, ["proof"] = ProofOf(browsers.FormToken(http), handle) });
        return Page(200, t.Say("upstream.add-title", ("provider", TitleOf(provider))), $"""
            <p>{t.Html("upstream.add-text", ("email", Strong(account.Email)))}</p>
            <p><a class="button" href="{Encode(address)}">{t.Html("signin.upstream", ("provider", Encode(TitleOf(provider))))}</a></p>
            """);
    }

    /// <summary>What the client's request that goes on at an address wants of the sign-in: it is read where it stands, so that whoever is to be asked again cannot leave that out.</summary>
    async Task<Demand> DemandOfAsync(string to, string browser, CancellationToken ct)
    {
        if (Authorization.RequestOf(to) is not { } request)
            return Demand.None;
        return request.RequestUri is not { Length: > 0 } uri ? Demand.Of(request) : await pushed.FindAsync(uri, browser, ct) is { } kept ? Demand.Of(kept) : Demand.None;
    }

    IResult Refuse(HttpContext http, Provider provider, UpstreamException e, string? to)
    {
        logger.UpstreamFailed(provider.Name, e.Reason, e.Detail, e.InnerException?.Message);
        var said = Language.Of(http).Say(e.IsRefused ? "upstream.refused" : "upstream.unavailable", ("provider", TitleOf(provider)), ("reason", e.Say(Language.Of(http))));
        return Refuse(http, Problem.Of(e.IsRefused ? UserProblems.UpstreamRefused : UserProblems.UpstreamUnavailable, said), to);
    }

    /// <summary>A page for people, with the way back to where they began; a problem for programs.</summary>
    static IResult Refuse(HttpContext http, ProblemResult problem, string? to)
    {
        http.Response.Headers.CacheControl = "no-store";
        var t = Language.Of(http);
        return AreWanted(http.Request)
            ? Page(problem.Problem.Status, t.Say("signin.cannot-go-on"), $"<p role=\"alert\">{Encode(t.Say(problem))}</p>{(to is null ? "" : $"\n<p><a class=\"button\" href=\"{Encode(BackTo(to))}\">{t.Html("upstream.back")}</a></p>")}")
            : problem;
    }

    static IResult Go(HttpContext http, string address)
    {
        http.Response.Headers.CacheControl = "no-store";
        http.Response.Headers["Referrer-Policy"] = "no-referrer";
        return Results.Redirect(address);
    }

    /// <summary>Only to where these pages' sign-ins begin, on this server.</summary>
    static bool MayReturnTo(string? to) => to is { Length: <= MaxReturn } && (to is "device" or "account" || to.StartsWith("device?", StringComparison.Ordinal) || to.StartsWith("account?", StringComparison.Ordinal) || to.StartsWith("authorize?", StringComparison.Ordinal))
        && to.All(c => c is > ' ' and <= '~' and not '\\' and not '#');

    /// <summary>From the callback's address, whatever this server is called and whatever stands in front of its paths.</summary>
    static string BackTo(string to) => $"../../../{to}";

    string CallbackOf(HttpContext http, string name) => $"{options.AddressFor(http.Request)}/auth/upstream/{name}/callback";

    static string ProofOf(string form, string handle) => Secret.Digest($"add a login {form} {handle}");

    static string TitleOf(Provider provider) => provider.Options.Title ?? provider.Name;
}
