using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.WebUtilities;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Users.Listing;

enum ListOrder
{
    Id,
    Email,
    CreatedAt,
}

/// <summary>Which accounts, in which order, and behind which of them.</summary>
sealed record ListQuery
{
    const int MaxText = 100;

    static readonly string[] Sorts = ["id", "email", "created_at", "-id", "-email", "-created_at"];

    public static ListQuery All { get; } = new();

    /// <summary>What is looked for in e-mail and name; null: nothing.</summary>
    public Needle? Needle { get; private init; }

    public ListOrder Order { get; private init; }

    public bool IsDescending { get; private init; }

    public bool? IsActive { get; private init; }

    public bool? IsAdministrator { get; private init; }

    public bool? IsVerified { get; private init; }

    /// <summary>Made not before this time.</summary>
    public DateTime? CreatedFrom { get; private init; }

    /// <summary>Made before this time.</summary>
    public DateTime? CreatedBefore { get; private init; }

    /// <summary>True: pages are told apart by the last account of the one before, not by a number of accounts to skip.</summary>
    public bool ByCursor { get; private init; }

    /// <summary>The account that the page comes behind; null: the first page.</summary>
    public ListCursor? After { get; private init; }

    public bool HasKinds => IsActive is not null || IsAdministrator is not null || IsVerified is not null;

    public bool HasTimes => CreatedFrom is not null || CreatedBefore is not null;

    /// <exception cref="ProblemException">users/list-parameter: one is not what it may be, or two do not go together.</exception>
    public static ListQuery Parse(string? q, string? match, string? sort, string? cursor, string? isActive, string? role, string? verified, string? createdFrom, string? createdBefore, int skip)
    {
        var isPrefix = Choice("match", match, "contains", "prefix") == "prefix";
        if (match is not null && q is null)
            throw Bad("match", "says how q is compared, and there is no q");
        var (from, before) = (Time("created_from", createdFrom), Time("created_before", createdBefore));
        var order = Choice("sort", sort, Sorts) ?? (q is null && (from ?? before) is not null ? "created_at" : "id");
        var query = new ListQuery
        {
            Needle = q is null ? null : Needle.Of(Text(q), isPrefix) ?? throw Bad("q", "must be more than accents"),
            Order = order.TrimStart('-') switch { "id" => ListOrder.Id, "email" => ListOrder.Email, _ => ListOrder.CreatedAt },
            IsDescending = order[0] == '-',
            IsActive = Flag("is_active", isActive),
            IsAdministrator = Choice("role", role, "administrator", "person") is { } known ? known == "administrator" : null,
            IsVerified = Flag("verified", verified),
            CreatedFrom = from,
            CreatedBefore = before,
            ByCursor = cursor is not null,
        };
        if (cursor is not null && skip > 0)
            throw Bad("skip", "does not go together with cursor: the cursor says where the page begins");
        return cursor is null or "" ? query : query with { After = ListCursor.Read(cursor, query) };
    }

    /// <summary>The list that a cursor belongs to: one of another list would begin anywhere.</summary>
    public ReadOnlySpan<byte> Mark => SHA256.HashData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture,
        $"{Order}\n{IsDescending}\n{IsActive}\n{IsAdministrator}\n{IsVerified}\n{CreatedFrom:O}\n{CreatedBefore:O}\n{Needle?.IsPrefix}\n{Needle?.Email}"))).AsSpan(0, 6);

    /// <summary>The conditions on an account, as SQL on the table <c>a</c>.</summary>
    public Sql Where
    {
        get
        {
            var where = new Sql(0, 0).Append(Sql.Raw("true"));
            // As they stand in the indexes of the few.
            if (IsActive is { } active)
                where.Append(Sql.Raw(active ? " and a.is_active" : " and not a.is_active"));
            if (IsAdministrator is { } administrator)
                where.Append(Sql.Raw(administrator ? " and a.is_administrator" : " and not a.is_administrator"));
            if (IsVerified is { } confirmed)
                where.Append(Sql.Raw(confirmed ? " and a.email_verified_at is not null" : " and a.email_verified_at is null"));
            if (CreatedFrom is { } from)
                where.Append($" and a.created_at >= {from}");
            if (CreatedBefore is { } before)
                where.Append($" and a.created_at < {before}");
            return where;
        }
    }

    /// <summary>The kinds of users_blocks that the conditions leave, as SQL to be put behind another condition.</summary>
    public Sql Kinds => HasKinds ? Sql.Raw($" and kind in ({string.Join(", ", Enumerable.Range(0, 8).Where(IsOfKind))})") : Sql.Raw("");

    bool IsOfKind(int kind) => (IsActive ?? (kind & 1) != 0) == ((kind & 1) != 0) && (IsAdministrator ?? (kind & 2) != 0) == ((kind & 2) != 0) && (IsVerified ?? (kind & 4) != 0) == ((kind & 4) != 0);

    /// <summary>The problem of a parameter that is not what it may be.</summary>
    public static ProblemException Bad(string parameter, string message) => new(UserProblems.ListParameter, errors: new Dictionary<string, string[]> { [parameter] = [message] });

    static string Text(string q) => q.Length is > 0 and <= MaxText && !string.IsNullOrWhiteSpace(q) && !q.Any(char.IsControl)
        ? q
        : throw Bad("q", $"must have 1 to {MaxText} characters, not only blanks and none of control");

    static string? Choice(string parameter, string? value, params string[] allowed) => value is null || allowed.Contains(value)
        ? value
        : throw Bad(parameter, $"must be one of {string.Join(", ", allowed)}");

    static bool? Flag(string parameter, string? value) => Choice(parameter, value, "true", "false") is { } known ? known == "true" : null;

    static DateTime? Time(string parameter, string? value)
    {
        if (value is null)
            return null;
        string[] forms = ["yyyy-MM-dd", "yyyy-MM-ddTHH:mm:ssK", "yyyy-MM-ddTHH:mm:ss.FFFFFFK"];
        return DateTime.TryParseExact(value, forms, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out var time)
            ? time
            : throw Bad(parameter, "must be a day or a time, like 2026-01-31 or 2026-01-31T12:00:00Z");
    }
}

/// <summary>What is looked for: in e-mails, which are stored in lower case, and in names, which are compared without accents as well.</summary>
sealed record Needle(string Email, string Name, bool IsPrefix)
{
    // The index is of three characters; of fewer it knows nothing.
    const int Indexed = 3;

    public bool IsIndexed => IsPrefix || Trigrams(Email).Count > 0 && Trigrams(Name).Count > 0;

    /// <returns>Null when nothing is left to look for.</returns>
    public static Needle? Of(string text, bool isPrefix) => SearchText.Fold(text) is { Length: > 0 } name ? new Needle(UserTable.Fold(text), name, isPrefix) : null;

    /// <param name="email">As stored.</param>
    /// <param name="name">Folded.</param>
    public bool IsIn(string email, string name) => IsPrefix
        ? email.StartsWith(Email, StringComparison.Ordinal) || name.StartsWith(Name, StringComparison.Ordinal)
        : email.Contains(Email, StringComparison.Ordinal) || name.Contains(Name, StringComparison.Ordinal);

    /// <summary>Every three characters that follow each other, each once.</summary>
    public static List<string> Trigrams(string text)
    {
        var runes = text.EnumerateRunes().ToArray();
        return [.. Enumerable.Range(0, Math.Max(0, runes.Length - Indexed + 1)).Select(i => string.Concat(runes[i..(i + Indexed)])).Distinct()];
    }
}

/// <summary>The last account of a page: what comes behind it is the next one. Whoever changes one learns nothing that another request would not say.</summary>
/// <param name="Key">What the list is sorted by, as text; empty for the id.</param>
/// <param name="Id">The account.</param>
/// <param name="IsLong">The search has found more than are counted.</param>
sealed record ListCursor(string Key, long Id, bool IsLong = false)
{
    // An e-mail of 254 characters, each of four bytes, in base64.
    const int MaxLength = 1500;

    const string TimeFormat = "yyyy-MM-dd HH:mm:ss.ffffff";

    public DateTime Time => DateTime.ParseExact(Key, TimeFormat, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal);

    public static ListCursor Behind(Account account, ListQuery query) => new(query.Order switch
    {
        ListOrder.Email => account.Email,
        ListOrder.CreatedAt => account.CreatedAt.ToString(TimeFormat, CultureInfo.InvariantCulture),
        _ => "",
    }, account.Id);

    public string Write(ListQuery query) => WebEncoders.Base64UrlEncode([.. query.Mark, .. Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{(IsLong ? 'l' : 'c')}{Id}\n{Key}"))]);

    public static ListCursor Read(string text, ListQuery query)
    {
        var bytes = Decode(text);
        if (!bytes.AsSpan().StartsWith(query.Mark))
            throw Bad("belongs to a list with another q, match, sort or filter; begin again with an empty one");
        var (head, key) = Encoding.UTF8.GetString(bytes, query.Mark.Length, bytes.Length - query.Mark.Length).Split('\n', 2) is [var first, var rest] ? (first, rest) : ("", "");
        if (head.Length < 2 || head[0] is not ('l' or 'c') || !long.TryParse(head.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out var id))
            throw Bad(NotOne);
        var cursor = new ListCursor(key, id, head[0] == 'l');
        var isKey = query.Order switch
        {
            ListOrder.Email => key.Length > 0 && !key.Any(char.IsControl),
            ListOrder.CreatedAt => DateTime.TryParseExact(key, TimeFormat, CultureInfo.InvariantCulture, DateTimeStyles.None, out _),
            _ => key.Length == 0,
        };
        return isKey ? cursor : throw Bad(NotOne);
    }

    const string NotOne = "is none that a Link of this list has; begin again with an empty one";

    static byte[] Decode(string text)
    {
        if (text.Length > MaxLength)
            throw Bad(NotOne);
        try
        {
            return WebEncoders.Base64UrlDecode(text);
        }
        catch (FormatException)
        {
            throw Bad(NotOne);
        }
    }

    static ProblemException Bad(string message) => ListQuery.Bad("cursor", message);
}
