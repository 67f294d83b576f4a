using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Tandem.Users;

/// <summary>The few pages that people meet without an app around them.</summary>
static class HtmlPage
{
    /// <summary>A field of a form, with what is wrong with it.</summary>
    public static string Field(string name, string label, string type, string value, string autocomplete, string more, IReadOnlyDictionary<string, string[]> errors)
    {
        var wrong = errors.TryGetValue(name, out var messages) ? string.Join("; ", messages) : null;
        var marks = wrong is null ? "" : $" aria-invalid=\"true\" aria-describedby=\"{name}-wrong\"";
        return $"""
            <label for="{name}">{Encode(label)}</label>
            <input id="{name}" name="{name}" type="{type}" value="{Encode(value)}" autocomplete="{autocomplete}" required {more}{marks}>
            {(wrong is null ? "" : $"<p id=\"{name}-wrong\" class=\"wrong\">{Encode(wrong)}</p>")}
            """;
    }

    /// <param name="status">HTTP status.</param>
    /// <param name="title">In text.</param>
    /// <param name="body">HTML.</param>
    public static IResult Page(int status, string title, string body) => new Html(status, $"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>{Encode(title)}</title>
        <style>{Style}</style>
        </head>
        <body>
        <main>
        <h1>{Encode(title)}</h1>
        {body}
        </main>
        </body>
        </html>
        """);

    /// <summary>A person in front of a browser, and no program.</summary>
    public static bool IsWanted(HttpContext context) => context.Request.Headers.Accept.ToString().Contains("text/html", StringComparison.Ordinal);

    public static string Encode(string text) => WebUtility.HtmlEncode(text);

    const string Style = """
        :root { color-scheme: light dark; }
        body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; }
        main { max-width: 34rem; margin: 10vh auto; padding: 0 1.25rem; }
        label { display: block; margin-top: 1rem; font-weight: 600; }
        input { box-sizing: border-box; width: 100%; padding: .5rem; font: inherit; border: 1px solid #767676; border-radius: .25rem; }
        input[aria-invalid] { border-color: #c00; }
        button { margin-top: 1.5rem; padding: .6rem 1.25rem; font: inherit; font-weight: 600; color: #fff; background: #14507a; border: 0; border-radius: .25rem; }
        .wrong { margin: .25rem 0 0; color: light-dark(#a40000, #ff9a9a); }
        pre { overflow-x: auto; padding: .75rem; background: light-dark(#f0f0f0, #262626); border-radius: .25rem; }
        """;

    /// <summary>Nothing but this style sheet may load or run, and no other site may show the page in a frame or learn its address.</summary>
    sealed class Html(int status, string text) : IResult
    {
        static readonly string Policy = $"default-src 'none'; style-src 'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(Style)))}'; "
            + "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

        public Task ExecuteAsync(HttpContext httpContext)
        {
            var response = httpContext.Response;
            response.StatusCode = status;
            response.ContentType = "text/html; charset=utf-8";
            response.Headers.ContentSecurityPolicy = Policy;
            response.Headers.CacheControl = "no-store";
            response.Headers["Referrer-Policy"] = "no-referrer";
            response.Headers.XContentTypeOptions = "nosniff";
            return response.WriteAsync(text, httpContext.RequestAborted);
        }
    }
}
