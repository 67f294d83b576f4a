using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Tandem.Core;

/// <summary>The source and the meter that all of Tandem reports under.</summary>
static class Telemetry
{
    public const string Name = "Tandem";

    public static readonly ActivitySource Source = new(Name);
    public static readonly Meter Meter = new(Name);
}
