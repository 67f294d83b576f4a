using System.Collections.Concurrent;

namespace Tandem.Core.Backplane;

/// <summary>
/// Small messages to every process, this one included: at most once, best effort, in milliseconds. What must not be missed is in the database
/// as well; a message only says that looking is worth while now.
/// </summary>
public interface IBackplane
{
    /// <summary>Sends a message to everybody who listens on the channel; does not wait for it.</summary>
    /// <param name="channel">Lower case, module first: <c>users.sessions-ended</c>.</param>
    /// <param name="message">Text, at most a few kilobytes.</param>
    void Publish(string channel, string message);

    /// <summary>Listens on a channel until the result is disposed.</summary>
    /// <param name="channel">Which.</param>
    /// <param name="handler">Must be short; what it throws is logged.</param>
    /// <param name="missed">Called when messages may have been missed, after the connection was lost and is back.</param>
    IDisposable Subscribe(string channel, Action<string> handler, Action? missed = null);
}

/// <summary>The backplane of one process.</summary>
sealed class InProcessBackplane : IBackplane
{
    readonly Subscriptions _subscriptions = new();

    public void Publish(string channel, string message) => _subscriptions.Deliver(channel, message);

    public IDisposable Subscribe(string channel, Action<string> handler, Action? missed = null) => _subscriptions.Add(channel, handler, missed);
}

/// <summary>Who listens to what in this process.</summary>
sealed class Subscriptions
{
    readonly ConcurrentDictionary<Subscription, bool> _all = new();

    public void Deliver(string channel, string message)
    {
        foreach (var subscription in _all.Keys)
            if (subscription.Channel == channel)
                subscription.Handler(message);
    }

    public void Missed()
    {
        foreach (var subscription in _all.Keys)
            subscription.WhenMissed?.Invoke();
    }

    public IDisposable Add(string channel, Action<string> handler, Action? missed)
    {
        var subscription = new Subscription(_all, channel, handler, missed);
        _all.TryAdd(subscription, true);
        return subscription;
    }

    sealed class Subscription(ConcurrentDictionary<Subscription, bool> all, string channel, Action<string> handler, Action? missed) : IDisposable
    {
        public string Channel => channel;
        public Action<string> Handler => handler;
        public Action? WhenMissed => missed;

        public void Dispose() => all.TryRemove(this, out _);
    }
}
