using System.Globalization;
using System.Text.Json;
using Tandem.Inference.Models;

namespace Tandem.Inference.Training;

/// <summary>A feature with its values in the training file.</summary>
/// <param name="Name">The column.</param>
/// <param name="Type">What its values are.</param>
/// <param name="Values">The different values: the numbers, 0 and 1, or places in <paramref name="Categories"/>.</param>
/// <param name="Codes">A place in <paramref name="Values"/> per row; −1 where the value is missing.</param>
/// <param name="Categories">Ordinal order; empty unless the type is category.</param>
sealed record FeatureColumn(string Name, FeatureType Type, double[] Values, int[] Codes, string[] Categories)
{
    public bool HasMissing { get; } = Codes.Contains(-1);

    /// <summary>The value in a row; NaN where it is missing.</summary>
    public double At(int row) => Codes[row] < 0 ? double.NaN : Values[Codes[row]];

    /// <summary>The median of what the rows have; 0 when they have nothing.</summary>
    public double Median(ReadOnlySpan<int> rows)
    {
        var values = new List<double>(rows.Length);
        foreach (var row in rows)
            if (Codes[row] >= 0)
                values.Add(Values[Codes[row]]);
        if (values.Count == 0)
            return 0;
        values.Sort();
        var middle = values.Count / 2;
        return values.Count % 2 == 1 ? values[middle] : values[middle - 1] + (values[middle] - values[middle - 1]) / 2;
    }
}

/// <summary>A file understood as features and a target: what type each column has, and what there is to predict.</summary>
sealed class TrainingData
{
    // Below this a held-out share says nothing.
    const int MinRows = 10;

    // Integers with more different values than this are amounts, not classes.
    const int MaxNumericClasses = 20;

    // As columns of their own, more categories than this drown the other features in the draw for a split.
    const int MaxOneHot = 32;

    TrainingData(CsvTable table, ModelTask task, Target target, int[] labels, double[] values, FeatureColumn[] features, string[] notes) =>
        (File, Task, Target, Labels, Values, Features, Notes) = (table.File, task, target, labels, values, features, notes);

    public string File { get; }

    public ModelTask Task { get; }

    public Target Target { get; }

    public int Rows => Labels.Length;

    /// <summary>Classification: the class of each row. Regression: 0.</summary>
    public int[] Labels { get; }

    /// <summary>Regression: the number of each row. Classification: 1.</summary>
    public double[] Values { get; }

    public FeatureColumn[] Features { get; }

    /// <summary>What was left out of the file, in sentences.</summary>
    public string[] Notes { get; }

    /// <param name="table">The file.</param>
    /// <param name="target">The column to predict.</param>
    /// <param name="task">Null: a regression when the target has numbers with decimals, or many different ones.</param>
    /// <param name="ignore">Columns that are no features.</param>
    /// <exception cref="TrainingException">There is nothing to learn in it.</exception>
    public static TrainingData Of(CsvTable table, string target, ModelTask? task = null, IReadOnlyCollection<string>? ignore = null)
    {
        foreach (var column in (string[])[target, .. ignore ?? []])
            if (table.Columns.All(c => c.Name != column))
                throw new TrainingException($"{table.File} has no column {column}. Its columns: {string.Join(", ", table.Columns.Select(c => c.Name))}.") { IsWrongUse = true };
        var notes = new List<string>();
        var wanted = table.Columns.First(c => c.Name == target);
        var rows = Enumerable.Range(0, table.Rows).Where(r => wanted.Codes[r] >= 0).ToArray();
        if (rows.Length < MinRows)
            throw new TrainingException($"{table.File} has {rows.Length} rows with a value in {target}; at least {MinRows} are needed.");
        if (rows.Length < table.Rows)
            notes.Add($"{table.Rows - rows.Length} rows have no value in {target} and are left out.");

        var features = new List<FeatureColumn>();
        foreach (var column in table.Columns.Where(c => c.Name != target && ignore?.Contains(c.Name) != true).Select(c => Only(c, rows)))
            if (column.Values.Length == 0)
                notes.Add($"Column {column.Name} is empty and is left out.");
            else
                features.Add(Understand(table, column, rows.Length));
        if (features.Count == 0)
            throw new TrainingException($"{table.File} has no column besides {target} to predict it from.");

        var numbers = Numbers(Only(wanted, rows));
        return (task ?? Guess(numbers)) == ModelTask.Regression
            ? Regression(table, Only(wanted, rows), numbers, [.. features], [.. notes])
            : Classification(table, Only(wanted, rows), numbers, [.. features], [.. notes]);
    }

    /// <summary>The features as a model describes them, missing numbers filled from <paramref name="rows"/>.</summary>
    public Feature[] Describe(ReadOnlySpan<int> rows)
    {
        var described = new Feature[Features.Length];
        for (var i = 0; i < described.Length; i++)
        {
            var column = Features[i];
            described[i] = column.Type == FeatureType.Category
                ? new Feature(column.Name, column.Type, column.HasMissing,
                    column.Categories.Length <= MaxOneHot ? FeatureEncoding.OneHot : FeatureEncoding.Ordinal, null, column.Categories)
                : new Feature(column.Name, column.Type, column.HasMissing, FeatureEncoding.Value, column.HasMissing ? column.Median(rows) : null);
        }

        return described;
    }

    /// <summary>A row as a client would send it.</summary>
    public JsonElement Record(int row)
    {
        var record = new Dictionary<string, object?>();
        foreach (var feature in Features)
            record[feature.Name] = feature.Codes[row] < 0 ? null : feature.Type switch
            {
                FeatureType.Number => feature.At(row),
                FeatureType.Boolean => feature.At(row) == 1,
                _ => feature.Categories[(int)feature.At(row)],
            };
        return JsonSerializer.SerializeToElement(record);
    }

    static TrainingData Classification(CsvTable table, TextColumn column, double[]? numbers, FeatureColumn[] features, string[] notes)
    {
        // "1" and "1.0" are one class when all labels are numbers, "True" and "true" when all are booleans.
        var (labels, classes) = numbers is not null ? Rank(numbers, numbers.Order())
            : column.Values.All(IsBoolean) ? Rank<bool>([.. column.Values.Select(bool.Parse)], [false, true])
            : Rank(column.Values, column.Values.Order(StringComparer.Ordinal));
        if (classes.Length < 2)
            throw new TrainingException($"{column.Name} is \"{column.Values[0]}\" in every row of {table.File}; there is nothing to tell apart.");
        if (classes.Length > Limits.Classes || classes.Length > column.Codes.Length / 2)
            throw new TrainingException($"{column.Name} has {classes.Length} different values in {column.Codes.Length} rows of {table.File}, too many to be classes: "
                + (numbers is null ? "is it the right column?" : "train it as a number with --task regression."));
        var target = new Target(column.Name, [.. classes.Select(c => JsonSerializer.SerializeToElement(c))]);
        return new TrainingData(table, ModelTask.Classification, target, [.. column.Codes.Select(c => labels[c])], Filled(column.Codes.Length), features, notes);
    }

    static TrainingData Regression(CsvTable table, TextColumn column, double[]? numbers, FeatureColumn[] features, string[] notes)
    {
        if (numbers is null)
            throw new TrainingException($"{column.Name} is no number in every row of {table.File}: {NoNumber(column)}.");
        if (numbers.Any(n => Math.Abs(n) > Forest.MaxValue))
            throw new TrainingException($"{column.Name} has values beyond ±1e300 in {table.File}; use another unit.");
        if (numbers.Distinct().Count() < 2)
            throw new TrainingException($"{column.Name} is {column.Values[0]} in every row of {table.File}; there is nothing to predict.");
        return new TrainingData(table, ModelTask.Regression, new Target(column.Name, []),
            new int[column.Codes.Length], [.. column.Codes.Select(c => numbers[c])], features, notes);
    }

    static (int[] Places, object[] Distinct) Rank<T>(T[] values, IEnumerable<T> ordered) where T : notnull
    {
        var distinct = ordered.Distinct().Intersect(values).ToArray();
        var places = distinct.Index().ToDictionary(d => d.Item, d => d.Index);
        return ([.. values.Select(v => places[v])], [.. distinct.Cast<object>()]);
    }

    static ModelTask Guess(double[]? numbers) =>
        numbers is not null && (numbers.Any(n => !double.IsInteger(n)) || numbers.Distinct().Count() > MaxNumericClasses) ? ModelTask.Regression : ModelTask.Classification;

    static FeatureColumn Understand(CsvTable table, TextColumn column, int rows)
    {
        if (Numbers(column) is { } numbers)
            return new FeatureColumn(column.Name, FeatureType.Number, numbers, column.Codes, []);
        if (column.Values.All(IsBoolean))
            return new FeatureColumn(column.Name, FeatureType.Boolean, [.. column.Values.Select(v => bool.Parse(v) ? 1.0 : 0.0)], column.Codes, []);
        if (column.Values.Length > Limits.Categories || column.Values.Length > MaxOneHot && column.Values.Length > rows / 2)
            throw new TrainingException($"{column.Name} has {column.Values.Length} different texts in {rows} rows of {table.File} and says nothing about a new row: "
                + $"leave it out with --ignore {column.Name}. If it is meant to be a number: {NoNumber(column)}.");
        string[] categories = [.. column.Values.Order(StringComparer.Ordinal)];
        return new FeatureColumn(column.Name, FeatureType.Category, [.. column.Values.Select(v => (double)Array.BinarySearch(categories, v, StringComparer.Ordinal))],
            column.Codes, categories);
    }

    /// <returns>The values as numbers; null when one is none.</returns>
    static double[]? Numbers(TextColumn column) => column.Values.All(IsNumber) ? [.. column.Values.Select(v => double.Parse(v, NumberStyles.Float, CultureInfo.InvariantCulture))] : null;

    static string NoNumber(TextColumn column)
    {
        var first = column.Values.First(v => !IsNumber(v));
        return $"data row {Array.IndexOf(column.Codes, Array.IndexOf(column.Values, first)) + 1} has \"{(first.Length > 40 ? first[..40] + "…" : first)}\"";
    }

    static bool IsNumber(string value) => double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number);

    static bool IsBoolean(string value) => bool.TryParse(value, out _);

    static double[] Filled(int rows)
    {
        var ones = new double[rows];
        Array.Fill(ones, 1);
        return ones;
    }

    /// <summary>The column with only these rows, and with only the values they have.</summary>
    static TextColumn Only(TextColumn column, int[] rows)
    {
        if (rows.Length == column.Codes.Length)
            return column;
        var (values, places, codes) = (new List<string>(), new int[column.Values.Length], new int[rows.Length]);
        Array.Fill(places, -1);
        for (var i = 0; i < rows.Length; i++)
        {
            var code = column.Codes[rows[i]];
            if (code >= 0 && places[code] < 0)
            {
                places[code] = values.Count;
                values.Add(column.Values[code]);
            }

            codes[i] = code < 0 ? -1 : places[code];
        }

        return new TextColumn(column.Name, [.. values], codes);
    }
}
