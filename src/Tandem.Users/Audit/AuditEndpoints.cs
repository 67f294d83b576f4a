using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Extensions;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core.Http;

namespace Tandem.Users.Audit;

static class AuditEndpoints
{
    public const string Read = "audit:read";

    public static void MapAudit(this IEndpointRouteBuilder routes) =>
        routes.MapGet("/audit", List).WithTags("Audit").RequireScope(Read)
            .WithSummary("What happened to accounts, sessions and keys, newest first; Link leads to the next page");

    /// <param name="actor">An account's number, or user, anonymous, client, operator or schedule.</param>
    /// <param name="subject">The account that it is about.</param>
    /// <param name="event">What happened, such as signed-in.</param>
    /// <param name="from">Not before this time.</param>
    /// <param name="to">Before this time.</param>
    /// <param name="before">Only rows with a lower number: where the page before ended.</param>
    static async Task<Ok<List<AuditEntry>>> List(AuditTrail trail, FailedSignIns failures, HttpContext context, [MaxLength(20)] string? actor = null, long? subject = null,
        [MaxLength(50)] string? @event = null, DateTimeOffset? from = null, DateTimeOffset? to = null, long? before = null,
        [Range(1, Paging.MaxLimit)] int limit = Paging.DefaultLimit, CancellationToken ct = default)
    {
        // Whoever looks sees what was acknowledged before.
        await failures.WriteAsync(all: true, ct);
        await trail.SealAsync(ct);
        var filter = new AuditFilter(actor, subject, @event, from?.UtcDateTime, to?.UtcDateTime);
        var page = await trail.FindAsync(filter, before, limit + 1, ct);
        if (page.Count > limit)
        {
            page.RemoveAt(limit);
            LinkNext(context, page[^1].Number);
        }

        return TypedResults.Ok(page);
    }

    static void LinkNext(HttpContext context, long last)
    {
        var request = context.Request;
        var query = new QueryBuilder(request.Query.Where(q => q.Key != "before")) { { "before", last.ToString(CultureInfo.InvariantCulture) } };
        context.Response.Headers.Link = $"<{request.PathBase.ToUriComponent()}{request.Path.ToUriComponent()}{query.ToQueryString()}>; rel=\"next\"";
    }
}
