using System.Net;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.WebUtilities;
using Tandem.Tests.Users.OpenId;

namespace Tandem.Tests.Users.Upstream;

/// <summary>What a browser does to sign in by a provider.</summary>
static partial class UpstreamVisits
{
    /// <summary>Opens the sign-in page and takes the link to a provider.</summary>
    /// <returns>Where at the provider the browser is sent to.</returns>
    public static async Task<string> LeaveAsync(this TestBrowser browser, string page, string provider = "elsewhere")
    {
        var signIn = await browser.GetAsync(page);
        Assert.Equal(200, signIn.Status);
        var links = Links().Matches(signIn.Text).Select(m => WebUtility.HtmlDecode(m.Groups[1].Value)).ToList();
        var left = await browser.GetAsync("/" + Assert.Single(links, l => l.StartsWith($"auth/upstream/{provider}?", StringComparison.Ordinal)));
        Assert.True(left is { Status: 302, Location: not null }, left.Text);
        return left.Location;
    }

    /// <summary>Follows this server's own redirects.</summary>
    /// <returns>The first page, or the answer to the client.</returns>
    public static async Task<TestPage> FollowAsync(this TestBrowser browser, TestApp app, string address)
    {
        for (var at = new Uri(address); ;)
        {
            var page = await browser.GetAsync(at.ToString());
            if (page.Location is null || new Uri(at, page.Location) is var next && !next.ToString().StartsWith(app.Address, StringComparison.Ordinal))
                return page;
            at = next;
        }
    }

    /// <summary>The whole way.</summary>
    public static async Task<TestPage> SignInByAsync(this TestBrowser browser, TestApp app, TestProvider provider, string page, string name = "elsewhere") =>
        await browser.FollowAsync(app, await provider.VisitAsync(await browser.LeaveAsync(page, name)));

    public static string StateOf(string address) => QueryHelpers.ParseQuery(new Uri(address).Query)["state"].ToString();

    [GeneratedRegex("<a class=\"button[^\"]*\" href=\"([^\"]*)\"")]
    public static partial Regex Links();
}
