using System.Globalization;
using Microsoft.AspNetCore.Http;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Core.Resources;

/// <summary>Which items a list shows, and in which order.</summary>
/// <param name="Where">Conditions, beginning with <c>where</c>, or empty.</param>
/// <param name="OrderBy">The columns to sort by; ends with the id, so that pages never overlap.</param>
/// <param name="Skip">How many to leave out.</param>
/// <param name="Limit">How many to show.</param>
sealed record ResourceQuery(Sql Where, string OrderBy, int Skip, int Limit);

/// <summary>A query parameter that filters: <c>price_gte=1</c>.</summary>
/// <param name="Name">The parameter's name.</param>
/// <param name="Column">What it compares.</param>
/// <param name="Operator">eq, ne, lt, lte, gt, gte, in, contains or null.</param>
sealed record Filter(string Name, Column Column, string Operator);

/// <summary>Reads the query strings of a resource's lists. What it takes is worked out once, and the documentation is made from the same.</summary>
sealed class ResourceFilters
{
    // Each value is a parameter of the statement and makes it a text of its own.
    const int MaxChoices = 100;
    // Above this nobody sorts on purpose.
    const int MaxSorts = 8;

    static readonly string[] Ours = ["skip", "limit", "sort"];
    static readonly string[] Equality = ["eq", "ne", "in"];
    static readonly string[] Order = ["lt", "lte", "gt", "gte"];

    readonly Dictionary<string, Filter> _filters = [];
    readonly Dictionary<string, Column> _sortable;

    public ResourceFilters(Shape shape)
    {
        var identified = Json.Options.GetTypeInfo(typeof(Identified));
        Column[] columns = [new Column(identified, identified.Properties[0]), .. shape.Columns];
        _sortable = columns.Where(c => c.Kind != ColumnKind.Json).ToDictionary(c => c.Name);
        // Two rounds: a property that is really called price_lt goes before the comparison of price.
        foreach (var column in _sortable.Values)
            Add(new Filter(Ours.Contains(column.Name) ? column.Name + "_eq" : column.Name, column, "eq"));
        foreach (var column in columns)
            foreach (var op in Operators(column).Where(o => o != "eq"))
                Add(new Filter($"{column.Name}_{op}", column, op));

        void Add(Filter filter) => _filters.TryAdd(filter.Name, filter);
    }

    sealed record Identified(long Id);

    public IReadOnlyCollection<Filter> Filters => _filters.Values;

    public IReadOnlyCollection<string> Sortable => _sortable.Keys;

    static IEnumerable<string> Operators(Column column) =>
    [
        .. column.Kind == ColumnKind.Json ? [] : Equality,
        .. column.Kind is ColumnKind.Json or ColumnKind.Boolean or ColumnKind.Choice or ColumnKind.Uuid ? [] : Order,
        .. column.Kind == ColumnKind.Text ? ["contains"] : Array.Empty<string>(),
        .. column.IsNullable ? ["null"] : Array.Empty<string>(),
    ];

    /// <exception cref="ProblemException">http/invalid (422), with every parameter that is unknown or wrong.</exception>
    public ResourceQuery Read(IQueryCollection query)
    {
        var faults = new Dictionary<string, string[]>();
        var where = Sql.Raw("");
        var (skip, limit, orderBy) = (0, Paging.DefaultLimit, "id");
        foreach (var (name, values) in query)
            foreach (var value in values)
            {
                var fault = name switch
                {
                    "skip" or "limit" or "sort" when values.Count > 1 => "is given more than once",
                    "skip" => Number(value, 0, int.MaxValue, ref skip),
                    "limit" => Number(value, 1, Paging.MaxLimit, ref limit),
                    "sort" => Sort(value ?? "", out orderBy),
                    _ when _filters.TryGetValue(name, out var filter) => Condition(filter, value ?? "", where),
                    _ => $"is not a parameter of this list; it takes skip, limit, sort and the fields {string.Join(", ", _sortable.Keys)}, each also with an ending like _ne, _gte or _in",
                };
                if (fault is not null && faults.Count < 50)
                    faults[name] = [fault];
            }

        return faults.Count == 0 ? new ResourceQuery(where, orderBy, skip, limit) : throw new ProblemException(HttpProblems.Invalid, null, faults);
    }

    static string? Number(string? text, int least, int most, ref int number)
    {
        if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var read) || read < least || read > most)
            return $"must be an integer from {least} to {most}, not \"{text}\"";
        number = read;
        return null;
    }

    string? Sort(string text, out string orderBy)
    {
        orderBy = "id";
        var parts = new List<string>();
        var seen = new HashSet<string>();
        foreach (var field in text.Split(','))
        {
            var descending = field.StartsWith('-');
            if (!_sortable.TryGetValue(field.TrimStart('-'), out var column))
                return $"names \"{field}\", by which this list cannot be sorted; fields: {string.Join(", ", _sortable.Keys)}";
            if (!seen.Add(column.Name))
                return $"names {column.Name} twice";
            // Without it the engines disagree about where an empty field stands.
            parts.Add($"{column.Quoted} {(descending ? "desc" : "asc")} nulls last");
        }

        if (parts.Count > MaxSorts)
            return $"names more than {MaxSorts} fields";
        if (!seen.Contains("id"))
            parts.Add("id");
        orderBy = string.Join(", ", parts);
        return null;
    }

    static string? Condition(Filter filter, string text, Sql where)
    {
        var column = filter.Column;
        var values = new List<object?>();
        if (filter.Operator == "null")
        {
            if (text is not ("true" or "false"))
                return $"must be true or false, not \"{text}\"";
        }
        else
        {
            var texts = filter.Operator == "in" ? text.Split(',') : [text];
            if (texts.Length > MaxChoices)
                return $"names more than {MaxChoices} values";
            foreach (var one in texts)
            {
                if (column.Parse(one, out var value) is { } fault)
                    return fault;
                values.Add(value);
            }
        }

        where.AppendLiteral(where.Text.Length == 0 ? "where " : " and ");
        where.AppendLiteral(filter.Operator switch
        {
            "eq" => $"{column.Quoted} = ",
            // An empty field is not equal to anything, so it belongs to "not equal".
            "ne" => $"{column.Quoted} is distinct from ",
            "lt" => $"{column.Quoted} < ",
            "lte" => $"{column.Quoted} <= ",
            "gt" => $"{column.Quoted} > ",
            "gte" => $"{column.Quoted} >= ",
            "in" => $"{column.Quoted} in (",
            "contains" => $"instr({column.Quoted}, ",
            "null" => $"{column.Quoted} is {(text == "true" ? "" : "not ")}null",
            _ => throw new InvalidOperationException($"There is no operator {filter.Operator}."),
        });
        foreach (var (i, value) in values.Index())
        {
            if (i > 0)
                where.AppendLiteral(", ");
            where.AppendFormatted(value);
        }

        where.AppendLiteral(filter.Operator switch
        {
            "in" => ")",
            "contains" => ") > 0",
            _ => "",
        });
        return null;
    }
}
