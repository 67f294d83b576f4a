using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;
using Tandem.Core.Http;

namespace Tandem.Core.Resources;

/// <summary>Says in the OpenAPI document what the endpoints of a resource take and answer.</summary>
sealed class ResourceDocs(Shape shape, ResourceFilters filters)
{
    readonly string _name = shape.Noun.ToLowerInvariant();
    readonly string _schema = shape.Type.Name.Split('`')[0];

    public async Task CreateAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        var schemas = await SchemasAsync(context, ct);
        operation.Summary = $"Create: {_name}";
        operation.RequestBody = Body(schemas.Input, "application/json");
        operation.Responses = new OpenApiResponses { ["201"] = One(schemas, "Stored.", ("Location", "Where it is.")) };
    }

    public async Task ListAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        var schemas = await SchemasAsync(context, ct);
        operation.Summary = $"List: {_name}";
        operation.Description = $"Every condition given must hold. Fields: {string.Join(", ", filters.Sortable)}.";
        operation.Parameters =
        [
            Query("skip", Number(0, int.MaxValue, 0), "How many to leave out."),
            Query("limit", Number(1, Paging.MaxLimit, Paging.DefaultLimit), "How many to show."),
            Query("sort", new OpenApiSchema { Type = JsonSchemaType.String, Examples = ["-" + filters.Sortable.Last()] }, "Fields to sort by, separated by commas; a minus before one turns it round. Empty ones come last."),
            .. filters.Filters.Select(f => Query(f.Name, SchemaOf(f), Explain(f), isList: f.Operator == "in")),
        ];
        operation.Responses = new OpenApiResponses
        {
            ["200"] = new OpenApiResponse { Description = "A page.", Content = Json(new OpenApiSchema { Type = JsonSchemaType.Array, Items = schemas.Answer }) },
        };
    }

    public async Task GetAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        var schemas = await SchemasAsync(context, ct);
        operation.Summary = $"Read: {_name}";
        operation.Parameters = [Id(), Header("If-None-Match", "The ETag you have; 304 when it is still the one.")];
        operation.Responses = new OpenApiResponses
        {
            ["200"] = One(schemas, "The item."),
            ["304"] = new OpenApiResponse { Description = "You have this version." },
        };
    }

    public async Task PatchAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        var schemas = await SchemasAsync(context, ct);
        operation.Summary = $"Change some fields: {_name}";
        operation.Description = "JSON Merge Patch (RFC 7396): a field left out stays as it was, null empties it.";
        operation.Parameters = [Id(), IfMatch()];
        operation.RequestBody = Body(schemas.Patch, "application/merge-patch+json", "application/json");
        operation.Responses = new OpenApiResponses { ["200"] = One(schemas, "Changed.") };
    }

    public async Task ReplaceAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        var schemas = await SchemasAsync(context, ct);
        operation.Summary = $"Replace: {_name}";
        operation.Parameters = [Id(), IfMatch()];
        operation.RequestBody = Body(schemas.Input, "application/json");
        operation.Responses = new OpenApiResponses { ["200"] = One(schemas, "Replaced.") };
    }

    public Task DeleteAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        operation.Summary = $"Delete: {_name}";
        operation.Parameters = [Id(), IfMatch()];
        operation.Responses = new OpenApiResponses { ["204"] = new OpenApiResponse { Description = "Deleted." } };
        return Task.CompletedTask;
    }

    sealed record Schemas(IOpenApiSchema Answer, IOpenApiSchema Input, IOpenApiSchema Patch);

    async Task<Schemas> SchemasAsync(OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        var document = context.Document ?? throw new InvalidOperationException("The framework passes the document to every transformer.");
        var (input, patch) = ("New" + _schema, _schema + "Patch");
        if (document.Components?.Schemas?.ContainsKey(input) != true)
        {
            var record = await context.GetOrCreateSchemaAsync(shape.Type, null, ct);
            AllowNull(record, Core.Http.Json.Options.GetTypeInfo(shape.Type));
            var properties = record.Properties ?? new Dictionary<string, IOpenApiSchema>();
            var writable = shape.Columns.Where(c => c.IsWritable).Select(c => c.Name).ToHashSet();
            document.AddComponent(_schema, new OpenApiSchema
            {
                Type = JsonSchemaType.Object,
                Properties = properties.Prepend(new("id", Integer())).ToDictionary(),
                // An answer always has all of them.
                Required = properties.Keys.Prepend("id").ToHashSet(),
            });
            document.AddComponent(input, new OpenApiSchema
            {
                Type = JsonSchemaType.Object,
                Properties = properties.Where(p => writable.Contains(p.Key)).ToDictionary(),
                Required = record.Required?.Where(writable.Contains).ToHashSet(),
            });
            document.AddComponent(patch, new OpenApiSchema
            {
                Type = JsonSchemaType.Object,
                Properties = properties.Where(p => writable.Contains(p.Key)).ToDictionary(),
            });
        }

        return new Schemas(new OpenApiSchemaReference(_schema, document), new OpenApiSchemaReference(input, document), new OpenApiSchemaReference(patch, document));
    }

    /// <summary>For nested records and enumerations the framework leaves null to whoever refers to the schema; here they stand where they are used.</summary>
    static void AllowNull(OpenApiSchema schema, JsonTypeInfo type)
    {
        if (type.Kind == JsonTypeInfoKind.Enumerable && type.ElementType is { } item && schema.Items is OpenApiSchema items)
            AllowNull(items, Core.Http.Json.Options.GetTypeInfo(item));
        foreach (var property in type.Properties)
            if (schema.Properties?.TryGetValue(property.Name, out var found) == true && found is OpenApiSchema inner)
            {
                AllowNull(inner, Core.Http.Json.Options.GetTypeInfo(Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType));
                if ((property.AssociatedParameter?.IsNullable ?? property.IsSetNullable) && inner.Type?.HasFlag(JsonSchemaType.Null) != true && inner.OneOf is null)
                    schema.Properties[property.Name] = new OpenApiSchema { OneOf = [new OpenApiSchema { Type = JsonSchemaType.Null }, inner] };
            }
    }

    static OpenApiRequestBody Body(IOpenApiSchema schema, params string[] types) => new()
    {
        Required = true,
        Content = types.ToDictionary(t => t, _ => new OpenApiMediaType { Schema = schema }),
    };

    static OpenApiResponse One(Schemas schemas, string description, params (string Name, string Description)[] headers) => new()
    {
        Description = description,
        Content = Json(schemas.Answer),
        Headers = headers.Append(("ETag", "Its version, for If-Match and If-None-Match.")).Append(("Last-Modified", "When it was changed."))
            .ToDictionary(h => h.Item1, h => (IOpenApiHeader)new OpenApiHeader { Description = h.Item2, Schema = new OpenApiSchema { Type = JsonSchemaType.String } }),
    };

    static Dictionary<string, OpenApiMediaType> Json(IOpenApiSchema schema) => new() { ["application/json"] = new OpenApiMediaType { Schema = schema } };

    static OpenApiSchema Integer() => new() { Type = JsonSchemaType.Integer, Format = "int64" };

    static OpenApiSchema Number(int least, int most, int byDefault) => new()
    {
        Type = JsonSchemaType.Integer,
        Format = "int32",
        Minimum = least.ToString(System.Globalization.CultureInfo.InvariantCulture),
        Maximum = most.ToString(System.Globalization.CultureInfo.InvariantCulture),
        Default = byDefault,
    };

    static OpenApiParameter Id() => new() { Name = "id", In = ParameterLocation.Path, Required = true, Schema = Integer() };

    static OpenApiParameter IfMatch() => Header("If-Match", "The ETag you read; 412 when it has been changed since. Without it the change is made in any case.");

    static OpenApiParameter Header(string name, string description) => new()
    {
        Name = name,
        In = ParameterLocation.Header,
        Description = description,
        Schema = new OpenApiSchema { Type = JsonSchemaType.String },
    };

    static OpenApiParameter Query(string name, IOpenApiSchema schema, string description, bool isList = false) => new()
    {
        Name = name,
        In = ParameterLocation.Query,
        Description = description,
        Schema = schema,
        Style = isList ? ParameterStyle.Form : null,
        Explode = !isList,
    };

    static OpenApiSchema SchemaOf(Filter filter) => filter.Operator switch
    {
        "null" => new OpenApiSchema { Type = JsonSchemaType.Boolean },
        "in" => new OpenApiSchema { Type = JsonSchemaType.Array, Items = SchemaOf(filter.Column) },
        _ => SchemaOf(filter.Column),
    };

    static OpenApiSchema SchemaOf(Column column) => column.Kind switch
    {
        ColumnKind.Boolean => new OpenApiSchema { Type = JsonSchemaType.Boolean },
        ColumnKind.Integer => Integer(),
        ColumnKind.Real or ColumnKind.Decimal => new OpenApiSchema { Type = JsonSchemaType.Number, Format = "double" },
        ColumnKind.Time => new OpenApiSchema { Type = JsonSchemaType.String, Format = "date-time" },
        ColumnKind.Date => new OpenApiSchema { Type = JsonSchemaType.String, Format = "date" },
        ColumnKind.Uuid => new OpenApiSchema { Type = JsonSchemaType.String, Format = "uuid" },
        ColumnKind.Choice => new OpenApiSchema { Type = JsonSchemaType.String, Enum = [.. column.Choices.Select(c => (JsonNode)c)] },
        _ => new OpenApiSchema { Type = JsonSchemaType.String },
    };

    static string Explain(Filter filter) => filter.Operator switch
    {
        "eq" => $"{filter.Column.Name} is this.",
        "ne" => $"{filter.Column.Name} is not this, or empty.",
        "lt" => $"{filter.Column.Name} is less.",
        "lte" => $"{filter.Column.Name} is this or less.",
        "gt" => $"{filter.Column.Name} is more.",
        "gte" => $"{filter.Column.Name} is this or more.",
        "in" => $"{filter.Column.Name} is one of these, separated by commas.",
        "contains" => $"{filter.Column.Name} has this text in it, upper and lower case told apart.",
        "null" => $"{filter.Column.Name} is empty, or with false: is not.",
        _ => throw new InvalidOperationException($"There is no operator {filter.Operator}."),
    };
}
