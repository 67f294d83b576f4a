using System.Numerics;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tandem.Bench.Results;

/// <summary>
/// Counts of times in microseconds, each bucket at most 1/64 of its value wide: up to 127 µs they are exact. The idea is HdrHistogram's.
/// </summary>
[JsonConverter(typeof(HistogramJson))]
sealed class Histogram
{
    const int Exact = 128;
    const int Half = Exact / 2;

    readonly List<long> _counts = [];

    public long Count { get; private set; }

    public void Add(long microseconds, long count = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(microseconds);
        var index = Index(microseconds);
        while (_counts.Count <= index)
            _counts.Add(0);
        _counts[index] += count;
        Count += count;
    }

    /// <summary>Each bucket that holds anything: its lowest value and how many.</summary>
    public IEnumerable<(long From, long Count)> Buckets => _counts.Index().Where(b => b.Item > 0).Select(b => (Lowest(b.Index), b.Item));

    /// <summary>The time that a share <paramref name="q"/> (0 to 1) did not exceed, rounded up to the end of its bucket; 0 when nothing was counted.</summary>
    public long Quantile(double q)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(q, 1);
        var rank = Math.Max(1, (long)Math.Ceiling(q * Count));
        foreach (var (index, count) in _counts.Index())
            if ((rank -= count) <= 0)
                return Lowest(index + 1) - 1;
        return 0;
    }

    static int Index(long value)
    {
        if (value < Exact)
            return (int)value;
        var shift = BitOperations.Log2((ulong)value) - 6;
        return shift * Half + (int)(value >> shift);
    }

    static long Lowest(int index)
    {
        if (index < Exact)
            return index;
        var shift = index / Half - 1;
        return (index % Half + (long)Half) << shift;
    }
}

/// <summary>As pairs of a bucket's lowest microsecond and its count, the empty ones left out.</summary>
sealed class HistogramJson : JsonConverter<Histogram>
{
    public override Histogram Read(ref Utf8JsonReader reader, Type type, JsonSerializerOptions options)
    {
        var histogram = new Histogram();
        foreach (var pair in JsonSerializer.Deserialize<long[][]>(ref reader, options) ?? [])
            histogram.Add(pair[0], pair[1]);
        return histogram;
    }

    public override void Write(Utf8JsonWriter writer, Histogram value, JsonSerializerOptions options) =>
        JsonSerializer.Serialize(writer, value.Buckets.Select(b => new[] { b.From, b.Count }), options);
}
