using Microsoft.Extensions.Caching.Memory;
using StackExchange.Redis;
using Tandem.Core.Backplane;
using Tandem.Core.Cache;

namespace Tandem.Redis;

/// <summary>The other processes that share the second level of the cache.</summary>
sealed class RedisCachePeers : CachePeers, IDisposable
{
    const string Channel = "core.cache";

    // A process that dies while it computes keeps the others waiting so long.
    static readonly TimeSpan TurnTime = TimeSpan.FromSeconds(5);

    // A computed value is stored behind the answer to those who asked; it takes a round trip, unless it cannot be stored at all.
    static readonly TimeSpan StoreTime = TimeSpan.FromMilliseconds(250);

    static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(20);

    readonly RedisLink _link;
    readonly IBackplane _backplane;
    readonly string _process = Guid.NewGuid().ToString("n");
    readonly IDisposable _subscription;

    /// <param name="link">The connection.</param>
    /// <param name="local">Where HybridCache keeps this process's copies, under the keys it is given.</param>
    /// <param name="backplane">The way to the others.</param>
    public RedisCachePeers(RedisLink link, IMemoryCache local, IBackplane backplane)
    {
        (_link, _backplane) = (link, backplane);
        _subscription = backplane.Subscribe(Channel, message =>
        {
            // Not from itself: its copy is the new one.
            if (!message.StartsWith(_process, StringComparison.Ordinal))
                local.Remove(message[_process.Length..]);
        }, () => (local as MemoryCache)?.Clear());
    }

    // Somebody may read the old value while the news of the new one passes him; and a message may be lost.
    internal override TimeSpan LocalLimit => TimeSpan.FromMinutes(1);

    internal override bool AreThere => _link.Answers;

    internal override void Changed(string key) => _backplane.Publish(Channel, _process + key);

    internal override async ValueTask<bool> TakeTurnAsync(string key, CancellationToken ct)
    {
        var turn = RedisCache.Turn(_link, key);
        var (done, mine) = await _link.TryAsync(db => db.LockTakeAsync(turn, _process, TurnTime), "cache");
        if (!done || mine)
            return true;
        while (true)
        {
            await Task.Delay(LookInterval, ct);
            var (answered, taken) = await _link.TryAsync(db => db.KeyExistsAsync(turn), "cache");
            if (!answered)
                return true;
            if (!taken)
                return false;
        }
    }

    // Both look whose turn it is: after five seconds it may be another's.
    internal override async ValueTask EndTurnAsync(string key, bool stored) => await _link.TryAsync(
        db => stored ? db.LockExtendAsync(RedisCache.Turn(_link, key), _process, StoreTime) : db.LockReleaseAsync(RedisCache.Turn(_link, key), _process), "cache");

    public void Dispose() => _subscription.Dispose();
}
