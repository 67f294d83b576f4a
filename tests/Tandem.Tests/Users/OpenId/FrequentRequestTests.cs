using System.Buffers.Text;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Users.Tokens;

namespace Tandem.Tests.Users.OpenId;

/// <summary>What comes all the time is answered without OpenIddict, and as OpenIddict answers it: with a parameter more, which means nothing, the same request goes there.</summary>
public sealed class FrequentRequestTests(OpenIdFixture fixture) : IClassFixture<OpenIdFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Theory]
    [InlineData("openid")]
    [InlineData("openid email")]
    [InlineData("openid profile email offline_access api")]
    public async Task Userinfo_is_the_same_either_way(string scope)
    {
        var (_, tokens) = await SignInAsync(scope);
        var token = tokens.GetProperty("access_token").GetString()!;
        var quick = await (await UserInfoAsync(token)).JsonAsync();
        var other = await (await UserInfoAsync(token, "?more=1")).JsonAsync();
        AssertSame(other, quick);
        AssertSame(other, await (await UserInfoAsync(token, method: HttpMethod.Post)).JsonAsync());
    }

    [Fact]
    public async Task Introspection_is_the_same_either_way_for_a_clients_token_a_persons_and_an_exchanged_one()
    {
        var (client, tokens) = await SignInAsync("openid offline_access api");
        var exchanging = await App.ClientAsync(grants: ["urn:ietf:params:oauth:grant-type:token-exchange"], scopes: ["api"]);
        using var person = await App.PersonAsync();
        var exchanged = await (await App.TokenAsync(exchanging, new()
        {
            ["grant_type"] = "urn:ietf:params:oauth:grant-type:token-exchange",
            ["subject_token"] = tokens.GetProperty("access_token").GetString()!,
            ["subject_token_type"] = "urn:ietf:params:oauth:token-type:access_token",
        })).JsonAsync();

        // A client is told about its own tokens and about a person's, and of other clients' that they are not good.
        foreach (var (who, token, isGood) in new[]
        {
            (client, tokens.GetProperty("access_token").GetString()!, true), (exchanging, exchanged.GetProperty("access_token").GetString()!, true),
            (client, exchanged.GetProperty("access_token").GetString()!, false), (client, person.AccessToken, true),
        })
        {
            var quick = await InspectAsync(who, token);
            Assert.Equal(isGood, quick.GetProperty("active").GetBoolean());
            AssertSame(await InspectAsync(who, token, "more"), quick);
        }
    }

    [Fact]
    public async Task Introspection_takes_a_clients_secret_from_header_or_form_and_never_a_wrong_one()
    {
        var (client, tokens) = await SignInAsync("openid");
        var token = tokens.GetProperty("access_token").GetString()!;
        using var basic = new HttpRequestMessage(HttpMethod.Post, "/introspect") { Content = new FormUrlEncodedContent(new Dictionary<string, string> { ["token"] = token }) };
        basic.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.ASCII.GetBytes($"{client.Id}:{client.Secret}")));
        AssertSame(await InspectAsync(client, token), await (await App.Http.SendAsync(basic, Ct)).JsonAsync());

        await (await App.TokenAsync(client with { Secret = "guessed" }, new() { ["token"] = token }, "/introspect")).ShouldBeProblemAsync(401, "users/invalid-client");
        await (await App.TokenAsync(client with { Secret = null }, new() { ["token"] = token }, "/introspect")).ShouldBeProblemAsync(401, "users/invalid-client");
        await (await App.TokenAsync(await App.ClientAsync(isPublic: true), new() { ["token"] = token }, "/introspect")).ShouldBeProblemAsync(401, "users/invalid-client");
    }

    [Theory]
    [InlineData("openid profile offline_access", "ES256")]
    [InlineData("openid profile offline_access", "RS256")]
    [InlineData("offline_access api", "ES256")]
    public async Task A_clients_refresh_says_the_same_either_way(string scope, string algorithm)
    {
        var (client, tokens) = await SignInAsync(scope);
        using var admin = await App.AdministratorAsync();
        await (await admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", new { id_token_signed_response_alg = algorithm }, Ct)).JsonAsync();
        var quick = await (await App.TokenAsync(client, Refresh(tokens))).JsonAsync();
        var other = await (await App.TokenAsync(client, Refresh(quick, "more"))).JsonAsync();
        AssertSameTokens(other, quick);
        AssertSameTokens(quick, await (await App.TokenAsync(client, Refresh(other))).JsonAsync());
        AssertSame(await InspectAsync(client, quick.GetProperty("access_token").GetString()!, "more"), await InspectAsync(client, quick.GetProperty("access_token").GetString()!));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_persons_refresh_says_the_same_either_way(bool isAdministrator)
    {
        using var person = isAdministrator ? await App.AdministratorAsync() : await App.PersonAsync();
        var tokens = await (await App.PostTokenAsync(new Dictionary<string, string> { ["username"] = person.Email, ["password"] = TestUsers.Password })).JsonAsync();
        var quick = await (await App.PostTokenAsync(Refresh(tokens))).JsonAsync();
        var other = await (await App.PostTokenAsync(Refresh(quick, "more"))).JsonAsync();
        AssertSameTokens(other, quick);
        Assert.Equal(["access_token", "token_type", "expires_in", "refresh_token"], quick.EnumerateObject().Select(p => p.Name));
    }

    [Fact]
    public async Task A_refresh_token_that_was_touched_anywhere_is_worth_nothing()
    {
        var (client, tokens) = await SignInAsync("openid offline_access");
        var text = tokens.GetProperty("refresh_token").GetString()!;
        Assert.StartsWith(RefreshTokens.Prefix, text, StringComparison.Ordinal);
        Assert.InRange(text.Length, 100, 400);
        var reader = App.Services.GetRequiredService<RefreshTokens>();
        Assert.NotNull(await reader.ReadAsync(text));
        for (var i = 0; i < text.Length; i++)
        {
            var touched = text[..i] + (text[i] == 'A' ? 'B' : 'A') + text[(i + 1)..];
            // Of the last character some bits mean nothing, and are nothing but zero.
            Assert.Null(await reader.ReadAsync(touched));
            Assert.Null(await reader.ReadAsync(text[..i]));
            Assert.Null(await reader.ReadAsync(text.Insert(i, " ")));
        }

        await (await App.TokenAsync(client, Refresh(tokens, token: text[..^1] + (text[^1] == 'A' ? 'B' : 'A')))).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        await (await App.TokenAsync(client, Refresh(tokens))).JsonAsync();
    }

    [Fact]
    public async Task A_token_for_userinfo_alone_opens_nothing_else_also_after_it_was_used_there()
    {
        var (client, tokens) = await SignInAsync("openid");
        var token = tokens.GetProperty("access_token").GetString()!;
        await (await UserInfoAsync(token)).JsonAsync();
        await InspectAsync(client, token);
        using var http = App.With(token);
        await (await http.GetAsync("/users/1", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await http.GetAsync("/sessions", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Fact]
    public async Task What_has_ended_is_said_at_once()
    {
        var (client, tokens) = await SignInAsync("openid offline_access");
        var token = tokens.GetProperty("access_token").GetString()!;
        await (await UserInfoAsync(token)).JsonAsync();
        Assert.True((await InspectAsync(client, token)).GetProperty("active").GetBoolean());
        Assert.Equal(200, (int)(await App.TokenAsync(client, new() { ["token"] = token }, "/revoke")).StatusCode);

        await (await UserInfoAsync(token)).ShouldBeProblemAsync(401, "users/invalid-access-token");
        Assert.False((await InspectAsync(client, token)).GetProperty("active").GetBoolean());
        await (await App.TokenAsync(client, Refresh(tokens))).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
    }

    async Task<(TestClient Client, JsonElement Tokens)> SignInAsync(string scope)
    {
        var client = await App.ClientAsync(scopes: ["openid", "profile", "email", "offline_access", "api"]);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        return (client, await App.SignInAsync(client, person.Email, browser, scope));
    }

    async Task<HttpResponseMessage> UserInfoAsync(string token, string query = "", HttpMethod? method = null)
    {
        using var request = new HttpRequestMessage(method ?? HttpMethod.Get, "/userinfo" + query);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return await App.Http.SendAsync(request, Ct);
    }

    async Task<JsonElement> InspectAsync(TestClient client, string token, string? more = null)
    {
        var form = new Dictionary<string, string> { ["token"] = token };
        if (more is not null)
            form[more] = "1";
        return await (await App.TokenAsync(client, form, "/introspect")).JsonAsync();
    }

    static Dictionary<string, string> Refresh(JsonElement tokens, string? more = null, string? token = null)
    {
        var form = new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = token ?? tokens.GetProperty("refresh_token").GetString()! };
        if (more is not null)
            form[more] = "1";
        return form;
    }

    static void AssertSame(JsonElement expected, JsonElement actual) =>
        Assert.Equal(Sorted(JsonObject.Create(expected)!), Sorted(JsonObject.Create(actual)!));

    static void AssertSameTokens(JsonElement expected, JsonElement actual)
    {
        Assert.Equal(expected.EnumerateObject().Select(p => p.Name).Order(), actual.EnumerateObject().Select(p => p.Name).Order());
        foreach (var name in new[] { "token_type", "expires_in", "scope" }.Where(n => expected.TryGetProperty(n, out _)))
            Assert.Equal(expected.GetProperty(name).ToString(), actual.GetProperty(name).ToString());
        foreach (var name in new[] { "access_token", "id_token" }.Where(n => expected.TryGetProperty(n, out _)))
        {
            var (one, other) = (expected.GetProperty(name).GetString()!.Split('.'), actual.GetProperty(name).GetString()!.Split('.'));
            Assert.Equal(Sorted(Parsed(one[0])), Sorted(Parsed(other[0])));
            Assert.Equal(Sorted(OfOneMoment(Parsed(one[1]))), Sorted(OfOneMoment(Parsed(other[1]))));
        }

        static JsonObject Parsed(string part) => JsonNode.Parse(Base64Url.DecodeFromChars(part))!.AsObject();

        // How long it is good stays in it; when it was made, and which of them it is, differs from one to the next.
        static JsonObject OfOneMoment(JsonObject payload)
        {
            payload["exp"] = (long)payload["exp"]! - (long)payload["iat"]!;
            foreach (var name in new[] { "iat", "jti", "at_hash" })
                if (payload.ContainsKey(name))
                    payload[name] = "there";
            return payload;
        }
    }

    static string Sorted(JsonObject json) => string.Join('\n', json.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => $"{p.Key}: {p.Value?.ToJsonString()}"));
}
