using System.Text;
using Tandem.Core.Backup;

namespace Tandem.Tests.Backup;

/// <summary>The one text that a row has, whichever engine it comes from.</summary>
[Storeless("Text that is written and read.")]
public sealed class RowTextTests
{
    [Fact]
    public void A_row_is_read_as_it_was_written()
    {
        object?[] row = [null, "", "naïve \"quoted\"\n\t\\ 😀 \u2028", long.MinValue, long.MaxValue, 0.1, -1e300, double.Epsilon, double.PositiveInfinity, new byte[] { 0, 255 }, Array.Empty<byte>()];
        using var writer = new RowWriter();
        Assert.Equal(row, RowText.Read(writer.Write(row), row.Length));
    }

    [Fact]
    public void A_whole_number_is_the_same_whether_the_engine_calls_it_integer_or_double()
    {
        Assert.Equal("[3,-2,1000000000000000]", Text([3.0, -2.0, 1e15]));
        Assert.Equal(Text([3L, -2L, 1_000_000_000_000_000L]), Text([3.0, -2.0, 1e15]));
        Assert.Equal("[1E+20,1.5]", Text([1e20, 1.5]));
    }

    [Theory]
    [InlineData("")]
    [InlineData("[1]")]
    [InlineData("[1,2,3]")]
    [InlineData("{}")]
    [InlineData("[1,true]")]
    [InlineData("[1,[]]")]
    [InlineData("[1,{\"x\":1}]")]
    public void What_is_no_row_is_refused(string text) =>
        Assert.ThrowsAny<System.Text.Json.JsonException>(() => RowText.Read(Encoding.UTF8.GetBytes(text), 2));

    [Fact]
    public void The_digest_does_not_depend_on_the_order_and_tells_every_other_difference()
    {
        string Digest(params string[] rows)
        {
            var digest = new RowDigest();
            foreach (var row in rows)
                digest.Add(Encoding.UTF8.GetBytes(row));
            return $"{digest.Rows} {digest}";
        }

        Assert.Equal(Digest("a", "b", "c"), Digest("c", "a", "b"));
        Assert.NotEqual(Digest("a", "b"), Digest("a", "c"));
        Assert.NotEqual(Digest("a"), Digest("a", "a"));
        // The sum runs over its end and stays one of 256 bits.
        Assert.Equal(64 + 5, Digest([.. Enumerable.Range(0, 1000).Select(i => $"{i}")]).Length);
    }

    static string Text(object?[] row)
    {
        using var writer = new RowWriter();
        return Encoding.UTF8.GetString(writer.Write(row));
    }
}
