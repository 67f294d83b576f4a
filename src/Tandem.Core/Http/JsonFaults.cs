using System.Collections;
using System.ComponentModel.DataAnnotations;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Tandem.Core.Http;

/// <summary>
/// Finds every fault of a JSON body at once, by JSON name: what is missing, null or of the wrong type, and what breaks the annotations
/// of the record it is meant for.
/// </summary>
public static class JsonFaults
{
    /// <summary>The fault of a body whose strings or names cannot be read.</summary>
    internal const string BrokenText = "has text that is not valid UTF-8 or half of a surrogate pair";

    // More would help nobody and let a small hostile body make a large answer.
    const int MaxFaults = 50;

    static readonly ConditionalWeakTable<JsonPropertyInfo, ValidationAttribute[]> KnownRules = [];

    /// <summary>Checks UTF-8 JSON against a type.</summary>
    /// <returns>Empty when there is no fault. The key <c>body</c> stands for the body as a whole.</returns>
    public static IReadOnlyDictionary<string, string[]> Find(ReadOnlyMemory<byte> utf8, Type type) => Find(utf8, type, null);

    /// <param name="further">Called with the JSON name and the value of every member of the body that is right so far; says what is wrong with it, or null.</param>
    internal static IReadOnlyDictionary<string, string[]> Find(ReadOnlyMemory<byte> utf8, Type type, Func<string, object?, string?>? further)
    {
        var faults = new Faults(further);
        if (utf8.Span.IndexOfAnyExcept(" \t\r\n"u8) < 0)
        {
            faults.Add("body", "is empty; send a JSON object");
            return faults.ToDictionary();
        }

        try
        {
            using var document = JsonDocument.Parse(utf8, new JsonDocumentOptions { MaxDepth = Json.Options.MaxDepth, AllowDuplicateProperties = false });
            Walk(document.RootElement, Json.Options.GetTypeInfo(type), "", faults);
        }
        catch (JsonException e)
        {
            faults.Add("body", Describe(e));
        }
        // The parser lets a broken member name through until something asks for it.
        catch (InvalidOperationException)
        {
            faults.Add("body", BrokenText);
        }

        return faults.ToDictionary();
    }

    /// <summary>Checks an object that has been read against its annotations alone.</summary>
    public static IReadOnlyDictionary<string, string[]> FindInvalid(object value)
    {
        ArgumentNullException.ThrowIfNull(value);
        var faults = new Faults(null);
        Annotations(value, Json.Options.GetTypeInfo(value.GetType()), "", faults);
        return faults.ToDictionary();
    }

    /// <summary>Checks one value against a parameter's or property's annotations.</summary>
    internal static IEnumerable<string> Broken(object? value, IEnumerable<ValidationAttribute> rules, string name, object owner)
    {
        foreach (var rule in rules)
            if (rule.GetValidationResult(value, new ValidationContext(owner, null, null) { DisplayName = name, MemberName = name }) is { } broken)
                yield return Describe(rule, value, broken);
    }

    /// <summary>What is wrong with text that is not JSON as we read it.</summary>
    internal static string Describe(JsonException e) => e.Message.Contains("duplicate", StringComparison.OrdinalIgnoreCase)
        ? "names a member twice"
        : e.Message.Contains("maximum configured depth", StringComparison.OrdinalIgnoreCase)
            ? $"is nested deeper than {Json.Options.MaxDepth} levels"
            : $"is not valid JSON (line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1})";

    static void Walk(JsonElement element, JsonTypeInfo type, string path, Faults faults)
    {
        if (faults.Full)
            return;
        if (type.Kind == JsonTypeInfoKind.Object)
        {
            if (element.ValueKind != JsonValueKind.Object)
                faults.Add(path, "must be a JSON object");
            else
                foreach (var property in type.Properties)
                    Member(element, property, path, faults);
            return;
        }

        if (type.Kind == JsonTypeInfoKind.Enumerable && type.ElementType is { } item && element.ValueKind == JsonValueKind.Array)
        {
            var items = type.Options.GetTypeInfo(item);
            foreach (var (i, child) in element.EnumerateArray().Index())
                Walk(child, items, $"{path}[{i}]", faults);
            return;
        }

        try
        {
            var read = element.Deserialize(type);
            if (IsInfinite(read))
                faults.Add(path, "must be a number that a double can hold");
            else if (HoldsNul(element))
                faults.Add(path, "must not contain the character U+0000");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            faults.Add(path, $"must be {Described(type.Type)}");
        }
    }

    // 1e999 is read as infinity, which JSON has no word for on the way out.
    static bool IsInfinite(object? value) => value is double d && !double.IsFinite(d) || value is float f && !float.IsFinite(f);

    static bool HoldsNul(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.String => element.GetString()!.Contains('\0'), // a string is never null
        JsonValueKind.Array => element.EnumerateArray().Any(HoldsNul),
        JsonValueKind.Object => element.EnumerateObject().Any(m => m.Name.Contains('\0') || HoldsNul(m.Value)),
        _ => false,
    };

    static void Member(JsonElement parent, JsonPropertyInfo property, string path, Faults faults)
    {
        var parameter = property.AssociatedParameter;
        if (property.Set is null && parameter is null)
            return;
        var name = path.Length == 0 ? property.Name : $"{path}.{property.Name}";
        if (!parent.TryGetProperty(property.Name, out var value))
        {
            if (property.IsRequired || parameter is { HasDefaultValue: false })
                faults.Add(name, "is required");
            return;
        }

        if (value.ValueKind == JsonValueKind.Null)
        {
            if (!(parameter?.IsNullable ?? property.IsSetNullable))
                faults.Add(name, "must not be null");
            return;
        }

        var before = faults.Count;
        var type = property.Options.GetTypeInfo(property.PropertyType);
        Walk(value, type, name, faults);
        if (faults.Count > before)
            return;
        var read = value.Deserialize(type);
        if (path.Length == 0 && faults.Further?.Invoke(property.Name, read) is { } further)
            faults.Add(name, further);
        foreach (var message in Broken(read, Rules(property), property.Name, new object()))
            faults.Add(name, message);
    }

    static void Annotations(object owner, JsonTypeInfo type, string path, Faults faults)
    {
        if (type.Kind == JsonTypeInfoKind.Enumerable && owner is IEnumerable items)
        {
            foreach (var (i, item) in items.Cast<object?>().Index())
                if (item is string text && text.Contains('\0'))
                    faults.Add($"{path}[{i}]", "must not contain the character U+0000");
                else if (item is not null and not string)
                    Annotations(item, type.Options.GetTypeInfo(item.GetType()), $"{path}[{i}]", faults);
            return;
        }

        if (type.Kind != JsonTypeInfoKind.Object)
            return;
        foreach (var property in type.Properties)
        {
            if (property.Get is null || faults.Full)
                continue;
            var value = property.Get(owner);
            var name = path.Length == 0 ? property.Name : $"{path}.{property.Name}";
            if (value is string text && text.Contains('\0'))
                faults.Add(name, "must not contain the character U+0000");
            if (IsInfinite(value))
                faults.Add(name, "must be a number that a double can hold");
            foreach (var message in Broken(value, Rules(property), property.Name, owner))
                faults.Add(name, message);
            if (value is not null and not string && !value.GetType().IsPrimitive)
                Annotations(value, property.Options.GetTypeInfo(value.GetType()), name, faults);
        }
    }

    /// <summary>The annotations of a property and of the constructor parameter behind it; looked for once, which takes longer than all the checks.</summary>
    internal static ValidationAttribute[] Rules(JsonPropertyInfo property) => KnownRules.GetValue(property, static property =>
    {
        var own = property.AttributeProvider?.GetCustomAttributes(typeof(ValidationAttribute), true).Cast<ValidationAttribute>() ?? [];
        var parameter = property.AssociatedParameter?.AttributeProvider?.GetCustomAttributes(typeof(ValidationAttribute), true).Cast<ValidationAttribute>() ?? [];
        return [.. own, .. parameter];
    });

    static string Describe(ValidationAttribute rule, object? value, ValidationResult broken) => rule switch
    {
        { ErrorMessage: not null } or { ErrorMessageResourceName: not null } => (broken.ErrorMessage ?? "is not valid").TrimEnd('.'),
        RequiredAttribute => value is null ? "is required" : "must not be empty or blank",
        MinLengthAttribute r => $"must have at least {r.Length} {Units(value)}",
        MaxLengthAttribute r => $"must have at most {r.Length} {Units(value)}",
        StringLengthAttribute { MinimumLength: > 0 } r => $"must have {r.MinimumLength} to {r.MaximumLength} characters",
        StringLengthAttribute r => $"must have at most {r.MaximumLength} characters",
        LengthAttribute r => $"must have {r.MinimumLength} to {r.MaximumLength} {Units(value)}",
        RangeAttribute r => $"must be between {r.Minimum} and {r.Maximum}",
        EmailAddressAttribute => "must be an e-mail address",
        UrlAttribute => "must be an http, https or ftp URL",
        RegularExpressionAttribute r => $"must match the pattern {r.Pattern}",
        AllowedValuesAttribute r => $"must be one of {string.Join(", ", r.Values)}",
        _ => (broken.ErrorMessage ?? "is not valid").TrimEnd('.'),
    };

    static string Units(object? value) => value is string ? "characters" : "elements";

    /// <summary>A type in words: "a string", "an integer".</summary>
    internal static string Described(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsEnum)
            return "one of " + string.Join(", ", Enum.GetNames(type).Select(JsonNamingPolicy.SnakeCaseLower.ConvertName));
        return Type.GetTypeCode(type) switch
        {
            TypeCode.String => "a string",
            TypeCode.Boolean => "true or false",
            TypeCode.Int32 => "an integer from -2147483648 to 2147483647",
            TypeCode.Byte or TypeCode.SByte or TypeCode.Int16 or TypeCode.UInt16 or TypeCode.UInt32 or TypeCode.Int64 or TypeCode.UInt64 => "an integer",
            TypeCode.Single or TypeCode.Double or TypeCode.Decimal => "a number",
            TypeCode.DateTime => "a date and time (RFC 3339)",
            TypeCode.Char => "a string of one character",
            _ when type == typeof(DateTimeOffset) => "a date and time (RFC 3339)",
            _ when type == typeof(DateOnly) => "a date (YYYY-MM-DD)",
            _ when type == typeof(TimeOnly) => "a time (hh:mm:ss)",
            _ when type == typeof(TimeSpan) => "a duration (hh:mm:ss)",
            _ when type == typeof(Guid) => "a UUID",
            _ when type == typeof(Uri) => "a URL",
            _ when typeof(IDictionary).IsAssignableFrom(type) => "a JSON object",
            _ when type != typeof(string) && typeof(IEnumerable).IsAssignableFrom(type) => "an array",
            _ => "of the documented type",
        };
    }

    sealed class Faults(Func<string, object?, string?>? further)
    {
        public Func<string, object?, string?>? Further => further;

        readonly Dictionary<string, List<string>> _faults = [];

        public int Count { get; private set; }

        public bool Full => Count >= MaxFaults;

        public void Add(string path, string message)
        {
            if (Full)
                return;
            Count++;
            path = path.Length == 0 ? "body" : path;
            if (!_faults.TryGetValue(path, out var messages))
                _faults.Add(path, messages = []);
            if (!messages.Contains(message))
                messages.Add(message);
        }

        public Dictionary<string, string[]> ToDictionary() => _faults.ToDictionary(f => f.Key, f => f.Value.ToArray());
    }
}
