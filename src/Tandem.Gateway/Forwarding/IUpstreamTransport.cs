using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace Tandem.Gateway.Forwarding;

/// <summary>How connections to services are opened, and where what waits for them goes on. The host has it where it has event loops.</summary>
interface IUpstreamTransport
{
    /// <exception cref="IOException">It cannot be reached.</exception>
    Task<ConnectionContext> ConnectAsync(EndPoint service, CancellationToken ct);

    /// <summary>From now on what waits for <paramref name="connection"/> goes on where the request does: on the loop, or on the pool.</summary>
    void Follow(ConnectionContext connection, HttpContext request);

    /// <summary>Whether nothing has come over a connection that waits: neither its end nor an answer to no question.</summary>
    bool IsQuiet(ConnectionContext connection);

    /// <summary>Takes a request to the pool, if it is not there already.</summary>
    /// <returns>To be disposed of when all that may wait is over; null where there is nothing to be done.</returns>
    ValueTask<IDisposable?> LeaveAsync(HttpContext request);
}
