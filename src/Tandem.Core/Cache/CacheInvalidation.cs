using Microsoft.Extensions.Caching.Memory;
using Tandem.Core.Backplane;

namespace Tandem.Core.Cache;

/// <summary>Has the other processes forget their own copies of what this one has changed.</summary>
public sealed class CacheInvalidation : IDisposable
{
    const string Channel = "core.cache";

    readonly IBackplane _backplane;
    readonly string _process = Guid.NewGuid().ToString("n");
    readonly IDisposable _subscription;

    /// <param name="local">Where HybridCache keeps this process's copies, under the keys it is given.</param>
    /// <param name="backplane">The way to the others.</param>
    public CacheInvalidation(IMemoryCache local, IBackplane backplane)
    {
        _backplane = backplane;
        _subscription = backplane.Subscribe(Channel, message =>
        {
            // Not from itself: its copy is the new one.
            if (!message.StartsWith(_process, StringComparison.Ordinal))
                local.Remove(message[_process.Length..]);
        }, () => (local as MemoryCache)?.Clear());
    }

    internal void Tell(string key) => _backplane.Publish(Channel, _process + key);

    /// <summary>Stops listening.</summary>
    public void Dispose() => _subscription.Dispose();
}
