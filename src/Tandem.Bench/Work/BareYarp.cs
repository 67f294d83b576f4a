using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Yarp.ReverseProxy.Configuration;

namespace Tandem.Bench.Work;

/// <summary>Kestrel and YARP as their documentation has them, with nothing else: what Tandem's gateway is measured against.</summary>
static class BareYarp
{
    /// <param name="words">The port to listen on, and host and port of the service.</param>
    public static async Task<int> RunAsync(string[] words, CancellationToken ct)
    {
        await using var app = Make(words[0], words[1]);
        await app.RunAsync(ct);
        return 0;
    }

    public static WebApplication Make(string port, string backend)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls($"http://127.0.0.1:{port}");
        // Nobody here logs requests, and YARP would two lines of each.
        builder.Logging.ClearProviders();
        builder.Services.AddReverseProxy().LoadFromMemory(
            [new RouteConfig { RouteId = "service", ClusterId = "service", Match = new RouteMatch { Path = "/service/{**rest}" } }],
            [new ClusterConfig { ClusterId = "service", Destinations = new Dictionary<string, DestinationConfig> { ["0"] = new() { Address = $"http://{backend}" } } }]);
        var app = builder.Build();
        app.MapReverseProxy();
        return app;
    }
}
