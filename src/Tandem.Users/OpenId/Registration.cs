using System.Net.Http.Headers;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Tickets;

namespace Tandem.Users.OpenId;

/// <summary>
/// Clients that register themselves (RFC 7591) and look after themselves with the token they were given (RFC 7592). What they say of themselves nobody has
/// looked at: they are never trusted, sign people in and do nothing else, and people are told.
/// </summary>
static class Registration
{
    public static void MapRegistration(this IEndpointRouteBuilder routes)
    {
        // Unauthorized: the document says by it that a token may be sent.
        var register = routes.MapGroup("/register").WithTags("Clients").AllowAnonymous().Answers(HttpProblems.Unauthorized);
        register.MapPost("", Register).WithSummary("A client registers itself (RFC 7591), where Users:DynamicRegistration allows it")
            .Answers(ClientProblems.RegistrationOff, ClientProblems.RegistrationWantsToken, ClientProblems.InvalidRedirectUri, ClientProblems.InvalidMetadata, ClientProblems.TooManyRegistered, HttpProblems.TooManyRequests);
        register.MapGet("{id}", Get).WithSummary("What a client that registered itself is (RFC 7592)").Answers(ClientProblems.InvalidRegistrationToken);
        register.MapPut("{id}", Change).WithSummary("Replace what a client that registered itself is; what is left out goes back to its default").Answers(ClientProblems.InvalidRegistrationToken,
            ClientProblems.InvalidRedirectUri, ClientProblems.InvalidMetadata);
        register.MapDelete("{id}", Remove).WithSummary("Remove a client that registered itself, and end its sessions").Answers(ClientProblems.InvalidRegistrationToken);
    }

    static async Task<Results<Created<RegistrationView>, ProblemResult>> Register(ClientMetadata metadata, HttpContext context, UsersOptions options, IRateLimits limits, ITokenVerifier tokens,
        ClientTable clients, TimeProvider clock, CancellationToken ct)
    {
        OpenIdServer.SpeakAsClientsRead(context);
        if (options.DynamicRegistration == DynamicRegistration.Off)
            return Refusal(ClientProblems.RegistrationOff, "access_denied");
        var origin = Origin.Of(context);
        // An initial access token (RFC 7591, 3) is any token that may register clients; nobody has looked at it yet, for the endpoint is open.
        if (await Caller.OfAsync(context, tokens) is { } caller && caller.May(ClientEndpoints.Write))
            origin = origin.As(caller.AccountId, caller.SessionId);
        else if (options.DynamicRegistration == DynamicRegistration.Token)
            return Unauthorized(context, ClientProblems.RegistrationWantsToken);
        else if (await limits.RefuseAsync(context, "registrations", ClientAddress.Of(context), options.RequestsPerMinutePerAddress, TimeSpan.FromMinutes(1),
            "Too many registrations from this address; try again after the time in Retry-After.") is { } refusal)
            return refusal;

        if (ClientOf(metadata, $"dyn-{Guid.NewGuid():n}", out var client) is { } fault)
            return fault;
        var (secret, token, now) = (client.IsPublic ? null : Secret.New(), Secret.New(), clock.UtcNow());
        var stored = client.ToClient(secret, now) with { RegistrationDigest = Secret.Digest(token) };
        if (!await clients.AddOwnAsync(stored, options.MaxRegisteredClients, origin, ct))
            return Refusal(ClientProblems.TooManyRegistered, "temporarily_unavailable");
        context.Response.Headers.CacheControl = "no-store";
        var address = AddressOf(context, options, stored.Id);
        return TypedResults.Created(address, RegistrationView.Of(stored, metadata.AuthMethod, secret, token, address));
    }

    static async Task<Results<Ok<RegistrationView>, ProblemResult>> Get(string id, HttpContext context, UsersOptions options, ClientTable clients, CancellationToken ct) =>
        await FindAsync(id, context, clients, ct) is { } client
            ? TypedResults.Ok(RegistrationView.Of(client, null, null, null, AddressOf(context, options, id)))
            : Unauthorized(context, ClientProblems.InvalidRegistrationToken);

    static async Task<Results<Ok<RegistrationView>, ProblemResult>> Change(string id, ClientMetadata metadata, HttpContext context, UsersOptions options, ClientTable clients, TimeProvider clock, CancellationToken ct)
    {
        if (await FindAsync(id, context, clients, ct) is not { } before)
            return Unauthorized(context, ClientProblems.InvalidRegistrationToken);
        if (metadata.ClientId is { } named && named != id)
            return Refusal(ClientProblems.InvalidMetadata, "invalid_client_metadata", "client_id must be the one of the address.");
        if (ClientOf(metadata, id, out var client) is { } fault)
            return fault;
        if (client.IsPublic != before.IsPublic)
            return Refusal(ClientProblems.InvalidMetadata, "invalid_client_metadata", "token_endpoint_auth_method must stay none, or something else: with or without a secret it is another client.");
        return await clients.ChangeAsync(id, client.AsChange(), clock.UtcNow(), Origin.Of(context), ct) is { } after
            ? TypedResults.Ok(RegistrationView.Of(after, metadata.AuthMethod, null, null, AddressOf(context, options, id)))
            : Unauthorized(context, ClientProblems.InvalidRegistrationToken);
    }

    static async Task<Results<NoContent, ProblemResult>> Remove(string id, HttpContext context, ClientTable clients, TimeProvider clock, CancellationToken ct) =>
        await FindAsync(id, context, clients, ct) is not null && await clients.RemoveAsync(id, clock.UtcNow(), Origin.Of(context), ct)
            ? TypedResults.NoContent()
            : Unauthorized(context, ClientProblems.InvalidRegistrationToken);

    /// <summary>The client whose registration token is sent. Who sends another does not learn whether there is such a client.</summary>
    static async Task<Client?> FindAsync(string id, HttpContext context, ClientTable clients, CancellationToken ct)
    {
        OpenIdServer.SpeakAsClientsRead(context);
        if (!AuthenticationHeaderValue.TryParse(context.Request.Headers.Authorization, out var sent) || !sent.Scheme.Equals("Bearer", StringComparison.OrdinalIgnoreCase))
            return null;
        return await clients.FindAsync(id, ct) is { RegistrationDigest: { } known } client && Secret.Same(Secret.Digest(sent.Parameter ?? ""), known) ? client : null;
    }

    /// <summary>What is taken of what a client says of itself. Metadata that mean nothing here are left out, as RFC 7591 has it.</summary>
    /// <returns>What is wrong, or null.</returns>
    static ProblemResult? ClientOf(ClientMetadata metadata, string id, out NewClient client)
    {
        string[]? scopes = metadata.Scope is { } scope ? Client.Words(scope) : null;
        client = new NewClient(id, metadata.ClientName, metadata.RedirectUris, metadata.PostLogoutRedirectUris, metadata.GrantTypes is { Length: > 0 } grants ? grants : [NewClient.Code], scopes,
            metadata.AuthMethod == ClientMetadata.None, IsTrusted: false, metadata.RequirePushedAuthorizationRequests, metadata.BackchannelLogoutUri, metadata.IdTokenSignedResponseAlg);
        var wrong = metadata.Fault()
            ?? scopes?.Except(ClientScopes.Personal).Select(s => $"scope may have {string.Join(", ", ClientScopes.Personal)}; {s} is none of them.").FirstOrDefault()
            ?? metadata.GrantTypes?.Except(ClientMetadata.Grants).Select(g => $"grant_types may have {string.Join(", ", ClientMetadata.Grants)}; {g} is none of them.").FirstOrDefault();
        if (wrong is not null)
            return Refusal(ClientProblems.InvalidMetadata, "invalid_client_metadata", wrong);
        if (JsonFaults.FindInvalid(client).Concat(client.FindInvalid()).FirstOrDefault() is not { Key: { } field, Value: { } messages })
            return null;
        return field == "redirect_uris"
            ? Refusal(ClientProblems.InvalidRedirectUri, "invalid_redirect_uri", $"{field} {messages[0]}")
            : Refusal(ClientProblems.InvalidMetadata, "invalid_client_metadata", $"{(field == "name" ? "client_name" : field)} {messages[0]}");
    }

    static string AddressOf(HttpContext context, UsersOptions options, string id) => $"{options.AddressFor(context.Request)}/register/{id}";

    static ProblemResult Unauthorized(HttpContext context, Problem problem)
    {
        context.Response.Headers.WWWAuthenticate = "Bearer error=\"invalid_token\"";
        return Refusal(problem, "invalid_token");
    }

    // RFC 7591, 3.2.2.
    static ProblemResult Refusal(Problem problem, string error, string? detail = null) =>
        new(problem, detail, null) { Members = new Dictionary<string, string> { ["error"] = error, ["error_description"] = detail ?? problem.Detail } };
}

/// <summary>What a client says of itself (RFC 7591, 2). Everything else it may send means nothing here.</summary>
/// <param name="RedirectUris">Where a browser is sent back to: https, or http on 127.0.0.1, [::1] and localhost. At most 20.</param>
/// <param name="TokenEndpointAuthMethod">none (a public client), client_secret_basic or client_secret_post. Default client_secret_basic.</param>
/// <param name="GrantTypes">authorization_code (the default), refresh_token, urn:ietf:params:oauth:grant-type:device_code.</param>
/// <param name="ResponseTypes">code.</param>
/// <param name="ClientName">What people see when they sign in, 1 to 200 characters; they are told that nobody has looked at it. Default: the id.</param>
/// <param name="Scope">openid, profile, email, offline_access and api, separated by blanks. Default: the first four.</param>
/// <param name="PostLogoutRedirectUris">As redirect_uris, for signing out.</param>
/// <param name="BackchannelLogoutUri">Where it is told that a session of its has ended.</param>
/// <param name="RequirePushedAuthorizationRequests">True: it sends no one to /authorize but with what POST /par gave it.</param>
/// <param name="IdTokenSignedResponseAlg">What its ID tokens are signed with: ES256 (the default) or RS256.</param>
/// <param name="SubjectType">public.</param>
/// <param name="SoftwareStatement">Is not taken.</param>
/// <param name="ClientId">At a change: the one of the address.</param>
public sealed record ClientMetadata(
    string[]? RedirectUris = null, string? TokenEndpointAuthMethod = null, string[]? GrantTypes = null, string[]? ResponseTypes = null, string? ClientName = null, string? Scope = null,
    string[]? PostLogoutRedirectUris = null, string? BackchannelLogoutUri = null, bool RequirePushedAuthorizationRequests = false, string? IdTokenSignedResponseAlg = null, string? SubjectType = null,
    string? SoftwareStatement = null, string? ClientId = null)
{
    internal const string None = "none";
    internal const string Basic = "client_secret_basic";

    static readonly string[] Methods = [None, Basic, "client_secret_post"];

    /// <summary>Signing people in; what a client does for itself an administrator allows.</summary>
    internal static readonly string[] Grants = [NewClient.Code, NewClient.Refresh, NewClient.Device];

    internal string AuthMethod => TokenEndpointAuthMethod ?? Basic;

    internal string? Fault() =>
        !Methods.Contains(AuthMethod) ? $"token_endpoint_auth_method must be one of {string.Join(", ", Methods)}."
        : ResponseTypes?.Any(t => t != "code") == true ? "response_types may have code alone."
        : SubjectType is not (null or "public") ? "subject_type must be public."
        : SoftwareStatement is not null ? "software_statement is not taken; send what it says as members."
        : null;
}

/// <summary>A client that registered itself, as RFC 7591, 3.2.1 and RFC 7592, 3 have it.</summary>
/// <param name="ClientId">Never changes.</param>
/// <param name="ClientIdIssuedAt">Seconds since 1970.</param>
/// <param name="ClientSecret">In the answer to the registration alone; absent for a public client.</param>
/// <param name="ClientSecretExpiresAt">0: it does not.</param>
/// <param name="RegistrationAccessToken">What it looks after itself with; in the answer to the registration alone.</param>
/// <param name="RegistrationClientUri">And where.</param>
/// <param name="RedirectUris">As registered.</param>
/// <param name="TokenEndpointAuthMethod">As registered; any way to send the secret is taken.</param>
/// <param name="GrantTypes">As registered.</param>
/// <param name="ResponseTypes">code, with authorization_code.</param>
/// <param name="ClientName">As registered.</param>
/// <param name="Scope">As registered.</param>
/// <param name="PostLogoutRedirectUris">As registered.</param>
/// <param name="BackchannelLogoutUri">As registered.</param>
/// <param name="RequirePushedAuthorizationRequests">As registered.</param>
/// <param name="IdTokenSignedResponseAlg">As registered.</param>
public sealed record RegistrationView(
    string ClientId, long ClientIdIssuedAt,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? ClientSecret,
    long ClientSecretExpiresAt,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? RegistrationAccessToken,
    string RegistrationClientUri, string[] RedirectUris, string TokenEndpointAuthMethod, string[] GrantTypes, string[] ResponseTypes, string ClientName, string Scope, string[] PostLogoutRedirectUris,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? BackchannelLogoutUri,
    bool RequirePushedAuthorizationRequests, string IdTokenSignedResponseAlg)
{
    internal static RegistrationView Of(Client client, string? method, string? secret, string? token, string address)
    {
        var grants = Client.Words(client.GrantTypes);
        return new(client.Id, new DateTimeOffset(client.CreatedAt).ToUnixTimeSeconds(), secret, 0, token, address, Client.Words(client.RedirectUris),
            client.IsPublic ? ClientMetadata.None : method ?? ClientMetadata.Basic, grants, grants.Contains(NewClient.Code) ? ["code"] : [], client.Name, client.Scopes,
            Client.Words(client.PostLogoutRedirectUris), client.BackchannelLogoutUri, client.RequirePar, client.IdTokenSignedResponseAlg);
    }
}
