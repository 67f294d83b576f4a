using Microsoft.AspNetCore.Http;

namespace Tandem.Core.Http;

/// <summary>Where a request's token is.</summary>
static class Bearer
{
    const string Scheme = "Bearer ";

    public static bool TryRead(HttpRequest request, out ReadOnlySpan<char> token)
    {
        var header = request.Headers.Authorization;
        if (header.Count == 1 && header[0] is { } value && value.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
        {
            token = value.AsSpan(Scheme.Length).Trim();
            return token.Length > 0;
        }

        token = "";
        // Browsers cannot send headers with a WebSocket's upgrade. Known by its header, too: a gateway that only forwards it takes no WebSockets itself.
        return (request.HttpContext.WebSockets.IsWebSocketRequest || request.Headers.Upgrade is ["websocket"]) && request.Query.TryGetValue("access_token", out var query)
            && (token = query.ToString()).Length > 0;
    }
}
