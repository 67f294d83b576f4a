using System.Text.Json;

namespace Tandem.Users.Scim;

/// <summary>An e-mail as the directory says it.</summary>
sealed record ScimEmail(string Value, string? Type, bool IsPrimary);

/// <summary>What of a user a directory sets: by a whole resource, or piece by piece by a patch.</summary>
sealed class ScimUser
{
    const int MaxEmails = 20;

    // Attributes of RFC 7643 that directories send by themselves and that are not kept. Refusing them would end the whole patch that they stand in.
    static readonly HashSet<string> NotKept = new(StringComparer.OrdinalIgnoreCase)
    {
        "nickName", "profileUrl", "title", "userType", "preferredLanguage", "locale", "timezone", "phoneNumbers", "ims", "photos", "addresses", "entitlements", "roles", "x509Certificates",
        "name.middleName", "name.honorificPrefix", "name.honorificSuffix", "emails.display",
    };

    static readonly HashSet<string> ReadOnly = new(StringComparer.OrdinalIgnoreCase) { "id", "meta", "groups", "schemas" };

    public string? UserName { get; set; }
    public string? ExternalId { get; set; }
    public string? DisplayName { get; set; }
    public string? Formatted { get; set; }
    public string? GivenName { get; set; }
    public string? FamilyName { get; set; }
    public bool? Active { get; set; }
    public string? Password { get; set; }
    public List<ScimEmail> Emails { get; set; } = [];

    /// <summary>What the person is called: displayName, or made of the others.</summary>
    public string Name => FirstOf(DisplayName, Formatted, $"{GivenName} {FamilyName}".Trim(), UserName) is { } name ? ScimJson.Cut(name, 200) : "";

    static string? FirstOf(params string?[] names) => Array.Find(names, n => n is not null && new NotBlankAttribute().IsValid(n));

    /// <summary>A whole resource, as POST and PUT have it.</summary>
    public static ScimUser Of(JsonElement resource)
    {
        ScimJson.CheckSchemas(resource, ScimAttributes.UserUrn);
        var user = new ScimUser();
        user.Set("replace", resource, isWhole: true);
        return user;
    }

    public void Apply(ScimOperation operation)
    {
        if (operation.Path is null)
            Set(operation.Op, operation.Value ?? throw ScimException.Value("An operation without a path has an object as its value."), isWhole: false);
        else
            Apply(operation.Op, ScimFilter.Path.Parse(operation.Path), operation.Value, operation.Path);
    }

    void Set(string op, JsonElement value, bool isWhole)
    {
        if (op == "remove")
            throw new ScimException(400, "noTarget", "remove takes a path: what is to be removed.");
        if (value.ValueKind != JsonValueKind.Object)
            throw ScimException.Value("An operation without a path has an object as its value.");
        foreach (var member in value.EnumerateObject())
        {
            // Members that are not kept are no fault in a whole resource (RFC 7644, 3.3); nor is what only the server writes.
            if (isWhole && !IsKept(member.Name) || member.Name.StartsWith("urn:", StringComparison.OrdinalIgnoreCase) && !member.Name.StartsWith(ScimAttributes.UserUrn, StringComparison.OrdinalIgnoreCase))
                continue;
            // Entra ID has paths as names: {"name.givenName": …, "emails[type eq \"work\"].value": …}.
            var path = ScimFilter.Path.Parse(member.Name);
            if (ReadOnly.Contains(ScimAttributes.Users.Bare(path.Attribute)))
                continue;
            Apply(member.Value.ValueKind == JsonValueKind.Null ? "remove" : op, path, member.Value, member.Name);
        }
    }

    static bool IsKept(string name) => name.ToLowerInvariant() is "username" or "externalid" or "displayname" or "name" or "active" or "password" or "emails";

    void Apply(string op, ScimFilter.Path path, JsonElement? value, string shown)
    {
        var name = ScimAttributes.Users.Bare(path.Attribute);
        if (name.StartsWith("urn:", StringComparison.OrdinalIgnoreCase) || NotKept.Contains(name) || NotKept.Contains(name.Split('.')[0]) || path.Sub is { } sub && NotKept.Contains($"{name}.{sub}"))
            return;
        if (ReadOnly.Contains(name) || ReadOnly.Contains(name.Split('.')[0]))
            throw new ScimException(400, "mutability", $"\"{shown}\" is written by the server alone.");
        if (op != "remove" && value is null)
            throw ScimException.Value($"{op} of \"{shown}\" takes a value.");
        if (name.Equals("emails", StringComparison.OrdinalIgnoreCase))
        {
            ApplyEmails(op, path, value, shown);
            return;
        }

        if (path.Which is not null)
            throw ScimException.Path($"\"{shown}\" has no list of values to choose from; emails has.");
        if (op == "remove" || value is { ValueKind: JsonValueKind.Null })
            value = null;
        switch (name.ToLowerInvariant())
        {
            case "username":
                UserName = ScimJson.Email(value ?? throw ScimException.Value("userName cannot be removed."), "userName");
                break;
            case "active":
                Active = ScimJson.Flag(value ?? throw ScimException.Value("active cannot be removed: it is true or false."), "active");
                break;
            case "password":
                Password = ScimJson.Text(value ?? throw ScimException.Value("password cannot be removed."), "password", Passwords.MaxLength);
                if (Password.Length < Passwords.MinLength)
                    throw ScimException.Value($"password must have at least {Passwords.MinLength} characters.");
                break;
            case "externalid":
                ExternalId = ScimJson.Text(value, "externalId", 200);
                break;
            case "displayname":
                DisplayName = ScimJson.Text(value, "displayName", 200);
                break;
            case "name.formatted":
                Formatted = ScimJson.Text(value, "name.formatted", 200);
                break;
            case "name.givenname":
                GivenName = ScimJson.Text(value, "name.givenName", 200);
                break;
            case "name.familyname":
                FamilyName = ScimJson.Text(value, "name.familyName", 200);
                break;
            case "name" when value is null:
                (Formatted, GivenName, FamilyName) = (null, null, null);
                break;
            case "name" when value is { ValueKind: JsonValueKind.Object } parts:
                foreach (var part in parts.EnumerateObject())
                    if (part.Name.ToLowerInvariant() is "formatted" or "givenname" or "familyname")
                        Apply(op, new ScimFilter.Path($"name.{part.Name}", null, null), part.Value, $"name.{part.Name}");
                break;
            case "name":
                throw ScimException.Value("name is an object of formatted, givenName and familyName.");
            default:
                throw ScimException.Path($"\"{shown}\" is no attribute that is kept; those are userName, externalId, displayName, name (formatted, givenName, familyName), active, emails (value, type, primary) and password.");
        }
    }

    void ApplyEmails(string op, ScimFilter.Path path, JsonElement? value, string shown)
    {
        if (path is { Which: null, Sub: null })
        {
            if (op is "remove" or "replace")
                Emails = [];
            if (op != "remove")
                foreach (var email in EmailsOf(value!.Value)) // there is one, unless it is removed
                    Add(email);
        }
        else
        {
            var sub = path.Sub?.ToLowerInvariant();
            if (sub is not (null or "value" or "type" or "primary"))
                throw ScimException.Path($"\"{shown}\": emails have value, type and primary.");
            var fitting = Emails.Select(e => path.Which!.Fits(part => PartOf(e, part))).ToList();
            if (!fitting.Contains(true))
            {
                // That a name of the filter is wrong shows without e-mails as well.
                path.Which!.Fits(part => PartOf(new ScimEmail("", null, false), part));
                if (op == "replace")
                    throw new ScimException(400, "noTarget", $"No e-mail fits \"{shown}\".");
                if (op == "add")
                    Add(New(path, sub, value!.Value, shown));
                return;
            }

            var changed = new List<ScimEmail>();
            int? primary = null;
            foreach (var (email, fits) in Emails.Zip(fitting))
                if (!fits)
                    changed.Add(email);
                else if ((op, sub) is not ("remove", null or "value"))
                {
                    changed.Add(sub is null ? Merge(email, value!.Value) : With(email, sub, op == "remove" ? null : value));
                    if (changed[^1].IsPrimary && !email.IsPrimary)
                        primary = changed.Count - 1;
                }

            Emails = primary is { } chosen ? [.. changed.Select((e, i) => e with { IsPrimary = i == chosen })] : changed;
        }

        if (Emails.Count > MaxEmails)
            throw ScimException.Value($"A user has at most {MaxEmails} e-mails.");
    }

    void Add(ScimEmail email)
    {
        // The same twice is one; of several that are to be the primary one the last is (RFC 7644, 3.5.2).
        if (Emails.Contains(email))
            return;
        if (email.IsPrimary)
            Emails = [.. Emails.Select(e => e with { IsPrimary = false })];
        Emails.RemoveAll(e => (e with { IsPrimary = false }) == (email with { IsPrimary = false }));
        Emails.Add(email);
    }

    static IEnumerable<ScimEmail> EmailsOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => value.EnumerateArray().Take(MaxEmails + 1).Select(EmailOf),
        _ => [EmailOf(value)],
    };

    static ScimEmail EmailOf(JsonElement value) => value.ValueKind == JsonValueKind.String
        ? new ScimEmail(ScimJson.Email(value, "emails.value"), null, false)
        : Merge(new ScimEmail("", null, false), value) is { Value.Length: > 0 } email ? email : throw ScimException.Value("An e-mail has a value.");

    static ScimEmail Merge(ScimEmail email, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw ScimException.Value("An e-mail is an object of value, type and primary.");
        foreach (var part in value.EnumerateObject())
            email = With(email, part.Name.ToLowerInvariant(), part.Value);
        return email;
    }

    static ScimEmail With(ScimEmail email, string part, JsonElement? value)
    {
        var isGone = value is null or { ValueKind: JsonValueKind.Null };
        return part switch
        {
            "value" => email with { Value = ScimJson.Email(value ?? throw ScimException.Value("An e-mail has a value."), "emails.value") },
            "type" => email with { Type = ScimJson.Text(value, "emails.type", 50) },
            "primary" => email with { IsPrimary = !isGone && ScimJson.Flag(value!.Value, "emails.primary") }, // looked at the line above
            _ => email,
        };
    }

    /// <summary>What "add" makes where no e-mail fits its path: one that does, as Entra ID expects of emails[type eq "work"].value.</summary>
    static ScimEmail New(ScimFilter.Path path, string? sub, JsonElement value, string shown)
    {
        var email = new ScimEmail("", null, false);
        for (var filter = path.Which; filter is not null;)
        {
            (var one, filter) = filter is ScimFilter.And(var left, var right) ? (right, left) : (filter, null);
            email = one is ScimFilter.Compare { Operator: "eq" } compare ? (compare.Attribute.ToLowerInvariant(), compare.Value) switch
            {
                ("type", string type) => email with { Type = type.Length <= 50 ? type : throw ScimException.Value("emails.type must have at most 50 characters.") },
                ("value", string address) => email with { Value = ScimJson.Email(address, "emails.value") },
                ("primary", bool primary) => email with { IsPrimary = primary },
                _ => email,
            } : throw new ScimException(400, "noTarget", $"No e-mail fits \"{shown}\", and none can be made of it.");
        }

        email = sub is null ? Merge(email, value) : With(email, sub, value);
        return email.Value.Length > 0 ? email : throw new ScimException(400, "noTarget", $"No e-mail fits \"{shown}\".");
    }

    static object? PartOf(ScimEmail email, string part) => part.ToLowerInvariant() switch
    {
        "value" => email.Value,
        "type" => email.Type,
        "primary" => email.IsPrimary,
        _ => throw ScimException.Path($"emails have value, type and primary, and no \"{part}\"."),
    };
}
