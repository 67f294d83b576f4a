using System.Text;
using System.Text.Json;
using Sylvan.Data.Csv;

namespace Tandem.Users.Import;

/// <summary>A file of users: CSV with a header, a JSON array, JSON objects one after another, or an object with the array in it; which, is seen by its beginning.</summary>
sealed class SourceFile : IDisposable
{
    // Keycloak's realms have their users behind all else; of others the first record is in here.
    const int BeginningBytes = 64 << 10;

    static readonly string[] Members = ["users", "items", "records"];
    static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    readonly FileStream _file;
    readonly byte[] _beginning;
    // A realm's name stands at the top: then it is Keycloak's, wherever in it the users are.
    bool _isRealm;

    public SourceFile(string path)
    {
        _file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        if (!_file.CanSeek)
            throw new IOException($"{path} can be read only once, and its beginning tells what it is: store it as a file first.");
        var bytes = new byte[BeginningBytes];
        _beginning = bytes[.._file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false)];
        Rewind();
        if (_beginning is [0xEF, 0xBB, 0xBF, .. var rest])
            _beginning = rest;
        IsJson = _beginning.AsSpan().TrimStart(" \t\r\n"u8) is [(byte)'{' or (byte)'[', ..];
    }

    public bool IsJson { get; }

    /// <summary>Whose export it is, by its first whole record; null when that is like no program's.</summary>
    public string? Recognise()
    {
        var isEmpty = true;
        foreach (var record in Read())
            if (record.Fault is null)
                return Sources.Recognise(record.Members, _isRealm, IsJson);
            else
                isEmpty = false;
        return _isRealm ? "keycloak" : !isEmpty ? null : IsJson ? "json" : "csv";
    }

    /// <summary>How much of the file has been read, from 0 to 1.</summary>
    public double Progress => _file.Length == 0 ? 1 : (double)_file.Position / _file.Length;

    /// <summary>The records in their order. The file is read as they are asked for, from the start each time.</summary>
    /// <exception cref="IOException">The file cannot be read further.</exception>
    public IEnumerable<SourceRecord> Read()
    {
        Rewind();
        return IsJson ? ReadJson() : ReadCsv();
    }

    void Rewind() => _file.Position = 0;

    IEnumerable<SourceRecord> ReadJson()
    {
        var (shape, member) = Look();
        var number = 0;
        foreach (var found in new JsonObjects(_file, shape, member).Read())
        {
            number++;
            if (found.Fault is not null)
            {
                yield return new SourceRecord(found.Line, number, default, found.Fault);
                continue;
            }

            JsonDocument? document = null;
            string? fault = null;
            try
            {
                document = JsonDocument.Parse(found.Json, Strict);
            }
            catch (JsonException e)
            {
                fault = e.BytePositionInLine is { } at ? $"is no valid JSON (line {found.Line + (e.LineNumber ?? 0)}, byte {at})" : "names a member twice";
            }

            using (document)
                yield return new SourceRecord(found.Line, number, document?.RootElement ?? default, fault);
        }
    }

    (JsonShape Shape, string Member) Look()
    {
        if (_beginning.AsSpan().TrimStart(" \t\r\n"u8) is [(byte)'[', ..])
            return (JsonShape.Array, "");
        var reader = new Utf8JsonReader(_beginning, isFinalBlock: false, default);
        try
        {
            while (reader.Read())
            {
                if (reader.CurrentDepth == 0 && reader.TokenType == JsonTokenType.EndObject)
                    return (JsonShape.Lines, "");
                if (reader.CurrentDepth != 1 || reader.TokenType != JsonTokenType.PropertyName)
                    continue;
                var name = reader.GetString() ?? "";
                _isRealm |= name == "realm";
                if (Members.Contains(name) && reader.Read() && reader.TokenType == JsonTokenType.StartArray)
                    return (JsonShape.Member, name);
            }
        }
        catch (JsonException)
        {
            // What is broken in it is told with its line, by who reads the records.
            return (JsonShape.Lines, "");
        }

        return _isRealm ? (JsonShape.Member, "users") : (JsonShape.Lines, "");
    }

    IEnumerable<SourceRecord> ReadCsv()
    {
        // A name in another encoding would be stored wrongly for good.
        using var text = new StreamReader(_file, new UTF8Encoding(false, throwOnInvalidBytes: true), detectEncodingFromByteOrderMarks: true, leaveOpen: true);
        using var csv = Fail(() => CsvDataReader.Create(text, new CsvDataReaderOptions { MaxBufferSize = JsonObjects.MaxBytes, CommentHandler = null, Comment = '\0' }), 1);
        var names = Enumerable.Range(0, csv.FieldCount).Select(csv.GetName).ToArray();
        if (names.Length != names.Distinct().Count())
            throw new InvalidDataException("line 1: the header names a column twice");
        var (line, number) = (2, 0);
        while (Fail(csv.Read, line))
        {
            number++;
            var fault = csv.RowFieldCount != names.Length ? $"has {csv.RowFieldCount} fields where the header has {names.Length}" : null;
            using var document = JsonDocument.Parse(Row(csv, names));
            yield return new SourceRecord(line, number, document.RootElement, fault);
            line += 1 + csv.GetRawRecordSpan().TrimEnd("\r\n").Count('\n');
        }
    }

    static byte[] Row(CsvDataReader csv, string[] names)
    {
        var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            for (var i = 0; i < Math.Min(names.Length, csv.RowFieldCount); i++)
                json.WriteString(names[i], csv.GetString(i));
            json.WriteEndObject();
        }

        return bytes.ToArray();
    }

    static T Fail<T>(Func<T> read, int line)
    {
        try
        {
            return read();
        }
        catch (DecoderFallbackException)
        {
            throw new InvalidDataException($"line {line}: the file is not UTF-8 from here on; bring it to that first, with iconv -t UTF-8");
        }
        catch (Exception e) when (e is CsvFormatException or CsvRecordTooLargeException)
        {
            throw new InvalidDataException($"line {line}: the file is no CSV that can be read from here on: {e.Message}");
        }
    }

    public void Dispose() => _file.Dispose();
}

/// <param name="Line">Where it begins, from 1 on.</param>
/// <param name="Number">The how-maniest it is, from 1 on.</param>
/// <param name="Members">An object; of CSV all texts. Valid until the next record is asked for.</param>
/// <param name="Fault">Why it cannot be read; null when it can.</param>
readonly record struct SourceRecord(int Line, int Number, JsonElement Members, string? Fault);
