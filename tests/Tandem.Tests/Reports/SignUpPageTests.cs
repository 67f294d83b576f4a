using Microsoft.Playwright;
using Tandem.Core.Contracts;

namespace Tandem.Tests.Reports;

public sealed class SignUpPageTests(Browser browser) : IClassFixture<Browser>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_administrator_signs_in_on_the_page_and_sees_chart_and_table()
    {
        await using var app = await TestApp.StartAsync();
        var administrator = await app.AdministratorAsync();
        for (var day = 0; day < 25; day++)
            for (var i = 0; i < 3 + day * 7 % 11; i++)
                await app.Db.InTransactionAsync(tx => tx.PublishAsync(new UserRegistered(1000 + day * 100 + i, DateTime.UtcNow.AddDays(-day)), Ct), Ct);

        var (page, faults) = await browser.OpenAsync(app);
        await page.GotoAsync(app.Address + "/reports/signups");
        await page.GetByLabel("E-mail").FillAsync(administrator.Email);
        await page.GetByLabel("Password").FillAsync("not the password");
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("password");

        // The browser itself reports the refused sign-in; what comes after it must be without a fault.
        faults.Clear();
        await page.GetByLabel("Password").FillAsync(TestUsers.Password);
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Table)).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator("#rows tr")).ToHaveCountAsync(30);
        await Eventually.TrueAsync(async () =>
        {
            await page.GetByRole(AriaRole.Button, new() { Name = "Show" }).ClickAsync();
            return await page.Locator("#total").TextContentAsync() is { } total && int.Parse(total) > 150;
        });
        // The picture has been drawn: its natural size is that of the chart.
        Assert.True(await page.EvaluateAsync<bool>("document.querySelector('#chart').complete && document.querySelector('#chart').naturalWidth > 100"));
        if (Environment.GetEnvironmentVariable("SCREENSHOTS") is { Length: > 0 } folder)
            await page.ScreenshotAsync(new() { Path = Path.Combine(folder, "signups.png"), FullPage = true });
        Assert.Empty(faults);
    }
}
