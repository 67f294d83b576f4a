using Microsoft.AspNetCore.Http;
using Tandem.Core.Http;

namespace Tandem.Gateway;

/// <summary>Refuses requests whose length two servers could read differently, which Kestrel lets through, and marks every answer as what it says it is.</summary>
sealed class StrictHttp(RequestDelegate next)
{
    static readonly Problem Ambiguous = new("gateway/ambiguous-length", 400, "The length of the body is not said in one clear way (RFC 9112, section 6).");

    public Task InvokeAsync(HttpContext context)
    {
        var headers = context.Request.Headers;
        context.Response.Headers.XContentTypeOptions = "nosniff";
        // Kestrel takes Transfer-Encoding, and leaves the other length under this name.
        // RFC 9112, 6.1: both lengths at once, and Transfer-Encoding in HTTP/1.0, are the tools of request smuggling.
        if (headers.TransferEncoding.Count > 0 && (headers.ContainsKey("X-Content-Length") || context.Request.Protocol == "HTTP/1.0"))
        {
            context.Response.Headers.Connection = "close";
            return Problem.Of(Ambiguous).ExecuteAsync(context);
        }

        return next(context);
    }
}
