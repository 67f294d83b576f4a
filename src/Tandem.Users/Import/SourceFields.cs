using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Tandem.Users.Hashes;

namespace Tandem.Users.Import;

/// <summary>A record's members, whether JSON has types for them or CSV has texts. What cannot be taken is refused under the member's own name.</summary>
readonly partial record struct SourceFields(JsonElement Members)
{
    const int MaxExternalId = 200;
    // Computers had no accounts before; zero dates of several programs are.
    static readonly DateTime Earliest = new(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    public bool Has(string name) => Members.ValueKind == JsonValueKind.Object && Members.TryGetProperty(name, out _);

    /// <summary>A text or number as text; null when it is not there, null or empty.</summary>
    public string? Text(string name)
    {
        if (Members.ValueKind != JsonValueKind.Object || !Members.TryGetProperty(name, out var value))
            return null;
        var text = value.ValueKind switch
        {
            JsonValueKind.Null => null,
            JsonValueKind.String => value.GetString(),
            JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(),
            _ => throw new RefusedException(name, "is a list or an object where there must be a text"),
        };
        return text is "" ? null : text;
    }

    /// <summary>The same, for columns in which no person's word stands: there the NULL of a database tool is none.</summary>
    string? Value(string name) => Text(name)?.Trim() is { Length: > 0 } text and not ("NULL" or "null" or @"\N") ? text : null;

    public bool? Flag(string name) => Value(name) switch
    {
        null => null,
        "true" or "True" or "TRUE" or "t" or "1" => true,
        "false" or "False" or "FALSE" or "f" or "0" => false,
        _ => throw new RefusedException(name, "is neither true nor false"),
    };

    /// <summary>UTC, to the microsecond. Without an offset it is taken for UTC; MySQL's zero date is none.</summary>
    public DateTime? Time(string name)
    {
        if (Value(name) is not { } text || text.StartsWith("0000-00-00", StringComparison.Ordinal))
            return null;
        // PostgreSQL writes +00.
        if (HourOffset().IsMatch(text))
            text += ":00";
        return DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)
            ? Sensible(name, time.UtcDateTime)
            : throw new RefusedException(name, "is no time like 2026-01-31T12:00:00Z");
    }

    /// <summary>Milliseconds since 1970.</summary>
    public DateTime? Milliseconds(string name)
    {
        if (Value(name) is not { } text)
            return null;
        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var count) && count < 253_402_300_800_000
            ? Sensible(name, DateTime.UnixEpoch.AddMilliseconds(count))
            : throw new RefusedException(name, "are no milliseconds since 1970");
    }

    static DateTime Sensible(string name, DateTime time) => time >= Earliest && time.Year < 3000
        ? new DateTime(time.Ticks - time.Ticks % TimeSpan.TicksPerMicrosecond, DateTimeKind.Utc)
        : throw new RefusedException(name, "is not between 1970 and 3000");

    /// <summary>An object or list, also as a text that holds it as JSON.</summary>
    public JsonElement? Json(string name)
    {
        if (Members.ValueKind != JsonValueKind.Object || !Members.TryGetProperty(name, out var value))
            return null;
        if (value.ValueKind is JsonValueKind.Object or JsonValueKind.Array)
            return value;
        if (Value(name) is not { } text)
            return null;
        try
        {
            using var document = JsonDocument.Parse(text);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            throw new RefusedException(name, "is no valid JSON");
        }
    }

    /// <summary>The members of an object in this one; none when it is not there.</summary>
    public SourceFields Inner(string name) => new(Json(name) is { ValueKind: JsonValueKind.Object } inner ? inner : default);

    public string Email(string name)
    {
        var email = Text(name)?.Trim();
        if (string.IsNullOrEmpty(email))
            throw new RefusedException(name, "is missing: an account signs in with its e-mail");
        if (email.Length > 254)
            throw new RefusedException(name, "has more than 254 characters");
        return new EmailAttribute() is var rule && rule.IsValid(email) ? email.ToLowerInvariant() : throw new RefusedException(name, rule.ErrorMessage ?? "is no e-mail address");
    }

    /// <summary>The first of the members that says something; otherwise what stands before the @.</summary>
    public string Name(string email, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
            if (Text(name) is { } text && new NotBlankAttribute().IsValid(text))
                return Checked(name, text);
        return Checked("name", email.Split('@')[0]);
    }

    /// <summary>Given name and family name, or null.</summary>
    public string? FullName(string given, string family) => $"{Text(given)} {Text(family)}".Trim() is { Length: > 0 } full ? Checked(given, full) : null;

    static string Checked(string field, string text)
    {
        if (text.Contains('\0'))
            throw new RefusedException(field, "holds U+0000");
        return text.Length <= 200 ? text : throw new RefusedException(field, "has more than 200 characters");
    }

    /// <summary>What is stored of a hash; null where there is no password, and for what Django and others write for that.</summary>
    public string? Hash(string name) => Value(name) is { } text && text[0] is not ('!' or '*') ? Hash(name, text) : null;

    public static string Hash(string name, string text) => StoredHash.TryRead(text, out var hash, out var fault) ? hash.Text : throw new RefusedException(name, fault);

    public string? ExternalId(string name)
    {
        var id = Value(name);
        return id is not { Length: > MaxExternalId } && id?.Contains('\0') != true ? id : throw new RefusedException(name, $"is no id of at most {MaxExternalId} characters");
    }

    /// <summary>Is "admin" or "administrator", the member's value or one of its list's?</summary>
    public bool HasAdministratorRole(string name)
    {
        if (Members.ValueKind != JsonValueKind.Object || !Members.TryGetProperty(name, out var value))
            return false;
        return value.ValueKind switch
        {
            JsonValueKind.Array => value.EnumerateArray().Any(IsAdministrator),
            JsonValueKind.String => (value.GetString() ?? "").Split(',', ' ', ';').Any(r => IsAdministrator(r)),
            _ => false,
        };
    }

    static bool IsAdministrator(JsonElement role) => role.ValueKind == JsonValueKind.String && IsAdministrator(role.GetString() ?? "");

    static bool IsAdministrator(string role) => role.Trim().ToLowerInvariant() is "admin" or "administrator";

    [GeneratedRegex(@"\d[+-]\d\d\z")]
    private static partial Regex HourOffset();
}

/// <summary>A record is not taken: which member, and why, as the rest of a sentence that begins with it.</summary>
sealed class RefusedException(string field, string reason) : Exception(reason)
{
    public string Field { get; } = field;
}
