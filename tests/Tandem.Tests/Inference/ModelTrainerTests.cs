using System.Text.Json;
using Tandem.Inference.Models;
using Tandem.Inference.Training;

namespace Tandem.Tests.Inference;

[Storeless("Numbers that are computed.")]
public sealed class ModelTrainerTests
{
    [Theory]
    [InlineData("iris", "species", 0.9)]
    [InlineData("wine", "cultivar", 0.9)]
    public void The_samples_are_told_apart_on_rows_that_were_held_out(string sample, string target, double accuracy)
    {
        var data = Tables.Data(Path.Combine(Path.GetDirectoryName(Tables.Iris)!, sample + ".csv"), target);
        var metrics = Tables.Train(data, trees: 100).Model.Description.Metrics;
        Assert.InRange(metrics.Accuracy!.Value, accuracy, 1);
        Assert.InRange(metrics.BaselineAccuracy!.Value, 0.2, 0.5);
        Assert.Equal(metrics.HeldOutRows, metrics.Confusion!.Sum(line => line.Sum()));
        Assert.Equal(metrics.Accuracy.Value, (double)Enumerable.Range(0, 3).Sum(c => metrics.Confusion![c][c]) / metrics.HeldOutRows);
    }

    [Fact]
    public void The_held_out_rows_are_a_fifth_of_every_class_and_are_not_learnt_from()
    {
        var data = Tables.Data(Tables.Wine, "cultivar");
        var (learn, test) = HeldOut.Split(data, 7);
        Assert.Equal(Enumerable.Range(0, data.Rows), learn.Concat(test).Order());
        Assert.Equal([10, 12, 14], test.CountBy(r => data.Labels[r]).OrderBy(g => g.Key).Select(g => g.Value));
        Assert.NotEqual(test, HeldOut.Split(data, 8).Test);
    }

    [Fact]
    public void The_same_file_and_seed_give_the_same_model_byte_for_byte()
    {
        var data = TrainingData.Of(Tables.Read(Tables.Birds()), "kind");
        Assert.Equal(Tables.Train(data).File, Tables.Train(data).File);
        Assert.NotEqual(Tables.Train(data).File, Tables.Train(data, seed: 2).File);
    }

    public static TheoryData<string, string> Files => new() { { Tables.Iris, "species" }, { Tables.Wine, "cultivar" }, { Tables.Wine, "alcohol" }, { "birds", "kind" }, { "birds", "weight" } };

    /// <summary>The trees as grown compare ranks; what serves compares numbers read from JSON. They must say the same of every row, to the bit.</summary>
    [Theory]
    [MemberData(nameof(Files))]
    public void What_serves_scores_every_training_row_as_the_grown_trees_do(string file, string target)
    {
        var data = TrainingData.Of(file == "birds" ? Tables.Read(Tables.Birds()) : CsvTable.Read(file, CancellationToken.None), target);
        int[] all = [.. Enumerable.Range(0, data.Rows)];
        var width = Math.Max(1, data.Target.Classes.Length);
        var set = new TrainingSet(Encoder.Encode(data, data.Describe(all)), data.Labels, data.Values, width);
        var (share, leaf) = width > 1 ? ((int)Math.Ceiling(Math.Sqrt(set.Columns.Length)), 1) : ((set.Columns.Length + 2) / 3, 5);
        var trees = ForestGrower.Grow(set, all, new GrowthOptions(30, 3, share, leaf), null, CancellationToken.None);

        var model = Tables.Train(data, 30, 3).Model;
        foreach (var row in all)
        {
            var expected = new double[width];
            foreach (var tree in trees)
                foreach (var (i, value) in tree.VectorOf(set, row).ToArray().Index())
                    expected[i] += value;
            Assert.Equal(expected.Select(e => e / trees.Length), model.Scores(data.Record(row)));
        }
    }

    [Fact]
    public void Probabilities_add_up_and_training_rows_are_met()
    {
        var data = TrainingData.Of(Tables.Read(Tables.Birds()), "kind");
        var model = Tables.Train(data, 50).Model;
        var met = 0;
        for (var row = 0; row < data.Rows; row++)
        {
            var scores = model.Scores(data.Record(row));
            Assert.Equal(1, scores.Sum(), 12);
            met += Model.Best(scores) == data.Labels[row] ? 1 : 0;
        }

        Assert.InRange(met, data.Rows * 0.98, data.Rows);
    }

    [Fact]
    public void A_number_is_predicted_better_than_by_guessing()
    {
        var text = "x,z,y\n" + string.Concat(Enumerable.Range(0, 400).Select(i => FormattableString.Invariant($"{i % 20},{i * 7 % 13},{3 * (i % 20) - i * 7 % 13 + 0.25}\n")));
        var model = Tables.Train(TrainingData.Of(Tables.Read(text), "y"), 50).Model;
        Assert.InRange(model.Description.Metrics.R2!.Value, 0.9, 1);
        Assert.True(model.Description.Metrics.MeanAbsoluteError < model.Description.Metrics.BaselineMeanAbsoluteError / 3);
        Assert.InRange(model.Scores(JsonSerializer.SerializeToElement(new { x = 19, z = 1 }))[0], 45, 57);
    }

    [Fact]
    public void Columns_without_information_and_contradicting_rows_are_survived()
    {
        var text = "same,x,y\n" + string.Concat(Enumerable.Range(0, 60).Select(i => $"5,{i % 2},{(i % 3 == 0 ? "a" : "b")}\n"));
        var scores = Tables.Train(TrainingData.Of(Tables.Read(text), "y"), 100).Model.Scores(JsonSerializer.SerializeToElement(new { same = 5, x = 1 }));
        Assert.InRange(scores[0], 0.25, 0.42);
    }

    [Fact]
    public void Neighbouring_and_huge_numbers_are_split_between()
    {
        double[] values = [-double.MaxValue, 1, Math.BitIncrement(1), Math.BitIncrement(Math.BitIncrement(1)), double.MaxValue];
        var text = "x,y\n" + string.Concat(Enumerable.Range(0, 100).Select(i => FormattableString.Invariant($"{values[i % 5]:R},{(i % 5 % 2 == 0 ? "even" : "odd")}\n")));
        var data = TrainingData.Of(Tables.Read(text), "y");
        var model = Tables.Train(data, 20).Model;
        Assert.All(Enumerable.Range(0, 5), row => Assert.Equal(data.Labels[row], Model.Best(model.Scores(data.Record(row)))));
    }

    [Fact]
    public void Growing_tells_how_far_it_is_and_can_be_stopped()
    {
        var seen = new System.Collections.Concurrent.ConcurrentBag<TrainingProgress>();
        ModelTrainer.Train(Tables.Data(Tables.Iris, "species"), new TrainingOptions(10), seen.Add, CancellationToken.None);
        Assert.Equal(20, seen.Count);
        Assert.Equal(10, seen.Where(p => p.Evaluating).Max(p => p.Done));

        using var stop = new CancellationTokenSource();
        Assert.ThrowsAny<OperationCanceledException>(() => ModelTrainer.Train(Tables.Data(Tables.Iris, "species"), new TrainingOptions(10_000), _ => stop.Cancel(), stop.Token));
    }
}
