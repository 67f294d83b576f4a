using System.Collections.ObjectModel;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
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

    static async Task<IResult> Show(SetupLink link, string? token = null, CancellationToken ct = default) => await link.IsOpenAsync(token, ct)
        ? Page(200, "Make the first administrator", Form(token ?? "", "", "", ReadOnlyDictionary<string, string[]>.Empty))
        : Problem.Of(UserProblems.SetupClosed);

    static async Task<IResult> Create(HttpContext context, SetupLink link, UserTable users, Passwords passwords, CommonPasswordCheck common, TimeProvider clock,
        ILogger<UsersModule> logger, CancellationToken ct)
    {
        var form = Forms.IsUrlEncoded(context.Request) ? await Forms.ReadAsync(context.Request) : FormCollection.Empty;
        var (token, email, name) = (form["token"].ToString(), form["email"].ToString(), form["name"].ToString());
        if (!await link.IsOpenAsync(token, ct))
            return Problem.Of(UserProblems.SetupClosed);
        var user = new NewUser(email, name, form["password"].ToString());
        var errors = JsonFaults.FindInvalid(user);
        if (errors.Count == 0)
            errors = common.Errors(user.Password);
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
        {Hidden("token", token)}
        {Field("email", "E-mail", "email", email, "username", "", errors)}
        {Field("name", "Name", "text", name, "name", "maxlength=\"200\"", errors)}
        {Field("password", $"Password, at least {Passwords.MinLength} characters", "password", "", "new-password", $"minlength=\"{Passwords.MinLength}\" maxlength=\"{Passwords.MaxLength}\"", errors)}
        <button type="submit">Make administrator</button>
        </form>
        """;

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
}
