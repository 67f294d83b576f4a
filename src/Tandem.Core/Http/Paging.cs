using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Extensions;
using Microsoft.Extensions.Primitives;

namespace Tandem.Core.Http;

/// <summary>The headers of a page of a list: how many there are in all, and where the pages around it are.</summary>
public static class Paging
{
    /// <summary>How many entries a page has unless the caller says otherwise.</summary>
    public const int DefaultLimit = 10;

    /// <summary>The most a page may have.</summary>
    public const int MaxLimit = 100;

    /// <summary>Sets <c>X-Total-Count</c> and <c>Link</c> (RFC 8288) with rel first, prev, next and last; other query parameters stay in the links.</summary>
    /// <param name="context">The request that asked for the page.</param>
    /// <param name="skip">How many entries lie before the page.</param>
    /// <param name="limit">How many a page has; at least 1.</param>
    /// <param name="total">How many there are.</param>
    public static void Describe(HttpContext context, long skip, int limit, long total)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        var headers = context.Response.Headers;
        headers["X-Total-Count"] = total.ToString(CultureInfo.InvariantCulture);
        var request = context.Request;
        var others = request.Query.Where(q => q.Key is not ("skip" or "limit")).ToList();
        var links = new List<string> { To(0, "first") };
        if (skip > 0)
            links.Add(To(Math.Max(0, Math.Min(skip, total) - limit), "prev"));
        if (skip + limit < total)
            links.Add(To(skip + limit, "next"));
        links.Add(To(total == 0 ? 0 : (total - 1) / limit * limit, "last"));
        headers.Link = new StringValues([.. links]);

        string To(long at, string rel)
        {
            var query = new QueryBuilder(others)
            {
                { "skip", at.ToString(CultureInfo.InvariantCulture) },
                { "limit", limit.ToString(CultureInfo.InvariantCulture) },
            };
            return $"<{request.PathBase.ToUriComponent()}{request.Path.ToUriComponent()}{query.ToQueryString()}>; rel=\"{rel}\"";
        }
    }
}
