using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;

namespace Tandem.Realtime;

/// <summary>WebSockets.</summary>
public sealed class RealtimeModule : Module
{
    RealtimeOptions _options = new();

    /// <inheritdoc/>
    public override string Name => "realtime";

    /// <inheritdoc/>
    public override void Add(ModuleBuilder module)
    {
        ArgumentNullException.ThrowIfNull(module);
        _options = module.Options<RealtimeOptions>();
        module.Services.AddSingleton<OpenSockets>();
        module.Services.AddHostedService(p => p.GetRequiredService<OpenSockets>());
    }

    /// <inheritdoc/>
    public override void Use(IApplicationBuilder app) =>
        // A peer that vanished without a word is found by a ping that nobody answers.
        app.UseWebSockets(new WebSocketOptions { KeepAliveInterval = TimeSpan.FromSeconds(30), KeepAliveTimeout = TimeSpan.FromSeconds(30) });

    /// <inheritdoc/>
    public override void Map(IEndpointRouteBuilder routes) => routes.MapEcho(_options);
}
