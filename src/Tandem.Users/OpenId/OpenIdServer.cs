using Microsoft.AspNetCore;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using OpenIddict.Server.AspNetCore;
using Tandem.Core.Http;
using Tandem.Users.Look;
using Tandem.Users.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.OpenId;

/// <summary>The part of the token server that clients talk to: OpenIddict speaks, the classes beside this one decide.</summary>
sealed class OpenIdServer(Authorization authorization, PushedRequests pushed, DeviceCodes devices, SignOut signOut, ClientGrants grants, RefreshTokens refreshTokens, Languages languages, UsersOptions options)
{
    /// <summary>Long enough for a redirect, too short for a log to be read.</summary>
    static readonly TimeSpan CodeLifetime = TimeSpan.FromSeconds(60);

    /// <summary>A problem that is to be answered with as it is.</summary>
    public const string RefusalProperty = "tandem:refusal";

    public void Configure(OpenIddictServerBuilder server)
    {
        server.SetAuthorizationEndpointUris("authorize")
            .SetPushedAuthorizationEndpointUris("par")
            .SetUserInfoEndpointUris("userinfo")
            .SetIntrospectionEndpointUris("introspect")
            .SetRevocationEndpointUris("revoke")
            .SetEndSessionEndpointUris("logout")
            .AllowAuthorizationCodeFlow()
            .RequireProofKeyForCodeExchange()
            .AllowClientCredentialsFlow()
            .AllowDeviceAuthorizationFlow()
            .AllowTokenExchangeFlow()
            .SetDeviceAuthorizationEndpointUris("device/code")
            .SetEndUserVerificationEndpointUris("device")
            .SetDeviceCodeLifetime(options.DeviceCodeLifetime)
            .SetUserCodeLifetime(options.DeviceCodeLifetime)
            .SetAuthorizationCodeLifetime(CodeLifetime)
            .RegisterScopes(ClientScopes.Personal)
            .Configure(o =>
            {
                o.SubjectTokenTypes.Clear();
                o.SubjectTokenTypes.Add(TokenTypeIdentifiers.AccessToken);
                o.RequestTokenLifetime = PushedRequests.Lifetime;
                // A plain challenge is the verifier itself: whoever reads the request has it.
                o.CodeChallengeMethods.Remove(CodeChallengeMethods.Plain);
                // The fragment is for answers with tokens, which there are none of.
                o.ResponseModes.Remove(ResponseModes.Fragment);
            });

        On<ExtractAuthorizationRequestContext>(server, Authorization.Strip, int.MaxValue - 100);
        On<ValidateAuthorizationRequestContext>(server, authorization.ValidateAsync);
        On<HandleAuthorizationRequestContext>(server, authorization.DecideAsync);
        On<ApplyAuthorizationResponseContext>(server, authorization.WriteAsync);

        On<ValidatePushedAuthorizationRequestContext>(server, grants.AuthenticateAsync, OpenIddictServerHandlers.Authentication.ValidatePushedRequestParameter.Descriptor.Order - 500);
        On<ValidatePushedAuthorizationRequestContext>(server, authorization.ValidateAsync);
        On<GenerateTokenContext>(server, pushed.KeepAsync, OpenIddictServerHandlers.Protection.GenerateIdentityModelToken.Descriptor.Order - 500);
        On<ValidateTokenContext>(server, pushed.OpenAsync, OpenIddictServerHandlers.Protection.ValidateIdentityModelToken.Descriptor.Order - 500);
        On<GenerateTokenContext>(server, refreshTokens.WriteAsync, OpenIddictServerHandlers.Protection.GenerateIdentityModelToken.Descriptor.Order - 500);
        On<ValidateTokenContext>(server, refreshTokens.ReadAsync, OpenIddictServerHandlers.Protection.ValidateIdentityModelToken.Descriptor.Order - 500);
        On<GenerateTokenContext>(server, grants.SignAsync, OpenIddictServerHandlers.Protection.AttachSecurityCredentials.Descriptor.Order + 500);
        On<ApplyPushedAuthorizationResponseContext>(server, c => WriteErrorAsync(c, c.Response), OrderOf<ApplyPushedAuthorizationResponseContext>());

        On<ValidateDeviceAuthorizationRequestContext>(server, grants.AuthenticateAsync, OpenIddictServerHandlers.Device.ValidateDeviceAuthentication.Descriptor.Order - 500);
        On<HandleDeviceAuthorizationRequestContext>(server, devices.AskAsync);
        On<GenerateTokenContext>(server, DeviceCodes.Tell, OpenIddictServerHandlers.Protection.GenerateIdentityModelToken.Descriptor.Order - 500);
        On<ValidateTokenContext>(server, devices.PollAsync, OpenIddictServerHandlers.Protection.ValidateIdentityModelToken.Descriptor.Order - 500);
        On<ApplyDeviceAuthorizationResponseContext>(server, TellDeviceAsync, OrderOf<ApplyDeviceAuthorizationResponseContext>());
        // Its page is DevicePages: OpenIddict is only to say where that is, and wants a handler for each of its addresses.
        On<ValidateEndUserVerificationRequestContext>(server, static c =>
        {
            c.Reject(Errors.InvalidRequest);
            return ValueTask.CompletedTask;
        });

        On<ExtractEndSessionRequestContext>(server, SignOut.Strip, int.MaxValue - 100);
        On<ValidateEndSessionRequestContext>(server, signOut.ValidateAsync);
        On<HandleEndSessionRequestContext>(server, signOut.DecideAsync);
        On<ApplyEndSessionResponseContext>(server, signOut.WriteAsync);

        // The client first: a stranger does not learn which tokens are good.
        On<ValidateTokenRequestContext>(server, grants.AuthenticateAsync, OpenIddictServerHandlers.Exchange.ValidateAuthentication.Descriptor.Order - 500);
        On<ValidateTokenRequestContext>(server, ClientGrants.RefuseMore, OpenIddictServerHandlers.Exchange.ValidateGrantedScopes.Descriptor.Order - 500);
        On<ValidateTokenRequestContext>(server, TokenExchange.Refuse, OpenIddictServerHandlers.Exchange.ValidateTokenExchangeParameters.Descriptor.Order - 500);
        On<ValidateTokenRequestContext>(server, TokenExchange.Admit, OpenIddictServerHandlers.Exchange.ValidateAuthorizedParty.Descriptor.Order - 500);
        On<ValidateIntrospectionRequestContext>(server, grants.AuthenticateAsync, OpenIddictServerHandlers.Introspection.ValidateAuthentication.Descriptor.Order - 500);
        On<ValidateRevocationRequestContext>(server, grants.AuthenticateAsync, OpenIddictServerHandlers.Revocation.ValidateAuthentication.Descriptor.Order - 500);
        On<HandleIntrospectionRequestContext>(server, grants.InspectAsync, int.MaxValue - 100);
        On<HandleRevocationRequestContext>(server, grants.RevokeAsync, int.MinValue + 500_000);
        On<HandleUserInfoRequestContext>(server, grants.DescribeAsync, int.MaxValue - 100);

        On<ApplyIntrospectionResponseContext>(server, c => WriteErrorAsync(c, c.Response), OrderOf<ApplyIntrospectionResponseContext>());
        On<ApplyRevocationResponseContext>(server, c => WriteErrorAsync(c, c.Response), OrderOf<ApplyRevocationResponseContext>());
        // OpenIddict would leave a challenge without a body.
        On<ApplyUserInfoResponseContext>(server, c => WriteErrorAsync(c, c.Response), OpenIddictServerAspNetCoreHandlers.ProcessChallengeErrorResponse<ApplyUserInfoResponseContext>.Descriptor.Order - 500);
        On<HandleConfigurationRequestContext>(server, Describe, int.MaxValue - 100);
    }

    static int OrderOf<T>() where T : BaseRequestContext => OpenIddictServerAspNetCoreHandlers.ProcessJsonResponse<T>.Descriptor.Order - 500;

    /// <summary>A store that is down, a client that has gone: answered and logged once, by the edge, and not by OpenIddict on the way there.</summary>
    static void On<T>(OpenIddictServerBuilder server, Func<T, ValueTask> handle, int order = 0) where T : BaseRequestContext =>
        server.AddEventHandler<T>(h => h.UseInlineHandler(async context =>
        {
            try
            {
                await handle(context);
            }
            catch (Exception e)
            {
                TokenServer.Fail(HttpOf(context), e);
                context.HandleRequest();
            }
        }).SetOrder(order));

    public static HttpContext HttpOf(BaseContext context) =>
        context.Transaction.GetHttpRequest()?.HttpContext ?? throw new InvalidOperationException("A protocol request without its HTTP request.");

    /// <summary>A page for people, a problem for programs.</summary>
    /// <param name="title">A sentence of <see cref="Language"/>.</param>
    public static Task RefuseAsync(HttpContext http, string title, Problem problem, OpenIddictResponse response)
    {
        if (!Pages.AreWanted(http.Request))
            return ProblemOf(problem, response).ExecuteAsync(http);
        // What is wrong with the request is for whoever has written the client.
        var t = Language.Of(http);
        return Pages.Page(problem.Status, t.Say(title), $"<p role=\"alert\">{Pages.Encode(t.Say(Problem.Of(problem)))}</p>\n<p lang=\"en\">{Pages.Encode(response.ErrorDescription ?? "")}</p>").ExecuteAsync(http);
    }

    /// <summary>
    /// Has the problem that follows be called application/json (RFC 6749, 5.2) where that was asked for: clients of OAuth read nothing else. The body is
    /// the same, a problem with OAuth's two members.
    /// </summary>
    public static void SpeakAsClientsRead(HttpContext http)
    {
        var accept = http.Request.Headers.Accept.ToString();
        if (accept.Contains("application/json", StringComparison.OrdinalIgnoreCase) && !accept.Contains("problem+json", StringComparison.OrdinalIgnoreCase))
            http.Response.OnStarting(() =>
            {
                http.Response.ContentType = "application/json";
                return Task.CompletedTask;
            });
    }

    static ProblemResult ProblemOf(Problem problem, OpenIddictResponse response)
    {
        var detail = response.ErrorDescription ?? problem.Detail;
        return new ProblemResult(problem, detail, null) { Members = new Dictionary<string, string> { ["error"] = response.Error ?? Errors.InvalidRequest, ["error_description"] = detail } };
    }

    static async ValueTask WriteErrorAsync(BaseRequestContext context, OpenIddictResponse response)
    {
        if (response.Error is null)
            return;
        var http = HttpOf(context);
        context.HandleRequest();
        if (TokenServer.HasFailed(http))
            return;
        SpeakAsClientsRead(http);
        http.Response.Headers.CacheControl = "no-store";
        if (context.Transaction.GetProperty<ProblemResult>(RefusalProperty) is { } refusal)
        {
            await new ProblemResult(refusal.Problem, refusal.Detail, null)
            {
                RetryAfterSeconds = refusal.RetryAfterSeconds,
                Members = new Dictionary<string, string> { ["error"] = response.Error, ["error_description"] = refusal.Detail },
            }.ExecuteAsync(http);
            return;
        }

        var problem = response.Error switch
        {
            Errors.InvalidClient => UserProblems.InvalidClient,
            Errors.InvalidToken or Errors.MissingToken => ClientProblems.InvalidToken,
            Errors.InsufficientScope => ClientProblems.InsufficientScope,
            _ => ClientProblems.InvalidRequest,
        };
        // RFC 6750, section 3, and RFC 6749, section 5.2.
        if (problem.Status is 401 or 403)
            http.Response.Headers.WWWAuthenticate = problem == UserProblems.InvalidClient ? "Basic realm=\"tandem\""
                : response.Error == Errors.MissingToken ? "Bearer" : $"Bearer error=\"{response.Error}\"";
        await ProblemOf(problem, response).ExecuteAsync(http);
    }

    ValueTask TellDeviceAsync(ApplyDeviceAuthorizationResponseContext context)
    {
        var response = context.Response;
        if (response.Error is not null)
            return WriteErrorAsync(context, response);
        response["interval"] = (long)DeviceCodes.PollSeconds;
        // Counted from a moment later it would be a second less.
        response.ExpiresIn = (long)options.DeviceCodeLifetime.TotalSeconds;
        if (options.Issuer != new UsersOptions().Issuer)
        {
            response.VerificationUri = new Uri(new Uri(options.Issuer.TrimEnd('/') + "/"), "device").AbsoluteUri;
            response.VerificationUriComplete = $"{response.VerificationUri}?user_code={response.UserCode}";
        }

        return ValueTask.CompletedTask;
    }

    /// <summary>The addresses stand under the issuer, as clients expect it; the default issuer is nobody's address, so then they are those of the request.</summary>
    ValueTask Describe(HandleConfigurationRequestContext context)
    {
        string[] methods = [ClientAuthenticationMethods.ClientSecretBasic, ClientAuthenticationMethods.ClientSecretPost];
        Set(context.TokenEndpointAuthenticationMethods, [.. methods, ClientAuthenticationMethods.None]);
        Set(context.RevocationEndpointAuthenticationMethods, [.. methods, ClientAuthenticationMethods.None]);
        Set(context.IntrospectionEndpointAuthenticationMethods, methods);
        context.PushedAuthorizationEndpointAuthenticationMethods.Clear();
        context.PushedAuthorizationEndpointAuthenticationMethods.UnionWith([.. methods, ClientAuthenticationMethods.None]);
        context.DeviceAuthorizationEndpointAuthenticationMethods.Clear();
        context.DeviceAuthorizationEndpointAuthenticationMethods.UnionWith([.. methods, ClientAuthenticationMethods.None]);
        context.Metadata["ui_locales_supported"] = new(System.Collections.Immutable.ImmutableArray.Create<string?>(languages.Tags));
        context.Metadata["backchannel_logout_supported"] = true;
        context.Metadata["backchannel_logout_session_supported"] = true;
        // Both, also while there is no key of RSA: the first client that asks for it has one made.
        Set(context.IdTokenSigningAlgorithms, NewClient.Algorithms);
        Set(context.Scopes, ClientScopes.Personal);
        Set(context.Claims, [Claims.Issuer, Claims.Subject, Claims.Audience, Claims.ExpiresAt, Claims.IssuedAt, Claims.AuthenticationTime, Claims.AuthenticationMethodReference, Claims.Nonce, "sid", Claims.Name,
            Claims.Email, Claims.EmailVerified, Claims.Role, Claims.Scope]);
        var ours = options.Issuer == new UsersOptions().Issuer;
        if (options.DynamicRegistration != DynamicRegistration.Off)
            context.Metadata["registration_endpoint"] = new Uri(ours ? context.BaseUri! : new Uri(options.Issuer.TrimEnd('/') + "/"), "register").AbsoluteUri;
        if (ours)
            return ValueTask.CompletedTask;
        var issuer = new Uri(options.Issuer.TrimEnd('/') + "/");
        context.AuthorizationEndpoint = new Uri(issuer, "authorize");
        context.PushedAuthorizationEndpoint = new Uri(issuer, "par");
        context.DeviceAuthorizationEndpoint = new Uri(issuer, "device/code");
        context.TokenEndpoint = new Uri(issuer, "token");
        context.UserInfoEndpoint = new Uri(issuer, "userinfo");
        context.IntrospectionEndpoint = new Uri(issuer, "introspect");
        context.RevocationEndpoint = new Uri(issuer, "revoke");
        context.EndSessionEndpoint = new Uri(issuer, "logout");
        context.JsonWebKeySetEndpoint = new Uri(issuer, ".well-known/jwks");
        return ValueTask.CompletedTask;

        static void Set(HashSet<string> values, string[] those)
        {
            values.Clear();
            values.UnionWith(those);
        }
    }
}
