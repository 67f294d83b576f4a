using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Tandem.Core.Data;

namespace Tandem.Tests.Users;

public sealed partial class SignUpTests(UsersFixture fixture) : IClassFixture<UsersFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Signing_up_answers_201_with_exactly_the_user_of_the_contract()
    {
        var email = TestUsers.NewEmail();

        var response = await fixture.App.Http.PostAsJsonAsync("/users", new { email = email.ToUpperInvariant(), name = "Ada Lovelace", password = "12345678" }, Ct);

        var user = await response.JsonAsync(201);
        Assert.Equal(["id", "email", "name", "created_at", "is_active"], user.EnumerateObject().Select(p => p.Name));
        Assert.Equal(JsonValueKind.Number, user.GetProperty("id").ValueKind);
        Assert.Equal(email, user.GetProperty("email").GetString());
        Assert.Equal("Ada Lovelace", user.GetProperty("name").GetString());
        Assert.True(user.GetProperty("is_active").GetBoolean());
        Assert.Matches(Instant(), user.GetProperty("created_at").GetString());
        Assert.InRange(user.GetProperty("created_at").GetDateTimeOffset(), DateTimeOffset.UtcNow.AddMinutes(-1), DateTimeOffset.UtcNow);
        Assert.Equal($"/users/{user.GetProperty("id").GetInt64()}", response.Headers.Location?.ToString());
    }

    [Fact]
    public async Task An_email_registers_once_whatever_its_case()
    {
        var email = TestUsers.NewEmail();
        await fixture.App.RegisterAsync(email);

        var response = await fixture.App.Http.PostAsJsonAsync("/users", new { email = email.ToUpperInvariant(), name = "Ada", password = "12345678" }, Ct);

        var problem = await response.ShouldBeProblemAsync(400, "users/email-taken");
        Assert.Equal("Email already registered", problem.GetProperty("detail").GetString());
    }

    [Fact]
    public async Task Of_sign_ups_with_one_email_at_once_exactly_one_succeeds()
    {
        var email = TestUsers.NewEmail();

        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ =>
            fixture.App.Http.PostAsJsonAsync("/users", new { email, name = "Ada", password = "12345678" }, Ct)));

        Assert.Single(answers, a => (int)a.StatusCode == 201);
        Assert.Equal(7, answers.Count(a => (int)a.StatusCode == 400));
    }

    [Theory]
    [InlineData("email", """{"email":"not-an-email","name":"Ada","password":"12345678"}""")]
    [InlineData("email", """{"email":"ada@example","name":"Ada","password":"12345678"}""")]
    [InlineData("email", """{"email":"ada lovelace@example.com","name":"Ada","password":"12345678"}""")]
    [InlineData("email", """{"email":"ada@@example.com","name":"Ada","password":"12345678"}""")]
    [InlineData("email", """{"email":"@example.com","name":"Ada","password":"12345678"}""")]
    [InlineData("email", """{"email":"ada@.com","name":"Ada","password":"12345678"}""")]
    [InlineData("email", """{"email":"ada@example.com\n","name":"Ada","password":"12345678"}""")]
    [InlineData("email", """{"email":"","name":"Ada","password":"12345678"}""")]
    [InlineData("email", """{"email":null,"name":"Ada","password":"12345678"}""")]
    [InlineData("email", """{"email":7,"name":"Ada","password":"12345678"}""")]
    [InlineData("email", """{"name":"Ada","password":"12345678"}""")]
    [InlineData("name", """{"email":"ada@example.com","name":"","password":"12345678"}""")]
    [InlineData("name", """{"email":"ada@example.com","name":" \t\u200b","password":"12345678"}""")]
    [InlineData("name", """{"email":"ada@example.com","name":null,"password":"12345678"}""")]
    [InlineData("name", """{"email":"ada@example.com","name":"a\u0000b","password":"12345678"}""")]
    [InlineData("password", """{"email":"ada@example.com","name":"Ada","password":"1234567"}""")]
    [InlineData("password", """{"email":"ada@example.com","name":"Ada","password":12345678}""")]
    [InlineData("password", """{"email":"ada@example.com","name":"Ada"}""")]
    [InlineData("body", "[]")]
    [InlineData("body", "{")]
    [InlineData("body", "")]
    public async Task A_fault_is_422_with_a_message_under_its_field(string field, string body)
    {
        var response = await fixture.App.Http.PostAsync("/users", new StringContent(body, Encoding.UTF8, "application/json"), Ct);

        var problem = await response.ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal([field], problem.GetProperty("errors").EnumerateObject().Select(e => e.Name));
        Assert.NotEqual("", problem.GetProperty("errors").GetProperty(field)[0].GetString());
    }

    [Theory]
    [InlineData("email", 255)]
    [InlineData("name", 201)]
    [InlineData("password", 257)]
    public async Task A_field_has_an_upper_bound(string field, int length)
    {
        var domain = string.Concat(Enumerable.Repeat("abcdefghi.", 20)) + "com";
        var values = new Dictionary<string, string> { ["email"] = TestUsers.NewEmail(), ["name"] = "Ada", ["password"] = "12345678" };
        values[field] = field == "email" ? new string('a', length - domain.Length - 1) + "@" + domain : new string('x', length);
        Assert.Equal(length, values[field].Length);
        var over = await (await fixture.App.Http.PostAsJsonAsync("/users", values, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal([field], over.GetProperty("errors").EnumerateObject().Select(e => e.Name));

        values[field] = field == "email" ? values[field][1..] : values[field][1..];
        await (await fixture.App.Http.PostAsJsonAsync("/users", values, Ct)).JsonAsync(201);
    }

    [Fact]
    public async Task Every_fault_is_named_at_once()
    {
        var response = await fixture.App.Http.PostAsJsonAsync("/users", new { email = "x", name = " ", password = "y" }, Ct);

        var problem = await response.ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal(["email", "name", "password"], problem.GetProperty("errors").EnumerateObject().Select(e => e.Name));
    }

    [Fact]
    public async Task Sign_up_can_be_switched_off_and_administrators_still_can()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:SignUp", "false"]);
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        var user = new { email = TestUsers.NewEmail(), name = "Ada", password = "12345678" };

        await (await app.Http.PostAsJsonAsync("/users", user, Ct)).ShouldBeProblemAsync(403, "users/sign-up-closed");
        await (await person.Http.PostAsJsonAsync("/users", user, Ct)).ShouldBeProblemAsync(403, "users/sign-up-closed");
        await (await admin.Http.PostAsJsonAsync("/users", user, Ct)).JsonAsync(201);
    }

    [Fact]
    public async Task Fifty_sign_ups_a_minute_from_one_address_pass_and_a_flood_gets_429()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:SignUpsPerMinutePerAddress", "60"]);
        // The e-mail exists: the limit is counted, the expensive hash is not needed.
        var taken = TestUsers.NewEmail();
        await app.RegisterAsync(taken);
        for (var i = 0; i < 50; i++)
            Assert.Equal(400, (int)(await app.Http.PostAsJsonAsync("/users", new { email = taken, name = "Ada", password = "12345678" }, Ct)).StatusCode);

        HttpResponseMessage last;
        var sent = 51;
        do
            last = await app.Http.PostAsJsonAsync("/users", new { email = taken, name = "Ada", password = "12345678" }, Ct);
        while ((int)last.StatusCode != 429 && sent++ < 100);

        await last.ShouldBeProblemAsync(429, "http/too-many-requests");
        Assert.InRange(sent, 60, 99);
        Assert.True(last.Headers.RetryAfter?.Delta > TimeSpan.Zero);
        Assert.Contains("\"sign-up\";r=0", last.Headers.GetValues("RateLimit").Single());
        Assert.Contains("\"sign-up\";q=60;w=60", last.Headers.GetValues("RateLimit-Policy").Single());
    }

    [Fact]
    public async Task The_password_is_stored_as_an_argon2id_hash_and_never_answered()
    {
        var email = TestUsers.NewEmail();
        const string Secret = "a password nobody else has";

        var response = await fixture.App.Http.PostAsJsonAsync("/users", new { email, name = "Ada", password = Secret }, Ct);

        var text = await response.Content.ReadAsStringAsync(Ct);
        Assert.DoesNotContain("password", text);
        Assert.DoesNotContain(Secret, text);
        var hash = await fixture.App.Db.FindAsync<string>($"select password_hash from users_accounts where email = {email}", Ct);
        Assert.StartsWith("$argon2id$v=19$m=19456,t=2,p=1$", hash);
    }

    [GeneratedRegex(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    private static partial Regex Instant();
}
