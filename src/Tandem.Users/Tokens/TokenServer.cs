using System.Runtime.ExceptionServices;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.Tokens;
using OpenIddict.Server;
using OpenIddict.Server.AspNetCore;
using Tandem.Users.Look;
using Tandem.Users.OpenId;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace Tandem.Users.Tokens;

/// <summary>
/// The protocol endpoints, spoken by OpenIddict. It lives in a container of its own, made when the first token is asked for: no other request
/// meets it, and the start does not wait for it.
/// </summary>
/// <remarks>Degraded mode: OpenIddict keeps no tokens and no clients, both are ours. <see cref="TokenGrants"/> and <see cref="OpenIdServer"/> decide, this file wires.</remarks>
sealed class TokenServer(KeyRing keys, TokenGrants grants, OpenIdServer openId, Languages languages, Theme theme, UsersOptions options, TimeProvider clock, ILoggerFactory loggers) : IAsyncDisposable
{
    /// <summary>The <c>aud</c> of access tokens.</summary>
    public const string Audience = "tandem";

    /// <summary>The <c>role</c> of administrators.</summary>
    public const string Administrator = "administrator";

    static readonly object FailureKey = new();

    /// <summary>Where a token may be in a form or an address.</summary>
    static readonly string[] Fields = ["refresh_token", "code", "token", "id_token_hint"];

    readonly SemaphoreSlim _making = new(1);
    Running? _running;

    /// <summary>Answers a request to one of the protocols' addresses.</summary>
    public async Task AnswerAsync(HttpContext context)
    {
        // Read here, where a broken one is answered; OpenIddict gets what was read.
        if (Forms.IsUrlEncoded(context.Request))
            await Forms.ReadAsync(context.Request);
        await MeetAsync(context.Request);
        var running = _running ?? await StartAsync(context.RequestAborted);
        // What OpenIddict has of its options is made anew where keys have changed; a request that is under way goes on with those it began with.
        if (keys.Now is var now && now != running.Keys)
        {
            running.Options.Clear();
            running.Keys = now;
        }

        var outer = context.RequestServices;
        await using var scope = running.Services.CreateAsyncScope();
        context.RequestServices = scope.ServiceProvider;
        try
        {
            await running.Pipeline(context);
        }
        finally
        {
            context.RequestServices = outer;
        }

        if (context.Items.TryGetValue(FailureKey, out var failure))
            ((ExceptionDispatchInfo)failure!).Throw(); // Fail puts nothing else there
    }

    /// <summary>Ends the request with an exception once OpenIddict is done with it.</summary>
    public static void Fail(HttpContext context, Exception e) => context.Items[FailureKey] = ExceptionDispatchInfo.Capture(e);

    public static bool HasFailed(HttpContext context) => context.Items.ContainsKey(FailureKey);

    async Task<Running> StartAsync(CancellationToken ct)
    {
        await _making.WaitAsync(ct);
        try
        {
            return _running ??= Make();
        }
        finally
        {
            _making.Release();
        }
    }

    /// <summary>Another process may have begun to make tokens with a key a moment ago.</summary>
    async Task MeetAsync(HttpRequest request)
    {
        foreach (var field in Fields)
            await MeetAsync((Forms.IsUrlEncoded(request) ? request.Form[field] : request.Query[field]).ToString());
        // Of /userinfo: "Bearer …".
        await MeetAsync(request.Headers.Authorization.ToString().Split(' ')[^1]);
    }

    async ValueTask MeetAsync(string token)
    {
        if (token.Length > 0 && KeyRing.IdIn(token) is { } id)
            await keys.LookForAsync(id);
    }

    Running Make()
    {
        var services = new ServiceCollection();
        // Its pages look and speak as all others do.
        services.AddSingleton(languages);
        services.AddSingleton(theme);
        services.AddSingleton(loggers);
        services.AddSingleton(clock);
        services.AddOpenIddict().AddServer(server =>
        {
            server.EnableDegradedMode()
                .SetIssuer(new Uri(options.Issuer))
                .SetTokenEndpointUris("token")
                .SetConfigurationEndpointUris(".well-known/openid-configuration", ".well-known/oauth-authorization-server")
                .SetJsonWebKeySetEndpointUris(".well-known/jwks")
                .AllowPasswordFlow()
                .AllowRefreshTokenFlow()
                .AllowCustomFlow(TokenGrants.EmailCode)
                .AllowCustomFlow(TokenGrants.EmailLink)
                .AllowCustomFlow(TokenGrants.SecondStep)
                .AllowCustomFlow(TokenGrants.Passkey)
                .AcceptAnonymousClients()
                // A scope that somebody may not have is left out of the token (RFC 6749, 3.3), not an error.
                .DisableScopeValidation()
                .Configure(AddKeys)
                // Signed, readable: resource servers check them with the public key alone.
                .DisableAccessTokenEncryption()
                .SetAccessTokenLifetime(options.AccessTokenLifetime)
                .SetRefreshTokenLifetime(options.RefreshTokenLifetime);
            server.AddEventHandler<ExtractTokenRequestContext>(h => h.UseInlineHandler(TokenGrants.AssumePassword).SetOrder(int.MaxValue - 100));
            openId.Configure(server);
            server.AddEventHandler<HandleTokenRequestContext>(h => h.UseInlineHandler(grants.DecideAsync));
            server.AddEventHandler<ApplyTokenResponseContext>(h => h.UseInlineHandler(grants.WriteAsync)
                .SetOrder(OpenIddictServerAspNetCoreHandlers.ProcessJsonResponse<ApplyTokenResponseContext>.Descriptor.Order - 500));
            // A public address may well be https behind a proxy that talks http to us.
            server.UseAspNetCore().DisableTransportSecurityRequirement();
        });
        // OpenIddict sorts them, and takes the first one.
        services.PostConfigure<OpenIddictServerOptions>(AddKeys);
        var provider = services.BuildServiceProvider();
        var pipeline = new ApplicationBuilder(provider);
        pipeline.UseAuthentication();
        pipeline.Run(static context =>
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        });
        return new Running(provider, pipeline.Build(), provider.GetRequiredService<IOptionsMonitorCache<OpenIddictServerOptions>>()) { Keys = KeySet.Empty };
    }

    /// <summary>The first of each makes tokens; with the others they are read, and all that sign are published.</summary>
    void AddKeys(OpenIddictServerOptions server)
    {
        var now = keys.Now;
        server.SigningCredentials.Clear();
        server.SigningCredentials.AddRange(now.Signing.Select(k => new SigningCredentials(k.SecurityKey, SecurityAlgorithms.EcdsaSha256)));
        server.SigningCredentials.AddRange(now.Identity.Select(k => new SigningCredentials(k.SecurityKey, SecurityAlgorithms.RsaSha256)));
        server.EncryptionCredentials.Clear();
        server.EncryptionCredentials.AddRange(now.Encryption.Select(k => new EncryptingCredentials(k.SecurityKey, SecurityAlgorithms.Aes256KW, SecurityAlgorithms.Aes256CbcHmacSha512)));
    }

    public async ValueTask DisposeAsync()
    {
        if (_running is { } running)
            await running.Services.DisposeAsync();
        _making.Dispose();
    }

    sealed record Running(ServiceProvider Services, RequestDelegate Pipeline, IOptionsMonitorCache<OpenIddictServerOptions> Options)
    {
        /// <summary>Those that its options were last made with.</summary>
        public required KeySet Keys { get; set; }
    }
}
