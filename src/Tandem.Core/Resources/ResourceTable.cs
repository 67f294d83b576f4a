using System.Globalization;
using System.Text;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Http;

namespace Tandem.Core.Resources;

/// <summary>What became of a change.</summary>
enum Outcome
{
    Done,
    NotFound,

    /// <summary>It is not of the version the caller wants to change; nothing was written.</summary>
    Conflict,
}

/// <summary>A new item as it is answered, now and to a repetition.</summary>
/// <param name="Id">Its id.</param>
/// <param name="At">UTC.</param>
/// <param name="Item">The JSON object of its members, without the id.</param>
sealed record NewItem(long Id, DateTime At, string Item);

/// <summary>The table of one resource: a column per property, and an event beside every change.</summary>
sealed class ResourceTable
{
    // Of an event's payload, around the id and the item.
    const string Front = "{\"id\":", Middle = ",\"item\":", Back = "}";

    readonly Shape _shape;
    readonly string _created;
    readonly string _changed;
    readonly string _deleted;
    readonly string _name;
    readonly string _insert;
    readonly string _find;
    readonly string _row;
    readonly string _update;
    readonly string _delete;

    public ResourceTable(Shape shape, string name)
    {
        _shape = shape;
        (_created, _changed, _deleted) = ($"{name}.created", $"{name}.changed", $"{name}.deleted");
        _name = "resources_" + name.Replace('-', '_');
        var columns = shape.Columns.Select(c => c.Quoted).ToArray();
        _row = string.Join(", ", ["id", "row_version", "row_updated_at", .. columns]);
        // @p0 is always the time; the values follow in the order of the columns.
        _insert = $"""
            insert into {_name} ({string.Join(", ", ["row_version", "row_created_at", "row_updated_at", .. columns])})
            values (1, @p0, @p0{string.Concat(columns.Select((_, i) => $", @p{i + 1}"))}) returning id
            """;
        _update = $"""
            update {_name} set row_version = row_version + 1, row_updated_at = @p0{string.Concat(columns.Select((c, i) => $", {c} = @p{i + 1}"))}
            where id = @p{columns.Length + 1} returning row_version
            """;
        _find = $"select {_row} from {_name} where id = @p0";
        _delete = $"delete from {_name} where id = @p0 returning {_row}";
    }

    public async Task<Row> AddAsync(Db db, object?[] values, DateTime now, CancellationToken ct)
    {
        var item = ItemJson(values);
        var id = await db.ChangeAsync<long>(new Sql(_insert, [now, .. values]), RowEvent.OfNewId(_created, Front, Middle + item + Back), standsAlone: false, ct);
        return new Row(id, 1, now, values);
    }

    /// <summary>The same, once per key.</summary>
    public async Task<NewItem> AddOnceAsync(Db db, IdempotencyKey key, object?[] values, DateTime now, CancellationToken ct)
    {
        var item = ItemJson(values);
        var added = await db.OnceAsync(key, async tx => new NewItem(await InsertAsync(tx, values, item, now), now, item), ct);
        return added!; // the body makes one
    }

    async Task<long> InsertAsync(Transaction tx, object?[] values, string item, DateTime now)
    {
        var id = await tx.FindAsync<long>(new Sql(_insert, [now, .. values]), CancellationToken.None);
        await PublishAsync(tx, _created, id, item);
        return id;
    }

    public async Task<Row?> FindAsync(Db db, long id, CancellationToken ct) =>
        (await db.ListAsync(new Sql(_find, [id]), _shape.ReadRow, ct)).FirstOrDefault();

    public async Task<(List<Row> Rows, long Total)> ListAsync(Db db, ResourceQuery query, CancellationToken ct)
    {
        var total = Sql.Raw($"select count(*) from {_name} ").Append(query.Where);
        // One statement, so both are of the same instant.
        var page = Sql.Raw($"select {_row}, (").Append(total).Append(Sql.Raw($") from {_name} ")).Append(query.Where)
            .Append(Sql.Raw($" order by {query.OrderBy} ")).Append(Sql.Page(query.Skip, query.Limit));
        var rows = await db.ListAsync(page, r => (Row: _shape.ReadRow(r), Total: r.GetInt64(r.FieldCount - 1)), ct);
        return (rows.ConvertAll(r => r.Row), rows is [var first, ..] ? first.Total : await db.FindAsync<long>(total, ct));
    }

    /// <param name="mayChange">Says whether this version may be changed; null: any.</param>
    public async Task<(Outcome Outcome, Row? Row)> ReplaceAsync(Db db, long id, Func<long, bool>? mayChange, object?[] values, DateTime now, CancellationToken ct)
    {
        var item = ItemJson(values);
        var (outcome, version) = await db.InTransactionAsync(async tx =>
        {
            if (mayChange is not null && await RefuseAsync(tx, id, mayChange, ct) is { } refused)
                return (refused, 0L);
            var version = await tx.FindAsync<long>(new Sql(_update, [now, .. values, id]), ct);
            if (version == 0)
                return (Outcome.NotFound, 0L);
            await PublishAsync(tx, _changed, id, item);
            return (Outcome.Done, version);
        }, ct);
        return (outcome, outcome == Outcome.Done ? new Row(id, version, now, values) : null);
    }

    /// <inheritdoc cref="ReplaceAsync"/>
    public Task<Outcome> DeleteAsync(Db db, long id, Func<long, bool>? mayChange, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        if (mayChange is not null && await RefuseAsync(tx, id, mayChange, ct) is { } refused)
            return refused;
        if (await tx.ListAsync(new Sql(_delete, [id]), _shape.ReadRow, ct) is not [var row])
            return Outcome.NotFound;
        await PublishAsync(tx, _deleted, id, ItemJson(row.Values));
        return Outcome.Done;
    }, ct);

    async Task<Outcome?> RefuseAsync(Transaction tx, long id, Func<long, bool> mayChange, CancellationToken ct) =>
        await tx.FindAsync<long>(new Sql($"select row_version from {_name} where id = @p0", [id]), ct) switch
        {
            0 => Outcome.NotFound,
            var version when mayChange(version) => null,
            _ => Outcome.Conflict,
        };

    public string ItemJson(object?[] values) => JsonWire.Text((_shape, values), static (json, state) =>
    {
        json.WriteStartObject();
        state._shape.WriteMembers(json, state.values);
        json.WriteEndObject();
    });

    static Task PublishAsync(Transaction tx, string name, long id, string item)
    {
        var key = id.ToString(CultureInfo.InvariantCulture);
        return tx.PublishAsync(name, key, Front + key + Middle + item + Back, CancellationToken.None);
    }

    /// <summary>What has to be run so that the table holds every property: nothing, a new table, or new columns.</summary>
    /// <exception cref="ConfigurationException">Stored rows cannot be brought to the type; the message says what to do.</exception>
    public string MissingSchema(Schema schema)
    {
        var existing = schema.Columns(_name);
        if (existing.Count == 0)
            return $"""
                create table if not exists {_name} (
                    id {schema.Identity},
                    row_version {schema.TypeOf(typeof(long))} not null,
                    row_created_at {schema.TypeOf(typeof(DateTime))} not null,
                    row_updated_at {schema.TypeOf(typeof(DateTime))} not null{string.Concat(_shape.Columns.Select(c => $",\n    {c.Quoted} {schema.Declare(c.StoredType)}"))}
                );
                """;
        var script = new StringBuilder();
        foreach (var column in _shape.Columns)
            if (!existing.TryGetValue(column.Name, out var type))
                script.AppendLine(CultureInfo.InvariantCulture, $"alter table {_name} add column {column.Quoted} {schema.Declare(column.StoredType)}{DefaultOf(column, schema)};");
            else if (type != schema.TypeOf(column.StoredType))
                throw new ConfigurationException(
                    $"{_shape.Type.Name}.{column.MemberName} is kept as {schema.TypeOf(column.StoredType)}, but the column {column.Name} of {_name} holds {type} from an earlier program. "
                    + $"Give the property another name, or move the values over and drop the column: alter table {_name} drop column {column.Quoted}.");
        return script.ToString();
    }

    /// <summary>What the rows that are there already have in a new column.</summary>
    string DefaultOf(Column column, Schema schema)
    {
        if (column.TryDefault(out var value))
            return value is null ? "" : $" default {schema.Literal(value)}";
        if (column.IsNullable || !schema.HasRows(_name))
            return "";
        throw new ConfigurationException(
            $"{_shape.Type.Name}.{column.MemberName} is new and must not be empty, but {_name} has rows without it. Make it nullable, or give it a default value: the rows get that.");
    }
}
