using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Tandem.Users;

/// <summary>The pages people meet: plain HTML with one style sheet and nothing from elsewhere, and no JavaScript but where a passkey may be used, which a browser hands to nothing else.</summary>
static class Pages
{
    /// <param name="status">HTTP status.</param>
    /// <param name="title">Plain text.</param>
    /// <param name="body">HTML.</param>
    /// <param name="formTarget">Where a form of the page may lead besides this server: browsers hold redirects that answer a form to it as well.</param>
    /// <param name="script">Runs on the page, the only one that does, and may ask this server; null: none.</param>
    public static Html Page(int status, string title, string body, string? formTarget = null, string? script = null) => new(status, $"""
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
        </main>{(script is null ? "" : $"\n<script>{script}</script>")}
        </body>
        </html>
        """, $"default-src 'none'; style-src '{HashOf(Style)}'; {(script is null ? "" : $"script-src '{HashOf(script)}'; connect-src 'self'; ")}form-action 'self'{SourceOf(formTarget)}; base-uri 'none'; frame-ancestors 'none'");

    /// <summary>
    /// The page with a script of one fixed line: it hands an answer to a client by POST, as the client has asked (OAuth 2.0 Form Post Response
    /// Mode). Without JavaScript there is a button.
    /// </summary>
    public static Html Post(string address, IEnumerable<KeyValuePair<string, string>> fields) => new(200, $"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <title>Back to the application</title>
        </head>
        <body>
        <form method="post" action="{Encode(address)}">
        {string.Concat(fields.Select(f => Hidden(f.Key, f.Value)))}
        <noscript><button type="submit">Continue</button></noscript>
        </form>
        <script>{Submit}</script>
        </body>
        </html>
        """, $"default-src 'none'; script-src '{HashOf(Submit)}'; form-action{SourceOf(address)}; base-uri 'none'; frame-ancestors 'none'");

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

    public static string Hidden(string name, string value) => $"<input type=\"hidden\" name=\"{Encode(name)}\" value=\"{Encode(value)}\">\n";

    /// <summary>A button of a form. It is sent as <c>action</c>.</summary>
    /// <param name="text">HTML.</param>
    /// <param name="isSecond">It is not what the form is for, and takes it as it is filled in.</param>
    public static string Button(string action, string text, bool isSecond = false) =>
        $"<button type=\"submit\" name=\"action\" value=\"{action}\"{(isSecond ? " class=\"second\" formnovalidate" : "")}>{text}</button>\n";

    public static string Encode(string text) => WebUtility.HtmlEncode(text);

    /// <summary>A browser says that it wants a page; programs get a problem.</summary>
    public static bool AreWanted(HttpRequest request) => request.Headers.Accept.ToString().Contains("text/html", StringComparison.OrdinalIgnoreCase);

    static string HashOf(string text) => $"sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(text)))}";

    /// <summary>The address's origin. A policy cannot name an IPv6 address; then it is the scheme.</summary>
    static string SourceOf(string? address) => address is null ? ""
        : new Uri(address) is { HostNameType: UriHostNameType.IPv6, Scheme: var scheme } ? $" {scheme}:" : $" {new Uri(address).GetLeftPart(UriPartial.Authority)}";

    const string Submit = "document.forms[0].submit();";

    const string Style = """
        :root { color-scheme: light dark; }
        body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; }
        main { max-width: 34rem; margin: 10vh auto; padding: 0 1.25rem; overflow-wrap: break-word; }
        label { display: block; margin-top: 1rem; font-weight: 600; }
        input { box-sizing: border-box; width: 100%; padding: .5rem; font: inherit; border: 1px solid #767676; border-radius: .25rem; }
        input[aria-invalid] { border-color: #c00; }
        button { margin: 1.5rem .5rem 0 0; padding: .6rem 1.25rem; font: inherit; font-weight: 600; color: #fff; background: #14507a; border: 1px solid #14507a; border-radius: .25rem; cursor: pointer; }
        a.button { display: inline-block; margin: .5rem 0 0; padding: .6rem 1.25rem; font-weight: 600; color: #fff; background: #14507a; border: 1px solid #14507a; border-radius: .25rem; text-decoration: none; }
        button.second, a.second { color: inherit; background: transparent; border-color: #767676; }
        :focus-visible { outline: 3px solid light-dark(#14507a, #8cc4ee); outline-offset: 2px; }
        .wrong { margin: .25rem 0 0; color: light-dark(#a40000, #ff9a9a); }
        pre { overflow-x: auto; padding: .75rem; background: light-dark(#f0f0f0, #262626); border-radius: .25rem; }
        """;
}

/// <summary>A page with its policy: nothing else may load or run, and no other site may show it in a frame or learn its address.</summary>
sealed class Html(int status, string text, string policy) : IResult
{
    public Task ExecuteAsync(HttpContext httpContext)
    {
        var response = httpContext.Response;
        response.StatusCode = status;
        response.ContentType = "text/html; charset=utf-8";
        response.Headers.ContentSecurityPolicy = policy;
        response.Headers.CacheControl = "no-store";
        response.Headers["Referrer-Policy"] = "no-referrer";
        response.Headers.XContentTypeOptions = "nosniff";
        return response.WriteAsync(text, httpContext.RequestAborted);
    }
}
