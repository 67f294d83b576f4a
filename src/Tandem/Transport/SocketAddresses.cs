using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;

namespace Tandem.Transport;

static class SocketAddresses
{
    public const ushort Inet = 2, Inet6 = 10;
    public const int Size = 28; // struct sockaddr_in6

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

    /// <summary>The opposite.</summary>
    /// <returns>How many bytes it takes.</returns>
    public static int Write(IPEndPoint address, Span<byte> into)
    {
        into.Clear();
        var isNew = address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6;
        var family = isNew ? Inet6 : Inet;
        MemoryMarshal.Write(into, in family);
        BinaryPrimitives.WriteUInt16BigEndian(into[2..], (ushort)address.Port);
        address.Address.TryWriteBytes(into[(isNew ? 8 : 4)..], out _);
        if (isNew)
        {
            var scope = (uint)address.Address.ScopeId;
            MemoryMarshal.Write(into[24..], in scope);
        }

        return isNew ? Size : 16;
    }
}
