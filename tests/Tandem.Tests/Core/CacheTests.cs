using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Cache;

namespace Tandem.Tests.Core;

public sealed class CacheTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_was_set_is_found_under_an_equal_key_until_it_is_removed()
    {
        await using var app = await TestApp.StartAsync();
        var cache = app.Services.GetRequiredService<Cache<Place, int>>();
        Assert.Equal((false, 0), await cache.GetAsync(new Place("a", 1), Ct));
        await cache.SetAsync(new Place("a", 1), 0, null, Ct);
        // A stored 0 is not the same as nothing.
        Assert.Equal((true, 0), await cache.GetAsync(new Place("a", 1), Ct));
        Assert.Equal((false, 0), await cache.GetAsync(new Place("a", 2), Ct));
        Assert.False((await app.Services.GetRequiredService<Cache<Place, long>>().GetAsync(new Place("a", 1), Ct)).Found);
        await cache.RemoveAsync(new Place("a", 1), Ct);
        Assert.False((await cache.GetAsync(new Place("a", 1), Ct)).Found);
    }

    [Fact]
    public async Task However_many_ask_it_is_computed_once_per_key()
    {
        await using var app = await TestApp.StartAsync();
        var cache = app.Services.GetRequiredService<Cache<string, string>>();
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
        await using var app = await TestApp.StartAsync();
        var cache = app.Services.GetRequiredService<Cache<string, int>>();
        await cache.SetAsync("short", 1, TimeSpan.FromMilliseconds(50), Ct);
        await Eventually.TrueAsync(async () => !(await cache.GetAsync("short", Ct)).Found);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await cache.GetOrComputeAsync("k", (_, _) => throw new InvalidOperationException(), null, Ct));
        Assert.Equal(7, await cache.GetOrComputeAsync("k", (_, _) => ValueTask.FromResult(7), null, Ct));
    }

    sealed record Place(string Town, int Number);
}
