using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;
using Tandem.Bench.Work;

namespace Tandem.Tests.Bench;

[Storeless("Bytes between sockets.")]
public sealed class ProxyBenchmarkTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("127.0.0.1", "bench.example", null, 2, null)]
    [InlineData("127.0.0.1", "127.0.0.1:9000", "bench.example", 7, null)]
    [InlineData(null, "bench.example", null, 2, "X-Forwarded-For")]
    [InlineData("10.0.0.1", "bench.example", null, 2, "X-Forwarded-For")]
    [InlineData("127.0.0.1", "127.0.0.1:9000", null, 2, "X-Forwarded-Host")]
    [InlineData("127.0.0.1", "bench.example", null, 1, "does not keep its connection")]
    public void A_proxy_says_who_asks_and_for_what_and_keeps_its_connection(string? client, string host, string? forwardedHost, int requests, string? objection)
    {
        var heard = new Dictionary<string, string> { ["Host"] = host, ["requests"] = $"{requests}" };
        if (client is not null)
            heard["X-Forwarded-For"] = client;
        if (forwardedHost is not null)
            heard["X-Forwarded-Host"] = forwardedHost;
        var said = ProxyBenchmark.Objection(heard);
        Assert.True(objection is null ? said is null : said?.Contains(objection, StringComparison.Ordinal) == true, said ?? "no objection");
    }

    [Fact]
    public void Every_configuration_names_both_ports_and_has_no_hole_left()
    {
        var values = new Dictionary<string, string> { ["port"] = "4711", ["backend"] = "127.0.0.1:4712", ["data"] = "/data" };
        foreach (var peer in ProxyPeers.All)
        {
            var text = peer.Config.Length > 0 ? PeerFolder.Source(peer.Config) : peer.Start.Replace("{tandem}", "tandem", StringComparison.Ordinal);
            var filled = Peer.Fill(text, values);
            Assert.Contains("4711", filled);
            Assert.True(filled.Contains("127.0.0.1:4712", StringComparison.Ordinal) || peer.IsLimit, peer.Name);
            Assert.DoesNotMatch("{[a-z]+}", filled);
        }
    }

    [Fact]
    public void The_body_is_a_case_of_its_own_and_the_other_parameters_are_those_of_http()
    {
        Assert.Equal("connections=64 loop=closed", ProxyBenchmark.Case(ProxyPeers.Direct, 1, 64, false).Case());
        Assert.Equal("KiB=64 connections=64 loop=closed", ProxyBenchmark.Case(ProxyPeers.Direct, 1, 64, true).Case());
    }

    [Fact]
    public async Task Bare_YARP_forwards()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        await using var service = builder.Build();
        service.MapGet("/service/headers", (HttpContext c) => string.Join(' ', c.Request.Headers["X-Forwarded-For"].ToString(), c.Request.Headers["X-Forwarded-Host"].ToString()));
        await service.StartAsync(Ct);
        await using var proxy = BareYarp.Make("0", new Uri(service.Urls.Single()).Authority);
        await proxy.StartAsync(Ct);

        using var http = new HttpClient { BaseAddress = new Uri(proxy.Urls.Single()) };
        using var request = new HttpRequestMessage(HttpMethod.Get, "/service/headers") { Headers = { Host = "bench.example" } };
        using var answer = await http.SendAsync(request, Ct);
        Assert.Equal((HttpStatusCode.OK, "127.0.0.1 bench.example"), (answer.StatusCode, await answer.Content.ReadAsStringAsync(Ct)));
        using var other = await http.GetAsync(new Uri("/other", UriKind.Relative), Ct);
        Assert.Equal(HttpStatusCode.NotFound, other.StatusCode);
    }
}
