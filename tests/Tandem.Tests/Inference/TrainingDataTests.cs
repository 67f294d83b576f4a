using Tandem.Inference.Models;
using Tandem.Inference.Training;

namespace Tandem.Tests.Inference;

[Storeless("A file that is read.")]
public sealed class TrainingDataTests
{
    [Fact]
    public void Columns_are_numbers_booleans_or_categories_by_what_is_in_them()
    {
        var data = TrainingData.Of(Tables.Read(Tables.Birds()), "kind");
        Assert.Equal(ModelTask.Classification, data.Task);
        Assert.Equal(["guillemot", "puffin", "razorbill"], data.Target.Classes.Select(c => c.GetString()));
        var features = data.Describe([.. Enumerable.Range(0, data.Rows)]);
        Assert.Equal(
            [("wing", FeatureType.Number, false), ("weight", FeatureType.Number, true), ("island", FeatureType.Category, true), ("ringed", FeatureType.Boolean, false)],
            features.Select(f => (f.Name, f.Type, f.Nullable)));
        Assert.Equal(["Farne, inner", "Lundy", "Skomer"], features[2].Categories ?? []);
        Assert.Equal((FeatureEncoding.OneHot, 3), (features[2].Encoding, features[2].Columns));
        Assert.Equal(36.5, features[1].Fill);
    }

    [Fact]
    public void Many_categories_share_one_column()
    {
        var text = "city,y\n" + string.Concat(Enumerable.Range(0, 200).Select(i => $"city {i % 40:00},{(i % 2 == 0 ? "a" : "b")}\n"));
        var model = Tables.Train(TrainingData.Of(Tables.Read(text), "y")).Model;
        Assert.Equal((FeatureEncoding.Ordinal, 1), (model.Description.Features[0].Encoding, model.Description.Columns));
        Assert.Contains("and more, 40 categories in all", model.Faults("""{"city": "Atlantis"}""")["city"].Single());
        Assert.Empty(model.Faults("""{"city": "city 39"}"""));
    }

    [Theory]
    [InlineData("1,2,3", ModelTask.Classification, "[1,2,3]")]
    [InlineData("1.0,1,2", ModelTask.Classification, "[1,2]")]
    [InlineData("10,9,9", ModelTask.Classification, "[9,10]")]
    [InlineData("TRUE,false,true", ModelTask.Classification, "[false,true]")]
    [InlineData("1.5,1,2", ModelTask.Regression, "[]")]
    public void The_target_says_what_is_predicted_and_how_it_is_answered(string values, ModelTask task, string classes)
    {
        var labels = values.Split(',');
        var text = "x,y\n" + string.Concat(Enumerable.Range(0, 30).Select(i => $"{i},{labels[i % labels.Length]}\n"));
        var data = TrainingData.Of(Tables.Read(text), "y");
        Assert.Equal(task, data.Task);
        Assert.Equal(classes, "[" + string.Join(',', data.Target.Classes.Select(c => c.GetRawText())) + "]");
    }

    [Fact]
    public void What_is_left_out_is_said()
    {
        var text = "id,x,nothing,y\n" + string.Concat(Enumerable.Range(0, 30).Select(i => $"row-{i},{i},,{(i % 10 == 0 ? "" : i % 2 == 0 ? "a" : "b")}\n"));
        var data = TrainingData.Of(Tables.Read(text), "y", ignore: ["id"]);
        Assert.Equal(27, data.Rows);
        Assert.Equal(["x"], data.Features.Select(f => f.Name));
        Assert.Equal(["3 rows have no value in y and are left out.", "Column nothing is empty and is left out."], data.Notes);
    }

    [Fact]
    public void Data_that_teaches_nothing_is_refused_with_the_reason()
    {
        string Refusal(string text, string target, ModelTask? task = null) => Assert.Throws<TrainingException>(() => TrainingData.Of(Tables.Read(text), target, task)).Message;
        string Rows(Func<int, string> row, int count = 80) => string.Concat(Enumerable.Range(0, count).Select(i => row(i) + "\n"));

        Assert.EndsWith("has no column z. Its columns: x, y.", Refusal("x,y\n" + Rows(i => $"{i},a"), "z"));
        Assert.EndsWith("has 0 rows with a value in y; at least 10 are needed.", Refusal("x,y\n", "y"));
        Assert.EndsWith("has 9 rows with a value in y; at least 10 are needed.", Refusal("x,y\n" + Rows(i => $"{i},a", 9), "y"));
        Assert.Contains("y is \"a\" in every row", Refusal("x,y\n" + Rows(i => $"{i},a"), "y"));
        Assert.Contains("y is 1.5 in every row", Refusal("x,y\n" + Rows(i => $"{i},1.5"), "y"));
        Assert.Contains("has no column besides y", Refusal("y\n" + Rows(i => i % 2 == 0 ? "a" : "b"), "y"));
        Assert.Contains("y has 80 different values in 80 rows", Refusal("x,y\n" + Rows(i => $"{i},label {i}"), "y"));
        Assert.Contains("y is no number in every row", Refusal("x,y\n" + Rows(i => $"{i},{(i == 7 ? "seven" : i)}"), "y", ModelTask.Regression));
        Assert.Contains("data row 8 has \"seven\"", Refusal("x,y\n" + Rows(i => $"{i},{(i == 7 ? "seven" : i)}"), "y", ModelTask.Regression));
        var id = Refusal("id,y\n" + Rows(i => $"{i}{(i == 5 ? "x" : "")},{(i % 2 == 0 ? "a" : "b")}"), "y");
        Assert.Contains("leave it out with --ignore id", id);
        Assert.Contains("data row 6 has \"5x\"", id);
    }
}
