using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Backplane;
using Tandem.Redis;

namespace Tandem.Conformance.Backplane;

/// <summary>Two processes on one PostgreSQL and one Redis, over HTTP.</summary>
public sealed class SharedSessionTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_session_that_ends_in_one_process_is_refused_by_the_other()
    {
        await using var redis = await OwnRedis.StartAsync();
        await using var place = new Place(redis);
        await using var one = await place.StartAsync();
        await using var other = await place.StartAsync();
        using var person = await one.PersonAsync();
        using var there = other.With(person.AccessToken);
        await (await there.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        var told = new TaskCompletionSource();
        using var subscription = other.Services.GetRequiredService<IBackplane>().Subscribe("users.sessions-ended", _ => told.TrySetResult());

        await (await person.Http.DeleteAsync($"/users/{person.Id}", Ct)).JsonlessAsync(204);

        await told.Task.WaitAsync(TimeSpan.FromSeconds(90), Ct);
        await RefusedAsync(there, person.Id);
    }

    [Fact]
    public async Task Without_Redis_it_is_refused_as_well_and_nobody_sees_an_error()
    {
        await using var redis = await OwnRedis.StartAsync();
        await using var place = new Place(redis);
        await using var one = await place.StartAsync();
        await using var other = await place.StartAsync();
        using var person = await one.PersonAsync();
        using var there = other.With(person.AccessToken);
        await redis.KillAsync();

        await (await there.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        await (await person.Http.DeleteAsync($"/users/{person.Id}", Ct)).JsonlessAsync(204);
        await RefusedAsync(there, person.Id);

        await Eventually.TrueAsync(async () => (await (await one.Http.GetAsync("/health/ready", Ct)).JsonAsync()).GetProperty("status").GetString() == "degraded");
        await redis.StartAgainAsync();
        await Eventually.TrueAsync(async () => (await (await one.Http.GetAsync("/health/ready", Ct)).JsonAsync()).GetProperty("status").GetString() == "ready");
    }

    [Fact]
    public async Task Wrong_passwords_are_counted_together()
    {
        await using var redis = await OwnRedis.StartAsync();
        await using var place = new Place(redis);
        await using var one = await place.StartAsync("--Users:FailuresPerAddress", "4");
        await using var other = await place.StartAsync("--Users:FailuresPerAddress", "4");
        using var person = await one.PersonAsync();
        for (var i = 0; i < 4; i++)
            await (await (i % 2 == 0 ? one : other).PostTokenAsync(person.Email, "not this one")).ShouldBeProblemAsync(400, "users/invalid-grant");

        foreach (var app in new[] { one, other })
            Assert.Equal(HttpStatusCode.TooManyRequests, (await app.PostTokenAsync(person.Email)).StatusCode);
    }

    static Task RefusedAsync(HttpClient http, long id) => Eventually.TrueAsync(async () =>
    {
        var response = await http.GetAsync($"/users/{id}", Ct);
        Assert.True((int)response.StatusCode < 500, $"{response.StatusCode}");
        return response.StatusCode == HttpStatusCode.Unauthorized;
    });
}

/// <summary>One database and one Redis for several processes.</summary>
sealed class Place(OwnRedis redis) : IAsyncDisposable
{
    readonly string _data = Stores.NewData();

    /// <summary>Another process: the database is the same, the directory its own.</summary>
    public async Task<TestApp> StartAsync(params string[] more)
    {
        TestStores.NeedsPostgres();
        var app = await TestApp.StartAsync(null, null, [.. await TestStores.PostgresAsync(_data), .. redis.Settings, .. more]);
        await OwnRedis.ReadyAsync(app);
        return app;
    }

    public ValueTask DisposeAsync() => new(TestStores.DropAsync(_data));
}
