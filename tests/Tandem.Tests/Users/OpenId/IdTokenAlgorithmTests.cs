using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Tests.Users.OpenId;

/// <summary>A client has its ID tokens signed with RS256 (OpenID Connect Core, 15.1), by a key that nobody else pays for.</summary>
public sealed class IdTokenAlgorithmTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_RSA_key_is_made_for_the_first_client_that_wants_it_and_signs_its_ID_tokens_alone()
    {
        await using var app = await OpenIdFixture.StartAsync();
        var plain = await app.ClientAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        Assert.Equal("ES256", await ShouldVerifyAsync(app, plain, await app.SignInAsync(plain, person.Email, browser)));
        Assert.Equal(["EC"], await KindsAsync(app));

        var client = await RsaClientAsync(app);
        await Eventually.TrueAsync(async () => (await KindsAsync(app)).SequenceEqual(["EC", "RSA"]));
        var rsa = (await KeysAsync(app)).Single(k => k.GetProperty("kty").GetString() == "RSA");
        Assert.Equal(("RS256", "sig", 16), (rsa.GetProperty("alg").GetString(), rsa.GetProperty("use").GetString(), rsa.GetProperty("kid").GetString()!.Length));
        Assert.True(Base64UrlEncoder.DecodeBytes(rsa.GetProperty("n").GetString()).Length >= 256);
        foreach (var secret in new[] { "d", "p", "q", "dp", "dq", "qi" })
            Assert.False(rsa.TryGetProperty(secret, out _));
        var configuration = await (await app.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync();
        Assert.Equal(["ES256", "RS256"], configuration.GetProperty("id_token_signing_alg_values_supported").EnumerateArray().Select(a => a.GetString()).Order());

        var tokens = await app.SignInAsync(client, person.Email, browser);
        Assert.Equal("RS256", await ShouldVerifyAsync(app, client, tokens));
        var quick = await RefreshAsync(app, client, tokens);
        Assert.Equal("RS256", await ShouldVerifyAsync(app, client, quick));
        Assert.Equal("RS256", await ShouldVerifyAsync(app, client, await RefreshAsync(app, client, quick, "more")));
        Assert.Equal("ES256", await ShouldVerifyAsync(app, plain, await app.SignInAsync(plain, person.Email, browser)));
        // An ID token is none for the API, whatever it is signed with, and a hint at signing out.
        using var http = app.With(tokens.GetProperty("id_token").GetString()!);
        await (await http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        var back = await browser.GetAsync($"/logout?id_token_hint={tokens.GetProperty("id_token").GetString()}&post_logout_redirect_uri={Uri.EscapeDataString("https://app.example.com/bye")}");
        Assert.StartsWith("https://app.example.com/bye", back.Location);
    }

    [Fact]
    public async Task A_client_changes_to_RS256_and_back_and_nothing_else_is_taken()
    {
        await using var app = await OpenIdFixture.StartAsync();
        var client = await app.ClientAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var tokens = await app.SignInAsync(client, person.Email, browser);
        foreach (var alg in new[] { "RS256", "ES256" })
        {
            Assert.Equal(alg, (await (await PatchAsync(alg)).JsonAsync()).GetProperty("id_token_signed_response_alg").GetString());
            tokens = await RefreshAsync(app, client, tokens);
            Assert.Equal(alg, await ShouldVerifyAsync(app, client, tokens));
        }

        foreach (var bad in new[] { "none", "HS256", "PS256", "rs256", "" })
        {
            var problem = await (await PatchAsync(bad)).ShouldBeProblemAsync(422, "http/invalid");
            Assert.Equal("must be ES256 or RS256", problem.GetProperty("errors").GetProperty("id_token_signed_response_alg")[0].GetString());
        }

        var service = await (await admin.Http.PostAsJsonAsync("/clients", new { id = "service", id_token_signed_response_alg = "RS256" }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.True(service.GetProperty("errors").TryGetProperty("id_token_signed_response_alg", out _));
        var (code, output, error) = await CommandTests.RunAsync(app.Data, "", "client", "create", "--id", "by-hand", "--redirect", "https://a.example/cb", "--id-token-alg", "RS256", "--json");
        Assert.Equal((0, ""), (code, error));
        Assert.Equal("RS256", JsonDocument.Parse(output).RootElement.GetProperty("client").GetProperty("id_token_signed_response_alg").GetString());
        (code, _, error) = await CommandTests.RunAsync(app.Data, "", "client", "create", "--id", "other", "--redirect", "https://a.example/cb", "--id-token-alg", "none");
        Assert.Equal(2, code);
        Assert.Contains("id_token_signed_response_alg must be ES256 or RS256", error);

        Task<HttpResponseMessage> PatchAsync(string alg) => admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", new { id_token_signed_response_alg = alg }, Ct);
    }

    [Fact]
    public async Task The_RSA_key_takes_turns_with_the_others_and_is_revoked_as_they_are()
    {
        await using var app = await OpenIdFixture.StartAsync();
        var rotation = app.Services.GetRequiredService<KeyRotation>();
        Assert.Equal(2, (await rotation.RotateAsync(atOnce: true, Origin.Operator, Ct)).Count);
        var client = await RsaClientAsync(app);
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var first = await app.SignInAsync(client, person.Email, browser);

        // Announced, it is published and signs nothing yet.
        var next = (await rotation.RotateAsync(atOnce: false, Origin.Operator, Ct)).Single(k => k.Purpose == Keys.Identity);
        Assert.Equal((await rotation.ListAsync(Ct)).Single(k => k is { Purpose: Keys.Access, RetiredAt: null }).SignsFrom, next.SignsFrom);
        Assert.Contains(next.Id, (await KeysAsync(app)).Select(k => k.GetProperty("kid").GetString()));
        var second = await RefreshAsync(app, client, first);
        Assert.Equal(KeyOf(first), KeyOf(second));
        Assert.Equal(next.Id, (await rotation.RotateAsync(atOnce: true, Origin.Operator, Ct)).Single(k => k.Purpose == Keys.Identity).Id);
        var third = await RefreshAsync(app, client, second);
        Assert.Equal(next.Id, KeyOf(third));
        Assert.Equal("RS256", await ShouldVerifyAsync(app, client, third));
        Assert.Equal("RS256", await ShouldVerifyAsync(app, client, first));

        var output = (await CommandTests.RunAsync(app.Data, "", "signing-key", "list")).Output;
        Assert.Matches($"(?m)^{next.Id}  rs256     current ", output);
        Assert.Equal(0, (await CommandTests.RunAsync(app.Data, "", "signing-key", "revoke", next.Id, "--yes")).Code);
        await Eventually.TrueAsync(async () => (await KeysAsync(app)).All(k => k.GetProperty("kid").GetString() != next.Id));
        var fourth = await RefreshAsync(app, client, third);
        Assert.NotEqual(next.Id, KeyOf(fourth));
        Assert.Equal("RS256", await ShouldVerifyAsync(app, client, fourth));
    }

    [Fact]
    public async Task A_client_that_registers_itself_has_it_too()
    {
        await using var app = await OpenIdFixture.StartAsync(null, "--Users:DynamicRegistration", "open");
        var made = await (await app.Http.PostAsJsonAsync("/register", new { redirect_uris = new[] { OpenIdClients.Callback }, id_token_signed_response_alg = "RS256" }, Ct)).JsonAsync(201);
        Assert.Equal("RS256", made.GetProperty("id_token_signed_response_alg").GetString());
        var client = new TestClient(made.GetProperty("client_id").GetString()!, made.GetProperty("client_secret").GetString(), OpenIdClients.Callback);
        using var person = await app.PersonAsync();
        using var browser = new TestBrowser(app);
        var page = await browser.FillInAsync(await browser.GetAsync(SignIn.Url(client)), person.Email);
        var code = (await browser.PressAsync(page, "allow")).Answer["code"];
        Assert.Equal("RS256", await ShouldVerifyAsync(app, client, await (await app.RedeemAsync(client, code)).JsonAsync()));
    }

    static async Task<TestClient> RsaClientAsync(TestApp app)
    {
        var client = await app.ClientAsync();
        using var admin = await app.AdministratorAsync();
        await (await admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", new { id_token_signed_response_alg = "RS256" }, Ct)).JsonAsync();
        return client;
    }

    static async Task<JsonElement> RefreshAsync(TestApp app, TestClient client, JsonElement tokens, string? more = null)
    {
        var form = new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! };
        if (more is not null)
            form[more] = "1";
        return await (await app.TokenAsync(client, form)).JsonAsync();
    }

    /// <returns>What the ID token is signed with; a published key verifies it, and the access token is ES256.</returns>
    static async Task<string> ShouldVerifyAsync(TestApp app, TestClient client, JsonElement tokens)
    {
        var (id, access) = (tokens.GetProperty("id_token").GetString()!, tokens.GetProperty("access_token").GetString()!);
        var valid = await new JsonWebTokenHandler().ValidateTokenAsync(id, new TokenValidationParameters
        {
            ValidIssuer = app.Address + "/",
            ValidAudience = client.Id,
            IssuerSigningKeys = new JsonWebKeySet(await app.Http.GetStringAsync("/.well-known/jwks", Ct)).GetSigningKeys(),
        });
        Assert.True(valid.IsValid, valid.Exception?.ToString());
        Assert.Equal("ES256", new JsonWebToken(access).Alg);
        Assert.Equal(Base64UrlEncoder.Encode(SHA256.HashData(Encoding.ASCII.GetBytes(access))[..16]), new JsonWebToken(id).GetClaim("at_hash").Value);
        return new JsonWebToken(id).Alg;
    }

    static async Task<List<JsonElement>> KeysAsync(TestApp app) => [.. (await (await app.Http.GetAsync("/.well-known/jwks", Ct)).JsonAsync()).GetProperty("keys").EnumerateArray()];

    static async Task<List<string?>> KindsAsync(TestApp app) => [.. (await KeysAsync(app)).Select(k => k.GetProperty("kty").GetString())];

    static string KeyOf(JsonElement tokens) => new JsonWebToken(tokens.GetProperty("id_token").GetString()).Kid;
}
