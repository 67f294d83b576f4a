using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.Extensions.Caching.Distributed;
using StackExchange.Redis;

namespace Tandem.Redis;

/// <summary>The second level of the cache, under HybridCache. Without Redis there is nothing in it.</summary>
sealed class RedisCache : IBufferDistributedCache
{
    // Above it the whole cache is emptied instead.
    const int MaxUnwritten = 10_000;

    static readonly TimeSpan UsualExpiry = TimeSpan.FromMinutes(5);

    readonly RedisLink _link;
    readonly ConcurrentDictionary<string, bool> _unwritten = new();

    public RedisCache(RedisLink link)
    {
        _link = link;
        link.Returning += MakeGoodAsync;
        link.Returned += Sweep;
    }

    /// <summary>The key that a process holds while it computes the value of a key.</summary>
    public static RedisKey Turn(RedisLink link, string key) => $"{link.Prefix}turn:{key}";

    public async ValueTask<bool> TryGetAsync(string key, IBufferWriter<byte> destination, CancellationToken token = default)
    {
        if (await ReadAsync(key) is not { IsNull: false } value)
            return false;
        destination.Write(((ReadOnlyMemory<byte>)value).Span);
        return true;
    }

    public async Task<byte[]?> GetAsync(string key, CancellationToken token = default) => await ReadAsync(key);

    public async ValueTask SetAsync(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options, CancellationToken token = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        // A copy: what gets no answer in time may still be sent when the caller has the buffer back.
        var (bytes, expiry) = (value.ToArray(), options.AbsoluteExpirationRelativeToNow ?? UsualExpiry);
        var (done, _) = await _link.TryAsync(async db =>
        {
            var set = db.StringSetAsync(KeyOf(key), bytes, expiry);
            // Behind it on the same connection: whoever waits for the value finds it.
            await db.KeyDeleteAsync(Turn(_link, key), CommandFlags.FireAndForget);
            return await set;
        }, "cache");
        if (!done)
            Unwritten(key);
    }

    public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default) =>
        SetAsync(key, new ReadOnlySequence<byte>(value), options, token).AsTask();

    public async Task RemoveAsync(string key, CancellationToken token = default)
    {
        var (done, _) = await _link.TryAsync(db => db.KeyDeleteAsync(KeyOf(key)), "cache");
        if (!done)
            Unwritten(key);
    }

    // Entries have a fixed end: nothing slides.
    public Task RefreshAsync(string key, CancellationToken token = default) => Task.CompletedTask;

    // HybridCache asks asynchronously alone; the interface has these as well.
    public byte[]? Get(string key) => throw new NotSupportedException();

    public bool TryGet(string key, IBufferWriter<byte> destination) => throw new NotSupportedException();

    public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => throw new NotSupportedException();

    public void Set(string key, ReadOnlySequence<byte> value, DistributedCacheEntryOptions options) => throw new NotSupportedException();

    public void Remove(string key) => throw new NotSupportedException();

    public void Refresh(string key) => throw new NotSupportedException();

    async ValueTask<RedisValue> ReadAsync(string key) => (await _link.TryAsync(db => db.StringGetAsync(KeyOf(key)), "cache")).Result;

    void Unwritten(string key)
    {
        if (_unwritten.Count <= MaxUnwritten)
            _unwritten[key] = true;
        // It came back meanwhile, and what was to be made good was looked at before.
        if (_link.Answers)
            Sweep();
    }

    void Sweep()
    {
        if (!_unwritten.IsEmpty)
            _ = SweepAsync();
    }

    async Task SweepAsync() => await _link.TryAsync(async db =>
    {
        await MakeGoodAsync(db);
        return true;
    }, "cache");

    /// <summary>What changed here without Redis is older there: it must be gone before anybody reads it.</summary>
    async Task MakeGoodAsync(IDatabase database)
    {
        var keys = _unwritten.Keys.ToList();
        if (keys.Count > MaxUnwritten)
            await EmptyAsync(database);
        else
            await Task.WhenAll(keys.Select(k => database.KeyDeleteAsync(KeyOf(k))));
        foreach (var key in keys)
            _unwritten.TryRemove(key, out _);
    }

    async Task EmptyAsync(IDatabase database)
    {
        foreach (var server in database.Multiplexer.GetServers().Where(s => s is { IsConnected: true, IsReplica: false }))
            await foreach (var key in server.KeysAsync(database.Database, RedisLink.Pattern(KeyOf("")), pageSize: 1000))
                await database.KeyDeleteAsync(key);
    }

    string KeyOf(string key) => $"{_link.Prefix}cache:{key}";
}
