using System.Collections.Frozen;
using Microsoft.Net.Http.Headers;

namespace Tandem.Gateway.Forwarding;

/// <summary>Headers that are between two neighbours only (RFC 9110, 7.6.1, and those that YARP leaves out as well).</summary>
static class HopHeaders
{
    public static readonly FrozenSet<string> Names = FrozenSet.ToFrozenSet(
    [
        HeaderNames.Connection, HeaderNames.TransferEncoding, HeaderNames.KeepAlive, HeaderNames.Upgrade, HeaderNames.TE, HeaderNames.Trailer, HeaderNames.AltSvc,
        "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy-Features", "Proxy-Instruction", "Security-Scheme", "ALPN", "Close",
    ], StringComparer.OrdinalIgnoreCase);
}
