using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Tandem.Users.Scim;

/// <summary>One operation of a patch.</summary>
/// <param name="Op">add, replace or remove.</param>
/// <param name="Path">Null: value names what is meant.</param>
/// <param name="Value">Null: there is none.</param>
sealed record ScimOperation(string Op, string? Path, JsonElement? Value)
{
    const string Schema = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
    const int MaxOperations = 1000;

    public static List<ScimOperation> ListOf(JsonElement body)
    {
        ScimJson.CheckSchemas(body, Schema);
        if (ScimJson.Member(body, "Operations") is not { ValueKind: JsonValueKind.Array } operations)
            throw ScimException.Syntax("A patch has a list of Operations.");
        if (operations.GetArrayLength() is 0 or > MaxOperations)
            throw ScimException.Syntax($"A patch has 1 to {MaxOperations} Operations.");
        return [.. operations.EnumerateArray().Select(Of)];
    }

    static ScimOperation Of(JsonElement operation)
    {
        if (operation.ValueKind != JsonValueKind.Object)
            throw ScimException.Syntax("An operation is an object of op, path and value.");
        // Entra ID writes Add, Replace and Remove.
        var op = ScimJson.Member(operation, "op") is { ValueKind: JsonValueKind.String } name ? name.GetString()!.ToLowerInvariant() : null; // a string
        if (op is not ("add" or "replace" or "remove"))
            throw ScimException.Syntax("op must be add, replace or remove.");
        var path = ScimJson.Member(operation, "path") switch
        {
            null or { ValueKind: JsonValueKind.Null } => null,
            { ValueKind: JsonValueKind.String } text => text.GetString(),
            _ => throw ScimException.Path("path must be a string."),
        };
        return new ScimOperation(op, path, ScimJson.Member(operation, "value"));
    }
}

/// <summary>Reads what directories send, strictly in what it means and leniently in how it is written.</summary>
static class ScimJson
{
    static readonly JsonDocumentOptions Options = new() { MaxDepth = 16 };

    /// <returns>The body, an object without half characters and U+0000.</returns>
    /// <exception cref="ScimException">invalidSyntax; 415 for another content type.</exception>
    public static async Task<JsonElement> ReadAsync(HttpRequest request, CancellationToken ct)
    {
        if (!Microsoft.Net.Http.Headers.MediaTypeHeaderValue.TryParse(request.ContentType, out var type) || type.MediaType.Value?.ToLowerInvariant() is not ("application/scim+json" or "application/json"))
            throw new ScimException(415, null, "Send the body as application/scim+json or application/json, in UTF-8.");
        try
        {
            using var document = await JsonDocument.ParseAsync(request.Body, Options, ct);
            var body = document.RootElement.Clone();
            if (body.ValueKind != JsonValueKind.Object)
                throw ScimException.Syntax("The body must be a JSON object.");
            Check(body);
            return body;
        }
        catch (JsonException e)
        {
            throw ScimException.Syntax($"The body is not valid JSON, at line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}.");
        }
        // Half of a surrogate pair is found when the string is read.
        catch (InvalidOperationException)
        {
            throw ScimException.Syntax("The body has a string with half a character (a lone surrogate).");
        }
    }

    static void Check(JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.String when value.GetString()!.Contains('\0'): // a string
                throw ScimException.Value("A string has a character U+0000 in it.");
            case JsonValueKind.Array:
                foreach (var element in value.EnumerateArray())
                    Check(element);
                break;
            case JsonValueKind.Object:
                foreach (var member in value.EnumerateObject())
                {
                    if (member.Name.Contains('\0'))
                        throw ScimException.Syntax("The name of a member has a character U+0000 in it.");
                    Check(member.Value);
                }

                break;
        }
    }

    /// <summary>Names of attributes have no case (RFC 7643, 2.1).</summary>
    public static JsonElement? Member(JsonElement value, string name)
    {
        foreach (var member in value.EnumerateObject())
            if (member.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
                return member.Value;
        return null;
    }

    /// <exception cref="ScimException">invalidSyntax: schemas are named, and not this one among them.</exception>
    public static void CheckSchemas(JsonElement body, string wanted)
    {
        if (Member(body, "schemas") is not { } schemas)
            return;
        if (schemas.ValueKind != JsonValueKind.Array || !schemas.EnumerateArray().Any(s => s.ValueKind == JsonValueKind.String && wanted.Equals(s.GetString(), StringComparison.OrdinalIgnoreCase)))
            throw ScimException.Syntax($"schemas must be a list with {wanted} in it.");
    }

    public static string Text(JsonElement value, string name, int maxLength)
    {
        var text = value.ValueKind == JsonValueKind.String ? value.GetString()! : throw ScimException.Value($"{name} must be a string."); // a string
        return text.Length <= maxLength ? text : throw ScimException.Value($"{name} must have at most {maxLength} characters.");
    }

    /// <returns>Null for an empty text as well: it says that there is no value.</returns>
    public static string? Text(JsonElement? value, string name, int maxLength) =>
        value is null or { ValueKind: JsonValueKind.Null } ? null : Text(value.Value, name, maxLength) is { Length: > 0 } text ? text : null;

    public static bool Flag(JsonElement value, string name) => value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        // Entra ID sends "True" and "False".
        JsonValueKind.String when bool.TryParse(value.GetString(), out var flag) => flag,
        _ => throw ScimException.Value($"{name} must be true or false."),
    };

    public static string Email(JsonElement value, string name) => Email(Text(value, name, 254), name);

    public static string Email(string text, string name) => text.Length <= 254 && new EmailAttribute().IsValid(text) ? text : throw ScimException.Value($"{name} must be an e-mail address, like ada@example.com.");

    public static string Cut(string text, int length) => text.Length <= length ? text : text[..(char.IsHighSurrogate(text[length - 1]) ? length - 1 : length)];

    public static string Time(DateTime time) => time.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);

    /// <summary>Keeps what is asked for of a resource; id, schemas and meta stay (RFC 7644, 3.9).</summary>
    /// <param name="attributes">Names with commas between them; null: all.</param>
    /// <param name="excluded">The other way round; with both, attributes decides.</param>
    public static JsonObject Project(JsonObject resource, string? attributes, string? excluded, ScimAttributes known)
    {
        if (Split(attributes, known) is { Length: > 0 } wanted)
        {
            foreach (var (name, value) in resource.ToList())
            {
                if (name is "id" or "schemas" || wanted.Contains(name, StringComparer.OrdinalIgnoreCase))
                    continue;
                var subs = SubsOf(wanted, name);
                if (subs.Length == 0)
                    resource.Remove(name);
                else
                    Each(value, part => part.Where(p => !subs.Contains(p.Key, StringComparer.OrdinalIgnoreCase)).Select(p => p.Key));
            }
        }
        else if (Split(excluded, known) is { Length: > 0 } unwanted)
            foreach (var (name, value) in resource.ToList())
            {
                if (name is "id" or "schemas")
                    continue;
                if (unwanted.Contains(name, StringComparer.OrdinalIgnoreCase))
                    resource.Remove(name);
                else if (SubsOf(unwanted, name) is { Length: > 0 } subs)
                    Each(value, part => part.Where(p => subs.Contains(p.Key, StringComparer.OrdinalIgnoreCase)).Select(p => p.Key));
            }

        return resource;
    }

    /// <summary>Will the attribute be part of the answer?</summary>
    public static bool IsAsked(string name, string? attributes, string? excluded, ScimAttributes known) => Split(attributes, known) is { Length: > 0 } wanted
        ? wanted.Any(w => w.Equals(name, StringComparison.OrdinalIgnoreCase) || w.StartsWith($"{name}.", StringComparison.OrdinalIgnoreCase))
        : !Split(excluded, known).Contains(name, StringComparer.OrdinalIgnoreCase);

    static string[] Split(string? names, ScimAttributes known) => [.. (names ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Take(100).Select(known.Bare)];

    static string[] SubsOf(string[] names, string parent) => [.. names.Where(n => n.StartsWith($"{parent}.", StringComparison.OrdinalIgnoreCase)).Select(n => n[(parent.Length + 1)..])];

    static void Each(JsonNode? value, Func<JsonObject, IEnumerable<string>> goes)
    {
        foreach (var part in value is JsonArray list ? list.OfType<JsonObject>() : value is JsonObject one ? [one] : [])
            foreach (var name in goes(part).ToList())
                part.Remove(name);
    }
}
