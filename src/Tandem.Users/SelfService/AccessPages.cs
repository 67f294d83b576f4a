using System.Globalization;
using Microsoft.AspNetCore.Http;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Look;
using Tandem.Users.OpenId;
using Tandem.Users.Tokens;
using static Tandem.Users.Pages;

namespace Tandem.Users.SelfService;

/// <summary>Where one is signed in, as GET /sessions tells it.</summary>
sealed class SessionsPage(Sessions sessions, ClientTable clients, TimeProvider clock) : IAccountPage
{
    const int Shown = 20;

    public string Name => "sessions";
    public string Key => "sessions";
    public bool IsDangerous => false;

    public async Task<View> ShowAsync(Visit visit)
    {
        var t = visit.T;
        var skip = int.TryParse(visit.Http.Request.Query["skip"], NumberStyles.None, CultureInfo.InvariantCulture, out var asked) ? asked : 0;
        var (page, total) = await sessions.ListAsync(visit.Account.Id, skip, Shown, clock.UtcNow(), visit.Ct);
        var rows = "";
        foreach (var session in page)
            rows += await RowAsync(visit, session);
        var others = total > 1 ? visit.Form(Button("end-others", t.Html("sessions.end-others"), isSecond: true)) : "";
        var older = total > skip + Shown ? $"<p><a href=\"{visit.To(Name)}?skip={skip + Shown}\">{t.Html("sessions.older")}</a></p>\n" : "";
        return new View(t.Say("sessions.title"), $"<p>{t.Html("sessions.text")}</p>\n<ul class=\"list\">\n{rows}</ul>\n{older}{others}");
    }

    async Task<string> RowAsync(Visit visit, OpenSession session)
    {
        var t = visit.T;
        var device = session.ImpersonatorId is not null ? t.Html("sessions.by-administrator") : session.UserAgent is { } agent ? Encode(agent) : t.Html("sessions.unknown");
        var what = session.ClientId is { } client ? t.Html("sessions.client", ("client", Encode((await clients.FindAsync(client, visit.Ct))?.Name ?? client)), ("device", device)) : device;
        var isThis = session.Id == visit.Session;
        var network = ClientNetwork.Of(session.Address) is { } from ? $" {t.Html("sessions.network", ("network", Encode(from)))}" : "";
        var end = isThis ? "" : visit.Form(Hidden("id", session.Id.ToString())
            + $"<button type=\"submit\" name=\"action\" value=\"end\" class=\"second\" aria-label=\"{t.Html("sessions.end-label", ("device", what), ("since", $"{session.CreatedAt:yyyy-MM-dd HH:mm} UTC"))}\">{t.Html("sessions.end")}</button>\n");
        return $"""
            <li><p><strong>{what}</strong>{network}{(isThis ? $" ({t.Html("sessions.this")})" : "")}</p>
            <p class="quiet">{t.Html("sessions.times", ("used", Visit.Time(session.LastUsedAt)), ("since", Visit.Time(session.CreatedAt)))}</p>
            {end}</li>

            """;
    }

    public async Task<IResult> AnswerAsync(Visit visit, string action, IFormCollection form)
    {
        var (account, origin) = (visit.Account.Id, Origin.Of(visit.Http));
        switch (action)
        {
            case "end" when Guid.TryParse(form["id"].ToString(), out var id):
                return await sessions.EndAsync(account, id, Sessions.ByOwner, origin, clock.UtcNow(), visit.Ct) ? visit.Done("ended") : throw new ProblemException(UserProblems.SessionNotFound);
            case "end-others":
                await sessions.EndAllAsync(account, visit.Session, Sessions.ByOwner, origin, clock.UtcNow(), visit.Ct);
                return visit.Done("ended-others");
            default:
                return visit.Done("stale");
        }
    }
}

/// <summary>What one has let in.</summary>
sealed class ApplicationsPage(ClientTable clients, TimeProvider clock) : IAccountPage
{
    public string Name => "applications";
    public string Key => "applications";
    public bool IsDangerous => false;

    public async Task<View> ShowAsync(Visit visit)
    {
        var (t, allowed) = (visit.T, await clients.AllowedAsync(visit.Account.Id, clock.UtcNow(), visit.Ct));
        var list = allowed.Count == 0 ? $"<p>{t.Html("applications.none")}</p>" : $"<ul class=\"list\">\n{string.Concat(allowed.Select(a => Row(visit, a)))}</ul>";
        return new View(t.Say("applications.title"), $"<p>{t.Html("applications.text")}</p>\n{list}");
    }

    static string Row(Visit visit, AllowedClient client)
    {
        Language t = visit.T;
        var scopes = client.Scopes is { Length: > 0 } some ? $"<p>{t.Html("applications.may", ("scopes", Encode(string.Join(", ", Client.Words(some).Select(s => ClientScopes.Describe(t, s))))))}</p>\n" : "";
        string[] times = [.. client.GivenAt is { } since ? [t.Html("applications.since", ("since", Visit.Time(since)))] : Array.Empty<string>(),
            .. client.LastUsedAt is { } used ? [t.Html("applications.signed-in", ("used", Visit.Time(used)))] : Array.Empty<string>()];
        return $"""
            <li><p><strong>{Encode(client.Name)}</strong></p>
            {scopes}<p class="quiet">{string.Join(" · ", times)}</p>
            {visit.Form(Hidden("client", client.Id) + $"<button type=\"submit\" name=\"action\" value=\"take-back\" class=\"second\" aria-label=\"{t.Html("applications.take-back-label", ("client", Encode(client.Name)))}\">{t.Html("applications.take-back")}</button>\n")}</li>

            """;
    }

    public async Task<IResult> AnswerAsync(Visit visit, string action, IFormCollection form)
    {
        if (action != "take-back" || form["client"].ToString() is not { Length: > 0 and <= 200 } client || client.Contains('\0'))
            return visit.Done("stale");
        await clients.TakeBackAsync(visit.Account.Id, client, clock.UtcNow(), Origin.Of(visit.Http), visit.Ct);
        return visit.Done("taken");
    }
}
