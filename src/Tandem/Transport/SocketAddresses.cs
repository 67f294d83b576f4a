using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;

namespace Tandem.Transport;

static class SocketAddresses
{
    const ushort Inet = 2, Inet6 = 10;

    /// <summary>struct sockaddr_in or sockaddr_in6; null for any other.</summary>
    public static IPEndPoint? Read(ReadOnlySpan<byte> address)
    {
        var port = BinaryPrimitives.ReadUInt16BigEndian(address[2..]);
        return MemoryMarshal.Read<ushort>(address) switch
        {
            Inet => new IPEndPoint(new IPAddress(address.Slice(4, 4)), port),
            Inet6 => new IPEndPoint(new IPAddress(address.Slice(8, 16), MemoryMarshal.Read<uint>(address[24..])), port),
            _ => null,
        };
    }
}
