using Tandem.Core;

namespace Tandem.Realtime;

/// <summary>The realtime module.</summary>
public sealed class RealtimeModule : Module
{
    /// <inheritdoc/>
    public override string Name => "realtime";
}
