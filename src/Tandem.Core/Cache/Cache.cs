using System.Text.Json;
using Microsoft.Extensions.Caching.Hybrid;
using Tandem.Core.Http;

namespace Tandem.Core.Cache;

/// <summary>
/// A cache of <typeparamref name="TValue"/> by <typeparamref name="TKey"/>: safe under concurrency, bounded, and with one computation per key
/// however many ask at once. Take it as a constructor parameter. With Redis the values are shared: what one process sets or removes the others
/// see in milliseconds; while Redis is away each process goes on with its own.
/// </summary>
/// <typeparam name="TKey">Anything with a JSON form; equal JSON means equal key.</typeparam>
/// <typeparam name="TValue">Immutable, or not changed once it is in the cache.</typeparam>
public sealed class Cache<TKey, TValue> where TKey : notnull
{
    static readonly HybridCacheEntryOptions ReadOnly = new()
    {
        Flags = HybridCacheEntryFlags.DisableUnderlyingData | HybridCacheEntryFlags.DisableLocalCacheWrite | HybridCacheEntryFlags.DisableDistributedCacheWrite,
    };

    readonly HybridCache _store;
    readonly CacheInvalidation _invalidation;

    /// <summary>Made by the container.</summary>
    public Cache(HybridCache store, CacheInvalidation invalidation) => (_store, _invalidation) = (store, invalidation);

    static readonly string Prefix = $"{typeof(TKey).FullName}>{typeof(TValue).FullName}:";

    /// <summary>The value, or the default of the type when there is none; <c>found</c> tells the two apart.</summary>
    public async ValueTask<(bool Found, TValue? Value)> GetAsync(TKey key, CancellationToken cancellationToken = default)
    {
        var entry = await _store.GetOrCreateAsync<Entry?>(KeyOf(key), static _ => ValueTask.FromResult<Entry?>(null), ReadOnly, null, cancellationToken);
        return entry is null ? (false, default) : (true, entry.Value);
    }

    /// <summary>Stores the value for <paramref name="expiry"/> (default five minutes).</summary>
    public async ValueTask SetAsync(TKey key, TValue value, TimeSpan? expiry = null, CancellationToken cancellationToken = default)
    {
        var text = KeyOf(key);
        await _store.SetAsync(text, new Entry(value), For(expiry), null, cancellationToken);
        _invalidation.Tell(text);
    }

    /// <summary>The value; when there is none, <paramref name="compute"/> makes it once for all who ask meanwhile. Its exception is not cached.</summary>
    public async ValueTask<TValue> GetOrComputeAsync(TKey key, Func<TKey, CancellationToken, ValueTask<TValue>> compute, TimeSpan? expiry = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(compute);
        var entry = await _store.GetOrCreateAsync(KeyOf(key), (key, compute),
            static async (state, ct) => new Entry(await state.compute(state.key, ct)), For(expiry), null, cancellationToken);
        return entry.Value;
    }

    /// <summary>Forgets the value.</summary>
    public async ValueTask RemoveAsync(TKey key, CancellationToken cancellationToken = default)
    {
        var text = KeyOf(key);
        await _store.RemoveAsync(text, cancellationToken);
        _invalidation.Tell(text);
    }

    static string KeyOf(TKey key) => Prefix + (key as string ?? JsonSerializer.Serialize(key, Json.Stored));

    static HybridCacheEntryOptions? For(TimeSpan? expiry) => expiry is { } time ? new() { Expiration = time, LocalCacheExpiration = time } : null;

    // Sealed and marked: HybridCache then hands out the instance itself instead of a copy made through JSON.
    [System.ComponentModel.ImmutableObject(true)]
    sealed record Entry(TValue Value);
}
