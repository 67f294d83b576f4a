using System.Diagnostics.CodeAnalysis;
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
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.OpenId;

/// <summary>What clients get at /token, /introspect, /revoke and /userinfo. OpenIddict has checked code, verifier, address and signatures before.</summary>
sealed class ClientGrants(ClientTable clients, ClientSessions sessions, IdTokenKeys idTokenKeys, UserTable users, FailedSignIns failures, IRateLimits limits, UsersOptions options, TimeProvider clock,
    ILogger<ClientGrants> logger)
{
    public const string SessionClaim = "sid";
    public const string GenerationClaim = "generation";
    public const string ClientClaim = "client";
    /// <summary>Of a transaction: the client that was looked at when its request was checked.</summary>
    public const string ClientProperty = "tandem:client";
    const string BrowserClaim = "browser";

    /// <summary>Asks the client for its secret. That a person signs in by itself is no client's business; nor are the refresh tokens that come of it.</summary>
    public async ValueTask AuthenticateAsync(ValidateTokenRequestContext context)
    {
        var request = context.Request;
        if (TokenGrants.IsInPerson(request))
            return;
        var client = await clients.FindAsync(context.ClientId, Aborted(context));
        // A client's refresh token names it, and OpenIddict takes it from nobody else.
        if (client is null && request.IsRefreshTokenGrantType())
            return;
        if (!Proves(context, client, context.ClientSecret))
            context.Reject(Errors.InvalidClient, UserProblems.InvalidClient.Detail);
        else if (!client.MayUse(request.GrantType ?? ""))
            context.Reject(Errors.UnauthorizedClient, $"The client {client.Id} is not registered for {request.GrantType}.");
        else
            context.Transaction.SetProperty(ClientProperty, client);
    }

    /// <summary>Has an ID token signed as its client wants it.</summary>
    public async ValueTask SignAsync(GenerateTokenContext context)
    {
        if (context.TokenType == TokenTypeIdentifiers.IdentityToken && context.Transaction.GetProperty<Client>(ClientProperty) is { } client)
            context.SigningCredentials = await idTokenKeys.OfAsync(client, Aborted(context));
    }

    /// <summary>Says that it is the scope (RFC 6749, 5.2); OpenIddict would say that the refresh token is not valid.</summary>
    public static ValueTask RefuseMore(ValidateTokenRequestContext context)
    {
        if (context.Request.IsRefreshTokenGrantType() && context.RefreshTokenPrincipal is { } said && context.Request.GetScopes().Except(said.GetScopes()).FirstOrDefault() is { } more)
            context.Reject(Errors.InvalidScope, $"The refresh token is not for the scope {more}.");
        return ValueTask.CompletedTask;
    }

    /// <summary>The same for what only asks about tokens, or ends them.</summary>
    public async ValueTask AuthenticateAsync<T>(T context) where T : BaseValidatingClientContext
    {
        var client = await clients.FindAsync(context.ClientId, Aborted(context));
        // Whoever can pass for a public client could ask about tokens it has found.
        if (!Proves(context, client, context.ClientSecret) || client.IsPublic && context is ValidateIntrospectionRequestContext)
            context.Reject(Errors.InvalidClient, UserProblems.InvalidClient.Detail);
    }

    /// <summary>The same for a request that is pushed. A public client proves nothing: how many of its requests are kept is counted by where they come from.</summary>
    public async ValueTask AuthenticateAsync(ValidatePushedAuthorizationRequestContext context)
    {
        var client = await clients.FindAsync(context.ClientId, Aborted(context));
        if (!Proves(context, client, context.Request.ClientSecret))
            context.Reject(Errors.InvalidClient, UserProblems.InvalidClient.Detail);
        else if (client.IsPublic)
            await LimitAsync(context);
    }

    /// <summary>The same for a device that begins to wait for its person.</summary>
    public async ValueTask AuthenticateAsync(ValidateDeviceAuthorizationRequestContext context)
    {
        var client = await clients.FindAsync(context.ClientId, Aborted(context));
        var asked = context.Request.GetScopes();
        if (!Proves(context, client, context.ClientSecret))
            context.Reject(Errors.InvalidClient, UserProblems.InvalidClient.Detail);
        else if (!client.MayUse(NewClient.Device))
            context.Reject(Errors.UnauthorizedClient, $"The client {client.Id} is not registered for {NewClient.Device}.");
        else if (asked.IsEmpty || asked.Except(Client.Words(client.Scopes)).Any())
            context.Reject(Errors.InvalidScope, $"The client {client.Id} has to ask for some of {client.Scopes}.");
        else
            await LimitAsync(context);
    }

    async Task LimitAsync(BaseValidatingContext context)
    {
        var http = OpenIdServer.HttpOf(context);
        if (await limits.RefuseAsync(http, "client-requests", ClientAddress.Of(http), options.RequestsPerMinutePerAddress, TimeSpan.FromMinutes(1)) is not { } refusal)
            return;
        context.Transaction.SetProperty(OpenIdServer.RefusalProperty, refusal);
        context.Reject(Errors.TemporarilyUnavailable, HttpProblems.TooManyRequests.Detail);
    }

    bool Proves(BaseContext context, [NotNullWhen(true)] Client? client, string? secret)
    {
        if (client is null)
            return false;
        if (client.Owns(secret))
            return true;
        failures.Add(null, Origin.Of(OpenIdServer.HttpOf(context)), "wrong client secret");
        return false;
    }

    /// <returns>What the tokens are to say; null when the request is no client's.</returns>
    public async Task<ClaimsPrincipal?> GrantAsync(HandleTokenRequestContext context)
    {
        var (origin, ct) = (Origin.Of(OpenIdServer.HttpOf(context)), Aborted(context));
        if (context.Request.IsClientCredentialsGrantType())
            return await GrantOwnAsync(context.Request, origin, ct);
        if (context.Request.IsRefreshTokenGrantType())
        {
            await MustBeThereAsync(context.Principal, ct);
            return null;
        }

        if (context.Request.IsTokenExchangeGrantType())
            return await ExchangeAsync(context, origin, ct);
        if (context.Request.IsDeviceCodeGrantType())
            return await sessions.RedeemAsync(Secret.Digest(context.Request.DeviceCode ?? ""), context.Request.ClientId ?? "", origin, clock.UtcNow(), ct) is { } opened
                ? Continue(context.Principal, opened, context.Request)
                : throw new ProblemException(ClientProblems.InvalidDeviceCode);
        if (!context.Request.IsAuthorizationCodeGrantType())
            return null;
        var said = context.Principal ?? throw new InvalidOperationException("An authorization code without what it says.");
        var code = new Code(Guid.Parse(said.GetClaim(SessionClaim)!), long.Parse(said.GetClaim(Claims.Subject)!, CultureInfo.InvariantCulture),
            Guid.Parse(said.GetClaim(BrowserClaim)!), said.GetClaim(ClientClaim)!, string.Join(' ', said.GetScopes())); // CodeFor has put them there
        var redeemed = await sessions.RedeemAsync(code, origin, clock.UtcNow(), ct);
        if (redeemed.WasReused)
            logger.CodeReused(code.SessionId, code.AccountId, code.ClientId);
        return redeemed.Session is { } session ? Continue(said, session, context.Request) : throw new ProblemException(ClientProblems.InvalidCode);
    }

    /// <summary>A refresh token of a client is worth nothing without the client, should one of its sessions have outlived it.</summary>
    async Task MustBeThereAsync(ClaimsPrincipal? said, CancellationToken ct)
    {
        if (said?.GetClaim(ClientClaim) is { } id && (await clients.FindAsync(id, ct))?.MayUse(NewClient.Refresh) != true)
            throw new ProblemException(UserProblems.InvalidRefreshToken);
    }

    /// <summary>What a client's next tokens say.</summary>
    /// <param name="said">What its code or last refresh token said.</param>
    /// <param name="session">Its session.</param>
    /// <param name="request">May name scopes: then the access token is for those alone (RFC 6749, 6). The refresh token keeps them all.</param>
    /// <returns>Null when it is no client's.</returns>
    public ClaimsPrincipal? Continue(ClaimsPrincipal? said, Session session, OpenIddictRequest request)
    {
        if (said?.GetClaim(ClientClaim) is not { } client)
            return null;
        var (all, asked) = (Client.Words(session.Scopes ?? ""), request.GetScopes());
        var identity = IdentityOf(session.AccountId.ToString(CultureInfo.InvariantCulture), session.Id, client, all);
        // OpenIddict has refused others than those, and leaves the rest out of the access token. Whom that may be shown to is ours to say.
        if (!asked.IsEmpty)
            identity.SetResources(ClientScopes.AudienceOf(all.Intersect(asked), options));
        identity.SetClaim(GenerationClaim, session.Generation.ToString(CultureInfo.InvariantCulture));
        TokenGrants.TellSignIn(identity, session);
        return Sealed(identity);
    }

    /// <summary>What an authorization code says. The session it names comes to be when it is exchanged.</summary>
    public ClaimsPrincipal CodeFor(Client client, Browser browser, IEnumerable<string> scopes)
    {
        var identity = IdentityOf(browser.AccountId.ToString(CultureInfo.InvariantCulture), Guid.CreateVersion7(clock.GetUtcNow()), client.Id, scopes);
        identity.SetClaim(BrowserClaim, browser.SessionId.ToString());
        return Sealed(identity);
    }

    async Task<ClaimsPrincipal> GrantOwnAsync(OpenIddictRequest request, Origin origin, CancellationToken ct)
    {
        var client = await clients.FindAsync(request.ClientId, ct) ?? throw new ProblemException(UserProblems.InvalidClient);
        var allowed = Client.Words(client.Scopes).Except(ClientScopes.Personal).ToArray();
        var asked = request.GetScopes();
        var granted = asked.IsEmpty ? allowed : [.. allowed.Intersect(asked)];
        var session = await sessions.OpenOwnAsync(client.Id, string.Join(' ', granted), origin, clock.UtcNow(), ct);
        return Sealed(IdentityOf(client.Id, session, client.Id, granted));
    }

    /// <summary>Makes of a person's token one that a client has, for no more than both may do, and for no longer (RFC 8693).</summary>
    async Task<ClaimsPrincipal> ExchangeAsync(HandleTokenRequestContext context, Origin origin, CancellationToken ct)
    {
        var subject = context.SubjectTokenPrincipal ?? throw new InvalidOperationException("A token to be exchanged that nobody has checked.");
        var client = await clients.FindAsync(context.Request.ClientId, ct) ?? throw new ProblemException(UserProblems.InvalidClient);
        if (!Guid.TryParse(subject.GetClaim(SessionClaim), out var parent) || !long.TryParse(subject.GetClaim(Claims.Subject), NumberStyles.None, CultureInfo.InvariantCulture, out var account)
            || TokenExchange.Actor(client.Id, subject.GetClaim(TokenExchange.ActorClaim)) is not { } actor)
            throw new ProblemException(ClientProblems.InvalidSubjectToken);
        var allowed = TokenExchange.ScopesOf(subject).Intersect(Client.Words(client.Scopes)).ToArray();
        var asked = context.Request.GetScopes();
        if (allowed.Length == 0 || asked.Except(allowed).Any())
            throw new ProblemException(ClientProblems.ScopeNotInToken);
        string[] granted = asked.IsEmpty ? allowed : [.. asked.Distinct()];
        var now = clock.UtcNow();
        var left = (subject.GetExpirationDate()?.UtcDateTime ?? now) - now;
        var lifetime = left < options.AccessTokenLifetime ? left : options.AccessTokenLifetime;
        var session = await sessions.ExchangeAsync(parent, account, client.Id, string.Join(' ', granted), subject.GetClaim(Claims.ClientId), lifetime, origin, now, ct)
            ?? throw new ProblemException(ClientProblems.InvalidSubjectToken);
        var identity = IdentityOf(account.ToString(CultureInfo.InvariantCulture), session, client.Id, granted);
        identity.SetClaim(TokenExchange.ActorClaim, actor);
        identity.SetAccessTokenLifetime(lifetime);
        context.Transaction.SetProperty(TokenExchange.GrantedProperty, string.Join(' ', granted));
        return Sealed(identity);
    }

    ClaimsIdentity IdentityOf(string subject, Guid session, string client, IEnumerable<string> scopes)
    {
        var identity = new ClaimsIdentity("Bearer", Claims.Name, Claims.Role);
        identity.SetClaim(Claims.Subject, subject);
        identity.SetClaim(SessionClaim, session.ToString());
        identity.SetClaim(ClientClaim, client);
        identity.SetScopes(scopes);
        identity.SetResources(ClientScopes.AudienceOf(scopes, options));
        return identity;
    }

    static ClaimsPrincipal Sealed(ClaimsIdentity identity)
    {
        identity.SetDestinations(static claim => claim.Type switch
        {
            Claims.Subject or SessionClaim => [Destinations.AccessToken, Destinations.IdentityToken],
            TokenExchange.ActorClaim => [Destinations.AccessToken],
            Claims.AuthenticationTime or Claims.AuthenticationMethodReference => [Destinations.IdentityToken],
            // Stays in the code and the refresh token, which only this server reads.
            _ => [],
        });
        return new ClaimsPrincipal(identity);
    }

    /// <summary>Answers /userinfo.</summary>
    public async ValueTask DescribeAsync(HandleUserInfoRequestContext context)
    {
        var ct = Aborted(context);
        var token = context.AccessTokenPrincipal;
        if (!Guid.TryParse(token?.GetClaim(SessionClaim), out var session) || !await sessions.IsAliveAsync(session, null, clock.UtcNow(), ct)
            || !long.TryParse(token.GetClaim(Claims.Subject), NumberStyles.None, CultureInfo.InvariantCulture, out var id) || await users.FindAsync(id, ct) is not { } account)
        {
            context.Reject(Errors.InvalidToken, ClientProblems.InvalidToken.Detail);
            return;
        }

        if (!token.HasScope(Scopes.OpenId))
        {
            context.Reject(Errors.InsufficientScope, ClientProblems.InsufficientScope.Detail);
            return;
        }

        context.Subject = account.Id.ToString(CultureInfo.InvariantCulture);
        context.Audiences.Clear();
        if (token.HasScope(Scopes.Profile))
            context.Claims[Claims.Name] = account.Name;
        if (token.HasScope(Scopes.Email))
            (context.Email, context.EmailVerified) = (account.Email, await users.IsVerifiedAsync(account.Id, ct));
    }

    /// <summary>Answers /introspect: what has ended is not active, whatever its expiry says.</summary>
    public async ValueTask InspectAsync(HandleIntrospectionRequestContext context)
    {
        var token = context.GenericTokenPrincipal;
        if (!Guid.TryParse(token.GetClaim(SessionClaim), out var session)
            || !await sessions.IsAliveAsync(session, GenerationOf(token), clock.UtcNow(), Aborted(context)))
            context.Reject(Errors.InvalidToken, ClientProblems.InvalidToken.Detail);
        else
        {
            context.Claims[SessionClaim] = session.ToString();
            if (token.GetClaim(TokenExchange.ActorClaim) is { } actor)
                context.Claims[TokenExchange.ActorClaim] = JsonSerializer.Deserialize<JsonElement>(actor);
        }
    }

    /// <summary>Answers /revoke: with either token the whole session ends.</summary>
    public async ValueTask RevokeAsync(HandleRevocationRequestContext context)
    {
        if (Guid.TryParse(context.GenericTokenPrincipal.GetClaim(SessionClaim), out var session))
            await sessions.EndAsync(session, "revoked", Origin.Of(OpenIdServer.HttpOf(context)), clock.UtcNow(), Aborted(context));
    }

    static int? GenerationOf(ClaimsPrincipal token) => int.TryParse(token.GetClaim(GenerationClaim), NumberStyles.None, CultureInfo.InvariantCulture, out var generation) ? generation : null;

    static CancellationToken Aborted(BaseContext context) => OpenIdServer.HttpOf(context).RequestAborted;
}
