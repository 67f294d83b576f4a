using System.Text.Json.Nodes;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace Tandem.Inference;

/// <summary>Says in the OpenAPI document what the endpoints of models take.</summary>
static class ModelDocs
{
    /// <summary>Which features a record has depends on the model, so the body is not a type that could be bound and described.</summary>
    public static Task TakesRecord(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        operation.RequestBody = new OpenApiRequestBody
        {
            Required = true,
            Description = "A member per feature of the model, which GET /models/{name} lists: numbers, booleans, and strings out of its categories; null where it is nullable.",
            Content = new Dictionary<string, OpenApiMediaType>
            {
                ["application/json"] = new()
                {
                    Schema = new OpenApiSchema
                    {
                        Type = JsonSchemaType.Object,
                        AdditionalProperties = new OpenApiSchema { Type = JsonSchemaType.Number | JsonSchemaType.Boolean | JsonSchemaType.String | JsonSchemaType.Null },
                        Examples = [JsonNode.Parse("""{"sepal_length":5.1,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}""")!], // it is an object
                    },
                },
            },
        };
        return Task.CompletedTask;
    }
}
