using System.Collections.ObjectModel;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;

namespace Tandem.Users;

/// <summary>The page behind the link of the first start. Without its token there is nothing here.</summary>
static class SetupEndpoints
{
    public static void MapSetup(this IEndpointRouteBuilder routes)
    {
        var setup = routes.MapGroup("/setup").AllowAnonymous().ExcludeFromDescription();
        setup.MapGet("", Show);
        setup.MapPost("", Create);
    }

    static async Task<IResult> Show(SetupLink link, string? token = null, CancellationToken ct = default) => await link.IsOpenAsync(token, ct)
        ? Page(200, "Make the first administrator", Form(token ?? "", "", "", ReadOnlyDictionary<string, string[]>.Empty))
        : Problem.Of(UserProblems.SetupClosed);

    static async Task<IResult> Create(HttpContext context, SetupLink link, UserTable users, Passwords passwords, TimeProvider clock,
        ILogger<UsersModule> logger, CancellationToken ct)
    {
        var form = Forms.IsUrlEncoded(context.Request) ? await Forms.ReadAsync(context.Request) : FormCollection.Empty;
        var (token, email, name) = (form["token"].ToString(), form["email"].ToString(), form["name"].ToString());
        if (!await link.IsOpenAsync(token, ct))
            return Problem.Of(UserProblems.SetupClosed);
        var user = new NewUser(email, name, form["password"].ToString());
        var errors = JsonFaults.FindInvalid(user);
        if (errors.Count > 0)
            return Page(422, "Make the first administrator", Form(token, email, name, errors));

        var hash = await passwords.HashAsync(user.Password, ct);
        if (await users.AddAsync(user, hash, Role.FirstAdministrator, clock.UtcNow(), Origin.Of(context), "setup link", ct) is { } account)
        {
            logger.AdministratorSetUp(account.Id);
            return Page(200, "You are the administrator", Done(account, $"{context.Request.Scheme}://{context.Request.Host}"));
        }

        return await users.HasAdministratorAsync(ct)
            ? Problem.Of(UserProblems.SetupClosed)
            : Page(400, "Make the first administrator", Form(token, email, name, new Dictionary<string, string[]> { ["email"] = ["is registered already; take another"] }));
    }

    static string Form(string token, string email, string name, IReadOnlyDictionary<string, string[]> errors) => $"""
        <p>This server has no administrator yet. Whoever fills this in may do everything here.</p>
        {(errors.Count > 0 ? "<p role=\"alert\" class=\"wrong\">Please look at the marked fields.</p>" : "")}
        <form method="post" action="/setup">
        <input type="hidden" name="token" value="{Encode(token)}">
        {Field("email", "E-mail", "email", email, "username", "", errors)}
        {Field("name", "Name", "text", name, "name", "maxlength=\"200\"", errors)}
        {Field("password", $"Password, at least {Passwords.MinLength} characters", "password", "", "new-password", $"minlength=\"{Passwords.MinLength}\" maxlength=\"{Passwords.MaxLength}\"", errors)}
        <button type="submit">Make administrator</button>
        </form>
        """;

    static string Field(string name, string label, string type, string value, string autocomplete, string more, IReadOnlyDictionary<string, string[]> errors)
    {
        var wrong = errors.TryGetValue(name, out var messages) ? string.Join("; ", messages) : null;
        var marks = wrong is null ? "" : $" aria-invalid=\"true\" aria-describedby=\"{name}-wrong\"";
        return $"""
            <label for="{name}">{Encode(label)}</label>
            <input id="{name}" name="{name}" type="{type}" value="{Encode(value)}" autocomplete="{autocomplete}" required {more}{marks}>
            {(wrong is null ? "" : $"<p id=\"{name}-wrong\" class=\"wrong\">{Encode(wrong)}</p>")}
            """;
    }

    static string Done(Account account, string address) => $"""
        <p>{Encode(account.Email)} can sign in now; this link has done its work and is closed.</p>
        <h2>What next</h2>
        <ul>
        <li><a href="/docs">The documentation</a> lists every endpoint and lets you try it.</li>
        <li>A token for your terminal:
        <pre><code>curl {Encode(address)}/token -d username={Encode(account.Email)} --data-urlencode password=…</code></pre></li>
        <li>A call with it:
        <pre><code>curl {Encode(address)}/users -H "Authorization: Bearer …"</code></pre></li>
        </ul>
        """;

    static IResult Page(int status, string title, string body) => new Html(status, $"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>{title} – Tandem</title>
        <style>{Style}</style>
        </head>
        <body>
        <main>
        <h1>{title}</h1>
        {body}
        </main>
        </body>
        </html>
        """);

    static string Encode(string text) => WebUtility.HtmlEncode(text);

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
