using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Tandem.Core.Configuration;
using Tandem.Users.Look;

namespace Tandem.Tests.Users.SelfService;

/// <summary>The pages in a product's own colours, with nothing from elsewhere.</summary>
public sealed class ThemeTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    const string Picture = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1 1\"><script>alert(1)</script></svg>";

    [Fact]
    public async Task Name_logo_colours_style_sheet_and_links_are_on_every_page_and_in_its_policy()
    {
        var folder = Directory.CreateTempSubdirectory("tandem-theme-").FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "logo.svg"), Picture, Ct);
        await File.WriteAllTextAsync(Path.Combine(folder, "own.css"), "h1 { letter-spacing: .05em; }\r\n", Ct);
        await using var app = await TestApp.StartAsync(null, null, "--Pages:Product", "Tom & Jerry", "--Pages:Logo", Path.Combine(folder, "logo.svg"), "--Pages:StyleSheet", Path.Combine(folder, "own.css"),
            "--Pages:Accent", "#8a1c4a", "--Pages:Terms", "https://example.com/terms", "--Pages:Support", "help@example.com");
        using var browser = new Visitor(app);

        var page = await browser.GoAsync("/account");

        Assert.Equal("Sign in to Tom & Jerry", page.Title);
        Assert.Contains($"<img class=\"logo\" src=\"data:image/svg+xml;base64,{Convert.ToBase64String(Encoding.UTF8.GetBytes(Picture))}\" alt=\"Tom &amp; Jerry\">", page.Html);
        Assert.Contains("<a href=\"https://example.com/terms\">Terms</a>", page.Html);
        Assert.Contains("<a href=\"mailto:help@example.com\">Help</a>", page.Html);
        Assert.DoesNotContain("Privacy", page.Html);
        var style = Regex.Match(page.Html, "<style>(.*?)</style>", RegexOptions.Singleline).Groups[1].Value;
        Assert.Contains("--accent: light-dark(#8a1c4a, #8cc4ee)", style);
        Assert.Contains("letter-spacing: .05em", style);
        var policy = page.Response.Headers.GetValues("Content-Security-Policy").Single();
        Assert.Contains($"style-src 'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(style)))}'; img-src data:; ", policy);
        Directory.Delete(folder, recursive: true);
    }

    [Theory]
    [InlineData("Pages:Accent must be a colour", "Accent", "red")]
    [InlineData("Pages:Accent must be a colour", "Accent", "#fff;}body{display:none")]
    [InlineData("Pages:Accent (#ffcc00) on Pages:Background (#ffffff) has a contrast of 1.51:1", "Accent", "#ffcc00")]
    [InlineData("Pages:TextDark (#444444) on Pages:BackgroundDark (#161616)", "TextDark", "#444444")]
    [InlineData("Pages:Background is #e08080", "Background", "#e08080", "Accent", "#000000", "Text", "#000000")]
    [InlineData("Pages:Terms", "Terms", "javascript:alert(1)")]
    [InlineData("Pages:Support", "Support", "call us")]
    [InlineData("Pages:Language is \"tlh\"", "Language", "tlh")]
    [InlineData("Pages:Texts must be a folder", "Texts", "/nowhere/at/all")]
    [InlineData("Pages:Logo", "Logo", "/nowhere/at/all.png")]
    [InlineData("Pages:StyleSheet", "StyleSheet", "/nowhere/at/all.css")]
    public async Task Settings_that_nobody_could_read_or_that_cannot_be_stop_the_start_and_are_named(string said, params string[] settings)
    {
        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(null, null, [.. settings.Chunk(2).SelectMany(s => new[] { $"--Pages:{s[0]}", s[1] })]));
        Assert.Contains(said, e.Message);
    }

    [Theory]
    [InlineData("Logo", "GIF89a is none of them", "PNG, JPEG, WebP or SVG")]
    [InlineData("Logo", "<html><body>http://www.w3.org/2000/svg", "PNG, JPEG, WebP or SVG")]
    [InlineData("StyleSheet", "@import 'https://elsewhere.example/x.css';", "@import")]
    [InlineData("StyleSheet", "body { background: url( https://elsewhere.example/x.png ) }", "url(")]
    [InlineData("StyleSheet", "</style><script>alert(1)</script>", "</")]
    public async Task Files_that_would_load_or_run_something_stop_the_start(string setting, string text, string said)
    {
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, text, Ct);

        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(null, null, $"--Pages:{setting}", file));

        Assert.Contains($"Pages:{setting}", e.Message);
        Assert.Contains(said, e.Message);
        File.Delete(file);
    }

    [Fact]
    public async Task A_logo_that_would_make_every_page_heavy_is_refused()
    {
        var file = Path.GetTempFileName();
        await File.WriteAllBytesAsync(file, [0x89, .. "PNG\r\n\x1a\n"u8, .. new byte[49_152]], Ct);
        Assert.Contains("has more than 49152 bytes", (await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(null, null, "--Pages:Logo", file))).Message);
        File.Delete(file);
    }

    [Fact]
    public void Contrast_is_as_WCAG_reckons_it()
    {
        // The table's own examples: black on white, and the grey that is just enough.
        Assert.Equal(21, PagesOptions.ContrastOf("#000000", "#ffffff"), 6);
        Assert.Equal(4.54, PagesOptions.ContrastOf("#767676", "#ffffff"), 2);
        Assert.Equal("#000000", PagesOptions.On("#ffcc00"));
        Assert.Equal("#ffffff", PagesOptions.On("#14507a"));
    }
}
