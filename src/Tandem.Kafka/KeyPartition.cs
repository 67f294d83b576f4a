using System.Buffers.Binary;
using System.Text;

namespace Tandem.Kafka;

/// <summary>
/// Which partition the events of a key are in: murmur2 as Kafka's own Java client does it for records with a key, so that programs in other
/// languages find a key where they expect it. Reckoned here and not by the client, so that a topic somebody enlarges does not move the keys.
/// </summary>
/// <seealso href="https://github.com/apache/kafka/blob/4.0/clients/src/main/java/org/apache/kafka/common/utils/Utils.java">Utils.murmur2</seealso>
static class KeyPartition
{
    public static int Of(string key, int partitions) => (Murmur2(Encoding.UTF8.GetBytes(key)) & int.MaxValue) % partitions;

    internal static int Murmur2(ReadOnlySpan<byte> data)
    {
        const uint Seed = 0x9747b28c, M = 0x5bd1e995;
        const int R = 24;
        var h = Seed ^ (uint)data.Length;
        for (; data.Length >= 4; data = data[4..])
        {
            var k = BinaryPrimitives.ReadUInt32LittleEndian(data) * M;
            k = (k ^ (k >> R)) * M;
            h = (h * M) ^ k;
        }

        if (data.Length > 0)
        {
            for (var i = data.Length - 1; i >= 0; i--)
                h ^= (uint)data[i] << (8 * i);
            h *= M;
        }

        h = (h ^ (h >> 13)) * M;
        return (int)(h ^ (h >> 15));
    }
}
