using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Net.WebSockets;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Http;

namespace Tandem.Realtime;

/// <summary>
/// The sockets this process holds. Those of a session that ends are closed in that moment; one sweep a second finds those that are idle or whose token has
/// expired, in place of a timer each.
/// </summary>
sealed class OpenSockets : BackgroundService
{
    static readonly Meter Meter = new("Tandem");
    static readonly UpDownCounter<int> Connections = Meter.CreateUpDownCounter<int>("tandem.realtime.connections", "{connection}", "Open WebSockets");

    const string Ended = "The token has expired or was revoked.";
    const string Stopping = "The server is stopping.";

    readonly ConcurrentDictionary<OpenSocket, bool> _open = new();
    readonly ITokenVerifier _tokens;
    readonly RealtimeOptions _options;
    readonly IHostApplicationLifetime _lifetime;
    readonly TimeProvider _clock;
    readonly ILogger _logger;
    readonly IDisposable _ends;
    int _reserved;

    public OpenSockets(ITokenVerifier tokens, SessionEnds ends, RealtimeOptions options, IHostApplicationLifetime lifetime, TimeProvider clock, ILogger<OpenSockets> logger)
    {
        (_tokens, _options, _lifetime, _clock, _logger) = (tokens, options, lifetime, clock, logger);
        _ends = ends.Subscribe(CloseOf);
    }

    /// <summary>False when there are as many as allowed.</summary>
    public bool TryReserve()
    {
        if (Interlocked.Increment(ref _reserved) <= _options.MaxConnections)
            return true;
        Release();
        return false;
    }

    public void Release() => Interlocked.Decrement(ref _reserved);

    public OpenSocket Add(string clientId, WebSocket webSocket, Caller? caller)
    {
        var socket = new OpenSocket(clientId, webSocket, caller, _clock);
        _open.TryAdd(socket, true);
        Connections.Add(1);
        // The goodbye of a stopping server goes to those it finds open: one that comes a moment later gets its own.
        if (_lifetime.ApplicationStopping.IsCancellationRequested)
            _ = CloseAsync(socket, WebSocketCloseStatus.EndpointUnavailable, Stopping);
        // So does the news of a session that has just ended.
        else if (caller is not null && !_tokens.IsHonoured(caller))
            _ = CloseAsync(socket, WebSocketCloseStatus.PolicyViolation, Ended);
        return socket;
    }

    public void Remove(OpenSocket socket)
    {
        if (_open.TryRemove(socket, out _))
            Connections.Add(-1);
    }

    void CloseOf(IReadOnlySet<Guid> sessions)
    {
        foreach (var socket in _open.Keys)
            if (socket.Caller is { } caller && (sessions.Count == 0 ? !_tokens.IsHonoured(caller) : sessions.Contains(caller.SessionId)))
                _ = CloseAsync(socket, WebSocketCloseStatus.PolicyViolation, Ended);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Heard before the web server stops: that waits for open sockets, and would cut them off in the end.
        var stopping = _lifetime.ApplicationStopping;
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1), _clock);
        try
        {
            while (await timer.WaitForNextTickAsync(stopping))
                await Task.WhenAll(_open.Keys.Select(CheckAsync));
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            await Task.WhenAll(_open.Keys.Select(s => CloseAsync(s, WebSocketCloseStatus.EndpointUnavailable, Stopping)));
        }
    }

    Task CheckAsync(OpenSocket socket)
    {
        if (socket.Silence > _options.IdleTimeout)
            return CloseAsync(socket, WebSocketCloseStatus.NormalClosure, $"Nothing was sent for {_options.IdleTimeout}.");
        return socket.Caller is { } caller && !_tokens.IsHonoured(caller)
            ? CloseAsync(socket, WebSocketCloseStatus.PolicyViolation, Ended)
            : Task.CompletedTask;
    }

    async Task CloseAsync(OpenSocket socket, WebSocketCloseStatus status, string reason)
    {
        try
        {
            await socket.CloseAsync(status, reason);
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or ObjectDisposedException or IOException)
        {
            _logger.SocketGone(e.Message);
        }
    }

    public override void Dispose()
    {
        _ends.Dispose();
        base.Dispose();
    }
}

/// <summary>One open socket.</summary>
sealed class OpenSocket(string clientId, WebSocket webSocket, Caller? caller, TimeProvider clock)
{
    // A peer that takes nothing, or never answers our close, is cut off after this.
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    readonly SemaphoreSlim _sending = new(1, 1);
    long _heard = clock.GetTimestamp();

    public string ClientId => clientId;

    public WebSocket WebSocket => webSocket;

    /// <summary>Who opened it; null where sockets are open to anyone.</summary>
    public Caller? Caller => caller;

    public TimeSpan Silence => clock.GetElapsedTime(Volatile.Read(ref _heard));

    public void Heard() => Volatile.Write(ref _heard, clock.GetTimestamp());

    public async Task SendAsync(ReadOnlyMemory<byte> text)
    {
        using var limit = new CancellationTokenSource(Patience, clock);
        await _sending.WaitAsync(limit.Token);
        try
        {
            await webSocket.SendAsync(text, WebSocketMessageType.Text, endOfMessage: true, limit.Token);
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <summary>Says why, and cuts the connection when the peer does not say goodbye in time.</summary>
    public async Task CloseAsync(WebSocketCloseStatus status, string reason)
    {
        using var limit = new CancellationTokenSource(Patience, clock);
        await _sending.WaitAsync(limit.Token);
        try
        {
            if (webSocket.State is not (WebSocketState.Open or WebSocketState.CloseReceived))
                return;
            await webSocket.CloseOutputAsync(status, reason, limit.Token);
        }
        finally
        {
            _sending.Release();
        }

        if (webSocket.State == WebSocketState.CloseSent)
            _ = CutAsync();
    }

    async Task CutAsync()
    {
        await Task.Delay(Patience, clock);
        webSocket.Abort();
    }
}
