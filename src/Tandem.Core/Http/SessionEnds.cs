using System.Collections.Concurrent;

namespace Tandem.Core.Http;

/// <summary>
/// Tells this process which sessions and API keys end before their time, for whatever outlives a request: an open socket, a stream. Take it as a constructor
/// parameter.
/// </summary>
/// <remarks>
/// Within the process in which one ends, everybody has been told when the request that ended it is answered. From others the news comes in milliseconds with Redis
/// and otherwise within a second; whoever subscribes looks at <see cref="ITokenVerifier.IsHonoured"/> once behind that: a session may have ended just before.
/// </remarks>
public sealed class SessionEnds
{
    readonly ConcurrentDictionary<Subscription, bool> _subscriptions = new();

    /// <summary>
    /// Has <paramref name="ended"/> called with the <see cref="Caller.SessionId"/>s that have ended, until the result is disposed; with none when a signing key was
    /// revoked: then <see cref="ITokenVerifier.IsHonoured"/> says of everybody whether he is still let in.
    /// </summary>
    /// <param name="ended">Must be short and must not throw; may be called by several threads.</param>
    public IDisposable Subscribe(Action<IReadOnlySet<Guid>> ended)
    {
        ArgumentNullException.ThrowIfNull(ended);
        var subscription = new Subscription(this, ended);
        _subscriptions[subscription] = true;
        return subscription;
    }

    /// <summary>For whoever implements <see cref="ITokenVerifier"/>: these are worth nothing from now on.</summary>
    public void Tell(IReadOnlySet<Guid> sessionIds)
    {
        foreach (var (subscription, _) in _subscriptions)
            subscription.Ended(sessionIds);
    }

    sealed class Subscription(SessionEnds ends, Action<IReadOnlySet<Guid>> ended) : IDisposable
    {
        public Action<IReadOnlySet<Guid>> Ended => ended;

        public void Dispose() => ends._subscriptions.TryRemove(this, out _);
    }
}
