using System.Net.Http.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Tandem.Tests.Users;

public sealed class LimitTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_eleventh_failed_sign_in_to_an_account_is_429_whether_or_not_it_exists()
    {
        await using var app = await TestApp.StartAsync();
        var known = TestUsers.NewEmail();
        await app.RegisterAsync(known);
        foreach (var email in new[] { known, TestUsers.NewEmail() })
        {
            for (var i = 0; i < 10; i++)
                await (await app.PostTokenAsync(i % 2 == 0 ? email : email.ToUpperInvariant(), "guess")).ShouldBeProblemAsync(400, "users/invalid-grant");

            // The right password would not be told from a wrong one either.
            var refused = await app.PostTokenAsync(email);

            var problem = await refused.ShouldBeProblemAsync(429, "http/too-many-requests");
            Assert.Equal("temporarily_unavailable", problem.GetProperty("error").GetString());
            Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 30);
            Assert.StartsWith("\"sign-in-account\";r=0;t=", refused.Headers.GetValues("RateLimit").Single());
            Assert.Equal("\"sign-in-account\";q=10;w=300", refused.Headers.GetValues("RateLimit-Policy").Single());
        }
    }

    [Fact]
    public async Task A_thousand_guesses_at_once_are_no_way_round_the_limit()
    {
        await using var app = await TestApp.StartAsync();
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);

        var answers = await Task.WhenAll(Enumerable.Range(0, 60).Select(_ => app.PostTokenAsync(email, "guess")));

        Assert.Equal(10, answers.Count(a => (int)a.StatusCode == 400));
        Assert.Equal(50, answers.Count(a => (int)a.StatusCode == 429));
    }

    [Fact]
    public async Task A_success_gives_the_account_its_whole_allowance_back()
    {
        await using var app = await TestApp.StartAsync();
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);
        for (var round = 0; round < 3; round++)
        {
            for (var i = 0; i < 9; i++)
                await (await app.PostTokenAsync(email, "guess")).ShouldBeProblemAsync(400, "users/invalid-grant");
            await (await app.PostTokenAsync(email)).JsonAsync();
        }
    }

    [Fact]
    public async Task Successes_are_not_counted_against_the_address()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:FailuresPerAddress", "5"]);
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);

        for (var i = 0; i < 12; i++)
            await (await app.PostTokenAsync(email)).JsonAsync();
    }

    [Fact]
    public async Task Failures_to_many_accounts_from_one_address_are_429()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:FailuresPerAddress", "5"]);
        for (var i = 0; i < 5; i++)
            await (await app.PostTokenAsync(TestUsers.NewEmail(), "guess")).ShouldBeProblemAsync(400, "users/invalid-grant");

        var refused = await app.PostTokenAsync(TestUsers.NewEmail(), "guess");

        await refused.ShouldBeProblemAsync(429, "http/too-many-requests");
        Assert.StartsWith("\"sign-in-address\"", refused.Headers.GetValues("RateLimit").Single());
    }

    [Fact]
    public async Task Who_signed_in_from_an_address_before_is_not_locked_out_there_by_guesses_from_elsewhere()
    {
        await using var app = await TestApp.StartAsync();
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);
        await app.SignInAsync(email);
        // What guesses from other addresses leave behind.
        var limits = app.Services.GetRequiredService<Tandem.Core.Http.IRateLimits>();
        while ((await limits.TakeAsync("users/sign-in-account", email, 10, TimeSpan.FromMinutes(5))).Allowed)
        {
        }

        await (await app.PostTokenAsync(email)).JsonAsync();
    }

    [Fact]
    public async Task Whoever_guesses_on_locks_the_owner_out_for_half_a_minute_at_most()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);
        for (var i = 0; i < 15; i++)
            await app.PostTokenAsync(email, "guess");
        await (await app.PostTokenAsync(email)).ShouldBeProblemAsync(429, "http/too-many-requests");

        clock.Advance(TimeSpan.FromSeconds(31));

        await (await app.PostTokenAsync(email)).JsonAsync();
    }

    [Fact]
    public async Task Limits_can_be_switched_off()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:FailuresPerAccount", "0", "--Users:FailuresPerAddress", "0", "--Users:SignUpsPerMinutePerAddress", "0"]);
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);

        for (var i = 0; i < 15; i++)
            await (await app.PostTokenAsync(email, "guess")).ShouldBeProblemAsync(400, "users/invalid-grant");
        for (var i = 0; i < 130; i++)
            Assert.Equal(400, (int)(await app.Http.PostAsJsonAsync("/users", new { email, name = "Ada", password = "12345678" }, Ct)).StatusCode);
    }
}
