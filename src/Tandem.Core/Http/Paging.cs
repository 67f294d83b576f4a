using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Extensions;

namespace Tandem.Core.Http;

/// <summary>The headers of a page of a list: how many there are in all, and where the pages around it are.</summary>
public static class Paging
{
    /// <summary>How many entries a page has unless the caller says otherwise.</summary>
    public const int DefaultLimit = 10;

    /// <summary>The most a page may have.</summary>
    public const int MaxLimit = 100;

    /// <summary>Says for OpenAPI that the endpoint calls <see cref="Describe(HttpContext, long, int, long)"/>.</summary>
    public static TBuilder Paged<TBuilder>(this TBuilder builder) where TBuilder : IEndpointConventionBuilder => builder.WithMetadata(new Mark());

    internal sealed record Mark;

    /// <summary>Sets <c>X-Total-Count</c> and <c>Link</c> (RFC 8288) with rel first, prev, next and last; other query parameters stay in the links.</summary>
    /// <param name="context">The request that asked for the page.</param>
    /// <param name="skip">How many entries lie before the page.</param>
    /// <param name="limit">How many a page has; at least 1.</param>
    /// <param name="total">How many there are.</param>
    public static void Describe(HttpContext context, long skip, int limit, long total) => Describe(context, skip, limit, total, null);

    /// <summary>As the other, for a list that cursors lead through as well.</summary>
    /// <param name="context">The request that asked for the page.</param>
    /// <param name="skip">How many entries lie before the page.</param>
    /// <param name="limit">How many a page has; at least 1.</param>
    /// <param name="total">How many there are; null: that is not known, and not said.</param>
    /// <param name="next">Null: the links skip. Otherwise they are those of a list of cursors, first and next alone, and this is the cursor of the next page; empty after the last one.</param>
    public static void Describe(HttpContext context, long skip, int limit, long? total, string? next)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        var headers = context.Response.Headers;
        if (total is { } known)
            headers["X-Total-Count"] = known.ToString(CultureInfo.InvariantCulture);
        var request = context.Request;
        var others = request.Query.Where(q => q.Key is not ("skip" or "limit" or "cursor")).ToList();
        var links = new List<string>();
        if (next is null && total is { } count)
        {
            links.Add(To(0, "first"));
            if (skip > 0)
                links.Add(To(Math.Max(0, Math.Min(skip, count) - limit), "prev"));
            if (skip + limit < count)
                links.Add(To(skip + limit, "next"));
            links.Add(To(count == 0 ? 0 : (count - 1) / limit * limit, "last"));
        }
        else
        {
            links.Add(Behind("", "first"));
            if (!string.IsNullOrEmpty(next))
                links.Add(Behind(next, "next"));
        }

        headers.Link = string.Join(", ", links);

        string Behind(string cursor, string rel) => Link(new QueryBuilder(others) { { "cursor", cursor }, { "limit", limit.ToString(CultureInfo.InvariantCulture) } }, rel);

        string To(long at, string rel) => Link(new QueryBuilder(others)
        {
            { "skip", at.ToString(CultureInfo.InvariantCulture) },
            { "limit", limit.ToString(CultureInfo.InvariantCulture) },
        }, rel);

        string Link(QueryBuilder query, string rel) => $"<{request.PathBase.ToUriComponent()}{request.Path.ToUriComponent()}{query.ToQueryString()}>; rel=\"{rel}\"";
    }
}
