using System.Text.Json;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Tests.Core;

[Storeless("Text that is read.")]
public sealed class JsonTests
{
    public enum Colour { DeepBlue, Red }
    public sealed record Paint(string Name, List<string> Tags, double Litres, Colour Colour);

    [Theory]
    [InlineData("""{"name":"a","tags":["x\u0000"],"litres":1,"colour":"red"}""", "tags[0]")]
    [InlineData("""{"name":"a\u0000","tags":[],"litres":1,"colour":"red"}""", "name")]
    [InlineData("""{"name":"a","tags":[],"litres":1e999,"colour":"red"}""", "litres")]
    [InlineData("""{"name":"a","tags":[],"litres":1,"colour":"green"}""", "colour")]
    [InlineData("""{"\ud800":1}""", "body")]
    public void Faults_of_a_body_are_found_under_their_names(string body, string field) =>
        Assert.Equal(field, Assert.Single(JsonFaults.Find(System.Text.Encoding.UTF8.GetBytes(body), typeof(Paint))).Key);

    [Fact]
    public void A_value_that_was_read_is_looked_at_the_same_way()
    {
        var faults = JsonFaults.FindInvalid(new Paint("a\0", ["ok", "b\0"], double.PositiveInfinity, Colour.Red));
        Assert.Equal(["litres", "name", "tags[1]"], faults.Keys.Order());
    }

    [Fact]
    public void What_is_written_for_strangers_can_be_read_from_the_store()
    {
        var paint = JsonSerializer.Deserialize<Paint>(JsonSerializer.Serialize(new Paint("a", ["b"], 1, Colour.DeepBlue), Json.Options), Json.Stored);
        Assert.Equal(Colour.DeepBlue, paint?.Colour);
    }

    [Fact]
    public void A_prepared_statement_keeps_its_text_and_can_still_be_added_to()
    {
        object?[] values = [1L];
        var prepared = new Sql("select @p0", values);
        Assert.Same(prepared.Text, prepared.Text);
        prepared.Append($", {"two"}");
        Assert.Equal("select @p0, @p1", prepared.Text);
        Assert.Equal([1L, "two"], prepared.Values);
        Assert.Equal([1L], values);
    }

    [Fact]
    public void A_whole_decimal_is_stored_as_an_integer() => Assert.Equal(2L, Rows.ToSqlite(2.0m));
}
