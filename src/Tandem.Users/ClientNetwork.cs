using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Tandem.Core.Http;

namespace Tandem.Users;

/// <summary>The part of a client's address that is kept for people to read.</summary>
/// <remarks>
/// An IPv4 address without its last byte and an IPv6 address without its lower half: enough to tell home from abroad and one provider from another,
/// too little to be a person's own address in a list that is kept for years.
/// </remarks>
static class ClientNetwork
{
    /// <returns>Such as <c>192.0.2.0/24</c> or <c>2001:db8:1:2::/64</c>; null where there is no address, as on a Unix socket.</returns>
    public static string? Of(HttpContext context) => Of(ClientAddress.Of(context));

    /// <param name="address">Of <see cref="ClientAddress"/>.</param>
    public static string? Of(string? address)
    {
        // An IPv6 address is cut to its network there already.
        if (address is null || address.EndsWith("/64", StringComparison.Ordinal))
            return address;
        if (!IPAddress.TryParse(address, out var ip) || ip.AddressFamily != AddressFamily.InterNetwork)
            return null;
        var bytes = ip.GetAddressBytes();
        bytes[3] = 0;
        return new IPAddress(bytes) + "/24";
    }
}
