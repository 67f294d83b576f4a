using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using System.Security.Cryptography;
using System.Text;

namespace Tandem.Users.CommonPasswords;

/// <summary>A set of passwords of which it can only be asked whether one is in it: a Bloom filter (Bloom 1970) over their SHA-1, in a file.</summary>
/// <remarks>
/// The file: <c>TANDEMPF</c>, then little-endian a version (32 bits, 1), the number of probes k (32), of bits m (64) and of entries (64), zeros up to byte 64, then the bits, of each byte the lowest first. With h the
/// first eight bytes of the hash and g the second eight, lowest bit set, both little-endian, the bits of an entry are (h + i·g mod 2⁶⁴) mod m for i from 0 to k − 1 (Kirsch and Mitzenmacher 2006). SHA-1, because the
/// list of Have I Been Pwned has nothing else; it spreads, and hides nothing.
/// </remarks>
sealed class PasswordFilter : IDisposable
{
    public const int HeaderBytes = 64;
    public const int HashBytes = SHA1.HashSizeInBytes;

    static readonly byte[] Magic = "TANDEMPF"u8.ToArray();

    readonly Func<long, byte> _byteAt;
    readonly IDisposable?[] _held;
    readonly int _probes;
    readonly ulong _bits;

    PasswordFilter(ReadOnlySpan<byte> header, long length, Func<long, byte> byteAt, string name, params IDisposable?[] held)
    {
        (_byteAt, _held) = (byteAt, held);
        if (length < HeaderBytes || !header.StartsWith(Magic) || BinaryPrimitives.ReadInt32LittleEndian(header[8..]) != 1)
            throw new InvalidDataException($"{name} is no password filter; make one with tandem password-filter build.");
        _probes = BinaryPrimitives.ReadInt32LittleEndian(header[12..]);
        _bits = BinaryPrimitives.ReadUInt64LittleEndian(header[16..]);
        Entries = BinaryPrimitives.ReadInt64LittleEndian(header[24..]);
        if (_probes is < 1 or > 64 || _bits == 0 || (ulong)(length - HeaderBytes) != (_bits + 7) / 8)
            throw new InvalidDataException($"{name} is not whole; make it again with tandem password-filter build.");
    }

    /// <summary>How many passwords it was made of.</summary>
    public long Entries { get; }

    /// <summary>A file; it is read where it is asked about, not kept in memory.</summary>
    /// <exception cref="InvalidDataException">It is no filter, or not whole.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static PasswordFilter Open(string path)
    {
        var length = new FileInfo(path).Length;
        if (length == 0)
            throw new InvalidDataException($"{path} is empty; make a filter with tandem password-filter build.");
        var file = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
        var view = file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        try
        {
            var header = new byte[HeaderBytes];
            view.ReadArray(0, header, 0, (int)Math.Min(length, HeaderBytes));
            return new PasswordFilter(header, length, view.ReadByte, path, view, file);
        }
        catch
        {
            view.Dispose();
            file.Dispose();
            throw;
        }
    }

    public static PasswordFilter Of(byte[] bytes, string name) => new(bytes, bytes.Length, at => bytes[at], name);

    public bool Contains(string password)
    {
        Span<byte> hash = stackalloc byte[HashBytes];
        SHA1.HashData(Encoding.UTF8.GetBytes(password), hash);
        var (position, step) = Probes(hash);
        // All of them, whatever they say: how long it takes tells nothing of the password.
        var found = true;
        for (var i = 0; i < _probes; i++, position += step)
        {
            var bit = position % _bits;
            found &= (_byteAt((long)(HeaderBytes + bit / 8)) >> (int)(bit % 8) & 1) == 1;
        }

        return found;
    }

    /// <summary>Where an entry's bits begin, and how far they are apart.</summary>
    public static (ulong Start, ulong Step) Probes(ReadOnlySpan<byte> hash) => (BinaryPrimitives.ReadUInt64LittleEndian(hash), BinaryPrimitives.ReadUInt64LittleEndian(hash[8..]) | 1);

    public static byte[] Header(int probes, ulong bits, long entries)
    {
        var header = new byte[HeaderBytes];
        Magic.CopyTo(header, 0);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(8), 1);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(12), probes);
        BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(16), bits);
        BinaryPrimitives.WriteInt64LittleEndian(header.AsSpan(24), entries);
        return header;
    }

    public void Dispose()
    {
        foreach (var held in _held)
            held?.Dispose();
    }
}
