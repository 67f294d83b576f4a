using System.ComponentModel.DataAnnotations;
using Tandem.Core.Configuration;

namespace Tandem.Core.Http;

/// <summary>Settings of every endpoint, section <c>Http</c>.</summary>
public sealed class HttpOptions
{
    /// <summary>The largest body of a request, in bytes. Default 1 MiB; 1 KiB to 1 GiB.</summary>
    [Range(1024, 1 << 30)]
    public long MaxBodyBytes { get; set; } = 1 << 20;

    /// <summary>How long a request may take before it is answered with 504. Default 30 seconds; 1 second to 1 hour. WebSockets are exempt.</summary>
    [TimeRange("00:00:01", "01:00:00")]
    public TimeSpan RequestTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a request repeated with its Idempotency-Key gets the first one's answer. Default 24 hours; 1 minute to 30 days.</summary>
    [TimeRange("00:01:00", "30.00:00:00")]
    public TimeSpan IdempotencyLifetime { get; set; } = TimeSpan.FromHours(24);

    /// <summary>
    /// How long a process that is told to stop goes on answering while <c>/health/ready</c> says no, so that whoever sends here goes elsewhere first.
    /// Default: 3 seconds where a gateway of ours has sent here lately, otherwise 0; 0 to 5 minutes.
    /// </summary>
    [TimeRange("00:00:00", "00:05:00")]
    public TimeSpan? DrainTime { get; set; }

    /// <summary>How long a stopping process waits for requests in flight. Default 20 seconds; 0 to 10 minutes.</summary>
    [TimeRange("00:00:00", "00:10:00")]
    public TimeSpan ShutdownTimeout { get; set; } = TimeSpan.FromSeconds(20);
}
