using Microsoft.Extensions.Logging;
using StackExchange.Redis;
using Tandem.Core.Backplane;

namespace Tandem.Redis;

/// <summary>Messages to every process by Redis' PUBLISH; this process gets its own at once, whether or not Redis is there.</summary>
sealed class RedisBackplane : IBackplane
{
    readonly Subscriptions _subscriptions = new();
    readonly RedisLink _link;
    readonly ILogger<RedisBackplane> _logger;
    readonly string _process = Guid.NewGuid().ToString("n");
    readonly string _channels;

    public RedisBackplane(RedisLink link, ILogger<RedisBackplane> logger)
    {
        (_link, _logger) = (link, logger);
        _channels = link.Prefix + "channel:";
        link.Restored += () => Guard("", _subscriptions.Missed);
        _ = ListenAsync();
    }

    public void Publish(string channel, string message)
    {
        Guard(channel, () => _subscriptions.Deliver(channel, message));
        _ = SendAsync(channel, message);
    }

    public IDisposable Subscribe(string channel, Action<string> handler, Action? missed = null) => _subscriptions.Add(channel, handler, missed);

    async Task SendAsync(string channel, string message) =>
        await _link.TryAsync(db => db.PublishAsync(RedisChannel.Literal(_channels + channel), _process + message), "backplane");

    async Task ListenAsync()
    {
        try
        {
            await _link.SubscribeAsync(RedisChannel.Pattern(_channels + "*"), (from, value) =>
            {
                var message = value.ToString();
                // One's own was delivered before it was sent.
                if (!message.StartsWith(_process, StringComparison.Ordinal) && message.Length >= _process.Length)
                    Guard(from.ToString()[_channels.Length..], () => _subscriptions.Deliver(from.ToString()[_channels.Length..], message[_process.Length..]));
            });
        }
        catch (Exception e) when (e is RedisException or ObjectDisposedException)
        {
            _logger.NotListening(e.Message);
        }
    }

    void Guard(string channel, Action deliver)
    {
        try
        {
            deliver();
        }
        catch (Exception e)
        {
            _logger.HandlerFailed(channel, e);
        }
    }
}
