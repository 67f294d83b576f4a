using System.Globalization;
using Microsoft.AspNetCore.Http;
using Tandem.Core.Http;
using Tandem.Core.Jobs;
using Tandem.Users.Audit;
using Tandem.Users.MyData;
using static Tandem.Users.Pages;

namespace Tandem.Users.SelfService;

/// <summary>Takes all that is held along, or has it erased, as under /users/{id}. The file comes as the answer to a button: no address hands it out to a cookie alone.</summary>
sealed class DataPage(MyDataRequests requests, Exports exports, IJobQueue queue) : IAccountPage
{
    public string Name => "data";
    public string Key => "data";
    public bool IsDangerous => true;

    public async Task<View> ShowAsync(Visit visit)
    {
        var t = visit.T;
        return new View(t.Say("data.title"), $"""
            <h2>{t.Html("data.export-title")}</h2>
            <p>{t.Html("data.export")}</p>
            {await ExportAsync(visit)}
            <h2>{t.Html("data.erase-title")}</h2>
            <p>{t.Html("data.erase")}</p>
            {visit.Form(Field("confirmation", t.Say("data.erase-field", ("email", visit.Account.Email)), "text", "", "off", "autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"254\"", visit.Faults) + Button("erase", t.Html("data.erase-button")))}
            """);
    }

    async Task<string> ExportAsync(Visit visit)
    {
        var (t, account) = (visit.T, visit.Account.Id);
        var asked = Guid.TryParse(visit.Http.Request.Query["job"], out var named) ? named : await exports.UnfinishedAsync(account, visit.Ct);
        var job = asked is { } id && await queue.FindAsync(id, visit.Ct) is { } found && found.AccountId == account ? found : null;
        if (job is { State: "available" or "running" })
            return $"<p role=\"status\">{t.Html("data.running", ("percent", ((int)((job.Progress ?? 0) * 100)).ToString(CultureInfo.InvariantCulture)))}</p>\n<p><a class=\"button\" href=\"{visit.To(Name)}?job={job.Id}\">{t.Html("data.look")}</a></p>";
        var failed = job is { State: "discarded" or "cancelled" or "quarantined" } ? $"<p role=\"alert\" class=\"wrong\">{t.Html("data.failed")}</p>\n" : "";
        var ready = await exports.FindAsync(account, visit.Ct) is { } export
            ? $"<p>{t.Html("data.ready", ("time", Visit.Time(export.MadeAt)), ("size", ((export.Length + 1023) / 1024).ToString(CultureInfo.InvariantCulture)))}</p>\n{visit.Form(Button("download", t.Html("data.download")))}"
            : "";
        return failed + ready + visit.Form(Button("export", t.Html("data.export-button"), isSecond: ready.Length > 0));
    }

    public async Task<IResult> AnswerAsync(Visit visit, string action, IFormCollection form)
    {
        var account = visit.Account;
        switch (action)
        {
            case "export":
                var (job, refusal) = await requests.ExportAsync(account.Id, visit.Http);
                return refusal is null ? visit.Done("asked", $"&job={job}") : throw new ProblemException(refusal.Problem, refusal.Detail, retryAfterSeconds: refusal.RetryAfterSeconds);
            case "download":
                return await exports.FindAsync(account.Id, visit.Ct) is { } export ? MyDataEndpoints.Send(account.Id, export, exports, visit.Http) : throw new ProblemException(UserProblems.NoExport);
            case "erase":
                if (UserTable.Fold(form["confirmation"].ToString().Trim()) != account.Email)
                    throw new FormFaultException(new Dictionary<string, string[]> { ["confirmation"] = [visit.T.Say("data.erase-wrong")] });
                await requests.EraseAsync(account.Id, Origin.Of(visit.Http), visit.Ct);
                return visit.Show(visit.T.Say("data.erasing-title"), $"<p>{visit.T.Html("data.erasing")}</p>");
            default:
                return visit.Done("stale");
        }
    }
}
