using System.Globalization;
using System.Text;
using System.Text.Json;
using Tandem.Core.Http;

namespace Tandem.Inference.Models;

/// <summary>Reads a JSON record of raw features straight into the row that the trees look at, or says everything that is wrong with it.</summary>
sealed class RecordReader
{
    // More would help nobody and let a small hostile body make a large answer.
    const int MaxFaults = 50;
    const int MaxNamed = 20;
    const int MaxEcho = 100;

    readonly Input[] _inputs;
    readonly Utf8Index _byName;

    public RecordReader(IReadOnlyList<Feature> features)
    {
        _inputs = new Input[features.Count];
        var column = 0;
        foreach (var (i, feature) in features.Index())
        {
            _inputs[i] = new Input(feature, column);
            column += feature.Columns;
        }

        _byName = new Utf8Index(features.Select(f => f.Name));
        Columns = column;
    }

    /// <summary>How long a row is.</summary>
    public int Columns { get; }

    /// <param name="json">The record, UTF-8.</param>
    /// <param name="row">Gets <see cref="Columns"/> values.</param>
    /// <returns>Null, or messages by feature name; the key <c>body</c> stands for the record as a whole.</returns>
    public IReadOnlyDictionary<string, string[]>? Read(ReadOnlySpan<byte> json, Span<double> row)
    {
        try
        {
            return ReadRecord(json, row)?.ToDictionary();
        }
        catch (JsonException)
        {
            // Said as for every other body.
            var faults = JsonFaults.Find(json.ToArray(), typeof(JsonElement));
            return faults.Count > 0 ? faults : new Dictionary<string, string[]> { ["body"] = ["is not valid JSON"] };
        }
    }

    Faults? ReadRecord(ReadOnlySpan<byte> json, Span<double> row)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = Json.Options.MaxDepth });
        Faults? faults = null;
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            reader.Skip();
            // What follows the value is looked at too: it may not be JSON at all.
            reader.Read();
            Add(ref faults, "body", "must be a JSON object with a member per feature");
            return faults;
        }

        row.Clear();
        Span<bool> given = _inputs.Length <= 256 ? stackalloc bool[_inputs.Length] : new bool[_inputs.Length];
        var expected = 0;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            // Clients mostly send the features in the model's own order.
            var inOrder = expected < _inputs.Length && reader.ValueTextEquals(_inputs[expected].Utf8Name);
            var i = inOrder ? expected : Find(ref reader);
            if (i < 0)
                AddUnknown(ref faults, Text(ref reader));
            else if (given[i])
                Add(ref faults, _inputs[i].Name, "is given twice");
            reader.Read();
            if (i >= 0 && !given[i])
            {
                given[i] = true;
                expected = i + 1;
                if (_inputs[i].Read(ref reader, row) is { } fault)
                    Add(ref faults, _inputs[i].Name, fault);
            }

            reader.Skip();
        }

        reader.Read();
        for (var i = given.IndexOf(false); i >= 0 && i < given.Length; i++)
            if (!given[i])
                Add(ref faults, _inputs[i].Name, "is required");
        return faults;
    }

    int Find(ref Utf8JsonReader reader) => reader.ValueIsEscaped ? _byName.Find(Encoding.UTF8.GetBytes(Text(ref reader))) : _byName.Find(reader.ValueSpan);

    void AddUnknown(ref Faults? faults, string name) => Add(ref faults, name.Length > MaxEcho ? name[..MaxEcho] + "…" : name,
        $"is no feature of this model; it has {Listed(_inputs.Select(i => i.Name).ToArray(), "features")}");

    static void Add(ref Faults? faults, string field, string message) => (faults ??= new Faults()).Add(field, message);

    /// <summary>A few names in full; of many the first and how many there are.</summary>
    static string Listed(string[] names, string what) => names.Length <= MaxNamed
        ? string.Join(", ", names)
        : string.Create(CultureInfo.InvariantCulture, $"{string.Join(", ", names.Take(MaxNamed))} and more, {names.Length} {what} in all");

    /// <summary>The string; what is no Unicode in it (a lone surrogate, bad UTF-8) becomes U+FFFD instead of an exception.</summary>
    static string Text(ref Utf8JsonReader reader)
    {
        try
        {
            return reader.GetString() ?? "";
        }
        catch (InvalidOperationException)
        {
            return Encoding.UTF8.GetString(reader.ValueSpan);
        }
    }

    /// <summary>One feature: where its columns are and what it takes.</summary>
    sealed class Input(Feature feature, int column)
    {
        readonly string[] _categories = feature.Categories ?? [];
        readonly Utf8Index? _byCategory = feature.Categories is { } categories ? new Utf8Index(categories) : null;

        public string Name => feature.Name;

        public byte[] Utf8Name { get; } = Encoding.UTF8.GetBytes(feature.Name);

        /// <returns>Null, or what is wrong with the value.</returns>
        public string? Read(ref Utf8JsonReader reader, Span<double> row)
        {
            if (reader.TokenType == JsonTokenType.Null)
                return Missing(row);
            return feature.Type switch
            {
                FeatureType.Number => Number(ref reader, row),
                FeatureType.Boolean => Boolean(ref reader, row),
                _ => Category(ref reader, row),
            };
        }

        string? Missing(Span<double> row)
        {
            if (!feature.Nullable)
                return "must not be null: it was never missing in training";
            if (feature.Encoding != FeatureEncoding.OneHot)
                row[column] = feature.Encoding == FeatureEncoding.Ordinal ? -1 : feature.Fill ?? double.NaN;
            return null;
        }

        string? Number(ref Utf8JsonReader reader, Span<double> row)
        {
            if (reader.TokenType != JsonTokenType.Number)
                return "must be a number";
            if (!reader.TryGetDouble(out var value) || !double.IsFinite(value))
                return "must be a number between -1.8e308 and 1.8e308";
            row[column] = value;
            return null;
        }

        string? Boolean(ref Utf8JsonReader reader, Span<double> row)
        {
            if (reader.TokenType is not (JsonTokenType.True or JsonTokenType.False))
                return "must be true or false";
            row[column] = reader.TokenType == JsonTokenType.True ? 1 : 0;
            return null;
        }

        string? Category(ref Utf8JsonReader reader, Span<double> row)
        {
            if (reader.TokenType != JsonTokenType.String)
                return $"must be a string, one of {Listed(_categories, "categories")}";
            var at = reader.ValueIsEscaped ? _byCategory!.Find(Encoding.UTF8.GetBytes(Text(ref reader))) : _byCategory!.Find(reader.ValueSpan); // a category has them
            if (at < 0)
            {
                var text = Text(ref reader);
                return $"must be one of {Listed(_categories, "categories")}, not \"{(text.Length > MaxEcho ? text[..MaxEcho] + "…" : text)}\"";
            }

            if (feature.Encoding == FeatureEncoding.OneHot)
                row[column + at] = 1;
            else
                row[column] = at;
            return null;
        }
    }

    /// <summary>Places of strings in a list, found by their UTF-8 bytes without making a string.</summary>
    sealed class Utf8Index
    {
        readonly Dictionary<byte[], int>.AlternateLookup<ReadOnlySpan<byte>> _places;

        public Utf8Index(IEnumerable<string> texts) => _places = texts.Index()
            .ToDictionary(t => Encoding.UTF8.GetBytes(t.Item), t => t.Index, new Comparer()).GetAlternateLookup<ReadOnlySpan<byte>>();

        /// <returns>The place, or −1.</returns>
        public int Find(ReadOnlySpan<byte> utf8) => _places.TryGetValue(utf8, out var place) ? place : -1;

        sealed class Comparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
        {
            public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

            public int GetHashCode(byte[] obj) => GetHashCode(obj.AsSpan());

            public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

            public int GetHashCode(ReadOnlySpan<byte> alternate)
            {
                var hash = new HashCode();
                hash.AddBytes(alternate);
                return hash.ToHashCode();
            }

            public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
        }
    }

    sealed class Faults
    {
        readonly Dictionary<string, List<string>> _messages = [];
        int _count;

        public void Add(string field, string message)
        {
            if (_count == MaxFaults)
                return;
            if (!_messages.TryGetValue(field, out var messages))
                _messages.Add(field, messages = []);
            if (messages.Contains(message))
                return;
            messages.Add(message);
            _count++;
        }

        public Dictionary<string, string[]> ToDictionary() => _messages.ToDictionary(m => m.Key, m => m.Value.ToArray());
    }
}
