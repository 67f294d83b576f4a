using System.Reflection;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Json;
using Microsoft.AspNetCore.Mvc.ApiExplorer;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerUI;
using Tandem.Core.Configuration;

namespace Tandem;

/// <summary>Settings of the documentation, section <c>Docs</c>.</summary>
public sealed class DocsOptions
{
    /// <summary>Whether <c>/docs</c> and <c>/openapi/v1.json</c> are there; when they are, anyone may read them. Default true.</summary>
    public bool Enabled { get; set; } = true;
}

/// <summary>The OpenAPI document, the interactive page over it, and the first page of all.</summary>
static class ApiDocs
{
    // The page's own script builds its styles and icons while it runs; everything else comes from this server and nowhere else.
    const string PagePolicy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

    public static void Add(IServiceCollection services, Settings settings)
    {
        settings.Read<DocsOptions>(services, "Docs");
        services.AddSingleton<DocumentCache>();
    }

    public static void Map(IEndpointRouteBuilder routes)
    {
        var open = routes.ServiceProvider.GetRequiredService<DocsOptions>().Enabled;
        LandingPage.Map(routes, open);
        if (!open)
            return;
        routes.MapGet("/openapi/v1.json", Document).WithTags("Documentation").WithSummary("This document").AllowAnonymous()
            .Produces(StatusCodes.Status200OK, contentType: "application/json").Produces(StatusCodes.Status304NotModified);
        // The page's library is loaded by the first look at it.
        var page = new Lazy<RequestDelegate>(() => Page(routes.ServiceProvider));
        routes.MapGet("/docs/{**path}", context =>
        {
            var headers = context.Response.Headers;
            headers.ContentSecurityPolicy = PagePolicy;
            headers.XContentTypeOptions = "nosniff";
            headers["Referrer-Policy"] = "no-referrer";
            return page.Value(context);
        }).AllowAnonymous().ExcludeFromDescription();
    }

    static RequestDelegate Page(IServiceProvider services)
    {
        var app = new ApplicationBuilder(services).UseSwaggerUI(Describe);
        // What the page has no file of.
        app.Run(context =>
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return Task.CompletedTask;
        });
        return app.Build();
    }

    static void Describe(SwaggerUIOptions page)
    {
        page.RoutePrefix = "docs";
        page.DocumentTitle = "Tandem: try the API";
        page.SwaggerEndpoint("/openapi/v1.json", "Tandem");
        page.EnablePersistAuthorization();
        page.EnableTryItOutByDefault();
        page.DisplayRequestDuration();
        page.EnableDeepLinking();
        page.EnableFilter();
        page.DefaultModelsExpandDepth(0);
        page.ConfigObject.AdditionalItems["syntaxHighlight"] = false;
        // The bar on top shows the maker's mark and a choice of one document.
        page.HeadContent = "<style>.swagger-ui .topbar { display: none }</style>";
    }

    /// <summary>The framework describes only endpoints that have a method to look at; plain request delegates are endpoints all the same.</summary>
    public static void Include(EndpointBuilder endpoint)
    {
        if (endpoint.RequestDelegate is { } handler && !endpoint.Metadata.OfType<MethodInfo>().Any())
            endpoint.Metadata.Add(handler.Method);
    }

    static async Task<IResult> Document(DocumentCache documents, HttpContext context)
    {
        var (json, tag) = await documents.GetAsync();
        context.Response.Headers.ETag = tag;
        context.Response.Headers.CacheControl = "no-cache";
        return context.Request.Headers.IfNoneMatch == tag ? Results.StatusCode(StatusCodes.Status304NotModified) : Results.Bytes(json, "application/json");
    }

    /// <summary>The document is made when it is first asked for, so that neither the start nor a program at rest has to do with it, and once.</summary>
    internal sealed class DocumentCache(IServiceProvider services)
    {
        readonly SemaphoreSlim _one = new(1);
        (byte[] Json, string Tag)? _made;

        public async Task<(byte[] Json, string Tag)> GetAsync()
        {
            if (_made is { } known)
                return known;
            await _one.WaitAsync();
            try
            {
                return _made ??= await MakeAsync();
            }
            finally
            {
                _one.Release();
            }
        }

        async Task<(byte[] Json, string Tag)> MakeAsync()
        {
            // Not for the request that came first: the next one waits for the same document.
            await using var describer = Describer();
            var document = await describer.GetRequiredKeyedService<IOpenApiDocumentProvider>(ApiDocument.Name).GetOpenApiDocumentAsync(CancellationToken.None);
            using var buffer = new MemoryStream();
            await document.SerializeAsJsonAsync(buffer, OpenApiSpecVersion.OpenApi3_1, CancellationToken.None);
            var json = buffer.ToArray();
            return (json, $"\"{Convert.ToHexStringLower(SHA256.HashData(json)[..8])}\"");
        }

        /// <summary>What describes endpoints, as services of their own; only what looks at the endpoints themselves has the program's.</summary>
        ServiceProvider Describer()
        {
            var describer = new ServiceCollection();
            describer.AddOpenApi(ApiDocument.Name, ApiDocument.Configure);
            var lookers = describer.Where(d => d.ServiceType == typeof(IApiDescriptionProvider)).Select(d => d.ImplementationType).OfType<Type>().ToList();
            describer.RemoveAll<IApiDescriptionProvider>();
            foreach (var type in lookers)
                describer.AddSingleton((IApiDescriptionProvider)ActivatorUtilities.CreateInstance(services, type));
            describer.AddSingleton(services.GetRequiredService<IHostEnvironment>());
            describer.AddSingleton(services.GetRequiredService<ILoggerFactory>()).AddSingleton(typeof(ILogger<>), typeof(Logger<>));
            describer.AddSingleton(services.GetRequiredService<IOptions<JsonOptions>>());
            return describer.BuildServiceProvider();
        }
    }
}
