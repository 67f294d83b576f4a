using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tandem.Inference.Models;

/// <summary>What a model predicts.</summary>
public enum ModelTask
{
    /// <summary>One of a few classes.</summary>
    Classification,
    /// <summary>A number.</summary>
    Regression,
}

/// <summary>What a feature's values are, in the training file and in JSON.</summary>
public enum FeatureType
{
    /// <summary>A JSON number.</summary>
    Number,
    /// <summary>true or false.</summary>
    Boolean,
    /// <summary>A JSON string out of those the training file had.</summary>
    Category,
}

/// <summary>How a feature becomes columns of the row that the trees look at.</summary>
enum FeatureEncoding
{
    /// <summary>One column: the number, 0 or 1 for a boolean; <see cref="Feature.Fill"/> where it is missing.</summary>
    Value,
    /// <summary>A column per category, 1 in that of the value and 0 elsewhere; all 0 where it is missing.</summary>
    OneHot,
    /// <summary>One column: the category's place in the list, from 0; −1 where it is missing.</summary>
    Ordinal,
}

/// <summary>One input of a model.</summary>
/// <param name="Name">As in the header of the training file, and in the record.</param>
/// <param name="Type">What its values are.</param>
/// <param name="Nullable">Whether null is taken: only where the training file lacked values too.</param>
/// <param name="Encoding">How it becomes columns.</param>
/// <param name="Fill">What stands for a missing number: the median of the training file.</param>
/// <param name="Categories">The values of a category, in ordinal order.</param>
sealed record Feature(string Name, FeatureType Type, bool Nullable, FeatureEncoding Encoding, double? Fill = null, string[]? Categories = null)
{
    /// <summary>How many columns it takes.</summary>
    [JsonIgnore]
    public int Columns => Encoding == FeatureEncoding.OneHot ? Categories?.Length ?? 0 : 1;
}

/// <summary>What a model predicts.</summary>
/// <param name="Name">The column of the training file.</param>
/// <param name="Classes">Strings, numbers or booleans, as they are answered; empty for a regression.</param>
sealed record Target(string Name, JsonElement[] Classes);

/// <summary>How a model was made; the same file and the same facts give the same model byte for byte.</summary>
/// <param name="Rows">Rows it has learnt from.</param>
/// <param name="Trees">Trees of the forest.</param>
/// <param name="Seed">Of every random choice.</param>
sealed record TrainingFacts(int Rows, int Trees, long Seed);

/// <summary>A record of the training file with what the model said when it was made. It must say the same, to the bit, before it serves.</summary>
/// <param name="Record">As a client would send it.</param>
/// <param name="Prediction">The class, or the number.</param>
/// <param name="Scores">The probability of every class, or the number.</param>
sealed record GoldenRow(JsonElement Record, JsonElement Prediction, double[] Scores);

/// <summary>Everything about a model but its trees; stored in the model file as JSON.</summary>
sealed record ModelDescription(
    string Kind, ModelTask Task, Target Target, Feature[] Features, TrainingFacts Training, Metrics Metrics, GoldenRow[] Golden)
{
    /// <summary>The only kind there is so far: <see cref="Forest"/>.</summary>
    public const string ForestKind = "forest";

    /// <summary>As the description stands in the file: a member that is missing or null where it must not be is an error.</summary>
    public static JsonSerializerOptions Json { get; } = new(Core.Http.Json.Stored)
    {
        MaxDepth = 16,
        AllowDuplicateProperties = false,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false) },
    };

    /// <summary>Values of a leaf's vector.</summary>
    [JsonIgnore]
    public int Width => Task == ModelTask.Classification ? Target.Classes.Length : 1;

    /// <summary>Columns of a row.</summary>
    [JsonIgnore]
    public int Columns => Features.Sum(f => f.Columns);

    /// <exception cref="UnusableModelException">It contradicts itself.</exception>
    public void Check()
    {
        Must(Kind == ForestKind, $"it is of a kind, \"{Kind}\", that this program does not know");
        // Array elements may be null whatever the type says.
        Must(Features.All(f => f is not null) && Golden.All(g => g is not null), "a feature or a golden row is null");
        Must(Features.Length is > 0 and <= Limits.Features, $"it has {Features.Length} features; 1 to {Limits.Features} are possible");
        Must(Features.DistinctBy(f => f.Name).Count() == Features.Length, "two features have the same name");
        foreach (var feature in Features)
            Check(feature);
        Must(Columns <= Limits.Columns, $"its features make {Columns} columns; at most {Limits.Columns} are possible");
        Must(Task == ModelTask.Regression ? Target.Classes.Length == 0 : Target.Classes.Length is >= 2 and <= Limits.Classes,
            $"it has {Target.Classes.Length} classes; a regression has none, a classification 2 to {Limits.Classes}");
        Must(Target.Classes.All(IsLabel) && Target.Classes.DistinctBy(c => c.ToString()).Count() == Target.Classes.Length,
            "its classes are not distinct strings, numbers or booleans");
        Must(Golden.Length is > 0 and <= Limits.GoldenRows, "it has no golden rows");
        foreach (var (i, row) in Golden.Index())
            Must(row.Scores.Length == Width, $"golden row {i + 1} has {row.Scores.Length} scores instead of {Width}");
    }

    static void Check(Feature feature)
    {
        var named = $"feature \"{feature.Name}\"";
        Must(feature.Type == FeatureType.Category == (feature.Encoding != FeatureEncoding.Value), $"{named} is not encoded as its type wants");
        Must(feature.Fill is null || double.IsFinite(feature.Fill.Value), $"{named} is filled with what is no number");
        if (feature.Type != FeatureType.Category)
            return;
        var categories = feature.Categories ?? [];
        Must(categories.Length is > 0 and <= Limits.Categories && categories.All(c => c is not null) && categories.Distinct().Count() == categories.Length,
            $"{named} has no distinct categories");
    }

    static bool IsLabel(JsonElement label) => label.ValueKind is JsonValueKind.String or JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False;

    static void Must(bool holds, string otherwise)
    {
        if (!holds)
            throw new UnusableModelException(otherwise);
    }
}

/// <summary>What a model may have at most. They bound the memory and the time that a file or a training can ask for.</summary>
static class Limits
{
    /// <summary>Input columns of a file; wider data is a matrix, not a table of named features.</summary>
    public const int Features = 4096;

    /// <summary>Columns after encoding.</summary>
    public const int Columns = 65_536;

    /// <summary>Values of one categorical feature.</summary>
    public const int Categories = 10_000;

    /// <summary>Classes of a target; every leaf may hold a probability for each.</summary>
    public const int Classes = 1000;

    /// <summary>Trees of a forest.</summary>
    public const int Trees = 10_000;

    /// <summary>Cells of the encoded training table: 4 bytes each, 800 MB.</summary>
    public const long Cells = 200_000_000;

    /// <summary>Names of models; all that serve are in memory.</summary>
    public const int Models = 1000;

    /// <summary>Golden rows in a model file.</summary>
    public const int GoldenRows = 100;
}
