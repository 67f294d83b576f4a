using System.Reflection;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Configuration;
using Tandem.Gateway;

namespace Tandem.Roles;

/// <summary>The roles that a gateway forwards to, and their endpoints: the same as where they are served, with the same metadata, except for what they do.</summary>
static class RoleRoutes
{
    /// <summary>The role of what is mapped on the program itself, outside of any module.</summary>
    public const string App = "app";

    /// <summary>Stands in <c>Gateway:Roles</c> for every role that is not named there.</summary>
    public const string Others = "others";

    /// <summary>Registers what forwarding takes.</summary>
    /// <param name="options">Of the gateway.</param>
    /// <param name="away">The roles that do not run in this process.</param>
    /// <param name="all">Every role there is.</param>
    /// <exception cref="ConfigurationException">A role is not known, or an address cannot be used.</exception>
    public static void Add(IServiceCollection services, GatewayOptions options, IReadOnlyList<string> away, IReadOnlyCollection<string> all)
    {
        foreach (var (role, where) in options.Roles)
        {
            if (!all.Contains(role, StringComparer.OrdinalIgnoreCase) && !role.Equals(Others, StringComparison.OrdinalIgnoreCase))
                throw new ConfigurationException($"Gateway:Roles:{role} is no role of this program. There are: {string.Join(", ", all.Order())}; {Others} stands for all that are not named.");
            foreach (var address in where.Addresses)
                if (!Uri.TryCreate(address, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.PathAndQuery != "/")
                    throw new ConfigurationException($"Gateway:Roles:{role}:Addresses: \"{address}\" is no address of a process; write it like http://{role}:8080.");
        }

        services.AddHttpForwarder();
        services.AddSingleton<IReadOnlyList<RoleDestinations>>(p => [.. away.Select(r => Find(options, r, p.GetRequiredService<TimeProvider>()))]);
        services.AddSingleton<DestinationWatch>();
        services.AddSingleton<RoleForwarder>();
    }

    /// <summary>A builder on which a module maps its endpoints as always; requests go to the processes of its role.</summary>
    public static IEndpointRouteBuilder To(IEndpointRouteBuilder routes, string role)
    {
        var services = routes.ServiceProvider;
        var destinations = services.GetRequiredService<IReadOnlyList<RoleDestinations>>().First(r => r.Role == role);
        var forward = services.GetRequiredService<RoleForwarder>().To(destinations);
        var group = routes.MapGroup("");
        ((IEndpointConventionBuilder)group).Finally(endpoint =>
        {
            // The documentation describes the handler that does the work.
            if (endpoint.RequestDelegate is { } handler && !endpoint.Metadata.OfType<MethodInfo>().Any())
                endpoint.Metadata.Add(handler.Method);
            endpoint.RequestDelegate = forward;
            destinations.HasEndpoints = true;
        });
        return group;
    }

    /// <summary>Makes every endpoint now: what cannot be made should stop the start, not the first request.</summary>
    /// <exception cref="ConfigurationException">A module's endpoints cannot be mapped in a process that does not serve it.</exception>
    public static void Check(IEndpointRouteBuilder routes)
    {
        foreach (var source in routes.DataSources)
            try
            {
                _ = source.Endpoints.Count;
            }
            catch (InvalidOperationException e)
            {
                throw new ConfigurationException("A module's endpoints cannot be mapped in a gateway that does not run it: its services must be registered in every process, "
                    + $"whatever IsServed says. ({e.Message})");
            }
    }

    static RoleDestinations Find(GatewayOptions options, string role, TimeProvider clock)
    {
        var named = options.Roles.FirstOrDefault(r => r.Key.Equals(role, StringComparison.OrdinalIgnoreCase));
        if (named.Value is null or { Addresses: [] })
            named = options.Roles.FirstOrDefault(r => r.Key.Equals(Others, StringComparison.OrdinalIgnoreCase));
        return new RoleDestinations(role, $"Gateway:Roles:{role}:Addresses", [.. (named.Value?.Addresses ?? []).Select(a => new Uri(a))], clock);
    }
}
