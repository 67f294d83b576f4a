using System.ComponentModel.DataAnnotations;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.OpenApi;
using Microsoft.OpenApi.Reader;
using Tandem.Core.Http;

namespace Tandem.Tests.Docs;

public sealed partial class OpenApiTests
{
    public enum Colour { DeepBlue, Red }
    public sealed record Item([property: Required, MaxLength(20)] string Name, [Range(0, 100)] decimal Price, string? Note = null, Colour Colour = Colour.Red, Size? Size = null);
    public sealed record Size(int Width, int Height);
    public sealed record Greeting([Required, StringLength(10, MinimumLength = 2)] string Who, int? Times);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync() => TestApp.StartAsync(app =>
    {
        app.Resource<Item>("/shop/items").Writing(w => w.RequireScope("items:write"));
        app.MapPost("/greet", (Greeting greeting) => new { Text = greeting.Who }).AllowAnonymous().Answers(new Problem("greet/rude", 409, "Be nice."));
        app.MapGet("/count/{n}", (int n, [AllowedValues("up", "down")] string way = "up") => n).RequireAdministrator();
    });

    static async Task<OpenApiDocument> ReadAsync(TestApp app)
    {
        using var stream = new MemoryStream(await app.Http.GetByteArrayAsync("/openapi/v1.json", Ct));
        var read = await OpenApiDocument.LoadAsync(stream, "json", cancellationToken: Ct);
        Assert.NotNull(read.Diagnostic);
        Assert.Empty(read.Diagnostic.Errors);
        Assert.Empty(read.Diagnostic.Warnings);
        Assert.Equal(OpenApiSpecVersion.OpenApi3_1, read.Diagnostic.SpecificationVersion);
        return read.Document ?? throw new InvalidOperationException("There is no document.");
    }

    [Fact]
    public async Task Every_mapped_endpoint_stands_in_the_document()
    {
        await using var app = await StartAsync();
        var document = await ReadAsync(app);
        Assert.Equal("Tandem", document.Info.Title);
        Assert.Matches(@"^\d+\.\d+\.\d+", document.Info.Version);
        var found = 0;
        foreach (var endpoint in app.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>())
        {
            var path = "/" + Parameter().Replace(endpoint.RoutePattern.RawText ?? "", "{$1}").Trim('/');
            if (endpoint.Metadata.GetMetadata<IExcludeFromDescriptionMetadata>()?.ExcludeFromDescription == true)
            {
                Assert.Contains(path, new[] { "/docs/{path}", "/setup", "/auth/pages/password", "/auth/pages/email", "/device", "/account", "/account/{page}", "/auth/upstream/{name}", "/auth/upstream/{name}/callback", "/auth/upstream/{name}/link" });
                continue;
            }

            foreach (var method in endpoint.Metadata.GetRequiredMetadata<IHttpMethodMetadata>().HttpMethods)
            {
                Assert.True(document.Paths.TryGetValue(path, out var item) && item.Operations?.ContainsKey(new HttpMethod(method)) == true, $"{method} {path} is not documented");
                found++;
            }
        }

        Assert.True(found >= 20, $"only {found} endpoints were looked at");
        var ids = document.Paths.SelectMany(p => p.Value.Operations?.Values.Select(o => o.OperationId) ?? []).ToList();
        Assert.DoesNotContain(null, ids);
        Assert.Equal(ids.Count, ids.Distinct().Count());
    }

    [GeneratedRegex(@"\{\*{0,2}([^}:?=]+)[^}]*\}")]
    private static partial Regex Parameter();

    [Fact]
    public async Task What_the_document_calls_closed_is_closed_and_the_rest_is_open()
    {
        await using var app = await StartAsync();
        var document = await ReadAsync(app);
        foreach (var (path, item) in document.Paths)
            foreach (var (method, operation) in item.Operations ?? [])
            {
                var address = Regex.Replace(path, @"\{(\w+)\}", m => SampleOf(operation.Parameters?.FirstOrDefault(p => p.Name == m.Groups[1].Value)));
                var response = await app.Http.SendAsync(new HttpRequestMessage(method, address), Ct);
                var closed = operation.Security is { Count: > 0 } security && security.All(s => s.Count > 0);
                var refused = response.StatusCode == HttpStatusCode.Unauthorized && response.Headers.WwwAuthenticate.Any(h => h.Scheme == "Bearer");
                Assert.True(closed ? refused : !refused || operation.Security is { Count: > 0 }, $"{method} {address} answers {(int)response.StatusCode} without a token; the document says closed: {closed}");
                Assert.True(!closed || operation.Responses?.ContainsKey("401") == true, $"{method} {path} does not say 401");
                // What it did answer has to be one of the documented answers.
                Assert.True(operation.Responses?.ContainsKey(((int)response.StatusCode).ToString()) == true, $"{method} {address} answers {(int)response.StatusCode}, which is not documented");
            }

        static string SampleOf(IOpenApiParameter? parameter) => parameter?.Schema?.Format == "uuid" ? Guid.Empty.ToString() : "1";
    }

    [Fact]
    public async Task Schemas_say_what_is_required_nullable_and_allowed()
    {
        await using var app = await StartAsync();
        var json = await app.Http.GetStringAsync("/openapi/v1.json", Ct);
        Assert.DoesNotContain("\"pattern\":\"^-?", json.Replace(" ", "")); // the framework's mark of a number that may be a string
        var schemas = JsonDocument.Parse(json).RootElement.GetProperty("components").GetProperty("schemas");

        Assert.Equal(["id", "name", "price", "note", "colour", "size"], Required(schemas, "Item"));
        Assert.Equal(["name", "price"], Required(schemas, "NewItem"));
        Assert.False(schemas.GetProperty("ItemPatch").TryGetProperty("required", out _));
        var item = schemas.GetProperty("NewItem").GetProperty("properties");
        Assert.Equal("""{"maxLength":20,"minLength":1,"type":"string"}""", Sorted(item.GetProperty("name")));
        Assert.Equal("""{"format":"double","maximum":100,"minimum":0,"type":"number"}""", Sorted(item.GetProperty("price")));
        Assert.Equal("""["null","string"]""", item.GetProperty("note").GetProperty("type").GetRawText().Replace("\n", "").Replace(" ", ""));
        Assert.Equal("""{"default":"red","enum":["deep_blue","red"],"type":"string"}""", Sorted(item.GetProperty("colour")));
        var size = item.GetProperty("size").GetProperty("oneOf");
        Assert.Equal("null", size[0].GetProperty("type").GetString());
        Assert.Equal(["width", "height"], size[1].GetProperty("required").EnumerateArray().Select(r => r.GetString()));
        Assert.False(item.TryGetProperty("id", out _));
        Assert.Equal(10, schemas.GetProperty("Greeting").GetProperty("properties").GetProperty("who").GetProperty("maxLength").GetInt32());
    }

    static string?[] Required(JsonElement schemas, string name) => [.. schemas.GetProperty(name).GetProperty("required").EnumerateArray().Select(r => r.GetString())];

    static string Sorted(JsonElement element) =>
        "{" + string.Join(",", element.EnumerateObject().OrderBy(m => m.Name, StringComparer.Ordinal).Select(m => $"\"{m.Name}\":{JsonSerializer.Serialize(m.Value)}")) + "}";

    [Fact]
    public async Task Operations_say_who_may_call_what_they_take_and_how_they_refuse()
    {
        await using var app = await StartAsync();
        var document = await ReadAsync(app);
        var items = document.Paths["/shop/items"].Operations!;
        var one = document.Paths["/shop/items/{id}"].Operations!;

        Assert.Equal(["200", "401", "422", "429", "503"], Statuses(items[HttpMethod.Get]));
        Assert.Equal(["201", "401", "403", "413", "415", "422", "429", "503"], Statuses(items[HttpMethod.Post]));
        Assert.Equal(["200", "304", "401", "404", "422", "429", "503"], Statuses(one[HttpMethod.Get]));
        Assert.Equal(["200", "401", "403", "404", "412", "413", "415", "422", "429", "503"], Statuses(one[HttpMethod.Patch]));
        Assert.Equal(["204", "401", "403", "404", "412", "422", "429", "503"], Statuses(one[HttpMethod.Delete]));
        Assert.Equal(["application/json", "application/merge-patch+json"], one[HttpMethod.Patch].RequestBody!.Content!.Keys.Order());
        Assert.Contains("items:write", items[HttpMethod.Post].Description);
        Assert.Contains("shop/items/not-found", one[HttpMethod.Get].Responses!["404"].Description);
        Assert.Equal(["ETag", "Last-Modified", "Location"], items[HttpMethod.Post].Responses!["201"].Headers!.Keys.Order());
        Assert.Equal(["Link", "X-Total-Count"], items[HttpMethod.Get].Responses!["200"].Headers!.Keys.Order());
        Assert.Subset(items[HttpMethod.Get].Parameters!.Select(p => p.Name ?? "").ToHashSet(),
            new HashSet<string> { "skip", "limit", "sort", "id_in", "name", "name_contains", "price_gte", "note_null", "colour_ne" });
        Assert.DoesNotContain(items[HttpMethod.Get].Parameters!, p => p.Name is "size" or "size_ne");

        var greet = document.Paths["/greet"].Operations![HttpMethod.Post];
        Assert.Equal(["200", "409", "413", "415", "422", "429", "503"], Statuses(greet));
        Assert.Equal("application/problem+json", Assert.Single(greet.Responses!["409"].Content!).Key);
        var count = document.Paths["/count/{n}"].Operations![HttpMethod.Get];
        Assert.Equal(["200", "401", "403", "422", "429", "503"], Statuses(count));
        Assert.Equal(["up", "down"], count.Parameters!.Single(p => p.Name == "way").Schema!.Enum!.Select(e => e.GetValue<string>()));

        var scheme = document.Components!.SecuritySchemes!["password"];
        Assert.Equal("/token", scheme.Flows!.Password!.TokenUrl!.ToString());
        Assert.Equal("bearer", document.Components.SecuritySchemes["bearer"].Scheme);
        Assert.Contains("/ws/{client_id}", document.Paths.Keys);
    }

    static string[] Statuses(OpenApiOperation operation) => [.. operation.Responses!.Keys.Order(StringComparer.Ordinal)];

    [Fact]
    public async Task The_document_is_kept_and_not_sent_twice()
    {
        await using var app = await StartAsync();
        var first = await app.Http.GetAsync("/openapi/v1.json", Ct);
        Assert.Equal("application/json", first.Content.Headers.ContentType?.MediaType);
        var again = new HttpRequestMessage(HttpMethod.Get, "/openapi/v1.json");
        again.Headers.IfNoneMatch.Add(first.Headers.ETag!);
        Assert.Equal(HttpStatusCode.NotModified, (await app.Http.SendAsync(again, Ct)).StatusCode);
    }

    [Fact]
    public async Task The_documentation_can_be_switched_off()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Docs:Enabled", "false"]);
        await (await app.Http.GetAsync("/openapi/v1.json", Ct)).ShouldBeProblemAsync(404, "http/not-found");
        await (await app.Http.GetAsync("/docs", Ct)).ShouldBeProblemAsync(404, "http/not-found");
        var landing = await (await app.Http.GetAsync("/", Ct)).JsonAsync();
        Assert.Equal(JsonValueKind.Null, landing.GetProperty("docs").ValueKind);
    }
}
