using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Tandem.Core.Backplane;

/// <summary>
/// Small messages to every process, this one included: at most once, best effort, in milliseconds. What must not be missed is in the database
/// as well; a message only says that looking is worth while now.
/// </summary>
public interface IBackplane
{
    /// <summary>Sends a message to everybody who listens on the channel, in this process before it returns; nothing is thrown when it goes no further.</summary>
    /// <param name="channel">Lower case, module first: <c>users.sessions-ended</c>.</param>
    /// <param name="message">Text, at most a few kilobytes.</param>
    void Publish(string channel, string message);

    /// <summary>Listens on a channel until the result is disposed.</summary>
    /// <param name="channel">Which.</param>
    /// <param name="handler">Gets the messages of each process in their order. Must be short and may be called by several threads; what it throws is logged.</param>
    /// <param name="missed">
    /// Called when messages of other processes may have been missed: once this process hears them for the first time, and whenever it hears them
    /// again after it did not.
    /// </param>
    IDisposable Subscribe(string channel, Action<string> handler, Action? missed = null);
}

/// <summary>The backplane of one process; others stand on it for those who listen here.</summary>
sealed class InProcessBackplane(ILogger<InProcessBackplane> logger) : IBackplane
{
    readonly ConcurrentDictionary<Subscription, string> _subscriptions = new();

    public void Publish(string channel, string message)
    {
        foreach (var (subscription, _) in _subscriptions)
            if (subscription.Channel == channel)
                Guard(subscription, () => subscription.Handler(message));
    }

    public IDisposable Subscribe(string channel, Action<string> handler, Action? missed = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(channel);
        ArgumentNullException.ThrowIfNull(handler);
        var subscription = new Subscription(_subscriptions, channel, handler, missed);
        _subscriptions[subscription] = channel;
        return subscription;
    }

    /// <summary>Tells everybody that other processes may have said something that did not arrive.</summary>
    public void Missed()
    {
        foreach (var (subscription, _) in _subscriptions)
            if (subscription.Missed is { } missed)
                Guard(subscription, missed);
    }

    void Guard(Subscription subscription, Action deliver)
    {
        try
        {
            deliver();
        }
        catch (Exception e)
        {
            logger.MessageNotHandled(subscription.Channel, e);
        }
    }

    sealed class Subscription(ConcurrentDictionary<Subscription, string> all, string channel, Action<string> handler, Action? missed) : IDisposable
    {
        public string Channel => channel;
        public Action<string> Handler => handler;
        public Action? Missed => missed;

        public void Dispose() => all.TryRemove(this, out _);
    }
}
