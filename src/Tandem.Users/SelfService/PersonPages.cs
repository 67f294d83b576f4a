using Microsoft.AspNetCore.Http;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Mailing;
using Tandem.Users.Tickets;
using static Tandem.Users.Pages;

namespace Tandem.Users.SelfService;

/// <summary>Who one is here.</summary>
sealed class OverviewPage(UserTable users, TicketTable tickets, MailAllowance allowance, MailOptions mail, TimeProvider clock) : IAccountPage
{
    public string Name => "";
    public string Key => "account";
    public bool IsDangerous => false;

    public async Task<View> ShowAsync(Visit visit)
    {
        var (t, account) = (visit.T, visit.Account);
        var isVerified = await users.IsVerifiedAsync(account.Id, visit.Ct);
        // Where mails end in a folder that nobody looks into, none would be opened.
        var confirm = isVerified || mail is { Host: null, OutboxPage: false } ? "" : visit.Form(Button("verify", t.Html("account.confirm"), isSecond: true));
        return new View(t.Say("account.title"), $"""
            <p>{t.Html("account.email", ("email", Strong(account.Email)))} ({t.Html(isVerified ? "account.confirmed" : "account.unconfirmed")})</p>
            {confirm}
            {visit.Form(Field("name", t.Say("account.name"), "text", visit.Typed.TryGetValue("name", out var typed) ? typed.ToString() : account.Name, "name", "maxlength=\"200\"", visit.Faults) + Button("rename", t.Html("account.save")))}
            <p class="quiet">{t.Html("account.since", ("time", Visit.Time(account.CreatedAt)))}</p>
            <p><a class="button second" href="{visit.Root}logout">{t.Html("account.sign-out")}</a></p>
            """);
    }

    public async Task<IResult> AnswerAsync(Visit visit, string action, IFormCollection form)
    {
        var (id, origin) = (visit.Account.Id, Origin.Of(visit.Http));
        switch (action)
        {
            case "rename":
                var change = new UserChange { Name = form["name"].ToString() };
                FormFaultException.ThrowIfAny(visit.T.Faults(JsonFaults.FindInvalid(change)));
                await users.ChangeAsync(id, new AccountChange(change.Name), clock.UtcNow(), origin, visit.Ct);
                return visit.Done("renamed");
            case "verify":
                if (await allowance.RefuseAsync(visit.Http) is { } refusal)
                    throw new ProblemException(refusal.Problem, refusal.Detail, retryAfterSeconds: refusal.RetryAfterSeconds);
                await tickets.AskAsync(TicketPurpose.Verify, visit.Account.Email, null, MailedEndpoints.RequestOf(visit.Http), null, visit.Ct);
                return visit.Done("mailed");
            default:
                return visit.Done("stale");
        }
    }
}

/// <summary>Asks for another e-mail, as POST /auth/email does.</summary>
sealed class EmailPage(Ownership ownership, MailAllowance allowance, TimeProvider clock) : IAccountPage
{
    public string Name => "email";
    public string Key => "myemail";
    public bool IsDangerous => true;

    public Task<View> ShowAsync(Visit visit)
    {
        var t = visit.T;
        return Task.FromResult(new View(t.Say("myemail.title"), $"""
            <p>{t.Html("myemail.text", ("email", Strong(visit.Account.Email)))}</p>
            {visit.Form(Field("email", t.Say("myemail.field"), "email", visit.Typed["email"].ToString() is { Length: <= 254 } typed ? typed : "", "email", "maxlength=\"254\"", visit.Faults) + Button("change", t.Html("myemail.button")))}
            """));
    }

    public async Task<IResult> AnswerAsync(Visit visit, string action, IFormCollection form)
    {
        if (action != "change")
            return visit.Done("stale");
        var wanted = new EmailWanted(form["email"].ToString());
        FormFaultException.ThrowIfAny(visit.T.Faults(JsonFaults.FindInvalid(wanted)));
        if (await allowance.RefuseAsync(visit.Http) is { } refusal)
            throw new ProblemException(refusal.Problem, refusal.Detail, retryAfterSeconds: refusal.RetryAfterSeconds);
        await ownership.AskForEmailAsync(visit.Account.Id, wanted.Email, MailedEndpoints.RequestOf(visit.Http), clock.UtcNow(), visit.Ct);
        return visit.Done("asked");
    }
}
