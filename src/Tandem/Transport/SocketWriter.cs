using System.Buffers;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;

namespace Tandem.Transport;

/// <summary>
/// Gives what was written to the system at each flush, on the thread that flushes; a flush waits while the system takes no more. Kestrel completes
/// it from any thread, so all of it is under a lock; being told that the socket is ready is not, because that is on the loop.
/// </summary>
sealed class SocketWriter(Descriptor socket, LoopConnection connection) : PipeWriter, IValueTaskSource<FlushResult>, IThreadPoolWorkItem
{
    const int SmallestSize = 4096, LargestSize = 64 * 1024, PartsAtOnce = 16;

    readonly Lock _lock = new();
    ManualResetValueTaskSourceCore<FlushResult> _wait;
    CancellationTokenRegistration _registration;
    CancellationToken _token;
    Segment? _first, _last, _spare;
    int _sent;
    int _size = SmallestSize;
    volatile bool _isWaiting;
    bool _isHandedOut;
    bool _isBroken;
    bool _isCanceled;

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes
    {
        get
        {
            var bytes = -(long)_sent;
            for (var segment = _first; segment is not null; segment = segment.Following)
                bytes += segment.Filled;
            return bytes;
        }
    }

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        var least = Math.Max(sizeHint, 1);
        if (_last is null || _last.Free < least)
        {
            var segment = _spare ?? new Segment();
            _spare = null;
            segment.Rent(Math.Max(least, _size), 0);
            if (_last is null)
                _first = segment;
            else
                (_last.Following, _size) = (segment, Math.Min(4 * _size, LargestSize));
            _last = segment;
        }

        _isHandedOut = true;
        return _last.FreeMemory;
    }

    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    public override void Advance(int bytes)
    {
        _last?.Fill(bytes);
        _isHandedOut = false;
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<FlushResult>(cancellationToken);
        short version;
        lock (_lock)
        {
            if (TrySend() || _isCanceled)
                return new(Result());
            _wait.Reset();
            version = _wait.Version;
            _token = cancellationToken;
            if (cancellationToken.CanBeCanceled)
                _registration = cancellationToken.UnsafeRegister(static writer => ThreadPool.UnsafeQueueUserWorkItem((SocketWriter)writer!, preferLocal: false), this);
            _isWaiting = true;
        }

        // Once more: had the socket become ready before somebody waited, nobody would be told.
        GoOn();
        return new(this, version);
    }

    public override void CancelPendingFlush()
    {
        lock (_lock)
            _isCanceled = true;
        Ready();
    }

    /// <summary>The socket takes more, or never will.</summary>
    public void Ready()
    {
        if (_isWaiting)
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    public void Abort()
    {
        lock (_lock)
            _isBroken = true;
        Ready();
    }

    public override void Complete(Exception? exception = null)
    {
        lock (_lock)
        {
            if (exception is null && !_isWaiting)
                TrySend();
            _isBroken = true;
            Forget();
        }

        Ready();
    }

    void IThreadPoolWorkItem.Execute() => GoOn();

    FlushResult IValueTaskSource<FlushResult>.GetResult(short token) => _wait.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<FlushResult>.GetStatus(short token) => _wait.GetStatus(token);

    void IValueTaskSource<FlushResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _wait.OnCompleted(continuation, state, token, flags);

    void GoOn()
    {
        FlushResult result;
        CancellationToken token;
        lock (_lock)
        {
            if (!_isWaiting || (!_token.IsCancellationRequested && !_isCanceled && !TrySend()))
                return;
            _isWaiting = false;
            (token, _token) = (_token, default);
            _registration.Unregister();
            result = token.IsCancellationRequested ? default : Result();
        }

        if (token.IsCancellationRequested)
            _wait.SetException(new OperationCanceledException(token));
        else
            _wait.SetResult(result);
    }

    FlushResult Result()
    {
        var result = new FlushResult(_isCanceled, _isBroken);
        _isCanceled = false;
        return result;
    }

    /// <returns>Whether nothing is left to be sent: it has gone, or nobody will have it any more.</returns>
    bool TrySend()
    {
        while (!_isBroken && _first is not null && (_sent < _first.Filled || _first.Following is not null))
        {
            var count = SendParts();
            if (count == -Libc.Again)
                return false;
            if (count < 0)
            {
                _isBroken = true;
                connection.End();
                break;
            }

            _sent += count;
            // What somebody is writing to this very moment stays.
            while (_first is not null && _sent >= _first.Filled && (_first != _last || !_isHandedOut))
                ReturnFirst();
        }

        if (_isBroken)
            Forget();
        return true;
    }

    unsafe int SendParts()
    {
        try
        {
            if (_first!.Following is null)
                return Libc.Send(socket, _first.Memory.Span[_sent..]);

            Span<Libc.Part> parts = stackalloc Libc.Part[PartsAtOnce];
            var pins = new MemoryHandle[PartsAtOnce];
            var count = 0;
            for (var segment = _first; segment is not null && count < PartsAtOnce; segment = segment.Following)
            {
                pins[count] = segment.Memory.Pin();
                var skipped = count == 0 ? _sent : 0;
                parts[count++] = new Libc.Part { Bytes = (byte*)pins[count - 1].Pointer + skipped, Length = (nuint)(segment.Filled - skipped) };
            }

            var sent = Libc.Send(socket, parts[..count]);
            foreach (var pin in pins)
                pin.Dispose();
            return sent;
        }
        catch (ObjectDisposedException)
        {
            return -Libc.ConnectionAborted;
        }
    }

    void ReturnFirst()
    {
        var segment = _first!;
        _sent -= segment.Filled;
        _first = segment.Following;
        if (_first is null)
            (_last, _size) = (null, SmallestSize);
        segment.Return();
        _spare = segment;
    }

    // Not given back: somebody may still be writing to it.
    void Forget() => (_first, _last, _spare, _sent) = (null, null, null, 0);
}
