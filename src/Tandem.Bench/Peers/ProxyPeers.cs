namespace Tandem.Bench.Peers;

/// <summary>Proxies in front of one service, each configured as its own documentation recommends for production: Sources/nginx.conf, haproxy.cfg and Caddyfile.</summary>
static class ProxyPeers
{
    /// <summary>The part of this program that is nothing but Kestrel and YARP.</summary>
    public const string Yarp = "yarp";

    const string Health = "/service/health";

    /// <summary>The service itself, which everybody forwards to.</summary>
    public static readonly Peer Direct = HttpPeers.FastHttp with { Name = "direct", Title = "no proxy: the service itself", IsLimit = true, HealthPath = Health };

    public static IReadOnlyList<Peer> All { get; } =
    [
        new(Peer.Tandem, "Tandem's gateway",
            HttpPeers.Tandem.Start + " --Gateway:Upstreams:service:Path /service --Gateway:Upstreams:service:Addresses:0 http://{backend}"
                + " --Gateway:Upstreams:service:StripPath false --Gateway:Upstreams:service:Open true") { HealthPath = Health },
        new("nginx", "nginx", "/usr/sbin/nginx -c {config}", "nginx-light", "nginx") { Config = "nginx.conf", HealthPath = Health },
        new("haproxy", "HAProxy", "/usr/sbin/haproxy -db -f {config}", "haproxy") { Config = "haproxy.cfg", HealthPath = Health },
        new("caddy", "Caddy", "caddy run --adapter caddyfile --config {config}", "caddy") { Config = "Caddyfile", HealthPath = Health },
        new("yarp", "bare YARP", $"{{tandem}} bench child {Yarp} {{port}} {{backend}}") { HealthPath = Health },
        Direct,
    ];
}
