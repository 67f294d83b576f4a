using System.Buffers;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Tandem.Core.Backup;

/// <summary>
/// A row as one line of JSON that is the same whichever engine holds it: an array of the values in the order of the columns' names, each as SQLite
/// keeps it (see <see cref="Data.Rows.ToSqlite"/>): flags are 0 and 1, times and ids text, whole numbers without a fraction. Bytes are
/// <c>{"b":"base64"}</c>, numbers that JSON does not have <c>{"n":"Infinity"}</c>.
/// </summary>
static class RowText
{
    // Up to here whole doubles are exact as a long; beyond it they are written with an exponent.
    const double WholeLimit = 1e18;

    public static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static void Write(Utf8JsonWriter json, ReadOnlySpan<object?> row)
    {
        json.WriteStartArray();
        foreach (var value in row)
            switch (value)
            {
                case null:
                    json.WriteNullValue();
                    break;
                case string text:
                    json.WriteStringValue(text);
                    break;
                case long number:
                    json.WriteNumberValue(number);
                    break;
                case double number when !double.IsFinite(number):
                    json.WriteStartObject();
                    json.WriteString("n"u8, number.ToString(CultureInfo.InvariantCulture));
                    json.WriteEndObject();
                    break;
                case double number when double.IsInteger(number) && Math.Abs(number) < WholeLimit:
                    json.WriteNumberValue((long)number);
                    break;
                case double number:
                    json.WriteNumberValue(number);
                    break;
                case byte[] bytes:
                    json.WriteStartObject();
                    json.WriteBase64String("b"u8, bytes);
                    json.WriteEndObject();
                    break;
                default:
                    throw new InvalidOperationException($"A row holds a {value.GetType().Name}, which no column is stored as.");
            }

        json.WriteEndArray();
    }

    /// <exception cref="JsonException">It is no row of so many columns.</exception>
    public static object?[] Read(ReadOnlySpan<byte> line, int columns)
    {
        var json = new Utf8JsonReader(line);
        var row = new object?[columns];
        Expect(ref json, JsonTokenType.StartArray);
        for (var i = 0; i < columns; i++)
        {
            if (!json.Read())
                throw new JsonException("A row ends early.");
            row[i] = json.TokenType switch
            {
                JsonTokenType.Null => null,
                JsonTokenType.String => json.GetString(),
                // The cast keeps the long: of long and double the conditional would make a double.
                JsonTokenType.Number => json.TryGetInt64(out var whole) ? (object)whole : json.GetDouble(),
                JsonTokenType.StartObject => ReadObject(ref json),
                _ => throw new JsonException("A row holds what is no value."),
            };
        }

        Expect(ref json, JsonTokenType.EndArray);
        return row;
    }

    static object ReadObject(ref Utf8JsonReader json)
    {
        Expect(ref json, JsonTokenType.PropertyName);
        var isBytes = json.ValueTextEquals("b"u8);
        Expect(ref json, JsonTokenType.String);
        object value = isBytes ? json.GetBytesFromBase64() : double.Parse(json.GetString()!, CultureInfo.InvariantCulture); // a string
        Expect(ref json, JsonTokenType.EndObject);
        return value;
    }

    static void Expect(ref Utf8JsonReader json, JsonTokenType token)
    {
        if (!json.Read() || json.TokenType != token)
            throw new JsonException("A row is not written as rows are.");
    }
}

/// <summary>Writes rows one after the other into a buffer that is used again.</summary>
sealed class RowWriter : IDisposable
{
    readonly ArrayBufferWriter<byte> _buffer = new(1024);
    readonly Utf8JsonWriter _json;

    public RowWriter() => _json = new Utf8JsonWriter(_buffer, RowText.Options);

    /// <returns>The line without its end; valid until the next call.</returns>
    public ReadOnlySpan<byte> Write(ReadOnlySpan<object?> row)
    {
        _buffer.ResetWrittenCount();
        _json.Reset();
        RowText.Write(_json, row);
        _json.Flush();
        return _buffer.WrittenSpan;
    }

    public void Dispose() => _json.Dispose();
}
