using System.ComponentModel.DataAnnotations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.Tickets;

namespace Tandem.Users.OpenId;

static class ClientEndpoints
{
    public const string Read = "clients:read";
    public const string Write = "clients:write";

    public static void MapClients(this IEndpointRouteBuilder routes)
    {
        var clients = routes.MapGroup("/clients").WithTags("Clients");
        clients.MapPost("", Register).WithSummary("Register a client; its secret is shown this once").RequireScope(Write).Answers(ClientProblems.IdTaken);
        clients.MapGet("", List).WithSummary("Every client, by id; X-Total-Count and Link tell what else there is").RequireScope(Read);
        clients.MapGet("{id}", Get).WithSummary("A client").RequireScope(Read).Answers(ClientProblems.NotFound);
        clients.MapPatch("{id}", Change).WithSummary("Change the fields that are sent; with a scope or a grant type fewer the client's sessions end").RequireScope(Write)
            .Answers(ClientProblems.NotFound);
        clients.MapDelete("{id}", Remove).WithSummary("Remove a client and end its sessions").RequireScope(Write).Answers(ClientProblems.NotFound);
    }

    static async Task<Results<Created<RegisteredClient>, ProblemResult>> Register(NewClient client, Origin origin, HttpContext context, ClientTable clients, TimeProvider clock, CancellationToken ct)
    {
        if (client.FindInvalid() is { Count: > 0 } faults)
            return Problem.Invalid(faults);
        var secret = client.IsPublic ? null : Secret.New();
        var stored = client.ToClient(secret, clock.UtcNow());
        if (!await clients.AddAsync(stored, origin, ct))
            return Problem.Of(ClientProblems.IdTaken);
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Created($"/clients/{stored.Id}", new RegisteredClient(ClientView.Of(stored), secret));
    }

    static async Task<Ok<ClientView[]>> List(ClientTable clients, HttpContext context,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, Paging.MaxLimit)] int limit = Paging.DefaultLimit, CancellationToken ct = default)
    {
        var (page, total) = await clients.ListAsync(skip, limit, ct);
        Paging.Describe(context, skip, limit, total);
        return TypedResults.Ok(page.Select(ClientView.Of).ToArray());
    }

    static async Task<Results<Ok<ClientView>, ProblemResult>> Get(string id, ClientTable clients, CancellationToken ct) =>
        await clients.FindAsync(id, ct) is { } client ? TypedResults.Ok(ClientView.Of(client)) : Problem.Of(ClientProblems.NotFound);

    static async Task<Results<Ok<ClientView>, ProblemResult>> Change(string id, ClientChange change, Origin origin, ClientTable clients, TimeProvider clock, CancellationToken ct) =>
        await clients.FindAsync(id, ct) is not null && await clients.ChangeAsync(id, change, clock.UtcNow(), origin, ct) is { } client
            ? TypedResults.Ok(ClientView.Of(client))
            : Problem.Of(ClientProblems.NotFound);

    static async Task<Results<NoContent, ProblemResult>> Remove(string id, Origin origin, ClientTable clients, TimeProvider clock, CancellationToken ct) =>
        await clients.FindAsync(id, ct) is not null && await clients.RemoveAsync(id, clock.UtcNow(), origin, ct) ? TypedResults.NoContent() : Problem.Of(ClientProblems.NotFound);
}
