using System.Net.Http.Headers;
using System.Text;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Tandem.Tests.Core;

/// <summary>Every endpoint there is gets every broken body there is; none may answer with a 5xx or hang.</summary>
public sealed class BrokenBodyTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static readonly Dictionary<string, (string Type, byte[] Body)> Bodies = new()
    {
        ["empty"] = ("application/json", []),
        ["blank"] = ("application/json", " \n"u8.ToArray()),
        ["null"] = ("application/json", "null"u8.ToArray()),
        ["a number"] = ("application/json", "42"u8.ToArray()),
        ["a list"] = ("application/json", "[]"u8.ToArray()),
        ["nothing in it"] = ("application/json", "{}"u8.ToArray()),
        ["wrong types"] = ("application/json", """{"email":1,"name":[],"password":{},"price":"x","is_active":"yes"}"""u8.ToArray()),
        ["nulls"] = ("application/json", """{"email":null,"name":null,"password":null,"price":null,"is_active":null}"""u8.ToArray()),
        ["twice the same"] = ("application/json", """{"name":"a","name":"b","price":1}"""u8.ToArray()),
        ["a number out of range"] = ("application/json", """{"name":"a","price":1e999,"email":"a@b.c","password":"12345678"}"""u8.ToArray()),
        ["cut off"] = ("application/json", """{"name":"a","pri"""u8.ToArray()),
        ["no JSON"] = ("application/json", "name=a"u8.ToArray()),
        ["a form"] = ("application/x-www-form-urlencoded", "a=%ZZ&b=%00&grant_type=%FF"u8.ToArray()),
        ["another type"] = ("text/plain", """{"name":"a","price":1}"""u8.ToArray()),
        ["no type"] = ("", """{"name":"a","price":1}"""u8.ToArray()),
        ["a broken type"] = ("application/json; charset=foo", """{"name":"a","price":1}"""u8.ToArray()),
        ["bad UTF-8"] = ("application/json", [.. "{\"name\":\""u8, 0xC3, 0x28, .. "\",\"price\":1}"u8]),
        ["a lone surrogate"] = ("application/json", """{"name":"\ud800","price":1,"email":"\udfff@b.c","password":"12345678"}"""u8.ToArray()),
        ["U+0000"] = ("application/json", """{"name":"a\u0000","price":1,"email":"a\u0000@b.c","password":"1234567\u0000"}"""u8.ToArray()),
        ["deep"] = ("application/json", Encoding.ASCII.GetBytes("{\"name\":" + new string('[', 100_000) + new string(']', 100_000) + "}")),
        ["many members"] = ("application/json", Encoding.ASCII.GetBytes("{" + string.Join(",", Enumerable.Range(0, 20_000).Select(i => $"\"m{i}\":0")) + "}")),
        ["huge"] = ("application/json", Encoding.ASCII.GetBytes("{\"name\":\"" + new string('x', 2 << 20) + "\",\"price\":1}")),
    };

    [Fact]
    public async Task No_broken_body_gets_more_than_a_4xx()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a), null, "--Users:SignUpsPerMinutePerAddress", "0", "--Realtime:Open", "true");
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "admin");
        var endpoints = app.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .SelectMany(e => (e.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods ?? ["POST"]).Select(m => (Method: m, Path: Fill(e.RoutePattern))))
            .Append(("POST", "/token")).Distinct().ToList();
        Assert.True(endpoints.Count > 20, $"only {endpoints.Count} endpoints were found");

        var faults = new List<string>();
        foreach (var (method, path) in endpoints)
            foreach (var (what, (type, body)) in Bodies)
            {
                // A GET does not take a body; one of each kind is enough to see that it does no harm.
                if (method is "GET" or "HEAD" or "OPTIONS" && what is not ("no JSON" or "huge"))
                    continue;
                var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = new ByteArrayContent(body) };
                // The server ends the connection of a body it will not read; the next request must not be on it.
                request.Headers.ConnectionClose = body.Length > 1 << 20;
                if (type.Length > 0)
                    request.Content.Headers.TryAddWithoutValidation("Content-Type", type);
                try
                {
                    using var limit = CancellationTokenSource.CreateLinkedTokenSource(Ct);
                    limit.CancelAfter(TimeSpan.FromSeconds(20));
                    using var response = await app.Http.SendAsync(request, limit.Token);
                    if ((int)response.StatusCode >= 500)
                        faults.Add($"{method} {path} with {what}: {(int)response.StatusCode} {await response.Content.ReadAsStringAsync(Ct)}");
                    // Directories read errors of their own form (RFC 7644, 3.12).
                    else if ((int)response.StatusCode >= 400 && response.Content.Headers.ContentType?.MediaType is var form && form != "application/problem+json"
                        && !(form == "application/scim+json" && path.StartsWith("/scim/", StringComparison.Ordinal)))
                        faults.Add($"{method} {path} with {what}: {(int)response.StatusCode} as {response.Content.Headers.ContentType}");
                }
                catch (HttpRequestException) when (body.Length > 1 << 20)
                {
                    // A body over the limit may be cut off while it is sent.
                }
            }

        Assert.True(faults.Count == 0, string.Join("\n", faults));
        Assert.Equal("""{"status":"healthy"}""", await app.Http.GetStringAsync("/health", Ct));
    }

    static string Fill(Microsoft.AspNetCore.Routing.Patterns.RoutePattern pattern) => "/" + string.Join('/', pattern.PathSegments.Select(s => string.Concat(s.Parts.Select(part => part switch
    {
        Microsoft.AspNetCore.Routing.Patterns.RoutePatternLiteralPart literal => literal.Content,
        Microsoft.AspNetCore.Routing.Patterns.RoutePatternParameterPart p when p.ParameterPolicies.Any(c => c.Content == "guid") => Guid.Empty.ToString(),
        _ => "1",
    }))));
}
