using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Web;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Users.SecondSteps;
using Tandem.Users.Tickets;

namespace Tandem.Tests.Users;

public sealed class SecondStepTests
{
    static readonly DateTimeOffset Start = new(2026, 1, 31, 12, 0, 0, TimeSpan.Zero);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync(FakeTimeProvider clock, params string[] settings) => TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), settings: settings);

    static Task<HttpResponseMessage> GrantAsync(TestApp app, string handle, string code) =>
        app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "urn:tandem:second-step", ["handle"] = handle, ["code"] = code });

    static async Task<string> HandleAsync(TestApp app, string email) =>
        (await (await app.PostTokenAsync(email)).ShouldBeProblemAsync(403, "users/second-step-wanted")).GetProperty("handle").GetString()!;

    /// <summary>RFC 6238, appendix B, and RFC 4226, appendix D.</summary>
    [Theory]
    [InlineData(59, 8, "94287082")]
    [InlineData(1111111109, 8, "07081804")]
    [InlineData(1111111111, 8, "14050471")]
    [InlineData(1234567890, 8, "89005924")]
    [InlineData(2000000000, 8, "69279037")]
    [InlineData(20000000000, 8, "65353130")]
    [InlineData(0, 6, "755224")]
    [InlineData(30, 6, "287082")]
    [InlineData(270, 6, "520489")]
    public void Codes_are_those_of_the_standards(long seconds, int digits, string code) =>
        Assert.Equal(code, Totp.CodeAt(Encoding.ASCII.GetBytes("12345678901234567890"), Totp.StepAt(DateTimeOffset.FromUnixTimeSeconds(seconds).UtcDateTime), digits));

    /// <summary>RFC 4648, 10.</summary>
    [Theory]
    [InlineData("", "")]
    [InlineData("f", "MY")]
    [InlineData("fo", "MZXQ")]
    [InlineData("foo", "MZXW6")]
    [InlineData("foob", "MZXW6YQ")]
    [InlineData("fooba", "MZXW6YTB")]
    [InlineData("foobar", "MZXW6YTBOI")]
    public void Base32_is_that_of_the_standard(string text, string encoded) => Assert.Equal(encoded, Totp.Base32(Encoding.ASCII.GetBytes(text)));

    [Fact]
    public async Task With_an_app_set_up_a_sign_in_takes_its_code()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        var setup = await (await person.Http.PostAsync("/auth/totp", null, Ct)).JsonAsync();
        var uri = new Uri(setup.GetProperty("uri").GetString()!);
        var query = HttpUtility.ParseQueryString(uri.Query);
        Assert.Equal(("otpauth", "totp", "Tandem", setup.GetProperty("secret").GetString()), (uri.Scheme, uri.Host, query["issuer"], query["secret"]));
        Assert.StartsWith("<svg ", setup.GetProperty("qr_svg").GetString());
        // Until the app has shown a code nothing changes.
        await app.SignInAsync(person.Email);
        await (await person.Http.PostAsJsonAsync("/auth/totp/confirmation", new { code = "000000" }, Ct)).ShouldBeProblemAsync(400, "users/wrong-code");

        var authenticator = await Authenticator.SetUpAsync(person, clock);

        var asked = await app.PostTokenAsync(person.Email);
        var problem = await asked.ShouldBeProblemAsync(403, "users/second-step-wanted");
        Assert.Equal("mfa_required", problem.GetProperty("error").GetString());
        var handle = problem.GetProperty("handle").GetString()!;
        await (await GrantAsync(app, handle, "000000")).ShouldBeProblemAsync(400, "users/wrong-code");
        var tokens = await (await GrantAsync(app, handle, authenticator.Code)).JsonAsync();
        Assert.Equal(["access_token", "token_type", "expires_in", "refresh_token"], tokens.EnumerateObject().Select(p => p.Name));
        await (await GrantAsync(app, handle, authenticator.Code)).ShouldBeProblemAsync(400, "users/wrong-code");

        var claims = Claims(tokens);
        Assert.Equal(["pwd", "otp", "mfa"], claims.GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
        Assert.Equal(clock.GetUtcNow().ToUnixTimeSeconds(), claims.GetProperty("auth_time").GetInt64());
        Assert.Contains("second-step-on", await ByMailTests.AuditedAsync(app, person.Id));
        await app.MailAsync(person.Email, "An authenticator app was set up");
    }

    [Fact]
    public async Task What_a_token_says_of_the_sign_in_stays_with_the_session()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        Assert.Equal(["pwd"], Claims(person.Tokens).GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
        Assert.Equal(Start.ToUnixTimeSeconds(), Claims(person.Tokens).GetProperty("auth_time").GetInt64());
        clock.Advance(TimeSpan.FromMinutes(10));

        var next = await RefreshAsync(app, person.Tokens);

        Assert.Equal(["pwd"], Claims(next).GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
        Assert.Equal(Start.ToUnixTimeSeconds(), Claims(next).GetProperty("auth_time").GetInt64());
        using var http = app.With(next.GetProperty("access_token").GetString()!);
        await (await http.PostAsJsonAsync("/auth/confirmation", new { password = TestUsers.Password }, Ct)).JsonlessAsync(204);
        Assert.Equal(clock.GetUtcNow().ToUnixTimeSeconds(), Claims(await RefreshAsync(app, next)).GetProperty("auth_time").GetInt64());
    }

    [Fact]
    public async Task A_code_is_taken_once_and_by_one()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        var handles = new List<string>();
        for (var i = 0; i < 5; i++)
            handles.Add(await HandleAsync(app, person.Email));

        var answers = await Task.WhenAll(handles.Select(h => GrantAsync(app, h, authenticator.Code)));

        Assert.Equal(1, answers.Count(a => a.IsSuccessStatusCode));
        // Nor one of the step before, which its clock may still show.
        var before = Totp.CodeAt(authenticator.Secret, Totp.StepAt(clock.GetUtcNow().UtcDateTime) - 1);
        await (await GrantAsync(app, await HandleAsync(app, person.Email), before)).ShouldBeProblemAsync(400, "users/wrong-code");
        clock.Advance(TimeSpan.FromSeconds(30));
        await (await GrantAsync(app, await HandleAsync(app, person.Email), authenticator.Code)).JsonAsync();
    }

    [Theory]
    [InlineData(-90, false)]
    [InlineData(-30, true)]
    [InlineData(30, true)]
    [InlineData(90, false)]
    public async Task Clocks_may_differ_by_half_a_minute(int seconds, bool taken)
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        clock.Advance(TimeSpan.FromMinutes(5));

        var code = Totp.CodeAt(authenticator.Secret, Totp.StepAt(clock.GetUtcNow().UtcDateTime.AddSeconds(seconds)));

        Assert.Equal(taken, (await GrantAsync(app, await HandleAsync(app, person.Email), code)).IsSuccessStatusCode);
    }

    [Fact]
    public async Task A_recovery_code_takes_the_place_of_the_app_once()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        Assert.Equal(SecondStep.RecoveryCodes, authenticator.RecoveryCodes.Distinct().Count());
        Assert.All(authenticator.RecoveryCodes, c => Assert.Matches("^[a-z2-7]{4}(-[a-z2-7]{4}){3}$", c));
        var code = authenticator.RecoveryCodes[0];
        var stored = await app.Db.ListAsync<string>($"select digest from users_recovery_codes", Ct);
        Assert.DoesNotContain(stored, s => s.Contains(code.Replace("-", ""), StringComparison.Ordinal));

        var tokens = await (await GrantAsync(app, await HandleAsync(app, person.Email), code.ToUpperInvariant().Replace('-', ' '))).JsonAsync();

        Assert.Equal(["pwd", "recovery", "mfa"], Claims(tokens).GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
        await (await GrantAsync(app, await HandleAsync(app, person.Email), code)).ShouldBeProblemAsync(400, "users/wrong-code");
        Assert.Contains("9 are left", (await app.MailAsync(person.Email, "A recovery code was used")).Text);
        Assert.Equal(9, (await (await person.Http.GetAsync("/auth/me", Ct)).JsonAsync()).GetProperty("recovery_codes_left").GetInt32());

        var renewed = (await (await person.Http.PostAsync("/auth/recovery-codes", null, Ct)).JsonAsync()).GetProperty("codes")[0].GetString()!;
        await (await GrantAsync(app, await HandleAsync(app, person.Email), authenticator.RecoveryCodes[1])).ShouldBeProblemAsync(400, "users/wrong-code");
        await (await GrantAsync(app, await HandleAsync(app, person.Email), renewed)).JsonAsync();
    }

    [Fact]
    public async Task A_mailed_code_does_not_get_around_the_second_step()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        var asked = await (await app.Http.PostAsJsonAsync("/auth/code", new { email = person.Email }, Ct)).JsonAsync(202);
        var code = (await app.MailAsync(person.Email, "is your code")).Code;

        var problem = await (await app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "urn:tandem:email-code", ["handle"] = asked.GetProperty("handle").GetString()!, ["code"] = code }))
            .ShouldBeProblemAsync(403, "users/second-step-wanted");

        var tokens = await (await GrantAsync(app, problem.GetProperty("handle").GetString()!, authenticator.Code)).JsonAsync();
        Assert.Equal(["email", "otp", "mfa"], Claims(tokens).GetProperty("amr").EnumerateArray().Select(a => a.GetString()));
    }

    [Fact]
    public async Task Codes_cannot_be_tried_through()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock, "--Users:CodeFailuresPerDay", "8");
        using var person = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        var handle = await HandleAsync(app, person.Email);
        for (var i = 0; i < TicketTable.MaxAttempts; i++)
            await (await GrantAsync(app, handle, "000000")).ShouldBeProblemAsync(400, "users/wrong-code");
        // This handle has been tried out; the sixth try does not get further with the right code.
        await (await GrantAsync(app, handle, authenticator.Code)).ShouldBeProblemAsync(400, "users/wrong-code");

        var last = await HandleAsync(app, person.Email);
        var statuses = new List<int>();
        for (var i = 0; i < 14; i++)
            statuses.Add((int)(await GrantAsync(app, i % 4 == 0 ? last = await HandleAsync(app, person.Email) : last, "000000")).StatusCode);

        // Eight in a day by whomever, and eight more from where the owner was signed in.
        Assert.Equal(10, statuses.Count(s => s == 400));
        Assert.Equal(4, statuses.Count(s => s == 429));
    }

    [Fact]
    public async Task The_secret_is_sealed_for_its_account()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        using var other = await app.PersonAsync();
        var authenticator = await Authenticator.SetUpAsync(person, clock);
        await Authenticator.SetUpAsync(other, clock);

        var stored = await app.Db.FindAsync<byte[]>($"select secret from users_totp where account_id = {person.Id}", Ct);
        Assert.False(stored.AsSpan().IndexOf(authenticator.Secret) >= 0);
        await app.Db.ExecuteAsync($"update users_totp set secret = {stored} where account_id = {other.Id}", Ct);
        Assert.Equal(500, (int)(await GrantAsync(app, await HandleAsync(app, other.Email), authenticator.Code)).StatusCode);
    }

    [Fact]
    public async Task It_is_switched_off_by_its_owner_or_by_the_operator_and_goes_with_the_account()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        await (await person.Http.DeleteAsync("/auth/totp", Ct)).ShouldBeProblemAsync(404, "users/second-step-is-off");
        await (await person.Http.PostAsync("/auth/recovery-codes", null, Ct)).ShouldBeProblemAsync(404, "users/second-step-is-off");
        await Authenticator.SetUpAsync(person, clock);
        await (await person.Http.PostAsync("/auth/totp", null, Ct)).ShouldBeProblemAsync(409, "users/second-step-is-on");

        await (await person.Http.DeleteAsync("/auth/totp", Ct)).JsonlessAsync(204);
        await app.SignInAsync(person.Email);
        await app.MailAsync(person.Email, "The authenticator app was removed");

        await Authenticator.SetUpAsync(person, clock);
        await (await person.Http.DeleteAsync($"/users/{person.Id}", Ct)).JsonlessAsync(204);
        Assert.Equal(0, await app.Db.FindAsync<long>($"select (select count(*) from users_totp) + (select count(*) from users_recovery_codes)", Ct));
    }

    [Fact]
    public async Task What_is_dangerous_takes_a_fresh_sign_in_and_says_how_to_get_one()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock, "--Users:AccessTokenLifetime", "02:00:00");
        using var person = await app.PersonAsync();
        clock.Advance(TimeSpan.FromMinutes(16));
        (HttpMethod Method, string Path, object? Body)[] dangerous =
        [
            (HttpMethod.Put, "/auth/password", new { password = "another horse battery" }), (HttpMethod.Post, "/auth/email", new { email = TestUsers.NewEmail() }), (HttpMethod.Post, "/auth/totp", null),
            (HttpMethod.Post, "/auth/totp/confirmation", new { code = "000000" }), (HttpMethod.Delete, "/auth/totp", null), (HttpMethod.Post, "/auth/recovery-codes", null),
            (HttpMethod.Post, "/keys", new { name = "k" }), (HttpMethod.Delete, $"/users/{person.Id}", null),
        ];
        foreach (var (method, path, body) in dangerous)
        {
            var refused = await SendAsync(method, path, body);
            var problem = await refused.ShouldBeProblemAsync(401, "users/sign-in-too-old");
            Assert.Contains("POST /auth/confirmation", problem.GetProperty("detail").GetString());
            Assert.Equal("Bearer error=\"insufficient_user_authentication\", error_description=\"A more recent sign-in is needed\", max_age=\"900\"", refused.Headers.WwwAuthenticate.Single().ToString());
        }

        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        await (await person.Http.PostAsJsonAsync("/auth/confirmation", new { password = "not the password" }, Ct)).ShouldBeProblemAsync(400, "users/wrong-password");
        await (await person.Http.PostAsJsonAsync("/auth/confirmation", new { }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        await (await person.Http.PostAsJsonAsync("/auth/confirmation", new { password = TestUsers.Password }, Ct)).JsonlessAsync(204);

        await (await SendAsync(HttpMethod.Post, "/keys", new { name = "k" })).JsonAsync(201);
        Assert.Contains("sign-in-confirmed", await ByMailTests.AuditedAsync(app, person.Id));

        Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, object? body) =>
            person.Http.SendAsync(new HttpRequestMessage(method, path) { Content = body is null ? null : JsonContent.Create(body) }, Ct);
    }

    [Fact]
    public async Task Who_has_a_second_step_confirms_with_it_and_who_has_no_password_by_mail()
    {
        var clock = new FakeTimeProvider(Start);
        await using var app = await StartAsync(clock);
        using var person = await app.PersonAsync();
        var asked = await (await app.Http.PostAsJsonAsync("/auth/code", new { email = person.Email }, Ct)).JsonAsync(202);
        var mailed = (await app.MailAsync(person.Email, "is your code")).Code;
        await (await ConfirmAsync(new { handle = asked.GetProperty("handle").GetString(), code = "0000" })).ShouldBeProblemAsync(400, "users/wrong-code");
        await (await ConfirmAsync(new { handle = asked.GetProperty("handle").GetString(), code = mailed })).JsonlessAsync(204);
        var authenticator = await Authenticator.SetUpAsync(person, clock);

        await (await ConfirmAsync(new { password = TestUsers.Password })).ShouldBeProblemAsync(403, "users/second-step-wanted");
        await (await ConfirmAsync(new { code = "000000" })).ShouldBeProblemAsync(400, "users/wrong-code");
        await (await ConfirmAsync(new { code = authenticator.Code })).JsonlessAsync(204);

        Task<HttpResponseMessage> ConfirmAsync(object body) => person.Http.PostAsJsonAsync("/auth/confirmation", body, Ct);
    }

    [Fact]
    public async Task Changing_ones_password_leaves_this_session_alone()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        using var elsewhere = app.With((await app.SignInAsync(person.Email)).GetProperty("access_token").GetString()!);

        await (await person.Http.PutAsJsonAsync("/auth/password", new { password = "another horse battery" }, Ct)).JsonlessAsync(204);

        await (await person.Http.GetAsync("/sessions", Ct)).JsonAsync();
        await (await elsewhere.GetAsync("/sessions", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await app.SignInAsync(person.Email, "another horse battery");
    }

    static async Task<JsonElement> RefreshAsync(TestApp app, JsonElement tokens) => await (await app.PostTokenAsync(
        new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = tokens.GetProperty("refresh_token").GetString()! })).JsonAsync();

    internal static JsonElement Claims(JsonElement tokens) =>
        JsonDocument.Parse(System.Buffers.Text.Base64Url.DecodeFromChars(tokens.GetProperty("access_token").GetString()!.Split('.')[1])).RootElement;
}
