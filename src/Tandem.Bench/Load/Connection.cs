using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Tandem.Bench.Results;

namespace Tandem.Bench.Load;

/// <summary>
/// One connection of <see cref="OpenLoop"/>, kept open, one request at a time. The planning thread sends where the connection is free; otherwise the
/// request waits for the answer before it, and is sent where that one comes in.
/// </summary>
sealed class Connection : IDisposable
{
    readonly Lock _gate = new();
    readonly Queue<long> _waiting = new();
    readonly Tally _tally;
    readonly IPEndPoint _server;
    readonly byte[] _request;
    readonly SocketAsyncEventArgs _receiving = new();
    readonly byte[]? _upgrade;
    readonly IAnswer _answer;
    Socket? _socket;
    long? _out;
    bool _isOpen, _isGivenUp;

    /// <param name="upgrade">What makes a WebSocket of it before the first request; null: nothing.</param>
    public Connection(IPEndPoint server, byte[] request, byte[]? upgrade, IAnswer answer, Tally tally)
    {
        (_server, _request, _upgrade, _answer, _tally) = (server, request, upgrade, answer, tally);
        _receiving.SetBuffer(new byte[2048]);
        _receiving.Completed += (_, _) =>
        {
            Received();
            Receive();
        };
    }

    /// <summary>Requests planned before this instant warm up and do not count.</summary>
    public long CountFrom { get; set; }

    public bool IsIdle
    {
        get { lock (_gate) return _out is null && _waiting.Count == 0; }
    }

    public async Task OpenAsync(CancellationToken ct)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(_server, ct);
            if (_upgrade is not null)
                await WebSocketFrames.UpgradeAsync(socket, _upgrade, ct);
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        lock (_gate)
        {
            if (_isGivenUp)
            {
                socket.Dispose();
                return;
            }

            (_socket, _isOpen) = (socket, true);
            _answer.Reset();
        }

        Receive();
        lock (_gate)
            Next();
    }

    public void Plan(long at)
    {
        lock (_gate)
        {
            if (_out is null && _isOpen)
                Send(at, isFree: true);
            else
                _waiting.Enqueue(at);
        }
    }

    /// <summary>Counts what is still out with the time it has waited, and lets go.</summary>
    public void GiveUp(long now)
    {
        lock (_gate)
        {
            foreach (var planned in _out is { } o ? _waiting.Prepend(o) : _waiting)
                if (planned >= CountFrom)
                    _tally.Count(ref _tally.Unanswered, Microseconds(planned, now));

            (_out, _isOpen, _isGivenUp) = (null, false, true);
            _waiting.Clear();
        }
    }

    void Send(long planned, bool isFree)
    {
        _out = planned;
        if (isFree && planned >= CountFrom)
            _tally.CountLag(Microseconds(planned, Stopwatch.GetTimestamp()));
        try
        {
            // A request is far smaller than a socket's buffer, and nothing else is in it: it never waits.
            _socket!.Send(_request);
        }
        catch (SocketException)
        {
            Broken();
        }
    }

    void Next()
    {
        if (_out is null && _isOpen && _waiting.TryDequeue(out var planned))
            Send(planned, isFree: false);
    }

    /// <summary>Asks for bytes, and takes those that are there already.</summary>
    void Receive()
    {
        while (true)
        {
            Socket socket;
            lock (_gate)
            {
                if (!_isOpen || _socket is null)
                    return;
                socket = _socket;
            }

            try
            {
                if (socket.ReceiveAsync(_receiving))
                    return;
            }
            catch (ObjectDisposedException)
            {
                return;
            }

            Received();
        }
    }

    void Received()
    {
        lock (_gate)
        {
            if (_isGivenUp)
                return;
            if (_receiving.SocketError != SocketError.Success || _receiving.BytesTransferred == 0)
            {
                Broken();
                return;
            }

            if (!_answer.Take(_receiving.MemoryBuffer.Span[.._receiving.BytesTransferred]))
                return;
            if (_out is { } planned && planned >= CountFrom)
            {
                var took = Microseconds(planned, Stopwatch.GetTimestamp());
                if (_answer.Status is >= 200 and < 300)
                    _tally.Count(ref _tally.Answered, took);
                else
                    _tally.Count(ref _tally.Errors, took);
            }

            _out = null;
            _answer.Reset();
            Next();
        }
    }

    /// <summary>The server closed, or nobody is there: what was out has failed; what waits goes over a new connection.</summary>
    void Broken()
    {
        if (_out is { } planned && planned >= CountFrom)
            _tally.Count(ref _tally.Errors, Microseconds(planned, Stopwatch.GetTimestamp()));
        (_out, _isOpen) = (null, false);
        _socket?.Dispose();
        _tally.CountReconnect();
        _ = Task.Run(ReopenAsync);
    }

    async Task ReopenAsync()
    {
        while (!_isGivenUp)
            try
            {
                await OpenAsync(CancellationToken.None);
                return;
            }
            catch (SocketException)
            {
                // Requests wait meanwhile, and their latency tells it.
                await Task.Delay(50);
            }
    }

    static long Microseconds(long from, long to) => Math.Max(0, (long)Stopwatch.GetElapsedTime(from, to).TotalMicroseconds);

    public void Dispose()
    {
        lock (_gate)
        {
            (_isOpen, _isGivenUp) = (false, true);
            _socket?.Dispose();
        }
    }
}

/// <summary>Finds the end of one answer in bytes that come in pieces.</summary>
interface IAnswer
{
    /// <summary>As HTTP has it, once the answer is whole.</summary>
    int Status { get; }

    void Reset();

    /// <returns>True when the answer is whole. Nothing may follow it: the next one has not been asked for.</returns>
    bool Take(ReadOnlySpan<byte> bytes);
}

/// <summary>One of HTTP: a head, and as many bytes of body as it says.</summary>
sealed class Answer : IAnswer
{
    readonly byte[] _head = new byte[4096];
    int _length;
    long _missing = -1;

    /// <inheritdoc/>
    public int Status { get; private set; }

    public void Reset() => (_length, _missing, Status) = (0, -1, 0);

    /// <inheritdoc/>
    /// <exception cref="InvalidDataException">This is not HTTP, or has no Content-Length.</exception>
    public bool Take(ReadOnlySpan<byte> bytes)
    {
        if (_missing < 0)
        {
            var taken = Math.Min(bytes.Length, _head.Length - _length);
            bytes[..taken].CopyTo(_head.AsSpan(_length));
            // The end of the head may lie across two pieces.
            var from = Math.Max(0, _length - 3);
            _length += taken;
            var end = _head.AsSpan(from, _length - from).IndexOf("\r\n\r\n"u8);
            if (end < 0)
                return _length < _head.Length ? false : throw new InvalidDataException("The head of an answer is longer than 4 KiB.");
            var head = _head.AsSpan(0, from + end + 2);
            Status = head.Length > 12 && System.Buffers.Text.Utf8Parser.TryParse(head[9..12], out int status, out _)
                ? status : throw new InvalidDataException("The answer is not HTTP/1.1.");
            _missing = BodyLength(head) - (_length - (from + end + 4)) - (bytes.Length - taken);
        }
        else
            _missing -= bytes.Length;
        return _missing <= 0;
    }

    static long BodyLength(ReadOnlySpan<byte> head)
    {
        while (head.IndexOf("\r\n"u8) is >= 0 and var end)
        {
            var line = head[..end];
            if (line.Length > 15 && System.Text.Ascii.EqualsIgnoreCase(line[..15], "Content-Length:"u8)
                && System.Buffers.Text.Utf8Parser.TryParse(line[15..].TrimStart((byte)' '), out long length, out _))
                return length;
            head = head[(end + 2)..];
        }

        throw new InvalidDataException("An answer has no Content-Length.");
    }
}
