using System.Globalization;
using System.Security.Claims;
using System.Text.Json;
using Microsoft.AspNetCore;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Mailing;
using Tandem.Users.SecondSteps;
using Tandem.Users.Tickets;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.Tokens;

/// <summary>Decides who gets a token, and says so in the contract's words. OpenIddict has read and checked the request and makes the tokens.</summary>
sealed class TokenGrants(Db db, UserTable users, Passwords passwords, Sessions sessions, TicketTable tickets, SecondStep secondStep, SignInLimits limits, FailedSignIns failures, UsersOptions options,
    MailOptions mail, TimeProvider clock, ILogger<TokenGrants> logger)
{
    /// <summary>Signs in with <c>handle</c> and <c>code</c>: POST /auth/code gave the one and mailed the other.</summary>
    public const string EmailCode = "urn:tandem:email-code";

    /// <summary>Signs in with <c>token</c>, of the link of such a mail.</summary>
    public const string EmailLink = "urn:tandem:email-link";

    /// <summary>Goes on with <c>handle</c> and <c>code</c> where a sign-in was answered with <see cref="UserProblems.SecondStepWanted"/>.</summary>
    public const string SecondStepGrant = "urn:tandem:second-step";

    // Asked about like an account: also who is put off must not see in the time whether there is one.
    const long Nobody = 0;

    const string SessionClaim = "sid";
    const string GenerationClaim = "generation";
    const string AnswerProperty = "tandem:answer";

    /// <summary>A form with a user name and no grant_type is a password grant: that is how FastAPI's forms are sent.</summary>
    public static ValueTask AssumePassword(ExtractTokenRequestContext context)
    {
        if (context.Request is { GrantType: null or "" } request)
            request.GrantType = GrantTypes.Password;
        return ValueTask.CompletedTask;
    }

    public async ValueTask DecideAsync(HandleTokenRequestContext context)
    {
        var http = context.Transaction.GetHttpRequest()?.HttpContext ?? throw new InvalidOperationException("A token request without its HTTP request.");
        try
        {
            var session = context.Request.GrantType switch
            {
                GrantTypes.RefreshToken => await RefreshAsync(context.Principal, http),
                EmailCode or EmailLink or SecondStepGrant => await ByCodeAsync(context.Request, http),
                _ => await SignInAsync(context.Request, http),
            };
            context.SignIn(Principal(session));
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
        : problem == UserProblems.InvalidTokenRequest ? Errors.InvalidRequest
        : problem.Status == 400 ? Errors.InvalidGrant : Errors.TemporarilyUnavailable;

    async Task<Session> SignInAsync(OpenIddictRequest request, HttpContext http)
    {
        // OpenIddict has refused requests without them.
        var (email, password, ct) = (request.Username ?? "", request.Password ?? "", http.RequestAborted);
        // Nobody signs up with such: it is answered like a wrong password, after the same work.
        var possible = email.Length <= 254 && !email.Contains('\0') && password.Length <= Passwords.MaxLength;
        var (address, origin) = (ClientAddress.Of(http), Origin.Of(http));
        var account = possible ? await users.FindCredentialsAsync(email, ct) : null;
        var attempt = await limits.TakeAsync(address, email.Length <= 254 ? email : "", () => sessions.KnowsAddressAsync(account?.Id ?? Nobody, address, ct));
        if (attempt.Limit is { Allowed: false } limit)
        {
            limit.WriteHeaders(http.Response, attempt.Policy);
            failures.Add(account?.Id, origin, "too many attempts");
            throw new ProblemException(HttpProblems.TooManyRequests, "Too many failed sign-ins; try again after the time in Retry-After.",
                retryAfterSeconds: limit.Refusal().RetryAfterSeconds);
        }

        var (signIn, wasRight) = await OpenAsync(possible ? password : "", account, address, origin, ct);
        if (signIn is { Session: null, Handle: null, IsUnverified: false })
        {
            failures.Add(account?.Id, origin, account is null ? "no such account" : wasRight ? "not active" : "wrong password");
            throw new ProblemException(UserProblems.InvalidGrant);
        }

        if (attempt.SucceededAsync is { } succeeded)
            await succeeded();
        return SessionOf(signIn);
    }

    /// <returns>Nothing for a wrong password, an account that is not there or not active.</returns>
    async Task<(SignIn SignIn, bool WasRight)> OpenAsync(string password, Credentials? account, string address, Origin origin, CancellationToken ct)
    {
        var nothing = new SignIn(null, null, false);
        for (var isFirst = true; ; isFirst = false)
        {
            var check = await passwords.CheckAsync(password, account?.PasswordHash, ct);
            if (!check.IsRight || account is null)
                return (nothing, false);
            if (await sessions.SignInAsync(new Proof(account.Id, Methods.Password, account.PasswordHash, check.Better), address, origin, clock.UtcNow(), ct) is var signIn && signIn != nothing)
                return (signIn, true);
            // Of two first sign-ins at once one replaces the hash that both were checked against: the other is checked once more, against the new one.
            var now = isFirst && Passwords.IsWeak(account.PasswordHash) ? await users.FindCredentialsAsync(account.Id, ct) : null;
            if (now is null || now.PasswordHash == account.PasswordHash)
                return (nothing, true);
            account = now;
        }
    }

    /// <summary>What is shown here has too many possibilities, or too few attempts, to be guessed; an address that goes on trying is put off like one that guesses passwords.</summary>
    async Task<Session> ByCodeAsync(OpenIddictRequest request, HttpContext http)
    {
        var (address, origin, ct) = (ClientAddress.Of(http), Origin.Of(http), http.RequestAborted);
        if (await limits.IsExhaustedAsync(address) is { } limit)
        {
            limit.WriteHeaders(http.Response, "sign-in-address");
            throw new ProblemException(HttpProblems.TooManyRequests, "Too many failed sign-ins; try again after the time in Retry-After.", retryAfterSeconds: limit.Refusal().RetryAfterSeconds);
        }

        var signIn = request.GrantType switch
        {
            SecondStepGrant => new SignIn(await secondStep.SignInAsync(Text(request, "handle"), Text(request, "code"), address, origin, ct), null, false),
            EmailLink => await ByMailAsync(tx => tickets.UseLinkAsync(tx, TicketPurpose.Code, Text(request, "token")), address, origin, ct),
            _ => await ByMailAsync(tx => tickets.UseCodeAsync(tx, Text(request, "handle"), Text(request, "code")), address, origin, ct),
        };
        if (signIn is not { Session: null, Handle: null, IsUnverified: false })
            return SessionOf(signIn);
        await limits.FailedAsync(address);
        failures.Add(null, origin, request.GrantType == EmailLink ? "wrong link" : "wrong code");
        throw new ProblemException(request.GrantType == EmailLink ? UserProblems.LinkInvalid : UserProblems.WrongCode);
    }

    async Task<SignIn> ByMailAsync(Func<Transaction, Task<Used?>> use, string address, Origin origin, CancellationToken ct)
    {
        var used = await db.InTransactionAsync(async tx =>
        {
            var used = await use(tx);
            // The mailbox is the person's own: the mail was read there.
            return used is { Email: { } email } && await users.SignsInByMailAsync(tx, used.AccountId, email, options.Verification(mail) != EmailVerification.Off, origin, clock.UtcNow()) ? used : null;
        }, ct);
        return used is null ? new SignIn(null, null, false) : await sessions.SignInAsync(new Proof(used.AccountId, Methods.Email), address, origin, clock.UtcNow(), ct);
    }

    static Session SessionOf(SignIn signIn) => signIn switch
    {
        { Session: { } session } => session,
        { Handle: { } handle } => throw new ProblemException(UserProblems.SecondStepWanted, members: new Dictionary<string, string> { ["handle"] = handle }),
        _ => throw new ProblemException(UserProblems.EmailNotVerified),
    };

    /// <exception cref="ProblemException">It is missing, or cannot be one of ours.</exception>
    static string Text(OpenIddictRequest request, string name) => (string?)request[name] is { Length: > 0 and <= 100 } text && !text.Contains('\0')
        ? text
        : throw new ProblemException(UserProblems.InvalidTokenRequest, $"This grant_type needs the parameter {name}, of at most 100 characters.");

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
        identity.SetClaim(Claims.AuthenticationTime, new DateTimeOffset(session.AuthenticatedAt).ToUnixTimeSeconds());
        if (session.Methods is { } methods)
            // As JSON: of one method alone a list of claims would be written as a text, and amr is an array (RFC 8176).
            identity.AddClaim(new Claim(Claims.AuthenticationMethodReference, JsonSerializer.Serialize(Methods.Claim(methods)), "JSON_ARRAY"));
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

        var known = context.Transaction.GetProperty<ProblemResult>(AnswerProperty) ?? Explain(http.Request, response);
        http.Response.Headers.CacheControl = "no-store";
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

    /// <summary>The discovery document says what is true here: no clients, so nothing for them to authenticate with.</summary>
    public static ValueTask DescribeAsync(HandleConfigurationRequestContext context)
    {
        context.TokenEndpointAuthenticationMethods.Clear();
        context.TokenEndpointAuthenticationMethods.Add("none");
        context.Scopes.Clear();
        context.PromptValues.Clear();
        context.Claims.UnionWith(["sid", Claims.Role, Claims.Scope, Claims.AuthenticationTime, Claims.AuthenticationMethodReference]);
        return ValueTask.CompletedTask;
    }

    /// <summary>What OpenIddict has refused by itself.</summary>
    static ProblemResult Explain(HttpRequest request, OpenIddictResponse response)
    {
        if (!Forms.IsUrlEncoded(request))
            return Problem.Of(UserProblems.FormWanted);
        return response.Error switch
        {
            Errors.InvalidGrant => Problem.Of(UserProblems.InvalidRefreshToken),
            Errors.InvalidClient => Problem.Of(UserProblems.InvalidClient),
            _ => Problem.Of(UserProblems.InvalidTokenRequest, response.ErrorDescription),
        };
    }
}
