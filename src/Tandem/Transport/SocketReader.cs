using System.Buffers;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;
using Microsoft.AspNetCore.Connections;

namespace Tandem.Transport;

/// <summary>
/// Reads a socket when somebody wants what is in it: nothing is copied, and nothing is rented while nothing comes. One reads at a time, as of
/// every <see cref="PipeReader"/>; being told that the socket is ready, cancelling and aborting may come from anywhere.
/// </summary>
sealed class SocketReader(Descriptor socket, LoopConnection connection) : PipeReader, IValueTaskSource<ReadResult>, IThreadPoolWorkItem
{
    const int SmallestRead = 4096, LargestRead = 64 * 1024;

    // What the socket has; or that somebody waits for it, and then everything below belongs to whoever takes the wait.
    const int Nothing = 0, Something = 1, Awaited = 2;
    int _socketHas;

    ManualResetValueTaskSourceCore<ReadResult> _wait;
    CancellationTokenRegistration _registration;
    CancellationToken _token;
    Segment? _first, _last, _spare;
    int _firstIndex;
    long _end, _examined;
    int _readSize = SmallestRead;
    volatile bool _hasEnd;
    bool _isAtEnd;
    int _isCanceled;
    volatile Exception? _error;

    /// <summary>On the loop: there is something to read, or the end.</summary>
    /// <param name="isLast">Nothing comes after that.</param>
    public void Ready(bool isLast)
    {
        if (isLast)
            _hasEnd = true;
        if (Interlocked.CompareExchange(ref _socketHas, Something, Nothing) != Awaited || !TryTakeWait())
            return;
        if (connection.StaysOnLoop)
            GoOn();
        else
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>Asks the system whether there is anything to be read, whatever the loop has told until now. Nobody may be waiting.</summary>
    public bool IsQuiet()
    {
        Interlocked.CompareExchange(ref _socketHas, Something, Nothing);
        try
        {
            return !TryRead(out _);
        }
        catch (IOException)
        {
            return false;
        }
        catch (ConnectionAbortedException)
        {
            return false;
        }
    }

    public override bool TryRead(out ReadResult result)
    {
        while (true)
        {
            var isCanceled = Volatile.Read(ref _isCanceled) == 1 && Interlocked.Exchange(ref _isCanceled, 0) == 1;
            if (isCanceled || _end > _examined || _isAtEnd)
            {
                result = new ReadResult(_first is null ? default : new ReadOnlySequence<byte>(_first, _firstIndex, _last!, _last!.Filled), isCanceled, _isAtEnd);
                return true;
            }

            if (_error is { } error)
                throw error;
            if (Volatile.Read(ref _socketHas) == Nothing)
            {
                result = default;
                return false;
            }

            Receive();
        }
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<ReadResult>(cancellationToken);
        if (TryRead(out var result))
            return new(result);
        _wait.Reset();
        var version = _wait.Version;
        _token = cancellationToken;
        if (cancellationToken.CanBeCanceled)
            _registration = cancellationToken.UnsafeRegister(static reader => ((SocketReader)reader!).Wake(), this);
        if (!TryWait())
            GoOn();
        return new(this, version);
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        if (examined.GetObject() is Segment seen)
            _examined = Math.Max(_examined, seen.RunningIndex + examined.GetInteger());
        if (consumed.GetObject() is not Segment upTo)
            return;
        _firstIndex = consumed.GetInteger();
        _examined = Math.Max(_examined, upTo.RunningIndex + _firstIndex);
        while (_first != upTo)
            ReturnFirst();
        while (_first is not null && _firstIndex == _first.Filled)
        {
            ReturnFirst();
            _firstIndex = 0;
        }
    }

    public override void CancelPendingRead()
    {
        Volatile.Write(ref _isCanceled, 1);
        Wake();
    }

    public void Abort(ConnectionAbortedException reason)
    {
        _error = reason;
        Wake();
    }

    public override void Complete(Exception? exception = null)
    {
        _error ??= new ConnectionAbortedException("The connection has been closed.", exception!);
        if (TryTakeWait())
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        // Not given back: a handler that was left alone may still be reading it.
        (_first, _last, _firstIndex, _isAtEnd, _examined) = (null, null, 0, false, _end);
    }

    void IThreadPoolWorkItem.Execute() => GoOn();

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token) => _wait.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _wait.GetStatus(token);

    void IValueTaskSource<ReadResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _wait.OnCompleted(continuation, state, token, flags);

    void Wake()
    {
        if (TryTakeWait())
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    bool TryTakeWait() => Interlocked.CompareExchange(ref _socketHas, Something, Awaited) == Awaited;

    /// <returns>False when there is something to be looked at first.</returns>
    bool TryWait() => Interlocked.CompareExchange(ref _socketHas, Awaited, Nothing) == Nothing
        // Whoever cancelled or aborted a moment ago found nobody waiting.
        && !((Volatile.Read(ref _isCanceled) == 1 || _error is not null || _token.IsCancellationRequested) && TryTakeWait());

    /// <summary>By whoever has taken the wait: ends it, or waits on.</summary>
    void GoOn()
    {
        ReadResult result = default;
        Exception? error = null;
        try
        {
            do
            {
                if (_token.IsCancellationRequested)
                    throw new OperationCanceledException(_token);
                if (TryRead(out result))
                    break;
                if (TryWait())
                    return;
            }
            while (true);
        }
        catch (Exception e)
        {
            error = e; // told to whoever waits
        }

        _registration.Unregister();
        (_registration, _token) = (default, default);
        if (error is null)
            _wait.SetResult(result);
        else
            _wait.SetException(error);
    }

    void Receive()
    {
        // Before reading: what comes meanwhile shows anew.
        Interlocked.Exchange(ref _socketHas, Nothing);
        if (_last is null || _last.Free == 0)
            Append();
        var into = _last!.FreeMemory.Span;
        int count;
        try
        {
            count = Libc.Receive(socket, into);
        }
        catch (ObjectDisposedException)
        {
            _error ??= new ConnectionAbortedException("The connection has been closed.");
            return;
        }

        if (count > 0)
        {
            _last.Fill(count);
            _end += count;
            // There may be more, which the system does not tell of again; and the end is not told of once more after what came before it.
            if (count == into.Length || _hasEnd)
                Volatile.Write(ref _socketHas, Something);
            if (count < into.Length)
                return;
            _readSize = Math.Min(4 * _readSize, LargestRead);
            return;
        }

        if (count == 0)
            _isAtEnd = true;
        else if (count != -Libc.Again)
            _error ??= new ConnectionResetException($"The connection was reset (error {-count}).");
        if (count != -Libc.Again)
            connection.End();
        if (_end == _first!.RunningIndex)
            ReturnFirst();
    }

    void Append()
    {
        var segment = _spare ?? new Segment();
        _spare = null;
        segment.Rent(_readSize, _end);
        if (_last is null)
            _first = segment;
        else
            _last.Following = segment;
        _last = segment;
    }

    void ReturnFirst()
    {
        var segment = _first!;
        _first = segment.Following;
        if (_first is null)
            (_last, _readSize) = (null, SmallestRead);
        segment.Return();
        _spare = segment;
    }
}
