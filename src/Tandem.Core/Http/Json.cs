using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tandem.Core.Http;

/// <summary>JSON as Tandem speaks it: snake_case, and strict about what comes in.</summary>
public static class Json
{
    /// <summary>
    /// For what strangers send and what is answered: a missing or null member, a number in quotes and a member given twice are errors, not guesses.
    /// </summary>
    public static JsonSerializerOptions Options { get; } = Fixed(Configure(new JsonSerializerOptions(JsonSerializerDefaults.Web)));

    /// <summary>For what Tandem itself stored: members that a later or earlier version wrote are no error.</summary>
    public static JsonSerializerOptions Stored { get; } = Fixed(new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    });

    // Until a serializer has used them, options have no resolver and GetTypeInfo throws; and shared options must not be changed.
    static JsonSerializerOptions Fixed(JsonSerializerOptions options)
    {
        options.MakeReadOnly(populateMissingResolver: true);
        return options;
    }

    /// <summary>Sets the options of <see cref="Options"/> on another instance.</summary>
    public static JsonSerializerOptions Configure(JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower;
        options.NumberHandling = JsonNumberHandling.Strict;
        options.RespectRequiredConstructorParameters = true;
        options.RespectNullableAnnotations = true;
        options.AllowDuplicateProperties = false;
        // Deeper bodies have no use here and cost stack.
        options.MaxDepth = 32;
        options.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false));
        return options;
    }
}
