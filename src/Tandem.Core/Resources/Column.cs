using System.Collections.Frozen;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Core.Resources;

/// <summary>How values of a property are kept in its column.</summary>
enum ColumnKind
{
    Text, Boolean, Integer, Real, Decimal, Time, Date, Uuid, Choice,

    /// <summary>Nested records, lists and all other types: JSON text, which is neither filtered nor sorted by.</summary>
    Json,
}

/// <summary>One property of a resource: its column, and its values in the database, in JSON and in a query.</summary>
sealed class Column
{
    /// <summary>What a double carries exactly (IEEE 754): a decimal of more digits would come back as another number.</summary>
    public const int MaxDecimalDigits = 15;

    const decimal DecimalLimit = 1e15m;
    const long WholeLimit = 1_000_000_000_000_000;

    readonly JsonTypeInfo _owner;
    readonly JsonPropertyInfo _property;
    readonly JsonTypeInfo _type;
    readonly JsonEncodedText _encoded;
    readonly Func<object, object?> _get;
    readonly FrozenDictionary<object, string>? _choices;

    public Column(JsonTypeInfo owner, JsonPropertyInfo property)
    {
        _owner = owner;
        _property = property;
        _get = property.Get ?? throw new ArgumentException($"{property.Name} cannot be read.", nameof(property));
        Type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        _type = property.Options.GetTypeInfo(Type);
        _encoded = JsonEncodedText.Encode(property.Name);
        Rules = [.. JsonFaults.Rules(property)];
        Kind = property.CustomConverter is null ? KindOf(Type) : ColumnKind.Json;
        if (Kind == ColumnKind.Choice)
        {
            var names = Enum.GetValues(Type).Cast<object>().Distinct().ToDictionary(v => v, v => JsonSerializer.SerializeToElement(v, _type));
            if (names.Values.All(n => n.ValueKind == JsonValueKind.String))
                _choices = names.ToFrozenDictionary(n => n.Key, n => n.Value.GetString() ?? "");
            else
                Kind = ColumnKind.Json;
        }
    }

    /// <summary>The name in JSON and of the column.</summary>
    public string Name => _property.Name;

    /// <summary>The name in the record.</summary>
    public string MemberName => (_property.AttributeProvider as System.Reflection.MemberInfo)?.Name ?? Name;

    public ColumnKind Kind { get; }

    /// <summary>The property's type; of a nullable value type the type inside.</summary>
    public Type Type { get; }

    public IReadOnlyList<ValidationAttribute> Rules { get; }

    /// <summary>False for a computed property: its value is stored, so that it can be filtered by, but not taken from a body.</summary>
    public bool IsWritable => _property.Set is not null || _property.AssociatedParameter is not null;

    public bool IsNullable => Nullable.GetUnderlyingType(_property.PropertyType) is not null
        || !_property.PropertyType.IsValueType && (_property.AssociatedParameter?.IsNullable ?? _property.IsGetNullable);

    /// <summary>The stored form of the value that the property has where a body leaves it out.</summary>
    /// <returns>False when a body must name it, or when what it would be cannot be known beforehand.</returns>
    public bool TryDefault(out object? stored)
    {
        stored = null;
        if (_property.AssociatedParameter is { } parameter)
        {
            if (!parameter.HasDefaultValue)
                return false;
            stored = ToStored(parameter.DefaultValue);
            return true;
        }

        if (_property.IsRequired || _owner.CreateObject is not { } create)
            return false;
        stored = ToStored(_get(create()));
        return stored is not null || IsNullable;
    }

    /// <summary>In SQL. Quoted: a property may be called Order.</summary>
    public string Quoted => $"\"{Name}\"";

    /// <summary>What its values are between here and the database.</summary>
    public Type StoredType => Kind switch
    {
        ColumnKind.Boolean => typeof(bool),
        ColumnKind.Integer => typeof(long),
        ColumnKind.Real => typeof(double),
        ColumnKind.Decimal => typeof(decimal),
        ColumnKind.Time => typeof(DateTime),
        ColumnKind.Date => typeof(DateOnly),
        ColumnKind.Uuid => typeof(Guid),
        _ => typeof(string),
    };

    static ColumnKind KindOf(Type type) => type.IsEnum ? ColumnKind.Choice : Type.GetTypeCode(type) switch
    {
        TypeCode.String => ColumnKind.Text,
        TypeCode.Boolean => ColumnKind.Boolean,
        TypeCode.SByte or TypeCode.Byte or TypeCode.Int16 or TypeCode.UInt16 or TypeCode.Int32 or TypeCode.UInt32 or TypeCode.Int64 => ColumnKind.Integer,
        TypeCode.Single or TypeCode.Double => ColumnKind.Real,
        TypeCode.Decimal => ColumnKind.Decimal,
        TypeCode.DateTime => ColumnKind.Time,
        _ when type == typeof(DateTimeOffset) => ColumnKind.Time,
        _ when type == typeof(DateOnly) => ColumnKind.Date,
        _ when type == typeof(Guid) => ColumnKind.Uuid,
        _ => ColumnKind.Json,
    };

    /// <summary>The value of this property of <paramref name="item"/>.</summary>
    public object? Get(object item) => _get(item);

    /// <summary>Why a value that has the right type cannot be stored as it is; null when it can.</summary>
    public string? Fault(object? value) => value switch
    {
        decimal number when !Fits(number) => $"must have at most {MaxDecimalDigits} significant digits",
        double number when !double.IsFinite(number) => "must be a number that a double can hold",
        float number when !float.IsFinite(number) => "must be a number that a double can hold",
        _ => null,
    };

    static bool Fits(decimal number)
    {
        for (var digits = Coefficient(number); digits >= DecimalLimit; digits /= 10)
            if (digits % 10 != 0)
                return false;
        return true;
    }

    /// <summary>The digits without sign and decimal point: 1500 for -1.500.</summary>
    static decimal Coefficient(decimal number)
    {
        Span<int> bits = stackalloc int[4];
        decimal.GetBits(number, bits);
        return new decimal(bits[0], bits[1], bits[2], false, 0);
    }

    // Dividing by one with 28 zeros takes trailing zeros off, which SQLite does not keep: 1.50 is answered like it is found later. What is left
    // is exact as a double, so that 1.5 and 1.5000000000000000000 become the same number.
    static decimal Shortest(decimal number) => number.Scale > 0 || Coefficient(number) >= DecimalLimit ? number / 1.0000000000000000000000000000m : number;

    /// <summary>A value as it goes to the database: of <see cref="StoredType"/>, or null.</summary>
    public object? ToStored(object? value) => value switch
    {
        null => null,
        string text when Kind == ColumnKind.Text => text,
        _ => Kind switch
        {
            ColumnKind.Boolean or ColumnKind.Date or ColumnKind.Uuid => value,
            ColumnKind.Integer => Convert.ToInt64(value, CultureInfo.InvariantCulture),
            // Adding zero makes 0 of -0, which SQLite does not keep.
            ColumnKind.Real => Convert.ToDouble(value, CultureInfo.InvariantCulture) + 0.0,
            ColumnKind.Decimal => Shortest((decimal)value),
            ColumnKind.Time => Utc(value),
            // Not among the choices: a combination of flags.
            ColumnKind.Choice => _choices!.TryGetValue(value, out var name) ? name : JsonSerializer.SerializeToElement(value, _type).GetString(), // made with the kind
            _ => JsonSerializer.Serialize(value, _type),
        },
    };

    /// <summary>A value as the database gives it, brought back to <see cref="StoredType"/>: SQLite knows numbers and text only.</summary>
    public object FromStore(object value) => (Kind, value) switch
    {
        (ColumnKind.Boolean, long number) => number != 0,
        (ColumnKind.Real, long number) => (double)number,
        // SQLite keeps a large whole number as the integer its double stands for; the 15 digits that came in are in the double.
        (ColumnKind.Decimal, long number) => number is >= WholeLimit or <= -WholeLimit ? (decimal)(double)number : number,
        // The conversion rounds to 15 digits, which are those that came in.
        (ColumnKind.Decimal, double number) => (decimal)number,
        (ColumnKind.Time, _) => Rows.ReadTime(value),
        (ColumnKind.Date, string text) => DateOnly.ParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture),
        (ColumnKind.Date, DateTime day) => DateOnly.FromDateTime(day),
        (ColumnKind.Uuid, string text) => Guid.Parse(text),
        _ => value,
    };

    // Cut to the microseconds that both engines keep.
    static DateTime Utc(object value)
    {
        var time = value switch
        {
            DateTimeOffset instant => instant.UtcDateTime,
            DateTime { Kind: DateTimeKind.Local } local => local.ToUniversalTime(),
            _ => DateTime.SpecifyKind((DateTime)value, DateTimeKind.Utc),
        };
        return new DateTime(time.Ticks - time.Ticks % TimeSpan.TicksPerMicrosecond, DateTimeKind.Utc);
    }

    /// <summary>Writes a stored value as a member of the JSON object in progress.</summary>
    public void Write(Utf8JsonWriter json, object? stored)
    {
        switch (stored)
        {
            case null:
                json.WriteNull(_encoded);
                break;
            case string text when Kind == ColumnKind.Json:
                json.WritePropertyName(_encoded);
                json.WriteRawValue(text, skipInputValidation: true);
                break;
            case string text:
                json.WriteString(_encoded, text);
                break;
            case bool flag:
                json.WriteBoolean(_encoded, flag);
                break;
            case long number:
                json.WriteNumber(_encoded, number);
                break;
            case double number when Type == typeof(float):
                json.WriteNumber(_encoded, (float)number);
                break;
            case double number:
                json.WriteNumber(_encoded, number);
                break;
            case decimal number:
                json.WriteNumber(_encoded, number);
                break;
            case DateTime time:
                json.WriteString(_encoded, time);
                break;
            case DateOnly day:
                json.WriteString(_encoded, day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture));
                break;
            case Guid id:
                json.WriteString(_encoded, id);
                break;
            default:
                throw new InvalidOperationException($"Column {Name} holds a {stored.GetType().Name}, which no property is stored as.");
        }
    }

    /// <summary>Reads a value out of a query string.</summary>
    /// <returns>Null, or what is wrong with it.</returns>
    public string? Parse(string text, out object? stored)
    {
        stored = null;
        if (text.Contains('\0'))
            return "must not contain the character U+0000";
        object? value = Kind switch
        {
            ColumnKind.Text => text,
            ColumnKind.Boolean => text switch { "true" => true, "false" => false, _ => null },
            ColumnKind.Integer => long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : null,
            ColumnKind.Real => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) ? number : null,
            ColumnKind.Decimal => decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : null,
            ColumnKind.Time => DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time) ? time : null,
            ColumnKind.Date => DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var date) ? date : null,
            ColumnKind.Uuid => Guid.TryParseExact(text, "D", out var id) ? id : null,
            ColumnKind.Choice => _choices!.Values.Contains(text) ? text : null, // made with the kind
            _ => throw new InvalidOperationException($"{Name} is kept as JSON and not filtered by."),
        };
        if (value is null)
            return $"must be {(Kind == ColumnKind.Choice ? "one of " + string.Join(", ", _choices!.Values) : JsonFaults.Described(Type))}, not \"{text}\""; // made with the kind
        stored = Kind == ColumnKind.Choice ? value : ToStored(value);
        return Fault(value);
    }

    /// <summary>The choices of an enumeration by their names in JSON.</summary>
    public IEnumerable<string> Choices => _choices?.Values.AsEnumerable() ?? [];
}
