using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Timeouts;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Configuration;
using Tandem.Core.Http;
using Tandem.Gateway.Forwarding;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Forwarder;
using Yarp.ReverseProxy.Transforms;

namespace Tandem.Gateway;

/// <summary>Of an endpoint that only sends requests on to another service.</summary>
sealed class SentOn;

/// <summary>Other services behind the same door, forwarded to by YARP. Touched only when one is configured, so that nobody else loads YARP.</summary>
static class Upstreams
{
    static readonly Problem Down = new("gateway/upstream-down", 502, "The service behind this address does not answer; try again in a moment.");
    static readonly Problem Slow = new("gateway/upstream-slow", 504, "The service behind this address took too long.");

    public static void Add(IServiceCollection services, Dictionary<string, UpstreamOptions> upstreams)
    {
        foreach (var (name, upstream) in upstreams)
            Check(name, upstream);
        services.AddReverseProxy()
            .LoadFromMemory([.. upstreams.Select(u => Route(u.Key, u.Value))], [.. upstreams.Select(u => Cluster(u.Key, u.Value))])
            .AddTransforms(context =>
            {
                var upstream = upstreams[context.Route.RouteId];
                context.AddRequestTransform(transform =>
                {
                    PassIdentity(transform, upstream);
                    return ValueTask.CompletedTask;
                });
            });
        var others = services.Last(s => s.ServiceType == typeof(IHttpForwarder));
        services.Remove(others);
        services.AddSingleton(p =>
        {
            var all = (IHttpForwarder)ActivatorUtilities.CreateInstance(p, others.ImplementationType!);
            return p.GetService<IUpstreamTransport>() is { } transport ? new LeanForwarder(all, transport, upstreams) : all;
        });
        // YARP brings it for session affinity, which is not offered; it would write keys to the home directory at start.
        if (services.FirstOrDefault(s => s.ImplementationType?.Name == "DataProtectionHostedService") is { } keys)
            services.Remove(keys);
    }

    public static void Map(IEndpointRouteBuilder routes, Dictionary<string, UpstreamOptions> upstreams)
    {
        var proxied = routes.MapReverseProxy(pipeline =>
        {
            pipeline.UseLoadBalancing();
            pipeline.UsePassiveHealthChecks();
            pipeline.Use(ExplainFailure);
            pipeline.Use(next => context => IsSocket(context) && context.Features.Get<Caller>() is { } caller ? EndWithSession(context, caller, next) : next(context));
        });
        proxied.DisableRequestTimeout();
        proxied.Add(endpoint =>
        {
            endpoint.Metadata.Add(new SentOn());
            if (endpoint.Metadata.OfType<Yarp.ReverseProxy.Model.RouteModel>().FirstOrDefault() is { } route && upstreams[route.Config.RouteId].Open)
                endpoint.Metadata.Add(new Microsoft.AspNetCore.Authorization.AllowAnonymousAttribute());
        });
    }

    static void Check(string name, UpstreamOptions upstream)
    {
        var section = $"Gateway:Upstreams:{name}";
        if (upstream.Path is not ['/', _, ..] || upstream.Path.Contains('{') || upstream.Path.EndsWith('/'))
            throw new ConfigurationException($"{section}:Path must be a path like /{name}; it is \"{upstream.Path}\".");
        if (upstream.Addresses.Length == 0)
            throw new ConfigurationException($"{section}:Addresses must name where the service listens, such as http://127.0.0.1:9000.");
        foreach (var address in upstream.Addresses)
            if (!Uri.TryCreate(address, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
                throw new ConfigurationException($"{section}:Addresses: \"{address}\" is no http or https address.");
        if (upstream.Timeout < TimeSpan.FromSeconds(1) || upstream.Timeout > TimeSpan.FromHours(1))
            throw new ConfigurationException($"{section}:Timeout must be between 00:00:01 and 01:00:00; it is {upstream.Timeout}.");
    }

    static RouteConfig Route(string name, UpstreamOptions upstream) => new()
    {
        RouteId = name,
        ClusterId = name,
        // Behind every route of the program's own: an upstream never hides one.
        Order = 1000,
        Match = new RouteMatch { Path = upstream.Path + "/{**rest}" },
        Transforms = upstream.StripPath ? [new Dictionary<string, string> { ["PathRemovePrefix"] = upstream.Path }] : null,
    };

    static ClusterConfig Cluster(string name, UpstreamOptions upstream) => new()
    {
        ClusterId = name,
        LoadBalancingPolicy = "PowerOfTwoChoices",
        Destinations = upstream.Addresses.Index().ToDictionary(a => a.Index.ToString(), a => new DestinationConfig { Address = a.Item }),
        HttpRequest = new ForwarderRequestConfig { ActivityTimeout = upstream.Timeout },
        HealthCheck = new HealthCheckConfig
        {
            // A destination that fails is left out for a few seconds; when all fail, all are tried again.
            AvailableDestinationsPolicy = "HealthyOrPanic",
            Passive = new PassiveHealthCheckConfig { Enabled = upstream.Addresses.Length > 1, Policy = "TransportFailureRate", ReactivationPeriod = TimeSpan.FromSeconds(5) },
        },
    };

    static void PassIdentity(RequestTransformContext transform, UpstreamOptions upstream)
    {
        var headers = transform.ProxyRequest.Headers;
        foreach (var name in transform.HttpContext.Request.Headers.Keys)
            if (name.StartsWith(Identity.Prefix, StringComparison.OrdinalIgnoreCase))
                headers.Remove(name);
        if (!upstream.PassToken)
            headers.Remove("Authorization");
        if (transform.HttpContext.Features.Get<Caller>() is { } caller)
            foreach (var (name, value) in Identity.Of(caller))
                headers.Add(name, value);
    }

    static bool IsSocket(HttpContext context) =>
        context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true } || context.Features.Get<IHttpExtendedConnectFeature>() is { IsExtendedConnect: true };

    /// <summary>A socket to another service ends with the session or key that opened it: that service cannot know.</summary>
    static async Task EndWithSession(HttpContext context, Caller caller, RequestDelegate next)
    {
        var tokens = context.RequestServices.GetRequiredService<ITokenVerifier>();
        using var subscription = context.RequestServices.GetRequiredService<SessionEnds>().Subscribe(ended =>
        {
            if (ended.Count == 0 ? !tokens.IsHonoured(caller) : ended.Contains(caller.SessionId))
                context.Abort();
        });
        if (tokens.IsHonoured(caller))
            await next(context);
        else
            context.Abort();
    }

    /// <summary>YARP answers a failure with a bare status; here it becomes a problem that names the service, never its address.</summary>
    static async Task ExplainFailure(HttpContext context, Func<Task> next)
    {
        await next();
        if (context.Response.HasStarted || context.GetForwarderErrorFeature() is not { } error || context.RequestAborted.IsCancellationRequested)
            return;
        var name = context.GetReverseProxyFeature().Route.Config.RouteId;
        await (error.Error is ForwarderError.RequestTimedOut
            ? Problem.Of(Slow, $"The service {name} took too long.")
            : new ProblemResult(Down, $"The service {name} does not answer; try again in a moment.", null) { RetryAfterSeconds = 1 }).ExecuteAsync(context);
    }
}
