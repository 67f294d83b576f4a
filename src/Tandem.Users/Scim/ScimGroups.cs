using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Users.Audit;

namespace Tandem.Users.Scim;

/// <summary>Groups of accounts. A change reads and writes the members that it is about, however many there are.</summary>
sealed class ScimGroups(Db db, AuditTrail trail, UsersOptions options, TimeProvider clock)
{
    // A page of groups ends where it has so many members.
    const int MaxMembersOfPage = 20_000;
    const int Chunk = 500;

    static readonly Sql Select = Sql.Raw("select g.id, g.name, g.external_id, g.created_at, g.changed_at from users_groups g");

    /// <exception cref="ScimException">404.</exception>
    public async Task<ScimResource> FindAsync(string id, string address, bool withMembers, CancellationToken ct)
    {
        var row = await db.FindAsync<Row>($"{Select} where g.id = {IdOf(id)}", ct) ?? throw ScimException.NotFound("group", id);
        return row.Resource(withMembers ? await MembersAsync(row.Id, ct) : [], address);
    }

    public async Task<(List<ScimResource> Page, long Total)> ListAsync(Sql where, Sql order, int skip, int limit, string address, bool withMembers, CancellationToken ct)
    {
        var total = await db.FindAsync<long>($"select count(*) from users_groups g where {where}", ct);
        var rows = limit == 0 || skip >= total ? [] : await db.ListAsync<Row>($"{Select} where {where} order by {order}g.id {Sql.Page(skip, limit)}", ct);
        var (page, members) = (new List<ScimResource>(), 0);
        foreach (var row in rows)
        {
            var of = withMembers ? await MembersAsync(row.Id, ct) : [];
            // Fewer than asked for is allowed (RFC 7644, 3.4.2.4); none would be no page.
            if (page.Count > 0 && members + of.Count > MaxMembersOfPage)
                break;
            members += of.Count;
            page.Add(row.Resource(of, address));
        }

        return (page, total);
    }

    /// <exception cref="ScimException">uniqueness, invalidValue.</exception>
    public async Task<string> AddAsync(JsonElement resource, Origin origin, CancellationToken ct)
    {
        var (steps, now, id) = (StepsOf(resource), clock.UtcNow(), Guid.CreateVersion7());
        var name = steps.OfType<Step.Name>().LastOrDefault()?.Text ?? throw ScimException.Value("displayName is required.");
        await db.InTransactionAsync(async tx =>
        {
            if (await tx.FindAsync<string>($"""
                insert into users_groups (id, name_key, name, created_at, changed_at) values ({id}, {name.ToLowerInvariant()}, {name}, {now}, {now}) on conflict (name_key) do nothing returning name
                """, ct) is null)
                throw Taken(name);
            await trail.AddAsync(tx, AuditEvents.GroupCreated, origin, null, now, subjectPart: id);
            foreach (var step in steps.Where(s => s is not Step.Name))
                await RunAsync(tx, id, step, now, origin);
        }, ct);
        return id.ToString();
    }

    /// <exception cref="ScimException">404, 412, uniqueness, invalidValue, invalidPath.</exception>
    public Task ReplaceAsync(string id, string? versions, JsonElement resource, Origin origin, CancellationToken ct)
    {
        var steps = StepsOf(resource);
        if (!steps.Exists(s => s is Step.Name))
            throw ScimException.Value("displayName is required.");
        // What a PUT leaves out is removed.
        if (!steps.Exists(s => s is Step.ExternalId))
            steps.Add(new Step.ExternalId(null));
        if (!steps.Exists(s => s is Step.Members))
            steps.Add(new Step.Members([]));
        return ChangeAsync(id, versions, steps, origin, ct);
    }

    /// <inheritdoc cref="ReplaceAsync"/>
    public Task PatchAsync(string id, string? versions, List<ScimOperation> operations, Origin origin, CancellationToken ct) =>
        ChangeAsync(id, versions, [.. operations.SelectMany(StepsOf)], origin, ct);

    /// <exception cref="ScimException">404, 412.</exception>
    public async Task DeleteAsync(string id, string? versions, Origin origin, CancellationToken ct)
    {
        var now = clock.UtcNow();
        await db.InTransactionAsync(async tx =>
        {
            var row = await LockAsync(tx, id, versions);
            foreach (var account in await tx.ListAsync<long>($"delete from users_group_members where group_id = {row.Id} returning account_id", ct))
                await trail.AddAsync(tx, AuditEvents.GroupLeft, origin, account, now, "the group was deleted", row.Id);
            await tx.ExecuteAsync($"delete from users_groups where id = {row.Id}", ct);
            await trail.AddAsync(tx, AuditEvents.GroupDeleted, origin, null, now, subjectPart: row.Id);
        }, ct);
    }

    Task ChangeAsync(string id, string? versions, List<Step> steps, Origin origin, CancellationToken ct)
    {
        var now = clock.UtcNow();
        return db.InTransactionAsync(async tx =>
        {
            var row = await LockAsync(tx, id, versions);
            foreach (var step in steps)
                await RunAsync(tx, row.Id, step, now, origin);
            // Its version: never the same twice, whatever the clock does.
            var changed = now > row.ChangedAt ? now : row.ChangedAt.AddMicroseconds(1);
            await tx.ExecuteAsync($"update users_groups set changed_at = {changed} where id = {row.Id}", CancellationToken.None);
        }, ct);
    }

    static async Task<Row> LockAsync(Transaction tx, string id, string? versions)
    {
        var row = await tx.FindAsync<Row>($"update users_groups set id = id where id = {IdOf(id)} returning id, name, external_id, created_at, changed_at", CancellationToken.None) ?? throw ScimException.NotFound("group", id);
        return versions is null || ScimResource.Fits(versions, row.Version) ? row
            : throw new ScimException(412, null, "The group was changed since you read it: read it again and repeat your change on that version.");
    }

    async Task RunAsync(Transaction tx, Guid group, Step step, DateTime now, Origin origin)
    {
        switch (step)
        {
            case Step.Name(var name):
                if (await tx.FindAsync<long>($"select count(*) from users_groups where name_key = {name.ToLowerInvariant()} and id <> {group}", CancellationToken.None) > 0)
                    throw Taken(name);
                if (await tx.ExecuteAsync($"update users_groups set name = {name}, name_key = {name.ToLowerInvariant()} where id = {group} and name <> {name}", CancellationToken.None) > 0)
                    await trail.AddAsync(tx, AuditEvents.GroupRenamed, origin, null, now, subjectPart: group);
                break;
            case Step.ExternalId(var external):
                await tx.ExecuteAsync($"update users_groups set external_id = {external} where id = {group}", CancellationToken.None);
                break;
            case Step.Join(var accounts):
                await JoinAsync(tx, group, accounts, now, origin);
                break;
            case Step.Leave(var accounts):
                await LeaveAsync(tx, group, accounts, now, origin);
                break;
            case Step.Members(var accounts):
                var before = await tx.ListAsync<long>($"select account_id from users_group_members where group_id = {group}", CancellationToken.None);
                await LeaveAsync(tx, group, [.. before.Except(accounts)], now, origin);
                await JoinAsync(tx, group, accounts, now, origin);
                break;
            case Step.LeaveWhere(var which):
                var members = await tx.ListAsync<long>($"select account_id from users_group_members where group_id = {group}", CancellationToken.None);
                await LeaveAsync(tx, group, [.. members.Where(m => which.Fits(part => PartOf(m, part)))], now, origin);
                break;
        }
    }

    async Task JoinAsync(Transaction tx, Guid group, IReadOnlyList<long> accounts, DateTime now, Origin origin)
    {
        foreach (var chunk in accounts.Distinct().Chunk(Chunk))
        {
            var there = await tx.ListAsync<long>($"select id from users_accounts where id in ({ScimUsers.In(chunk)})", CancellationToken.None);
            if (there.Count < chunk.Length)
                throw ScimException.Value($"members: there is no user with the id \"{chunk.Except(there).First()}\".");
            foreach (var account in await tx.ListAsync<long>($"""
                insert into users_group_members (group_id, account_id) select {group}, id from users_accounts where id in ({ScimUsers.In(chunk)}) on conflict (group_id, account_id) do nothing returning account_id
                """, CancellationToken.None))
                await trail.AddAsync(tx, AuditEvents.GroupJoined, origin, account, now, subjectPart: group);
        }

        if (accounts.Count > 0 && await tx.FindAsync<long>($"select count(*) from users_group_members where group_id = {group}", CancellationToken.None) > options.GroupMembers)
            throw new ScimException(400, "tooMany", $"A group has at most {options.GroupMembers} members; Users:GroupMembers says so.");
    }

    async Task LeaveAsync(Transaction tx, Guid group, IReadOnlyList<long> accounts, DateTime now, Origin origin)
    {
        foreach (var chunk in accounts.Chunk(Chunk))
            foreach (var account in await tx.ListAsync<long>($"delete from users_group_members where group_id = {group} and account_id in ({ScimUsers.In(chunk)}) returning account_id", CancellationToken.None))
                await trail.AddAsync(tx, AuditEvents.GroupLeft, origin, account, now, subjectPart: group);
    }

    Task<List<Member>> MembersAsync(Guid group, CancellationToken ct) => db.ListAsync<Member>($"""
        select m.account_id, a.name from users_group_members m join users_accounts a on a.id = m.account_id where m.group_id = {group} order by m.account_id
        """, ct);

    static List<Step> StepsOf(JsonElement resource)
    {
        ScimJson.CheckSchemas(resource, ScimAttributes.GroupUrn);
        return [.. resource.EnumerateObject().Where(m => m.Name.ToLowerInvariant() is "displayname" or "externalid" or "members")
            .SelectMany(m => StepsOf(m.Value.ValueKind == JsonValueKind.Null ? "remove" : "replace", new ScimFilter.Path(m.Name, null, null), m.Value, m.Name))];
    }

    static IEnumerable<Step> StepsOf(ScimOperation operation)
    {
        if (operation.Path is not null)
            return StepsOf(operation.Op, ScimFilter.Path.Parse(operation.Path), operation.Value, operation.Path);
        if (operation.Op == "remove")
            throw new ScimException(400, "noTarget", "remove takes a path: what is to be removed.");
        if (operation.Value is not { ValueKind: JsonValueKind.Object } value)
            throw ScimException.Value("An operation without a path has an object as its value.");
        return value.EnumerateObject().Where(m => m.Name.ToLowerInvariant() is not ("id" or "meta" or "schemas"))
            .SelectMany(m => StepsOf(m.Value.ValueKind == JsonValueKind.Null ? "remove" : operation.Op, ScimFilter.Path.Parse(m.Name), m.Value, m.Name));
    }

    static IEnumerable<Step> StepsOf(string op, ScimFilter.Path path, JsonElement? value, string shown)
    {
        var name = ScimAttributes.Groups.Bare(path.Attribute).ToLowerInvariant();
        if (name is "id" or "meta" or "schemas" || name.StartsWith("meta.", StringComparison.Ordinal))
            throw new ScimException(400, "mutability", $"\"{shown}\" is written by the server alone.");
        if (name.StartsWith("urn:", StringComparison.Ordinal))
            return [];
        if (op != "remove" && value is null)
            throw ScimException.Value($"{op} of \"{shown}\" takes a value.");
        if (path.Which is not null && name != "members")
            throw ScimException.Path($"\"{shown}\" has no list of values to choose from; members has.");
        return name switch
        {
            "displayname" when op == "remove" => throw ScimException.Value("displayName cannot be removed."),
            "displayname" => [new Step.Name(NameOf(value!.Value))], // looked at above
            "externalid" => [new Step.ExternalId(op == "remove" ? null : ScimJson.Text(value, "externalId", 200))],
            "members" when path.Which is { } which => WhereOf(op, which, path, shown),
            "members" when op == "add" => [new Step.Join(MembersOf(value!.Value))], // looked at above
            "members" when op == "replace" => [new Step.Members(MembersOf(value!.Value))], // looked at above
            // Entra ID and Okta name who is to go in the value; without one everybody goes.
            "members" => [value is null or { ValueKind: JsonValueKind.Null } ? new Step.Members([]) : new Step.Leave(MembersOf(value.Value))],
            _ => throw ScimException.Path($"\"{shown}\" is no attribute of a group; those are displayName, externalId and members."),
        };
    }

    static Step[] WhereOf(string op, ScimFilter which, ScimFilter.Path path, string shown)
    {
        // A wrong name shows without members as well.
        which.Fits(part => PartOf(0, part));
        if (op != "remove" || path.Sub is not null)
            throw new ScimException(400, "mutability", $"What a member is does not change (\"{shown}\"): add and remove members.");
        return which is ScimFilter.Compare { Operator: "eq", Value: string id } compare && compare.Attribute.Equals("value", StringComparison.OrdinalIgnoreCase)
            ? [new Step.Leave([ScimUsers.IdOf(id)])]
            : [new Step.LeaveWhere(which)];
    }

    static string NameOf(JsonElement value) => ScimJson.Text(value, "displayName", 200) is var name && new NotBlankAttribute().IsValid(name) ? name : throw ScimException.Value("displayName must not be empty or blank.");

    static List<long> MembersOf(JsonElement value) => value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray().Select(MemberOf)] : [MemberOf(value)];

    static long MemberOf(JsonElement value)
    {
        var id = value.ValueKind switch
        {
            JsonValueKind.String => value.GetString(),
            JsonValueKind.Object when ScimJson.Member(value, "value") is { ValueKind: JsonValueKind.String } inner => inner.GetString(),
            _ => throw ScimException.Value("A member is an object with the id of a user as its value."),
        };
        return ScimUsers.IdOf(id!) is > 0 and var key ? key : throw ScimException.Value($"members: there is no user with the id \"{ScimJson.Cut(id!, 100)}\"; groups have no groups in them."); // both are strings
    }

    static object? PartOf(long member, string part) => part.ToLowerInvariant() switch
    {
        "value" => member.ToString(CultureInfo.InvariantCulture),
        "type" => "User",
        _ => throw ScimException.Path($"members have a value, and no \"{part}\" to choose by."),
    };

    static Guid IdOf(string id) => Guid.TryParseExact(id, "D", out var key) ? key : Guid.Empty;

    static ScimException Taken(string name) => ScimException.Taken($"displayName \"{name}\" is another group's already.");

    /// <summary>What is to be done to a group, one after the other.</summary>
    abstract record Step
    {
        public sealed record Name(string Text) : Step;

        public sealed record ExternalId(string? Text) : Step;

        public sealed record Join(IReadOnlyList<long> Accounts) : Step;

        public sealed record Leave(IReadOnlyList<long> Accounts) : Step;

        public sealed record LeaveWhere(ScimFilter Which) : Step;

        /// <summary>These and nobody else.</summary>
        public sealed record Members(IReadOnlyList<long> Accounts) : Step;
    }

    sealed record Member(long AccountId, string Name);

    sealed record Row(Guid Id, string Name, string? ExternalId, DateTime CreatedAt, DateTime ChangedAt)
    {
        public string Version => $"W/\"{(ChangedAt - DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond:x}\"";

        public ScimResource Resource(List<Member> members, string address)
        {
            var body = new JsonObject { ["schemas"] = new JsonArray(ScimAttributes.GroupUrn), ["id"] = Id.ToString() };
            if (ExternalId is not null)
                body["externalId"] = ExternalId;
            body["displayName"] = Name;
            if (members.Count > 0)
                body["members"] = new JsonArray([.. members.Select(m => (JsonNode)new JsonObject { ["value"] = m.AccountId.ToString(CultureInfo.InvariantCulture), ["$ref"] = $"{address}/Users/{m.AccountId}", ["display"] = m.Name, ["type"] = "User" })]);
            return new ScimResource("Group", Id.ToString(), body, CreatedAt, ChangedAt, $"{address}/Groups/{Id}", Version);
        }
    }
}
