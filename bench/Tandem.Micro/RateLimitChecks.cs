using BenchmarkDotNet.Attributes;
using Tandem.Core.Http;

namespace Tandem.Micro;

/// <summary>One look at an allowance in this process.</summary>
public class RateLimitChecks
{
    static readonly TimeSpan Window = TimeSpan.FromMinutes(1);

    readonly InProcessRateLimits _limits = new(TimeProvider.System);

    // So many that none is refused while this runs; a refusal is the shorter way.
    [Benchmark(Description = "taken from an allowance")]
    public bool Taken() => _limits.TakeAsync("micro", "127.0.0.1", 2_000_000_000, Window).Result.Allowed;

    [Benchmark(Description = "refused")]
    public bool Refused() => _limits.TakeAsync("micro", "127.0.0.2", 1, Window).Result.Allowed;
}
