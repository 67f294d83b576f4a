using System.Globalization;
using System.Security.Claims;
using System.Text.Json;
using Microsoft.AspNetCore;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.OpenId;
using Tandem.Users.Passkeys;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.Tokens;

/// <summary>Decides who gets a token, and says so in the contract's words. OpenIddict has read and checked the request and makes the tokens.</summary>
sealed class TokenGrants(SignIns signIns, Sessions sessions, ClientGrants clients, UsersOptions options, TimeProvider clock, ILogger<TokenGrants> logger)
{
    /// <summary>Signs in with <c>handle</c> and <c>code</c>: POST /auth/code gave the one and mailed the other.</summary>
    public const string EmailCode = "urn:tandem:email-code";

    /// <summary>Signs in with <c>token</c>, of the link of such a mail.</summary>
    public const string EmailLink = "urn:tandem:email-link";

    /// <summary>Goes on with <c>handle</c> and <c>code</c> where a sign-in was answered with <see cref="UserProblems.SecondStepWanted"/>.</summary>
    public const string SecondStep = "urn:tandem:second-step";

    /// <summary>Signs in with <c>handle</c>, of POST /auth/passkey/options, and <c>credential</c>, the browser's answer as JSON.</summary>
    public const string Passkey = "urn:tandem:passkey";

    const string SessionClaim = ClientGrants.SessionClaim;
    const string GenerationClaim = ClientGrants.GenerationClaim;
    const string AnswerProperty = "tandem:answer";

    /// <summary>Is it a person that signs in, and no client's business?</summary>
    public static bool IsInPerson(OpenIddictRequest request) => request.GrantType is GrantTypes.Password or EmailCode or EmailLink or SecondStep or Passkey;

    /// <summary>A form with a user name and no grant_type is a password grant: that is how FastAPI's forms are sent.</summary>
    public static ValueTask AssumePassword(ExtractTokenRequestContext context)
    {
        if (context.Request is { GrantType: null or "" } request)
            request.GrantType = GrantTypes.Password;
        // A token must not say that it was handed to a client that has proved nothing.
        if (context.Request is { } asked && IsInPerson(asked))
            (asked.ClientId, asked.ClientSecret) = (null, null);
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

            var session = context.Request.IsRefreshTokenGrantType() ? await RefreshAsync(context.Principal, http) : SessionOf(await SignInAsync(context.Request, http));
            context.SignIn(clients.Continue(context.Principal, session, context.Request) ?? Principal(session));
        }
        catch (ProblemException e)
        {
            context.Transaction.SetProperty(AnswerProperty, e.Result);
            context.Reject(ErrorOf(e.Result.Problem), e.Result.Detail);
        }
        catch (Exception e)
        {
            // A store that is down, a client that has gone: answered and logged once, by the edge, and not by OpenIddict on the way there.
            TokenServer.Fail(http, e);
            context.Reject(Errors.ServerError);
        }
    }

    static string ErrorOf(Problem problem) => problem == UserProblems.SecondStepWanted ? "mfa_required"
        : problem == UserProblems.EmailNotVerified ? Errors.AccessDenied
        : problem == UserProblems.InvalidTokenRequest || problem == ClientProblems.InvalidSubjectToken ? Errors.InvalidRequest
        : problem == ClientProblems.ScopeNotInToken ? Errors.InvalidScope
        : problem == UserProblems.InvalidClient ? Errors.InvalidClient
        : problem.Status == 400 ? Errors.InvalidGrant : Errors.TemporarilyUnavailable;

    Task<SignIn> SignInAsync(OpenIddictRequest request, HttpContext http) => request.GrantType switch
    {
        EmailCode => signIns.ByEmailCodeAsync(Text(request, "handle"), Text(request, "code"), http),
        EmailLink => signIns.ByEmailLinkAsync(Text(request, "token"), http),
        SecondStep => signIns.BySecondStepAsync(Text(request, "handle"), Text(request, "code"), http),
        Passkey => signIns.ByPasskeyAsync(Text(request, "handle", PasskeyTable.MaxHandleLength), Text(request, "credential", PasskeyTable.MaxCredentialLength), http),
        // OpenIddict has refused requests without them.
        _ => signIns.ByPasswordAsync(request.Username ?? "", request.Password ?? "", http),
    };

    static Session SessionOf(SignIn signIn) => signIn switch
    {
        { Session: { } session } => session,
        { Handle: { } handle } => throw new ProblemException(UserProblems.SecondStepWanted, members: new Dictionary<string, string> { ["handle"] = handle }),
        _ => throw new ProblemException(UserProblems.EmailNotVerified),
    };

    /// <exception cref="ProblemException">It is missing, or cannot be one of ours.</exception>
    static string Text(OpenIddictRequest request, string name, int maxLength = 100) => (string?)request[name] is { Length: > 0 } text && text.Length <= maxLength && !text.Contains('\0')
        ? text
        : throw new ProblemException(UserProblems.InvalidTokenRequest, $"This grant_type needs the parameter {name}, of at most {maxLength} characters.");

    async Task<Session> RefreshAsync(ClaimsPrincipal? token, HttpContext http) =>
        Guid.TryParse(token?.GetClaim(SessionClaim), out var id)
        && int.TryParse(token.GetClaim(GenerationClaim), NumberStyles.None, CultureInfo.InvariantCulture, out var generation)
        && await RefreshAsync(id, generation, clock.UtcNow(), http) is { } session
            ? session
            : throw new ProblemException(UserProblems.InvalidRefreshToken);

    /// <summary>Exchanges what a refresh token says.</summary>
    /// <returns>Null when it is worth nothing, any more or at all.</returns>
    public async Task<Session?> RefreshAsync(Guid id, int generation, DateTime now, HttpContext http)
    {
        var refresh = await sessions.RefreshAsync(id, generation, Origin.Of(http), now, http.RequestAborted);
        if (refresh.ReplayedAccountId is { } account)
            logger.RefreshTokenReplayed(id, account);
        return refresh.Session;
    }

    ClaimsPrincipal Principal(Session session)
    {
        var identity = new ClaimsIdentity("Bearer", Claims.Name, Claims.Role);
        identity.SetClaim(Claims.Subject, session.AccountId.ToString(CultureInfo.InvariantCulture));
        identity.SetClaim(SessionClaim, session.Id.ToString());
        identity.SetClaim(GenerationClaim, session.Generation.ToString(CultureInfo.InvariantCulture));
        TellSignIn(identity, session);
        if (session.ActsAsAdministrator)
            identity.SetClaim(Claims.Role, TokenServer.Administrator);
        identity.SetScopes([Scopes.OfflineAccess, .. session.Scopes?.Split(' ') ?? []]);
        identity.SetResources(TokenServer.Audience);
        // A claim without a destination stays in the refresh token; the generation is nobody else's business.
        identity.SetDestinations(static claim => claim.Type == GenerationClaim ? [] : [Destinations.AccessToken]);
        return new ClaimsPrincipal(identity);
    }

    /// <summary>Says when and how the person has shown who he is.</summary>
    public static void TellSignIn(ClaimsIdentity identity, Session session)
    {
        identity.SetClaim(Claims.AuthenticationTime, new DateTimeOffset(session.AuthenticatedAt).ToUnixTimeSeconds());
        if (session.Methods is { } methods)
            // As JSON: of one method alone a list of claims would be written as a text, and amr is an array (RFC 8176).
            identity.AddClaim(new Claim(Claims.AuthenticationMethodReference, JsonSerializer.Serialize(Methods.Claim(methods)), "JSON_ARRAY"));
    }

    /// <summary>Runs before OpenIddict writes its JSON: failures become problems, and a success says what the contract says.</summary>
    public async ValueTask WriteAsync(ApplyTokenResponseContext context)
    {
        var response = context.Response;
        if (response.Error is null)
        {
            response.TokenType = "bearer";
            // Of an exchanged token OpenIddict knows how long it is good, which may be less, and not what it is for.
            if (context.Transaction.GetProperty<string>(TokenExchange.GrantedProperty) is { } granted)
            {
                response.Scope = granted;
                return;
            }

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
        // RFC 8693, 2.2.2: a token that cannot be exchanged makes the request the wrong one.
        if (response.Error is Errors.InvalidGrant && context.Request?.IsTokenExchangeGrantType() == true)
            response.Error = Errors.InvalidRequest;
        http.Response.Headers.CacheControl = "no-store";
        if (!string.IsNullOrEmpty(context.Request?.ClientId))
            OpenIdServer.SpeakAsClientsRead(http);
        if (known.Problem.Status == 401)
            http.Response.Headers.WWWAuthenticate = "Basic realm=\"tandem\"";
        await new ProblemResult(known.Problem, known.Detail, null)
        {
            RetryAfterSeconds = known.RetryAfterSeconds,
            // RFC 6749, 5.2: what OAuth clients read.
            Members = new Dictionary<string, string>(known.Members ?? new Dictionary<string, string>()) { ["error"] = response.Error, ["error_description"] = known.Detail },
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
            Errors.AuthorizationPending => Problem.Of(ClientProblems.DevicePending),
            Errors.SlowDown => Problem.Of(ClientProblems.DeviceTooFast),
            Errors.ExpiredToken => Problem.Of(ClientProblems.DeviceCodeExpired),
            Errors.AccessDenied when asked?.IsDeviceCodeGrantType() == true => Problem.Of(ClientProblems.DeviceDenied),
            Errors.InvalidGrant when asked?.IsTokenExchangeGrantType() == true => Problem.Of(ClientProblems.InvalidSubjectToken),
            Errors.InvalidGrant when asked?.IsDeviceCodeGrantType() == true => Problem.Of(ClientProblems.InvalidDeviceCode),
            Errors.InvalidGrant when asked?.IsAuthorizationCodeGrantType() == true => Problem.Of(ClientProblems.InvalidCode),
            Errors.InvalidGrant => Problem.Of(UserProblems.InvalidRefreshToken),
            Errors.InvalidClient => Problem.Of(UserProblems.InvalidClient),
            _ => Problem.Of(UserProblems.InvalidTokenRequest, response.ErrorDescription),
        };
    }
}
