using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;

namespace Tandem.Core.Http;

/// <summary>What a client's limits are counted under.</summary>
public static class ClientAddress
{
    /// <remarks>Behind a proxy it is the client's only when the proxy is in <c>Gateway:TrustedProxies</c>.</remarks>
    /// <returns>The IPv4 address, or the /64 network of an IPv6 address: a household has a whole one and can choose anew for each request.</returns>
    public static string Of(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (context.Connection.RemoteIpAddress is not { } address)
            return "local";
        if (address.IsIPv4MappedToIPv6)
            address = address.MapToIPv4();
        if (address.AddressFamily != AddressFamily.InterNetworkV6)
            return address.ToString();
        var bytes = address.GetAddressBytes();
        bytes.AsSpan(8).Clear();
        return new IPAddress(bytes) + "/64";
    }
}
