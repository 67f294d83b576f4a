using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Backplane;

namespace Tandem.Conformance.Backplane;

/// <summary>What every backplane promises.</summary>
public abstract class BackplanePromises
{
    private protected abstract Task<Pair> StartAsync();

    private protected static IBackplane Of(TestApp app) => app.Services.GetRequiredService<IBackplane>();

    [Fact]
    public async Task Every_listener_of_every_process_gets_what_is_said_on_his_channel_in_order()
    {
        await using var pair = await StartAsync();
        var heard = new ConcurrentQueue<string>[4];
        for (var i = 0; i < 4; i++)
        {
            var mine = heard[i] = new();
            Of(i < 2 ? pair.One : pair.Other).Subscribe(i % 2 == 0 ? "test.even" : "test.odd", mine.Enqueue);
        }

        for (var i = 0; i < 200; i++)
            Of(pair.One).Publish(i % 2 == 0 ? "test.even" : "test.odd", $"message {i}");

        await UntilAsync(() => heard.All(h => h.Count >= 100));
        for (var i = 0; i < 4; i++)
            Assert.Equal(Enumerable.Range(0, 100).Select(n => $"message {(n * 2) + (i % 2)}"), heard[i]);
    }

    [Fact]
    public async Task Whoever_publishes_has_heard_it_himself_when_the_call_returns()
    {
        await using var pair = await StartAsync();
        var heard = new List<string>();
        using var subscription = Of(pair.One).Subscribe("test.own", heard.Add);

        Of(pair.One).Publish("test.own", "grüße\n\0");

        Assert.Equal(["grüße\n\0"], heard);
    }

    [Fact]
    public async Task After_disposal_nothing_is_heard_and_one_that_fails_disturbs_nobody()
    {
        await using var pair = await StartAsync();
        var (ended, heard) = (0, new ConcurrentQueue<string>());
        Of(pair.Other).Subscribe("test.x", _ => Interlocked.Increment(ref ended)).Dispose();
        using var failing = Of(pair.Other).Subscribe("test.x", _ => throw new InvalidOperationException("on purpose"));
        using var fine = Of(pair.Other).Subscribe("test.x", heard.Enqueue);

        Of(pair.One).Publish("test.x", "a");
        Of(pair.One).Publish("test.x", "b");

        await UntilAsync(() => heard.Count == 2);
        Assert.Equal(["a", "b"], heard);
        Assert.Equal(0, ended);
    }

    private protected static Task UntilAsync(Func<bool> condition) => Eventually.TrueAsync(() => Task.FromResult(condition()));
}

public sealed class InProcessBackplaneTests : BackplanePromises
{
    private protected override Task<Pair> StartAsync() => Pair.EmbeddedAsync();
}

public sealed class RedisBackplaneTests : BackplanePromises
{
    private protected override Task<Pair> StartAsync() => Pair.OnRedisAsync();

    [Fact]
    public async Task A_killed_Redis_fails_nobody_and_when_it_is_back_all_are_told_that_they_missed_something()
    {
        await using var pair = await StartAsync();
        var (here, there) = (new ConcurrentQueue<string>(), new ConcurrentQueue<string>());
        var missed = 0;
        using var one = Of(pair.One).Subscribe("test.x", here.Enqueue);
        using var other = Of(pair.Other).Subscribe("test.x", there.Enqueue, () => Interlocked.Increment(ref missed));

        await pair.KillAsync();
        // Listening may have begun a second time just before, which is told as well; without Redis nothing is.
        var before = Volatile.Read(ref missed);
        Of(pair.One).Publish("test.x", "alone");
        Assert.Equal(["alone"], here);
        Assert.Equal(before, missed);
        await pair.ReviveAsync();

        await UntilAsync(() => missed > before);
        await UntilAsync(() =>
        {
            Of(pair.One).Publish("test.x", "together");
            return !there.IsEmpty;
        });
        Assert.DoesNotContain("alone", there);
    }

    [Fact]
    public async Task Whoever_was_connected_all_the_while_is_told_of_what_another_could_not_send()
    {
        await using var redis = await OwnRedis.StartAsync();
        // One gives up on a server that does not answer; the other has nothing to ask it and notices nothing.
        await using var one = await redis.AppAsync("--Redis:OperationTimeout", "00:00:00.2");
        await using var other = await redis.AppAsync();
        var missed = new TaskCompletionSource();
        using var subscription = Of(other).Subscribe("test.x", _ => { }, () => missed.TrySetResult());

        await redis.FreezeAsync();
        Of(one).Publish("test.x", "unheard");
        await UntilAsync(() => !one.Services.GetRequiredService<Tandem.Redis.RedisLink>().Answers);
        await redis.ThawAsync();

        await missed.Task.WaitAsync(TimeSpan.FromSeconds(90), TestContext.Current.CancellationToken);
    }
}
