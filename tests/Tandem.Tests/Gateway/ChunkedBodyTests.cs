using System.Buffers;
using System.Text;
using Tandem.Gateway.Forwarding;

namespace Tandem.Tests.Gateway;

[Storeless("Bytes that are read.")]
public sealed class ChunkedBodyTests
{
    [Fact]
    public void A_body_is_the_same_wherever_it_is_cut_and_what_follows_is_left()
    {
        var bytes = "a\r\n0123456789\r\n0C ; x=\"y\"\r\nabcdefghijkl\r\n000\r\nA: b\r\nC: d\r\n\r\nHTTP/1.1"u8.ToArray();
        for (var first = 0; first <= bytes.Length; first++)
            for (var second = first; second <= bytes.Length; second++)
            {
                var (body, output) = (new ChunkedBody(), new ArrayBufferWriter<byte>());
                var used = body.Read(bytes.AsSpan(0, first), output) + body.Read(bytes.AsSpan(first, second - first), output) + body.Read(bytes.AsSpan(second), output);
                Assert.True(body.IsOver);
                Assert.Equal("0123456789abcdefghijkl", Encoding.ASCII.GetString(output.WrittenSpan));
                Assert.Equal(bytes.Length - "HTTP/1.1".Length, used);
            }
    }

    [Theory]
    [InlineData("g\r\n")]
    [InlineData("\r\n")]
    [InlineData("-1\r\n")]
    [InlineData("0x1\r\n")]
    [InlineData(" 1\r\n")]
    [InlineData("1\n")]
    [InlineData("1\r\r")]
    [InlineData("1\r\nab")]
    [InlineData("1\r\na\n")]
    [InlineData("1\r\na\rb")]
    [InlineData("1;\n")]
    [InlineData("0\r\nA: b\n")]
    [InlineData("0\r\n\rx")]
    [InlineData("ffffffffffffffff\r\n")]
    public void What_is_no_chunk_is_refused(string text)
    {
        var body = new ChunkedBody();
        Assert.Throws<UpstreamException>(() => body.Read(Encoding.ASCII.GetBytes(text), new ArrayBufferWriter<byte>()));
    }

    [Fact]
    public void Extensions_and_trailers_have_an_end()
    {
        var body = new ChunkedBody();
        Assert.Throws<UpstreamException>(() => body.Read(Encoding.ASCII.GetBytes("1;" + new string('x', 5_000)), new ArrayBufferWriter<byte>()));
        var other = new ChunkedBody();
        Assert.Throws<UpstreamException>(() => other.Read(Encoding.ASCII.GetBytes("0\r\n" + string.Concat(Enumerable.Repeat("A: b\r\n", 10_000))), new ArrayBufferWriter<byte>()));
    }
}
