using System.Globalization;
using Tandem.Core.Data;

namespace Tandem.Users.Scim;

enum ScimType
{
    /// <summary>Compared without regard to the case of ASCII letters.</summary>
    Text,
    ExactText,
    /// <summary>Stored in lower case: the index on it finds it.</summary>
    Email,
    /// <summary>A number as a string, as ids are.</summary>
    Number,
    /// <summary>A UUID as a string.</summary>
    Uuid,
    Flag,
    Time,
}

/// <summary>What can be asked of a kind of resource, and where it stands in the store.</summary>
/// <param name="Urn">Of its schema; it may stand before each name.</param>
/// <param name="Singles">Attributes with one value by name, in any case: type and column.</param>
/// <param name="Lists">Attributes with many values: the rows that they are, and their sub-attributes.</param>
sealed record ScimAttributes(string Urn, Dictionary<string, (ScimType Type, string Column)> Singles, Dictionary<string, (string Rows, Dictionary<string, (ScimType Type, string Column)> Subs)> Lists)
{
    public const string UserUrn = "urn:ietf:params:scim:schemas:core:2.0:User";
    public const string GroupUrn = "urn:ietf:params:scim:schemas:core:2.0:Group";

    static readonly StringComparer AnyCase = StringComparer.OrdinalIgnoreCase;

    public static readonly ScimAttributes Users = new(UserUrn, new(AnyCase)
    {
        ["id"] = (ScimType.Number, "a.id"),
        ["externalId"] = (ScimType.ExactText, "d.external_id"),
        ["userName"] = (ScimType.Email, "a.email"),
        ["displayName"] = (ScimType.Text, "a.name"),
        ["name.formatted"] = (ScimType.Text, "d.formatted"),
        ["name.givenName"] = (ScimType.Text, "d.given_name"),
        ["name.familyName"] = (ScimType.Text, "d.family_name"),
        ["active"] = (ScimType.Flag, "a.is_active"),
        ["meta.created"] = (ScimType.Time, "a.created_at"),
        ["meta.lastModified"] = (ScimType.Time, "coalesce(a.changed_at, a.created_at)"),
    }, new(AnyCase)
    {
        // Without e-mails of the directory's the account's own is the one there is.
        ["emails"] = ("""
            (select value, type, is_primary from users_directory_emails where account_id = a.id
            union all select a.email, 'work', true where not exists (select 1 from users_directory_emails where account_id = a.id))
            """, new(AnyCase) { ["value"] = (ScimType.Text, "e.value"), ["type"] = (ScimType.Text, "e.type"), ["primary"] = (ScimType.Flag, "e.is_primary") }),
        ["groups"] = ("(select m.group_id, g.name from users_group_members m join users_groups g on g.id = m.group_id where m.account_id = a.id)",
            new(AnyCase) { ["value"] = (ScimType.Uuid, "e.group_id"), ["display"] = (ScimType.Text, "e.name") }),
    });

    public static readonly ScimAttributes Groups = new(GroupUrn, new(AnyCase)
    {
        ["id"] = (ScimType.Uuid, "g.id"),
        ["externalId"] = (ScimType.ExactText, "g.external_id"),
        ["displayName"] = (ScimType.Text, "g.name"),
        ["meta.created"] = (ScimType.Time, "g.created_at"),
        ["meta.lastModified"] = (ScimType.Time, "g.changed_at"),
    }, new(AnyCase)
    {
        ["members"] = ("(select account_id from users_group_members where group_id = g.id)", new(AnyCase) { ["value"] = (ScimType.Number, "e.account_id") }),
    });

    string Known => string.Join(", ", Singles.Keys.Concat(Lists.SelectMany(l => l.Value.Subs.Keys.Select(s => $"{l.Key}.{s}"))));

    /// <summary>The name without the schema in front of it.</summary>
    public string Bare(string name) => name.StartsWith(Urn + ":", StringComparison.OrdinalIgnoreCase) ? name[(Urn.Length + 1)..] : name;

    /// <returns>The condition, which is true or false for every row and never null.</returns>
    /// <exception cref="ScimException">invalidFilter: what cannot be asked.</exception>
    public Sql Where(ScimFilter filter) => filter switch
    {
        ScimFilter.And(var left, var right) => $"({Where(left)} and {Where(right)})",
        ScimFilter.Or(var left, var right) => $"({Where(left)} or {Where(right)})",
        ScimFilter.Not(var inner) => $"not {Where(inner)}",
        ScimFilter.Element(var attribute, var inner) => Lists.TryGetValue(Bare(attribute), out var list)
            ? Any(list.Rows, Within(attribute, list.Subs, inner))
            : throw Unknown(attribute),
        ScimFilter.Compare compare => Condition(compare),
        _ => throw new InvalidOperationException($"{filter} is no filter."),
    };

    /// <returns>What to sort by; null for an attribute that is not sorted by.</returns>
    public string? Order(string attribute) => Singles.TryGetValue(Bare(attribute), out var found) ? found.Type is ScimType.Text ? $"lower({found.Column})" : found.Column : null;

    static Sql Any(string rows, Sql condition) => $"exists (select 1 from {Sql.Raw(rows)} as e where {condition})";

    Sql Condition(ScimFilter.Compare compare)
    {
        var name = Bare(compare.Attribute);
        if (Singles.TryGetValue(name, out var single))
            return Leaf(compare, single.Type, single.Column);
        var dot = name.IndexOf('.');
        // emails eq "…" asks for their values (RFC 7644, 3.4.2.2).
        var (parent, sub) = dot < 0 ? (name, "value") : (name[..dot], name[(dot + 1)..]);
        return Lists.TryGetValue(parent, out var list) && list.Subs.TryGetValue(sub, out var found) ? Any(list.Rows, Leaf(compare, found.Type, found.Column)) : throw Unknown(compare.Attribute);
    }

    Sql Within(string attribute, Dictionary<string, (ScimType Type, string Column)> subs, ScimFilter filter) => filter switch
    {
        ScimFilter.And(var left, var right) => $"({Within(attribute, subs, left)} and {Within(attribute, subs, right)})",
        ScimFilter.Or(var left, var right) => $"({Within(attribute, subs, left)} or {Within(attribute, subs, right)})",
        ScimFilter.Not(var inner) => $"not {Within(attribute, subs, inner)}",
        ScimFilter.Compare compare when subs.TryGetValue(compare.Attribute, out var found) => Leaf(compare, found.Type, found.Column),
        ScimFilter.Compare compare => throw Unknown($"{attribute}.{compare.Attribute}"),
        _ => throw Unknown(attribute),
    };

    ScimException Unknown(string attribute) => ScimException.Filter($"\"{attribute}\" cannot be filtered by; what can: {Known}.");

    static Sql Leaf(ScimFilter.Compare compare, ScimType type, string column)
    {
        var (of, operation, value) = (Sql.Raw(column), compare.Operator, compare.Value);
        if (value is null)
            return operation switch
            {
                "pr" or "ne" => type is ScimType.Text or ScimType.ExactText or ScimType.Email ? (Sql)$"coalesce({of} <> '', false)" : (Sql)$"({of} is not null)",
                "eq" => type is ScimType.Text or ScimType.ExactText or ScimType.Email ? (Sql)$"coalesce({of} = '', true)" : (Sql)$"({of} is null)",
                _ => throw ScimException.Filter($"null can be compared with eq and ne only, and not with {operation}."),
            };
        return type switch
        {
            ScimType.Flag => Flag(compare, of),
            ScimType.Time => Time(compare, of),
            ScimType.Number => Key(compare, of, long.TryParse(TextOf(compare), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null),
            ScimType.Uuid => Key(compare, of, Guid.TryParseExact(TextOf(compare), "D", out var id) ? id : null),
            ScimType.Email => Text(operation, of, UserTable.Fold(TextOf(compare))),
            ScimType.ExactText => Text(operation, of, TextOf(compare)),
            _ => Text(operation, $"lower({of})", Lower(TextOf(compare))),
        };
    }

    /// <summary>As the stores' lower() in the collation "C" has it, so that both compare alike.</summary>
    static string Lower(string text) => string.Create(text.Length, text, static (lower, from) =>
    {
        for (var i = 0; i < lower.Length; i++)
            lower[i] = char.IsAsciiLetterUpper(from[i]) ? (char)(from[i] | 0x20) : from[i];
    });

    static string TextOf(ScimFilter.Compare compare) => compare.Value as string ?? throw ScimException.Filter($"{compare.Attribute} is compared with a string in double quotes.");

    static Sql Key(ScimFilter.Compare compare, Sql of, object? key) => compare.Operator switch
    {
        // What is no id is nobody's.
        "eq" => key is null ? Sql.Raw("(1 = 0)") : $"({of} = {key})",
        "ne" => key is null ? Sql.Raw("(1 = 1)") : $"({of} <> {key})",
        _ => throw ScimException.Filter($"{compare.Attribute} can be compared with eq, ne and pr, and not with {compare.Operator}."),
    };

    static Sql Flag(ScimFilter.Compare compare, Sql of)
    {
        var value = compare.Value switch
        {
            bool flag => flag,
            string text when bool.TryParse(text, out var flag) => flag,
            _ => throw ScimException.Filter($"{compare.Attribute} is compared with true or false."),
        };
        return compare.Operator switch
        {
            "eq" => $"coalesce({of} = {value}, false)",
            "ne" => $"coalesce({of} <> {value}, true)",
            _ => throw ScimException.Filter($"{compare.Attribute} can be compared with eq, ne and pr, and not with {compare.Operator}."),
        };
    }

    static Sql Time(ScimFilter.Compare compare, Sql of)
    {
        if (!DateTimeOffset.TryParse(TextOf(compare), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time))
            throw ScimException.Filter($"{compare.Attribute} is compared with a time such as \"2026-01-31T12:00:00Z\".");
        var value = new DateTime(time.UtcTicks - time.UtcTicks % TimeSpan.TicksPerMicrosecond, DateTimeKind.Utc);
        return Sign(compare.Operator) is { } sign
            ? (Sql)$"({of} {Sql.Raw(sign)} {value})"
            : throw ScimException.Filter($"{compare.Attribute} can be compared with eq, ne, gt, ge, lt, le and pr, and not with {compare.Operator}.");
    }

    // No LIKE: one store's does not know case, and its pattern would have to be quoted.
    static Sql Text(string operation, Sql of, string value)
    {
        var length = value.EnumerateRunes().Count();
        return operation switch
        {
            // By an index where there is one, and false where there is no value.
            "eq" => $"({of} = {value} and {of} is not null)",
            "ne" => $"coalesce({of} <> {value}, true)",
            "co" or "sw" or "ew" when length == 0 => $"({of} is not null)",
            "co" => $"coalesce(replace({of}, {value}, '') <> {of}, false)",
            "sw" => $"coalesce(substr({of}, 1, {length}) = {value}, false)",
            "ew" => $"coalesce(length({of}) >= {length} and substr({of}, length({of}) - {length} + 1) = {value}, false)",
            _ => $"coalesce({of} {Sql.Raw(Sign(operation)!)} {value}, false)", // gt, ge, lt and le are left
        };
    }

    static string? Sign(string operation) => operation switch
    {
        "eq" => "=",
        "ne" => "<>",
        "gt" => ">",
        "ge" => ">=",
        "lt" => "<",
        "le" => "<=",
        _ => null,
    };
}
