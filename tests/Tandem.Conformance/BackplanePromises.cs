using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Backplane;

namespace Tandem.Conformance;

/// <summary>What a backplane promises.</summary>
public abstract class BackplanePromises
{
    private protected abstract Task<(IBackplane One, IBackplane Other, IAsyncDisposable End)> StartAsync();

    [Fact]
    public async Task A_message_reaches_everybody_who_listens_on_its_channel_once()
    {
        var (one, other, end) = await StartAsync();
        await using var _ = end;
        var heard = new ConcurrentBag<string>();
        using var a = one.Subscribe("tests.a", m => heard.Add("one " + m));
        using var b = other.Subscribe("tests.a", m => heard.Add("other " + m));
        using var c = one.Subscribe("tests.b", m => heard.Add("wrong " + m));
        // Listening has begun when a first message arrives.
        await Eventually.TrueAsync(() =>
        {
            one.Publish("tests.a", "hello");
            return Task.FromResult(heard.Contains("other hello") && heard.Contains("one hello"));
        });
        one.Publish("tests.a", "last");
        await Eventually.TrueAsync(() => Task.FromResult(heard.Contains("other last") && heard.Contains("one last")));
        Assert.Single(heard, "one last");
        Assert.Single(heard, "other last");
        Assert.DoesNotContain(heard, h => h.StartsWith("wrong", StringComparison.Ordinal));
    }
}

public sealed class InProcessBackplaneTests : BackplanePromises
{
    private protected override Task<(IBackplane One, IBackplane Other, IAsyncDisposable End)> StartAsync()
    {
        var backplane = new InProcessBackplane();
        return Task.FromResult<(IBackplane, IBackplane, IAsyncDisposable)>((backplane, backplane, new MemoryStream()));
    }
}

public sealed class RedisBackplaneTests : BackplanePromises
{
    private protected override async Task<(IBackplane One, IBackplane Other, IAsyncDisposable End)> StartAsync()
    {
        var pair = await RedisPair.StartAsync();
        return (pair.Find<IBackplane>(0), pair.Find<IBackplane>(1), pair);
    }

    [Fact]
    public async Task After_an_outage_messages_flow_again_and_listeners_are_told_that_they_may_have_missed_some()
    {
        await using var pair = await RedisPair.StartAsync();
        var (heard, missed) = (new ConcurrentBag<string>(), 0);
        using var listening = pair.Find<IBackplane>(1).Subscribe("tests.a", heard.Add, () => Interlocked.Increment(ref missed));
        await SaidAsync("before");
        await pair.Redis.KillAsync();
        pair.Find<IBackplane>(0).Publish("tests.a", "lost");
        await pair.Redis.StartAgainAsync();
        await SaidAsync("after");
        await Eventually.TrueAsync(() => Task.FromResult(Volatile.Read(ref missed) > 0));

        Task SaidAsync(string message) => Eventually.TrueAsync(async () =>
        {
            pair.Find<IBackplane>(0).Publish("tests.a", message);
            await Task.Yield();
            return heard.Contains(message);
        }, 30);
    }
}

/// <summary>Two programs, as different processes have them, on one Redis.</summary>
sealed class RedisPair(OwnRedis redis, TestApp[] apps) : IAsyncDisposable
{
    public OwnRedis Redis => redis;

    public static async Task<RedisPair> StartAsync()
    {
        var redis = await OwnRedis.StartAsync();
        var pair = new RedisPair(redis, [await TestApp.StartAsync(null, null, redis.Settings), await TestApp.StartAsync(null, null, redis.Settings)]);
        // Connections are made in the background.
        foreach (var i in new[] { 0, 1 })
            await Eventually.TrueAsync(() => Task.FromResult(pair.Find<Tandem.Redis.RedisLink>(i).IsConnected));
        return pair;
    }

    public IServiceProvider Services(int app) => apps[app].Services;

    public T Find<T>(int app) where T : notnull => apps[app].Services.GetRequiredService<T>();

    public async ValueTask DisposeAsync()
    {
        foreach (var app in apps)
            await app.DisposeAsync();
        await redis.DisposeAsync();
    }
}
