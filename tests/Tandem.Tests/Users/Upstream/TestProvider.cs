using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Logging;

namespace Tandem.Tests.Users.Upstream;

/// <summary>A provider that signs in whoever <see cref="Who"/> says, without asking, and lies where it is told to. Its tokens are written by hand, so that any of them can be wrong.</summary>
sealed class TestProvider : IAsyncDisposable
{
    public const string ClientId = "tandem & co";
    public const string ClientSecret = "a secret: with + and % in it";

    readonly WebApplication _app;
    readonly HttpClient _http = new(new HttpClientHandler { AllowAutoRedirect = false, UseCookies = false });
    readonly Dictionary<string, (string Nonce, string Challenge, string RedirectUri, bool WantsTime)> _codes = [];

    TestProvider(WebApplication app) => _app = app;

    public string Issuer { get; private set; } = "";

    /// <summary>What the ID token says of the person.</summary>
    public Dictionary<string, object?> Who { get; set; } = [];

    /// <summary>Changes the ID token before it is signed.</summary>
    public Action<Dictionary<string, object?>> Lie { get; set; } = _ => { };

    /// <summary>Signs; its public half is what the keys show.</summary>
    public ECDsa Key { get; set; } = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    public string KeyId { get; set; } = "first";

    /// <summary>Signs in place of <see cref="Key"/>.</summary>
    public Func<string, string>? SignOtherwise { get; set; }

    public string Algorithm { get; set; } = "ES256";

    /// <summary>The <c>iss</c> of the answer; null: none, although it is announced.</summary>
    public string? AnswerIssuer { get; set; }

    public bool AnnouncesIssuer { get; set; } = true;

    public string? SaysItIs { get; set; }

    /// <summary>Takes the place of an endpoint: /token, /jwks, …</summary>
    public Dictionary<string, RequestDelegate> Instead { get; } = [];

    /// <summary>What userinfo answers; null: the ID token has it all.</summary>
    public Dictionary<string, object?>? UserInfo { get; set; }

    /// <summary>What the last browser that was sent here was sent with.</summary>
    public Dictionary<string, string> Wanted { get; private set; } = [];

    /// <summary>Paths that were asked for.</summary>
    public List<string> Asked { get; } = [];

    public static async Task<TestProvider> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0").UseKestrel();
        builder.Logging.ClearProviders();
        var app = builder.Build();
        var provider = new TestProvider(app);
        app.Run(provider.AnswerAsync);
        await app.StartAsync();
        provider.AnswerIssuer = provider.Issuer = app.Urls.First();
        return provider;
    }

    /// <summary>The settings of a program that knows it.</summary>
    public string[] Settings(string name, params (string Key, string Value)[] more) =>
    [
        $"--Users:Upstream:{name}:Issuer", Issuer, $"--Users:Upstream:{name}:ClientId", ClientId, $"--Users:Upstream:{name}:ClientSecret", ClientSecret,
        .. more.SelectMany(m => new[] { $"--Users:Upstream:{name}:{m.Key}", m.Value }),
    ];

    /// <summary>Somebody new, whose e-mail is confirmed there.</summary>
    public string SomebodyNew()
    {
        var email = TestUsers.NewEmail();
        Who = new() { ["sub"] = $"s-{Guid.NewGuid():n}", ["email"] = email, ["email_verified"] = true, ["name"] = "Ada of Elsewhere" };
        return email;
    }

    /// <summary>What a browser does that was sent here.</summary>
    /// <returns>Where it is sent back to.</returns>
    public async Task<string> VisitAsync(string address)
    {
        using var answer = await _http.GetAsync(address);
        return answer.Headers.Location?.OriginalString ?? throw new InvalidOperationException($"{(int)answer.StatusCode} at {address}");
    }

    async Task AnswerAsync(HttpContext http)
    {
        var path = http.Request.Path.Value!;
        lock (Asked)
            Asked.Add(path);
        if (Instead.TryGetValue(path, out var instead))
        {
            await instead(http);
            return;
        }

        switch (path)
        {
            case "/.well-known/openid-configuration":
                await http.Response.WriteAsJsonAsync(new Dictionary<string, object?>
                {
                    ["issuer"] = SaysItIs ?? Issuer,
                    ["authorization_endpoint"] = $"{Issuer}/authorize",
                    ["token_endpoint"] = $"{Issuer}/token",
                    ["userinfo_endpoint"] = $"{Issuer}/userinfo",
                    ["jwks_uri"] = $"{Issuer}/jwks",
                    ["authorization_response_iss_parameter_supported"] = AnnouncesIssuer,
                });
                break;
            case "/jwks":
                var point = Key.ExportParameters(false).Q;
                await http.Response.WriteAsJsonAsync(new
                {
                    keys = new[] { new { kty = "EC", crv = "P-256", use = "sig", kid = KeyId, x = Base64Url.EncodeToString(point.X), y = Base64Url.EncodeToString(point.Y) } },
                });
                break;
            case "/authorize":
                Authorize(http);
                break;
            case "/token":
                await GiveAsync(http);
                break;
            case "/userinfo" when http.Request.Headers.Authorization == "Bearer access":
                await http.Response.WriteAsJsonAsync(UserInfo ?? []);
                break;
            default:
                http.Response.StatusCode = 404;
                break;
        }
    }

    void Authorize(HttpContext http)
    {
        var query = http.Request.Query;
        Assert.Equal(("code", ClientId, "S256"), (query["response_type"].ToString(), query["client_id"].ToString(), query["code_challenge_method"].ToString()));
        Assert.Contains("openid", query["scope"].ToString().Split(' '));
        Wanted = query.ToDictionary(q => q.Key, q => q.Value.ToString());
        var code = Guid.NewGuid().ToString("n");
        lock (_codes)
            _codes.Add(code, (query["nonce"].ToString(), query["code_challenge"].ToString(), query["redirect_uri"].ToString(), query.ContainsKey("max_age")));
        var answer = new Dictionary<string, string?> { ["code"] = code, ["state"] = query["state"], ["iss"] = AnswerIssuer };
        http.Response.Redirect(QueryHelpers.AddQueryString(query["redirect_uri"].ToString(), answer.Where(a => a.Value is not null)));
    }

    async Task GiveAsync(HttpContext http)
    {
        var form = await http.Request.ReadFormAsync();
        var credentials = Encoding.UTF8.GetString(Convert.FromBase64String(http.Request.Headers.Authorization.ToString()["Basic ".Length..])).Split(':');
        (string Nonce, string Challenge, string RedirectUri, bool WantsTime) asked;
        bool isKnown;
        lock (_codes)
            isKnown = _codes.Remove(form["code"].ToString(), out asked);
        var isRight = isKnown && credentials is [var id, var secret] && Decode(id) == ClientId && Decode(secret) == ClientSecret && form["redirect_uri"] == asked.RedirectUri
            && Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(form["code_verifier"].ToString()))) == asked.Challenge;
        if (!isRight)
        {
            http.Response.StatusCode = 400;
            await http.Response.WriteAsJsonAsync(new { error = "invalid_grant" });
            return;
        }

        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        var claims = new Dictionary<string, object?>(Who) { ["iss"] = Issuer, ["aud"] = ClientId, ["iat"] = now, ["exp"] = now + 300, ["nonce"] = asked.Nonce };
        if (asked.WantsTime)
            claims.TryAdd("auth_time", now);
        Lie(claims);
        await http.Response.WriteAsJsonAsync(new { token_type = "Bearer", access_token = "access", id_token = Sign(claims) });
    }

    string Sign(Dictionary<string, object?> claims)
    {
        var text = $"{Part(new { alg = Algorithm, kid = KeyId, typ = "JWT" })}.{Part(claims)}";
        return $"{text}.{SignOtherwise?.Invoke(text) ?? Base64Url.EncodeToString(Key.SignData(Encoding.ASCII.GetBytes(text), HashAlgorithmName.SHA256))}";

        static string Part(object part) => Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(part));
    }

    static string Decode(string text) => Uri.UnescapeDataString(text.Replace('+', ' '));

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _app.DisposeAsync();
        Key.Dispose();
    }
}
