using System.Buffers;
using System.Text.Json;
using Tandem.Inference.Models;

namespace Tandem.Inference.Training;

/// <summary>What a training is asked for.</summary>
/// <param name="Trees">Trees of the forest; more cost time and memory and make the probabilities finer. Default 100.</param>
/// <param name="Seed">Of every random choice: the same file and seed give the same model. Default 1.</param>
sealed record TrainingOptions(int Trees = 100, long Seed = 1);

/// <summary>A model as it was trained.</summary>
/// <param name="File">The bytes of the model file.</param>
/// <param name="Model">The same, read back and proven.</param>
sealed record TrainedModel(byte[] File, Model Model);

/// <summary>How far a training is.</summary>
/// <param name="Evaluating">True while the forest grows that only measures the quality.</param>
/// <param name="Done">Trees grown.</param>
/// <param name="Trees">Trees to grow.</param>
readonly record struct TrainingProgress(bool Evaluating, int Done, int Trees);

/// <summary>From a file to a model: a forest grown without the held-out rows says how good it is, then one grown on all rows is what serves.</summary>
static class ModelTrainer
{
    const int GoldenPerClass = 2;
    const int GoldenNumbers = 10;

    /// <param name="data">The file.</param>
    /// <param name="options">How.</param>
    /// <param name="progress">Called after each tree, from several threads.</param>
    /// <param name="ct">Ends the training with nothing.</param>
    /// <exception cref="TrainingException">The encoded table would be too large.</exception>
    public static TrainedModel Train(TrainingData data, TrainingOptions options, Action<TrainingProgress>? progress, CancellationToken ct)
    {
        var (learn, test) = HeldOut.Split(data, options.Seed);
        var (trial, set, _) = Grow(data, learn, options, d => progress?.Invoke(new(true, d, options.Trees)), ct);
        var metrics = HeldOut.Measure(trial, set, data, learn, test);
        var all = Enumerable.Range(0, data.Rows).ToArray();
        var (forest, _, features) = Grow(data, all, options, d => progress?.Invoke(new(false, d, options.Trees)), ct);
        var description = new ModelDescription(ModelDescription.ForestKind, data.Task, data.Target, features,
            new TrainingFacts(data.Rows, options.Trees, options.Seed), metrics, Golden(data, features, forest));
        var file = Write(description, forest);
        // What is stored is what was tried: read back as a server will, golden rows and all.
        return new TrainedModel(file, ModelFile.Read(file));
    }

    static (Forest Forest, TrainingSet Set, Feature[] Features) Grow(TrainingData data, int[] rows, TrainingOptions options, Action<int> grown, CancellationToken ct)
    {
        var features = data.Describe(rows);
        var columns = Encoder.Encode(data, features);
        var set = new TrainingSet(columns, data.Labels, data.Values, data.Task == ModelTask.Classification ? data.Target.Classes.Length : 1);
        // Breiman's defaults: the square root of the columns and pure leaves to tell classes apart, a third and leaves of five to predict a number.
        var growth = data.Task == ModelTask.Classification
            ? new GrowthOptions(options.Trees, options.Seed, (int)Math.Ceiling(Math.Sqrt(columns.Length)), 1)
            : new GrowthOptions(options.Trees, options.Seed, (columns.Length + 2) / 3, 5);
        var trees = ForestGrower.Grow(set, rows, growth, grown, ct);
        return (ForestGrower.Assemble(trees, set), set, features);
    }

    static byte[] Write(ModelDescription description, Forest forest)
    {
        try
        {
            return ModelFile.Write(description, forest);
        }
        catch (UnusableModelException e)
        {
            throw new TrainingException($"The model is too large: {e.Message}.");
        }
    }

    /// <summary>Rows over the whole file, and one with a missing value where there is one: of every class two, of numbers ten.</summary>
    static GoldenRow[] Golden(TrainingData data, Feature[] features, Forest forest)
    {
        var all = Enumerable.Range(0, data.Rows).ToArray();
        var rows = data.Task == ModelTask.Classification
            ? all.GroupBy(r => data.Labels[r]).OrderBy(g => g.Key).SelectMany(g => Spread([.. g], GoldenPerClass))
            : Spread(all, GoldenNumbers);
        var chosen = rows.Take(Limits.GoldenRows - 1).Concat(all.Where(r => data.Features.Any(f => f.Codes[r] < 0)).Take(1)).Distinct();
        var reader = new RecordReader(features);
        return [.. chosen.Select(r => Golden(data.Record(r), data.Target, reader, forest))];
    }

    static GoldenRow Golden(JsonElement record, Target target, RecordReader reader, Forest forest)
    {
        var (row, scores) = (new double[reader.Columns], new double[forest.Width]);
        if (reader.Read(JsonSerializer.SerializeToUtf8Bytes(record), row) is { } faults)
            throw new InvalidOperationException($"A row of the training file is refused by its own model: {string.Join(", ", faults.Keys)}");
        forest.Score(row, scores);
        var prediction = target.Classes.Length > 0 ? target.Classes[Model.Best(scores)] : JsonSerializer.SerializeToElement(scores[0]);
        return new GoldenRow(record, prediction, scores);
    }

    static IEnumerable<int> Spread(int[] rows, int count) =>
        Enumerable.Range(0, Math.Min(count, rows.Length)).Select(i => rows[(int)((long)i * (rows.Length - 1) / Math.Max(1, Math.Min(count, rows.Length) - 1))]);
}
