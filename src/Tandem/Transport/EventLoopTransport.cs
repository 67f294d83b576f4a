using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Tandem.Transport;

/// <summary>
/// How bytes come to Kestrel and go from it on Linux: event loops that read and write sockets themselves, and on whose threads a request is begun.
/// What may wait leaves them (<see cref="OffLoop"/>). Everything of HTTP is Kestrel's; other systems and other kinds of addresses have Kestrel's own transport.
/// </summary>
/// <remarks>Why: docs/decisions/0011-event-loops.md.</remarks>
sealed class EventLoopTransport(IMemoryPoolFactory<byte> pools, ILogger<EventLoopTransport> logger) : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    // The system caps it (net.core.somaxconn). Kestrel's 512 makes clients that come all at once try again after one, three and seven seconds.
    const int Backlog = 65_535;

    // What Kestrel rents beside the transport's own; it relies on its blocks of 4 KiB.
    readonly MemoryPool<byte> _pool = pools.Create();

    public static bool IsSupported => OperatingSystem.IsLinux() && Environment.Is64BitProcess;

    public bool CanBind(EndPoint endpoint) => endpoint is IPEndPoint;

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var address = (IPEndPoint)endpoint;
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (address.Address.Equals(IPAddress.IPv6Any))
                socket.DualMode = true;
            // Connections have it from their listener.
            socket.NoDelay = true;
            socket.Blocking = false;
            socket.Bind(address);
            socket.Listen(Backlog);
            return new(new LoopListener(socket, _pool, logger));
        }
        catch (Exception e)
        {
            socket.Dispose();
            if (e is SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse })
                throw new AddressInUseException(e.Message, e);
            throw;
        }
    }
}
