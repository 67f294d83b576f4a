using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
using Tandem.Users.Passkeys;
using Tandem.Users.Tickets;
using Tandem.Users.Tokens;

namespace Tandem.Users.SecondSteps;

/// <summary>What a person does to the ways into the own account.</summary>
static class SecondStepEndpoints
{
    public static void MapSecondSteps(this IEndpointRouteBuilder routes)
    {
        var own = routes.MapGroup("/auth").WithTags("Ways in").InPerson();
        own.MapGet("me", Show).WithSummary("How you may sign in").Answers(UserProblems.NotFound);
        own.MapPost("confirmation", Confirm).WithSummary("Show once more that it is you, for what takes a fresh sign-in")
            .Answers(UserProblems.WrongPassword, UserProblems.WrongCode, UserProblems.SecondStepWanted, UserProblems.PasskeyRefused, UserProblems.Busy, HttpProblems.TooManyRequests);
        own.MapPut("password", ChangePassword).WithSummary("Set another password; ends your other sessions and your keys").FreshSignIn().Answers(UserProblems.NotFound, UserProblems.Busy);
        own.MapPost("email", ChangeEmail).WithSummary("Ask for another e-mail: it is mailed a link, and the old one is told").FreshSignIn().Answers(HttpProblems.TooManyRequests);
        own.MapPost("totp", Begin).WithSummary("Set an authenticator app up").FreshSignIn().Answers(UserProblems.SecondStepIsOn, UserProblems.NotFound);
        own.MapPost("totp/confirmation", Finish).WithSummary("Switch the second step on with the app's first code; the recovery codes are in this answer and nowhere else")
            .FreshSignIn().Answers(UserProblems.WrongCode, UserProblems.NotFound);
        own.MapDelete("totp", SwitchOff).WithSummary("Switch the second step off").FreshSignIn().Answers(UserProblems.SecondStepIsOff, UserProblems.NotFound);
        own.MapPost("recovery-codes", RenewCodes).WithSummary("Ten new recovery codes in the place of the old ones").FreshSignIn().Answers(UserProblems.SecondStepIsOff);
    }

    /// <summary>Wants a session whose person has shown who he is lately: whoever finds an open laptop does not take the account over. Keys and clients pass, there is nobody behind them to be asked; what they may not do at all is InPerson as well. Whoever acts as somebody else cannot show it.</summary>
    public static TBuilder FreshSignIn<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder => builder.AddEndpointFilter(static async (context, next) =>
    {
        var http = context.HttpContext;
        var (services, options) = (http.RequestServices, http.RequestServices.GetRequiredService<UsersOptions>());
        if (http.Features.Get<Caller>() is { ImpersonatorId: not null })
            return Problem.Of(UserProblems.Impersonated);
        if (http.Features.Get<Caller>() is not { } caller || KeyEndpoints.NotInPerson(caller) is not null
            || await services.GetRequiredService<Sessions>().IsFreshAsync(caller.SessionId, services.GetRequiredService<TimeProvider>().UtcNow(), http.RequestAborted))
            return await next(context);
        // RFC 9470, 3.
        http.Response.Headers.WWWAuthenticate = string.Create(CultureInfo.InvariantCulture,
            $"Bearer error=\"insufficient_user_authentication\", error_description=\"A more recent sign-in is needed\", max_age=\"{options.StepUpAfter.TotalSeconds}\"");
        return Problem.Of(UserProblems.SignInTooOld);
    }).Answers(UserProblems.SignInTooOld, UserProblems.Impersonated);

    static async Task<Results<Ok<WaysIn>, ProblemResult>> Show(Caller caller, UserTable users, SecondStep secondStep, PasskeyTable passkeys, CancellationToken ct)
    {
        if (await users.FindAsync(caller.AccountId, ct) is not { } account)
            return Problem.Of(UserProblems.NotFound);
        var isOn = await secondStep.IsOnAsync(account.Id, ct);
        return TypedResults.Ok(new WaysIn(account.Email, await users.IsVerifiedAsync(account.Id, ct), isOn, isOn ? await secondStep.RecoveryCodesLeftAsync(account.Id, ct) : 0,
            await passkeys.CountAsync(account.Id, ct)));
    }

    static async Task<Results<NoContent, ProblemResult>> Confirm(Confirmation body, Caller caller, Origin origin, HttpContext context, Db db, UserTable users, Passwords passwords, SecondStep secondStep,
        PasskeyTable passkeys, Sessions sessions, TicketTable tickets, SignInLimits limits, TimeProvider clock, CancellationToken ct)
    {
        var address = ClientAddress.Of(context);
        if (body.Credential is { } credential)
            return body is { Handle: { } asked, Password: null, Code: null }
                ? await ConfirmByPasskeyAsync(asked, credential.GetRawText(), caller, origin, context, db, passkeys, sessions, limits, clock, ct)
                : Problem.Invalid("body", "must have handle and credential alone, where it has credential");
        if (await secondStep.IsOnAsync(caller.AccountId, ct))
            return body is not { Code: { } code, Handle: null, Password: null } ? Problem.Of(UserProblems.SecondStepWanted, "Send code: one of your authenticator app, or a recovery code.")
                : await secondStep.ConfirmSessionAsync(caller, code, address, origin, ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.WrongCode);
        if (await users.FindAsync(caller.AccountId, ct) is not { } account)
            return Problem.Of(UserProblems.WrongPassword);
        var attempt = await limits.TakeAsync(address, account.Email, () => sessions.KnowsAddressAsync(account.Id, address, ct));
        if (attempt.Limit is { Allowed: false } limit)
            throw SignInLimits.TooMany(limit, "attempts at this account");
        ProblemResult? wrong;
        if (body is { Password: { } password, Code: null, Handle: null })
        {
            var known = await users.FindCredentialsAsync(account.Id, ct);
            wrong = await passwords.VerifyAsync(password, known?.PasswordHash, ct) ? null : Problem.Of(UserProblems.WrongPassword);
        }
        else if (body is { Handle: { } handle, Code: { } mailed, Password: null })
            wrong = await db.InTransactionAsync(async tx => await tickets.UseCodeAsync(tx, handle, mailed), ct) is { } used && used.AccountId == account.Id ? null : Problem.Of(UserProblems.WrongCode);
        else
            return Problem.Invalid("body", "must have password, handle and code of a mail from POST /auth/code, or handle and credential of a passkey");
        if (wrong is not null)
            return wrong;
        if (attempt.SucceededAsync is { } succeeded)
            await succeeded();
        await db.InTransactionAsync(async tx => await sessions.ConfirmAsync(tx, caller, origin, clock.UtcNow()), ct);
        return TypedResults.NoContent();
    }

    /// <summary>A passkey is both steps, whatever else the account has.</summary>
    static async Task<Results<NoContent, ProblemResult>> ConfirmByPasskeyAsync(string handle, string credential, Caller caller, Origin origin, HttpContext context, Db db, PasskeyTable passkeys, Sessions sessions,
        SignInLimits limits, TimeProvider clock, CancellationToken ct)
    {
        var address = ClientAddress.Of(context);
        await limits.RefuseExhaustedAsync(address, context.Response, "failed attempts");
        if (await passkeys.UseAsync(handle, credential, context, caller.AccountId) is null)
        {
            await limits.FailedAsync(address);
            return Problem.Of(UserProblems.PasskeyRefused);
        }

        await db.InTransactionAsync(async tx => await sessions.ConfirmAsync(tx, caller, origin, clock.UtcNow()), ct);
        return TypedResults.NoContent();
    }

    static async Task<Results<NoContent, ProblemResult>> ChangePassword(NewPassword body, Caller caller, Origin origin, Ownership ownership, Passwords passwords, CommonPasswordCheck common, TimeProvider clock,
        CancellationToken ct)
    {
        common.Refuse(body.Password);
        var hash = await passwords.HashAsync(body.Password, ct);
        return await ownership.ChangePasswordAsync(caller.AccountId, hash, clock.UtcNow(), origin, ct, caller.SessionId) ? TypedResults.NoContent() : Problem.Of(UserProblems.NotFound);
    }

    static async Task<Results<Accepted, ProblemResult>> ChangeEmail(EmailWanted body, Caller caller, HttpContext context, MailAllowance allowance, Ownership ownership, TimeProvider clock, CancellationToken ct)
    {
        if (await allowance.RefuseAsync(context) is { } refusal)
            return refusal;
        await ownership.AskForEmailAsync(caller.AccountId, body.Email, MailedEndpoints.RequestOf(context), clock.UtcNow(), ct);
        return TypedResults.Accepted((string?)null);
    }

    static async Task<Results<Ok<TotpSetup>, ProblemResult>> Begin(Caller caller, HttpContext context, UserTable users, SecondStep secondStep, CancellationToken ct)
    {
        if (await users.FindAsync(caller.AccountId, ct) is not { } account)
            return Problem.Of(UserProblems.NotFound);
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Ok(await secondStep.BeginAsync(account, ct));
    }

    static async Task<Results<Ok<RecoveryCodes>, ProblemResult>> Finish(FirstCode body, Caller caller, Origin origin, HttpContext context, UserTable users, SecondStep secondStep, CancellationToken ct)
    {
        if (await users.FindAsync(caller.AccountId, ct) is not { } account)
            return Problem.Of(UserProblems.NotFound);
        context.Response.Headers.CacheControl = "no-store";
        return await secondStep.ConfirmAsync(account, body.Code, origin, ct) is { } codes ? TypedResults.Ok(new RecoveryCodes(codes)) : Problem.Of(UserProblems.WrongCode);
    }

    static async Task<Results<NoContent, ProblemResult>> SwitchOff(Caller caller, Origin origin, UserTable users, SecondStep secondStep, CancellationToken ct)
    {
        if (await users.FindAsync(caller.AccountId, ct) is not { } account)
            return Problem.Of(UserProblems.NotFound);
        return await secondStep.SwitchOffAsync(account, origin, ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.SecondStepIsOff);
    }

    static async Task<Results<Ok<RecoveryCodes>, ProblemResult>> RenewCodes(Caller caller, Origin origin, HttpContext context, SecondStep secondStep, CancellationToken ct)
    {
        context.Response.Headers.CacheControl = "no-store";
        return await secondStep.RenewCodesAsync(caller.AccountId, origin, ct) is { } codes ? TypedResults.Ok(new RecoveryCodes(codes)) : Problem.Of(UserProblems.SecondStepIsOff);
    }
}

/// <summary>How a person may sign in.</summary>
/// <param name="Email">In lower case.</param>
/// <param name="EmailVerified">Whether the mailbox was shown to be the person's own.</param>
/// <param name="SecondStep">Whether a sign-in takes a code of an authenticator app.</param>
/// <param name="RecoveryCodesLeft">How many may still be used, 0 to 10.</param>
/// <param name="Passkeys">How many there are; each signs in by itself.</param>
public sealed record WaysIn(string Email, bool EmailVerified, bool SecondStep, int RecoveryCodesLeft, long Passkeys);

/// <summary>What shows that the person is there: a passkey with its handle; of an account with a second step a code; otherwise the password, or the code of a mail with its handle.</summary>
/// <param name="Password">The account's.</param>
/// <param name="Code">Of the authenticator app, a recovery code, or of the mail that handle belongs to.</param>
/// <param name="Handle">Of the answer of POST /auth/code, or of POST /auth/passkey/options.</param>
/// <param name="Credential">What navigator.credentials.get() gave, by its toJSON().</param>
public sealed record Confirmation([MaxLength(Passwords.MaxLength)] string? Password = null, [MaxLength(100)] string? Code = null, [MaxLength(PasskeyTable.MaxHandleLength)] string? Handle = null,
    [Credential] JsonElement? Credential = null);

/// <summary>Another password.</summary>
/// <param name="Password">8 to 256 characters.</param>
public sealed record NewPassword([MinLength(Passwords.MinLength), MaxLength(Passwords.MaxLength)] string Password);

/// <summary>The first code of an authenticator app.</summary>
/// <param name="Code">Six digits.</param>
public sealed record FirstCode([MaxLength(100)] string Code);

/// <summary>Each takes the place of a code of the app, once.</summary>
/// <param name="Codes">Ten; stored as hashes, and shown here alone.</param>
public sealed record RecoveryCodes(string[] Codes);
