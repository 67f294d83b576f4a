using System.Net;
using System.Text.RegularExpressions;
using Tandem.Tests.Users.OpenId;

namespace Tandem.Tests.Users.SelfService;

/// <summary>Somebody with a browser without JavaScript on pages that have several forms: follows redirects, and presses one button of one form.</summary>
sealed partial class Visitor : IDisposable
{
    readonly HttpClient _http;

    public Visitor(TestApp app, string? languages = null)
    {
        // The handler goes with the client.
        _http = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false, CookieContainer = Cookies }) { BaseAddress = new Uri(app.Address) };
        _http.DefaultRequestHeaders.Accept.ParseAdd("text/html");
        _http.DefaultRequestHeaders.UserAgent.ParseAdd("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
        if (languages is not null)
            _http.DefaultRequestHeaders.TryAddWithoutValidation("Accept-Language", languages);
    }

    public CookieContainer Cookies { get; } = new();

    /// <summary>Opens an address, and goes wherever it leads on this server.</summary>
    public async Task<Shown> GoAsync(string address) => await FollowAsync(await _http.GetAsync(address));

    /// <summary>Opens an address, and goes nowhere else.</summary>
    public Task<HttpResponseMessage> GetAsync(string address) => _http.GetAsync(address);

    public Task<HttpResponseMessage> PostAsync(string address, IEnumerable<KeyValuePair<string, string>> form) => _http.PostAsync(address, new FormUrlEncodedContent(form));

    /// <summary>Fills in the form with that button and presses it.</summary>
    /// <param name="near">What else has to stand in the form; empty: it is the first with that button.</param>
    public async Task<Shown> PressAsync(Shown page, string button, string near = "", params (string Name, string Value)[] fields) => await FollowAsync(await AnswerAsync(page, button, near, fields));

    /// <summary>The same, and stays with the answer.</summary>
    public async Task<HttpResponseMessage> AnswerAsync(Shown page, string button, string near = "", params (string Name, string Value)[] fields)
    {
        var form = Forms().Matches(page.Html).FirstOrDefault(f => f.Groups[2].Value.Contains($"value=\"{button}\"", StringComparison.Ordinal) && f.Groups[2].Value.Contains(near, StringComparison.Ordinal))
            ?? throw new InvalidOperationException($"There is no form with the button {button} near \"{near}\" on {page.Html}");
        var values = Inputs().Matches(form.Groups[2].Value).ToDictionary(m => WebUtility.HtmlDecode(m.Groups[1].Value), m => WebUtility.HtmlDecode(m.Groups[2].Value));
        foreach (var (name, value) in fields)
            values[name] = value;
        values["action"] = button;
        return await _http.PostAsync(new Uri(page.Address, WebUtility.HtmlDecode(form.Groups[1].Value)), new FormUrlEncodedContent(values));
    }

    /// <summary>Signs in on the page that stands in front of the account.</summary>
    public async Task<Shown> SignInAsync(string address, string email, string password = TestUsers.Password) =>
        await PressAsync(await GoAsync(address), "sign-in", "", ("email", email), ("password", password));

    async Task<Shown> FollowAsync(HttpResponseMessage response)
    {
        for (var hops = 0; (int)response.StatusCode == 302; hops++)
        {
            Assert.True(hops < 10, "A redirect leads to itself.");
            response = await _http.GetAsync(new Uri(response.RequestMessage!.RequestUri!, response.Headers.Location!));
        }

        return new Shown((int)response.StatusCode, await response.Content.ReadAsStringAsync(), response.RequestMessage!.RequestUri!, response);
    }

    public void Dispose() => _http.Dispose();

    [GeneratedRegex("<form method=\"post\" action=\"([^\"]*)\">(.*?)</form>", RegexOptions.Singleline)]
    private static partial Regex Forms();

    [GeneratedRegex("<input type=\"hidden\" name=\"([^\"]*)\" value=\"([^\"]*)\">")]
    private static partial Regex Inputs();
}

/// <summary>What a browser shows.</summary>
/// <param name="Html">The page.</param>
/// <param name="Address">Its own, after redirects.</param>
sealed partial record Shown(int Status, string Html, Uri Address, HttpResponseMessage Response)
{
    /// <summary>Without markup.</summary>
    public string Text => WebUtility.HtmlDecode(Tags().Replace(Html[Html.IndexOf("<body>", StringComparison.Ordinal)..], " "));

    public string Title => WebUtility.HtmlDecode(Heading().Match(Html).Groups[1].Value);

    [GeneratedRegex("<script>.*?</script>|<[^>]*>", RegexOptions.Singleline)]
    private static partial Regex Tags();

    [GeneratedRegex("<h1>(.*?)</h1>")]
    private static partial Regex Heading();
}
