using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using Tandem.Core.Http;

namespace Tandem.Core.Resources;

/// <summary>JSON Merge Patch (RFC 7396).</summary>
static class MergePatch
{
    static readonly JsonDocumentOptions Strict = new() { MaxDepth = Json.Options.MaxDepth, AllowDuplicateProperties = false };

    /// <exception cref="ProblemException">http/invalid (422): not JSON, or not an object, which would replace the item by something that is none.</exception>
    public static JsonElement Parse(ReadOnlySpan<byte> utf8)
    {
        if (utf8.IndexOfAnyExcept(" \t\r\n"u8) < 0)
            throw Invalid("is empty; send a JSON object");
        try
        {
            using var document = JsonDocument.Parse(utf8.ToArray(), Strict);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw Invalid("must be a JSON object");
            Decode(document.RootElement);
            return document.RootElement.Clone();
        }
        catch (JsonException e)
        {
            throw Invalid(JsonFaults.Describe(e));
        }
        catch (InvalidOperationException)
        {
            throw Invalid(JsonFaults.BrokenText);
        }
    }

    /// <summary>Parsing leaves strings as they are; they are read here once, so that a broken one is found before it is merged.</summary>
    static void Decode(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                element.GetString();
                break;
            case JsonValueKind.Array:
                foreach (var item in element.EnumerateArray())
                    Decode(item);
                break;
            case JsonValueKind.Object:
                foreach (var member in element.EnumerateObject())
                {
                    _ = member.Name;
                    Decode(member.Value);
                }

                break;
        }
    }

    static ProblemException Invalid(string message) => new(HttpProblems.Invalid, null, new Dictionary<string, string[]> { ["body"] = [message] });

    /// <summary>The item with the members of the patch in place of its own.</summary>
    /// <param name="item">A JSON object.</param>
    /// <param name="patch">A JSON object.</param>
    /// <param name="type">The item's type.</param>
    public static byte[] Apply(string item, JsonElement patch, Type type)
    {
        var target = JsonNode.Parse(item)?.AsObject() ?? [];
        Merge(target, patch, Json.Options.GetTypeInfo(type));
        return JsonSerializer.SerializeToUtf8Bytes(target);
    }

    static void Merge(JsonObject target, JsonElement patch, JsonTypeInfo? type)
    {
        foreach (var member in patch.EnumerateObject())
        {
            var property = type?.Properties.FirstOrDefault(p => p.Name == member.Name);
            if (member.Value.ValueKind == JsonValueKind.Null)
            {
                // The RFC removes the member. For a property that has to be there, null says the same, or is a fault with the property's name.
                if (property is null || property.AssociatedParameter is { HasDefaultValue: true, IsNullable: false })
                    target.Remove(member.Name);
                else
                    target[member.Name] = null;
            }
            else if (member.Value.ValueKind == JsonValueKind.Object)
            {
                if (target[member.Name] is not JsonObject inner)
                    target[member.Name] = inner = [];
                Merge(inner, member.Value, property is null ? null : Json.Options.GetTypeInfo(property.PropertyType));
            }
            else
                target[member.Name] = JsonNode.Parse(member.Value.GetRawText());
        }
    }
}
