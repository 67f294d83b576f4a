using System.Buffers;
using System.Data.Common;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Core.Resources;

/// <summary>A stored item.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Version">1 for a new one; grows with every change.</param>
/// <param name="UpdatedAt">UTC.</param>
/// <param name="Values">As the columns hold them, in the order of <see cref="Shape.Columns"/>.</param>
sealed record Row(long Id, long Version, DateTime UpdatedAt, object?[] Values);

/// <summary>What a resource's type means in JSON and in the database, worked out once.</summary>
sealed class Shape
{
    // id belongs to the answers, row_… to the table; a record that has them itself would say two things under one name.
    static readonly string[] Reserved = ["id", "row_version", "row_created_at", "row_updated_at"];

    readonly JsonTypeInfo _json;
    readonly bool _hasNestedRules;

    public Shape(Type type)
    {
        Type = type;
        _json = Json.Options.GetTypeInfo(type);
        if (_json.Kind != JsonTypeInfoKind.Object)
            throw new ConfigurationException($"{type.Name} cannot be a resource: it is not a record or class with properties.");
        Columns = [.. _json.Properties.Where(p => p.Get is not null).Select(p => new Column(_json, p))];
        _hasNestedRules = Columns.Any(c => c.Kind == ColumnKind.Json && HasRules(c.Type, [type]));
        var names = new HashSet<string>(Reserved, StringComparer.OrdinalIgnoreCase);
        foreach (var column in Columns)
        {
            if (Reserved.Contains(column.Name, StringComparer.OrdinalIgnoreCase))
                throw new ConfigurationException($"{type.Name}.{column.MemberName}: a resource gives every item its {column.Name} itself; take the property out of the record.");
            if (!IsName(column.Name) || !names.Add(column.Name))
                throw new ConfigurationException($"{type.Name}.{column.MemberName}: \"{column.Name}\" cannot be the name of a column: use letters, digits, _ and -, and a name that no other property has.");
        }

        if (!Columns.Any(c => c.IsWritable))
            throw new ConfigurationException($"{type.Name} cannot be a resource: it has no property that can be set.");
    }

    public Type Type { get; }

    public Column[] Columns { get; }

    /// <summary>The type's name as a sentence begins with it: "Order line".</summary>
    public string Noun => field ??= string.Concat(Type.Name.TakeWhile(c => c != '`')
        .Select((c, i) => i > 0 && char.IsAsciiLetterUpper(c) && char.IsAsciiLetterLower(Type.Name[i - 1]) ? " " + char.ToLowerInvariant(c) : c.ToString()));

    public Column? Find(string name) => Array.Find(Columns, c => c.Name == name);

    /// <summary>Reads an item from UTF-8 JSON and checks it.</summary>
    /// <returns>Its values as the columns hold them.</returns>
    /// <exception cref="ProblemException">http/invalid (422), with every fault of the body.</exception>
    public object?[] Read(ReadOnlySpan<byte> utf8)
    {
        // Inside a string of valid JSON the character U+0000 can only be written like this; the exact look is taken when it is there.
        var item = utf8.IndexOf("\\u0000"u8) < 0 ? Parse(utf8) : null;
        if (item is not null && TryStore(item) is { } values)
            return values;

        var faults = JsonFaults.Find(utf8.ToArray(), Type, FurtherFault);
        if (faults.Count == 0 && Parse(utf8) is { } read)
        {
            // A backslash before the u, or a rule that looks at the whole record.
            faults = JsonFaults.FindInvalid(read);
            if (faults.Count == 0 && TryStore(read) is { } harmless)
                return harmless;
        }

        throw new ProblemException(HttpProblems.Invalid, null, faults.Count > 0 ? faults : new Dictionary<string, string[]> { ["body"] = [$"is not a valid {Type.Name}"] });
    }

    object? Parse(ReadOnlySpan<byte> utf8)
    {
        try
        {
            return JsonSerializer.Deserialize(utf8, _json);
        }
        catch (JsonException)
        {
            // It names one fault in words of C#; Read finds them all in the words of the body.
            return null;
        }
    }

    string? FurtherFault(string name, object? value) => Find(name)?.Fault(value);

    /// <returns>Null when a value breaks a rule.</returns>
    object?[]? TryStore(object item)
    {
        var values = new object?[Columns.Length];
        for (var i = 0; i < Columns.Length; i++)
        {
            var column = Columns[i];
            var value = column.Get(item);
            if (column.Fault(value) is not null || column.Rules.Count > 0 && JsonFaults.Broken(value, column.Rules, column.Name, item).Any())
                return null;
            values[i] = column.ToStored(value);
        }

        return _hasNestedRules && JsonFaults.FindInvalid(item).Count > 0 ? null : values;
    }

    static bool HasRules(Type type, HashSet<Type> seen)
    {
        if (!seen.Add(type))
            return false;
        var info = Json.Options.GetTypeInfo(type);
        return info.Kind switch
        {
            JsonTypeInfoKind.Object => info.Properties.Any(p => JsonFaults.Rules(p).Any() || HasRules(p.PropertyType, seen)),
            JsonTypeInfoKind.Enumerable or JsonTypeInfoKind.Dictionary => info.ElementType is { } item && HasRules(item, seen),
            _ => false,
        };
    }

    /// <summary>Writes the record's members into the JSON object in progress.</summary>
    public void WriteMembers(Utf8JsonWriter json, object?[] values)
    {
        for (var i = 0; i < Columns.Length; i++)
            Columns[i].Write(json, values[i]);
    }

    /// <summary>Writes what a client sees: the id, then the record's members.</summary>
    public void Write(Utf8JsonWriter json, long id, object?[] values)
    {
        json.WriteStartObject();
        json.WriteNumber("id"u8, id);
        WriteMembers(json, values);
        json.WriteEndObject();
    }

    /// <summary>Maps <c>select id, row_version, row_updated_at, …</c> and the columns in order.</summary>
    public Row ReadRow(DbDataReader reader)
    {
        var values = new object?[Columns.Length];
        for (var i = 0; i < values.Length; i++)
            values[i] = reader.GetValue(i + 3) is var value and not DBNull ? Columns[i].FromStore(value) : null;
        return new Row(reader.GetInt64(0), reader.GetInt64(1), Rows.ReadTime(reader.GetValue(2)), values);
    }

    static bool IsName(string name) => name is [var first, ..] && (char.IsLetter(first) || first == '_') && name.All(c => char.IsLetter(c) || char.IsDigit(c) || c is '_' or '-');
}
