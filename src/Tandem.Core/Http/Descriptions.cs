using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace Tandem.Core.Http;

/// <summary>Says of an endpoint, when the OpenAPI document is made, what its method does not tell.</summary>
/// <param name="operation">What is known of it; to be completed.</param>
/// <param name="context">The document and the endpoint's metadata.</param>
/// <param name="ct">Cancelled when nobody waits for the document any more.</param>
public delegate Task DescribeOperation(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct);

/// <summary>Endpoints that say more of themselves.</summary>
public static class DescriptionConventions
{
    /// <summary>
    /// Has <paramref name="describe"/> complete what the OpenAPI document says of the endpoint. The framework's <c>AddOpenApiOperationTransformer</c> does so, too, and
    /// loads all that makes the document when the program starts; this waits until the document is asked for.
    /// </summary>
    public static TBuilder Described<TBuilder>(this TBuilder builder, DescribeOperation describe) where TBuilder : IEndpointConventionBuilder => builder.WithMetadata(describe);
}
