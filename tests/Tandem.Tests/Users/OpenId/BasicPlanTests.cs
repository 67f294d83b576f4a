using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Tandem.Tests.Users.OpenId;

/// <summary>
/// The tests of the OpenID Foundation's plan for a basic provider (oidcc-basic-certification-test-plan) under the names they are published with, for a client that was registered beforehand,
/// the response type code and client_secret_basic. Beyond what the plan sends, every request has a code challenge: nobody signs in here without one.
/// </summary>
public sealed class BasicPlanTests(OpenIdFixture fixture) : IClassFixture<OpenIdFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Fact(DisplayName = "oidcc-server")]
    public async Task A_person_signs_in_and_everything_that_comes_of_it_is_well_formed()
    {
        await using var visit = await VisitAsync();

        var signedIn = await visit.SignInAsync("openid profile email");

        Assert.Equal(("st&te", visit.Issuer), (signedIn.Answer["state"], signedIn.Answer["iss"]));
        Assert.DoesNotContain(signedIn.Answer.Keys, k => k is "access_token" or "id_token" or "error");
        Assert.Equal("bearer", signedIn.Tokens.GetProperty("token_type").GetString(), ignoreCase: true);
        Assert.True(signedIn.Tokens.GetProperty("expires_in").GetInt32() > 0);
        Assert.Equal("n0nce", signedIn.Id.GetClaim("nonce").Value);
        var half = SHA256.HashData(Encoding.ASCII.GetBytes(signedIn.AccessToken))[..16];
        Assert.Equal(Base64UrlEncoder.Encode(half), signedIn.Id.GetClaim("at_hash").Value);
        Assert.Equal(signedIn.Id.Subject, (await visit.UserInfoAsync(signedIn)).GetProperty("sub").GetString());
    }

    [Fact(DisplayName = "oidcc-response-type-missing")]
    public async Task Without_a_response_type_the_person_is_told_so()
    {
        await using var visit = await VisitAsync();

        var page = await visit.Browser.GetAsync(SignIn.Url(visit.Client, "openid", ("response_type", null)));

        Assert.Equal((400, null), (page.Status, page.Location));
        Assert.Contains("response_type", page.Text);
    }

    [Fact(DisplayName = "oidcc-idtoken-signature")]
    public async Task The_ID_token_is_signed_with_a_published_key_that_it_names()
    {
        await using var visit = await VisitAsync();

        var signedIn = await visit.SignInAsync();

        var keys = (await (await App.Http.GetAsync("/.well-known/jwks", Ct)).JsonAsync()).GetProperty("keys").EnumerateArray().ToList();
        Assert.Single(keys, k => k.GetProperty("kid").GetString() == signedIn.Id.Kid);
        Assert.All(keys, k => Assert.False(k.TryGetProperty("d", out _)));
        var configuration = await visit.ConfigurationAsync();
        Assert.Contains(signedIn.Id.Alg, configuration.GetProperty("id_token_signing_alg_values_supported").EnumerateArray().Select(a => a.GetString()));
    }

    [Fact(DisplayName = "oidcc-idtoken-unsigned")]
    public async Task An_ID_token_without_a_signature_is_not_offered()
    {
        await using var visit = await VisitAsync();

        Assert.DoesNotContain("none", (await visit.ConfigurationAsync()).GetProperty("id_token_signing_alg_values_supported").EnumerateArray().Select(a => a.GetString()));
        Assert.NotEqual("none", (await visit.SignInAsync()).Id.Alg);
    }

    [Fact(DisplayName = "oidcc-userinfo-get")]
    public async Task Userinfo_is_read_with_the_token_in_the_header()
    {
        await using var visit = await VisitAsync();

        await visit.ShouldBeMeAsync(await visit.SignInAsync(), HttpMethod.Get, null, inHeader: true);
    }

    [Fact(DisplayName = "oidcc-userinfo-post-header")]
    public async Task Userinfo_is_posted_to_with_the_token_in_the_header()
    {
        await using var visit = await VisitAsync();
        var signedIn = await visit.SignInAsync();

        await visit.ShouldBeMeAsync(signedIn, HttpMethod.Post, null, inHeader: true);
        await visit.ShouldBeMeAsync(signedIn, HttpMethod.Post, new FormUrlEncodedContent([]), inHeader: true);
    }

    [Fact(DisplayName = "oidcc-userinfo-post-body")]
    public async Task Userinfo_is_posted_to_with_the_token_in_the_form()
    {
        await using var visit = await VisitAsync();
        var signedIn = await visit.SignInAsync();

        await visit.ShouldBeMeAsync(signedIn, HttpMethod.Post, new FormUrlEncodedContent([new("access_token", signedIn.AccessToken)]), inHeader: false);
    }

    [Fact(DisplayName = "oidcc-ensure-request-without-nonce-succeeds-for-code-flow")]
    public async Task A_nonce_is_not_needed_and_none_is_made_up()
    {
        await using var visit = await VisitAsync();

        var signedIn = await visit.SignInAsync("openid", ("nonce", null));

        Assert.False(signedIn.Id.TryGetClaim("nonce", out _));
    }

    [Theory]
    [InlineData("openid profile", new[] { "name" }, TestDisplayName = "oidcc-scope-profile")]
    [InlineData("openid email", new[] { "email", "email_verified" }, TestDisplayName = "oidcc-scope-email")]
    [InlineData("openid address", new string[0], TestDisplayName = "oidcc-scope-address")]
    [InlineData("openid phone", new string[0], TestDisplayName = "oidcc-scope-phone")]
    [InlineData("openid profile email address phone", new[] { "name", "email", "email_verified" }, TestDisplayName = "oidcc-scope-all")]
    [InlineData("email openid", new[] { "email", "email_verified" }, TestDisplayName = "oidcc-ensure-other-scope-order-succeeds")]
    public async Task Userinfo_says_what_the_scopes_allow_and_what_there_is(string scope, string[] claims)
    {
        await using var visit = await VisitAsync();
        var supported = (await visit.ConfigurationAsync()).GetProperty("scopes_supported").EnumerateArray().Select(s => s.GetString()!).ToList();

        var signedIn = await visit.SignInAsync(scope);

        var who = await visit.UserInfoAsync(signedIn);
        Assert.Equal(claims.Concat(["iss", "sub"]).Order(), who.EnumerateObject().Select(m => m.Name).Order());
        // What there is not is left out, and said so (RFC 6749, 3.3).
        Assert.Equal(scope.Split(' ').Where(supported.Contains).Order(), signedIn.Tokens.GetProperty("scope").GetString()!.Split(' ').Order());
        // OpenID Connect Core, 5.4: where there is an access token, they are at /userinfo and not in the ID token.
        Assert.All(claims, claim => Assert.False(signedIn.Id.TryGetClaim(claim, out _)));
    }

    [Theory]
    [InlineData("display", "page", TestDisplayName = "oidcc-display-page")]
    [InlineData("display", "popup", TestDisplayName = "oidcc-display-popup")]
    [InlineData("extra", "foobar", TestDisplayName = "oidcc-ensure-request-with-unknown-parameter-succeeds")]
    [InlineData("ui_locales", "se", TestDisplayName = "oidcc-ui-locales")]
    [InlineData("claims_locales", "se", TestDisplayName = "oidcc-claims-locales")]
    [InlineData("acr_values", "1 2", TestDisplayName = "oidcc-ensure-request-with-acr-values-succeeds")]
    public async Task What_a_provider_need_not_follow_is_no_error(string parameter, string value)
    {
        await using var visit = await VisitAsync();

        var signedIn = await visit.SignInAsync("openid", (parameter, value));

        Assert.Equal(signedIn.Id.Subject, (await visit.UserInfoAsync(signedIn)).GetProperty("sub").GetString());
    }

    [Fact(DisplayName = "oidcc-prompt-login")]
    public async Task Who_must_sign_in_again_is_asked_for_the_password()
    {
        await using var visit = await VisitAsync(withClock: true);
        var first = await visit.SignInAsync();
        visit.Clock!.Advance(TimeSpan.FromSeconds(2));

        Assert.True((await visit.Browser.GetAsync(SignIn.Url(visit.Client, "openid", ("prompt", "login")))).Has("password"));
        var second = await visit.SignInAsync("openid", ("prompt", "login"));

        Assert.Equal(first.Id.Subject, second.Id.Subject);
        Assert.True(second.AuthTime > first.AuthTime);
    }

    [Fact(DisplayName = "oidcc-prompt-none-not-logged-in")]
    public async Task Whom_nobody_may_ask_and_who_is_not_signed_in_is_sent_back()
    {
        await using var visit = await VisitAsync();

        var answer = (await visit.Browser.GetAsync(SignIn.Url(visit.Client, "openid", ("prompt", "none")))).Answer;

        Assert.Contains(answer["error"], new[] { "login_required", "interaction_required" });
        Assert.Equal("st&te", answer["state"]);
        Assert.False(answer.ContainsKey("code"));
    }

    [Fact(DisplayName = "oidcc-prompt-none-logged-in")]
    public async Task Whom_nobody_may_ask_and_who_is_signed_in_is_the_same_person()
    {
        await using var visit = await VisitAsync(withClock: true);
        var first = await visit.SignInAsync();
        visit.Clock!.Advance(TimeSpan.FromSeconds(2));

        var second = await visit.ContinueAsync(("prompt", "none"));

        Assert.Equal((first.Id.Subject, first.AuthTime), (second.Id.Subject, second.AuthTime));
    }

    [Fact(DisplayName = "oidcc-max-age-1")]
    public async Task Who_signed_in_longer_ago_than_a_client_wants_signs_in_again()
    {
        await using var visit = await VisitAsync(withClock: true);
        var first = await visit.SignInAsync();
        visit.Clock!.Advance(TimeSpan.FromSeconds(2));

        Assert.True((await visit.Browser.GetAsync(SignIn.Url(visit.Client, "openid", ("max_age", "1")))).Has("password"));
        var second = await visit.SignInAsync("openid", ("max_age", "1"));

        Assert.Equal(first.Id.Subject, second.Id.Subject);
        Assert.InRange(second.AuthTime, first.AuthTime + 1, visit.Clock.GetUtcNow().ToUnixTimeSeconds());
    }

    [Fact(DisplayName = "oidcc-max-age-10000")]
    public async Task Who_signed_in_lately_enough_goes_on()
    {
        await using var visit = await VisitAsync(withClock: true);
        var first = await visit.SignInAsync("openid", ("max_age", "15000"));
        visit.Clock!.Advance(TimeSpan.FromSeconds(2));

        var second = await visit.ContinueAsync(("max_age", "10000"));

        Assert.Equal((first.Id.Subject, first.AuthTime), (second.Id.Subject, second.AuthTime));
    }

    [Fact(DisplayName = "oidcc-id-token-hint")]
    public async Task A_hint_of_who_is_signed_in_brings_that_person_back_without_a_question()
    {
        await using var visit = await VisitAsync();
        var first = await visit.SignInAsync();

        var second = await visit.ContinueAsync(("prompt", "none"), ("id_token_hint", first.Tokens.GetProperty("id_token").GetString()));

        Assert.Equal((first.Id.Subject, first.AuthTime), (second.Id.Subject, second.AuthTime));
    }

    [Fact(DisplayName = "oidcc-login-hint")]
    public async Task A_hint_of_who_will_sign_in_is_filled_in()
    {
        await using var visit = await VisitAsync();

        var page = await visit.Browser.GetAsync(SignIn.Url(visit.Client, "openid", ("login_hint", visit.Email)));

        Assert.Contains($"value=\"{visit.Email}\"", page.Text);
        await visit.SignInAsync("openid", ("login_hint", visit.Email));
    }

    [Fact(DisplayName = "oidcc-codereuse")]
    public async Task A_code_is_exchanged_once()
    {
        await using var visit = await VisitAsync();
        var signedIn = await visit.SignInAsync();

        var again = await (await visit.RedeemAsync(signedIn.Answer["code"])).JsonAsync(400);

        Assert.Equal("invalid_grant", again.GetProperty("error").GetString());
    }

    [Fact(DisplayName = "oidcc-codereuse-30seconds")]
    public async Task A_code_that_comes_again_after_half_a_minute_takes_back_what_it_gave()
    {
        await using var visit = await VisitAsync(withClock: true);
        var signedIn = await visit.SignInAsync();
        await visit.UserInfoAsync(signedIn);
        visit.Clock!.Advance(TimeSpan.FromSeconds(30));

        var again = await (await visit.RedeemAsync(signedIn.Answer["code"])).JsonAsync(400);

        Assert.Equal("invalid_grant", again.GetProperty("error").GetString());
        using var http = visit.App.With(signedIn.AccessToken);
        await (await http.GetAsync("/userinfo", Ct)).ShouldBeProblemAsync(401, "users/invalid-access-token");
    }

    [Fact(DisplayName = "oidcc-ensure-registered-redirect-uri")]
    public async Task Nobody_is_sent_to_an_address_that_is_not_registered()
    {
        await using var visit = await VisitAsync();

        var page = await visit.Browser.GetAsync(SignIn.Url(visit.Client, "openid", ("redirect_uri", visit.Client.Redirect + "x7")));

        Assert.Equal((400, null), (page.Status, page.Location));
        Assert.Contains("redirect_uri", page.Text);
    }

    [Fact(DisplayName = "oidcc-ensure-post-request-succeeds")]
    public async Task A_request_may_be_posted()
    {
        await using var visit = await VisitAsync();
        var query = Microsoft.AspNetCore.WebUtilities.QueryHelpers.ParseQuery(SignIn.Url(visit.Client).Split('?')[1]);

        var page = await visit.Browser.PostAsync("/authorize", query.Select(q => KeyValuePair.Create(q.Key, q.Value.ToString())));
        var answer = (await visit.Browser.FillInAsync(page, visit.Email)).Answer;

        Assert.Equal("st&te", answer["state"]);
        await (await visit.RedeemAsync(answer["code"])).JsonAsync();
    }

    [Fact(DisplayName = "oidcc-server-client-secret-post")]
    public async Task A_client_may_send_its_secret_in_the_form()
    {
        await using var visit = await VisitAsync();
        var code = (await visit.Browser.SignInAsync(SignIn.Url(visit.Client), visit.Email))["code"];

        var tokens = await (await App.RedeemAsync(visit.Client, code)).JsonAsync();

        await visit.CheckAsync(tokens.GetProperty("id_token").GetString()!);
        Assert.Equal(["client_secret_basic", "client_secret_post"], (await visit.ConfigurationAsync()).GetProperty("token_endpoint_auth_methods_supported").EnumerateArray().Select(m => m.GetString()!)
            .Where(m => m.StartsWith("client_secret", StringComparison.Ordinal)).Order());
    }

    [Theory]
    [InlineData("request", "request_not_supported", TestDisplayName = "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported")]
    [InlineData("request_uri", "request_uri_not_supported", TestDisplayName = "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported")]
    [InlineData("request", "request_not_supported", "https://app.example.com/elsewhere", TestDisplayName = "oidcc-ensure-request-object-with-redirect-uri")]
    public async Task A_request_object_is_refused_by_name_and_never_passed_over(string parameter, string error, string? redirect = null)
    {
        await using var visit = await VisitAsync();
        await visit.SignInAsync();
        var plain = Microsoft.AspNetCore.WebUtilities.QueryHelpers.ParseQuery(SignIn.Url(visit.Client).Split('?')[1]).ToDictionary(q => q.Key, q => q.Value.ToString());
        var value = parameter == "request" ? $"{Base64UrlEncoder.Encode("""{"alg":"none"}""")}.{Base64UrlEncoder.Encode(JsonSerializer.Serialize(plain))}." : "https://app.example.com/request.jwt";

        var url = SignIn.Url(visit.Client, "openid", (parameter, value), ("redirect_uri", redirect ?? visit.Client.Redirect));
        var page = await visit.Browser.GetAsync(url);

        Assert.Equal((400, null), (page.Status, page.Location));
        Assert.Equal(error, (await (await App.Http.GetAsync(url, Ct)).JsonAsync(400)).GetProperty("error").GetString());
        var configuration = await visit.ConfigurationAsync();
        Assert.False(configuration.TryGetProperty("request_parameter_supported", out var supported) && supported.GetBoolean());
    }

    [Fact(DisplayName = "oidcc-claims-essential")]
    public async Task Asking_for_a_single_claim_is_no_error_and_not_offered()
    {
        await using var visit = await VisitAsync();

        var signedIn = await visit.SignInAsync("openid", ("claims", """{"userinfo":{"name":{"essential":true}}}"""));

        // The plan warns where the name is not there: only scopes are followed here, and the provider says so.
        Assert.False((await visit.ConfigurationAsync()).GetProperty("claims_parameter_supported").GetBoolean());
        Assert.False((await visit.UserInfoAsync(signedIn)).TryGetProperty("name", out _));
        Assert.False(signedIn.Id.TryGetClaim("name", out _));
    }

    [Fact(DisplayName = "oidcc-refresh-token")]
    public async Task A_refresh_token_says_the_same_anew_and_is_its_clients()
    {
        await using var visit = await VisitAsync();
        var other = await App.ClientAsync();
        var first = await visit.SignInAsync("openid offline_access", ("prompt", "consent"));
        var refresh = first.Tokens.GetProperty("refresh_token").GetString()!;
        Assert.Matches("^[\\x20-\\x7e]+$", refresh);
        Assert.Contains("refresh_token", (await visit.ConfigurationAsync()).GetProperty("grant_types_supported").EnumerateArray().Select(g => g.GetString()));

        var stolen = await (await App.TokenAsync(other, new() { ["grant_type"] = "refresh_token", ["refresh_token"] = refresh })).JsonAsync(400);
        var next = await (await visit.TokenAsync(new() { ["grant_type"] = "refresh_token", ["refresh_token"] = refresh })).JsonAsync();

        Assert.Equal("invalid_grant", stolen.GetProperty("error").GetString());
        var id = await visit.CheckAsync(next.GetProperty("id_token").GetString()!);
        // OpenID Connect Core, 12.2.
        Assert.Equal((first.Id.Issuer, first.Id.Subject, first.Id.Audiences.Single()), (id.Issuer, id.Subject, id.Audiences.Single()));
        Assert.Equal(first.Id.GetClaim("auth_time").Value, id.GetClaim("auth_time").Value);
        Assert.False(id.TryGetClaim("nonce", out var nonce) && nonce.Value != "n0nce");
        using var http = App.With(next.GetProperty("access_token").GetString()!);
        Assert.Equal(id.Subject, (await (await http.GetAsync("/userinfo", Ct)).JsonAsync()).GetProperty("sub").GetString());
    }

    [Fact(DisplayName = "oidcc-ensure-request-with-valid-pkce-succeeds")]
    public async Task A_code_with_a_challenge_takes_its_verifier_and_no_other()
    {
        await using var visit = await VisitAsync();

        var code = (await visit.Browser.SignInAsync(SignIn.Url(visit.Client), visit.Email))["code"];
        Assert.Equal("invalid_grant", (await (await visit.RedeemAsync(code, new string('x', 43))).JsonAsync(400)).GetProperty("error").GetString());
        await visit.ContinueAsync();
    }

    async Task<Visit> VisitAsync(bool withClock = false)
    {
        var clock = withClock ? new FakeTimeProvider(DateTimeOffset.UtcNow) : null;
        var own = clock is null ? null : await OpenIdFixture.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        var app = own ?? App;
        var (client, person) = (await app.ClientAsync(), await app.PersonAsync());
        return new Visit(app, own, clock, client, person, new TestBrowser(app));
    }

    /// <summary>A client, and a person with a browser that signs in to it.</summary>
    sealed class Visit(TestApp app, TestApp? own, FakeTimeProvider? clock, TestClient client, Person person, TestBrowser browser) : IAsyncDisposable
    {
        public TestApp App => app;
        public FakeTimeProvider? Clock => clock;
        public TestClient Client => client;
        public TestBrowser Browser => browser;
        public string Email => person.Email;
        public string Issuer => $"{app.Address}/";

        public async Task<JsonElement> ConfigurationAsync() => await (await app.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync();

        /// <summary>Signs in on the pages, where there are any.</summary>
        public async Task<SignedIn> SignInAsync(string scope = "openid", params (string Name, string? Value)[] changes) =>
            await ExchangeAsync(await browser.SignInAsync(SignIn.Url(client, scope, changes), person.Email));

        /// <summary>Comes back with an answer at once: no page is shown.</summary>
        public async Task<SignedIn> ContinueAsync(params (string Name, string? Value)[] changes) => await ExchangeAsync((await browser.GetAsync(SignIn.Url(client, "openid", changes))).Answer);

        async Task<SignedIn> ExchangeAsync(Dictionary<string, string> answer)
        {
            Assert.True(answer.ContainsKey("code"), JsonSerializer.Serialize(answer));
            var tokens = await (await RedeemAsync(answer["code"])).JsonAsync();
            return new SignedIn(answer, tokens, await CheckAsync(tokens.GetProperty("id_token").GetString()!));
        }

        public Task<HttpResponseMessage> RedeemAsync(string code, string verifier = SignIn.Verifier) =>
            TokenAsync(new() { ["grant_type"] = "authorization_code", ["code"] = code, ["code_verifier"] = verifier, ["redirect_uri"] = client.Redirect });

        /// <summary>As client_secret_basic.</summary>
        public Task<HttpResponseMessage> TokenAsync(Dictionary<string, string> form)
        {
            var request = new HttpRequestMessage(HttpMethod.Post, "/token") { Content = new FormUrlEncodedContent(form) };
            request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{client.Id}:{client.Secret}")));
            return app.Http.SendAsync(request, Ct);
        }

        /// <summary>What a client has to check of an ID token (OpenID Connect Core, 3.1.3.7), by a library that is not the provider's.</summary>
        public async Task<JsonWebToken> CheckAsync(string token)
        {
            var configuration = await ConfigurationAsync();
            Assert.Equal(Issuer, configuration.GetProperty("issuer").GetString());
            var result = await new JsonWebTokenHandler().ValidateTokenAsync(token, new TokenValidationParameters
            {
                ValidIssuer = Issuer,
                ValidAudience = client.Id,
                IssuerSigningKeys = new JsonWebKeySet(await app.Http.GetStringAsync(configuration.GetProperty("jwks_uri").GetString(), Ct)).GetSigningKeys(),
                LifetimeValidator = (_, expires, _, _) => expires > (clock ?? TimeProvider.System).GetUtcNow(),
                RequireExpirationTime = true,
            });
            Assert.True(result.IsValid, result.Exception?.ToString());
            var id = (JsonWebToken)result.SecurityToken;
            Assert.Equal(person.Id.ToString(CultureInfo.InvariantCulture), id.Subject);
            Assert.Equal([client.Id], id.Audiences);
            return id;
        }

        public async Task<JsonElement> UserInfoAsync(SignedIn signedIn)
        {
            using var http = app.With(signedIn.AccessToken);
            return await (await http.GetAsync("/userinfo", Ct)).JsonAsync();
        }

        public async Task ShouldBeMeAsync(SignedIn signedIn, HttpMethod method, HttpContent? body, bool inHeader)
        {
            var request = new HttpRequestMessage(method, "/userinfo") { Content = body };
            if (inHeader)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", signedIn.AccessToken);
            var answer = await app.Http.SendAsync(request, Ct);
            Assert.Equal(signedIn.Id.Subject, (await answer.JsonAsync()).GetProperty("sub").GetString());
            Assert.Equal("application/json", answer.Content.Headers.ContentType?.MediaType);
        }

        public async ValueTask DisposeAsync()
        {
            browser.Dispose();
            person.Dispose();
            if (own is not null)
                await own.DisposeAsync();
        }
    }

    /// <param name="Answer">What came to the client's address.</param>
    /// <param name="Tokens">The answer of /token.</param>
    /// <param name="Id">The ID token, checked.</param>
    sealed record SignedIn(Dictionary<string, string> Answer, JsonElement Tokens, JsonWebToken Id)
    {
        public string AccessToken => Tokens.GetProperty("access_token").GetString()!;
        public long AuthTime => long.Parse(Id.GetClaim("auth_time").Value, CultureInfo.InvariantCulture);
    }
}
