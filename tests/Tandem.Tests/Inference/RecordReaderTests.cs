using Tandem.Inference.Models;
using Tandem.Inference.Training;

namespace Tandem.Tests.Inference;

[Storeless("Text that is read.")]
public sealed class RecordReaderTests
{
    static readonly Model Birds = Tables.Train(TrainingData.Of(Tables.Read(Tables.Birds()), "kind"), 5).Model;

    [Theory]
    [InlineData("""{"wing":120,"weight":36.5,"island":"Skomer","ringed":true}""")]
    [InlineData("""{ "ringed": false, "island": null, "weight": null, "wing": 1.2e2 }""")]
    [InlineData("""{"w\u0069ng":120,"weight":36,"island":"Farne, \u0069nner","ringed":true}""")]
    public void A_good_record_is_taken_in_any_order_and_spelling(string json) => Assert.Empty(Birds.Faults(json));

    [Fact]
    public void Every_fault_of_a_record_is_said_at_once_under_the_name_of_its_feature()
    {
        var faults = Birds.Faults("""{"wing":"long","island":"Mars","ringed":1,"beak":{"a":[1]},"species":null}""");
        Assert.Equal(["must be a number"], faults["wing"]);
        Assert.Equal(["is required"], faults["weight"]);
        Assert.Equal(["must be one of Farne, inner, Lundy, Skomer, not \"Mars\""], faults["island"]);
        Assert.Equal(["must be true or false"], faults["ringed"]);
        Assert.Equal(["is no feature of this model; it has wing, weight, island, ringed"], faults["beak"]);
        Assert.Equal(6, faults.Count);
    }

    [Theory]
    [InlineData("""{"wing":null,"weight":1,"island":"Lundy","ringed":true}""", "wing", "must not be null: it was never missing in training")]
    [InlineData("""{"wing":1,"weight":1,"island":"Lundy","ringed":null}""", "ringed", "must not be null: it was never missing in training")]
    [InlineData("""{"wing":1,"weight":1,"island":"Lundy","ringed":true,"wing":1}""", "wing", "is given twice")]
    [InlineData("""{"wing":1,"weight":1,"island":"Lundy","ringed":true,"w\u0069ng":1}""", "wing", "is given twice")]
    [InlineData("""{"wing":1e400,"weight":1,"island":"Lundy","ringed":true}""", "wing", "must be a number between -1.8e308 and 1.8e308")]
    [InlineData("""{"wing":[1],"weight":1,"island":"Lundy","ringed":true}""", "wing", "must be a number")]
    [InlineData("""{"wing":1,"weight":1,"island":3,"ringed":true}""", "island", "must be a string, one of Farne, inner, Lundy, Skomer")]
    [InlineData("""{"wing":1,"weight":1,"island":"\ud800","ringed":true}""", "island", "must be one of")]
    [InlineData("""{"wing":1,"weight":1,"island":"Lundy","ringed":true,"\ud800":1}""", "\\ud800", "is no feature")]
    [InlineData("""[{"wing":1}]""", "body", "must be a JSON object with a member per feature")]
    [InlineData("null", "body", "must be a JSON object with a member per feature")]
    [InlineData("", "body", "is empty; send a JSON object")]
    [InlineData("{", "body", "is not valid JSON")]
    [InlineData("""{"wing":1}x""", "body", "is not valid JSON (line 1, byte 11)")]
    [InlineData("[1]]", "body", "is not valid JSON")]
    public void A_bad_record_is_refused_with_the_reason(string json, string field, string message)
    {
        var faults = Birds.Faults(json);
        Assert.StartsWith(message, Assert.Single(faults[field]));
    }

    [Fact]
    public void A_hostile_record_gets_a_short_answer()
    {
        var many = Birds.Faults("{" + string.Join(',', Enumerable.Range(0, 10_000).Select(i => $"\"unknown{i}\":0")) + "}");
        Assert.Equal(50, many.Count);
        Assert.InRange(Birds.Faults($$"""{"{{new string('x', 100_000)}}":1}""").Keys.Max(k => k.Length), 1, 101);
        var deep = Birds.Faults("""{"wing":""" + new string('[', 100_000));
        Assert.Contains("nested deeper than 32", deep["body"].Single());
    }

    [Fact]
    public void A_record_of_many_features_is_read()
    {
        var names = string.Join(',', Enumerable.Range(0, 700).Select(i => $"f{i}"));
        var text = names + ",y\n" + string.Concat(Enumerable.Range(0, 20).Select(r => string.Join(',', Enumerable.Range(0, 700).Select(i => r * i % 7)) + (r % 2 == 0 ? ",a\n" : ",b\n")));
        var data = TrainingData.Of(Tables.Read(text), "y");
        var model = Tables.Train(data, 5).Model;
        Assert.Equal(1, model.Scores(data.Record(3)).Sum(), 12);
        Assert.Equal(50, model.Faults("{}").Count);
    }
}
