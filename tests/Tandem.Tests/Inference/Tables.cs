using System.Text.Json;
using Tandem.Inference.Models;
using Tandem.Inference.Training;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Inference;

/// <summary>CSV files for the tests: the samples that ship, and small ones of their own.</summary>
static class Tables
{
    public static string Iris => Path.Combine(Repository.Root, "samples", "iris.csv");

    public static string Wine => Path.Combine(Repository.Root, "samples", "wine.csv");

    /// <summary>A file that is read at once and deleted again.</summary>
    public static CsvTable Read(string text) => Read(System.Text.Encoding.UTF8.GetBytes(text));

    public static CsvTable Read(byte[] bytes)
    {
        var path = Path.Combine(Path.GetTempPath(), $"tandem-{Guid.NewGuid():n}.csv");
        File.WriteAllBytes(path, bytes);
        try
        {
            return CsvTable.Read(path, CancellationToken.None);
        }
        finally
        {
            File.Delete(path);
        }
    }

    public static TrainingData Data(string file, string target) => TrainingData.Of(CsvTable.Read(file, CancellationToken.None), target);

    public static TrainedModel Train(TrainingData data, int trees = 20, long seed = 1) =>
        ModelTrainer.Train(data, new TrainingOptions(trees, seed), null, CancellationToken.None);

    /// <summary>Birds of three kinds: two numbers, one of them sometimes missing, a category sometimes missing, a yes or no.</summary>
    public static string Birds(int rows = 90)
    {
        var text = new System.Text.StringBuilder("wing,weight,island,ringed,kind\n");
        for (var i = 0; i < rows; i++)
        {
            var kind = i % 3;
            var wing = (100 + 20 * kind + i * 7 % 11).ToString();
            var weight = i % 10 == 4 ? "" : (30 + 5 * kind + i * 5 % 7 * 0.5).ToString(System.Globalization.CultureInfo.InvariantCulture);
            var island = i % 15 == 7 ? "NA" : kind == 2 ? "Skomer" : i % 2 == 0 ? "Lundy" : "Farne, inner";
            text.Append($"{wing},{weight},{(island.Contains(',') ? $"\"{island}\"" : island)},{(i % 4 == 0 ? "true" : "False")},{new[] { "puffin", "razorbill", "guillemot" }[kind]}\n");
        }

        return text.ToString();
    }

    public static IReadOnlyDictionary<string, string[]> Faults(this Model model, string json) =>
        model.Score(System.Text.Encoding.UTF8.GetBytes(json), new double[model.Width]) ?? new Dictionary<string, string[]>();

    public static double[] Scores(this Model model, JsonElement record)
    {
        var scores = new double[model.Width];
        Assert.Null(model.Score(JsonSerializer.SerializeToUtf8Bytes(record), scores));
        return scores;
    }
}
