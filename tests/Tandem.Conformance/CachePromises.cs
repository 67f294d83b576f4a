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
}
