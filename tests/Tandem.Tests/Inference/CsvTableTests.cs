using System.Text;
using Tandem.Inference.Training;

namespace Tandem.Tests.Inference;

[Storeless("A file that is read.")]
public sealed class CsvTableTests
{
    [Fact]
    public void Quotes_line_breaks_blanks_and_missing_values_are_read_as_meant()
    {
        var table = Tables.Read("a, b ,c\n 1 ,\"x, \"\"y\"\"\nz\",NA\n\n2,,?\n#3,null,nan\n");
        Assert.Equal(["a", "b", "c"], table.Columns.Select(c => c.Name));
        Assert.Equal(3, table.Rows);
        Assert.Equal(["1", "2", "#3"], table.Columns[0].Values);
        Assert.Equal(["x, \"y\"\nz"], table.Columns[1].Values);
        Assert.Equal([0, -1, -1], table.Columns[1].Codes);
        Assert.Equal([-1, -1, -1], table.Columns[2].Codes);
    }

    [Theory]
    [InlineData("a;b\n1;2\n")]
    [InlineData("a\tb\r\n1\t2\r\n")]
    [InlineData("a|b\n1|2")]
    [InlineData("\uFEFFa,b\n1,2\n")]
    public void Other_separators_line_ends_and_a_byte_order_mark_are_understood(string text)
    {
        var table = Tables.Read(text);
        Assert.Equal(["a", "b"], table.Columns.Select(c => c.Name));
        Assert.Equal(["2"], table.Columns[1].Values);
    }

    [Theory]
    [InlineData("", "is empty; its first line has to name the columns.")]
    [InlineData("a,b\n1,2\n3\n", "line 3: 1 values, but the header names 2 columns.")]
    [InlineData("a,b\n\"1\n1\",2\n\n3,4,5\n", "line 5: 3 values, but the header names 2 columns.")]
    [InlineData("a,,c\n1,2,3\n", "column 2 has no name in the header.")]
    [InlineData("a,b,a\n1,2,3\n", "the header names the column a twice.")]
    [InlineData("a,b\n1,\"2\n3,4\n", "line 2")]
    public void What_is_no_table_is_said_with_its_line(string text, string message)
    {
        var e = Assert.Throws<TrainingException>(() => Tables.Read(text));
        Assert.Contains(message, e.Message);
    }

    [Fact]
    public void A_file_that_is_not_there_or_not_in_utf8_is_said()
    {
        var missing = Assert.Throws<TrainingException>(() => CsvTable.Read("no/such.csv", CancellationToken.None));
        Assert.Equal("There is no file no/such.csv.", missing.Message);
        Assert.True(missing.IsWrongUse);
        Assert.Contains("is not in UTF-8", Assert.Throws<TrainingException>(() => Tables.Read([.. "a,b\n1,"u8, 0xE4, .. "\n"u8])).Message);
    }

    [Fact]
    public void A_quote_left_open_in_a_large_file_is_found_at_its_line()
    {
        var text = new StringBuilder("a,b\n1,2\n3,\"4\n");
        for (var i = 0; i < 200_000; i++)
            text.Append("5,66666\n");
        Assert.Contains("line 3: the record is longer than", Assert.Throws<TrainingException>(() => Tables.Read(text.ToString())).Message);
    }
}
