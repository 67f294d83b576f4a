using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Core.Resources;

/// <summary>The endpoints of one resource.</summary>
/// <remarks>
/// They are plain request delegates: the type is known only when the program runs, and what the framework's binding does for a handler is
/// either done for the type once or not needed.
/// </remarks>
sealed class ResourceEndpoints(string path, Shape shape, ResourceTable table, Db db, TimeProvider clock)
{
    readonly Problem _notFound = new($"{path[1..]}/not-found", 404, $"{shape.Noun} not found");
    readonly ResourceFilters _filters = new(shape);

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("", Create);
        routes.MapGet("", List);
        routes.MapGet("{id:long}", Get);
        routes.MapPatch("{id:long}", Patch);
        routes.MapPut("{id:long}", Replace);
        routes.MapDelete("{id:long}", Delete);
    }

    async Task Create(HttpContext context)
    {
        var values = await JsonWire.ReadAsync(context, shape.Read);
        var row = await table.AddAsync(db, values, clock.UtcNow(), context.RequestAborted);
        context.Response.Headers.Location = $"{context.Request.PathBase}{path}/{row.Id}";
        Answer(context, 201, row);
    }

    async Task List(HttpContext context)
    {
        var query = _filters.Read(context.Request.Query);
        var (rows, total) = await table.ListAsync(db, query, context.RequestAborted);
        Paging.Describe(context, query.Skip, query.Limit, total);
        JsonWire.Answer(context.Response, 200, (shape, rows), static (json, state) =>
        {
            json.WriteStartArray();
            foreach (var row in state.rows)
                state.shape.Write(json, row.Id, row.Values);
            json.WriteEndArray();
        });
    }

    async Task Get(HttpContext context)
    {
        if (await table.FindAsync(db, Id(context), context.RequestAborted) is not { } row)
        {
            await Problem.Of(_notFound).ExecuteAsync(context);
            return;
        }

        if (EntityTags.IsKnown(context.Request, EntityTags.Of(row.Version)))
        {
            SetVersion(context.Response, row);
            context.Response.StatusCode = 304;
            return;
        }

        Answer(context, 200, row);
    }

    async Task Patch(HttpContext context)
    {
        var (id, ct) = (Id(context), context.RequestAborted);
        var mayChange = EntityTags.IfMatch(context.Request);
        var patch = await JsonWire.ReadAsync(context, MergePatch.Parse);
        while (true)
        {
            var row = await table.FindAsync(db, id, ct) ?? throw new ProblemException(_notFound);
            if (mayChange?.Invoke(row.Version) == false)
                throw new ProblemException(HttpProblems.PreconditionFailed);
            var values = shape.Read(MergePatch.Apply(table.ItemJson(row.Values), patch, shape.Type));
            if (values.SequenceEqual(row.Values))
            {
                Answer(context, 200, row);
                return;
            }

            // Merged and checked outside of the transaction, which must be short; somebody who was faster sends us round again.
            var (outcome, changed) = await table.ReplaceAsync(db, id, version => version == row.Version, values, clock.UtcNow(), ct);
            if (outcome == Outcome.Done)
            {
                Answer(context, 200, changed!); // done, so there is one
                return;
            }
        }
    }

    async Task Replace(HttpContext context)
    {
        var mayChange = EntityTags.IfMatch(context.Request);
        var values = await JsonWire.ReadAsync(context, shape.Read);
        var (outcome, row) = await table.ReplaceAsync(db, Id(context), mayChange, values, clock.UtcNow(), context.RequestAborted);
        if (row is not null)
            Answer(context, 200, row);
        else
            await Refusal(outcome).ExecuteAsync(context);
    }

    async Task Delete(HttpContext context)
    {
        var outcome = await table.DeleteAsync(db, Id(context), EntityTags.IfMatch(context.Request), context.RequestAborted);
        if (outcome == Outcome.Done)
            context.Response.StatusCode = 204;
        else
            await Refusal(outcome).ExecuteAsync(context);
    }

    ProblemResult Refusal(Outcome outcome) => Problem.Of(outcome == Outcome.NotFound ? _notFound : HttpProblems.PreconditionFailed);

    // The route admits nothing else.
    static long Id(HttpContext context) => long.Parse((string)context.Request.RouteValues["id"]!, CultureInfo.InvariantCulture);

    void Answer(HttpContext context, int status, Row row)
    {
        SetVersion(context.Response, row);
        JsonWire.Answer(context.Response, status, (shape, row), static (json, state) => state.shape.Write(json, state.row.Id, state.row.Values));
    }

    static void SetVersion(HttpResponse response, Row row)
    {
        response.Headers.ETag = EntityTags.Of(row.Version);
        response.Headers.LastModified = row.UpdatedAt.ToString("R", CultureInfo.InvariantCulture);
    }
}
