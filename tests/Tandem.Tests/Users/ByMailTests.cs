using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Tickets;

namespace Tandem.Tests.Users;

public sealed class ByMailTests
{
    const string NewPassword = "another horse battery";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<HttpResponseMessage> AskAsync(TestApp app, string what, string email) => app.Http.PostAsJsonAsync($"/auth/{what}", new { email }, Ct);

    static Task<HttpResponseMessage> ResetAsync(TestApp app, string token, string password = NewPassword) => app.Http.PostAsJsonAsync("/auth/password", new { token, password }, Ct);

    static Task<HttpResponseMessage> ConfirmAsync(TestApp app, string token) => app.Http.PostAsJsonAsync("/auth/email/confirmation", new { token }, Ct);

    static Task<HttpResponseMessage> GrantAsync(TestApp app, string grant, params (string Name, string Value)[] fields) =>
        app.PostTokenAsync(fields.Append(("grant_type", "urn:tandem:" + grant)).ToDictionary());

    [Fact]
    public async Task A_forgotten_password_is_set_anew_once_and_ends_every_session()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();

        await (await AskAsync(app, "password/reset", person.Email.ToUpperInvariant())).JsonlessAsync(202);

        var mail = await app.MailAsync(person.Email, "A new password for Tandem");
        Assert.StartsWith(app.Address + "/auth/pages/password?token=", mail.Link);
        await (await ResetAsync(app, mail.Token, "short")).ShouldBeProblemAsync(422, "http/invalid");
        await (await ResetAsync(app, mail.Token)).JsonlessAsync(204);
        await (await person.Http.GetAsync("/sessions", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await app.PostTokenAsync(person.Email)).ShouldBeProblemAsync(400, "users/invalid-grant");
        await app.SignInAsync(person.Email, NewPassword);
        await (await ResetAsync(app, mail.Token, "yet another password")).ShouldBeProblemAsync(400, "users/link-invalid");
        Assert.Contains("Your password was changed", (await app.MailAsync(person.Email, "Your password was changed")).Text);
        Assert.Subset((await AuditedAsync(app, person.Id)).ToHashSet(), new HashSet<string> { "mail-asked", "password-changed", "email-verified" });
    }

    [Fact]
    public async Task Of_many_who_use_one_link_at_once_one_sets_the_password()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        await AskAsync(app, "password/reset", person.Email);
        var token = (await app.MailAsync(person.Email, "A new password")).Token;

        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => ResetAsync(app, token, $"password number {i}")));

        Assert.Equal(1, answers.Count(a => (int)a.StatusCode == 204));
        Assert.Equal(7, answers.Count(a => (int)a.StatusCode == 400));
    }

    [Fact]
    public async Task A_link_is_worth_nothing_later_after_a_change_and_for_anything_else()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        using var person = await app.PersonAsync();
        async Task<string> TokenAsync()
        {
            await (await AskAsync(app, "password/reset", person.Email)).JsonlessAsync(202);
            await app.MailedAsync();
            clock.Advance(TimeSpan.FromSeconds(1));
            return (await app.MailAsync(person.Email, "A new password")).Token;
        }

        var token = await TokenAsync();
        await (await ConfirmAsync(app, token)).ShouldBeProblemAsync(400, "users/link-invalid");
        await (await GrantAsync(app, "email-link", ("token", token))).ShouldBeProblemAsync(400, "users/link-invalid");
        clock.Advance(TimeSpan.FromMinutes(61));
        await (await ResetAsync(app, token)).ShouldBeProblemAsync(400, "users/link-invalid");

        var (first, second) = (await TokenAsync(), await TokenAsync());
        await (await ResetAsync(app, second)).JsonlessAsync(204);
        await (await ResetAsync(app, first)).ShouldBeProblemAsync(400, "users/link-invalid");
        await (await ResetAsync(app, "")).ShouldBeProblemAsync(400, "users/link-invalid");
        await (await ResetAsync(app, new string('x', 101))).ShouldBeProblemAsync(422, "http/invalid");
    }

    [Fact]
    public async Task Nothing_secret_lies_in_the_tables()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        await AskAsync(app, "password/reset", person.Email);
        var handle = (await (await AskAsync(app, "code", person.Email)).JsonAsync(202)).GetProperty("handle").GetString()!;
        var (link, code) = ((await app.MailAsync(person.Email, "A new password")).Token, (await app.MailAsync(person.Email, "is your code")).Code);

        var stored = string.Join('\n', await app.Db.ListAsync<string>($"select kind || payload from jobs_queue", Ct))
            + string.Join('\n', await app.Db.ListAsync<string>($"select coalesce(handle_digest, '') || coalesce(link_digest, '') || coalesce(code_digest, '') from users_tickets", Ct));

        Assert.Contains("users.mail-ticket", stored);
        foreach (var secret in new[] { link, handle, code, code.Replace(" ", ""), person.Email })
            Assert.DoesNotContain(secret, stored);
    }

    [Fact]
    public async Task Known_and_unknown_emails_get_the_same_bytes()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        foreach (var what in new[] { "password/reset", "email/verification", "code" })
        {
            var answers = new List<string>();
            foreach (var email in new[] { person.Email, TestUsers.NewEmail() })
            {
                var response = await AskAsync(app, what, email);
                var text = await response.Content.ReadAsStringAsync(Ct);
                if (text.Length > 0)
                    text = text.Replace(JsonDocument.Parse(text).RootElement.GetProperty("handle").GetString()!, new string('x', 43));
                answers.Add((int)response.StatusCode + string.Join('\n', response.Headers.Concat(response.Content.Headers).Where(h => h.Key != "Date").Select(h => $"{h.Key}: {string.Join(',', h.Value)}")) + text);
            }

            Assert.Single(answers.Distinct());
        }

        await app.MailedAsync();
        // The one that was known was mailed to, and nobody else.
        Assert.Equal(3, Directory.GetFiles(app.Services.GetRequiredService<Tandem.Users.Mailing.MailSender>().Outbox).Length);
    }

    [Fact]
    public async Task A_code_by_mail_signs_in_with_the_handle_of_whoever_asked_for_it()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        var asked = await (await AskAsync(app, "code", person.Email)).JsonAsync(202);
        Assert.Equal(600, asked.GetProperty("expires_in").GetInt32());
        var handle = asked.GetProperty("handle").GetString()!;
        var other = (await (await AskAsync(app, "code", TestUsers.NewEmail())).JsonAsync(202)).GetProperty("handle").GetString()!;
        var mail = await app.MailAsync(person.Email, "is your code for Tandem");
        Assert.DoesNotContain("http", mail.Text);

        var wrong = mail.Code.StartsWith('0') ? "1111 1111" : "0000 0000";
        await (await GrantAsync(app, "email-code", ("handle", handle), ("code", wrong))).ShouldBeProblemAsync(400, "users/wrong-code");
        var unknown = await (await GrantAsync(app, "email-code", ("handle", other), ("code", mail.Code))).ShouldBeProblemAsync(400, "users/wrong-code");
        Assert.Equal("invalid_grant", unknown.GetProperty("error").GetString());
        var tokens = await (await GrantAsync(app, "email-code", ("handle", handle), ("code", mail.Code.Replace(" ", "-")))).JsonAsync();

        Assert.Equal(["access_token", "token_type", "expires_in", "refresh_token"], tokens.EnumerateObject().Select(p => p.Name));
        using var http = app.With(tokens.GetProperty("access_token").GetString()!);
        Assert.True((await (await http.GetAsync("/auth/me", Ct)).JsonAsync()).GetProperty("email_verified").GetBoolean());
        await (await GrantAsync(app, "email-code", ("handle", handle), ("code", mail.Code))).ShouldBeProblemAsync(400, "users/wrong-code");
        await (await GrantAsync(app, "email-code", ("handle", handle))).ShouldBeProblemAsync(400, "users/invalid-token-request");
    }

    [Fact]
    public async Task A_code_is_tried_five_times_and_no_more()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        var handle = (await (await AskAsync(app, "code", person.Email)).JsonAsync(202)).GetProperty("handle").GetString()!;
        var code = (await app.MailAsync(person.Email, "is your code")).Code;
        var wrong = code.StartsWith('0') ? "1111 1111" : "0000 0000";

        await Task.WhenAll(Enumerable.Range(0, TicketTable.MaxAttempts).Select(_ => GrantAsync(app, "email-code", ("handle", handle), ("code", wrong))));

        await (await GrantAsync(app, "email-code", ("handle", handle), ("code", code))).ShouldBeProblemAsync(400, "users/wrong-code");
    }

    [Fact]
    public async Task A_link_signs_in_where_the_app_has_a_page_for_it()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:SignInPage", "https://app.example.com/in?from=mail"]);
        using var person = await app.PersonAsync();
        await AskAsync(app, "code", person.Email);
        var mail = await app.MailAsync(person.Email, "is your code");
        Assert.Contains("https://app.example.com/in?from=mail&token=", mail.Text);

        var tokens = await (await GrantAsync(app, "email-link", ("token", mail.Token))).JsonAsync();

        Assert.Equal("bearer", tokens.GetProperty("token_type").GetString());
        await (await GrantAsync(app, "email-link", ("token", mail.Token))).ShouldBeProblemAsync(400, "users/link-invalid");
    }

    [Fact]
    public async Task A_deactivated_person_is_not_mailed_to_and_not_let_in()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();
        var handle = (await (await AskAsync(app, "code", person.Email)).JsonAsync(202)).GetProperty("handle").GetString()!;
        var code = (await app.MailAsync(person.Email, "is your code")).Code;
        await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).JsonAsync();

        await (await GrantAsync(app, "email-code", ("handle", handle), ("code", code))).ShouldBeProblemAsync(400, "users/wrong-code");
        await AskAsync(app, "password/reset", person.Email);
        await app.MailedAsync();
        Assert.DoesNotContain(await app.MailsAsync(person.Email), m => m.Subject.StartsWith("A new password", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Whoever_has_somebody_mailed_to_all_day_is_stopped_and_the_owner_is_not()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:MailsPerAddress", "12", "--Users:MailsPerEmail", "2"]);
        using var person = await app.PersonAsync();
        var stranger = TestUsers.NewEmail();
        await app.RegisterAsync(stranger);
        for (var i = 0; i < 4; i++)
            await (await AskAsync(app, "password/reset", stranger)).JsonlessAsync(202);
        await app.MailedAsync();
        Assert.Equal(2, (await app.MailsAsync(stranger)).Count);

        // From where the owner was signed in before there is an allowance of its own beside the one that others have used up.
        for (var i = 0; i < 8; i++)
            await (await AskAsync(app, "password/reset", person.Email)).JsonlessAsync(202);
        await app.MailedAsync();
        Assert.Equal(4, (await app.MailsAsync(person.Email)).Count);

        var refused = await AskAsync(app, "code", person.Email);
        await refused.ShouldBeProblemAsync(429, "http/too-many-requests");
        Assert.NotNull(refused.Headers.RetryAfter);
    }

    [Fact]
    public async Task An_email_is_confirmed_by_the_link_of_the_mail_that_a_sign_up_brings()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:EmailVerification", "Required", "--Users:PublicUrl", "https://id.example.com/"]);
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);
        var mail = await app.MailAsync(email, "Confirm your e-mail address");
        Assert.StartsWith("https://id.example.com/auth/pages/email?token=", mail.Link);

        var problem = await (await app.PostTokenAsync(email)).ShouldBeProblemAsync(403, "users/email-not-verified");
        Assert.Equal("access_denied", problem.GetProperty("error").GetString());
        await (await app.PostTokenAsync(email, "not the password")).ShouldBeProblemAsync(400, "users/invalid-grant");
        await (await AskAsync(app, "email/verification", email)).JsonlessAsync(202);
        await (await ConfirmAsync(app, mail.Token)).JsonlessAsync(204);

        await app.SignInAsync(email);
        await (await ConfirmAsync(app, mail.Token)).ShouldBeProblemAsync(400, "users/link-invalid");
    }

    [Theory]
    [InlineData("Sent", true)]
    [InlineData("Off", false)]
    public async Task Whoever_signed_up_with_anothers_email_is_out_when_its_owner_signs_in_by_mail(string verification, bool isOut)
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:EmailVerification", verification]);
        var email = TestUsers.NewEmail();
        await app.RegisterAsync(email);
        using var eve = app.With((await app.SignInAsync(email)).GetProperty("access_token").GetString()!);
        var handle = (await (await AskAsync(app, "code", email)).JsonAsync(202)).GetProperty("handle").GetString()!;

        using var owner = app.With((await (await GrantAsync(app, "email-code", ("handle", handle), ("code", (await app.MailAsync(email, "is your code")).Code))).JsonAsync()).GetProperty("access_token").GetString()!);

        await (await owner.GetAsync("/sessions", Ct)).JsonAsync();
        Assert.Equal(isOut ? 401 : 200, (int)(await eve.GetAsync("/sessions", Ct)).StatusCode);
        Assert.Equal(isOut ? 400 : 200, (int)(await app.PostTokenAsync(email)).StatusCode);
    }

    [Fact]
    public async Task An_email_is_changed_by_the_new_address_and_both_are_told()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        using var other = await app.PersonAsync();
        var (old, email) = (person.Email, TestUsers.NewEmail());

        await (await person.Http.PostAsJsonAsync("/auth/email", new { email = email.ToUpperInvariant() }, Ct)).JsonlessAsync(202);

        var mail = await app.MailAsync(email, "Confirm your new e-mail address");
        Assert.Contains(email, (await app.MailAsync(old, "Another e-mail address was asked for")).Text);
        await app.SignInAsync(old);
        await (await ConfirmAsync(app, mail.Token)).JsonlessAsync(204);
        await app.SignInAsync(email);
        await (await app.PostTokenAsync(old)).ShouldBeProblemAsync(400, "users/invalid-grant");
        foreach (var to in new[] { old, email })
            Assert.Contains(email, (await app.MailAsync(to, "The e-mail address was changed")).Text);
        Assert.Contains("email-changed", await AuditedAsync(app, person.Id));

        // An address that has an account is told so, and whoever asked learns nothing.
        await (await person.Http.PostAsJsonAsync("/auth/email", new { email = other.Email }, Ct)).JsonlessAsync(202);
        Assert.DoesNotContain("token=", (await app.MailAsync(other.Email, "You have an account")).Text);
    }

    [Fact]
    public async Task An_address_that_was_taken_meanwhile_is_refused()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        var email = TestUsers.NewEmail();
        await (await person.Http.PostAsJsonAsync("/auth/email", new { email }, Ct)).JsonlessAsync(202);
        var token = (await app.MailAsync(email, "Confirm your new e-mail address")).Token;
        await app.RegisterAsync(email);

        await (await ConfirmAsync(app, token)).ShouldBeProblemAsync(400, "users/email-taken");
    }

    [Fact]
    public async Task The_pages_behind_the_links_do_it_without_an_app_and_looking_uses_nothing_up()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();
        await AskAsync(app, "password/reset", person.Email);
        await AskAsync(app, "email/verification", person.Email);
        var (reset, verify) = (await app.MailAsync(person.Email, "A new password"), await app.MailAsync(person.Email, "Confirm your e-mail"));
        for (var i = 0; i < 2; i++)
            foreach (var link in new[] { reset.Link, verify.Link })
            {
                var page = await app.Http.GetAsync(link, Ct);
                Assert.Equal(200, (int)page.StatusCode);
                Assert.Contains("default-src 'none'", page.Headers.GetValues("Content-Security-Policy").Single());
                Assert.Contains("<form method=\"post\"", await page.Content.ReadAsStringAsync(Ct));
            }

        Assert.Contains("at least 8 characters", await PostAsync(422, "password", ("token", reset.Token), ("password", "short")));
        Assert.Contains("password is changed", await PostAsync(200, "password", ("token", reset.Token), ("password", NewPassword)));
        Assert.Contains("does not work", await PostAsync(400, "password", ("token", reset.Token), ("password", NewPassword)));
        // The change of the password took the other link back.
        Assert.Contains("does not work", await PostAsync(400, "email", ("token", verify.Token)));
        await app.SignInAsync(person.Email, NewPassword);

        async Task<string> PostAsync(int status, string page, params (string Name, string Value)[] fields)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, $"/auth/pages/{page}") { Content = new FormUrlEncodedContent(fields.ToDictionary()), Headers = { { "Accept", "text/html" } } };
            var response = await app.Http.SendAsync(request, Ct);
            Assert.Equal(status, (int)response.StatusCode);
            return await response.Content.ReadAsStringAsync(Ct);
        }
    }

    [Fact]
    public async Task A_request_that_was_acknowledged_survives_the_process()
    {
        TestStores.OnlyEmbedded();
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        var email = TestUsers.NewEmail();
        // A mail server that is away: nothing is sent before the process dies.
        await using (var server = await Programs.ServeAsync(data, "--Mail:Host", "127.0.0.1", "--Mail:Port", "1", "--Mail:Tls", "None", "--Mail:From", "shop@example.com"))
        {
            await (await server.Http.PostAsJsonAsync("/users", new { email, name = "Ada", password = TestUsers.Password }, Ct)).JsonAsync(201);
            await (await server.Http.PostAsJsonAsync("/auth/password/reset", new { email }, Ct)).JsonlessAsync(202);
            await server.KillAsync();
        }

        await using var app = await TestApp.StartAsync(data: data);

        await (await ResetAsync(app, (await app.MailAsync(email, "A new password")).Token)).JsonlessAsync(204);
    }

    [Fact]
    public async Task A_mail_that_was_held_up_for_hours_still_works_when_it_comes()
    {
        MailServer.Needed();
        await using var server = await MailServer.StartAsync(busy: 1);
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock),
            settings: ["--Mail:Host", "127.0.0.1", "--Mail:Port", $"{server.Port}", "--Mail:Tls", "None", "--Mail:From", "shop@example.com"]);
        using var person = await app.PersonAsync();
        await (await AskAsync(app, "password/reset", person.Email)).JsonlessAsync(202);
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select count(*) from jobs_queue where attempt = 1 and state = 'available' and kind = 'users.mail-ticket'", Ct) == 1);

        clock.Advance(TimeSpan.FromHours(3));

        using var message = await MimeKit.MimeMessage.LoadAsync(new MemoryStream(System.Text.Encoding.UTF8.GetBytes((await server.ReceiveAsync()).GetProperty("content").GetString()!)), Ct);
        await (await ResetAsync(app, message.TextBody!.Split("token=")[1].Split('\n')[0].Trim())).JsonlessAsync(204);
    }

    [Fact]
    public async Task An_attempt_that_comes_to_nothing_leaves_audit_line_and_allowance_to_the_next()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:MailsPerEmail", "1", "--Jobs:RetryBase", "00:00:00.010", "--Jobs:RetryCap", "00:00:01", "--Log:Level", "Critical"]);
        var email = TestUsers.NewEmail();
        var id = await app.RegisterAsync(email);
        await app.Db.ExecuteAsync($"alter table users_audit_pending rename to users_audit_away", Ct);
        await (await AskAsync(app, "password/reset", email)).JsonlessAsync(202);
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select count(*) from jobs_queue where attempt >= 1 and state = 'available' and kind = 'users.mail-ticket'", Ct) == 1);

        await app.Db.ExecuteAsync($"alter table users_audit_away rename to users_audit_pending", Ct);

        await (await ResetAsync(app, (await app.MailAsync(email, "A new password")).Token)).JsonlessAsync(204);
        Assert.Equal(1, (await AuditedAsync(app, id)).Count(e => e == "mail-asked"));
        // It has had the one that it may have.
        await (await AskAsync(app, "password/reset", email)).JsonlessAsync(202);
        await app.MailedAsync();
        Assert.Single(await app.MailsAsync(email), m => m.Subject.Contains("A new password", StringComparison.Ordinal));
        Assert.Equal(1, (await AuditedAsync(app, id)).Count(e => e == "mail-asked"));
    }

    [Fact]
    public async Task A_letter_that_an_address_is_taken_is_the_same_letter_after_a_server_that_was_away()
    {
        MailServer.Needed();
        await using var server = await MailServer.StartAsync(busy: 1);
        await using var app = await TestApp.StartAsync(settings: ["--Mail:Host", "127.0.0.1", "--Mail:Port", $"{server.Port}", "--Mail:Tls", "None", "--Mail:From", "shop@example.com",
            "--Jobs:RetryBase", "00:00:00.010", "--Jobs:RetryCap", "00:00:01"]);
        using var person = await app.PersonAsync();
        using var other = await app.PersonAsync();

        await (await person.Http.PostAsJsonAsync("/auth/email", new { email = other.Email }, Ct)).JsonlessAsync(202);

        var letter = (await server.ReceiveAsync()).GetProperty("content").GetString()!;
        Assert.DoesNotContain("token=", letter);
        Assert.Equal(person.Id, await app.Db.FindAsync<long>($"select account_id from users_tickets where purpose = 'change'", Ct));
    }

    [Fact]
    public async Task Tickets_that_have_expired_are_deleted()
    {
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock));
        using var person = await app.PersonAsync();
        await AskAsync(app, "password/reset", person.Email);
        await AskAsync(app, "code", TestUsers.NewEmail());
        await app.MailedAsync();
        // Not by Advance: what looks four times a second would do so for each quarter of a second of a day.
        clock.AdjustTime(clock.GetUtcNow() + TimeSpan.FromHours(23));
        await app.Services.GetRequiredService<TicketTable>().SweepAsync(Ct);
        Assert.Equal(2, await app.Db.FindAsync<long>($"select count(*) from users_tickets", Ct));
        await AskAsync(app, "code", TestUsers.NewEmail());
        await app.MailedAsync();
        clock.AdjustTime(clock.GetUtcNow() + TimeSpan.FromHours(2));

        await app.Services.GetRequiredService<TicketTable>().SweepAsync(Ct);

        Assert.Equal(["code"], await app.Db.ListAsync<string>($"select purpose from users_tickets", Ct));
    }

    internal static async Task<List<string>> AuditedAsync(TestApp app, long subject)
    {
        var trail = app.Services.GetRequiredService<AuditTrail>();
        await trail.SealAsync(Ct);
        return [.. (await trail.FindAsync(new AuditFilter(Subject: subject), null, 100, Ct)).Select(e => e.Event)];
    }
}
