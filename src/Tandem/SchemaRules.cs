using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.OpenApi;

namespace Tandem;

/// <summary>Validation annotations as JSON Schema says them.</summary>
static class SchemaRules
{
    public static void Apply(OpenApiSchema schema, IEnumerable<ValidationAttribute> rules)
    {
        foreach (var rule in rules)
            Apply(schema, rule);
    }

    static void Apply(OpenApiSchema schema, ValidationAttribute rule)
    {
        var isText = schema.Type?.HasFlag(JsonSchemaType.String) == true;
        switch (rule)
        {
            case RequiredAttribute { AllowEmptyStrings: false } when isText:
                schema.MinLength ??= 1;
                break;
            case StringLengthAttribute length:
                schema.MinLength = length.MinimumLength > 0 ? length.MinimumLength : schema.MinLength;
                schema.MaxLength = length.MaximumLength;
                break;
            case LengthAttribute length:
                Limit(schema, isText, length.MinimumLength, length.MaximumLength);
                break;
            case MinLengthAttribute least:
                Limit(schema, isText, least.Length, null);
                break;
            case MaxLengthAttribute most:
                Limit(schema, isText, null, most.Length);
                break;
            case RangeAttribute range when schema.Type?.HasFlag(JsonSchemaType.Number) == true || schema.Type?.HasFlag(JsonSchemaType.Integer) == true:
                schema.Minimum = Convert.ToString(range.Minimum, CultureInfo.InvariantCulture);
                schema.Maximum = Convert.ToString(range.Maximum, CultureInfo.InvariantCulture);
                break;
            case RegularExpressionAttribute pattern:
                // The attribute wants the whole value to match, JSON Schema a part of it.
                schema.Pattern = $"^(?:{pattern.Pattern})$";
                break;
            case EmailAddressAttribute:
                schema.Format = "email";
                break;
            case UrlAttribute:
                schema.Format = "uri";
                break;
            case AllowedValuesAttribute allowed:
                // Null among them means that the value may be left out, which the schema says already.
                schema.Enum = [.. allowed.Values.OfType<object>().Select(v => JsonSerializer.SerializeToNode(v)).OfType<JsonNode>()];
                break;
        }
    }

    static void Limit(OpenApiSchema schema, bool isText, int? least, int? most)
    {
        if (isText)
            (schema.MinLength, schema.MaxLength) = (least ?? schema.MinLength, most ?? schema.MaxLength);
        else
            (schema.MinItems, schema.MaxItems) = (least ?? schema.MinItems, most ?? schema.MaxItems);
    }
}
