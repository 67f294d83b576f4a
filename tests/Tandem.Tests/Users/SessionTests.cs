using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users;

namespace Tandem.Tests.Users;

public sealed class SessionTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_refresh_token_is_exchanged_for_the_next_pair_of_the_same_session()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();

        var response = await RefreshAsync(app, person.RefreshToken);

        var next = await response.JsonAsync();
        Assert.Equal(["access_token", "token_type", "expires_in", "refresh_token"], next.EnumerateObject().Select(p => p.Name));
        Assert.True(response.Headers.CacheControl?.NoStore);
        Assert.NotEqual(person.RefreshToken, next.GetProperty("refresh_token").GetString());
        using var http = app.With(next.GetProperty("access_token").GetString()!);
        await (await http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        await (await RefreshAsync(app, next)).JsonAsync();
        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from users_sessions", Ct));
    }

    [Fact]
    public async Task Refreshes_at_once_all_get_the_same_successor_and_an_access_token_that_works()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();

        var answers = await Task.WhenAll(Enumerable.Range(0, 12).Select(async _ => await (await RefreshAsync(app, person.RefreshToken)).JsonAsync()));

        Assert.Single(answers.Select(a => a.GetProperty("refresh_token").GetString()).Distinct());
        foreach (var answer in answers)
        {
            using var http = app.With(answer.GetProperty("access_token").GetString()!);
            await (await http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        }

        await (await RefreshAsync(app, answers[0])).JsonAsync();
    }

    [Fact]
    public async Task A_refresh_token_used_again_after_the_grace_ends_the_session_for_everyone_and_is_logged()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var log = new Lines();
        await using var app = await TestApp.StartAsync(a =>
        {
            a.Services.AddSingleton<TimeProvider>(clock);
            a.Services.AddSingleton<ILoggerProvider>(log);
        }, settings: ["--Log:Level", "Warning"]);
        using var person = await app.PersonAsync();
        var next = await (await RefreshAsync(app, person.RefreshToken)).JsonAsync();
        using var http = app.With(next.GetProperty("access_token").GetString()!);

        clock.Advance(TimeSpan.FromSeconds(29));
        await (await RefreshAsync(app, person.RefreshToken)).JsonAsync();
        Assert.DoesNotContain(log.All, l => l.Id == 2002);
        clock.Advance(TimeSpan.FromSeconds(2));
        await (await RefreshAsync(app, person.RefreshToken)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");

        await (await RefreshAsync(app, next)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
        await (await http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        Assert.Equal(LogLevel.Warning, Assert.Single(log.All, l => l.Id == 2002).Level);
        // The person itself is not locked out.
        await (await app.PostTokenAsync(person.Email)).JsonAsync();
    }

    [Fact]
    public async Task A_refresh_token_two_generations_old_ends_the_session_even_within_the_grace()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        var second = await (await RefreshAsync(app, person.RefreshToken)).JsonAsync();
        var third = await (await RefreshAsync(app, second)).JsonAsync();

        await (await RefreshAsync(app, person.RefreshToken)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");

        await (await RefreshAsync(app, third)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
    }

    [Fact]
    public async Task A_session_that_lies_unused_too_long_is_over()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), settings: ["--Users:RefreshTokenLifetime", "02:00:00"]);
        using var person = await app.PersonAsync();

        clock.Advance(TimeSpan.FromMinutes(119));
        var next = await (await RefreshAsync(app, person.RefreshToken)).JsonAsync();
        clock.Advance(TimeSpan.FromMinutes(119));
        next = await (await RefreshAsync(app, next)).JsonAsync();
        clock.Advance(TimeSpan.FromMinutes(121));
        await (await RefreshAsync(app, next)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
    }

    [Fact]
    public async Task Deactivating_stops_every_token_of_the_person_at_once()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        using var elsewhere = app.With((await app.SignInAsync(person.Email)).GetProperty("access_token").GetString()!);
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        await (await elsewhere.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).JsonAsync();

        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await elsewhere.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await RefreshAsync(app, person.RefreshToken)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");

        await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = true }, Ct)).JsonAsync();
        // The old tokens stay dead; a new sign-in lives.
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        using var again = app.With((await app.SignInAsync(person.Email)).GetProperty("access_token").GetString()!);
        await (await again.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
    }

    [Fact]
    public async Task Deleting_stops_every_token_of_the_person_at_once()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();

        Assert.Equal(204, (int)(await admin.Http.DeleteAsync($"/users/{person.Id}", Ct)).StatusCode);

        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await RefreshAsync(app, person.RefreshToken)).ShouldBeProblemAsync(400, "users/invalid-refresh-token");
    }

    [Fact]
    public async Task Sign_ins_that_race_with_a_deactivation_leave_no_living_session()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();

        var signIns = Enumerable.Range(0, 12).Select(_ => app.PostTokenAsync(person.Email)).ToList();
        await Task.WhenAny(signIns);
        await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).JsonAsync();
        var answers = await Task.WhenAll(signIns);

        Assert.Equal(0, await app.Db.FindAsync<long>($"select count(*) from users_sessions where account_id = {person.Id} and ended_at is null", Ct));
        foreach (var answer in answers.Where(a => a.IsSuccessStatusCode))
        {
            using var http = app.With((await answer.JsonAsync()).GetProperty("access_token").GetString()!);
            await (await http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        }
    }

    [Fact]
    public async Task No_password_hash_token_or_email_is_ever_logged()
    {
        var log = new Lines();
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<ILoggerProvider>(log), settings: ["--Log:Level", "Trace"]);
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);
        var tokens = await app.SignInAsync(email);
        await app.PostTokenAsync(email, "wrong but secret too");
        await RefreshAsync(app, tokens);
        await app.Http.PostAsJsonAsync("/users", new { email, name = "Ada", password = "another secret" }, Ct);
        await app.Http.PostAsJsonAsync("/users", new { email = "broken", name = "", password = "tiny" }, Ct);
        await app.Http.GetAsync("/setup?token=guess-that-is-secret", Ct);
        var hash = await app.Db.FindAsync<string>($"select password_hash from users_accounts where email = {email}", Ct);

        Assert.Contains(log.All, l => l.Text.Contains("POST /token 200", StringComparison.Ordinal));
        string[] secrets = [email, TestUsers.Password, "wrong but secret too", "another secret", "guess-that-is-secret", hash!,
            tokens.GetProperty("access_token").GetString()!, tokens.GetProperty("refresh_token").GetString()!];
        Assert.All(log.All, l => Assert.All(secrets, s => Assert.DoesNotContain(s, l.Text)));
    }

    static Task<HttpResponseMessage> RefreshAsync(TestApp app, JsonElement tokens) => RefreshAsync(app, tokens.GetProperty("refresh_token").GetString()!);

    static Task<HttpResponseMessage> RefreshAsync(TestApp app, string token) =>
        app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "refresh_token", ["refresh_token"] = token });
}
