using Tandem.Core;

namespace Tandem.Gateway;

/// <summary>The gateway module.</summary>
public sealed class GatewayModule : Module
{
    /// <inheritdoc/>
    public override string Name => "gateway";
}
