using System.Buffers;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Tandem.Gateway.Forwarding;

namespace Tandem.Transport;

/// <summary>Opens connections to other services on the event loops, so that a request can go there and back on one thread.</summary>
sealed class LoopConnector(IMemoryPoolFactory<byte> pools) : IUpstreamTransport
{
    readonly MemoryPool<byte> _pool = pools.Create();
    int _next;

    public async Task<ConnectionContext> ConnectAsync(EndPoint service, CancellationToken ct)
    {
        var loop = EventLoop.Current ?? EventLoop.All[(uint)Interlocked.Increment(ref _next) % EventLoop.All.Length];
        IOException? failure = null;
        foreach (var address in await AddressesAsync(service, ct))
            try
            {
                return await ConnectAsync(address, loop, ct);
            }
            catch (IOException e)
            {
                failure = e;
            }

        throw failure ?? new IOException($"{service} has no address.");
    }

    public void Follow(ConnectionContext connection, HttpContext request) =>
        ((LoopConnection)connection).StaysOnLoop = request.Features.Get<ILoopFeature>() is { StaysOnLoop: true };

    public bool IsQuiet(ConnectionContext connection) => ((LoopConnection)connection).IsQuiet();

    public async ValueTask<IDisposable?> LeaveAsync(HttpContext request)
    {
        if (request.Features.Get<ILoopFeature>() is not { StaysOnLoop: true } connection)
            return null;
        connection.StaysOnLoop = false;
        if (EventLoop.IsCurrent)
            await Task.Yield();
        return new Return(connection);
    }

    static async ValueTask<IPEndPoint[]> AddressesAsync(EndPoint service, CancellationToken ct)
    {
        if (service is not DnsEndPoint name)
            return [(IPEndPoint)service];
        try
        {
            return [.. (await Dns.GetHostAddressesAsync(name.Host, ct)).Select(a => new IPEndPoint(a, name.Port))];
        }
        catch (System.Net.Sockets.SocketException e)
        {
            throw new IOException($"{name.Host} cannot be looked up: {e.Message}", e);
        }
    }

    async Task<ConnectionContext> ConnectAsync(IPEndPoint address, EventLoop loop, CancellationToken ct)
    {
        var socket = Libc.Socket(address.AddressFamily);
        try
        {
            await Attempt.MakeAsync(socket, loop, address, ct);
        }
        catch
        {
            socket.Dispose();
            throw;
        }

        var connection = new LoopConnection(socket, loop, null, address, _pool);
        if (connection.TryStart())
            return connection;
        connection.Drop();
        throw new IOException("The system cannot watch one more connection.");
    }

    sealed class Return(ILoopFeature connection) : IDisposable
    {
        public void Dispose() => connection.StaysOnLoop = true;
    }

    /// <summary>Waits for the other side to take the connection.</summary>
    sealed class Attempt : IReadyHandler
    {
        readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public static async Task MakeAsync(Descriptor socket, EventLoop loop, IPEndPoint address, CancellationToken ct)
        {
            var error = Libc.Connect(socket, address);
            if (error == Libc.InProgress)
            {
                var attempt = new Attempt();
                error = loop.Add(socket, socket.Number, attempt, Libc.Writable | Libc.EdgeTriggered);
                if (error == 0)
                    try
                    {
                        await attempt._ready.Task.WaitAsync(ct);
                        error = Libc.Error(socket);
                    }
                    finally
                    {
                        loop.Remove(socket, socket.Number, attempt);
                    }
            }

            if (error != 0)
                throw new IOException($"{address} cannot be reached (error {error}).");
        }

        public void Ready(uint events) => _ready.TrySetResult();
    }
}
