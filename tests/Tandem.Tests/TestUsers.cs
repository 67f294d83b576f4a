using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Users;
using Tandem.Users.Audit;

namespace Tandem.Tests;

/// <summary>Accounts and tokens for tests.</summary>
static class TestUsers
{
    public const string Password = "correct horse battery";

    /// <summary>An e-mail that no other test has.</summary>
    public static string NewEmail() => $"p{Guid.NewGuid():n}@example.com";

    /// <summary>Signs up.</summary>
    /// <returns>The account's id.</returns>
    public static async Task<long> RegisterAsync(this TestApp app, string email, string password = Password, string name = "Ada")
    {
        var response = await app.Http.PostAsJsonAsync("/users", new { email, name, password });
        return (await response.JsonAsync(201)).GetProperty("id").GetInt64();
    }

    public static Task<HttpResponseMessage> PostTokenAsync(this TestApp app, string email, string password = Password) =>
        app.PostTokenAsync(new Dictionary<string, string> { ["username"] = email, ["password"] = password });

    public static Task<HttpResponseMessage> PostTokenAsync(this TestApp app, IDictionary<string, string> form) =>
        app.Http.PostAsync("/token", new FormUrlEncodedContent(form));

    /// <returns>The whole answer of POST /token.</returns>
    public static async Task<JsonElement> SignInAsync(this TestApp app, string email, string password = Password) =>
        await (await app.PostTokenAsync(email, password)).JsonAsync();

    /// <summary>A client that sends the token.</summary>
    public static HttpClient With(this TestApp app, string accessToken)
    {
        var http = new HttpClient { BaseAddress = new Uri(app.Address) };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", accessToken);
        return http;
    }

    /// <summary>A new plain person, signed in.</summary>
    public static Task<Person> PersonAsync(this TestApp app) => app.PersonAsync(Role.Person);

    /// <summary>A new administrator, signed in.</summary>
    public static Task<Person> AdministratorAsync(this TestApp app) => app.PersonAsync(Role.Administrator);

    static async Task<Person> PersonAsync(this TestApp app, Role role)
    {
        var email = NewEmail();
        var hash = await app.Services.GetRequiredService<Passwords>().HashAsync(Password, CancellationToken.None);
        var account = await app.Services.GetRequiredService<UserTable>().AddAsync(new NewUser(email, "Ada", Password), hash, role, DateTime.UtcNow, Origin.Operator, null, CancellationToken.None);
        var tokens = await app.SignInAsync(email);
        return new Person(account!.Id, email, tokens, app.With(tokens.GetProperty("access_token").GetString()!));
    }
}

/// <param name="Id">The account.</param>
/// <param name="Email">Its e-mail; the password is <see cref="TestUsers.Password"/>.</param>
/// <param name="Tokens">The answer of POST /token.</param>
/// <param name="Http">Sends its access token.</param>
sealed record Person(long Id, string Email, JsonElement Tokens, HttpClient Http) : IDisposable
{
    public string AccessToken => Tokens.GetProperty("access_token").GetString()!;
    public string RefreshToken => Tokens.GetProperty("refresh_token").GetString()!;
    public void Dispose() => Http.Dispose();
}
