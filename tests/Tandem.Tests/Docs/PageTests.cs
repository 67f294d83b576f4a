using System.Net.Http.Headers;
using Microsoft.Playwright;

namespace Tandem.Tests.Docs;

public sealed class PageTests(Browser browser) : IClassFixture<Browser>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_endpoint_is_called_from_the_documentation()
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<Resources.ItemTests.Item>("/items"));
        var (page, faults) = await browser.OpenAsync(app);
        var response = await page.GotoAsync($"{app.Address}/docs");
        Assert.Contains("default-src 'self'", await response!.HeaderValueAsync("content-security-policy"));

        var health = page.Locator("#operations-Health-get_health");
        await health.ClickAsync();
        await health.GetByRole(AriaRole.Button, new() { Name = "Execute" }).ClickAsync();
        var body = health.Locator(".live-responses-table .response-col_description pre").First;
        await body.WaitForAsync();
        Assert.Contains("healthy", await body.InnerTextAsync());
        Assert.Equal("200", (await health.Locator(".live-responses-table .response-col_status").Last.InnerTextAsync()).Trim().Split('\n')[0]);

        await page.GetByRole(AriaRole.Button, new() { Name = "Authorize" }).First.ClickAsync();
        await page.Locator("#oauth_username").WaitForAsync();
        Assert.Equal(1, await page.GetByText("Create: item").CountAsync());
        if (Environment.GetEnvironmentVariable("SCREENSHOTS") is { } directory)
            await page.ScreenshotAsync(new() { Path = Path.Combine(directory, "authorize.png") });
        Assert.Empty(faults);
    }

    [Fact]
    public async Task The_first_page_leads_to_the_documentation()
    {
        await using var app = await TestApp.StartAsync();
        var (page, faults) = await browser.OpenAsync(app);
        await page.GotoAsync(app.Address + "/");
        if (Environment.GetEnvironmentVariable("SCREENSHOTS") is { } directory)
            await page.ScreenshotAsync(new() { Path = Path.Combine(directory, "landing.png") });
        Assert.Contains($"curl {app.Address}/token", await page.InnerTextAsync("pre"));
        // Its style is allowed by the page's own policy.
        Assert.Equal("600", await page.EvaluateAsync<string>("getComputedStyle(document.querySelector('dt')).fontWeight"));
        await page.ClickAsync("text=The API, to read and to try");
        await page.Locator("#operations-Health-get_health").WaitForAsync();
        if (Environment.GetEnvironmentVariable("SCREENSHOTS") is { } folder)
            await page.ScreenshotAsync(new() { Path = Path.Combine(folder, "docs.png"), FullPage = true });
        Assert.Empty(faults);
    }

    [Fact]
    public async Task A_program_gets_the_same_links_as_JSON()
    {
        await using var app = await TestApp.StartAsync();
        var json = await (await app.Http.GetAsync("/", Ct)).JsonAsync();
        foreach (var link in new[] { "docs", "openapi", "ready" })
            Assert.True((await app.Http.GetAsync(json.GetProperty(link).GetString(), Ct)).IsSuccessStatusCode, link);
        var html = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { Accept = { new MediaTypeWithQualityHeaderValue("text/html") } } };
        var page = await app.Http.SendAsync(html, Ct);
        Assert.Equal("text/html", page.Content.Headers.ContentType?.MediaType);
        Assert.Equal("Accept", Assert.Single(page.Headers.Vary));
    }
}
