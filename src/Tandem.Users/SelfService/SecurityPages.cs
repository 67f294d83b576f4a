using System.Globalization;
using Microsoft.AspNetCore.Http;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.CommonPasswords;
using Tandem.Users.Passkeys;
using Tandem.Users.SecondSteps;
using Tandem.Users.Upstream;
using static Tandem.Users.Pages;

namespace Tandem.Users.SelfService;

/// <summary>Sets another password, as PUT /auth/password does.</summary>
sealed class PasswordPage(Ownership ownership, Passwords passwords, CommonPasswordCheck common, TimeProvider clock) : IAccountPage
{
    public string Name => "password";
    public string Key => "mypassword";
    public bool IsDangerous => true;

    public Task<View> ShowAsync(Visit visit)
    {
        var t = visit.T;
        // With the e-mail beside it password managers know whose it is.
        return Task.FromResult(new View(t.Say("mypassword.title"), $"""
            <p>{t.Html("mypassword.text")}</p>
            {visit.Form($"<input type=\"email\" name=\"username\" value=\"{Encode(visit.Account.Email)}\" autocomplete=\"username\" hidden>" + Field("password", t.Say("mypassword.field", ("least", $"{Passwords.MinLength}")), "password", "", "new-password",
                $"minlength=\"{Passwords.MinLength}\" maxlength=\"{Passwords.MaxLength}\"", visit.Faults) + Button("change", t.Html("mypassword.button")))}
            """));
    }

    public async Task<IResult> AnswerAsync(Visit visit, string action, IFormCollection form)
    {
        if (action != "change")
            return visit.Done("stale");
        var wanted = new NewPassword(form["password"].ToString());
        FormFaultException.ThrowIfAny(visit.T.Faults(JsonFaults.FindInvalid(wanted)));
        FormFaultException.ThrowIfAny(visit.T.Faults(common.Errors(wanted.Password)));
        var hash = await passwords.HashAsync(wanted.Password, visit.Ct);
        await ownership.ChangePasswordAsync(visit.Account.Id, hash, clock.UtcNow(), Origin.Of(visit.Http), visit.Ct, visit.Session);
        return visit.Done("changed");
    }
}

/// <summary>An authenticator app and recovery codes, as under /auth/totp. Secret and codes are in the answer to a button, and nowhere else.</summary>
sealed class SecondStepPage(SecondStep secondStep) : IAccountPage
{
    public string Name => "second-step";
    public string Key => "step";
    public bool IsDangerous => true;

    public async Task<View> ShowAsync(Visit visit)
    {
        var t = visit.T;
        if (!await secondStep.IsOnAsync(visit.Account.Id, visit.Ct))
            return new View(t.Say("step.title"), $"<p>{t.Html("step.off")}</p>\n{visit.Form(Button("begin", t.Html("step.begin")))}");
        var left = await secondStep.RecoveryCodesLeftAsync(visit.Account.Id, visit.Ct);
        return new View(t.Say("step.title"), $"""
            <p>{t.Html("step.on", ("left", left.ToString(CultureInfo.InvariantCulture)))}</p>
            <h2>{t.Html("step.renew")}</h2>
            <p>{t.Html("step.renew-text")}</p>
            {visit.Form(Button("renew", t.Html("step.renew"), isSecond: true))}
            <h2>{t.Html("step.remove")}</h2>
            <p>{t.Html("step.remove-text")}</p>
            {visit.Form(Button("remove", t.Html("step.remove"), isSecond: true))}
            """);
    }

    public async Task<IResult> AnswerAsync(Visit visit, string action, IFormCollection form)
    {
        var (t, account, origin) = (visit.T, visit.Account, Origin.Of(visit.Http));
        switch (action)
        {
            case "begin":
                var setup = await secondStep.BeginAsync(account, visit.Ct);
                return visit.Show(t.Say("step.scan-title"), $"""
                    <p>{t.Html("step.scan")}</p>
                    {setup.QrSvg.Replace("<svg ", $"<svg role=\"img\" aria-label=\"{t.Html("step.picture")}\" ", StringComparison.Ordinal)}
                    <p>{t.Html("step.secret", ("secret", $"<code>{setup.Secret}</code>"))}</p>
                    <p><a href="{Encode(setup.Uri)}">{t.Html("step.link")}</a></p>
                    {Confirmation(visit, null)}
                    """);
            case "confirm":
                var code = form["code"].ToString();
                return code.Length <= 100 && await secondStep.ConfirmAsync(account, code, origin, visit.Ct) is { } codes
                    ? ShowCodes(visit, codes)
                    : (visit with { Status = 400 }).Show(t.Say("step.scan-title"), Confirmation(visit, t.Say("step.wrong")) + visit.Form(Button("begin", t.Html("step.again"), isSecond: true)));
            case "renew":
                return await secondStep.RenewCodesAsync(account.Id, origin, visit.Ct) is { } renewed ? ShowCodes(visit, renewed) : throw new ProblemException(UserProblems.SecondStepIsOff);
            case "remove":
                return await secondStep.SwitchOffAsync(account, origin, visit.Ct) ? visit.Done("off") : throw new ProblemException(UserProblems.SecondStepIsOff);
            default:
                return visit.Done("stale");
        }
    }

    static string Confirmation(Visit visit, string? wrong) => visit.Form(Field("code", visit.T.Say("step.code"), "text", "", "one-time-code", "inputmode=\"numeric\" spellcheck=\"false\" maxlength=\"100\"",
        wrong is null ? visit.Faults : new Dictionary<string, string[]> { ["code"] = [wrong] }) + Button("confirm", visit.T.Html("step.confirm")));

    static IResult ShowCodes(Visit visit, string[] codes) => visit.Show(visit.T.Say("step.codes-title"), $"""
        <p>{visit.T.Html("step.codes")}</p>
        <ul class="codes">
        {string.Concat(codes.Select(c => $"<li><code>{c}</code></li>\n"))}</ul>
        <p><a class="button" href="{visit.To(visit.Page)}">{visit.T.Html("step.codes-done")}</a></p>
        """);
}

/// <summary>Passkeys, as under /auth/passkeys. Only to add one takes a script.</summary>
sealed class PasskeysPage(PasskeyTable passkeys, UsersOptions options) : IAccountPage
{
    public string Name => "passkeys";
    public string Key => "passkeys";
    public bool IsDangerous => true;

    public async Task<View> ShowAsync(Visit visit)
    {
        var (t, known) = (visit.T, await passkeys.ListAsync(visit.Account.Id, visit.Ct));
        var list = known.Count == 0 ? $"<p>{t.Html("passkeys.none")}</p>" : $"<ul class=\"list\">\n{string.Concat(known.Select(p => Row(visit, p)))}</ul>";
        var adding = options.PasskeyHost is { } host && known.Count < options.PasskeysPerAccount ? await AddingAsync(visit, host) : "";
        return new View(t.Say("passkeys.title"), $"<p>{t.Html("passkeys.text")}</p>\n{list}\n{adding}", adding.Length == 0 ? null : PasskeyScript.Add);
    }

    static string Row(Visit visit, Passkey passkey)
    {
        var (t, field, name) = (visit.T, $"name-{passkey.Id}", Encode(passkey.Name));
        var times = passkey.LastUsedAt is { } used ? t.Html("passkeys.times", ("since", Visit.Time(passkey.CreatedAt)), ("used", Visit.Time(used))) : t.Html("passkeys.unused", ("since", Visit.Time(passkey.CreatedAt)));
        var wrong = visit.Faults.TryGetValue(field, out var faults) ? faults[0] : null;
        return $"""
            <li><p><strong>{name}</strong></p>
            <p class="quiet">{times}{(passkey.IsBackedUp ? $" · {t.Html("passkeys.synced")}" : "")}</p>
            {visit.Form($"""
                {Hidden("id", passkey.Id.ToString())}<label for="{field}">{t.Html("passkeys.name-of", ("name", name))}</label>
                <input id="{field}" name="name" value="{name}" maxlength="{PasskeyTable.MaxNameLength}" autocomplete="off" required{(wrong is null ? "" : $" aria-invalid=\"true\" aria-describedby=\"{field}-wrong\"")}>
                {(wrong is null ? "" : $"<p id=\"{field}-wrong\" class=\"wrong\">{Encode(wrong)}</p>")}
                <button type="submit" name="action" value="rename" class="second" aria-label="{t.Html("passkeys.rename-label", ("name", name))}">{t.Html("passkeys.rename")}</button>
                <button type="submit" name="action" value="remove" class="second" formnovalidate aria-label="{t.Html("passkeys.remove-label", ("name", name))}">{t.Html("passkeys.remove")}</button>

                """)}</li>

            """;
    }

    /// <summary>What the browser is to be asked for goes into the page: no script fetches anything in the person's name.</summary>
    async Task<string> AddingAsync(Visit visit, string host)
    {
        var (t, asked) = (visit.T, await passkeys.AskAsync(visit.Account, visit.Http));
        return $"""
            <h2>{t.Html("passkeys.add-title")}</h2>
            <p id="no-passkeys">{t.Html("passkeys.needs-script", ("domain", Encode(host)))}</p>
            <p id="passkey-failed" role="alert" class="wrong" hidden>{t.Html("passkeys.failed")}</p>
            <div id="passkey-new" data-domain="{Encode(host)}" data-options="{Encode(asked.Options.GetRawText())}" hidden>
            {visit.Form(Hidden("action", "add") + Hidden("handle", asked.Handle) + "<input type=\"hidden\" name=\"credential\">\n"
                + Field("name", t.Say("passkeys.name"), "text", visit.Typed["handle"].Count > 0 ? visit.Typed["name"].ToString() : "", "off", $"maxlength=\"{PasskeyTable.MaxNameLength}\"", visit.Faults)
                + $"<button type=\"submit\">{t.Html("passkeys.add")}</button>\n")}</div>
            """;
    }

    public async Task<IResult> AnswerAsync(Visit visit, string action, IFormCollection form)
    {
        var (account, name, origin, isKnown) = (visit.Account.Id, form["name"].ToString(), Origin.Of(visit.Http), Guid.TryParse(form["id"].ToString(), out var id));
        switch (action)
        {
            case "add":
                RefuseName(name, "name");
                await passkeys.AddAsync(visit.Account, name, form["handle"].ToString(), form["credential"].ToString() is { Length: <= PasskeyTable.MaxCredentialLength } credential ? credential : "", visit.Http);
                return visit.Done("added");
            case "rename" when isKnown:
                RefuseName(name, $"name-{id}");
                return await passkeys.RenameAsync(account, id, name, origin, visit.Ct) is null ? throw new ProblemException(UserProblems.PasskeyNotFound) : visit.Done("renamed");
            case "remove" when isKnown:
                return await passkeys.RemoveAsync(account, id, origin, visit.Ct) ? visit.Done("removed") : throw new ProblemException(UserProblems.PasskeyNotFound);
            default:
                return visit.Done("stale");
        }

        void RefuseName(string name, string field)
        {
            if (JsonFaults.FindInvalid(new PasskeyName(name)).Count > 0)
                throw new FormFaultException(new Dictionary<string, string[]> { [field] = [visit.T.Say("passkeys.wrong-name")] });
        }
    }
}

/// <summary>Logins at other providers, as under /auth/upstreams; adding one leads over the page that asks whose account it is.</summary>
sealed class LoginsPage(UpstreamLogins logins, Providers providers, UsersOptions options) : IAccountPage
{
    public string Name => "logins";
    public string Key => "logins";
    public bool IsDangerous => true;

    public bool IsThere(UsersOptions options) => options.Upstream.Count > 0;

    public async Task<View> ShowAsync(Visit visit)
    {
        var (t, known) = (visit.T, await logins.ListAsync(visit.Account.Id, visit.Ct));
        var list = known.Count == 0 ? $"<p>{t.Html("logins.none")}</p>" : $"<ul class=\"list\">\n{string.Concat(known.Select(l => Row(visit, l)))}</ul>";
        return new View(t.Say("logins.title"), $"<p>{t.Html("logins.text")}</p>\n{list}\n" + string.Concat(options.Providers.Select(p =>
            visit.Form(Hidden("provider", p.Name) + Button("add", t.Html("logins.add", ("provider", Encode(p.Provider.Title ?? p.Name))), isSecond: true)))));
    }

    string Row(Visit visit, UpstreamLogin login)
    {
        var (t, provider) = (visit.T, options.ProviderOf(login.Issuer));
        var title = Encode(provider?.Title ?? login.Issuer);
        return $"""
            <li><p><strong>{title}</strong>{(login.Email is { } email ? $" {t.Html("logins.as", ("email", Encode(email)))}" : "")}</p>
            <p class="quiet">{(provider is null ? t.Html("logins.off") : t.Html("logins.times", ("since", Visit.Time(login.CreatedAt)), ("used", Visit.Time(login.LastUsedAt ?? login.CreatedAt))))}</p>
            {visit.Form(Hidden("id", login.Id.ToString()) + $"<button type=\"submit\" name=\"action\" value=\"remove\" class=\"second\" aria-label=\"{t.Html("logins.remove-label", ("provider", title))}\">{t.Html("logins.remove")}</button>\n")}</li>

            """;
    }

    public async Task<IResult> AnswerAsync(Visit visit, string action, IFormCollection form)
    {
        switch (action)
        {
            case "remove" when Guid.TryParse(form["id"].ToString(), out var id):
                return await logins.RemoveAsync(visit.Account.Id, id, Origin.Of(visit.Http), visit.Ct) ? visit.Done("removed") : throw new ProblemException(UserProblems.UpstreamLoginNotFound);
            case "add":
                var name = form["provider"].ToString();
                if (providers.Find(name) is null)
                    throw new ProblemException(UserProblems.UpstreamNotFound);
                var caller = visit.Http.Features.Get<Caller>() ?? throw new InvalidOperationException("A page of an account without its person.");
                visit.Http.Response.Headers.CacheControl = "no-store";
                return Results.Redirect($"{visit.Root}auth/upstream/{name}/link?handle={await logins.SealAsync(name, caller, visit.Ct)}");
            default:
                return visit.Done("stale");
        }
    }
}
