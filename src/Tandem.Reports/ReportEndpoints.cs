using System.Globalization;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Microsoft.Net.Http.Headers;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Core.Jobs;

namespace Tandem.Reports;

static class ReportEndpoints
{
    const string Scope = "reports:read";

    // Ten years of days still make a readable answer; beyond it somebody meant something else.
    const int MaxDays = 3660;

    static readonly Lazy<string> PageText = new(() =>
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream("Tandem.Reports.signups.html")
            ?? throw new InvalidOperationException("The page of the sign-up report is not in the assembly.");
        return new StreamReader(stream, Encoding.UTF8).ReadToEnd();
    });

    public static void MapReports(this IEndpointRouteBuilder routes)
    {
        var reports = routes.MapGroup("/reports").WithTags("Reports");
        // Open only for the page, which holds no data: a browser cannot send a token when it opens an address. The handler asks for it itself.
        reports.MapGet("signups", SignUps).AllowAnonymous()
            .WithSummary("Sign-ups per day as JSON, CSV, an SVG chart, or a page that shows them")
            .WithDescription("Asks for an administrator or the scope reports:read, except for the page itself (Accept: text/html), which signs you in.")
            .Produces<SignUpReport>(StatusCodes.Status200OK, "application/json", "text/csv", "image/svg+xml", "text/html")
            .Answers(HttpProblems.Unauthorized, HttpProblems.Forbidden, ReportProblems.NotAcceptable);
        reports.MapPost("signups/rebuild", Rebuild).RequireAdministrator().WithSummary("Count all sign-ups of the event log again, as a job");
    }

    static async Task<IResult> SignUps(HttpContext context, SignUpTable table, ITokenVerifier tokens, TimeProvider clock,
        DateOnly? from, DateOnly? to, string? format, CancellationToken ct)
    {
        context.Response.Headers.Vary = "Accept, Authorization";
        var kind = format ?? Negotiate(context.Request);
        if (kind == "html")
            return Page(context);
        if (kind is not ("json" or "csv" or "svg"))
            return Problem.Of(ReportProblems.NotAcceptable);
        if (await RefuseAsync(context, tokens) is { } refusal)
            return refusal;

        var last = to ?? DateOnly.FromDateTime(clock.GetUtcNow().UtcDateTime);
        var first = from ?? last.AddDays(-29);
        if (first > last)
            return Problem.Invalid("from", $"must not be after to ({SignUpTable.Text(last)})");
        if (last.DayNumber - first.DayNumber >= MaxDays)
            return Problem.Invalid("from", $"must be less than {MaxDays} days before to");

        await table.CaughtUpAsync(ct);
        var days = await table.ListAsync(first, last, ct);
        return kind switch
        {
            "csv" => Csv(days, context),
            "svg" => Results.Text(SignUpChart.Svg(days), "image/svg+xml; charset=utf-8"),
            _ => TypedResults.Ok(new SignUpReport(first, last, days.Sum(d => d.Count), days)),
        };
    }

    static string? Negotiate(HttpRequest request)
    {
        var accepted = request.GetTypedHeaders().Accept;
        if (accepted is null or { Count: 0 })
            return "json";
        // As browsers order them: the most wanted first, and among equals the first named.
        foreach (var type in accepted.OrderByDescending(t => t.Quality ?? 1).Where(t => t.Quality is not 0))
            if (type.MatchesAllTypes || type.MediaType == "application/json" || type.MediaType == "application/*")
                return "json";
            else if (type.MediaType == "text/html")
                return "html";
            else if (type.MediaType == "text/csv")
                return "csv";
            else if (type.MediaType == "image/svg+xml")
                return "svg";
        return null;
    }

    static async Task<ProblemResult?> RefuseAsync(HttpContext context, ITokenVerifier tokens)
    {
        if (await Caller.OfAsync(context, tokens) is not { } caller)
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            return Problem.Of(HttpProblems.Unauthorized);
        }

        return caller.May(Scope) ? null : Problem.Of(HttpProblems.Forbidden, $"This takes an administrator or the scope {Scope}.");
    }

    static IResult Csv(List<SignUpDay> days, HttpContext context)
    {
        context.Response.Headers.ContentDisposition = new ContentDispositionHeaderValue("attachment")
        {
            FileName = $"signups-{SignUpTable.Text(days[0].Day)}-{SignUpTable.Text(days[^1].Day)}.csv",
        }.ToString();
        // RFC 4180; neither a day nor a number ever needs quotes.
        var text = new StringBuilder("day,count\r\n");
        foreach (var day in days)
            text.Append(CultureInfo.InvariantCulture, $"{SignUpTable.Text(day.Day)},{day.Count}\r\n");
        return Results.Text(text.ToString(), "text/csv; charset=utf-8");
    }

    static IResult Page(HttpContext context)
    {
        var nonce = Convert.ToBase64String(RandomNumberGenerator.GetBytes(16));
        context.Response.Headers.ContentSecurityPolicy =
            $"default-src 'none'; connect-src 'self'; img-src 'self' data: blob:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
        context.Response.Headers.CacheControl = "no-store";
        return Results.Text(PageText.Value.Replace("{{nonce}}", nonce), "text/html; charset=utf-8");
    }

    static async Task<Accepted<JobView>> Rebuild(Db db, IJobQueue queue, Caller caller, CancellationToken ct)
    {
        var id = await db.InTransactionAsync(tx =>
            tx.EnqueueAsync(new RebuildSignUps(), new JobOptions { UniqueKey = "all", AccountId = caller.AccountId }, CancellationToken.None), ct);
        return TypedResults.Accepted($"/jobs/{id}", await queue.FindAsync(id, ct));
    }
}

/// <summary>Sign-ups per day.</summary>
/// <param name="From">The first day, UTC.</param>
/// <param name="To">The last day, included.</param>
/// <param name="Total">The sum over the days.</param>
/// <param name="Days">Every day of the range, also those without sign-ups.</param>
public sealed record SignUpReport(DateOnly From, DateOnly To, long Total, IReadOnlyList<SignUpDay> Days);

static class ReportProblems
{
    public static readonly Problem NotAcceptable =
        new("reports/not-acceptable", 406, "This report comes as json, csv, svg or html: ask with ?format= or an Accept header.");
}
