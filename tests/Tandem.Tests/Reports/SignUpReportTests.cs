using System.Net.Http.Headers;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Contracts;
using Tandem.Core.Data;

namespace Tandem.Tests.Reports;

public sealed class SignUpReportTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_sign_up_is_counted_once_on_its_day_however_many_come_at_once()
    {
        await using var app = await StartAsync();
        await Task.WhenAll(Enumerable.Range(1, 300).Select(i => SignUpAsync(app, i, new DateTime(2026, 1, 1 + i % 3, 12, 0, 0, DateTimeKind.Utc))));
        await TotalAsync(app, 300);
        var report = await (await app.Http.GetAsync("/reports/signups?from=2026-01-01&to=2026-01-05", Ct)).JsonAsync();
        Assert.Equal(["2026-01-01 100", "2026-01-02 100", "2026-01-03 100", "2026-01-04 0", "2026-01-05 0"],
            report.GetProperty("days").EnumerateArray().Select(d => $"{d.GetProperty("day")} {d.GetProperty("count")}"));
        Assert.Equal(300, report.GetProperty("total").GetInt64());
    }

    [Fact]
    public async Task The_default_is_the_last_thirty_days_with_today()
    {
        await using var app = await StartAsync();
        // Not waited for: a report knows what was acknowledged before it.
        await SignUpAsync(app, 1, DateTime.UtcNow);
        var report = await (await app.Http.GetAsync("/reports/signups", Ct)).JsonAsync();
        Assert.Equal(30, report.GetProperty("days").GetArrayLength());
        Assert.Equal(1, report.GetProperty("days")[29].GetProperty("count").GetInt32());
    }

    [Fact]
    public async Task The_same_report_comes_as_csv_svg_and_page()
    {
        await using var app = await StartAsync();
        await SignUpAsync(app, 1, new DateTime(2026, 1, 2, 0, 0, 0, DateTimeKind.Utc));
        await TotalAsync(app, 1);

        var csv = await GetAsync(app, "/reports/signups?from=2026-01-01&to=2026-01-03", "text/csv");
        Assert.Equal("day,count\r\n2026-01-01,0\r\n2026-01-02,1\r\n2026-01-03,0\r\n", await csv.Content.ReadAsStringAsync(Ct));
        Assert.Equal("signups-2026-01-01-2026-01-03.csv", csv.Content.Headers.ContentDisposition?.FileName);

        var svg = await GetAsync(app, "/reports/signups?from=2026-01-01&to=2026-01-03", "image/svg+xml");
        Assert.Equal("svg", System.Xml.Linq.XDocument.Parse(await svg.Content.ReadAsStringAsync(Ct)).Root?.Name.LocalName);

        var page = await GetAsync(app, "/reports/signups", "text/html,application/xhtml+xml,*/*;q=0.8");
        Assert.Contains("<h1>Sign-ups</h1>", await page.Content.ReadAsStringAsync(Ct));
        Assert.Contains("default-src 'none'", page.Headers.GetValues("Content-Security-Policy").Single());
        await (await GetAsync(app, "/reports/signups", "image/png")).ShouldBeProblemAsync(406, "reports/not-acceptable");
    }

    [Fact]
    public async Task Only_who_may_sees_it_and_a_bad_range_is_named()
    {
        await using var app = await StartAsync();
        await (await app.Http.GetAsync("/reports/signups?from=2026-02-01&to=2026-01-01", Ct)).ShouldBeProblemAsync(422, "http/invalid");
        await (await app.Http.GetAsync("/reports/signups?from=1990-02-01&to=2026-01-01", Ct)).ShouldBeProblemAsync(422, "http/invalid");
        var bad = await (await app.Http.GetAsync("/reports/signups?from=yesterday", Ct)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.Contains("YYYY-MM-DD", bad.GetProperty("errors").GetProperty("from")[0].GetString());
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-5");
        await (await app.Http.GetAsync("/reports/signups", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await app.Http.PostAsync("/reports/signups/rebuild", null, Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        app.Http.DefaultRequestHeaders.Authorization = null;
        await (await app.Http.GetAsync("/reports/signups", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Fact]
    public async Task Rebuilding_while_people_sign_up_loses_and_doubles_nothing()
    {
        await using var app = await StartAsync();
        await Task.WhenAll(Enumerable.Range(1, 100).Select(i => SignUpAsync(app, i, DateTime.UtcNow)));
        await TotalAsync(app, 100);
        await app.Db.ExecuteAsync(Sql.Raw("update reports_signups set count = 7"), Ct);

        var signUps = Task.WhenAll(Enumerable.Range(101, 200).Select(i => SignUpAsync(app, i, DateTime.UtcNow)));
        var answer = await app.Http.PostAsync("/reports/signups/rebuild", null, Ct);
        var job = (await answer.JsonAsync(202)).GetProperty("id").GetString();
        Assert.Equal($"/jobs/{job}", answer.Headers.Location?.ToString());
        await signUps;
        await Eventually.TrueAsync(async () => (await (await app.Http.GetAsync($"/jobs/{job}", Ct)).JsonAsync()).GetProperty("state").GetString() == "completed");
        await TotalAsync(app, 300);
    }

    static Task<TestApp> StartAsync() => TestApp.StartAsync(a => TestTokens.Use(a)).ContinueWith(t =>
    {
        t.Result.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "admin");
        return t.Result;
    }, TaskScheduler.Default);

    static Task SignUpAsync(TestApp app, int id, DateTime at) => app.Db.InTransactionAsync(tx => tx.PublishAsync(new UserRegistered(id, at), Ct), Ct);

    static Task TotalAsync(TestApp app, long total) => Eventually.TrueAsync(async () =>
        await app.Db.FindAsync<long>(Sql.Raw("select coalesce(sum(count), 0) from reports_signups"), Ct) == total);

    static Task<HttpResponseMessage> GetAsync(TestApp app, string path, string accept)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.TryAddWithoutValidation("Accept", accept);
        return app.Http.SendAsync(request, Ct);
    }
}
