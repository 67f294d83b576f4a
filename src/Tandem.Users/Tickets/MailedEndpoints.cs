using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
using Tandem.Users.Look;

namespace Tandem.Users.Tickets;

/// <summary>What is done by mail: a forgotten password, an e-mail that is confirmed or changed, a code to sign in with.</summary>
static class MailedEndpoints
{
    public static void MapMailed(this IEndpointRouteBuilder routes)
    {
        var auth = routes.MapGroup("/auth").WithTags("Ways in");
        auth.MapPost("password/reset", AskForPassword).WithSummary("Ask for a mail with a link to set a new password; answered alike for any e-mail").AllowAnonymous().Answers(HttpProblems.TooManyRequests);
        auth.MapPost("password", ResetPassword).WithSummary("Set a new password with the token of the mail; ends every session").AllowAnonymous()
            .Answers(UserProblems.LinkInvalid, HttpProblems.TooManyRequests, UserProblems.Busy);
        auth.MapPost("email/verification", AskForVerification).WithSummary("Ask for a mail that confirms an e-mail; answered alike for any e-mail").AllowAnonymous().Answers(HttpProblems.TooManyRequests);
        auth.MapPost("email/confirmation", ConfirmEmail).WithSummary("Confirm an e-mail, or the change to it, with the token of the mail").AllowAnonymous()
            .Answers(UserProblems.LinkInvalid, UserProblems.EmailTaken, HttpProblems.TooManyRequests);
        auth.MapPost("code", AskForCode).WithSummary("Ask for a mail with a code to sign in with; answered alike for any e-mail").AllowAnonymous().Answers(HttpProblems.TooManyRequests);
    }

    static async Task<Results<Accepted, ProblemResult>> AskForPassword(EmailWanted body, HttpContext context, MailAllowance allowance, TicketTable tickets, CancellationToken ct) =>
        await allowance.RefuseAsync(context) is { } refusal ? refusal : await AskAsync(TicketPurpose.Reset, body, context, tickets, ct);

    static async Task<Results<NoContent, ProblemResult>> ResetPassword(NewPasswordByMail body, Origin origin, TicketTable tickets, Ownership ownership, Passwords passwords,
        CommonPasswordCheck common, TimeProvider clock, CancellationToken ct)
    {
        // Before the expensive hash; the transaction decides. Nothing can be guessed here, but whoever tries is not to keep the cores busy.
        if (await tickets.PurposeOfAsync(body.Token, ct) != TicketPurpose.Reset)
            return Problem.Of(UserProblems.LinkInvalid);
        common.Refuse(body.Password);
        var hash = await passwords.HashAsync(body.Password, ct);
        return await ownership.ResetPasswordAsync(body.Token, hash, clock.UtcNow(), origin, ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.LinkInvalid);
    }

    static async Task<Results<Accepted, ProblemResult>> AskForVerification(EmailWanted body, HttpContext context, MailAllowance allowance, TicketTable tickets, CancellationToken ct) =>
        await allowance.RefuseAsync(context) is { } refusal ? refusal : await AskAsync(TicketPurpose.Verify, body, context, tickets, ct);

    static async Task<Results<NoContent, ProblemResult>> ConfirmEmail(MailedToken body, Origin origin, Ownership ownership, TimeProvider clock, CancellationToken ct) =>
        await ownership.ConfirmEmailAsync(body.Token, clock.UtcNow(), origin, ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.LinkInvalid);

    static async Task<Results<Accepted<CodeAsked>, ProblemResult>> AskForCode(EmailWanted body, HttpContext context, MailAllowance allowance, TicketTable tickets, UsersOptions options, CancellationToken ct)
    {
        if (await allowance.RefuseAsync(context) is { } refusal)
            return refusal;
        var handle = Secret.New();
        await tickets.AskAsync(TicketPurpose.Code, body.Email, null, RequestOf(context), handle, ct);
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Accepted((string?)null, new CodeAsked(handle, (int)options.CodeLifetime.TotalSeconds));
    }

    static async Task<Results<Accepted, ProblemResult>> AskAsync(string purpose, EmailWanted body, HttpContext context, TicketTable tickets, CancellationToken ct)
    {
        await tickets.AskAsync(purpose, body.Email, null, RequestOf(context), null, ct);
        return TypedResults.Accepted((string?)null);
    }

    public static Request RequestOf(HttpContext context) => new(Origin.Of(context), ClientAddress.Of(context), Language.Of(context).Tag);
}

/// <summary>How many mails an address may ask for.</summary>
sealed class MailAllowance(IRateLimits limits, UsersOptions options)
{
    /// <returns>What to answer; null: it may.</returns>
    public ValueTask<ProblemResult?> RefuseAsync(HttpContext context) => limits.RefuseAsync(context, "mail-address", ClientAddress.Of(context), options.MailsPerAddress, TimeSpan.FromMinutes(5),
        "This address has asked for too many mails; try again after the time in Retry-After.");
}

/// <summary>Who is to be mailed to.</summary>
/// <param name="Email">Whether anybody has it is not told.</param>
public sealed record EmailWanted([Email, MaxLength(254)] string Email);

/// <summary>What came with a mail.</summary>
/// <param name="Token">What stands behind token= in its link.</param>
public sealed record MailedToken([MaxLength(100)] string Token);

/// <summary>A new password for whoever has forgotten the old one.</summary>
/// <param name="Token">What stands behind token= in the mail's link.</param>
/// <param name="Password">8 to 256 characters.</param>
public sealed record NewPasswordByMail([MaxLength(100)] string Token, [MinLength(Passwords.MinLength), MaxLength(Passwords.MaxLength)] string Password);

/// <summary>A mail with a code is on its way, if anybody has the e-mail.</summary>
/// <param name="Handle">Goes to POST /token with the code: the code is worth nothing to anybody who has not asked for it.</param>
/// <param name="ExpiresIn">Seconds until the code is worth nothing.</param>
public sealed record CodeAsked(string Handle, int ExpiresIn);
