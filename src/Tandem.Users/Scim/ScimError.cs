using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Tandem.Users.Scim;

/// <summary>Ends a request with an error of SCIM (RFC 7644, 3.12).</summary>
/// <param name="status">HTTP status.</param>
/// <param name="type">The <c>scimType</c>, such as invalidFilter; null where the status says it all.</param>
/// <param name="detail">One sentence, with what is allowed.</param>
sealed class ScimException(int status, string? type, string detail) : Exception(detail)
{
    public ScimAnswer Answer => ScimAnswer.Error(status, type, Message);

    public static ScimException Filter(string detail) => new(400, "invalidFilter", detail);

    public static ScimException Path(string detail) => new(400, "invalidPath", detail);

    public static ScimException Value(string detail) => new(400, "invalidValue", detail);

    public static ScimException Syntax(string detail) => new(400, "invalidSyntax", detail);

    public static ScimException Taken(string detail) => new(409, "uniqueness", detail);

    public static ScimException NotFound(string what, string id) => new(404, null, $"There is no {what} with the id \"{id}\".");
}

/// <summary>An answer of SCIM: JSON as <c>application/scim+json</c>, or nothing.</summary>
sealed class ScimAnswer(int status, JsonObject? body) : IResult
{
    public const string ErrorSchema = "urn:ietf:params:scim:api:messages:2.0:Error";

    public string? Location { get; init; }

    public string? Version { get; init; }

    public static ScimAnswer Error(int status, string? type, string detail)
    {
        var body = new JsonObject { ["schemas"] = new JsonArray(ErrorSchema), ["status"] = status.ToString(CultureInfo.InvariantCulture) };
        if (type is not null)
            body["scimType"] = type;
        body["detail"] = detail;
        return new ScimAnswer(status, body);
    }

    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var response = httpContext.Response;
        response.StatusCode = status;
        if (Location is not null)
            response.Headers.Location = Location;
        if (Version is not null)
            response.Headers.ETag = Version;
        if (body is null)
            return;
        response.ContentType = "application/scim+json";
        await using var json = new Utf8JsonWriter(response.BodyWriter);
        body.WriteTo(json);
    }
}
