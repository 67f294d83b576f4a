using System.Net;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.WebUtilities;

namespace Tandem.Tests.Users.OpenId;

/// <summary>A browser without JavaScript: it keeps cookies, reads forms and sends them, and says where it is sent to instead of going there.</summary>
sealed partial class TestBrowser : IDisposable
{
    readonly HttpClient _http;

    public TestBrowser(TestApp app)
    {
        // The handler goes with the client.
        _http = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false, CookieContainer = Cookies }) { BaseAddress = new Uri(app.Address) };
        _http.DefaultRequestHeaders.Accept.ParseAdd("text/html");
    }

    public CookieContainer Cookies { get; } = new();

    public async Task<TestPage> GetAsync(string url) => await TestPage.OfAsync(await _http.GetAsync(url));

    public async Task<TestPage> PostAsync(string url, IEnumerable<KeyValuePair<string, string>> form) => await TestPage.OfAsync(await _http.PostAsync(url, new FormUrlEncodedContent(form)));

    /// <summary>Sends the page's form, with fields filled in and one of its buttons pressed.</summary>
    public Task<TestPage> PressAsync(TestPage page, string button, params (string Name, string Value)[] fields)
    {
        var form = page.Fields;
        foreach (var (name, value) in fields)
            form[name] = value;
        form["action"] = button;
        return PostAsync("/" + page.Target, form);
    }

    public Task<TestPage> FillInAsync(TestPage page, string email, string password = TestUsers.Password) => PressAsync(page, "sign-in", ("email", email), ("password", password));

    /// <summary>Opens the address, signs in where that is asked for, and allows what is asked for.</summary>
    /// <returns>What the client gets.</returns>
    public async Task<Dictionary<string, string>> SignInAsync(string url, string email)
    {
        var page = await GetAsync(url);
        if (page.Has("password"))
            page = await FillInAsync(page, email);
        if (page.Status == 200)
            page = await PressAsync(page, "allow");
        return page.Answer;
    }

    public void Dispose() => _http.Dispose();
}

/// <param name="Status">HTTP status.</param>
/// <param name="Text">The body.</param>
/// <param name="Location">Where it sends the browser to.</param>
/// <param name="Response">All of it.</param>
sealed partial record TestPage(int Status, string Text, string? Location, HttpResponseMessage Response)
{
    public static async Task<TestPage> OfAsync(HttpResponseMessage response) =>
        new((int)response.StatusCode, await response.Content.ReadAsStringAsync(), response.Headers.Location?.OriginalString, response);

    /// <summary>The parameters of the address that it sends the browser to.</summary>
    public Dictionary<string, string> Answer
    {
        get
        {
            Assert.True(Status == 302 && Location is not null, $"expected a redirect, got {Status}: {Text}");
            return QueryHelpers.ParseQuery(new Uri(Location).Query).ToDictionary(q => q.Key, q => q.Value.ToString());
        }
    }

    public Dictionary<string, string> Fields => Hidden().Matches(Text).ToDictionary(m => WebUtility.HtmlDecode(m.Groups[1].Value), m => WebUtility.HtmlDecode(m.Groups[2].Value));

    public string Target => Form().Match(Text) is { Success: true } form ? WebUtility.HtmlDecode(form.Groups[1].Value) : throw new InvalidOperationException($"There is no form in {Text}");

    public bool Has(string field) => Text.Contains($"name=\"{field}\"", StringComparison.Ordinal);

    [GeneratedRegex("<input type=\"hidden\" name=\"([^\"]*)\" value=\"([^\"]*)\">")]
    private static partial Regex Hidden();

    [GeneratedRegex("<form method=\"post\" action=\"([^\"]*)\">")]
    private static partial Regex Form();
}
