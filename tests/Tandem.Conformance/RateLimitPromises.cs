using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Http;

namespace Tandem.Conformance;

/// <summary>What rate limits promise.</summary>
public abstract class RateLimitPromises
{
    private protected static readonly TimeSpan Hour = TimeSpan.FromHours(1);

    /// <summary>Limits as two processes have them; the same ones where there is one process.</summary>
    private protected abstract Task<(IRateLimits One, IRateLimits Other, IAsyncDisposable End)> StartAsync();

    [Fact]
    public async Task No_more_than_the_limit_gets_through_however_many_ask_and_wherever()
    {
        var (one, other, end) = await StartAsync();
        await using var _ = end;
        var allowed = 0;
        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => Task.Run(async () =>
        {
            if ((await (i % 2 == 0 ? one : other).TakeAsync("rule", "ada", 50, Hour)).Allowed)
                Interlocked.Increment(ref allowed);
        })));
        Assert.Equal(50, allowed);
        var refused = await other.TakeAsync("rule", "ada", 50, Hour);
        Assert.Equal((false, 0), (refused.Allowed, refused.Remaining));
        Assert.InRange(refused.Reset, TimeSpan.FromSeconds(1), Hour / 50);
        Assert.True((await one.TakeAsync("rule", "bob", 50, Hour)).Allowed);
        Assert.True((await one.TakeAsync("another rule", "ada", 50, Hour)).Allowed);
    }

    [Fact]
    public async Task What_is_given_back_can_be_taken_again_and_no_more()
    {
        var (one, other, end) = await StartAsync();
        await using var _ = end;
        for (var i = 0; i < 3; i++)
            await one.TakeAsync("rule", "ada", 3, Hour);

        await other.GiveBackAsync("rule", "ada", 3, Hour);

        Assert.True((await one.TakeAsync("rule", "ada", 3, Hour)).Allowed);
        Assert.False((await other.TakeAsync("rule", "ada", 3, Hour)).Allowed);
        await one.GiveBackAsync("rule", "nobody", 3, Hour);
        for (var i = 0; i < 3; i++)
            Assert.True((await other.TakeAsync("rule", "nobody", 3, Hour)).Allowed);
        Assert.False((await one.TakeAsync("rule", "nobody", 3, Hour)).Allowed);
    }

    [Fact]
    public async Task Looking_takes_nothing_and_forgetting_gives_all_back()
    {
        var (one, other, end) = await StartAsync();
        await using var _ = end;
        for (var i = 0; i < 10; i++)
            Assert.Equal((true, 2), await Of(one.PeekAsync("rule", "ada", 2, Hour)));
        Assert.Equal((true, 1), await Of(one.TakeAsync("rule", "ada", 2, Hour)));
        Assert.Equal((true, 0), await Of(other.TakeAsync("rule", "ada", 2, Hour)));
        Assert.False((await one.PeekAsync("rule", "ada", 2, Hour)).Allowed);

        await other.ForgetAsync("rule", "ada");

        Assert.Equal((true, 1), await Of(one.TakeAsync("rule", "ada", 2, Hour)));
    }

    [Fact]
    public async Task An_allowance_fills_up_again()
    {
        var (one, _, end) = await StartAsync();
        await using var __ = end;
        var window = TimeSpan.FromMilliseconds(400);
        while ((await one.TakeAsync("rule", "ada", 4, window)).Allowed)
        {
        }

        await Eventually.TrueAsync(async () => (await one.TakeAsync("rule", "ada", 4, window)).Allowed);
    }

    static async Task<(bool, int)> Of(ValueTask<RateLimit> limit) => await limit is var l ? (l.Allowed, l.Remaining) : default;
}

public sealed class InProcessRateLimitTests : RateLimitPromises
{
    private protected override Task<(IRateLimits One, IRateLimits Other, IAsyncDisposable End)> StartAsync()
    {
        var limits = new InProcessRateLimits(TimeProvider.System);
        return Task.FromResult<(IRateLimits, IRateLimits, IAsyncDisposable)>((limits, limits, new MemoryStream()));
    }

    [Fact]
    public async Task It_refills_evenly()
    {
        var clock = new FakeTimeProvider();
        var limits = new InProcessRateLimits(clock);
        for (var i = 0; i < 6; i++)
            Assert.True((await limits.TakeAsync("rule", "ada", 6, TimeSpan.FromMinutes(1))).Allowed);

        Assert.False((await limits.TakeAsync("rule", "ada", 6, TimeSpan.FromMinutes(1))).Allowed);
        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.True((await limits.TakeAsync("rule", "ada", 6, TimeSpan.FromMinutes(1))).Allowed);
        Assert.False((await limits.TakeAsync("rule", "ada", 6, TimeSpan.FromMinutes(1))).Allowed);
    }
}

public sealed class RedisRateLimitTests : RateLimitPromises
{
    private protected override async Task<(IRateLimits One, IRateLimits Other, IAsyncDisposable End)> StartAsync()
    {
        var pair = await Pair.OnRedisAsync();
        return (pair.Both<IRateLimits>().One, pair.Both<IRateLimits>().Other, pair);
    }

    [Fact]
    public async Task Without_Redis_each_process_limits_for_itself_and_with_it_again_together()
    {
        await using var pair = await Pair.OnRedisAsync();
        var (one, other) = pair.Both<IRateLimits>();
        await one.TakeAsync("rule", "ada", 2, Hour);

        await pair.KillAsync();
        for (var i = 0; i < 2; i++)
            foreach (var limits in new[] { one, other })
                Assert.True((await limits.TakeAsync("rule", "bob", 2, Hour)).Allowed);
        foreach (var limits in new[] { one, other })
            Assert.False((await limits.TakeAsync("rule", "bob", 2, Hour)).Allowed);

        await pair.ReviveAsync();
        // Shared again: what one takes the other misses.
        var key = 0;
        await Eventually.TrueAsync(async () =>
        {
            key++;
            await one.TakeAsync("rule", $"k{key}", 1, Hour);
            return !(await other.TakeAsync("rule", $"k{key}", 1, Hour)).Allowed;
        }, 30);
    }

    [Fact]
    public async Task A_Redis_that_hangs_costs_one_wait_and_not_one_for_each_request()
    {
        await using var redis = await OwnRedis.StartAsync();
        await using var app = await redis.AppAsync("--Redis:OperationTimeout", "00:00:02");
        var limits = app.Services.GetRequiredService<IRateLimits>();
        Assert.True((await limits.TakeAsync("rule", "ada", 1000, Hour)).Allowed);

        await redis.FreezeAsync();
        var started = System.Diagnostics.Stopwatch.StartNew();
        for (var i = 0; i < 100; i++)
            Assert.True((await limits.TakeAsync("rule", "ada", 1000, Hour)).Allowed);
        // One by one they would have waited 200 seconds.
        Assert.InRange(started.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(30));

        await redis.ThawAsync();
        await OwnRedis.ReadyAsync(app);
        // What was taken before, and perhaps the one that was waited for: the others were counted here.
        Assert.InRange((await limits.PeekAsync("rule", "ada", 1000, Hour)).Remaining, 997, 1000);
    }

    [Fact]
    public async Task A_Redis_that_was_never_there_is_missed_by_nobody()
    {
        await using var app = await TestApp.StartAsync(null, null, "--Redis:ConnectionString", $"127.0.0.1:{OwnPostgres.FreePort()}");
        var limits = app.Services.GetRequiredService<IRateLimits>();
        Assert.True((await limits.TakeAsync("rule", "ada", 1, Hour)).Allowed);
        Assert.False((await limits.TakeAsync("rule", "ada", 1, Hour)).Allowed);
        await limits.GiveBackAsync("rule", "ada", 1, Hour);
        Assert.True((await limits.TakeAsync("rule", "ada", 1, Hour)).Allowed);
        await limits.ForgetAsync("rule", "ada");
        Assert.True((await limits.TakeAsync("rule", "ada", 1, Hour)).Allowed);
    }

    [Fact]
    public async Task A_key_is_gone_from_Redis_when_its_allowance_is_full()
    {
        await using var redis = await OwnRedis.StartAsync();
        await using var app = await redis.AppAsync("--Redis:KeyPrefix", "mine:");
        await using var client = await redis.ConnectAsync();
        var limits = app.Services.GetRequiredService<IRateLimits>();
        await limits.TakeAsync("rule", "slow", 4, Hour);
        await limits.TakeAsync("rule", "fast", 4, TimeSpan.FromMilliseconds(200));

        await Eventually.TrueAsync(async () => !await client.GetDatabase().KeyExistsAsync("mine:limit:rule:fast"));
        var expiry = await client.GetDatabase().KeyTimeToLiveAsync("mine:limit:rule:slow");
        Assert.InRange(expiry ?? TimeSpan.Zero, TimeSpan.FromMinutes(10), TimeSpan.FromMinutes(15));
    }
}
