using System.Diagnostics;
using System.Net.Http.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Users.Tickets;

namespace Tandem.Tests.Users;

/// <summary>
/// How long an answer takes does not tell whether an e-mail has an account: a difference of five per cent would be found, and the test finds one that is put there. The bytes are compared in
/// <see cref="ByMailTests"/> and <see cref="TokenTests"/>.
/// </summary>
[Collection(nameof(Alone))]
public sealed class EnumerationTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    // No limits: each would end the measurement, and one that had been reached would hide what is behind it.
    static Task<TestApp> StartAsync() => TestApp.StartAsync(settings: ["--Users:FailuresPerAccount", "0", "--Users:FailuresPerAddress", "0", "--Users:MailsPerAddress", "0", "--Users:MailsPerEmail", "0",
        "--Users:SignUpsPerMinutePerAddress", "0"]);

    static async Task<List<string>> AccountsAsync(TestApp app)
    {
        var emails = new List<string>();
        for (var i = 0; i < 10; i++)
        {
            emails.Add(TestUsers.NewEmail());
            await app.RegisterAsync(emails[^1]);
        }

        return emails;
    }

    [Theory]
    [InlineData("sign-in")]
    [InlineData("reset")]
    [InlineData("verification")]
    [InlineData("code")]
    public async Task Known_and_unknown_emails_take_the_same_time(string what)
    {
        await using var app = await StartAsync();
        var known = await AccountsAsync(app);
        var i = 0;

        var seen = await SameTime.CompareAsync(() => AskAsync(app, what, known[i++ % known.Count]), () => AskAsync(app, what, TestUsers.NewEmail()));

        TestContext.Current.SendDiagnosticMessage("{0}: {1}", what, seen);
        Assert.SkipWhen(seen.Verdict == Verdict.NotTold, $"The machine is too busy to tell five per cent: {seen}");
        Assert.True(seen.Verdict == Verdict.Same, $"{what}: {seen}");
    }

    [Theory]
    [InlineData("sign-in")]
    [InlineData("reset")]
    [InlineData("code")]
    [Storeless("It is about the measuring.")]
    public async Task Five_per_cent_would_be_found(string what)
    {
        await using var app = await StartAsync();

        // The same on both sides but for what is added: otherwise a difference that is there, and too small to matter, would be added as well.
        var seen = await SameTime.CompareAsync(() => AskAsync(app, what, TestUsers.NewEmail()), () => LongerAsync(() => AskAsync(app, what, TestUsers.NewEmail())));

        TestContext.Current.SendDiagnosticMessage("{0} with 5 % more: {1}", what, seen);
        Assert.SkipWhen(seen.Verdict == Verdict.NotTold, $"The machine is too busy to tell five per cent: {seen}");
        Assert.True(seen is { Verdict: Verdict.Different, Middle: > 0 }, $"{what}: {seen}");
    }

    /// <summary>Nor does a wrong code tell whether the mail with the right one was sent.</summary>
    [Fact]
    public async Task A_code_that_is_tried_takes_the_same_time_for_both()
    {
        await using var app = await StartAsync();
        var emails = await AccountsAsync(app);
        var (known, unknown, i) = (new Queue<string>(), new Queue<string>(), 0);

        var seen = await SameTime.CompareAsync(() => TryAsync(known), () => TryAsync(unknown));

        TestContext.Current.SendDiagnosticMessage("code tried: {0}", seen);
        Assert.SkipWhen(seen.Verdict == Verdict.NotTold, $"The machine is too busy to tell five per cent: {seen}");
        Assert.True(seen.Verdict == Verdict.Same, $"{seen}");

        async Task<double> TryAsync(Queue<string> handles)
        {
            if (handles.Count == 0)
                await RefillAsync();
            var handle = handles.Dequeue();
            return await SameTime.TimeAsync(async () => Assert.Equal(400,
                (int)(await app.PostTokenAsync(new Dictionary<string, string> { ["grant_type"] = "urn:tandem:email-code", ["handle"] = handle, ["code"] = "no code" })).StatusCode));
        }

        // Many at once, so that no mail is on its way while a try is measured. Each handle is good for five.
        async Task RefillAsync()
        {
            for (var n = 0; n < 20; n++)
                foreach (var (handles, email) in new[] { (known, emails[i++ % emails.Count]), (unknown, TestUsers.NewEmail()) })
                {
                    var handle = (await (await app.Http.PostAsJsonAsync("/auth/code", new { email }, Ct)).JsonAsync(202)).GetProperty("handle").GetString()!;
                    for (var use = 0; use < TicketTable.MaxAttempts; use++)
                        handles.Enqueue(handle);
                }

            await app.MailedAsync();
        }
    }

    /// <summary>Also when there were so many attempts that no password is looked at.</summary>
    [Fact]
    public async Task Who_is_put_off_cannot_tell_either()
    {
        // The clock stands still, so that nobody's allowance fills up.
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(new FakeTimeProvider(DateTimeOffset.UtcNow)), settings: ["--Users:FailuresPerAccount", "1", "--Users:FailuresPerAddress", "0"]);
        var (known, unknown) = (await AccountsAsync(app), Enumerable.Range(0, 10).Select(_ => TestUsers.NewEmail()).ToList());
        foreach (var email in known.Concat(unknown))
            await app.PostTokenAsync(email, "not the password");
        var i = 0;

        var seen = await SameTime.CompareAsync(() => PutOffAsync(known[i++ % known.Count]), () => PutOffAsync(unknown[i++ % unknown.Count]));

        TestContext.Current.SendDiagnosticMessage("put off: {0}", seen);
        Assert.SkipWhen(seen.Verdict == Verdict.NotTold, $"The machine is too busy to tell five per cent: {seen}");
        Assert.True(seen.Verdict == Verdict.Same, $"{seen}");

        Task<double> PutOffAsync(string email) => SameTime.TimeAsync(async () => Assert.Equal(429, (int)(await app.PostTokenAsync(email, "not the password")).StatusCode));
    }

    static async Task<double> AskAsync(TestApp app, string what, string email)
    {
        if (what == "sign-in")
            return await SameTime.TimeAsync(async () => Assert.Equal(400, (int)(await app.PostTokenAsync(email, "not the password")).StatusCode));
        var path = what switch { "reset" => "/auth/password/reset", "verification" => "/auth/email/verification", _ => "/auth/code" };
        var took = await SameTime.TimeAsync(async () => Assert.Equal(202, (int)(await app.Http.PostAsJsonAsync(path, new { email }, Ct)).StatusCode));
        // The mail is made and sent behind the answer; what it costs must not fall on the next one that is measured.
        await app.MailedAsync();
        return took;
    }

    static async Task<double> LongerAsync(Func<Task<double>> measured)
    {
        var took = await measured();
        var started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started).TotalMilliseconds < took * 0.05)
        {
        }

        return took + Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    }
}

/// <summary>Tests that measure time run when no others do.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;
