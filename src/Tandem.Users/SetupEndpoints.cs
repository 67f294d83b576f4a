using System.Collections.ObjectModel;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
using Tandem.Users.Look;
using static Tandem.Users.Pages;

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

    static async Task<IResult> Show(HttpContext context, SetupLink link, string? token = null, CancellationToken ct = default) => await link.IsOpenAsync(token, ct)
        ? Page(200, Language.Of(context).Say("setup.title"), Form(Language.Of(context), token ?? "", "", "", ReadOnlyDictionary<string, string[]>.Empty))
        : Problem.Of(UserProblems.SetupClosed);

    static async Task<IResult> Create(HttpContext context, SetupLink link, UserTable users, Passwords passwords, CommonPasswordCheck common, TimeProvider clock,
        ILogger<UsersModule> logger, CancellationToken ct)
    {
        var form = Forms.IsUrlEncoded(context.Request) ? await Forms.ReadAsync(context.Request) : FormCollection.Empty;
        var (token, email, name) = (form["token"].ToString(), form["email"].ToString(), form["name"].ToString());
        if (!await link.IsOpenAsync(token, ct))
            return Problem.Of(UserProblems.SetupClosed);
        var t = Language.Of(context);
        var user = new NewUser(email, name, form["password"].ToString());
        var errors = JsonFaults.FindInvalid(user);
        if (errors.Count == 0)
            errors = common.Errors(user.Password);
        if (errors.Count > 0)
            return Page(422, t.Say("setup.title"), Form(t, token, email, name, t.Faults(errors)));

        var hash = await passwords.HashAsync(user.Password, ct);
        if (await users.AddAsync(user, hash, Role.FirstAdministrator, clock.UtcNow(), Origin.Of(context), "setup link", ct) is { } account)
        {
            logger.AdministratorSetUp(account.Id);
            return Page(200, t.Say("setup.done-title"), Done(t, account, $"{context.Request.Scheme}://{context.Request.Host}"));
        }

        return await users.HasAdministratorAsync(ct)
            ? Problem.Of(UserProblems.SetupClosed)
            : Page(400, t.Say("setup.title"), Form(t, token, email, name, new Dictionary<string, string[]> { ["email"] = [t.Say("setup.taken")] }));
    }

    static string Form(Language t, string token, string email, string name, IReadOnlyDictionary<string, string[]> errors) => $"""
        <p>{t.Html("setup.text")}</p>
        {(errors.Count > 0 ? $"<p role=\"alert\" class=\"wrong\">{t.Html("field.look")}</p>" : "")}
        <form method="post" action="/setup">
        {Hidden("token", token)}
        {Field("email", t.Say("signin.email"), "email", email, "username", "", errors)}
        {Field("name", t.Say("setup.name"), "text", name, "name", "maxlength=\"200\"", errors)}
        {Field("password", t.Say("field.new-password", ("least", $"{Passwords.MinLength}")), "password", "", "new-password", $"minlength=\"{Passwords.MinLength}\" maxlength=\"{Passwords.MaxLength}\"", errors)}
        <button type="submit">{t.Html("setup.button")}</button>
        </form>
        """;

    static string Done(Language t, Account account, string address) => $"""
        <p>{t.Html("setup.done-text", ("email", Encode(account.Email)))}</p>
        <h2>{t.Html("setup.next")}</h2>
        <ul>
        <li>{t.Html("setup.docs-text", ("docs", $"<a href=\"/docs\">{t.Html("setup.docs")}</a>"))}</li>
        <li>{t.Html("setup.token")}
        <pre><code>curl {Encode(address)}/token -d username={Encode(account.Email)} --data-urlencode password=…</code></pre></li>
        <li>{t.Html("setup.call")}
        <pre><code>curl {Encode(address)}/users -H "Authorization: Bearer …"</code></pre></li>
        </ul>
        """;
}
