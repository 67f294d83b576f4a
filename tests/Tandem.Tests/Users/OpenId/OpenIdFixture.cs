using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.AspNetCore.Connections;

namespace Tandem.Tests.Users.OpenId;

/// <summary>One program for the tests of a class, whose issuer is the address it listens on, as clients want it.</summary>
public sealed class OpenIdFixture : IAsyncLifetime
{
    TestApp? _app;

    public TestApp App => _app ?? throw new InvalidOperationException("The program has not been started yet.");

    public async ValueTask InitializeAsync() => _app = await StartAsync();

    public async ValueTask DisposeAsync()
    {
        if (_app is not null)
            await _app.DisposeAsync();
    }

    public static async Task<TestApp> StartAsync(Action<TandemApp>? configure = null, params string[] settings)
    {
        // The issuer has to be known before the start, and so the port, which another test may take in between.
        for (var tries = 1; ; tries++)
            try
            {
                return await StartOnceAsync(configure, settings);
            }
            catch (IOException e) when (e.InnerException is AddressInUseException && tries < 5)
            {
            }
    }

    static Task<TestApp> StartOnceAsync(Action<TandemApp>? configure, string[] settings)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}";
        listener.Stop();
        return TestApp.StartAsync(configure, null, ["--urls", address, "--Users:Issuer", $"{address}/", .. settings]);
    }
}

static class OpenIdClients
{
    public const string Callback = "https://app.example.com/callback?from=tandem";

    /// <summary>Registers a client over the API.</summary>
    public static async Task<TestClient> ClientAsync(this TestApp app, bool isPublic = false, bool isTrusted = true, string redirect = Callback, string[]? scopes = null, string[]? grants = null)
    {
        using var admin = await app.AdministratorAsync();
        var id = $"c{Guid.NewGuid():n}";
        var answer = await (await admin.Http.PostAsJsonAsync("/clients", new
        {
            id,
            name = "The <Shop>",
            redirect_uris = grants is null || grants.Contains("authorization_code") ? new[] { redirect } : null,
            post_logout_redirect_uris = new[] { "https://app.example.com/bye" },
            grant_types = grants,
            scopes,
            is_public = isPublic,
            is_trusted = isTrusted,
        })).JsonAsync(201);
        return new TestClient(id, answer.GetProperty("secret").GetString(), redirect);
    }

    /// <summary>Exchanges a code, or whatever else the form says; or sends it elsewhere.</summary>
    public static Task<HttpResponseMessage> TokenAsync(this TestApp app, TestClient client, Dictionary<string, string> form, string path = "/token")
    {
        form["client_id"] = client.Id;
        if (client.Secret is not null)
            form["client_secret"] = client.Secret;
        return app.Http.PostAsync(path, new FormUrlEncodedContent(form));
    }

    public static Task<HttpResponseMessage> RedeemAsync(this TestApp app, TestClient client, string code, string verifier = SignIn.Verifier, string? redirect = null) =>
        app.TokenAsync(client, new() { ["grant_type"] = "authorization_code", ["code"] = code, ["code_verifier"] = verifier, ["redirect_uri"] = redirect ?? client.Redirect });

    /// <summary>Signs a new person in to the client.</summary>
    /// <returns>The answer of /token.</returns>
    public static async Task<JsonElement> SignInAsync(this TestApp app, TestClient client, string email, TestBrowser browser, string scope = "openid profile email offline_access")
    {
        var answer = await browser.SignInAsync(SignIn.Url(client, scope), email);
        return await (await app.RedeemAsync(client, answer["code"])).JsonAsync();
    }
}

sealed record TestClient(string Id, string? Secret, string Redirect);

/// <summary>Requests to /authorize.</summary>
static class SignIn
{
    // RFC 7636, appendix B.
    public const string Verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    public const string Challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    public static string Url(TestClient client, string scope = "openid", params (string Name, string? Value)[] changes)
    {
        var query = new Dictionary<string, string?>
        {
            ["response_type"] = "code",
            ["client_id"] = client.Id,
            ["redirect_uri"] = client.Redirect,
            ["scope"] = scope,
            ["state"] = "st&te",
            ["nonce"] = "n0nce",
            ["code_challenge"] = Challenge,
            ["code_challenge_method"] = "S256",
        };
        foreach (var (name, value) in changes)
            query[name] = value;
        return "/authorize?" + string.Join('&', query.Where(q => q.Value is not null).Select(q => $"{q.Key}={Uri.EscapeDataString(q.Value!)}"));
    }
}
