using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace Tandem.Gateway.Forwarding;

/// <summary>A connection to a service: one request at a time, over and over.</summary>
/// <remarks>Whoever has it is told of a timeout, or of a client that has gone, by its being closed.</remarks>
sealed class UpstreamConnection(ConnectionContext connection, IUpstreamTransport transport)
{
    const long Never = long.MaxValue;

    readonly Lock _lock = new();
    long _deadline = Never;
    HttpContext? _answered;
    bool _hasAnswered, _hasExpired;

    /// <summary>Whether it has carried a request before: the service may close it at any moment.</summary>
    public bool IsReused { get; private set; }

    /// <summary>When it was given back, in milliseconds since the start of the machine.</summary>
    public long IdleSince { get; private set; }

    /// <summary>Whether it was closed because nothing had happened for too long.</summary>
    public bool HasExpired => Volatile.Read(ref _hasExpired);

    /// <summary>Whether the client has been told anything of the answer.</summary>
    public bool HasAnswered => Volatile.Read(ref _hasAnswered);

    public PipeReader Input => connection.Transport.Input;

    /// <summary>What waits for it goes on where the request does.</summary>
    public void Follow(HttpContext request) => transport.Follow(connection, request);

    /// <summary>From now on something has to happen within that time.</summary>
    public void Allow(TimeSpan time) =>
        Volatile.Write(ref _deadline, time == Timeout.InfiniteTimeSpan ? Never : Environment.TickCount64 + (long)time.TotalMilliseconds);

    /// <summary>The answer begins: from now on it can only be broken off.</summary>
    public void Answer(HttpContext context)
    {
        lock (_lock)
            (_answered, _hasAnswered) = (context, true);
    }

    /// <exception cref="IOException">The other side is gone.</exception>
    public async ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
    {
        if ((await connection.Transport.Output.WriteAsync(bytes)).IsCompleted)
            throw new IOException("The service has closed the connection.");
    }

    /// <summary>Whether it can carry another request, as far as can be seen.</summary>
    public bool IsQuiet() => transport.IsQuiet(connection);

    /// <summary>The exchange is over, and the connection waits for the next.</summary>
    /// <returns>False when it was closed meanwhile.</returns>
    public bool TryRest()
    {
        lock (_lock)
        {
            (_answered, _hasAnswered, _deadline) = (null, false, Never);
            (IsReused, IdleSince) = (true, Environment.TickCount64);
            return !_hasExpired;
        }
    }

    /// <summary>Closes it if whoever has it has waited too long.</summary>
    public void Expire(long now)
    {
        if (now <= Volatile.Read(ref _deadline))
            return;
        lock (_lock)
        {
            if (now <= _deadline)
                return;
            (_hasExpired, _deadline) = (true, Never);
            // It may be the client that does not read.
            _answered?.Abort();
        }

        Abort();
    }

    /// <summary>Wakes whoever waits for it; from any thread.</summary>
    public void Abort() => connection.Abort();

    public ValueTask CloseAsync() => connection.DisposeAsync();
}
