using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;

namespace Tandem;

/// <summary>The OpenAPI document and the interactive page over it.</summary>
static class ApiDocs
{
    public static void Map(IEndpointRouteBuilder routes)
    {
    }
}
