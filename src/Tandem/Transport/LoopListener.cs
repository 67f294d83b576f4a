using System.Buffers;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Tandem.Transport;

/// <summary>Takes connections on every loop as they come, and deals them out to the loops in turn.</summary>
sealed partial class LoopListener : IConnectionListener, IReadyHandler
{
    // Then the loop looks after its connections again; the listener is told anew while any wait.
    const int AcceptsAtOnce = 128;

    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);
    static readonly TimeSpan WarningInterval = TimeSpan.FromMinutes(1);

    // The program needs descriptors itself: those it has when it begins to listen, and some for the stores and for code that is loaded later.
    static readonly Lazy<long> MaxConnections = new(() =>
        OpenFiles.Limit is { } limit ? limit - OpenFiles.Count - Math.Clamp(limit / 8, 64, 1024) : long.MaxValue);

    readonly Socket _socket;
    readonly MemoryPool<byte> _pool;
    readonly ILogger _logger;
    readonly Channel<LoopConnection> _accepted = Channel.CreateUnbounded<LoopConnection>(new UnboundedChannelOptions { SingleReader = true });
    readonly Lock _lock = new();
    readonly Timer _again;
    readonly int _number;
    int _next;
    long _warnedAt;
    bool _isPaused;
    bool _isUnbound;

    public LoopListener(Socket socket, MemoryPool<byte> pool, ILogger logger)
    {
        _ = MaxConnections.Value;
        (_socket, _pool, _logger) = (socket, pool, logger);
        _number = (int)socket.SafeHandle.DangerousGetHandle();
        EndPoint = socket.LocalEndPoint!; // bound
        _again = new Timer(_ => Resume());
        Listen();
    }

    public EndPoint EndPoint { get; }

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            return await _accepted.Reader.ReadAsync(cancellationToken);
        }
        catch (ChannelClosedException)
        {
            return null;
        }
    }

    public void Ready(uint events)
    {
        Span<byte> address = stackalloc byte[SocketAddresses.Size];
        for (var n = 0; n < AcceptsAtOnce; n++)
        {
            if (LoopConnection.Open >= MaxConnections.Value)
            {
                Wait();
                return;
            }

            int error;
            Descriptor? socket;
            try
            {
                error = Libc.Accept(_socket.SafeHandle, address, out socket);
            }
            catch (ObjectDisposedException)
            {
                return;
            }

            if (socket is not null)
                Take(socket, SocketAddresses.Read(address));
            else if (error is Libc.TooManyInProcess or Libc.TooManyInSystem or Libc.NoMemory or Libc.NoBuffers)
            {
                Wait();
                return;
            }
            else if (error is not (Libc.Interrupted or Libc.ConnectionAborted))
                return;
        }
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (!_isUnbound)
            {
                _isUnbound = true;
                _again.Dispose();
                Leave();
                _socket.Dispose();
            }
        }

        _accepted.Writer.TryComplete();
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await UnbindAsync();
        while (_accepted.Reader.TryRead(out var left))
            await left.DisposeAsync();
    }

    void Take(Descriptor socket, EndPoint? remote)
    {
        var loops = EventLoop.All;
        var connection = new LoopConnection(socket, loops[(uint)Interlocked.Increment(ref _next) % loops.Length], LocalOf(socket), remote, _pool);
        if (!connection.TryStart() || !_accepted.Writer.TryWrite(connection))
            connection.Drop();
    }

    EndPoint? LocalOf(Descriptor socket)
    {
        if (EndPoint is IPEndPoint { Address: var own } && !own.Equals(IPAddress.Any) && !own.Equals(IPAddress.IPv6Any))
            return EndPoint;
        Span<byte> address = stackalloc byte[SocketAddresses.Size];
        return Libc.TrySocketName(socket, address) ? SocketAddresses.Read(address) : null;
    }

    void Listen()
    {
        // Exclusive: a connection that comes wakes one loop, not all.
        foreach (var loop in EventLoop.All)
            if (loop.Add(_socket.SafeHandle, _number, this, Libc.Readable | Libc.Exclusive) is not 0 and var error)
                throw new IOException($"The listening socket cannot be watched (error {error}).");
    }

    void Leave()
    {
        foreach (var loop in EventLoop.All)
            loop.Remove(_socket.SafeHandle, _number, this);
    }

    /// <summary>Connections wait with the system until descriptors are free again; being told of them all the time would help nobody.</summary>
    void Wait()
    {
        lock (_lock)
        {
            if (_isPaused || _isUnbound)
                return;
            _isPaused = true;
            Leave();
            _again.Change(Pause, Timeout.InfiniteTimeSpan);
            if (_warnedAt != 0 && Stopwatch.GetElapsedTime(_warnedAt) < WarningInterval)
                return;
            _warnedAt = Stopwatch.GetTimestamp();
        }

        CannotAccept(_logger, EndPoint, LoopConnection.Open);
    }

    void Resume()
    {
        lock (_lock)
        {
            if (_isUnbound || !_isPaused)
                return;
            _isPaused = false;
            Listen();
        }
    }

    [LoggerMessage(1120, LogLevel.Warning, "{Open} connections are open, and more to {Address} wait: no file descriptors are left for them. Raise the limit of open files (ulimit -n, LimitNOFILE); tandem doctor shows it")]
    static partial void CannotAccept(ILogger logger, EndPoint address, int open);
}
