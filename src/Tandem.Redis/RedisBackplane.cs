using StackExchange.Redis;
using Tandem.Core.Backplane;

namespace Tandem.Redis;

/// <summary>
/// Messages to every process by PUBLISH. This process delivers its own by itself, at once and whether or not Redis is there. That it hears the others
/// is not taken from the state of the connection but from an echo: a message to itself that has to come back.
/// </summary>
sealed class RedisBackplane : IBackplane, IAsyncDisposable
{
    // No channel of a module is called so: those begin with the module's name.
    const string Echo = "echo";
    const string Unsent = "unsent";

    static readonly TimeSpan EchoInterval = TimeSpan.FromMilliseconds(250);

    readonly RedisLink _link;
    readonly InProcessBackplane _here;
    readonly string _process = Guid.NewGuid().ToString("n");
    readonly string _channels;
    readonly CancellationTokenSource _stop = new();
    readonly SemaphoreSlim _changed = new(0);
    readonly SemaphoreSlim _heard = new(0);
    readonly TaskCompletionSource _listening = new(TaskCreationOptions.RunContinuationsAsynchronously);
    readonly Task _loop;
    int _unsent;
    bool _disposed;

    public RedisBackplane(RedisLink link, InProcessBackplane here)
    {
        (_link, _here, _channels) = (link, here, link.Prefix + "channel:");
        link.Returned += WhenReturned;
        _loop = Task.Run(() => ListenAsync(_stop.Token));
    }

    /// <summary>Done when this process has heard itself for the first time.</summary>
    public Task Listening => _listening.Task;

    public void Publish(string channel, string message)
    {
        _here.Publish(channel, message);
        _ = SendAsync(channel, message);
    }

    public IDisposable Subscribe(string channel, Action<string> handler, Action? missed = null) => _here.Subscribe(channel, handler, missed);

    async Task SendAsync(string channel, string message)
    {
        var (sent, _) = await _link.TryAsync(db => db.PublishAsync(RedisChannel.Literal(_channels + channel), _process + message), "backplane");
        if (!sent)
            Volatile.Write(ref _unsent, 1);
    }

    // The others may have been connected all the while, and do not know that they missed something.
    void WhenReturned()
    {
        if (Interlocked.Exchange(ref _unsent, 0) == 1)
            _ = SendAsync(Unsent, "");
        _changed.Release();
    }

    async Task ListenAsync(CancellationToken ct)
    {
        try
        {
            var connection = await _link.Connection.WaitAsync(ct);
            connection.ConnectionRestored += (_, _) => _changed.Release();
            await SubscribeAsync(connection.GetSubscriber(), ct);
            while (true)
            {
                await HearAsync(ct);
                _here.Missed();
                _listening.TrySetResult();
                await _changed.WaitAsync(ct);
            }
        }
        catch (OperationCanceledException)
        {
            // The program ends.
        }
    }

    /// <summary>Once; the library subscribes again by itself whenever it has connected again.</summary>
    async Task SubscribeAsync(ISubscriber subscriber, CancellationToken ct)
    {
        while (true)
            try
            {
                // A queue keeps the order in which Redis sent.
                (await subscriber.SubscribeAsync(RedisChannel.Pattern(RedisLink.Pattern(_channels)))).OnMessage(Receive);
                return;
            }
            catch (Exception e) when (e is RedisException or TimeoutException)
            {
                await _changed.WaitAsync(EchoInterval, ct);
            }
    }

    /// <summary>Returns when an echo that was sent now has come back.</summary>
    async Task HearAsync(CancellationToken ct)
    {
        Drain(_heard);
        // What has changed before the echo is sent is what it finds out about.
        Drain(_changed);

        do
            if (_link.Answers)
                await SendAsync(Echo, _process);
        while (!await _heard.WaitAsync(EchoInterval, ct));
    }

    static void Drain(SemaphoreSlim semaphore)
    {
        while (semaphore.Wait(0, CancellationToken.None))
        {
        }
    }

    void Receive(ChannelMessage received)
    {
        var channel = received.Channel.ToString()[_channels.Length..];
        var message = received.Message.ToString();
        // Somebody else's keys under our prefix.
        if (message.Length < _process.Length)
            return;
        var mine = message.StartsWith(_process, StringComparison.Ordinal);
        if (channel == Echo && mine)
            _heard.Release();
        else if (channel == Unsent && !mine)
            _here.Missed();
        else if (channel is not (Echo or Unsent) && !mine)
            _here.Publish(channel, message[_process.Length..]);
    }

    public async ValueTask DisposeAsync()
    {
        // Registered under two types, so disposed twice.
        if (Interlocked.Exchange(ref _disposed, true))
            return;
        _link.Returned -= WhenReturned;
        await _stop.CancelAsync();
        await _loop;
        _stop.Dispose();
    }
}
