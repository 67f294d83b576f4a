using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.SecondSteps;

namespace Tandem.Users.Passkeys;

/// <summary>A person's passkeys, and the question that a sign-in begins with; it ends at POST /token.</summary>
static class PasskeyEndpoints
{
    public static void MapPasskeys(this IEndpointRouteBuilder routes)
    {
        routes.MapGroup("/auth").WithTags("Passkeys").MapPost("passkey/options", Ask)
            .WithSummary("What navigator.credentials.get() takes, to sign in or to show once more that it is you").AllowAnonymous().Answers(UserProblems.NoPasskeyDomain);

        var own = routes.MapGroup("/auth/passkeys").WithTags("Passkeys").InPerson();
        own.MapPost("options", AskForNew).WithSummary("What navigator.credentials.create() takes").FreshSignIn().Answers(UserProblems.NotFound, UserProblems.NoPasskeyDomain);
        own.MapPost("", Add).WithSummary("Take in the passkey that the browser has made").FreshSignIn()
            .Answers(UserProblems.PasskeyRefused, UserProblems.PasskeyTaken, UserProblems.TooManyPasskeys, UserProblems.NotFound);
        own.MapGet("", List).WithSummary("Your passkeys, the oldest first");
        own.MapPatch("{id}", Rename).WithSummary("Call a passkey something else").Answers(UserProblems.PasskeyNotFound);
        own.MapDelete("{id}", Remove).WithSummary("Remove a passkey: it signs in no more").FreshSignIn().Answers(UserProblems.PasskeyNotFound, UserProblems.LastWayIn);
    }

    static async Task<Ok<PasskeyAsked>> Ask(HttpContext context, PasskeyTable passkeys)
    {
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Ok(await passkeys.AskAsync(context));
    }

    static async Task<Results<Ok<PasskeyAsked>, ProblemResult>> AskForNew(Caller caller, HttpContext context, UserTable users, PasskeyTable passkeys, CancellationToken ct)
    {
        if (await users.FindAsync(caller.AccountId, ct) is not { } account)
            return Problem.Of(UserProblems.NotFound);
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Ok(await passkeys.AskAsync(account, context));
    }

    static async Task<Results<Created<PasskeyView>, ProblemResult>> Add(NewPasskey body, Caller caller, HttpContext context, UserTable users, PasskeyTable passkeys, CancellationToken ct)
    {
        if (await users.FindAsync(caller.AccountId, ct) is not { } account)
            return Problem.Of(UserProblems.NotFound);
        return TypedResults.Created((string?)null, PasskeyView.Of(await passkeys.AddAsync(account, body.Name, body.Handle, body.Credential.GetRawText(), context)));
    }

    static async Task<Ok<PasskeyView[]>> List(Caller caller, PasskeyTable passkeys, CancellationToken ct) =>
        TypedResults.Ok((await passkeys.ListAsync(caller.AccountId, ct)).Select(PasskeyView.Of).ToArray());

    static async Task<Results<Ok<PasskeyView>, ProblemResult>> Rename(Guid id, PasskeyName body, Caller caller, Origin origin, PasskeyTable passkeys, CancellationToken ct) =>
        await passkeys.RenameAsync(caller.AccountId, id, body.Name, origin, ct) is { } renamed ? TypedResults.Ok(PasskeyView.Of(renamed)) : Problem.Of(UserProblems.PasskeyNotFound);

    static async Task<Results<NoContent, ProblemResult>> Remove(Guid id, Caller caller, Origin origin, PasskeyTable passkeys, CancellationToken ct) =>
        await passkeys.RemoveAsync(caller.AccountId, id, origin, ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.PasskeyNotFound);
}

/// <summary>What a browser is to ask its person for.</summary>
/// <param name="Handle">Goes back with the browser's answer. Sealed; works once.</param>
/// <param name="ExpiresIn">Seconds until it is worth nothing.</param>
/// <param name="Options">For PublicKeyCredential.parseCreationOptionsFromJSON() or parseRequestOptionsFromJSON() (WebAuthn Level 3, 5.1.8 and 5.1.9).</param>
public sealed record PasskeyAsked(string Handle, int ExpiresIn, JsonElement Options);

/// <summary>A passkey that the browser has made.</summary>
/// <param name="Name">What it is known by in lists, 1 to 64 characters.</param>
/// <param name="Handle">Of the answer of POST /auth/passkeys/options.</param>
/// <param name="Credential">What navigator.credentials.create() gave, by its toJSON().</param>
public sealed record NewPasskey([NotBlank, MaxLength(PasskeyTable.MaxNameLength)] string Name, [MaxLength(PasskeyTable.MaxHandleLength)] string Handle, [Credential] JsonElement Credential);

/// <summary>Another name of a passkey.</summary>
/// <param name="Name">1 to 64 characters.</param>
public sealed record PasskeyName([NotBlank, MaxLength(PasskeyTable.MaxNameLength)] string Name);

/// <summary>A passkey.</summary>
/// <param name="Id">Ours; not the one that its authenticator knows it by.</param>
/// <param name="Name">What it is known by.</param>
/// <param name="CreatedAt">UTC.</param>
/// <param name="LastUsedAt">UTC; null: never.</param>
/// <param name="Synced">It is in more places than one, such as a password manager's account; false: it goes with its device.</param>
public sealed record PasskeyView(Guid Id, string Name, DateTime CreatedAt, DateTime? LastUsedAt, bool Synced)
{
    internal static PasskeyView Of(Passkey passkey) => new(passkey.Id, passkey.Name, passkey.CreatedAt, passkey.LastUsedAt, passkey.IsBackedUp);
}

/// <summary>What a browser's PublicKeyCredential is as JSON; what is in it is looked at where it is checked.</summary>
sealed class CredentialAttribute : ValidationAttribute
{
    public CredentialAttribute() => ErrorMessage = $"must be what toJSON() of the browser's PublicKeyCredential gives, of at most {PasskeyTable.MaxCredentialLength} characters";

    public override bool IsValid(object? value) => value is null
        || value is JsonElement { ValueKind: JsonValueKind.Object } json && json.GetRawText().Length <= PasskeyTable.MaxCredentialLength;
}
