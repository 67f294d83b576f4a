using System.Buffers.Text;
using System.Data.Common;
using System.Globalization;
using System.Text.Json;
using Tandem.Core.Contracts;
using Tandem.Core.Data;

namespace Tandem.Users.Import;

/// <summary>What belongs to a person beside the account itself, and goes along in an export of everything: a member of the account for each table, a list of its rows.</summary>
static class PersonTables
{
    /// <summary>More than anybody has, and a bound on what a file has stored for one account.</summary>
    const int MaxRows = 1000;

    const int DigestLength = 64;

    public static IReadOnlyList<PersonTable> All { get; } =
    [
        new("passkeys", "users_passkeys",
        [
            new("id", Kind.Id), new("user_handle", Kind.Text), new("credential_id", Kind.Bytes, 1023), new("public_key", Kind.Bytes, 4096), new("sign_count", Kind.Number, uint.MaxValue),
            new("transports", Kind.Text) { IsOptional = true }, new("is_backup_eligible", Kind.Flag), new("is_backed_up", Kind.Flag), new("name", Kind.Text), new("created_at", Kind.Time),
            new("last_used_at", Kind.Time) { IsOptional = true },
        ], "id"),
        // One that has not shown a code yet is none.
        new("authenticator_app", "users_totp",
        [
            new("key_id", Kind.Seal), new("secret", Kind.Bytes, 128), new("last_step", Kind.Number), new("created_at", Kind.Time), new("confirmed_at", Kind.Time),
        ], "created_at") { Where = "and m.confirmed_at is not null" },
        new("recovery_codes", "users_recovery_codes", [new("digest", Kind.Text, DigestLength)], "digest"),
        new("logins_elsewhere", "users_upstream_logins",
        [
            new("id", Kind.Id), new("issuer", Kind.Text, 2000), new("subject", Kind.Text, 2000), new("email", Kind.Text, 2000) { IsOptional = true }, new("created_at", Kind.Time),
            new("last_used_at", Kind.Time) { IsOptional = true },
        ], "id"),
        new("api_keys", "users_sessions",
        [
            new("id", Kind.Id), new("key_name", Kind.Text) { Json = "name" }, new("key_digest", Kind.Text, DigestLength) { Json = "digest" }, new("scopes", Kind.Text, 4000) { IsOptional = true },
            new("created_at", Kind.Time), new("last_used_at", Kind.Time), new("expires_at", Kind.Time), new("key_first_used_at", Kind.Time) { Json = "first_used_at", IsOptional = true },
        ], "id")
        {
            Where = "and m.key_digest is not null and m.ended_at is null",
            Also = ("generation, rotated_at, access_until", row => $"0, {row[4]}, {row[6]}"),
        },
        new("consents", "users_consents", [new("client_id", Kind.Text), new("scopes", Kind.Text, 4000), new("given_at", Kind.Time)], "client_id"),
        new("directory", "users_directory",
        [
            new("external_id", Kind.Text, 2000) { IsOptional = true }, new("formatted", Kind.Text, 2000) { IsOptional = true }, new("given_name", Kind.Text, 2000) { IsOptional = true },
            new("family_name", Kind.Text, 2000) { IsOptional = true },
        ], "account_id"),
        new("directory_emails", "users_directory_emails",
        [
            new("position", Kind.Number, MaxRows), new("value", Kind.Text, 2000), new("type", Kind.Text) { IsOptional = true }, new("is_primary", Kind.Flag),
        ], "position"),
        new("groups", "users_group_members",
        [
            new("group_id", Kind.Id) { Json = "id" }, new("name", Kind.Text, 2000) { IsParents = true }, new("external_id", Kind.Text, 2000) { IsParents = true, IsOptional = true },
            new("created_at", Kind.Time) { IsParents = true }, new("changed_at", Kind.Time) { IsParents = true },
        ], "group_id") { Parent = "users_groups", ParentAlso = ("name_key", row => $"{((string)row[1]!).ToLowerInvariant()}") }, // a name is there: it is not optional
        new("organisations", "users_members",
        [
            new("organisation_id", Kind.Id) { Json = "id" }, new("slug", Kind.Text) { IsParents = true }, new("name", Kind.Text, 2000) { IsParents = true },
            new("created_at", Kind.Time) { IsParents = true }, new("role", Kind.Text) { Among = [.. Enum.GetNames<OrganisationRole>().Select(r => r.ToLowerInvariant())] },
            new("created_at", Kind.Time) { Json = "joined_at" },
        ], "organisation_id") { Parent = "users_organisations" },
    ];

    /// <summary>Takes the rows of a record, and checks them.</summary>
    /// <exception cref="RefusedException">One is not as it has to be, or they cannot be stored with this account.</exception>
    public static List<PersonRow> Read(JsonElement record, bool keepIds)
    {
        var rows = new List<PersonRow>();
        foreach (var table in All)
        {
            if (!record.TryGetProperty(table.Member, out var list) || list.ValueKind == JsonValueKind.Null)
                continue;
            if (!keepIds)
                throw new RefusedException(table.Member, "belongs to the account by its id: import with --keep-ids, or export without --everything");
            if (list.ValueKind != JsonValueKind.Array)
                throw new RefusedException(table.Member, "is no list");
            if (list.GetArrayLength() > MaxRows)
                throw new RefusedException(table.Member, $"has more than {MaxRows} entries");
            foreach (var (i, row) in list.EnumerateArray().Index())
                rows.Add(new PersonRow(table, table.Read(row, $"{table.Member}[{i}]")));
        }

        return rows;
    }
}

enum Kind
{
    Text,
    Id,
    Number,
    Flag,
    Time,
    /// <summary>In base64url.</summary>
    Bytes,
    /// <summary>The id of the key that the column behind it is sealed with. It stays here: outside, that one is in the clear.</summary>
    Seal,
}

/// <param name="Max">Characters of a text, bytes, or the greatest number.</param>
sealed record Column(string Name, Kind Kind, long Max = 0)
{
    public string Json { get; init; } = Name;
    public bool IsOptional { get; init; }
    /// <summary>It is of the group or organisation, not of the person's place in it.</summary>
    public bool IsParents { get; init; }
    public string[]? Among { get; init; }
}

/// <param name="Member">What the export calls it.</param>
/// <param name="Order">In which the rows of a person stand.</param>
sealed record PersonTable(string Member, string Name, Column[] Columns, string Order)
{
    const int MaxText = 200;

    /// <summary>Which rows go along.</summary>
    public string Where { get; init; } = "";
    /// <summary>What the first column names: a group, an organisation. Made where it is not there.</summary>
    public string? Parent { get; init; }
    /// <summary>Columns that follow from the others.</summary>
    public (string Columns, Func<object?[], Sql> Values)? Also { get; init; }
    public (string Columns, Func<object?[], Sql> Values)? ParentAlso { get; init; }

    /// <summary>The rows of accounts with ids from one to another, each behind its account's id.</summary>
    public Sql Select(long first, long last) => $"""
        select m.account_id, {Sql.Raw(string.Join(", ", Columns.Select(c => $"{(c.IsParents ? "p" : "m")}.{c.Name}")))}
        from {Sql.Raw(Name)} m {Sql.Raw(Parent is null ? "" : $"join {Parent} p on p.id = m.{Columns[0].Name}")}
        where m.account_id between {first} and {last} {Sql.Raw(Where)} order by m.account_id, m.{Sql.Raw(Order)}
        """;

    /// <summary>Changes no row where there is one already that is the same person's or credential.</summary>
    public Sql Insert(long accountId, object?[] row)
    {
        var own = Columns.Index().Where(c => !c.Item.IsParents).ToList();
        return $"""
            insert into {Sql.Raw(Name)} (account_id, {Sql.Raw(string.Join(", ", own.Select(c => c.Item.Name)) + (Also is { } more ? ", " + more.Columns : ""))})
            values ({accountId}, {Values(own.Select(c => row[c.Index]), Also, row)}) on conflict do nothing
            """;
    }

    public Sql InsertParent(object?[] row)
    {
        var its = Columns.Index().Where(c => c.Item.IsParents).ToList();
        return $"""
            insert into {Sql.Raw(Parent!)} (id, {Sql.Raw(string.Join(", ", its.Select(c => c.Item.Name)) + (ParentAlso is { } more ? ", " + more.Columns : ""))})
            values ({row[0]}, {Values(its.Select(c => row[c.Index]), ParentAlso, row)}) on conflict do nothing
            """;
    }

    static Sql Values(IEnumerable<object?> values, (string, Func<object?[], Sql> Values)? also, object?[] row)
    {
        var all = Sql.Raw("");
        foreach (var (i, value) in values.Index())
        {
            all.AppendLiteral(i == 0 ? "" : ", ");
            all.AppendFormatted(value);
        }

        return also is { } more ? (Sql)$"{all}, {more.Values(row)}" : all;
    }

    /// <summary>A row as either engine gives it, without its account's id.</summary>
    public object?[] Read(DbDataReader reader) => [.. Columns.Select((c, i) => reader.GetValue(i + 1) is var value and not DBNull ? c.Kind switch
    {
        Kind.Id => value is Guid ? value : Guid.Parse((string)value),
        Kind.Number => Convert.ToInt64(value, CultureInfo.InvariantCulture),
        Kind.Flag => Convert.ToBoolean(value, CultureInfo.InvariantCulture),
        Kind.Time => value is DateTime time
            ? DateTime.SpecifyKind(time, DateTimeKind.Utc)
            : DateTime.Parse((string)value, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal),
        _ => value,
    } : null)];

    public void Write(Utf8JsonWriter json, object?[] row)
    {
        json.WriteStartObject();
        foreach (var (i, column) in Columns.Index().Where(c => c.Item.Kind != Kind.Seal))
        {
            json.WritePropertyName(column.Json);
            switch (row[i])
            {
                case null: json.WriteNullValue(); break;
                case long number: json.WriteNumberValue(number); break;
                case bool flag: json.WriteBooleanValue(flag); break;
                case DateTime time: json.WriteStringValue(ExportCommand.Time(time)); break;
                case byte[] bytes: json.WriteStringValue(Base64Url.EncodeToString(bytes)); break;
                case var text: json.WriteStringValue(text.ToString()); break;
            }
        }

        json.WriteEndObject();
    }

    /// <param name="where">What a refusal calls the row.</param>
    /// <exception cref="RefusedException">It is not as it has to be.</exception>
    public object?[] Read(JsonElement row, string where)
    {
        if (row.ValueKind != JsonValueKind.Object)
            throw new RefusedException(where, "is no object");
        foreach (var member in row.EnumerateObject())
            if (!Columns.Any(c => c.Json == member.Name && c.Kind != Kind.Seal))
                throw new RefusedException($"{where}.{member.Name}", $"is not known here; known are {string.Join(", ", Columns.Where(c => c.Kind != Kind.Seal).Select(c => c.Json))}");
        return [.. Columns.Select(c => c.Kind == Kind.Seal ? null : Value(c, row, $"{where}.{c.Json}"))];
    }

    static object? Value(Column column, JsonElement row, string where)
    {
        if (!row.TryGetProperty(column.Json, out var value) || value.ValueKind == JsonValueKind.Null)
            return column.IsOptional ? null : throw new RefusedException(where, "is missing");
        if (column.Kind == Kind.Flag)
            return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw new RefusedException(where, "is neither true nor false");
        if (column.Kind == Kind.Number)
        {
            var greatest = column.Max > 0 ? column.Max : ImportedUser.MaxId;
            return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) && number >= 0 && number <= greatest ? number : throw new RefusedException(where, $"is no number from 0 to {greatest}");
        }

        var text = TextOf(value) ?? throw new RefusedException(where, "is no text");
        if (column.Kind == Kind.Id)
            return Guid.TryParseExact(text, "D", out var id) ? id : throw new RefusedException(where, "is no id like 01234567-89ab-cdef-0123-456789abcdef");
        if (column.Kind == Kind.Time)
            return new SourceFields(row).Time(column.Json) ?? throw new RefusedException(where, "is no time like 2026-01-31T12:00:00Z");
        if (column.Kind == Kind.Bytes)
            return text.Length <= column.Max * 2 && Base64Url.IsValid(text, out var length) && length > 0 && length <= column.Max
                ? Base64Url.DecodeFromChars(text)
                : throw new RefusedException(where, $"is not base64url of 1 to {column.Max} bytes");
        var longest = column.Max > 0 ? column.Max : MaxText;
        if (text.Length > longest || text.Contains('\0'))
            throw new RefusedException(where, $"is no text of at most {longest} characters");
        return column.Among?.Contains(text) != false ? text : throw new RefusedException(where, $"is none of {string.Join(", ", column.Among)}");
    }

    static string? TextOf(JsonElement value)
    {
        try
        {
            return value.ValueKind == JsonValueKind.String ? value.GetString() : null;
        }
        catch (InvalidOperationException)
        {
            // Half of a surrogate pair.
            return null;
        }
    }
}

/// <param name="Values">In the order of the table's columns.</param>
sealed record PersonRow(PersonTable Table, object?[] Values);
