using System.Buffers.Text;
using System.Globalization;
using System.IdentityModel.Tokens.Jwt;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Protocols;
using Microsoft.IdentityModel.Protocols.OpenIdConnect;
using Microsoft.IdentityModel.Tokens;
using Tandem.Core;
using Tandem.Users.Look;

namespace Tandem.Users.Upstream;

/// <summary>
/// One provider, spoken to as OpenID Connect Core says: a code with PKCE, exchanged by this server itself. Configuration, keys and tokens are read and checked by Microsoft.IdentityModel; what it leaves to others
/// (the issuer of an answer, the age of a token, where a provider may point to) is here.
/// </summary>
sealed class Provider(string name, ProviderOptions options, HttpClient http, TimeProvider clock) : IDocumentRetriever
{
    static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    /// <summary>Providers change their keys over days, and announce them before.</summary>
    static readonly TimeSpan DiscoveryLifetime = TimeSpan.FromHours(1);

    /// <summary>A token of a key that is not known has the keys read anew, but not for everybody who makes one up.</summary>
    static readonly TimeSpan BetweenDiscoveries = TimeSpan.FromSeconds(30);

    /// <summary>A provider that is away is asked again after that; meanwhile nobody waits for it.</summary>
    static readonly TimeSpan BetweenFailures = TimeSpan.FromSeconds(5);

    /// <summary>It was made for this exchange, a moment ago.</summary>
    static readonly TimeSpan MaxTokenAge = TimeSpan.FromMinutes(5);

    static readonly TimeSpan Skew = TimeSpan.FromMinutes(1);

    /// <summary>Signatures by a key that the provider alone has: neither none, nor one by the secret that this server has as well.</summary>
    static readonly string[] Algorithms =
    [
        SecurityAlgorithms.RsaSha256, SecurityAlgorithms.RsaSha384, SecurityAlgorithms.RsaSha512, SecurityAlgorithms.RsaSsaPssSha256, SecurityAlgorithms.RsaSsaPssSha384,
        SecurityAlgorithms.RsaSsaPssSha512, SecurityAlgorithms.EcdsaSha256, SecurityAlgorithms.EcdsaSha384, SecurityAlgorithms.EcdsaSha512,
    ];

    static readonly JsonWebTokenHandler Tokens = new() { MapInboundClaims = false };

    // State and time are checked with the request that was kept.
    static readonly OpenIdConnectProtocolValidator Rules = new() { RequireTimeStampInNonce = false, RequireStateValidation = false };

    readonly Lock _gate = new();
    Task<OpenIdConnectConfiguration>? _discovery;
    DateTime _discoveredAt;

    /// <summary>In lower case, as addresses have it.</summary>
    public string Name => name;

    public ProviderOptions Options => options;

    /// <returns>Where a browser is sent to.</returns>
    /// <exception cref="UpstreamException">The provider cannot be reached, or its configuration is not right.</exception>
    public async Task<string> AddressAsync(string redirectUri, string state, Begun begun, Demand demand, CancellationToken ct)
    {
        var configuration = await DiscoverAsync(false, ct);
        var challenge = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(begun.Verifier)));
        return QueryHelpers.AddQueryString(configuration.AuthorizationEndpoint, new Dictionary<string, string?>
        {
            ["response_type"] = "code",
            ["client_id"] = options.ClientId,
            ["redirect_uri"] = redirectUri,
            ["scope"] = options.Scopes,
            ["state"] = state,
            ["nonce"] = begun.Nonce,
            ["code_challenge"] = challenge,
            ["code_challenge_method"] = "S256",
            ["prompt"] = demand.Prompt,
            ["max_age"] = demand.MaxAge?.ToString(CultureInfo.InvariantCulture),
            ["login_hint"] = demand.LoginHint,
            ["ui_locales"] = demand.UiLocales,
        });
    }

    /// <summary>Takes the answer that a browser brings from the provider.</summary>
    /// <param name="answer">The parameters of the address that it came to. That its state is right was looked at before.</param>
    /// <param name="redirectUri">That address, as the provider was told it.</param>
    /// <param name="begun">What was kept of the request.</param>
    /// <exception cref="UpstreamException">Something of it is not right.</exception>
    public async Task<Identity> TakeAsync(IQueryCollection answer, string redirectUri, Begun begun, CancellationToken ct)
    {
        var configuration = await DiscoverAsync(false, ct);
        // RFC 9207, 2.4: before anything else of the answer is used. An answer of another provider leads nowhere, and its code to nobody.
        if (answer.TryGetValue("iss", out var issuer) ? issuer.ToString() != options.Issuer : configuration.AuthorizationResponseIssParameterSupported)
            throw UpstreamException.Refused("other-issuer");
        if (answer.TryGetValue("error", out var error))
            throw UpstreamException.Refused(error == "access_denied" ? "denied" : "refused", Printable(error.ToString()));
        if (answer["code"].ToString() is not { Length: > 0 and <= 4096 } code)
            throw UpstreamException.Refused("no-code");

        using var tokens = await ExchangeAsync(configuration, code, redirectUri, begun.Verifier, ct);
        if (TextOf(tokens.RootElement, "id_token") is not { } idToken)
            throw UpstreamException.Refused("no-token");
        var accessToken = TextOf(tokens.RootElement, "access_token");
        using var claims = await CheckAsync(configuration, idToken, accessToken, begun.Nonce, ct);
        var subject = TextOf(claims.RootElement, "sub");
        // OpenID Connect Core, 2: at most 255 characters of ASCII.
        if (subject is not { Length: > 0 and <= 255 } || subject.Any(c => c is < ' ' or > '~'))
            throw UpstreamException.Refused("no-subject");
        var signedInAt = TimeOf(claims.RootElement, "auth_time");
        // 3.1.2.1: with max_age the token has to say it. Who was asked by prompt alone need not, but what it says counts.
        if (signedInAt is null && begun.NeedsAuthTime)
            throw UpstreamException.Refused("no-time");
        if (signedInAt < begun.FreshSince - Skew)
            throw UpstreamException.Refused("signed-in-before");
        var hasTwoSteps = claims.RootElement.TryGetProperty("amr", out var methods) && methods.ValueKind == JsonValueKind.Array
            && methods.EnumerateArray().Any(m => m.ValueKind == JsonValueKind.String && m.ValueEquals("mfa"));
        // Many keep what they know of a person out of the ID token where there is an access token.
        if (TextOf(claims.RootElement, "email") is null && accessToken is not null && configuration.UserInfoEndpoint is { Length: > 0 } place)
        {
            using var person = await DescribeAsync(place, accessToken, ct);
            // 5.3.2: it may be about somebody else.
            if (TextOf(person.RootElement, "sub") != subject)
                throw UpstreamException.Refused("other-person");
            return Identity.Of(subject, person.RootElement, signedInAt, hasTwoSteps);
        }

        return Identity.Of(subject, claims.RootElement, signedInAt, hasTwoSteps);
    }

    async Task<JsonDocument> ExchangeAsync(OpenIdConnectConfiguration configuration, string code, string redirectUri, string verifier, CancellationToken ct)
    {
        var form = new Dictionary<string, string> { ["grant_type"] = "authorization_code", ["code"] = code, ["redirect_uri"] = redirectUri, ["code_verifier"] = verifier };
        using var request = new HttpRequestMessage(HttpMethod.Post, configuration.TokenEndpoint);
        var methods = configuration.TokenEndpointAuthMethodsSupported;
        // Discovery 1.0, 3: where nothing is said, it is client_secret_basic.
        if (options.ClientSecret is { } secret && (methods.Count == 0 || methods.Contains("client_secret_basic")))
            // RFC 6749, 2.3.1: both are encoded as in a form.
            request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.ASCII.GetBytes($"{FormEncode(options.ClientId)}:{FormEncode(secret)}")));
        else
        {
            form["client_id"] = options.ClientId;
            if (options.ClientSecret is not null)
                form["client_secret"] = options.ClientSecret;
        }

        request.Content = new FormUrlEncodedContent(form);
        var (status, body) = await SendAsync(request, ct);
        if (status is 400 or 401 && Parse(body) is { } refusal)
            using (refusal)
                throw UpstreamException.Refused("code-refused", Printable(TextOf(refusal.RootElement, "error") ?? ""));
        return Expect(status, body, "token");
    }

    async Task<JsonDocument> DescribeAsync(string place, string accessToken, CancellationToken ct)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, place);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", accessToken);
        request.Headers.Accept.ParseAdd("application/json");
        var (status, body) = await SendAsync(request, ct);
        return Expect(status, body, "userinfo");
    }

    /// <summary>OpenID Connect Core, 3.1.3.7 and 3.1.3.8.</summary>
    /// <returns>The claims.</returns>
    async Task<JsonDocument> CheckAsync(OpenIdConnectConfiguration configuration, string idToken, string? accessToken, string nonce, CancellationToken ct)
    {
        var result = await Tokens.ValidateTokenAsync(idToken, ParametersFor(configuration));
        // The provider may have keys by now that it had not when they were read.
        if (result.Exception is SecurityTokenInvalidSignatureException && await DiscoverAsync(true, ct) is var newer && newer != configuration)
            result = await Tokens.ValidateTokenAsync(idToken, ParametersFor(newer));
        if (!result.IsValid || result.SecurityToken is not JsonWebToken token)
            throw UpstreamException.Refused("bad-token", result.Exception?.GetType().Name, result.Exception);
        try
        {
            Rules.ValidateTokenResponse(new OpenIdConnectProtocolValidationContext
            {
                ClientId = options.ClientId,
                Nonce = nonce,
                ProtocolMessage = new OpenIdConnectMessage { IdToken = idToken, AccessToken = accessToken },
                ValidatedIdToken = JwtSecurityTokenConverter.Convert(token),
            });
        }
        catch (OpenIdConnectProtocolException e)
        {
            throw UpstreamException.Refused("foreign-token", e.GetType().Name, e);
        }

        var age = clock.UtcNow() - token.IssuedAt;
        if (age > MaxTokenAge || age < -Skew)
            throw UpstreamException.Refused("old-token");
        var claims = JsonDocument.Parse(Base64Url.DecodeFromChars(token.EncodedPayload));
        // 3.1.3.7: the library looks at azp only where there are several audiences.
        if (TextOf(claims.RootElement, "azp") is { } party && party != options.ClientId)
        {
            claims.Dispose();
            throw UpstreamException.Refused("foreign-token", "azp");
        }

        return claims;
    }

    TokenValidationParameters ParametersFor(OpenIdConnectConfiguration configuration) => new()
    {
        ValidIssuer = options.Issuer,
        ValidAudience = options.ClientId,
        IssuerSigningKeys = configuration.SigningKeys,
        ValidAlgorithms = Algorithms,
        LifetimeValidator = (notBefore, expires, _, _) => expires is { } end && clock.UtcNow() is var now && end > now - Skew && (notBefore is null || notBefore < now + Skew),
    };

    /// <summary>What the provider says of itself, with its keys. Whoever asks at once waits for the same answer.</summary>
    /// <param name="anew">It may have changed.</param>
    Task<OpenIdConnectConfiguration> DiscoverAsync(bool anew, CancellationToken ct)
    {
        lock (_gate)
        {
            var age = clock.UtcNow() - _discoveredAt;
            if (_discovery is null || _discovery.IsCompletedSuccessfully && age > (anew ? BetweenDiscoveries : DiscoveryLifetime) || _discovery.IsFaulted && age > BetweenFailures)
                (_discovery, _discoveredAt) = (DiscoverAsync(), clock.UtcNow());
            return _discovery.WaitAsync(ct);
        }
    }

    async Task<OpenIdConnectConfiguration> DiscoverAsync()
    {
        OpenIdConnectConfiguration configuration;
        try
        {
            // For everybody who waits: it ends by its own time, not with the first of them.
            configuration = await OpenIdConnectConfigurationRetriever.GetAsync(options.Issuer.TrimEnd('/') + "/.well-known/openid-configuration", this, CancellationToken.None);
        }
        catch (Exception e) when (e.GetBaseException() is UpstreamException inner)
        {
            throw inner;
        }
        // Whatever the library finds wrong with a document that somebody else has written.
        catch (Exception e) when (e is not UpstreamException)
        {
            throw UpstreamException.Unavailable("unreadable", e.GetType().Name, e);
        }

        // Discovery 1.0, 4.3.
        if (configuration.Issuer != options.Issuer)
            throw UpstreamException.Unavailable("foreign-configuration", Printable(configuration.Issuer ?? ""));
        string?[] places = [configuration.AuthorizationEndpoint, configuration.TokenEndpoint, configuration.JwksUri];
        if (Array.Find(places, p => !IsSafe(p)) is { } || places.Contains(null) || !string.IsNullOrEmpty(configuration.UserInfoEndpoint) && !IsSafe(configuration.UserInfoEndpoint))
            throw UpstreamException.Unavailable("unsafe");
        return configuration;
    }

    async Task<string> IDocumentRetriever.GetDocumentAsync(string address, CancellationToken cancel)
    {
        if (!IsSafe(address))
            throw UpstreamException.Unavailable("unsafe");
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        var (status, body) = await SendAsync(request, cancel);
        return status == 200 ? Encoding.UTF8.GetString(body) : throw UpstreamException.Unavailable("no-configuration", status.ToString(CultureInfo.InvariantCulture));
    }

    // What is said over https is not sent on without it.
    bool IsSafe(string? address) => Uri.TryCreate(address, UriKind.Absolute, out var uri) && ProviderOptions.IsSafe(uri) && (uri.Scheme == "https" || options.Issuer.StartsWith("http:", StringComparison.OrdinalIgnoreCase));

    /// <summary>Calls the provider: for ten seconds at most, and not for more than <see cref="Providers.MaxAnswer"/>.</summary>
    async Task<(int Status, byte[] Body)> SendAsync(HttpRequestMessage request, CancellationToken ct)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(ct);
        late.CancelAfter(Timeout);
        try
        {
            using var response = await http.SendAsync(request, late.Token);
            return ((int)response.StatusCode, await response.Content.ReadAsByteArrayAsync(late.Token));
        }
        catch (HttpRequestException e)
        {
            throw UpstreamException.Unavailable(e.HttpRequestError == HttpRequestError.ConfigurationLimitExceeded ? "too-much" : "unreachable", e.HttpRequestError.ToString(), e);
        }
        catch (OperationCanceledException e) when (!ct.IsCancellationRequested)
        {
            throw UpstreamException.Unavailable("late", inner: e);
        }
    }

    static JsonDocument Expect(int status, byte[] body, string what)
    {
        if (status == 200 && Parse(body) is { } json)
            return json;
        throw UpstreamException.Unavailable("bad-answer", string.Create(CultureInfo.InvariantCulture, $"{what}: {status}"));
    }

    /// <returns>Null when it is no JSON object.</returns>
    static JsonDocument? Parse(byte[] body)
    {
        try
        {
            var json = JsonDocument.Parse(body);
            if (json.RootElement.ValueKind == JsonValueKind.Object)
                return json;
            json.Dispose();
            return null;
        }
        catch (JsonException)
        {
            return null; // Who calls says what was expected instead.
        }
    }

    internal static string? TextOf(JsonElement json, string member) => json.TryGetProperty(member, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    /// <returns>UTC; null where it is no time of seconds since 1970.</returns>
    static DateTime? TimeOf(JsonElement json, string member) =>
        json.TryGetProperty(member, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var seconds) && seconds is >= 0 and < 253_402_300_800
            ? DateTime.UnixEpoch.AddSeconds(Math.Floor(seconds))
            : null;

    static string FormEncode(string text) => Uri.EscapeDataString(text).Replace("%20", "+", StringComparison.Ordinal);

    /// <summary>What a stranger wrote, fit for a line of the log.</summary>
    static string Printable(string text) => string.Concat(text.Take(100).Select(c => c is >= ' ' and <= '~' ? c : '?'));
}

/// <summary>Who somebody is, as a provider says.</summary>
/// <param name="Subject">Never given to somebody else there.</param>
/// <param name="Email">Null where the provider says none, or none that mail could be sent to.</param>
/// <param name="IsEmailVerified">The provider says that the mailbox is the person's own.</param>
/// <param name="Name">1 to 200 characters; null where the provider says none.</param>
/// <param name="SignedInAt">When the person has last shown there who he is, UTC; null where the provider does not say it.</param>
/// <param name="HasTwoSteps">The provider says that the person has shown there more than one thing.</param>
sealed record Identity(string Subject, string? Email, bool IsEmailVerified, string? Name, DateTime? SignedInAt, bool HasTwoSteps)
{
    public static Identity Of(string subject, JsonElement claims, DateTime? signedInAt, bool hasTwoSteps)
    {
        var email = Provider.TextOf(claims, "email");
        if (email is not { Length: <= 254 } || !new EmailAttribute().IsValid(email))
            email = null;
        // Some write it as text.
        var isVerified = claims.TryGetProperty("email_verified", out var verified) && (verified.ValueKind == JsonValueKind.True || verified.ValueKind == JsonValueKind.String && verified.GetString() == "true");
        var name = Provider.TextOf(claims, "name") is { } said && new NotBlankAttribute().IsValid(said) && !said.Contains('\0') ? said : null;
        if (name?.Length > 200)
            name = name[..(char.IsHighSurrogate(name[199]) ? 199 : 200)];
        return new Identity(subject, email, email is not null && isVerified, name, signedInAt, hasTwoSteps);
    }
}

/// <summary>A sign-in by a provider that comes to nothing.</summary>
/// <param name="isRefused">What came was wrong; otherwise the provider is away, or not what it should be.</param>
/// <param name="reason">One of a few: <c>upstream-reason.…</c> of the languages is its sentence.</param>
/// <param name="detail">What the log has beside it.</param>
sealed class UpstreamException(bool isRefused, string reason, string? detail, Exception? inner) : Exception(English[Sentence(reason)], inner)
{
    // Not the operator's own words, which change: the trail is read by programs as well.
    static readonly IReadOnlyDictionary<string, string> English = Languages.BuiltInSentences("en");

    public bool IsRefused => isRefused;

    /// <summary>For the audit trail and the log.</summary>
    public string Reason => Message;

    public string Detail => detail ?? "";

    /// <summary>For the person.</summary>
    public string Say(Language t) => t.Say(Sentence(reason));

    public static UpstreamException Refused(string reason, string? detail = null, Exception? inner = null) => new(true, reason, detail, inner);

    public static UpstreamException Unavailable(string reason, string? detail = null, Exception? inner = null) => new(false, reason, detail, inner);

    static string Sentence(string reason) => $"upstream-reason.{reason}";
}
