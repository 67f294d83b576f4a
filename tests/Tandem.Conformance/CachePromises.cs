using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Cache;

namespace Tandem.Conformance;

/// <summary>What a cache promises.</summary>
public abstract class CachePromises
{
    private protected abstract Task<(IServiceProvider Services, IAsyncDisposable End)> StartAsync();

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_was_set_is_found_under_an_equal_key_until_it_is_removed()
    {
        var (services, end) = await StartAsync();
        await using var _ = end;
        var cache = services.GetRequiredService<Cache<Place, int>>();
        Assert.Equal((false, 0), await cache.GetAsync(new Place("a", 1), Ct));
        await cache.SetAsync(new Place("a", 1), 0, null, Ct);
        // A stored 0 is not the same as nothing.
        Assert.Equal((true, 0), await cache.GetAsync(new Place("a", 1), Ct));
        Assert.Equal((false, 0), await cache.GetAsync(new Place("a", 2), Ct));
        Assert.False((await services.GetRequiredService<Cache<Place, long>>().GetAsync(new Place("a", 1), Ct)).Found);
        await cache.RemoveAsync(new Place("a", 1), Ct);
        Assert.False((await cache.GetAsync(new Place("a", 1), Ct)).Found);
    }

    [Fact]
    public async Task However_many_ask_it_is_computed_once_per_key()
    {
        var (services, end) = await StartAsync();
        await using var _ = end;
        var cache = services.GetRequiredService<Cache<string, string>>();
        var (computed, release) = (0, new TaskCompletionSource());
        var asking = Enumerable.Range(0, 200).Select(i => Task.Run(() => cache.GetOrComputeAsync($"k{i % 4}", async (key, _) =>
        {
            Interlocked.Increment(ref computed);
            await release.Task;
            return key.ToUpperInvariant();
        }, null, Ct).AsTask(), Ct)).ToArray();
        await Eventually.TrueAsync(() => Task.FromResult(computed == 4));
        release.SetResult();
        Assert.Equal(Enumerable.Range(0, 200).Select(i => $"K{i % 4}"), await Task.WhenAll(asking));
        Assert.Equal(4, computed);
    }

    [Fact]
    public async Task A_value_expires_and_a_failure_is_not_kept()
    {
        var (services, end) = await StartAsync();
        await using var _ = end;
        var cache = services.GetRequiredService<Cache<string, int>>();
        await cache.SetAsync("short", 1, TimeSpan.FromMilliseconds(50), Ct);
        await Eventually.TrueAsync(async () => !(await cache.GetAsync("short", Ct)).Found);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await cache.GetOrComputeAsync("k", (_, _) => throw new InvalidOperationException(), null, Ct));
        Assert.Equal(7, await cache.GetOrComputeAsync("k", (_, _) => ValueTask.FromResult(7), null, Ct));
    }

    [Fact]
    public async Task Values_of_every_shape_come_back_as_they_were()
    {
        var (services, end) = await StartAsync();
        await using var _ = end;
        var pairs = services.GetRequiredService<Cache<string, (int Number, string Text)>>();
        await pairs.SetAsync("k", (7, "seven"), null, Ct);
        Assert.Equal((true, (7, "seven")), await pairs.GetAsync("k", Ct));
        var none = services.GetRequiredService<Cache<string, string?>>();
        await none.SetAsync("k", null, null, Ct);
        Assert.Equal((true, null), await none.GetAsync("k", Ct));
        var places = services.GetRequiredService<Cache<int, IReadOnlyList<Place>>>();
        await places.SetAsync(1, [new Place("a", 1), new Place("grüße", 2)], null, Ct);
        Assert.Equal([new Place("a", 1), new Place("grüße", 2)], (await places.GetAsync(1, Ct)).Value!);
    }

    sealed record Place(string Town, int Number);
}

public sealed class InProcessCacheTests : CachePromises
{
    private protected override async Task<(IServiceProvider Services, IAsyncDisposable End)> StartAsync()
    {
        var app = await TestApp.StartAsync();
        return (app.Services, app);
    }
}

public sealed class RedisCacheTests : CachePromises
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    private protected override async Task<(IServiceProvider Services, IAsyncDisposable End)> StartAsync()
    {
        var pair = await Pair.OnRedisAsync();
        return (pair.One.Services, pair);
    }

    [Fact]
    public async Task What_one_process_sets_or_removes_the_other_sees()
    {
        await using var pair = await Pair.OnRedisAsync();
        var (one, other) = pair.Both<Cache<string, int>>();
        await one.SetAsync("k", 1, null, Ct);
        await Eventually.TrueAsync(async () => await other.GetAsync("k", Ct) == (true, 1));
        await other.GetOrComputeAsync("k", (_, _) => ValueTask.FromResult(9), null, Ct);

        await one.SetAsync("k", 2, null, Ct);
        await Eventually.TrueAsync(async () => await other.GetAsync("k", Ct) == (true, 2));

        await other.RemoveAsync("k", Ct);
        await Eventually.TrueAsync(async () => !(await one.GetAsync("k", Ct)).Found);
    }

    [Fact]
    public async Task Without_Redis_each_process_goes_on_with_its_own_and_with_it_again_together()
    {
        await using var pair = await Pair.OnRedisAsync();
        var (one, other) = pair.Both<Cache<string, int>>();
        await pair.KillAsync();
        await one.SetAsync("k", 1, null, Ct);
        Assert.Equal((true, 1), await one.GetAsync("k", Ct));
        Assert.Equal(7, await other.GetOrComputeAsync("k", (_, _) => ValueTask.FromResult(7), null, Ct));
        await one.RemoveAsync("k", Ct);

        await pair.ReviveAsync();
        var key = 0;
        await Eventually.TrueAsync(async () =>
        {
            await one.SetAsync($"k{++key}", key, null, Ct);
            return await other.GetAsync($"k{key}", Ct) == (true, key);
        }, 30);
    }

    [Fact]
    public async Task Values_of_every_shape_reach_the_other_process_as_they_were()
    {
        await using var pair = await Pair.OnRedisAsync();
        var (one, other) = pair.Both<Cache<string, (int Number, DateTime At, string? Text)>>();
        var value = (7, new DateTime(2031, 5, 6, 7, 8, 9, DateTimeKind.Utc), (string?)null);
        await one.SetAsync("k", value, null, Ct);
        await Eventually.TrueAsync(async () => await other.GetAsync("k", Ct) == (true, value));
    }

    [Fact]
    public async Task Two_processes_that_ask_at_once_compute_it_once()
    {
        await using var pair = await Pair.OnRedisAsync();
        var (one, other) = pair.Both<Cache<string, string>>();
        var (computed, release) = (0, new TaskCompletionSource());
        var asking = Enumerable.Range(0, 40).Select(i => Task.Run(() => (i % 2 == 0 ? one : other).GetOrComputeAsync($"k{i % 4 / 2}", async (key, _) =>
        {
            Interlocked.Increment(ref computed);
            await release.Task;
            return key.ToUpperInvariant();
        }, null, Ct).AsTask(), Ct)).ToArray();
        await Eventually.TrueAsync(() => Task.FromResult(computed == 2));
        release.SetResult();
        Assert.Equal(Enumerable.Range(0, 40).Select(i => $"K{i % 4 / 2}"), await Task.WhenAll(asking));
        Assert.Equal(2, computed);
    }

    [Fact]
    public async Task A_failed_computation_is_taken_up_by_the_other_process()
    {
        await using var pair = await Pair.OnRedisAsync();
        var (one, other) = pair.Both<Cache<string, int>>();
        var (begun, release) = (new TaskCompletionSource(), new TaskCompletionSource());
        var failing = one.GetOrComputeAsync("k", async (_, _) =>
        {
            begun.SetResult();
            await release.Task;
            throw new InvalidOperationException("on purpose");
        }, null, Ct).AsTask();
        await begun.Task;
        var waiting = other.GetOrComputeAsync("k", (_, _) => ValueTask.FromResult(7), null, Ct).AsTask();
        release.SetResult();
        await Assert.ThrowsAsync<InvalidOperationException>(() => failing);
        Assert.Equal(7, await waiting);
    }

    [Fact]
    public async Task What_changed_without_Redis_does_not_come_back_old()
    {
        // Both give up on it; the server itself keeps what it had.
        await using var redis = await OwnRedis.StartAsync();
        await using var one = await redis.AppAsync("--Redis:OperationTimeout", "00:00:00.3");
        await using var other = await redis.AppAsync("--Redis:OperationTimeout", "00:00:00.3");
        var (here, there) = (one.Services.GetRequiredService<Cache<string, string>>(), other.Services.GetRequiredService<Cache<string, string>>());
        await here.SetAsync("removed", "old", null, Ct);
        await here.SetAsync("changed", "old", null, Ct);
        foreach (var key in new[] { "removed", "changed" })
            await Eventually.TrueAsync(async () => await there.GetAsync(key, Ct) == (true, "old"));

        await redis.FreezeAsync();
        await here.RemoveAsync("removed", Ct);
        await here.SetAsync("changed", "new", null, Ct);
        Assert.Equal((true, "new"), await here.GetAsync("changed", Ct));
        Assert.False((await here.GetAsync("removed", Ct)).Found);
        await redis.ThawAsync();

        foreach (var app in new[] { one, other })
            await OwnRedis.ReadyAsync(app);
        foreach (var cache in new[] { here, there })
            foreach (var key in new[] { "removed", "changed" })
                await Eventually.TrueAsync(async () => await cache.GetOrComputeAsync(key, (_, _) => ValueTask.FromResult("computed"), null, Ct) is "computed" or "new");
        Assert.NotEqual("old", await here.GetOrComputeAsync("removed", (_, _) => ValueTask.FromResult("computed"), null, Ct));
    }

    [Fact]
    public async Task When_more_changed_without_Redis_than_can_be_remembered_it_is_emptied()
    {
        await using var redis = await OwnRedis.StartAsync();
        await using var app = await redis.AppAsync("--Redis:OperationTimeout", "00:00:00.3");
        await using var client = await redis.ConnectAsync();
        var cache = app.Services.GetRequiredService<Cache<int, int>>();
        await cache.SetAsync(-1, 1, null, Ct);
        await client.GetDatabase().StringSetAsync("not ours", 1);

        await redis.FreezeAsync();
        for (var i = 0; i < 10_010; i++)
            await cache.RemoveAsync(i, Ct);
        await redis.ThawAsync();
        await OwnRedis.ReadyAsync(app);

        Assert.Empty(client.GetServers().Single().Keys(pattern: "tandem:cache:*"));
        Assert.True(await client.GetDatabase().KeyExistsAsync("not ours"));
    }

    [Fact]
    public async Task What_another_version_left_is_computed_anew()
    {
        await using var redis = await OwnRedis.StartAsync();
        await using var app = await redis.AppAsync();
        var cache = app.Services.GetRequiredService<Cache<string, int>>();
        await cache.SetAsync("k", 1, null, Ct);
        await using (var client = await redis.ConnectAsync())
        {
            var server = client.GetServers().Single();
            var key = Assert.Single(server.Keys(pattern: "tandem:cache:*Int32:k"));
            var stored = (byte[])(await client.GetDatabase().StringGetAsync(key))!;
            // The same length, or the frame around it would not fit.
            var text = stored.AsSpan().IndexOf("1}"u8);
            "x}"u8.CopyTo(stored.AsSpan(text));
            await client.GetDatabase().StringSetAsync(key, stored, TimeSpan.FromMinutes(1));
        }

        await using var other = await redis.AppAsync();
        var there = other.Services.GetRequiredService<Cache<string, int>>();
        Assert.False((await there.GetAsync("k", Ct)).Found);
        Assert.Equal(7, await there.GetOrComputeAsync("k", (_, _) => ValueTask.FromResult(7), null, Ct));
        Assert.Equal((true, 7), await there.GetAsync("k", Ct));
    }
}
