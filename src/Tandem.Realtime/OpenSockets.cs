using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Net.WebSockets;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Http;

namespace Tandem.Realtime;

/// <summary>The sockets this process holds. One sweep a second finds those that are idle or whose session has ended, in place of a timer each.</summary>
sealed class OpenSockets(ITokenVerifier tokens, RealtimeOptions options, IHostApplicationLifetime lifetime, TimeProvider clock,
    ILogger<OpenSockets> logger) : BackgroundService
{
    static readonly Meter Meter = new("Tandem");
    static readonly UpDownCounter<int> Connections = Meter.CreateUpDownCounter<int>("tandem.realtime.connections", "{connection}", "Open WebSockets");

    const string Stopping = "The server is stopping.";

    readonly ConcurrentDictionary<OpenSocket, bool> _open = new();
    int _reserved;

    /// <summary>False when there are as many as allowed.</summary>
    public bool TryReserve()
    {
        if (Interlocked.Increment(ref _reserved) <= options.MaxConnections)
            return true;
        Release();
        return false;
    }

    public void Release() => Interlocked.Decrement(ref _reserved);

    public OpenSocket Add(string clientId, WebSocket webSocket, string? token)
    {
        var socket = new OpenSocket(clientId, webSocket, token, clock);
        _open.TryAdd(socket, true);
        Connections.Add(1);
        // The goodbye of a stopping server goes to those it finds open: one that comes a moment later gets its own.
        if (lifetime.ApplicationStopping.IsCancellationRequested)
            _ = CloseAsync(socket, WebSocketCloseStatus.EndpointUnavailable, Stopping);
        return socket;
    }

    public void Remove(OpenSocket socket)
    {
        if (_open.TryRemove(socket, out _))
            Connections.Add(-1);
    }

    /// <summary>The token the socket was opened with, to be looked at again while it is open.</summary>
    public static string? TokenOf(HttpContext context) => context.Features.Get<Caller>() is null
        ? null
        : context.Request.Headers.Authorization.FirstOrDefault()?.Split(' ', 2) is [_, var bearer] ? bearer.Trim() : context.Request.Query["access_token"];

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Heard before the web server stops: that waits for open sockets, and would cut them off in the end.
        var stopping = lifetime.ApplicationStopping;
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1), clock);
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
        if (socket.Silence > options.IdleTimeout)
            return CloseAsync(socket, WebSocketCloseStatus.NormalClosure, $"Nothing was sent for {options.IdleTimeout}.");
        return socket.Token is { } token && !tokens.TryVerify(token, out _)
            ? CloseAsync(socket, WebSocketCloseStatus.PolicyViolation, "The token has expired or was revoked.")
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
            logger.SocketGone(e.Message);
        }
    }
}

/// <summary>One open socket.</summary>
sealed class OpenSocket(string clientId, WebSocket webSocket, string? token, TimeProvider clock)
{
    // A peer that takes nothing, or never answers our close, is cut off after this.
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    readonly SemaphoreSlim _sending = new(1, 1);
    long _heard = clock.GetTimestamp();

    public string ClientId => clientId;

    public WebSocket WebSocket => webSocket;

    public string? Token => token;

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
