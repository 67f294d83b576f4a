using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;

namespace Tandem.Core.Http;

/// <summary>Says exactly what is wrong with a request that the framework could not bind.</summary>
static partial class RequestFaults
{
    /// <returns>Field to messages; null when the request is not of a kind that has fields.</returns>
    public static IReadOnlyDictionary<string, string[]>? Find(HttpContext context, BadHttpRequestException e, ReadOnlyMemory<byte>? body)
    {
        if (body is { } bytes && context.GetEndpoint()?.Metadata.GetMetadata<IAcceptsMetadata>()?.RequestType is { } type)
        {
            var faults = JsonFaults.Find(bytes, type);
            if (faults.Count > 0)
                return faults;
        }

        // The framework says it in text only; a test holds this to its wording.
        if (Unbound().Match(e.Message) is { Success: true } unbound)
            return One(Rows(unbound.Groups["name"].Value), $"must be {Described(unbound.Groups["type"].Value)}, not \"{unbound.Groups["value"].Value}\"");
        if (Missing().Match(e.Message) is { Success: true } missing)
            return One(Rows(missing.Groups["name"].Value), "is required");
        return null;

        static string Rows(string name) => Data.Rows.Snake(name);
        static Dictionary<string, string[]> One(string field, string message) => new() { [field] = [message] };
    }

    /// <summary>For a request that was refused without a word: compiled binding does so when an optional value of the query cannot be read.</summary>
    /// <returns>Field to messages; null when it was refused for something else.</returns>
    public static IReadOnlyDictionary<string, string[]>? FindUnread(HttpContext context)
    {
        foreach (var parameter in context.GetEndpoint()?.Metadata.GetOrderedMetadata<IParameterBindingMetadata>() ?? [])
            if (parameter.HasTryParse && context.Request.Query[parameter.Name] is [{ Length: > 0 } value] && !CanRead(parameter.ParameterInfo.ParameterType, value, out var type))
                return new Dictionary<string, string[]> { [parameter.Name] = [$"must be {Described(type)}, not \"{value}\""] };
        return null;

        static bool CanRead(Type type, string value, out string name)
        {
            type = Nullable.GetUnderlyingType(type) ?? type;
            name = type.Name;
            return type.GetMethod("TryParse", [typeof(string), typeof(IFormatProvider), type.MakeByRefType()])
                ?.Invoke(null, [value, System.Globalization.CultureInfo.InvariantCulture, null]) is not false;
        }
    }

    public static bool IsUtf8Json(HttpRequest request) =>
        Microsoft.Net.Http.Headers.MediaTypeHeaderValue.TryParse(request.ContentType, out var type)
        && (!type.Charset.HasValue || type.Charset.Equals("utf-8", StringComparison.OrdinalIgnoreCase));

    static string Described(string type) => type.TrimEnd('?') switch
    {
        "int" or "long" or "short" or "Int32" or "Int64" or "Int16" => "an integer",
        "bool" or "Boolean" => "true or false",
        "double" or "float" or "decimal" or "Double" or "Single" or "Decimal" => "a number",
        "Guid" => "a UUID",
        "DateTime" or "DateTimeOffset" => "a date and time (RFC 3339)",
        "DateOnly" => "a date (YYYY-MM-DD)",
        "TimeSpan" => "a duration (hh:mm:ss)",
        _ => "of the documented type",
    };

    [GeneratedRegex("""^Failed to bind parameter "(?:Nullable<)?(?<type>[\w.?]+)>? (?<name>\w+)" from "(?<value>.*)"\.$""", RegexOptions.Singleline)]
    private static partial Regex Unbound();

    [GeneratedRegex("""^Required parameter ".+ (?<name>\w+)" was not provided""")]
    private static partial Regex Missing();
}
