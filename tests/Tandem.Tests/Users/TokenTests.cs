using System.Buffers.Text;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Tokens;

namespace Tandem.Tests.Users;

public sealed class TokenTests(UsersFixture fixture) : IClassFixture<UsersFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Fact]
    public async Task Signing_in_answers_exactly_the_four_members_of_the_contract()
    {
        var email = TestUsers.NewEmail();
        await App.RegisterAsync(email);

        var response = await App.PostTokenAsync(email.ToUpperInvariant());

        var tokens = await response.JsonAsync();
        Assert.Equal(["access_token", "token_type", "expires_in", "refresh_token"], tokens.EnumerateObject().Select(p => p.Name));
        Assert.Equal("bearer", tokens.GetProperty("token_type").GetString());
        Assert.Equal(900, tokens.GetProperty("expires_in").GetInt32());
        Assert.True(response.Headers.CacheControl?.NoStore);
    }

    [Fact]
    public async Task The_form_of_FastAPIs_docs_page_is_understood()
    {
        var email = TestUsers.NewEmail();
        await App.RegisterAsync(email);
        foreach (var grant in new[] { null, "", "password" })
            foreach (var client in new[] { null, "", "string" })
            {
                var form = new Dictionary<string, string> { ["username"] = email, ["password"] = TestUsers.Password, ["scope"] = "" };
                if (grant is not null)
                    form["grant_type"] = grant;
                if (client is not null)
                    (form["client_id"], form["client_secret"]) = (client, client);
                await (await App.PostTokenAsync(form)).JsonAsync();
            }

        using var basic = new HttpRequestMessage(HttpMethod.Post, "/token")
        {
            Content = new FormUrlEncodedContent(new Dictionary<string, string> { ["grant_type"] = "password", ["username"] = email, ["password"] = TestUsers.Password }),
            Headers = { Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(":"u8)) },
        };
        await (await App.Http.SendAsync(basic, Ct)).JsonAsync();
    }

    [Fact]
    public async Task Unknown_email_wrong_password_and_deactivated_account_are_answered_alike()
    {
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        using var inactive = await App.PersonAsync();
        await (await admin.Http.PatchAsJsonAsync($"/users/{inactive.Id}", new { is_active = false }, Ct)).JsonAsync();

        var answers = new List<string>();
        foreach (var (email, password) in new[] { (TestUsers.NewEmail(), "whatever it is"), (person.Email, "not the password"), (inactive.Email, TestUsers.Password) })
        {
            var response = await App.PostTokenAsync(email, password);
            var problem = await response.ShouldBeProblemAsync(400, "users/invalid-grant");
            Assert.Equal("invalid_grant", problem.GetProperty("error").GetString());
            Assert.Equal(problem.GetProperty("detail").GetString(), problem.GetProperty("error_description").GetString());
            Assert.True(response.Headers.CacheControl?.NoStore);
            var text = await response.Content.ReadAsStringAsync(Ct);
            answers.Add(string.Join('\n', response.Headers.Where(h => h.Key != "Date").Select(h => $"{h.Key}: {string.Join(',', h.Value)}"))
                + response.Content.Headers.ContentType + text.Replace(problem.GetProperty("trace_id").GetString()!, ""));
        }

        Assert.Single(answers.Distinct());
    }

    [Fact]
    public async Task An_unknown_email_takes_the_time_of_a_known_one()
    {
        var email = TestUsers.NewEmail();
        await App.RegisterAsync(email);
        await App.PostTokenAsync(email, "warm up");
        var known = new List<double>();
        var unknown = new List<double>();
        for (var i = 0; i < 8; i++)
        {
            known.Add(await TimeAsync(email));
            unknown.Add(await TimeAsync(TestUsers.NewEmail()));
        }

        // Without the hash an unknown e-mail would be answered in a twentieth of the time.
        Assert.InRange(unknown.Order().ElementAt(3) / known.Order().ElementAt(3), 0.4, 2.5);

        async Task<double> TimeAsync(string email)
        {
            var started = System.Diagnostics.Stopwatch.GetTimestamp();
            await App.PostTokenAsync(email, "not the password");
            return System.Diagnostics.Stopwatch.GetElapsedTime(started).TotalMilliseconds;
        }
    }

    [Theory]
    [InlineData("grant_type=client_credentials", "application/x-www-form-urlencoded", 400, "users/invalid-token-request", "invalid_request")]
    [InlineData("grant_type=refresh_token", "application/x-www-form-urlencoded", 400, "users/invalid-token-request", "invalid_request")]
    [InlineData("grant_type=refresh_token&refresh_token=garbage", "application/x-www-form-urlencoded", 400, "users/invalid-refresh-token", "invalid_grant")]
    [InlineData("username=ada@example.com", "application/x-www-form-urlencoded", 400, "users/invalid-token-request", "invalid_request")]
    [InlineData("username=a&username=b&password=12345678", "application/x-www-form-urlencoded", 400, "users/invalid-token-request", "invalid_request")]
    [InlineData("username=%ff%fe&password=%ed%a0%80", "application/x-www-form-urlencoded", 400, "users/invalid-grant", "invalid_grant")]
    [InlineData("", "application/x-www-form-urlencoded", 400, "users/invalid-token-request", "invalid_request")]
    [InlineData("%", "application/x-www-form-urlencoded", 400, "users/invalid-token-request", "invalid_request")]
    [InlineData("{}", "application/json", 415, "users/form-wanted", "invalid_request")]
    [InlineData("x", "multipart/form-data", 415, "users/form-wanted", "invalid_request")]
    [InlineData("username=a", null, 415, "users/form-wanted", "invalid_request")]
    public async Task What_is_wrong_with_a_token_request_is_a_problem_that_oauth_clients_understand(string body, string? type, int status, string code, string error)
    {
        using var content = new StringContent(body, Encoding.UTF8);
        content.Headers.ContentType = type is null ? null : new MediaTypeHeaderValue(type);

        var problem = await (await App.Http.PostAsync("/token", content, Ct)).ShouldBeProblemAsync(status, code);

        Assert.Equal(error, problem.GetProperty("error").GetString());
    }

    [Fact]
    public async Task A_form_with_thousands_of_fields_or_a_huge_one_is_refused()
    {
        using var nul = new StringContent("username=a%00b@example.com&password=12345678", Encoding.ASCII, "application/x-www-form-urlencoded");
        await (await App.Http.PostAsync("/token", nul, Ct)).ShouldBeProblemAsync(400, "http/bad-request");
        using var many = new StringContent(string.Join('&', Enumerable.Range(0, 5000).Select(i => $"f{i}=1")), Encoding.ASCII, "application/x-www-form-urlencoded");
        await (await App.Http.PostAsync("/token", many, Ct)).ShouldBeProblemAsync(400, "http/bad-request");
        using var huge = new HttpRequestMessage(HttpMethod.Post, "/token")
        {
            Content = new StringContent("username=a&password=" + new string('x', 2_000_000), Encoding.ASCII, "application/x-www-form-urlencoded"),
        };
        // Otherwise the client may still be sending when the server has refused and closed.
        huge.Headers.ExpectContinue = true;
        await (await App.Http.SendAsync(huge, Ct)).ShouldBeProblemAsync(413, "http/body-too-large");
    }

    [Fact]
    public async Task Asking_for_a_token_by_GET_is_405()
    {
        var response = await App.Http.GetAsync("/token?username=a&password=b", Ct);

        await response.ShouldBeProblemAsync(405, "http/method-not-allowed");
        Assert.Equal(["POST"], response.Content.Headers.Allow);
    }

    [Theory]
    [InlineData("/token/")]
    [InlineData("/Token")]
    public async Task However_the_address_is_written_it_is_answered(string path)
    {
        using var form = new FormUrlEncodedContent(new Dictionary<string, string> { ["username"] = "nobody@example.com", ["password"] = "12345678" });

        await (await App.Http.PostAsync(path, form, Ct)).ShouldBeProblemAsync(400, "users/invalid-grant");
    }

    [Fact]
    public async Task A_token_can_be_checked_by_anyone_with_the_published_key()
    {
        using var admin = await App.AdministratorAsync();
        var configuration = await (await App.Http.GetAsync("/.well-known/openid-configuration", Ct)).JsonAsync();
        Assert.Equal("http://localhost/", configuration.GetProperty("issuer").GetString());
        Assert.Equal(["client_secret_basic", "client_secret_post", "none"], configuration.GetProperty("token_endpoint_auth_methods_supported").EnumerateArray().Select(m => m.GetString()));
        var jwk = (await (await App.Http.GetAsync(configuration.GetProperty("jwks_uri").GetString(), Ct)).JsonAsync()).GetProperty("keys")[0];
        Assert.Equal("ES256", jwk.GetProperty("alg").GetString());
        Assert.False(jwk.TryGetProperty("d", out _));

        var parts = admin.AccessToken.Split('.');
        using var key = ECDsa.Create(new ECParameters
        {
            Curve = ECCurve.NamedCurves.nistP256,
            Q = new ECPoint { X = Base64Url.DecodeFromChars(jwk.GetProperty("x").GetString()), Y = Base64Url.DecodeFromChars(jwk.GetProperty("y").GetString()) },
        });
        Assert.True(key.VerifyData(Encoding.ASCII.GetBytes($"{parts[0]}.{parts[1]}"), Base64Url.DecodeFromChars(parts[2]), HashAlgorithmName.SHA256));
        var claims = Decode(parts[1]);
        Assert.Equal(admin.Id.ToString(), (string?)claims["sub"]);
        Assert.Equal("tandem", (string?)claims["aud"]);
        Assert.Equal("administrator", (string?)claims["role"]);
        Assert.False(claims.ContainsKey("generation"));
        Assert.Equal(jwk.GetProperty("kid").GetString(), (string?)Decode(parts[0])["kid"]);
    }

    [Fact]
    public async Task A_token_that_was_changed_in_any_part_is_refused()
    {
        using var person = await App.PersonAsync();
        using var admin = await App.AdministratorAsync();
        var (header, payload, signature) = person.AccessToken.Split('.') is [var h, var p, var s] ? (h, p, s) : throw new InvalidOperationException();
        using var foreign = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var jwk = (await (await App.Http.GetAsync("/.well-known/jwks", Ct)).JsonAsync()).GetProperty("keys")[0];
        var publicKey = Base64Url.DecodeFromChars(jwk.GetProperty("x").GetString());

        var forged = new Dictionary<string, string>
        {
            ["another account"] = $"{header}.{Edit(payload, c => c["sub"] = admin.Id.ToString())}.{signature}",
            ["administrator"] = $"{header}.{Edit(payload, c => c["role"] = "administrator")}.{signature}",
            ["a later end"] = $"{header}.{Edit(payload, c => c["exp"] = 4102444800)}.{signature}",
            ["signature of another token"] = $"{header}.{payload}.{admin.AccessToken.Split('.')[2]}",
            ["changed signature"] = $"{header}.{payload}.{(signature[10] == 'A' ? signature[..10] + 'B' : signature[..10] + 'A')}{signature[11..]}",
            ["no signature"] = $"{header}.{payload}.",
            ["two parts"] = $"{header}.{payload}",
            ["four parts"] = $"{header}.{payload}.{signature}.{signature}",
            ["alg none"] = $"{Edit(header, c => c["alg"] = "none")}.{payload}.",
            ["alg none with signature"] = $"{Edit(header, c => c["alg"] = "none")}.{payload}.{signature}",
            ["alg HS256 with the public key"] = Hmac(Edit(header, c => c["alg"] = "HS256"), payload, publicKey),
            ["another key under our name"] = Sign(header, payload, foreign),
            ["a key of its own"] = Sign(Edit(header, c => c["kid"] = "mine"), payload, foreign),
            ["a key in the header"] = Sign(Edit(header, c => c["jwk"] = JsonNode.Parse(jwk.GetRawText())), payload, foreign),
            ["padding"] = $"{header}=.{payload}.{signature}",
            ["garbage"] = "garbage",
            ["dots"] = "..",
            ["not base64"] = "!.!.!",
            ["no text"] = "\u0080.\u0080.\u0080",
            ["huge"] = new string('a', 10_000),
            ["the refresh token"] = person.RefreshToken,
        };
        var verifier = App.Services.GetRequiredService<ITokenVerifier>();
        Assert.True(verifier.TryVerify(person.AccessToken, out _));
        Assert.All(forged, f => Assert.False(verifier.TryVerify(f.Value, out _), f.Key));

        using var http = App.With(forged["administrator"]);
        var response = await http.GetAsync($"/users/{person.Id}", Ct);
        await response.ShouldBeProblemAsync(401, "http/unauthorized");
        Assert.Equal("Bearer error=\"invalid_token\"", response.Headers.WwwAuthenticate.ToString());
    }

    [Fact]
    public async Task Of_tokens_signed_by_us_only_those_for_this_purpose_are_taken()
    {
        using var person = await App.PersonAsync();
        var parts = person.AccessToken.Split('.');
        var stored = await App.Services.GetRequiredService<Keys>().SigningAsync(Ct);
        using var ours = ECDsa.Create();
        ours.ImportPkcs8PrivateKey(stored.Secret, out _);
        var verifier = App.Services.GetRequiredService<ITokenVerifier>();
        Assert.True(verifier.TryVerify(Sign(parts[0], Edit(parts[1], c => c["extra"] = 1), ours), out _));

        foreach (var (what, header, payload) in new (string, Action<JsonObject>, Action<JsonObject>)[]
        {
            ("another issuer", _ => { }, c => c["iss"] = "http://elsewhere/"),
            ("no issuer", _ => { }, c => c.Remove("iss")),
            ("another audience", _ => { }, c => c["aud"] = "somebody else"),
            ("no audience", _ => { }, c => c.Remove("aud")),
            ("no end", _ => { }, c => c.Remove("exp")),
            ("an end that is no number", _ => { }, c => c["exp"] = "4102444800"),
            ("an end out of all calendars", _ => { }, c => c["exp"] = long.MaxValue),
            ("the end has passed", _ => { }, c => c["exp"] = DateTimeOffset.UtcNow.AddSeconds(-1).ToUnixTimeSeconds()),
            ("not yet", _ => { }, c => c["nbf"] = DateTimeOffset.UtcNow.AddMinutes(5).ToUnixTimeSeconds()),
            ("no session", _ => { }, c => c.Remove("sid")),
            ("no account", _ => { }, c => c.Remove("sub")),
            ("an account that is no number", _ => { }, c => c["sub"] = "ada"),
            ("an ID token", c => c["typ"] = "JWT", _ => { }),
            ("no type", c => c.Remove("typ"), _ => { }),
            ("something critical that is not understood", c => c["crit"] = new JsonArray("b64"), _ => { }),
        })
            Assert.False(verifier.TryVerify(Sign(Edit(parts[0], header), Edit(parts[1], payload), ours), out _), what);
    }

    [Fact]
    public async Task A_token_works_until_it_expires_and_not_a_second_longer()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), settings: ["--Users:AccessTokenLifetime", "00:10:00"]);
        using var person = await app.PersonAsync();
        Assert.Equal(600, person.Tokens.GetProperty("expires_in").GetInt32());

        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        clock.Advance(TimeSpan.FromSeconds(598));
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        clock.Advance(TimeSpan.FromSeconds(2));
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Fact]
    public async Task A_start_finds_the_keys_and_the_ended_sessions_of_the_run_before()
    {
        var first = TestApp.KeepData(await TestApp.StartAsync());
        string alive, ended;
        long id;
        await using (first)
        {
            using var admin = await first.AdministratorAsync();
            using var person = await first.PersonAsync();
            (alive, ended, id) = (admin.AccessToken, person.AccessToken, admin.Id);
            await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).JsonAsync();
        }

        await using var second = await TestApp.StartAsync(data: first.Data);
        using var http = second.With(alive);
        await (await http.GetAsync($"/users/{id}", Ct)).JsonAsync();
        using var gone = second.With(ended);
        await (await gone.GetAsync($"/users/{id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Fact]
    public async Task A_weak_hash_is_made_anew_when_its_password_comes_by()
    {
        var email = TestUsers.NewEmail();
        await App.RegisterAsync(email);
        const string Weak = "$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHQxMjM0NTY3OA$/q4UymPiLgosCiD4Sn9Z+GpoMZ4RLqZEYTB8n+VIp00";
        await App.Db.ExecuteAsync($"update users_accounts set password_hash = {Weak} where email = {email}", Ct);

        await (await App.PostTokenAsync(email, "not the password")).ShouldBeProblemAsync(400, "users/invalid-grant");
        Assert.Equal(Weak, await HashAsync());
        await App.SignInAsync(email);
        Assert.StartsWith("$argon2id$v=19$m=19456,t=2,p=1$", await HashAsync());
        await App.SignInAsync(email);

        Task<string?> HashAsync() => App.Db.FindAsync<string>($"select password_hash from users_accounts where email = {email}", Ct);
    }

    [Fact]
    public async Task What_breaks_inside_a_sign_in_is_a_500_and_logged_once()
    {
        var log = new Lines();
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<ILoggerProvider>(log));
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);
        await app.Db.ExecuteAsync($"update users_accounts set password_hash = {"-"} where email = {email}", Ct);

        await (await app.PostTokenAsync(email)).ShouldBeProblemAsync(500, "http/failed");

        Assert.Equal(1030, Assert.Single(log.All, l => l.Level >= LogLevel.Error).Id);
    }

    [Fact]
    public async Task The_issuer_is_the_configured_one_whatever_address_a_request_came_by()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:Issuer", "https://api.example.com/auth"]);
        using var person = await app.PersonAsync();
        Assert.Equal("https://api.example.com/auth", (string?)Decode(person.AccessToken.Split('.')[1])["iss"]);
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        using var elsewhere = new HttpRequestMessage(HttpMethod.Get, $"/users/{person.Id}") { Headers = { Host = "another.example.com" } };
        await (await person.Http.SendAsync(elsewhere, Ct)).JsonAsync();

        var session = await app.Services.GetRequiredService<Sessions>().OpenAsync(person.Id, null, TimeSpan.FromMinutes(5), Origin.Operator, DateTime.UtcNow, Ct);
        using var script = app.With(await app.Services.GetRequiredService<AccessTokens>().MakeAsync(session!, DateTime.UtcNow, TimeSpan.FromMinutes(5), Ct));
        await (await script.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
    }

    [Theory]
    [InlineData("example.com")]
    [InlineData("ftp://example.com/")]
    [InlineData("https://example.com/?tenant=1")]
    [InlineData("https://example.com/#here")]
    public async Task An_issuer_that_no_client_could_use_stops_the_start(string issuer)
    {
        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(settings: ["--Users:Issuer", issuer]));

        Assert.StartsWith("Users:Issuer must be", e.Message);
    }

    [Fact]
    public async Task A_token_that_was_seen_before_costs_no_check_of_its_signature()
    {
        using var person = await App.PersonAsync();
        var verifier = App.Services.GetRequiredService<ITokenVerifier>();
        Assert.True(verifier.TryVerify(person.AccessToken, out var first));

        Assert.True(verifier.TryVerify(person.AccessToken, out var second));

        Assert.Same(first, second);
    }

    static JsonObject Decode(string part) => JsonNode.Parse(Base64Url.DecodeFromChars(part))!.AsObject();

    static string Edit(string part, Action<JsonObject> edit)
    {
        var json = Decode(part);
        edit(json);
        return Base64Url.EncodeToString(Encoding.UTF8.GetBytes(json.ToJsonString()));
    }

    static string Sign(string header, string payload, ECDsa key) =>
        $"{header}.{payload}.{Base64Url.EncodeToString(key.SignData(Encoding.ASCII.GetBytes($"{header}.{payload}"), HashAlgorithmName.SHA256))}";

    static string Hmac(string header, string payload, byte[] key) =>
        $"{header}.{payload}.{Base64Url.EncodeToString(HMACSHA256.HashData(key, Encoding.ASCII.GetBytes($"{header}.{payload}")))}";
}
