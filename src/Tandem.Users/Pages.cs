using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Users.Look;

namespace Tandem.Users;

/// <summary>The pages people meet: plain HTML with one style sheet and nothing from elsewhere, and no JavaScript but where a passkey may be used, which a browser hands to nothing else.</summary>
static class Pages
{
    /// <param name="status">HTTP status.</param>
    /// <param name="title">Plain text.</param>
    /// <param name="body">HTML.</param>
    /// <param name="formTarget">Where a form of the page may lead besides this server: browsers hold redirects that answer a form to it as well.</param>
    /// <param name="script">Runs on the page, the only one that does, and may ask this server; null: none.</param>
    /// <param name="navigation">HTML of the links to the pages beside this one; null: there are none.</param>
    public static Html Page(int status, string title, string body, string? formTarget = null, string? script = null, string? navigation = null) => new(status, (theme, t) => $"""
        <!doctype html>
        <html lang="{t.Tag}" dir="{t.Direction}">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>{Encode(title)} – {Encode(theme.Product)}</title>
        <style>{theme.Style}</style>
        </head>
        <body>
        {theme.Header}{(navigation is null ? "" : $"<nav aria-label=\"{Encode(t.Say("account.navigation"))}\">\n{navigation}</nav>\n")}<main>
        <h1>{Encode(title)}</h1>
        {body}
        </main>{theme.Footer(t)}{(script is null ? "" : $"\n<script>{script}</script>")}
        </body>
        </html>
        """, theme => $"default-src 'none'; {theme.Policy}{(script is null ? "" : $"script-src '{Theme.HashOf(script)}'; connect-src 'self'; ")}form-action 'self'{SourceOf(formTarget)}; base-uri 'none'; frame-ancestors 'none'");

    /// <summary>
    /// The page with a script of one fixed line: it hands an answer to a client by POST, as the client has asked (OAuth 2.0 Form Post Response
    /// Mode). Without JavaScript there is a button.
    /// </summary>
    public static Html Post(string address, IEnumerable<KeyValuePair<string, string>> fields) => new(200, (_, t) => $"""
        <!doctype html>
        <html lang="{t.Tag}" dir="{t.Direction}">
        <head>
        <meta charset="utf-8">
        <title>{Encode(t.Say("post.title"))}</title>
        </head>
        <body>
        <form method="post" action="{Encode(address)}">
        {string.Concat(fields.Select(f => Hidden(f.Key, f.Value)))}
        <noscript><button type="submit">{Encode(t.Say("post.continue"))}</button></noscript>
        </form>
        <script>{Submit}</script>
        </body>
        </html>
        """, _ => $"default-src 'none'; script-src '{Theme.HashOf(Submit)}'; form-action{SourceOf(address)}; base-uri 'none'; frame-ancestors 'none'");

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

    public static string Strong(string text) => $"<strong>{Encode(text)}</strong>";

    /// <summary>A browser says that it wants a page; programs get a problem.</summary>
    public static bool AreWanted(HttpRequest request) => request.Headers.Accept.ToString().Contains("text/html", StringComparison.OrdinalIgnoreCase);

    /// <summary>The address's origin. A policy cannot name an IPv6 address; then it is the scheme.</summary>
    static string SourceOf(string? address) => address is null ? ""
        : new Uri(address) is { HostNameType: UriHostNameType.IPv6, Scheme: var scheme } ? $" {scheme}:" : $" {new Uri(address).GetLeftPart(UriPartial.Authority)}";

    const string Submit = "document.forms[0].submit();";
}

/// <summary>A page with its policy: nothing else may load or run, and no other site may show it in a frame or learn its address.</summary>
/// <param name="status">HTTP status.</param>
/// <param name="text">Makes the page, in the request's language.</param>
/// <param name="policy">Its Content-Security-Policy.</param>
sealed class Html(int status, Func<Theme, Language, string> text, Func<Theme, string> policy) : IResult
{
    public Task ExecuteAsync(HttpContext httpContext)
    {
        var (response, theme) = (httpContext.Response, httpContext.RequestServices.GetRequiredService<Theme>());
        response.StatusCode = status;
        response.ContentType = "text/html; charset=utf-8";
        response.Headers.ContentSecurityPolicy = policy(theme);
        response.Headers.CacheControl = "no-store";
        response.Headers["Referrer-Policy"] = "no-referrer";
        response.Headers.XContentTypeOptions = "nosniff";
        return response.WriteAsync(text(theme, Language.Of(httpContext)), httpContext.RequestAborted);
    }
}
