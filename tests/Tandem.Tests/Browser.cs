using Microsoft.Playwright;

namespace Tandem.Tests;

/// <summary>A real browser: Debian's Chromium, driven by Playwright.</summary>
public sealed class Browser : IAsyncLifetime
{
    const int Patience = 120_000;

    IPlaywright? _playwright;
    IBrowser? _browser;

    public async ValueTask InitializeAsync()
    {
        _playwright = await Playwright.CreateAsync();
        // Long enough for a machine that does much else: what is waited for comes or does not.
        Assertions.SetDefaultExpectTimeout(Patience);
        _browser = await _playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions
        {
            ExecutablePath = "/usr/bin/chromium",
            Args = ["--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        });
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
            await _browser.DisposeAsync();
        _playwright?.Dispose();
    }

    /// <summary>A page, and what goes wrong on it: errors, requests to another server, and what its policy stops.</summary>
    public async Task<(IPage Page, List<string> Faults)> OpenAsync(TestApp app)
    {
        var page = await _browser!.NewPageAsync();
        page.SetDefaultTimeout(Patience);
        var faults = new List<string>();
        page.Request += (_, request) =>
        {
            string[] own = [app.Address + "/", "data:", "blob:" + app.Address + "/"];
            if (!own.Any(o => request.Url.StartsWith(o, StringComparison.Ordinal)))
                faults.Add($"asks {request.Url}");
        };
        page.Console += (_, message) =>
        {
            if (message.Type == "error")
                faults.Add(message.Text);
        };
        page.PageError += (_, error) => faults.Add(error);
        return (page, faults);
    }
}
