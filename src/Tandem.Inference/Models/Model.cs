using System.Buffers;
using System.Globalization;
using System.Text.Json;

namespace Tandem.Inference.Models;

/// <summary>A model ready to answer: record in, prediction out. Immutable, safe under concurrency.</summary>
sealed class Model
{
    // A row of this many doubles is 4 KB of stack.
    const int SmallRow = 512;

    readonly RecordReader _reader;
    readonly JsonEncodedText[] _names;
    readonly byte[][] _labels;

    /// <exception cref="UnusableModelException">The parts do not fit together, or a golden row is not met.</exception>
    public Model(ModelDescription description, Forest forest)
    {
        description.Check();
        if (forest.Columns != description.Columns || forest.Width != description.Width)
            throw new UnusableModelException("its trees are made for other features or classes than it describes");
        (Description, Forest) = (description, forest);
        _reader = new RecordReader(description.Features);
        _names = [.. description.Target.Classes.Select(c => JsonEncodedText.Encode(c.ToString()))];
        _labels = [.. description.Target.Classes.Select(c => JsonSerializer.SerializeToUtf8Bytes(c))];
        Prove();
    }

    public ModelDescription Description { get; }

    public Forest Forest { get; }

    /// <summary>Scores per prediction: the classes, or 1 for a number.</summary>
    public int Width => Forest.Width;

    /// <summary>The classes as member names, in the order of the scores; none for a regression.</summary>
    public ReadOnlySpan<JsonEncodedText> ClassNames => _names;

    /// <summary>Reads a JSON record of raw features and scores it.</summary>
    /// <param name="record">UTF-8.</param>
    /// <param name="scores">Gets <see cref="Width"/> values: the probability of each class, or the number.</param>
    /// <returns>Null, or what is wrong with the record, by feature name.</returns>
    public IReadOnlyDictionary<string, string[]>? Score(ReadOnlySpan<byte> record, Span<double> scores)
    {
        if (_reader.Columns <= SmallRow)
        {
            Span<double> row = stackalloc double[_reader.Columns];
            return Score(record, row, scores);
        }

        var rented = ArrayPool<double>.Shared.Rent(_reader.Columns);
        try
        {
            return Score(record, rented.AsSpan(0, _reader.Columns), scores);
        }
        finally
        {
            ArrayPool<double>.Shared.Return(rented);
        }
    }

    IReadOnlyDictionary<string, string[]>? Score(ReadOnlySpan<byte> record, Span<double> row, Span<double> scores)
    {
        if (_reader.Read(record, row) is { } faults)
            return faults;
        Forest.Score(row, scores);
        return null;
    }

    /// <summary>The most probable class; of equally probable ones the first.</summary>
    public static int Best(ReadOnlySpan<double> scores)
    {
        var best = 0;
        for (var i = 1; i < scores.Length; i++)
            if (scores[i] > scores[best])
                best = i;
        return best;
    }

    /// <summary>Writes the prediction: the class as it stood in the training file, or the number.</summary>
    public void WriteLabel(Utf8JsonWriter json, ReadOnlySpan<double> scores)
    {
        if (_labels.Length > 0)
            json.WriteRawValue(_labels[Best(scores)], skipInputValidation: true);
        else
            json.WriteNumberValue(scores[0]);
    }

    /// <summary>Every golden row must come out as it did when the model was made: same class, same scores to the bit.</summary>
    void Prove()
    {
        var scores = new double[Width];
        var label = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(label);
        foreach (var (i, golden) in Description.Golden.Index())
        {
            var row = $"golden row {i + 1} of {Description.Golden.Length}";
            if (Score(JsonSerializer.SerializeToUtf8Bytes(golden.Record), scores) is { } faults)
                throw new UnusableModelException($"{row} is refused: {string.Join(", ", faults.Select(f => $"{f.Key} {f.Value[0]}"))}");
            if (!scores.AsSpan().SequenceEqual(golden.Scores))
                throw new UnusableModelException($"{row} scores {Listed(scores)} instead of {Listed(golden.Scores)}");
            label.ResetWrittenCount();
            json.Reset();
            WriteLabel(json, scores);
            json.Flush();
            var expected = JsonSerializer.SerializeToUtf8Bytes(golden.Prediction);
            if (!label.WrittenSpan.SequenceEqual(expected))
                throw new UnusableModelException($"{row} is predicted as {Text(label.WrittenSpan)} instead of {Text(expected)}");
        }
    }

    static string Listed(double[] scores) => string.Join(", ", scores.Select(s => s.ToString("R", CultureInfo.InvariantCulture)));

    static string Text(ReadOnlySpan<byte> utf8) => System.Text.Encoding.UTF8.GetString(utf8);
}
