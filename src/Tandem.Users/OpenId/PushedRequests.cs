using System.Security.Claims;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using OpenIddict.Abstractions;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Users.Tickets;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.OpenId;

/// <summary>
/// Requests that clients have sent here themselves, before the person comes (RFC 9126): OpenIddict checks them as it would at /authorize, and gets back what is stored here. A request belongs to
/// the first browser that is shown a page of it, and to no other; with the answer to the client it is gone.
/// </summary>
sealed class PushedRequests(Db db, Browsers browsers, TimeProvider clock)
{
    /// <summary>Enough to send a browser here, too short to find a use for what was read in some log.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(90);

    // A person has to find its password, and maybe a second step.
    static readonly TimeSpan OpenFor = TimeSpan.FromMinutes(30);

    /// <summary>The longest request that is kept, in characters of JSON. An ID token as a hint has about a thousand.</summary>
    const int MaxLength = 16_384;

    /// <returns>What is wrong with the size of a request; null: nothing.</returns>
    public static string? FaultOf(OpenIddictRequest request) => request.GetParameters().Sum(p => p.Key.Length + (((string?)p.Value)?.Length ?? 0)) > MaxLength / 2
        ? $"The request has more than {MaxLength / 2} characters."
        : null;

    /// <summary>Stores a request instead of having it written into its request_uri.</summary>
    public async ValueTask KeepAsync(GenerateTokenContext context)
    {
        if (context.TokenType != TokenTypeIdentifiers.Private.RequestToken)
            return;
        var request = context.Principal.GetClaim(Claims.Private.RequestParameters) ?? throw new InvalidOperationException("A request without its parameters.");
        var (handle, expires) = (Secret.New(), clock.UtcNow() + Lifetime);
        await db.ExecuteAsync($"""
            insert into users_pushed_requests (digest, client_id, request, expires_at) values ({Secret.Digest(handle)}, {context.ClientId}, {request}, {expires})
            """, OpenIdServer.HttpOf(context).RequestAborted);
        context.Token = handle;
    }

    /// <summary>Hands a stored request back, to the browser that it belongs to.</summary>
    public async ValueTask OpenAsync(ValidateTokenContext context)
    {
        if (!context.ValidTokenTypes.SetEquals([TokenTypeIdentifiers.Private.RequestToken]))
            return;
        var (http, now) = (OpenIdServer.HttpOf(context), clock.UtcNow());
        var browser = Secret.Digest(browsers.FormToken(http));
        var request = await db.InTransactionAsync(tx => tx.FindAsync<string>($"""
            update users_pushed_requests set browser_digest = {browser}, expires_at = case when browser_digest is null then {now + OpenFor} else expires_at end
            where digest = {Secret.Digest(context.Token)} and expires_at > {now} and (browser_digest is null or browser_digest = {browser})
            returning request
            """, http.RequestAborted), http.RequestAborted);
        if (request is null)
        {
            context.Reject(Errors.InvalidRequestUri, "request_uri is not known, was used before or has expired; go back to the application and start again.");
            return;
        }

        var identity = new ClaimsIdentity("Pushed");
        identity.SetTokenType(TokenTypeIdentifiers.Private.RequestToken);
        identity.SetClaim(Claims.Private.RequestTokenType, RequestTokenTypes.Private.PushedAuthorizationRequest);
        identity.SetClaim(Claims.Private.RequestParameters, request);
        context.Principal = new ClaimsPrincipal(identity);
    }

    /// <summary>Says that a page of the request is shown, under the cookie that the browser has by now.</summary>
    /// <param name="without">What was done, and is not to be asked for again.</param>
    public async Task ShownAsync(HttpContext http, string requestUri, string[] without, CancellationToken ct)
    {
        var digest = DigestOf(requestUri);
        if (await db.FindAsync<string>($"select request from users_pushed_requests where digest = {digest}", ct) is not { } text || JsonNode.Parse(text) is not JsonObject request)
            return;
        foreach (var name in without)
            request.Remove(name);
        await db.ExecuteAsync($"update users_pushed_requests set browser_digest = {Secret.Digest(browsers.FormToken(http))}, request = {request.ToJsonString()} where digest = {digest}", ct);
    }

    /// <returns>What was asked for, where it belongs to that browser; null: nothing such is kept.</returns>
    /// <param name="browser">The digest of what its cookie shows.</param>
    public async Task<OpenIddictRequest?> FindAsync(string requestUri, string browser, CancellationToken ct) => requestUri.StartsWith(RequestUris.Prefixes.Generic, StringComparison.Ordinal)
        && await db.FindAsync<string>($"select request from users_pushed_requests where digest = {DigestOf(requestUri)} and browser_digest = {browser}", ct) is { } text && JsonNode.Parse(text) is JsonObject request
        ? new OpenIddictRequest(request)
        : null;

    /// <summary>Says that the browser that a request belongs to has signed in on the way, and so has another cookie. What asked for that sign-in is done.</summary>
    /// <param name="before">The digest of what its cookie showed before.</param>
    public async Task SignedInAsync(HttpContext http, string requestUri, string before, CancellationToken ct)
    {
        if (!requestUri.StartsWith(RequestUris.Prefixes.Generic, StringComparison.Ordinal))
            return;
        var digest = DigestOf(requestUri);
        if (await db.FindAsync<string>($"select request from users_pushed_requests where digest = {digest} and browser_digest = {before}", ct) is not { } text || JsonNode.Parse(text) is not JsonObject request)
            return;
        request.Remove(Parameters.MaxAge);
        if (request.Remove(Parameters.Prompt, out var prompt) && Authorization.WithoutSignIn((string?)prompt) is { } rest)
            request[Parameters.Prompt] = rest;
        await db.ExecuteAsync($"update users_pushed_requests set browser_digest = {Secret.Digest(browsers.FormToken(http))}, request = {request.ToJsonString()} where digest = {digest} and browser_digest = {before}", ct);
    }

    /// <returns>False when it was answered before.</returns>
    public async Task<bool> UseUpAsync(string requestUri, CancellationToken ct) =>
        await db.ExecuteAsync($"delete from users_pushed_requests where digest = {DigestOf(requestUri)}", ct) == 1;

    /// <summary>Deletes requests that have expired, a bounded number at a time.</summary>
    public async Task SweepAsync(CancellationToken ct)
    {
        const int BatchSize = 500;
        while (await db.ExecuteAsync($"delete from users_pushed_requests where digest in (select digest from users_pushed_requests where expires_at < {clock.UtcNow()} limit {BatchSize})", ct) == BatchSize)
        {
        }
    }

    static string DigestOf(string requestUri) => Secret.Digest(requestUri[RequestUris.Prefixes.Generic.Length..]);
}
