using System.ComponentModel.DataAnnotations;
using Tandem.Core.Configuration;

namespace Tandem.Realtime;

/// <summary>Settings of the realtime module, section <c>Realtime</c>.</summary>
public sealed class RealtimeOptions
{
    /// <summary>Lets anyone open a socket. Default false: a bearer token, in the header or as <c>?access_token=</c>.</summary>
    public bool Open { get; set; }

    /// <summary>The longest message, in bytes of UTF-8. Default 64 KiB; 1 byte to 16 MiB. A longer one closes the socket with 1009.</summary>
    [Range(1, 16 << 20)]
    public int MaxMessageBytes { get; set; } = 64 << 10;

    /// <summary>A socket that sends nothing for so long is closed with 1000. Default 10 minutes; 1 second to 1 day.</summary>
    [TimeRange("00:00:01", "1.00:00:00")]
    public TimeSpan IdleTimeout { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How many sockets this process holds open; further ones get 503. Default 20,000; 1 to 1,000,000.</summary>
    [Range(1, 1_000_000)]
    public int MaxConnections { get; set; } = 20_000;
}
