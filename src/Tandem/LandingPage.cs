using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Tandem;

/// <summary>What stands at <c>/</c>: where to go from here, as a page for people and as JSON for programs.</summary>
static class LandingPage
{
    const string Style = """
        :root { color-scheme: light dark; }
        body { margin: 0; font: 1rem/1.6 system-ui, sans-serif; }
        main { max-width: 42rem; margin: 10vh auto; padding: 0 1.25rem; }
        h1 { margin-bottom: 0; }
        h1 + p { margin-top: 0; }
        dt { font-weight: 600; margin-top: .75rem; }
        dd { margin: 0; }
        a { color: light-dark(#14507a, #8ec8f2); }
        pre { overflow-x: auto; padding: .75rem; background: light-dark(#f0f0f0, #262626); border-radius: .25rem; }
        """;

    static readonly string Policy = $"default-src 'none'; style-src 'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(Style)))}'; "
        + "base-uri 'none'; frame-ancestors 'none'";

    public static void Map(IEndpointRouteBuilder routes, bool hasDocs) => routes.MapGet("/", (HttpContext context) => Answer(context, hasDocs))
        .WithTags("Documentation").WithSummary("Where to go from here").AllowAnonymous().Produces<LandingView>();

    static IResult Answer(HttpContext context, bool hasDocs)
    {
        var headers = context.Response.Headers;
        headers.Vary = "Accept";
        // Only browsers ask for HTML by name; curl and clients that take anything get JSON.
        if (!context.Request.Headers.Accept.ToString().Contains("text/html", StringComparison.OrdinalIgnoreCase))
            return Results.Json(new LandingView("Tandem", hasDocs ? "/docs" : null, hasDocs ? "/openapi/v1.json" : null, "/health/ready", "POST /token with the form fields username and password"));
        headers.ContentSecurityPolicy = Policy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        return Results.Content(Page(hasDocs, WebUtility.HtmlEncode($"{context.Request.Scheme}://{context.Request.Host}")), "text/html; charset=utf-8");
    }

    static string Page(bool hasDocs, string address) => $"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Tandem</title>
        <style>{Style}</style>
        </head>
        <body>
        <main>
        <h1>Tandem</h1>
        <p>This server is up.</p>
        <dl>
        {(hasDocs ? """
            <dt><a href="/docs">The API, to read and to try</a></dt>
            <dd>Every endpoint with what it takes and answers; the same as <a href="/openapi/v1.json">OpenAPI</a> for tools.</dd>
            """ : "")}
        <dt><a href="/health/ready">Is everything ready?</a></dt>
        <dd>Each store by name.</dd>
        </dl>
        <h2>A token</h2>
        <p>Most endpoints want one. With an account it takes one call:</p>
        <pre><code>curl {address}/token \
          --data-urlencode username=ada@example.com \
          --data-urlencode password=…</code></pre>
        <p>Send what comes back as <code>access_token</code> with every request: <code>Authorization: Bearer …</code></p>
        </main>
        </body>
        </html>
        """;
}

/// <summary>The answer of <c>GET /</c> to a program.</summary>
/// <param name="Name">Always "Tandem".</param>
/// <param name="Docs">The interactive documentation; null where it is switched off.</param>
/// <param name="Openapi">The OpenAPI document; null where it is switched off.</param>
/// <param name="Ready">Says of each store whether it can be used.</param>
/// <param name="Token">How to get a token.</param>
public sealed record LandingView(string Name, string? Docs, string? Openapi, string Ready, string Token);
