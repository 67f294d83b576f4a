using System.Net.Http.Headers;
using System.Net.Http.Json;
using Tandem.Core.Configuration;
using Tandem.Core.Contracts;
using Tandem.Core.Data;

namespace Tandem.Tests.Modules;

/// <summary>A module as a user would write it, through the public API alone.</summary>
public sealed class ModuleTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_module_has_tables_endpoints_events_jobs_and_settings_of_its_own()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a.Add<InvoicesModule>()), null, "--Invoices:MaxTotal", "500");
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-7");

        var created = await app.Http.PostAsJsonAsync("/invoices", new { total = 12.5m }, Ct);
        Assert.Equal("""{"id":1,"user_id":7,"total":12.5}""", (await created.JsonAsync(201)).GetRawText());
        Assert.Equal("/invoices/1", created.Headers.Location?.ToString());
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select sent from invoices_invoices where id = 1"), Ct) == 1);
        Assert.Equal(1, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from events_log where name = 'invoices.invoice-written' and key = '1'"), Ct));

        await app.Db.InTransactionAsync(tx => tx.PublishAsync(new UserRegistered(9, DateTime.UtcNow), Ct), Ct);
        await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select count(*) from invoices_accounts where user_id = 9"), Ct) == 1);

        await (await app.Http.PostAsJsonAsync("/invoices", new { total = 501m }, Ct)).ShouldBeProblemAsync(422, "invoices/too-much");
        var invalid = await (await app.Http.PostAsJsonAsync("/invoices", new { total = -1m }, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal("must be between 0.01 and 1000000", invalid.GetProperty("errors").GetProperty("total")[0].GetString());
        await (await app.Http.PostAsJsonAsync("/invoices", new { }, Ct)).ShouldBeProblemAsync(422, "http/invalid");

        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "person-8");
        await (await app.Http.GetAsync("/invoices/1", Ct)).ShouldBeProblemAsync(404, "invoices/not-found");
        app.Http.DefaultRequestHeaders.Authorization = null;
        await (await app.Http.GetAsync("/invoices/1", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Fact]
    public async Task A_setting_of_a_module_is_checked_at_start()
    {
        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(a => a.Add<InvoicesModule>(), null, "--Invoices:MaxTotal", "0"));
        Assert.Contains("Invoices:MaxTotal must be between 1 and 1000000", e.Message);
    }

    [Fact]
    public async Task A_process_without_the_role_has_neither_endpoints_nor_effects()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a.Add<InvoicesModule>()), null, "--roles", "users,testtokens");
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "admin");
        await (await app.Http.GetAsync("/invoices/1", Ct)).ShouldBeProblemAsync(404, "http/not-found");
        Assert.Equal(422, (int)(await app.Http.PostAsJsonAsync("/users", new { }, Ct)).StatusCode);
        Assert.Equal(404, (int)(await app.Http.GetAsync("/reports/signups", Ct)).StatusCode);
    }
}
