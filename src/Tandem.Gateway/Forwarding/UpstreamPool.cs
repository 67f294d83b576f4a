using System.Collections.Concurrent;
using System.Net;

namespace Tandem.Gateway.Forwarding;

/// <summary>The connections to one address of a service. The one that was used last is used first, so that those too many grow old.</summary>
sealed class UpstreamPool
{
    // As HttpClient has it.
    static readonly TimeSpan MaxIdle = TimeSpan.FromMinutes(1), ConnectTimeout = TimeSpan.FromSeconds(15);

    readonly IUpstreamTransport _transport;
    readonly EndPoint _endPoint;
    readonly ConcurrentDictionary<UpstreamConnection, bool> _open = new();
    readonly Lock _lock = new();
    readonly List<UpstreamConnection> _idle = [];

    /// <param name="prefix">The address in the settings, such as http://127.0.0.1:9000/base.</param>
    public UpstreamPool(Uri prefix, IUpstreamTransport transport)
    {
        _transport = transport;
        Host = System.Text.Encoding.ASCII.GetBytes(prefix.IsDefaultPort ? prefix.IdnHost.Contains(':') ? $"[{prefix.IdnHost}]" : prefix.IdnHost : prefix.Authority);
        Base = System.Text.Encoding.ASCII.GetBytes(prefix.AbsolutePath.TrimEnd('/'));
        Service = (prefix.IdnHost, prefix.Port);
        _endPoint = IPAddress.TryParse(prefix.IdnHost, out var address) ? new IPEndPoint(address, prefix.Port) : new DnsEndPoint(prefix.IdnHost, prefix.Port);
    }

    /// <summary>Where it listens.</summary>
    public (string Host, int Port) Service { get; }

    /// <summary>What the service hears in Host.</summary>
    public byte[] Host { get; }

    /// <summary>What stands in front of every path; empty, or /base.</summary>
    public byte[] Base { get; }

    /// <returns>A connection that is idle; null when there is none.</returns>
    public UpstreamConnection? Take()
    {
        while (true)
        {
            UpstreamConnection connection;
            lock (_lock)
            {
                if (_idle.Count == 0)
                    return null;
                connection = _idle[^1];
                _idle.RemoveAt(_idle.Count - 1);
            }

            if (connection.IsQuiet())
                return connection;
            Drop(connection);
        }
    }

    /// <exception cref="IOException">It cannot be reached.</exception>
    public async Task<UpstreamConnection> ConnectAsync(CancellationToken ct)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(ct);
        timeout.CancelAfter(ConnectTimeout);
        try
        {
            var connection = new UpstreamConnection(await _transport.ConnectAsync(_endPoint, timeout.Token), _transport);
            _open.TryAdd(connection, true);
            return connection;
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            throw new IOException($"No connection within {ConnectTimeout.TotalSeconds:0} s.");
        }
    }

    public void Return(UpstreamConnection connection)
    {
        lock (_lock)
            _idle.Add(connection);
    }

    public void Drop(UpstreamConnection connection)
    {
        if (!_open.TryRemove(connection, out _))
            return;
        connection.Abort();
        _ = connection.CloseAsync(); // nothing is left to be waited for
    }

    /// <summary>Ends what takes too long, and closes what nobody has used for a while.</summary>
    public void Sweep(long now)
    {
        foreach (var (connection, _) in _open)
            connection.Expire(now);
        List<UpstreamConnection> old;
        lock (_lock)
        {
            // The ones at the front have waited longest.
            var count = _idle.TakeWhile(c => now - c.IdleSince > MaxIdle.TotalMilliseconds).Count();
            old = _idle.GetRange(0, count);
            _idle.RemoveRange(0, count);
        }

        old.ForEach(Drop);
    }

    /// <summary>Closes all; requests under way fail.</summary>
    public void Close()
    {
        lock (_lock)
            _idle.Clear();
        foreach (var (connection, _) in _open)
            Drop(connection);
    }
}
