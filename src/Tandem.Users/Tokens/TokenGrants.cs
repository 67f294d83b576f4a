using System.Globalization;
using System.Security.Claims;
using Microsoft.AspNetCore;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.OpenId;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.Tokens;

/// <summary>Decides who gets a token, and says so in the contract's words. OpenIddict has read and checked the request and makes the tokens.</summary>
sealed class TokenGrants(UserTable users, Passwords passwords, Sessions sessions, ClientGrants clients, SignInLimits limits, FailedSignIns failures, UsersOptions options,
    TimeProvider clock, ILogger<TokenGrants> logger)
{
    const string SessionClaim = ClientGrants.SessionClaim;
    const string GenerationClaim = ClientGrants.GenerationClaim;
    const string AnswerProperty = "tandem:answer";

    /// <summary>A form with a user name and no grant_type is a password grant: that is how FastAPI's forms are sent.</summary>
    public static ValueTask AssumePassword(ExtractTokenRequestContext context)
    {
        if (context.Request is { GrantType: null or "" } request)
            request.GrantType = GrantTypes.Password;
        // It is the person that signs in; a token must not say that it was handed to a client that has proved nothing.
        if (context.Request?.IsPasswordGrantType() == true)
            (context.Request.ClientId, context.Request.ClientSecret) = (null, null);
        return ValueTask.CompletedTask;
    }

    public async ValueTask DecideAsync(HandleTokenRequestContext context)
    {
        var http = context.Transaction.GetHttpRequest()?.HttpContext ?? throw new InvalidOperationException("A token request without its HTTP request.");
        try
        {
            if (await clients.GrantAsync(context) is { } granted)
            {
                context.SignIn(granted);
                return;
            }

            var session = context.Request.IsRefreshTokenGrantType()
                ? await RefreshAsync(context.Principal, http)
                : await SignInAsync(context.Request, http);
            context.SignIn(clients.Continue(context.Principal, session, context.Request) ?? Principal(session));
        }
        catch (ProblemException e)
        {
            context.Transaction.SetProperty(AnswerProperty, e.Result);
            context.Reject(e.Result.Problem.Status == 400 ? Errors.InvalidGrant : Errors.TemporarilyUnavailable, e.Result.Detail);
        }
        catch (Exception e)
        {
            // A store that is down, a client that has gone: answered and logged once, by the edge, and not by OpenIddict on the way there.
            TokenServer.Fail(http, e);
            context.Reject(Errors.ServerError);
        }
    }

    /// <summary>Checks an e-mail and a password and opens a session; the sign-in page does it by the same limits.</summary>
    /// <exception cref="ProblemException">They are wrong, or there were too many wrong ones.</exception>
    public async Task<Session> SignInAsync(OpenIddictRequest request, HttpContext http)
    {
        // OpenIddict has refused requests without them.
        var (email, password, ct) = (request.Username ?? "", request.Password ?? "", http.RequestAborted);
        // Nobody signs up with such: it is answered like a wrong password, after the same work.
        var possible = email.Length <= 254 && !email.Contains('\0') && password.Length <= Passwords.MaxLength;
        var (address, origin) = (ClientAddress.Of(http), Origin.Of(http));
        var account = possible ? await users.FindCredentialsAsync(email, ct) : null;
        var attempt = await limits.TakeAsync(address, email.Length <= 254 ? email : "", async () => account is not null && await sessions.KnowsAddressAsync(account.Id, address, ct));
        if (attempt.Limit is { Allowed: false } limit)
        {
            limit.WriteHeaders(http.Response, attempt.Policy);
            failures.Add(account?.Id, origin, "too many attempts");
            throw new ProblemException(HttpProblems.TooManyRequests, "Too many failed sign-ins; try again after the time in Retry-After.",
                retryAfterSeconds: limit.Refusal().RetryAfterSeconds);
        }

        var (session, wasRight) = await OpenAsync(possible ? password : "", account, address, origin, ct);
        if (session is null)
        {
            failures.Add(account?.Id, origin, account is null ? "no such account" : wasRight ? "not active" : "wrong password");
            throw new ProblemException(UserProblems.InvalidGrant);
        }

        if (attempt.SucceededAsync is { } succeeded)
            await succeeded();
        return session;
    }

    /// <returns>No session for a wrong password, an account that is not there or not active.</returns>
    async Task<(Session? Session, bool WasRight)> OpenAsync(string password, Credentials? account, string address, Origin origin, CancellationToken ct)
    {
        for (var isFirst = true; ; isFirst = false)
        {
            var check = await passwords.CheckAsync(password, account?.PasswordHash, ct);
            if (!check.IsRight || account is null)
                return (null, false);
            if (await sessions.OpenAsync(account.Id, account.PasswordHash, check.Better, null, address, options.AccessTokenLifetime, origin, clock.UtcNow(), ct) is { } session)
                return (session, true);
            // Of two first sign-ins at once one replaces the hash that both were checked against: the other is checked once more, against the new one.
            var now = isFirst && Passwords.IsWeak(account.PasswordHash) ? await users.FindCredentialsAsync(account.Id, ct) : null;
            if (now is null || now.PasswordHash == account.PasswordHash)
                return (null, true);
            account = now;
        }
    }

    async Task<Session> RefreshAsync(ClaimsPrincipal? token, HttpContext http)
    {
        if (!Guid.TryParse(token?.GetClaim(SessionClaim), out var id)
            || !int.TryParse(token.GetClaim(GenerationClaim), NumberStyles.None, CultureInfo.InvariantCulture, out var generation))
            throw new ProblemException(UserProblems.InvalidRefreshToken);
        var refresh = await sessions.RefreshAsync(id, generation, Origin.Of(http), clock.UtcNow(), http.RequestAborted);
        if (refresh.ReplayedAccountId is { } account)
            logger.RefreshTokenReplayed(id, account);
        return refresh.Session ?? throw new ProblemException(UserProblems.InvalidRefreshToken);
    }

    ClaimsPrincipal Principal(Session session)
    {
        var identity = new ClaimsIdentity("Bearer", Claims.Name, Claims.Role);
        identity.SetClaim(Claims.Subject, session.AccountId.ToString(CultureInfo.InvariantCulture));
        identity.SetClaim(SessionClaim, session.Id.ToString());
        identity.SetClaim(GenerationClaim, session.Generation.ToString(CultureInfo.InvariantCulture));
        if (session.ActsAsAdministrator)
            identity.SetClaim(Claims.Role, TokenServer.Administrator);
        identity.SetScopes([Scopes.OfflineAccess, .. session.Scopes?.Split(' ') ?? []]);
        identity.SetResources(TokenServer.Audience);
        // A claim without a destination stays in the refresh token; the generation is nobody else's business.
        identity.SetDestinations(static claim => claim.Type == GenerationClaim ? [] : [Destinations.AccessToken]);
        return new ClaimsPrincipal(identity);
    }

    /// <summary>Runs before OpenIddict writes its JSON: failures become problems, and a success says what the contract says.</summary>
    public async ValueTask WriteAsync(ApplyTokenResponseContext context)
    {
        var response = context.Response;
        if (response.Error is null)
        {
            response.TokenType = "bearer";
            // The contract has four members. A client is told what it got.
            if (string.IsNullOrEmpty(context.Request?.ClientId))
                response.Scope = null;
            // Counted from a moment later it would be a second less.
            response.ExpiresIn = (long)options.AccessTokenLifetime.TotalSeconds;
            return;
        }

        var http = context.Transaction.GetHttpRequest()?.HttpContext ?? throw new InvalidOperationException("A token response without its HTTP request.");
        if (TokenServer.HasFailed(http))
        {
            context.HandleRequest();
            return;
        }

        var known = context.Transaction.GetProperty<ProblemResult>(AnswerProperty) ?? Explain(http.Request, context.Request, response);
        http.Response.Headers.CacheControl = "no-store";
        if (!string.IsNullOrEmpty(context.Request?.ClientId))
            OpenIdServer.SpeakAsClientsRead(http);
        if (known.Problem.Status == 401)
            http.Response.Headers.WWWAuthenticate = "Basic realm=\"tandem\"";
        await new ProblemResult(known.Problem, known.Detail, null)
        {
            RetryAfterSeconds = known.RetryAfterSeconds,
            // RFC 6749, 5.2: what OAuth clients read.
            Members = new Dictionary<string, string> { ["error"] = response.Error, ["error_description"] = known.Detail },
        }.ExecuteAsync(http);
        context.HandleRequest();
    }

    /// <summary>What OpenIddict has refused by itself.</summary>
    static ProblemResult Explain(HttpRequest request, OpenIddictRequest? asked, OpenIddictResponse response)
    {
        if (!Forms.IsUrlEncoded(request))
            return Problem.Of(UserProblems.FormWanted);
        return response.Error switch
        {
            Errors.InvalidGrant when asked?.IsAuthorizationCodeGrantType() == true => Problem.Of(ClientProblems.InvalidCode),
            Errors.InvalidGrant => Problem.Of(UserProblems.InvalidRefreshToken),
            Errors.InvalidClient => Problem.Of(UserProblems.InvalidClient),
            _ => Problem.Of(UserProblems.InvalidTokenRequest, response.ErrorDescription),
        };
    }
}
