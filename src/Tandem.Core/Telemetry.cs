using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Tandem.Core;

/// <summary>The source and the meter that all of Tandem reports under.</summary>
static class Telemetry
{
    public const string Name = "Tandem";

    public static readonly ActivitySource Source = new(Name);
    public static readonly Meter Meter = new(Name);

    public static readonly Histogram<double> CommitDuration =
        Meter.CreateHistogram<double>("tandem.core.commit.duration", "s", "How long a commit took: of SQLite with the bodies of its transactions, of PostgreSQL by itself");
}
