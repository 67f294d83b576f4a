using Tandem.Inference.Models;

namespace Tandem.Inference.Training;

/// <summary>A column of the encoded table: its different values in order, and for each row which it has. Growing a tree compares ranks only.</summary>
/// <param name="Values">Ascending.</param>
/// <param name="Ranks">A place in <paramref name="Values"/> per row.</param>
sealed record RankedColumn(double[] Values, int[] Ranks);

/// <summary>Turns features into columns, as <see cref="RecordReader"/> turns a record into a row.</summary>
static class Encoder
{
    /// <exception cref="TrainingException">They would be too many.</exception>
    public static RankedColumn[] Encode(TrainingData data, Feature[] features)
    {
        var columns = features.Sum(f => f.Columns);
        if (columns > Limits.Columns || (long)columns * data.Rows > Limits.Cells)
            throw new TrainingException($"The categories of {data.File} make {columns} columns of {data.Rows} rows; that is too large. Leave columns out with --ignore, or take a sample.");
        return [.. features.Zip(data.Features).SelectMany(f => Encode(f.First, f.Second))];
    }

    static IEnumerable<RankedColumn> Encode(Feature feature, FeatureColumn column) => feature.Encoding switch
    {
        FeatureEncoding.OneHot => Enumerable.Range(0, column.Categories.Length)
            .Select(category => new RankedColumn([0, 1], Ranks(column, [.. column.Values.Select(v => v == category ? 1 : 0)], 0))),
        FeatureEncoding.Ordinal => [Ranked(column, -1)],
        _ => [Ranked(column, feature.Fill)],
    };

    static RankedColumn Ranked(FeatureColumn column, double? missing)
    {
        double[] values = [.. column.Values.Concat(missing is { } fill ? [fill] : []).Distinct().Order()];
        return new RankedColumn(values, Ranks(column, [.. column.Values.Select(v => Array.BinarySearch(values, v))],
            missing is { } f ? Array.BinarySearch(values, f) : -1));
    }

    static int[] Ranks(FeatureColumn column, int[] ofCode, int missing)
    {
        var ranks = new int[column.Codes.Length];
        for (var row = 0; row < ranks.Length; row++)
            ranks[row] = column.Codes[row] < 0 ? missing : ofCode[column.Codes[row]];
        return ranks;
    }
}
