using System.Text.Json.Serialization;

namespace Tandem.Inference.Models;

/// <summary>How good a model is on rows it had not seen: a share of the file was held out, a forest grown on the rest, and asked about it.</summary>
/// <param name="HeldOutRows">Rows that were held out.</param>
public sealed record Metrics(int HeldOutRows)
{
    /// <summary>Classification: the share of held-out rows whose class was met.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Accuracy { get; init; }

    /// <summary>Classification: the accuracy of always naming the most frequent class.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? BaselineAccuracy { get; init; }

    /// <summary>Classification: each class in the order of the rows and columns of <see cref="Confusion"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ClassMetrics[]? Classes { get; init; }

    /// <summary>Classification: rows of class i that were taken for class j.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int[][]? Confusion { get; init; }

    /// <summary>Regression: R², the share of the variance that is explained; 0 is no better than naming the mean.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? R2 { get; init; }

    /// <summary>Regression: the mean absolute error, in units of the target.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? MeanAbsoluteError { get; init; }

    /// <summary>Regression: the mean absolute error of always naming the median.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? BaselineMeanAbsoluteError { get; init; }
}

/// <summary>How well one class is met.</summary>
/// <param name="Label">The class.</param>
/// <param name="Rows">Held-out rows of this class.</param>
/// <param name="Precision">Of the rows said to be of this class, the share that is; null when there was none.</param>
/// <param name="Recall">Of the rows of this class, the share that was said to be; null when there was none.</param>
public sealed record ClassMetrics(string Label, int Rows, double? Precision, double? Recall);
