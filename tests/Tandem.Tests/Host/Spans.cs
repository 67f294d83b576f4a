using System.Text;

namespace Tandem.Tests.Host;

/// <summary>A span as it came to a collector.</summary>
/// <param name="Service">What the process reports under.</param>
/// <param name="Source">What made it: a library, or Tandem itself.</param>
sealed record Span(string Service, string Source, string TraceId, string Id, string Parent, string Name)
{
    /// <summary>Reads ExportTraceServiceRequest (opentelemetry-proto 1.x) out of a gRPC message: a walk over the wire format, of which it takes six fields.</summary>
    public static IEnumerable<Span> Read(byte[] grpc)
    {
        foreach (var resource in Messages(grpc.AsMemory(5), 1))
        {
            var attributes = Messages(resource, 1).SelectMany(r => Messages(r, 1));
            var service = attributes.Where(a => Text(Messages(a, 1)) == "service.name").Select(a => Text(Messages(a, 2).SelectMany(v => Messages(v, 1)))).FirstOrDefault() ?? "";
            foreach (var scope in Messages(resource, 2))
            {
                var source = Messages(scope, 1).Select(s => Text(Messages(s, 1))).FirstOrDefault() ?? "";
                foreach (var span in Messages(scope, 2))
                    yield return new Span(service, source, Hex(Messages(span, 1)), Hex(Messages(span, 2)), Hex(Messages(span, 4)), Text(Messages(span, 5)));
            }
        }
    }

    static string Text(IEnumerable<ReadOnlyMemory<byte>> field) => field.Select(f => Encoding.UTF8.GetString(f.Span)).FirstOrDefault() ?? "";

    static string Hex(IEnumerable<ReadOnlyMemory<byte>> field) => field.Select(f => Convert.ToHexStringLower(f.Span)).FirstOrDefault() ?? "";

    static IEnumerable<ReadOnlyMemory<byte>> Messages(ReadOnlyMemory<byte> bytes, int wanted)
    {
        var at = 0;
        while (at < bytes.Length)
        {
            var tag = Varint(bytes, ref at);
            switch (tag & 7)
            {
                case 0:
                    Varint(bytes, ref at);
                    break;
                case 1:
                    at += 8;
                    break;
                case 5:
                    at += 4;
                    break;
                default:
                    var length = (int)Varint(bytes, ref at);
                    if ((int)(tag >> 3) == wanted)
                        yield return bytes.Slice(at, length);
                    at += length;
                    break;
            }
        }
    }

    static ulong Varint(ReadOnlyMemory<byte> bytes, ref int at)
    {
        var value = 0UL;
        for (var shift = 0; ; shift += 7)
        {
            var next = bytes.Span[at++];
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
                return value;
        }
    }
}
