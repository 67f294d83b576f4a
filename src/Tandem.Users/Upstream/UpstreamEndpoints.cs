using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.SecondSteps;

namespace Tandem.Users.Upstream;

/// <summary>A person's logins at other providers, and the addresses that a browser meets on its way there and back.</summary>
static class UpstreamEndpoints
{
    public static void MapUpstream(this IEndpointRouteBuilder routes)
    {
        var browser = routes.MapGroup("/auth/upstream/{name}").AllowAnonymous().ExcludeFromDescription();
        browser.MapGet("", (string name, HttpContext context, UpstreamPages pages, string? to = null, string? handle = null, string? proof = null) => pages.BeginAsync(context, name, to, handle, proof));
        browser.MapGet("callback", (string name, HttpContext context, UpstreamPages pages) => pages.ReturnAsync(context, name));
        browser.MapGet("link", (string name, HttpContext context, UpstreamPages pages, string? handle = null) => pages.AskAsync(context, name, handle));

        var own = routes.MapGroup("/auth").WithTags("Logins elsewhere").InPerson();
        own.MapPost("upstream/{name}/link", Link).WithSummary("Add a login of another provider to your account: the answer says where to send the browser").FreshSignIn().Answers(UserProblems.UpstreamNotFound);
        own.MapGet("upstreams", List).WithSummary("Your logins at other providers, the oldest first");
        own.MapDelete("upstreams/{id}", Remove).WithSummary("Remove a login of another provider: it signs in no more").FreshSignIn().Answers(UserProblems.UpstreamLoginNotFound, UserProblems.LastWayIn);
    }

    static async Task<Results<Ok<UpstreamLink>, ProblemResult>> Link(string name, Caller caller, HttpContext context, Providers providers, UpstreamLogins logins, UsersOptions options, CancellationToken ct)
    {
        if (providers.Find(name) is null)
            return Problem.Of(UserProblems.UpstreamNotFound);
        context.Response.Headers.CacheControl = "no-store";
        var address = $"{options.AddressFor(context.Request)}/auth/upstream/{name}/link?handle={await logins.SealAsync(name, caller, ct)}";
        return TypedResults.Ok(new UpstreamLink(address, (int)UpstreamLogins.LinkLifetime.TotalSeconds));
    }

    static async Task<Ok<UpstreamLoginView[]>> List(Caller caller, UpstreamLogins logins, UsersOptions options, CancellationToken ct) =>
        TypedResults.Ok((await logins.ListAsync(caller.AccountId, ct)).Select(l => UpstreamLoginView.Of(l, options)).ToArray());

    static async Task<Results<NoContent, ProblemResult>> Remove(Guid id, Caller caller, Origin origin, UpstreamLogins logins, CancellationToken ct) =>
        await logins.RemoveAsync(caller.AccountId, id, origin, ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.UpstreamLoginNotFound);
}

/// <summary>Where a login elsewhere is added.</summary>
/// <param name="Url">Open it in the person's browser: it asks once more, and leads to the provider.</param>
/// <param name="ExpiresIn">Seconds until it is worth nothing.</param>
public sealed record UpstreamLink(string Url, int ExpiresIn);

/// <summary>A login at another provider.</summary>
/// <param name="Id">Ours.</param>
/// <param name="Provider">Its name in the settings; null: they name it no more, and the login signs in no more.</param>
/// <param name="Title">What people call it.</param>
/// <param name="Issuer">The provider.</param>
/// <param name="Email">What the provider said last; it need not be the account's.</param>
/// <param name="CreatedAt">UTC.</param>
/// <param name="LastUsedAt">UTC.</param>
public sealed record UpstreamLoginView(Guid Id, string? Provider, string Title, string Issuer, string? Email, DateTime CreatedAt, DateTime? LastUsedAt)
{
    internal static UpstreamLoginView Of(UpstreamLogin login, UsersOptions options)
    {
        var provider = options.ProviderOf(login.Issuer);
        return new(login.Id, provider?.Name, provider?.Title ?? login.Issuer, login.Issuer, login.Email, login.CreatedAt, login.LastUsedAt);
    }
}
