using System.Buffers;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Tokens;

namespace Tandem.Users.OpenId;

/// <summary>
/// The requests that come all the time, where there is nothing to refuse: a refresh, and /userinfo and /introspect about a good token. Everything else, whatever is missing, wrong or
/// rare, goes to <see cref="TokenServer"/>, which gives these the same answers too: in one place it is said no, and this one only saves the way there (docs/decisions/0029-frequent-requests.md).
/// </summary>
sealed class FrequentRequests(
    TokenServer server, TokenGrants grants, TokenVerifier tokens, RefreshTokens refreshTokens, KeyRing keys, IdTokenKeys idTokenKeys, ClientTable clients, Db db, UsersOptions options, TimeProvider clock)
{
    /// <summary>Of an ID token; OpenIddict's default.</summary>
    static readonly TimeSpan IdTokenLifetime = TimeSpan.FromMinutes(20);

    static readonly JsonWebTokenHandler Writer = new() { SetDefaultTimesOnTokenCreation = false };

    readonly string _issuer = new Uri(options.Issuer).AbsoluteUri;

    /// <summary>Answers /token.</summary>
    public async Task TokenAsync(HttpContext http)
    {
        if (!await TryRefreshAsync(http))
            await server.AnswerAsync(http);
    }

    /// <summary>Answers /userinfo.</summary>
    public async Task DescribeAsync(HttpContext http)
    {
        if (await TryDescribeAsync(http))
            return;
        // A POST need not have a form (OpenID Connect Core, 5.3.1): with the token in its header it is what a GET is, and only as that OpenIddict reads it.
        var (request, method) = (http.Request, http.Request.Method);
        if (request.ContentType is null)
            request.Method = HttpMethods.Get;
        try
        {
            await server.AnswerAsync(http);
        }
        finally
        {
            request.Method = method;
        }
    }

    /// <summary>Answers /introspect.</summary>
    public async Task InspectAsync(HttpContext http)
    {
        if (!await TryInspectAsync(http))
            await server.AnswerAsync(http);
    }

    async Task<bool> TryRefreshAsync(HttpContext http)
    {
        var (now, ct) = (clock.UtcNow(), http.RequestAborted);
        if (await FormAsync(http.Request, "grant_type", "refresh_token") is not { } form || form["grant_type"] != "refresh_token"
            || await refreshTokens.ReadAsync(form["refresh_token"].ToString()) is not { } said || said.ExpiresAt <= now)
            return false;
        SigningCredentials? forClient = null;
        if (said.ClientId is null)
        {
            // The person itself. That it has to do with no client must be true of all that was sent.
            if (form.Count > 2 || http.Request.Headers.Authorization.Count > 0 || Client.Words(said.Scopes).Contains("openid"))
                return false;
        }
        else if (!TryReadClient(http.Request, form, out var id, out var secret) || id != said.ClientId
            || await clients.FindAsync(id, ct) is not { } client || !client.Owns(secret) || !client.MayUse(NewClient.Refresh))
            return false;
        else
            forClient = await idTokenKeys.OfAsync(client, ct);

        // Of one that is worth nothing any more the token server says so, and finds it no better.
        if (await grants.RefreshAsync(said.SessionId, said.Generation, now, http) is not { } session)
            return false;
        await AnswerAsync(http, json => WriteTokens(json, said, session, forClient, now));
        return true;
    }

    /// <param name="forClient">What its ID token is signed with; null for a person itself, who gets none.</param>
    void WriteTokens(Utf8JsonWriter json, RefreshToken said, Session session, SigningCredentials? forClient, DateTime now)
    {
        string[] scopes = said.ClientId is null ? ["offline_access", .. Client.Words(session.Scopes ?? "")] : Client.Words(session.Scopes ?? "");
        var scope = string.Join(' ', scopes);
        var audience = said.ClientId is null ? TokenServer.Audience : ClientScopes.AudienceOf(scopes, options);
        var claims = About(session);
        claims["scope"] = scope;
        claims["jti"] = Guid.NewGuid().ToString();
        if (said.ClientId is { } client)
            (claims["oi_prst"], claims["client_id"]) = (client, client);
        else
        {
            TellSignIn(claims, session);
            if (session.ActsAsAdministrator)
                claims["role"] = TokenServer.Administrator;
        }

        var access = Sign("at+jwt", audience, claims, now + options.AccessTokenLifetime, new SigningCredentials(keys.Now.Signing[0].SecurityKey, SecurityAlgorithms.EcdsaSha256));
        json.WriteString("access_token", access);
        json.WriteString("token_type", "bearer");
        json.WriteNumber("expires_in", (long)options.AccessTokenLifetime.TotalSeconds);
        // The contract has four members. A client is told what it got.
        if (said.ClientId is { } id && forClient is not null)
        {
            json.WriteString("scope", scope);
            if (scopes.Contains("openid"))
            {
                var about = About(session);
                TellSignIn(about, session);
                about["azp"] = id;
                about["at_hash"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(access)).AsSpan(..16));
                json.WriteString("id_token", Sign("JWT", id, about, now + IdTokenLifetime, forClient));
            }
        }

        // Of two exchanges of one refresh token the second gets what the first got.
        json.WriteString("refresh_token", refreshTokens.Write(new RefreshToken(session.Id, session.Generation, session.AccountId, said.ClientId, scope, session.RotatedAt,
            session.RotatedAt + options.RefreshTokenLifetime)));

        string Sign(string type, string audience, Dictionary<string, object> claims, DateTime expires, SigningCredentials credentials) => Writer.CreateToken(new SecurityTokenDescriptor
        {
            TokenType = type,
            Issuer = _issuer,
            Audience = audience,
            IssuedAt = now,
            Expires = expires,
            Claims = claims,
            SigningCredentials = credentials,
        });

        static Dictionary<string, object> About(Session session) => new()
        {
            ["sub"] = session.AccountId.ToString(CultureInfo.InvariantCulture),
            ["sid"] = session.Id.ToString(),
        };

        static void TellSignIn(Dictionary<string, object> claims, Session session)
        {
            claims["auth_time"] = new DateTimeOffset(session.AuthenticatedAt).ToUnixTimeSeconds();
            if (session.Methods is { } methods)
                claims["amr"] = Methods.Claim(methods);
        }
    }

    async Task<bool> TryDescribeAsync(HttpContext http)
    {
        var request = http.Request;
        if (request.ContentType is not null || request.ContentLength > 0 || request.QueryString.HasValue || !TryReadBearer(request, out var caller) || !caller.Scopes.Contains("openid"))
            return false;
        var person = await db.FindAsync<Person>($"""
            select name, email, email_verified_at is not null as is_verified from users_accounts
            where id = {caller.AccountId} and exists (select 1 from users_sessions where id = {caller.SessionId} and ended_at is null)
            """, http.RequestAborted);
        if (person is null)
            return false;
        await AnswerAsync(http, json =>
        {
            json.WriteString("sub", caller.AccountId.ToString(CultureInfo.InvariantCulture));
            if (caller.Scopes.Contains("email"))
            {
                json.WriteString("email", person.Email);
                json.WriteBoolean("email_verified", person.IsVerified);
            }

            json.WriteString("iss", _issuer);
            if (caller.Scopes.Contains("profile"))
                json.WriteString("name", person.Name);
        });
        return true;
    }

    async Task<bool> TryInspectAsync(HttpContext http)
    {
        var ct = http.RequestAborted;
        if (await FormAsync(http.Request, "token", "token_type_hint") is not { } form || !TryReadClient(http.Request, form, out var id, out var secret) || secret is null
            // OpenIddict tells the audience of a token more about it, and strangers nothing.
            || id == TokenServer.Audience)
            return false;
        var token = form["token"].ToString();
        if (!tokens.TryVerifyAny(token, out var caller) || caller.ClientId != id || await clients.FindAsync(id, ct) is not { IsPublic: false } client || !client.Owns(secret)
            || !await db.FindAsync<bool>($"select exists (select 1 from users_sessions where id = {caller.SessionId} and ended_at is null)", ct))
            return false;
        // It was verified: what it says is ours.
        using var payload = JsonDocument.Parse(Base64Url.DecodeFromChars(token.AsSpan(token.IndexOf('.') + 1, token.LastIndexOf('.') - token.IndexOf('.') - 1)));
        await AnswerAsync(http, json =>
        {
            json.WriteBoolean("active", true);
            Copy(json, "iss", "sub", "jti");
            json.WriteString("token_type", "Bearer");
            json.WriteString("token_usage", "access_token");
            Copy(json, "client_id", "iat");
            json.WritePropertyName("nbf");
            payload.RootElement.GetProperty("iat").WriteTo(json);
            Copy(json, "exp", "aud", "sid", "act");
        });
        return true;

        void Copy(Utf8JsonWriter json, params ReadOnlySpan<string> names)
        {
            foreach (var name in names)
                if (payload.RootElement.TryGetProperty(name, out var value))
                {
                    json.WritePropertyName(name);
                    value.WriteTo(json);
                }
        }
    }

    bool TryReadBearer(HttpRequest request, [NotNullWhen(true)] out Caller? caller)
    {
        const string Scheme = "Bearer ";
        caller = null;
        return request.Headers.Authorization is [{ } header] && header.StartsWith(Scheme, StringComparison.Ordinal) && tokens.TryVerifyAny(header.AsSpan(Scheme.Length), out caller);
    }

    /// <returns>The request's form, when it has these fields, the credentials of a client perhaps, and nothing else.</returns>
    static async Task<IFormCollection?> FormAsync(HttpRequest request, string one, string other)
    {
        if (request.QueryString.HasValue || !Forms.IsUrlEncoded(request))
            return null;
        var form = await Forms.ReadAsync(request);
        foreach (var (name, values) in form)
            if (values.Count != 1 || name != one && name != other && name is not ("client_id" or "client_secret"))
                return null;
        return form;
    }

    /// <summary>Reads who a client says it is: in the header or in the form (RFC 6749, 2.3.1), and not in both.</summary>
    static bool TryReadClient(HttpRequest request, IFormCollection form, out string id, out string? secret)
    {
        const string Scheme = "Basic ";
        (id, secret) = (form["client_id"].ToString(), form.TryGetValue("client_secret", out var sent) ? sent.ToString() : null);
        if (request.Headers.Authorization is not [{ } header])
            return id.Length > 0 && request.Headers.Authorization.Count == 0;
        var bytes = ArrayPool<byte>.Shared.Rent(header.Length);
        try
        {
            if (id.Length > 0 || secret is not null || !header.StartsWith(Scheme, StringComparison.Ordinal) || !Convert.TryFromBase64Chars(header.AsSpan(Scheme.Length), bytes, out var length)
                || !Ascii.IsValid(bytes.AsSpan(0, length)))
                return false;
            var text = Encoding.ASCII.GetString(bytes, 0, length);
            var colon = text.IndexOf(':', StringComparison.Ordinal);
            // What is encoded as in a form is rare.
            if (colon <= 0 || text.AsSpan().ContainsAny('%', '+'))
                return false;
            (id, secret) = (text[..colon], text[(colon + 1)..]);
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes, clearArray: true);
        }
    }

    static async Task AnswerAsync(HttpContext http, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>(1024);
        await using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        var response = http.Response;
        response.ContentType = "application/json;charset=UTF-8";
        response.ContentLength = buffer.WrittenCount;
        response.Headers.CacheControl = "no-store";
        response.Headers.Pragma = "no-cache";
        await response.Body.WriteAsync(buffer.WrittenMemory, http.RequestAborted);
    }

    sealed record Person(string Name, string Email, bool IsVerified);
}
