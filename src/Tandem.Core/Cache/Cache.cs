using System.Text.Json;
using Microsoft.Extensions.Caching.Hybrid;
using Tandem.Core.Http;

namespace Tandem.Core.Cache;

/// <summary>
/// A cache of <typeparamref name="TValue"/> by <typeparamref name="TKey"/>: safe under concurrency, bounded, and with one computation per key
/// however many ask at once. Take it as a constructor parameter. With Redis the values are shared: what one process sets or removes the others
/// see in milliseconds, at the latest after a minute; while Redis is away each process goes on with its own.
/// </summary>
/// <typeparam name="TKey">Anything with a JSON form; equal JSON means equal key.</typeparam>
/// <typeparam name="TValue">Immutable, or not changed once it is in the cache, and with a JSON form, in which it goes to other processes.</typeparam>
public sealed class Cache<TKey, TValue> where TKey : notnull
{
    static readonly TimeSpan UsualExpiry = TimeSpan.FromMinutes(5);

    static readonly string Prefix = $"{typeof(TKey).FullName}>{typeof(TValue).FullName}:";

    readonly HybridCache _store;
    readonly CachePeers _peers;
    readonly HybridCacheEntryOptions _usual;
    readonly HybridCacheEntryOptions _readOnly;

    /// <summary>Made by the container.</summary>
    public Cache(HybridCache store, CachePeers peers)
    {
        (_store, _peers) = (store, peers);
        _usual = For(UsualExpiry);
        _readOnly = new HybridCacheEntryOptions
        {
            Expiration = _usual.Expiration,
            LocalCacheExpiration = _usual.LocalCacheExpiration,
            Flags = HybridCacheEntryFlags.DisableUnderlyingData | HybridCacheEntryFlags.DisableDistributedCacheWrite,
        };
    }

    /// <summary>The value, or the default of the type when there is none; <c>found</c> tells the two apart.</summary>
    public async ValueTask<(bool Found, TValue? Value)> GetAsync(TKey key, CancellationToken cancellationToken = default) =>
        await FindAsync(KeyOf(key), cancellationToken) is { } entry ? (true, entry.Value) : (false, default);

    /// <summary>Stores the value for <paramref name="expiry"/> (default five minutes).</summary>
    public ValueTask SetAsync(TKey key, TValue value, TimeSpan? expiry = null, CancellationToken cancellationToken = default) =>
        StoreAsync(KeyOf(key), new CacheEntry<TValue>(value), For(expiry), cancellationToken);

    /// <summary>
    /// The value; when there is none, <paramref name="compute"/> makes it once for all who ask meanwhile. With Redis others wait up to five seconds
    /// for the process that is at it. Its exception is not cached.
    /// </summary>
    public async ValueTask<TValue> GetOrComputeAsync(TKey key, Func<TKey, CancellationToken, ValueTask<TValue>> compute, TimeSpan? expiry = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(compute);
        var (text, options) = (KeyOf(key), For(expiry));
        var entry = await _store.GetOrCreateAsync<(Cache<TKey, TValue> Cache, string Text, TKey Key, Func<TKey, CancellationToken, ValueTask<TValue>> Compute), CacheEntry<TValue>?>(
            text, (this, text, key, compute), static (s, ct) => s.Cache.ComputeAsync(s.Text, s.Key, s.Compute, ct), options, null, cancellationToken);
        if (entry is not null)
            return entry.Value;
        // What another version of the program left there.
        entry = new CacheEntry<TValue>(await compute(key, cancellationToken));
        await StoreAsync(text, entry, options, cancellationToken);
        return entry.Value;
    }

    /// <summary>Forgets the value.</summary>
    public async ValueTask RemoveAsync(TKey key, CancellationToken cancellationToken = default)
    {
        var text = KeyOf(key);
        await _store.RemoveAsync(text, cancellationToken);
        _peers.Changed(text);
    }

    ValueTask<CacheEntry<TValue>?> FindAsync(string text, CancellationToken ct) =>
        _store.GetOrCreateAsync<CacheEntry<TValue>?>(text, static _ => ValueTask.FromResult<CacheEntry<TValue>?>(null), _readOnly, null, ct);

    async ValueTask StoreAsync(string text, CacheEntry<TValue> entry, HybridCacheEntryOptions options, CancellationToken ct)
    {
        await _store.SetAsync(text, entry, options, null, ct);
        _peers.Changed(text);
    }

    async ValueTask<CacheEntry<TValue>?> ComputeAsync(string text, TKey key, Func<TKey, CancellationToken, ValueTask<TValue>> compute, CancellationToken ct)
    {
        // Whoever asks may be on an event loop (NeverBlocks); what computes may block.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        while (true)
        {
            var mine = await _peers.TakeTurnAsync(text, ct);
            var stored = false;
            try
            {
                // Also with a turn of one's own: somebody may have ended his since this process looked.
                if (_peers.AreThere && await FindAsync(text, ct) is { } theirs)
                    return theirs;
                if (!mine)
                    continue;
                var entry = new CacheEntry<TValue>(await compute(key, ct));
                stored = true;
                return entry;
            }
            finally
            {
                if (mine)
                    await _peers.EndTurnAsync(text, stored);
            }
        }
    }

    static string KeyOf(TKey key) => Prefix + (key as string ?? JsonSerializer.Serialize(key, Json.Stored));

    HybridCacheEntryOptions For(TimeSpan? expiry) => expiry is { } time
        ? new() { Expiration = time, LocalCacheExpiration = time < _peers.LocalLimit ? time : _peers.LocalLimit }
        : _usual;
}
