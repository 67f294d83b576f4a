using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;

namespace Tandem.Users.Scim;

/// <summary>SCIM 2.0 (RFC 7643, RFC 7644): users and groups for a company's directory.</summary>
static class ScimEndpoints
{
    public const string Scope = "scim";
    public const string Base = "/scim/v2";
    public const int MaxCount = 200;
    const int DefaultCount = 100;

    public static void MapScim(this IEndpointRouteBuilder routes)
    {
        var scim = routes.MapGroup(Base).WithTags("SCIM").RequireScope(Scope).AddEndpointFilter(AnswerAsync);
        scim.MapGet("/ServiceProviderConfig", (HttpContext context) => (IResult)new ScimAnswer(200, ScimSchemas.Config(AddressOf(context)))).WithSummary("What of SCIM there is");
        scim.MapGet("/ResourceTypes", (HttpContext context) => ListOf(ScimSchemas.Types(AddressOf(context)))).WithSummary("The kinds of resources: users and groups");
        scim.MapGet("/ResourceTypes/{id}", (string id, HttpContext context) => OneOf(ScimSchemas.Types(AddressOf(context)), id, "resource type")).WithSummary("A kind of resources");
        scim.MapGet("/Schemas", (HttpContext context) => ListOf(ScimSchemas.All(AddressOf(context)))).WithSummary("The attributes that users and groups have");
        scim.MapGet("/Schemas/{id}", (string id, HttpContext context) => OneOf(ScimSchemas.All(AddressOf(context)), id, "schema")).WithSummary("The attributes of one schema");

        scim.MapPost("/Users", AddUser).WithSummary("Make an account");
        scim.MapGet("/Users", ListUsers).WithSummary("Users by filter, startIndex and count");
        scim.MapPost("/Users/.search", SearchUsers).WithSummary("The same, with the question in the body");
        scim.MapGet("/Users/{id}", GetUser).WithSummary("A user");
        scim.MapPut("/Users/{id}", ReplaceUser).WithSummary("Replace what the directory says of a user");
        scim.MapPatch("/Users/{id}", PatchUser).WithSummary("Change a user by operations");
        scim.MapDelete("/Users/{id}", DeleteUser).WithSummary("Delete an account");

        scim.MapPost("/Groups", AddGroup).WithSummary("Make a group");
        scim.MapGet("/Groups", ListGroups).WithSummary("Groups by filter, startIndex and count");
        scim.MapPost("/Groups/.search", SearchGroups).WithSummary("The same, with the question in the body");
        scim.MapGet("/Groups/{id}", GetGroup).WithSummary("A group with its members");
        scim.MapPut("/Groups/{id}", ReplaceGroup).WithSummary("Replace a group and its members");
        scim.MapPatch("/Groups/{id}", PatchGroup).WithSummary("Change a group by operations");
        scim.MapDelete("/Groups/{id}", DeleteGroup).WithSummary("Delete a group");
    }

    /// <summary>Lets in what was made for directories and nothing else, not even administrators: what one may do here must stand in the key. Errors are those of SCIM.</summary>
    static async ValueTask<object?> AnswerAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var http = context.HttpContext;
        if (http.Features.Get<Caller>() is not { ClientId: null, AccountId: > 0 } caller || !caller.Scopes.Contains(Scope))
            return ScimAnswer.Error(403, null, $"This takes an API key with the scope {Scope}, made by an administrator.");
        http.Response.Headers.CacheControl = "no-store";
        try
        {
            return await next(context);
        }
        catch (ScimException e)
        {
            return e.Answer;
        }
        catch (ProblemException e)
        {
            if (e.Result.RetryAfterSeconds is { } seconds)
                http.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
            return ScimAnswer.Error(e.Result.Problem.Status, null, e.Result.Detail);
        }
    }

    static async Task<IResult> AddUser(HttpContext context, Origin origin, ScimUsers users, CancellationToken ct)
    {
        var user = ScimUser.Of(await ScimJson.ReadAsync(context.Request, ct));
        return Of(await users.FindAsync(await users.AddAsync(user, origin, ct), AddressOf(context), ct), context, 201, ScimAttributes.Users);
    }

    static Task<IResult> ListUsers(HttpContext context, ScimUsers users, CancellationToken ct) => UsersOf(Question.Of(context.Request.Query), context, users, ct);

    static async Task<IResult> SearchUsers(HttpContext context, ScimUsers users, CancellationToken ct) => await UsersOf(Question.Of(await ScimJson.ReadAsync(context.Request, ct)), context, users, ct);

    static async Task<IResult> UsersOf(Question question, HttpContext context, ScimUsers users, CancellationToken ct)
    {
        var known = ScimAttributes.Users;
        return question.Answer(await users.ListAsync(question.Where(known), question.Order(known), question.Skip, question.Count, AddressOf(context), ScimJson.IsAsked("groups", question.Attributes, question.Excluded, known), ct), known);
    }

    static async Task<IResult> GetUser(string id, HttpContext context, ScimUsers users, CancellationToken ct) => Of(await users.FindAsync(id, AddressOf(context), ct), context, 200, ScimAttributes.Users);

    static async Task<IResult> ReplaceUser(string id, HttpContext context, Origin origin, ScimUsers users, CancellationToken ct)
    {
        var body = await ScimJson.ReadAsync(context.Request, ct);
        await users.ChangeAsync(id, IfMatch(context), _ => ScimUser.Of(body) is { UserName: not null } user ? user : throw ScimException.Value("userName is required: the e-mail that the person signs in with."), origin, ct);
        return await GetUser(id, context, users, ct);
    }

    static async Task<IResult> PatchUser(string id, HttpContext context, Origin origin, ScimUsers users, CancellationToken ct)
    {
        var operations = ScimOperation.ListOf(await ScimJson.ReadAsync(context.Request, ct));
        await users.ChangeAsync(id, IfMatch(context), user =>
        {
            operations.ForEach(user.Apply);
            return user;
        }, origin, ct);
        return await GetUser(id, context, users, ct);
    }

    static async Task<IResult> DeleteUser(string id, Origin origin, ScimUsers users, CancellationToken ct)
    {
        await users.DeleteAsync(id, origin, ct);
        return new ScimAnswer(204, null);
    }

    static async Task<IResult> AddGroup(HttpContext context, Origin origin, ScimGroups groups, CancellationToken ct) =>
        await GroupOf(await groups.AddAsync(await ScimJson.ReadAsync(context.Request, ct), origin, ct), context, 201, groups, ct);

    static Task<IResult> ListGroups(HttpContext context, ScimGroups groups, CancellationToken ct) => GroupsOf(Question.Of(context.Request.Query), context, groups, ct);

    static async Task<IResult> SearchGroups(HttpContext context, ScimGroups groups, CancellationToken ct) => await GroupsOf(Question.Of(await ScimJson.ReadAsync(context.Request, ct)), context, groups, ct);

    static async Task<IResult> GroupsOf(Question question, HttpContext context, ScimGroups groups, CancellationToken ct)
    {
        var known = ScimAttributes.Groups;
        return question.Answer(await groups.ListAsync(question.Where(known), question.Order(known), question.Skip, question.Count, AddressOf(context), ScimJson.IsAsked("members", question.Attributes, question.Excluded, known), ct), known);
    }

    static Task<IResult> GetGroup(string id, HttpContext context, ScimGroups groups, CancellationToken ct) => GroupOf(id, context, 200, groups, ct);

    static async Task<IResult> ReplaceGroup(string id, HttpContext context, Origin origin, ScimGroups groups, CancellationToken ct)
    {
        await groups.ReplaceAsync(id, IfMatch(context), await ScimJson.ReadAsync(context.Request, ct), origin, ct);
        return await GroupOf(id, context, 200, groups, ct);
    }

    static async Task<IResult> PatchGroup(string id, HttpContext context, Origin origin, ScimGroups groups, CancellationToken ct)
    {
        await groups.PatchAsync(id, IfMatch(context), ScimOperation.ListOf(await ScimJson.ReadAsync(context.Request, ct)), origin, ct);
        return await GroupOf(id, context, 200, groups, ct);
    }

    static async Task<IResult> DeleteGroup(string id, HttpContext context, Origin origin, ScimGroups groups, CancellationToken ct)
    {
        await groups.DeleteAsync(id, IfMatch(context), origin, ct);
        return new ScimAnswer(204, null);
    }

    static async Task<IResult> GroupOf(string id, HttpContext context, int status, ScimGroups groups, CancellationToken ct)
    {
        var query = context.Request.Query;
        return Of(await groups.FindAsync(id, AddressOf(context), ScimJson.IsAsked("members", query["attributes"], query["excludedAttributes"], ScimAttributes.Groups), ct), context, status, ScimAttributes.Groups);
    }

    static ScimAnswer Of(ScimResource resource, HttpContext context, int status, ScimAttributes known)
    {
        if (HttpMethods.IsGet(context.Request.Method) && context.Request.Headers.IfNoneMatch.ToString() is { Length: > 0 } seen && ScimResource.Fits(seen, resource.Version))
            return new ScimAnswer(304, null) { Version = resource.Version };
        var query = context.Request.Query;
        return new ScimAnswer(status, ScimJson.Project(resource.Body, query["attributes"], query["excludedAttributes"], known)) { Version = resource.Version, Location = resource.Location };
    }

    static string? IfMatch(HttpContext context) => context.Request.Headers.IfMatch.ToString() is { Length: > 0 } versions ? versions : null;

    static string AddressOf(HttpContext context) => context.RequestServices.GetRequiredService<UsersOptions>().AddressFor(context.Request) + Base;

    static IResult ListOf(List<JsonObject> all) => new ScimAnswer(200, Question.Body(all, all.Count, 1));

    static IResult OneOf(List<JsonObject> all, string id, string what) =>
        new ScimAnswer(200, all.Find(o => id.Equals((string?)o["id"], StringComparison.OrdinalIgnoreCase)) ?? throw ScimException.NotFound(what, ScimJson.Cut(id, 100)));

    /// <summary>What is asked of a list.</summary>
    /// <param name="Skip">How many are left out.</param>
    /// <param name="Count">How many at most; 0: only how many there are.</param>
    sealed record Question(string? Filter, string? SortBy, bool IsDescending, int Skip, int Count, string? Attributes, string? Excluded)
    {
        public static Question Of(IQueryCollection query) => Of(query["filter"], query["sortBy"], query["sortOrder"], query["startIndex"], query["count"], query["attributes"], query["excludedAttributes"]);

        public static Question Of(JsonElement body)
        {
            ScimJson.CheckSchemas(body, "urn:ietf:params:scim:api:messages:2.0:SearchRequest");
            return Of(Text("filter"), Text("sortBy"), Text("sortOrder"), Text("startIndex"), Text("count"), Names("attributes"), Names("excludedAttributes"));

            string? Text(string name) => ScimJson.Member(body, name) switch
            {
                null or { ValueKind: JsonValueKind.Null } => null,
                { ValueKind: JsonValueKind.String } text => text.GetString(),
                { ValueKind: JsonValueKind.Number } number => number.GetRawText(),
                _ => throw ScimException.Value($"{name} must be a string or a number."),
            };

            string? Names(string name) => ScimJson.Member(body, name) is { ValueKind: JsonValueKind.Array } names
                ? string.Join(',', names.EnumerateArray().Where(n => n.ValueKind == JsonValueKind.String).Select(n => n.GetString()))
                : Text(name);
        }

        static Question Of(string? filter, string? sortBy, string? sortOrder, string? startIndex, string? count, string? attributes, string? excluded) => new(
            string.IsNullOrWhiteSpace(filter) ? null : filter, sortBy is { Length: > 0 } ? sortBy : null, sortOrder switch
            {
                null or "" or "ascending" => false,
                "descending" => true,
                _ => throw ScimException.Value("sortOrder must be ascending or descending."),
            }, Math.Max(1, Number(startIndex, "startIndex", 1)) - 1, Math.Clamp(Number(count, "count", DefaultCount), 0, MaxCount), attributes, excluded);

        public Sql Where(ScimAttributes known) => Filter is null ? Sql.Raw("(1 = 1)") : known.Where(ScimFilter.Parse(Filter));

        public Sql Order(ScimAttributes known) => SortBy is null ? Sql.Raw("")
            : known.Order(SortBy) is { } column ? Sql.Raw($"{column}{(IsDescending ? " desc" : "")}, ")
            : throw ScimException.Value($"sortBy cannot be \"{ScimJson.Cut(SortBy, 100)}\"; what it can be: {string.Join(", ", known.Singles.Keys)}.");

        public ScimAnswer Answer((List<ScimResource> Page, long Total) found, ScimAttributes known) =>
            new(200, Body(found.Page.ConvertAll(r => ScimJson.Project(r.Body, Attributes, Excluded, known)), found.Total, Skip + 1));

        public static JsonObject Body(List<JsonObject> page, long total, int startIndex) => new()
        {
            ["schemas"] = new JsonArray("urn:ietf:params:scim:api:messages:2.0:ListResponse"),
            ["totalResults"] = total,
            ["startIndex"] = startIndex,
            ["itemsPerPage"] = page.Count,
            ["Resources"] = new JsonArray([.. page]),
        };

        static int Number(string? text, string name, int unless) => text is null or "" ? unless
            : int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number
            : throw ScimException.Value($"{name} must be an integer.");
    }
}
