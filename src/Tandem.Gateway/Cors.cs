using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;

namespace Tandem.Gateway;

/// <summary>Cross-origin resource sharing (the Fetch standard, section 3.2). A request without an Origin header pays one look-up.</summary>
/// <remarks>In front of everything, so that errors, /health and /token are readable across origins too.</remarks>
sealed class Cors(RequestDelegate next, CorsOptions options)
{
    const string Exposed = "Location, ETag, Link, X-Total-Count, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate";

    // Browsers keep a preflight's answer for two hours at most.
    const string MaxAge = "7200";

    readonly HashSet<string> _origins = options.Origins.Where(o => o != "*").Select(o => o.TrimEnd('/')).ToHashSet(StringComparer.OrdinalIgnoreCase);

    public Task InvokeAsync(HttpContext context)
    {
        var origin = context.Request.Headers.Origin;
        if (origin.Count == 0)
            return next(context);

        var headers = context.Response.Headers;
        if (_origins.Count == 0)
            headers.AccessControlAllowOrigin = "*";
        else
        {
            headers.Append(HeaderNames.Vary, "Origin");
            if (_origins.Contains(origin.ToString()))
                headers.AccessControlAllowOrigin = origin;
        }

        if (headers.AccessControlAllowOrigin.Count > 0 && options.Credentials)
            headers.AccessControlAllowCredentials = "true";
        var method = context.Request.Headers.AccessControlRequestMethod;
        if (!HttpMethods.IsOptions(context.Request.Method) || method.Count == 0)
        {
            headers.AccessControlExposeHeaders = Exposed;
            return next(context);
        }

        context.Response.StatusCode = StatusCodes.Status204NoContent;
        if (headers.AccessControlAllowOrigin.Count == 0)
            return Task.CompletedTask;
        headers.AccessControlAllowMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
        headers.AccessControlMaxAge = MaxAge;
        // Repeated back: * does not cover Authorization.
        if (context.Request.Headers.AccessControlRequestHeaders is { Count: > 0 } wanted)
            headers.AccessControlAllowHeaders = wanted;
        return Task.CompletedTask;
    }
}
