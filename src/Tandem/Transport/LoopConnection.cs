using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace Tandem.Transport;

/// <summary>A connection on an event loop. It holds no buffer while nothing is under way on it.</summary>
sealed class LoopConnection : ConnectionContext, IDuplexPipe, IReadyHandler, IThreadPoolWorkItem, IConnectionIdFeature, IConnectionTransportFeature, IConnectionItemsFeature,
    IMemoryPoolFeature, IConnectionLifetimeFeature, ILoopFeature
{
    // So much of what a client still sends is taken after the last answer: closing a socket with something unread takes the answer from the client, too.
    const int MaxLeftover = 256 * 1024;

    static int _open;
    // Begun at the time, so that no two processes give the same. Kestrel asks every connection for its id: one made at random would be a system call each.
    static long _lastId = DateTime.UtcNow.Ticks;

    readonly Descriptor _socket;
    readonly EventLoop _loop;
    readonly SocketReader _reader;
    readonly SocketWriter _writer;
    readonly CancellationTokenSource _closed = new();
    IDictionary<object, object?>? _items;
    string? _id;
    int _hasEnded;
    int _isDisposed;

    public LoopConnection(Descriptor socket, EventLoop loop, EndPoint? local, EndPoint? remote, MemoryPool<byte> pool)
    {
        (_socket, _loop, LocalEndPoint, RemoteEndPoint, MemoryPool) = (socket, loop, local, remote, pool);
        (_reader, _writer) = (new SocketReader(socket, this), new SocketWriter(socket, this));
        Transport = this;
        ConnectionClosed = _closed.Token;
        Features = new LoopFeatures(this);
        Interlocked.Increment(ref _open);
    }

    /// <summary>How many there are in this process.</summary>
    public static int Open => Volatile.Read(ref _open);

    public override string ConnectionId
    {
        get => _id ??= Interlocked.Increment(ref _lastId).ToString("x", CultureInfo.InvariantCulture);
        set => _id = value;
    }

    public override IFeatureCollection Features { get; }

    public override IDictionary<object, object?> Items
    {
        get => _items ??= new ConnectionItems();
        set => _items = value;
    }

    public override IDuplexPipe Transport { get; set; }
    public override CancellationToken ConnectionClosed { get; set; }
    public MemoryPool<byte> MemoryPool { get; }

    public bool StaysOnLoop { get; set; } = true;

    PipeReader IDuplexPipe.Input => _reader;
    PipeWriter IDuplexPipe.Output => _writer;

    /// <returns>False when the system cannot watch one more.</returns>
    public bool TryStart() =>
        _loop.Add(_socket, _socket.Number, this, Libc.Readable | Libc.Writable | Libc.PeerClosed | Libc.EdgeTriggered) == 0;

    public void Ready(uint events)
    {
        if ((events & (Libc.Writable | Libc.Failed | Libc.HungUp)) != 0)
            _writer.Ready();
        if ((events & (Libc.PeerClosed | Libc.Failed | Libc.HungUp)) != 0)
            End();
        if ((events & (Libc.Readable | Libc.PeerClosed | Libc.Failed | Libc.HungUp)) != 0)
            _reader.Ready((events & (Libc.PeerClosed | Libc.Failed | Libc.HungUp)) != 0);
    }

    /// <summary>Whether there is nothing to be read, looked at anew: the loop may be about to tell of it.</summary>
    public bool IsQuiet() => _reader.IsQuiet();

    /// <summary>Tells, once and elsewhere, that the other side has gone or that this one wants to.</summary>
    public void End()
    {
        if (Interlocked.Exchange(ref _hasEnded, 1) == 0)
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    void IThreadPoolWorkItem.Execute() => _closed.Cancel();

    public override void Abort(ConnectionAbortedException abortReason)
    {
        _writer.Abort();
        _reader.Abort(abortReason);
        Tell(Libc.Reset);
        End();
    }

    public override void Abort() => Abort(new ConnectionAbortedException());

    /// <summary>Kestrel has let go of it.</summary>
    public override ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 1)
            return ValueTask.CompletedTask;
        _writer.Complete();
        _reader.Complete();
        Tell(Libc.EndSending);
        TakeLeftover();
        Drop();
        End();
        return ValueTask.CompletedTask;
    }

    /// <summary>Closes what nobody has seen yet, or not any more.</summary>
    public void Drop()
    {
        _loop.Remove(_socket, _socket.Number, this);
        _socket.Dispose();
        Interlocked.Decrement(ref _open);
    }

    void Tell(Action<Descriptor> what)
    {
        try
        {
            what(_socket);
        }
        catch (ObjectDisposedException)
        {
            // closed already
        }
    }

    void TakeLeftover()
    {
        var scratch = ArrayPool<byte>.Shared.Rent(16 * 1024);
        for (var taken = 0; taken < MaxLeftover && Libc.Receive(_socket, scratch) is > 0 and var count;)
            taken += count;
        ArrayPool<byte>.Shared.Return(scratch);
    }
}
