using System.ComponentModel.DataAnnotations;
using Tandem.Core.Configuration;

namespace Tandem.Gateway;

/// <summary>Settings of the gateway, section <c>Gateway</c>.</summary>
public sealed class GatewayOptions
{
    /// <summary>Which pages of other origins may call the API from a browser.</summary>
    public CorsOptions Cors { get; set; } = new();

    /// <summary>The general limit on requests.</summary>
    public RateLimitOptions RateLimit { get; set; } = new();

    /// <summary>Networks (CIDR) of proxies whose X-Forwarded-For is believed. Default none: the address of the connection counts.</summary>
    public string[] TrustedProxies { get; set; } = [];

    /// <summary>Other services behind the same door, by name.</summary>
    public Dictionary<string, UpstreamOptions> Upstreams { get; set; } = [];

    /// <summary>Where the program's own roles are that do not run in this process, by role; others stands for those that are not named.</summary>
    public Dictionary<string, RoleOptions> Roles { get; set; } = [];

    /// <summary>How long a request waits for a role whose processes have all just gone. Default 5 seconds; 0 to 1 minute.</summary>
    [TimeRange("00:00:00", "00:01:00")]
    public TimeSpan RoleWait { get; set; } = TimeSpan.FromSeconds(5);
}

/// <summary>Cross-origin requests.</summary>
public sealed class CorsOptions
{
    /// <summary>Answers cross-origin requests of browsers. Default true.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>Origins such as https://app.example.com; empty or * for all. Default all: tokens travel in a header, which no foreign page has.</summary>
    public string[] Origins { get; set; } = [];

    /// <summary>Lets browsers send cookies along; needs Origins to be listed. Default false.</summary>
    public bool Credentials { get; set; }
}

/// <summary>The general rate limit.</summary>
public sealed class RateLimitOptions
{
    /// <summary>Requests a minute for each caller; 0 switches the limit off. Default 0.</summary>
    [Range(0, 1_000_000)]
    public int PermitsPerMinute { get; set; }

    /// <summary>Who shares an allowance: Address (default), or Token for those who send one.</summary>
    [AllowedValues("Address", "Token")]
    public string By { get; set; } = "Address";
}

/// <summary>The processes of a role.</summary>
public sealed class RoleOptions
{
    /// <summary>Where they listen, such as http://users:8080. Every address behind a name is a process; the name is looked up every few seconds.</summary>
    public string[] Addresses { get; set; } = [];
}

/// <summary>A service behind the gateway.</summary>
public sealed class UpstreamOptions
{
    /// <summary>The path under which it is reached, such as /billing.</summary>
    public string Path { get; set; } = "";

    /// <summary>Where it listens, such as http://127.0.0.1:9000; several are balanced.</summary>
    public string[] Addresses { get; set; } = [];

    /// <summary>Takes Path away before the request is passed on. Default true.</summary>
    public bool StripPath { get; set; } = true;

    /// <summary>Lets anyone in. Default false: a bearer token is checked here.</summary>
    public bool Open { get; set; }

    /// <summary>Passes the bearer token on as well. Default false: the service gets the caller's identity, not the key to everything else.</summary>
    public bool PassToken { get; set; }

    /// <summary>How long the service may take before it is answered with 504. Default 30 seconds; 1 second to 1 hour.</summary>
    [TimeRange("00:00:01", "01:00:00")]
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(30);
}
