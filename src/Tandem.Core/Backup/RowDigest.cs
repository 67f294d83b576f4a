using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Tandem.Core.Backup;

/// <summary>
/// The digest of a set of rows: the sum of the SHA-256 of every row's text, modulo 2^256. Two stores with the same rows have the same one, in
/// whatever order they give them, and the digest of two parts is the sum of theirs.
/// </summary>
sealed class RowDigest
{
    readonly ulong[] _sum = new ulong[SHA256.HashSizeInBytes / sizeof(ulong)];

    public long Rows { get; private set; }

    public void Add(ReadOnlySpan<byte> row)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(row, hash);
        UInt128 carry = 0;
        for (var i = 0; i < _sum.Length; i++)
        {
            carry += (UInt128)_sum[i] + BinaryPrimitives.ReadUInt64LittleEndian(hash[(i * sizeof(ulong))..]);
            _sum[i] = (ulong)carry;
            carry >>= 64;
        }

        Rows++;
    }

    /// <summary>64 lower-case hexadecimal digits.</summary>
    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[SHA256.HashSizeInBytes];
        for (var i = 0; i < _sum.Length; i++)
            BinaryPrimitives.WriteUInt64LittleEndian(bytes[(i * sizeof(ulong))..], _sum[i]);
        return Convert.ToHexStringLower(bytes);
    }
}
