using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Configuration;
using Tandem.Gateway.Forwarding;

namespace Tandem.Gateway;

/// <summary>The one door: cross-origin rules, the general rate limit, and other services behind the same checks.</summary>
public sealed class GatewayModule : Module
{
    GatewayOptions _options = new();

    /// <inheritdoc/>
    public override string Name => "gateway";

    /// <inheritdoc/>
    public override void Add(ModuleBuilder module)
    {
        ArgumentNullException.ThrowIfNull(module);
        _options = module.Options<GatewayOptions>();
        if (_options.Cors is { Credentials: true, Origins: [] or ["*"] })
            throw new ConfigurationException("Gateway:Cors:Credentials needs Gateway:Cors:Origins: browsers send no cookies to a server that lets every origin in.");
        // Looked at now, so that a mistake stops the start.
        _ = Networks();
        if (_options.Upstreams.Count > 0)
            Upstreams.Add(module.Services, _options.Upstreams);
    }

    /// <inheritdoc/>
    public override void Use(IApplicationBuilder app)
    {
        if (_options.TrustedProxies.Length > 0)
        {
            // Read from the right, up to the first address that is not one of ours: what stands further left may be made up.
            var forwarded = new ForwardedHeadersOptions { ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto, ForwardLimit = null };
            forwarded.KnownProxies.Clear();
            forwarded.KnownIPNetworks.Clear();
            foreach (var network in Networks())
                forwarded.KnownIPNetworks.Add(network);
            app.UseForwardedHeaders(forwarded);
        }

        app.UseMiddleware<StrictHttp>();
        if (_options.Cors.Enabled)
            app.UseMiddleware<Cors>(_options.Cors);
        if (_options.RateLimit.PermitsPerMinute > 0)
            app.UseMiddleware<GeneralLimit>(_options.RateLimit);
    }

    /// <inheritdoc/>
    public override void Map(IEndpointRouteBuilder routes)
    {
        if (_options.Upstreams.Count > 0)
            Upstreams.Map(routes, _options.Upstreams);
    }

    List<System.Net.IPNetwork> Networks() => [.. _options.TrustedProxies.Select(text =>
        System.Net.IPNetwork.TryParse(text.Contains('/') ? text : text + (text.Contains(':') ? "/128" : "/32"), out var network)
            ? network
            : throw new ConfigurationException($"Gateway:TrustedProxies: \"{text}\" is no network; write it like 10.0.0.0/8."))];
}
