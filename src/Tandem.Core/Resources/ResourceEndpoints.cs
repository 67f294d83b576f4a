using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
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
        var docs = new ResourceDocs(shape, _filters);
        routes.MapPost("", Create).WithMetadata(IdempotencyKey.Documentation).Described(docs.CreateAsync);
        routes.MapGet("", List).Described(docs.ListAsync).Paged();
        routes.MapGet("{id:long}", Get).Described(docs.GetAsync).Answers(_notFound);
        routes.MapPatch("{id:long}", Patch).Described(docs.PatchAsync).Answers(_notFound, HttpProblems.PreconditionFailed);
        routes.MapPut("{id:long}", Replace).Described(docs.ReplaceAsync).Answers(_notFound, HttpProblems.PreconditionFailed);
        routes.MapDelete("{id:long}", Delete).Described(docs.DeleteAsync).Answers(_notFound, HttpProblems.PreconditionFailed);
    }

    async Task Create(HttpContext context)
    {
        if (IdempotencyKey.IsGiven(context.Request))
        {
            await CreateOnce(context);
            return;
        }

        var values = await JsonWire.ReadAsync(context, shape.Read);
        var row = await table.AddAsync(db, values, clock.UtcNow(), context.RequestAborted);
        SetLocation(context, row.Id);
        Answer(context, 201, row);
    }

    async Task CreateOnce(HttpContext context)
    {
        var (key, values) = await JsonWire.ReadAsync(context, body => (IdempotencyKey.Of(context, body), shape.Read(body)));
        var item = await table.AddOnceAsync(db, key, values, clock.UtcNow(), context.RequestAborted);
        SetLocation(context, item.Id);
        SetVersion(context.Response, 1, item.At);
        // Not from the values: those of a repetition may differ where the record fills in something itself.
        JsonWire.Answer(context.Response, 201, item, static (json, item) =>
            json.WriteRawValue(string.Create(CultureInfo.InvariantCulture, $$"""{"id":{{item.Id}},{{item.Item.AsSpan(1)}}"""), skipInputValidation: true));
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
            SetVersion(context.Response, row.Version, row.UpdatedAt);
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
        SetVersion(context.Response, row.Version, row.UpdatedAt);
        JsonWire.Answer(context.Response, status, (shape, row), static (json, state) => state.shape.Write(json, state.row.Id, state.row.Values));
    }

    void SetLocation(HttpContext context, long id) => context.Response.Headers.Location = $"{context.Request.PathBase}{path}/{id}";

    static void SetVersion(HttpResponse response, long version, DateTime updatedAt)
    {
        response.Headers.ETag = EntityTags.Of(version);
        response.Headers.LastModified = updatedAt.ToString("R", CultureInfo.InvariantCulture);
    }
}
