using Microsoft.Extensions.Caching.Distributed;
using StackExchange.Redis;

namespace Tandem.Redis;

/// <summary>The second level of the cache, under HybridCache. Without Redis there is nothing in it.</summary>
sealed class RedisCache(RedisLink link) : IDistributedCache
{
    public async Task<byte[]?> GetAsync(string key, CancellationToken token = default) =>
        await link.TryAsync(db => db.StringGetAsync(KeyOf(key)), "cache") is (true, { IsNull: false } value) ? (byte[]?)value : null;

    public async Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var expiry = options.AbsoluteExpirationRelativeToNow ?? (options.AbsoluteExpiration is { } at ? at - DateTimeOffset.UtcNow : TimeSpan.FromMinutes(5));
        if (expiry > TimeSpan.Zero)
            await link.TryAsync(db => db.StringSetAsync(KeyOf(key), value, expiry), "cache");
    }

    public async Task RemoveAsync(string key, CancellationToken token = default) => await link.TryAsync(db => db.KeyDeleteAsync(KeyOf(key)), "cache");

    // Entries have a fixed end: nothing slides.
    public Task RefreshAsync(string key, CancellationToken token = default) => Task.CompletedTask;

    public byte[]? Get(string key) => GetAsync(key).GetAwaiter().GetResult();

    public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => SetAsync(key, value, options).GetAwaiter().GetResult();

    public void Remove(string key) => RemoveAsync(key).GetAwaiter().GetResult();

    public void Refresh(string key)
    {
    }

    RedisKey KeyOf(string key) => $"{link.Prefix}cache:{key}";
}
