using Tandem.Core;

namespace Tandem.Reports;

/// <summary>The reports module.</summary>
public sealed class ReportsModule : Module
{
    /// <inheritdoc/>
    public override string Name => "reports";
}
