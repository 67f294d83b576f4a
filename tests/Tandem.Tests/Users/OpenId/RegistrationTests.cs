using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;

namespace Tandem.Tests.Users.OpenId;

public sealed class RegistrationTests(RegistrationTests.Open fixture) : IClassFixture<RegistrationTests.Open>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    static Task<HttpResponseMessage> RegisterAsync(TestApp app, object metadata) => app.Http.PostAsJsonAsync("/register", metadata, Ct);

    static async Task<HttpResponseMessage> SendAsync(TestApp app, HttpMethod method, string address, string? token, object? body = null)
    {
        using var request = new HttpRequestMessage(method, address) { Content = body is null ? null : JsonContent.Create(body) };
        request.Headers.Authorization = token is null ? null : new AuthenticationHeaderValue("Bearer", token);
        return await app.Http.SendAsync(request, Ct);
    }

    [Fact]
    public async Task A_client_registers_itself_signs_people_in_and_they_are_told_that_nobody_has_looked_at_it()
    {
        var answer = await RegisterAsync(App, new { client_name = "Tandem <Admin>", redirect_uris = new[] { OpenIdClients.Callback }, tos_uri = "https://app.example.com/tos", jwks = new { keys = Array.Empty<string>() } });

        var client = await answer.JsonAsync(201);
        Assert.True(answer.Headers.CacheControl!.NoStore);
        Assert.Equal(["client_id", "client_id_issued_at", "client_secret", "client_secret_expires_at", "registration_access_token", "registration_client_uri", "redirect_uris", "token_endpoint_auth_method",
            "grant_types", "response_types", "client_name", "scope", "post_logout_redirect_uris", "require_pushed_authorization_requests", "id_token_signed_response_alg"], client.EnumerateObject().Select(p => p.Name));
        Assert.Equal(("client_secret_basic", "authorization_code", "code", "openid profile email offline_access"), (client.GetProperty("token_endpoint_auth_method").GetString(),
            client.GetProperty("grant_types")[0].GetString(), client.GetProperty("response_types")[0].GetString(), client.GetProperty("scope").GetString()));
        var shop = new TestClient(client.GetProperty("client_id").GetString()!, client.GetProperty("client_secret").GetString(), OpenIdClients.Callback);
        using var person = await App.PersonAsync();
        using var browser = new TestBrowser(App);
        var page = await browser.GetAsync(SignIn.Url(shop, "openid email"));
        page = await browser.FillInAsync(page, person.Email);
        Assert.Contains("Nobody here has looked at this application", page.Text);
        Assert.Contains("Tandem &lt;Admin&gt;", page.Text);
        var code = (await browser.PressAsync(page, "allow")).Answer["code"];
        Assert.Equal(JsonValueKind.String, (await (await App.RedeemAsync(shop, code)).JsonAsync()).GetProperty("access_token").ValueKind);

        using var admin = await App.AdministratorAsync();
        var seen = await (await admin.Http.GetAsync($"/clients/{shop.Id}", Ct)).JsonAsync();
        Assert.Equal((true, false), (seen.GetProperty("registered_itself").GetBoolean(), seen.GetProperty("is_trusted").GetBoolean()));
    }

    [Fact]
    public async Task It_looks_after_itself_with_its_token_and_nobody_else_does()
    {
        var client = await (await RegisterAsync(App, new { redirect_uris = new[] { OpenIdClients.Callback }, token_endpoint_auth_method = "none" })).JsonAsync(201);
        Assert.False(client.TryGetProperty("client_secret", out _));
        var (address, token) = (client.GetProperty("registration_client_uri").GetString()!, client.GetProperty("registration_access_token").GetString());
        var other = await (await RegisterAsync(App, new { redirect_uris = new[] { OpenIdClients.Callback } })).JsonAsync(201);
        using var admin = await App.AdministratorAsync();
        var registered = await App.ClientAsync();

        foreach (var (method, body) in new (HttpMethod, object?)[] { (HttpMethod.Get, null), (HttpMethod.Put, new { redirect_uris = new[] { "https://evil.example/" } }), (HttpMethod.Delete, null) })
            foreach (var stranger in new[] { null, "guessed", other.GetProperty("registration_access_token").GetString(), admin.AccessToken, "" })
            {
                var refused = await SendAsync(App, method, address, stranger, body);
                await refused.ShouldBeProblemAsync(401, "users/invalid-registration-token");
                await (await SendAsync(App, method, $"/register/{registered.Id}", token, body)).ShouldBeProblemAsync(401, "users/invalid-registration-token");
            }

        var changed = await (await SendAsync(App, HttpMethod.Put, address, token, new { client_id = client.GetProperty("client_id").GetString(), client_name = "Shop", redirect_uris = new[] { "https://app.example.com/new" }, token_endpoint_auth_method = "none", scope = "openid" })).JsonAsync();
        Assert.Equal(("Shop", "https://app.example.com/new", "openid"), (changed.GetProperty("client_name").GetString(), changed.GetProperty("redirect_uris")[0].GetString(), changed.GetProperty("scope").GetString()));
        Assert.Equal("Shop", (await (await SendAsync(App, HttpMethod.Get, address, token)).JsonAsync()).GetProperty("client_name").GetString());
        await (await SendAsync(App, HttpMethod.Put, address, token, new { redirect_uris = new[] { OpenIdClients.Callback } })).ShouldBeProblemAsync(400, "users/invalid-client-metadata");
        await (await SendAsync(App, HttpMethod.Put, address, token, new { client_id = "another", redirect_uris = new[] { OpenIdClients.Callback }, token_endpoint_auth_method = "none" })).ShouldBeProblemAsync(400, "users/invalid-client-metadata");

        await (await SendAsync(App, HttpMethod.Delete, address, token)).JsonlessAsync(204);
        await (await SendAsync(App, HttpMethod.Get, address, token)).ShouldBeProblemAsync(401, "users/invalid-registration-token");
    }

    public static TheoryData<string, string, string> Wrong => new()
    {
        { """{}""", "invalid_redirect_uri", "redirect_uris" },
        { """{"redirect_uris":["http://app.example.com/"]}""", "invalid_redirect_uri", "https" },
        { """{"redirect_uris":["https://*.example.com/"]}""", "invalid_redirect_uri", "wildcards" },
        { """{"redirect_uris":["https://a.example/"],"grant_types":["client_credentials"]}""", "invalid_client_metadata", "grant_types" },
        { """{"redirect_uris":["https://a.example/"],"grant_types":["authorization_code","implicit"]}""", "invalid_client_metadata", "grant_types" },
        { """{"redirect_uris":["https://a.example/"],"response_types":["token"]}""", "invalid_client_metadata", "response_types" },
        { """{"redirect_uris":["https://a.example/"],"scope":"openid users:write"}""", "invalid_client_metadata", "users:write" },
        { """{"redirect_uris":["https://a.example/"],"token_endpoint_auth_method":"private_key_jwt"}""", "invalid_client_metadata", "token_endpoint_auth_method" },
        { """{"redirect_uris":["https://a.example/"],"software_statement":"e30.e30."}""", "invalid_client_metadata", "software_statement" },
        { """{"redirect_uris":["https://a.example/"],"id_token_signed_response_alg":"none"}""", "invalid_client_metadata", "id_token_signed_response_alg must be ES256 or RS256" },
        { """{"redirect_uris":["https://a.example/"],"id_token_signed_response_alg":"PS256"}""", "invalid_client_metadata", "id_token_signed_response_alg must be ES256 or RS256" },
        { """{"redirect_uris":["https://a.example/"],"client_name":"   "}""", "invalid_client_metadata", "client_name" },
        { """{"redirect_uris":["https://a.example/"],"backchannel_logout_uri":"ftp://a"}""", "invalid_client_metadata", "backchannel_logout_uri" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task What_is_not_taken_is_said_in_the_words_that_clients_know(string metadata, string error, string says)
    {
        using var body = new StringContent(metadata, new MediaTypeHeaderValue("application/json"));
        var answer = await App.Http.PostAsync("/register", body, Ct);

        var problem = await answer.ShouldBeProblemAsync(400, error == "invalid_redirect_uri" ? "users/invalid-redirect-uri" : "users/invalid-client-metadata");
        Assert.Equal(error, problem.GetProperty("error").GetString());
        Assert.Contains(says, problem.GetProperty("error_description").GetString());
    }

    [Fact]
    public async Task Nobody_registers_before_that_is_allowed_and_by_token_only_who_may()
    {
        var metadata = new { redirect_uris = new[] { OpenIdClients.Callback } };
        await using var off = await OpenIdFixture.StartAsync();
        await (await RegisterAsync(off, metadata)).ShouldBeProblemAsync(403, "users/registration-off");
        Assert.False((await (await off.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync()).TryGetProperty("registration_endpoint", out _));

        await using var app = await OpenIdFixture.StartAsync(null, "--Users:DynamicRegistration", "token");
        Assert.Equal($"{app.Address}/register", (await (await app.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync()).GetProperty("registration_endpoint").GetString());
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        var key = (await (await admin.Http.PostAsJsonAsync("/keys", new { name = "register", scopes = new[] { "clients:write" } }, Ct)).JsonAsync(201)).GetProperty("key").GetString();
        foreach (var token in new[] { null, "guessed", person.AccessToken })
            await (await SendAsync(app, HttpMethod.Post, "/register", token, metadata)).ShouldBeProblemAsync(401, "users/registration-token-needed");

        var client = await (await SendAsync(app, HttpMethod.Post, "/register", key, metadata)).JsonAsync(201);

        var row = Assert.Single((await (await admin.Http.GetAsync("/audit?event=client-registered", Ct)).JsonAsync()).EnumerateArray());
        Assert.Equal((admin.Id, client.GetProperty("client_id").GetString()), (row.GetProperty("actor_id").GetInt64(), row.GetProperty("reason").GetString()));
    }

    [Fact]
    public async Task Strangers_fill_no_table_without_end()
    {
        var metadata = new { redirect_uris = new[] { OpenIdClients.Callback } };
        await using var full = await OpenIdFixture.StartAsync(null, "--Users:DynamicRegistration", "open", "--Users:MaxRegisteredClients", "2");
        await full.ClientAsync();
        for (var i = 0; i < 2; i++)
            await (await RegisterAsync(full, metadata)).JsonAsync(201);
        await (await RegisterAsync(full, metadata)).ShouldBeProblemAsync(503, "users/too-many-clients");

        await using var busy = await OpenIdFixture.StartAsync(null, "--Users:DynamicRegistration", "open", "--Users:RequestsPerMinutePerAddress", "3");
        for (var i = 0; i < 3; i++)
            await (await RegisterAsync(busy, metadata)).JsonAsync(201);
        Assert.NotNull((await RegisterAsync(busy, metadata)).Headers.RetryAfter);
    }

    public sealed class Open : IAsyncLifetime
    {
        TestApp? _app;

        public TestApp App => _app ?? throw new InvalidOperationException("The program has not been started yet.");

        public async ValueTask InitializeAsync() => _app = await OpenIdFixture.StartAsync(null, "--Users:DynamicRegistration", "open");

        public async ValueTask DisposeAsync()
        {
            if (_app is not null)
                await _app.DisposeAsync();
        }
    }
}
