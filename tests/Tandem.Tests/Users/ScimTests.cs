using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Users;
using Tandem.Users.Audit;
using Tandem.Users.Scim;
using Tandem.Users.Tokens;

namespace Tandem.Tests.Users;

public sealed class ScimTests(UsersFixture fixture) : IClassFixture<UsersFixture>
{
    const string Patch = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Fact]
    public async Task What_Entra_ID_sends_makes_changes_and_deactivates_a_user()
    {
        using var scim = await App.ScimAsync();
        var (email, work, external) = (TestUsers.NewEmail(), TestUsers.NewEmail(), $"{Guid.NewGuid()}");

        // Its test of the connection asks for somebody whom nobody knows.
        var nobody = await scim.GetAsync($"Users?filter=userName+eq+%22{Guid.NewGuid()}%22", Ct);
        Assert.Equal(0, (await nobody.JsonAsync()).GetProperty("totalResults").GetInt32());
        Assert.Equal("application/scim+json", nobody.Content.Headers.ContentType!.MediaType);

        var made = await scim.SendAsync("POST", "Users", $$"""
            {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
                "externalId": "{{external}}", "userName": "{{email}}", "active": true, "displayName": "Ada King",
                "emails": [{"primary": true, "type": "work", "value": "{{work}}"}],
                "meta": {"resourceType": "User"}, "name": {"formatted": "Ada King", "familyName": "King", "givenName": "Ada"}, "title": "Countess",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Engines"}
            }
            """);
        var user = await made.JsonAsync(201);
        var id = user.GetProperty("id").GetString()!;
        Assert.Equal($"{App.Address}/scim/v2/Users/{id}", made.Headers.Location!.ToString());
        Assert.Equal(made.Headers.Location.ToString(), user.GetProperty("meta").GetProperty("location").GetString());
        Assert.Equal("""{"formatted":"Ada King","familyName":"King","givenName":"Ada"}""", user.GetProperty("name").GetRawText());
        Assert.Equal(work, Assert.Single(user.GetProperty("emails").EnumerateArray()).GetProperty("value").GetString());
        Assert.Equal((external, email, "Ada King", true), (user.GetProperty("externalId").GetString(), user.GetProperty("userName").GetString(), user.GetProperty("displayName").GetString(), user.GetProperty("active").GetBoolean()));

        Assert.Equal([id], await scim.IdsAsync("Users", $"userName eq \"{email.ToUpperInvariant()}\""));
        Assert.Equal([id], await scim.IdsAsync("Users", $"externalId eq \"{external}\""));
        Assert.Equal([id], await scim.IdsAsync("Users", $"emails[type eq \"work\"].value eq \"{work}\""));

        var newEmail = TestUsers.NewEmail();
        user = await scim.PatchAsync($"Users/{id}", $$"""
            [{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "{{newEmail}}"},
             {"op": "Add", "path": "name.familyName", "value": "Lovelace"},
             {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "Looms"},
             {"op": "Replace", "path": "displayName", "value": "Ada Lovelace"}]
            """);
        Assert.Equal(newEmail, user.GetProperty("emails")[0].GetProperty("value").GetString());
        Assert.Equal(("Lovelace", "Ada Lovelace"), (user.GetProperty("name").GetProperty("familyName").GetString(), user.GetProperty("displayName").GetString()));

        user = await scim.PatchAsync($"Users/{id}", """[{"op": "Replace", "path": "active", "value": "False"}]""");
        Assert.False(user.GetProperty("active").GetBoolean());
        Assert.True((await scim.PatchAsync($"Users/{id}", """[{"op": "Replace", "value": {"active": "True", "name.givenName": "Augusta"}}]""")).GetProperty("active").GetBoolean());

        Assert.Equal(204, (int)(await scim.DeleteAsync($"Users/{id}", Ct)).StatusCode);
        await (await scim.GetAsync($"Users/{id}", Ct)).ShouldBeScimAsync(404, null);
    }

    [Fact]
    public async Task What_Okta_sends_makes_changes_and_deactivates_a_user()
    {
        using var scim = await App.ScimAsync();
        var email = TestUsers.NewEmail();
        Assert.Empty(await scim.IdsAsync("Users", $"userName eq \"{email}\"", "&startIndex=1&count=100"));
        var body = $$"""
            {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "{{email}}", "name": {"givenName": "Grace", "familyName": "Hopper"},
             "emails": [{"primary": true, "value": "{{email}}", "type": "work"}], "displayName": "Grace Hopper", "locale": "en-US", "externalId": "00ujl29u0le5T6Aj10h7", "groups": [], "password": "1mz050nq!horse", "active": true}
            """;
        var id = (await (await scim.SendAsync("POST", "Users", body)).JsonAsync(201)).GetProperty("id").GetString()!;
        await (await App.PostTokenAsync(email, "1mz050nq!horse")).JsonAsync();

        await (await scim.GetAsync($"Users/{id}", Ct)).JsonAsync();
        var changed = await (await scim.SendAsync("PUT", $"Users/{id}", body.Replace("Hopper", "Murray Hopper"))).JsonAsync();
        Assert.Equal("Murray Hopper", changed.GetProperty("name").GetProperty("familyName").GetString());
        Assert.False(changed.TryGetProperty("password", out _));
        changed = await scim.PatchAsync($"Users/{id}", """[{"op": "replace", "value": {"active": false}}]""");
        Assert.False(changed.GetProperty("active").GetBoolean());
        Assert.Equal(400, (int)(await App.PostTokenAsync(email, "1mz050nq!horse")).StatusCode);
        await (await scim.SendAsync("POST", "Users", body)).ShouldBeScimAsync(409, "uniqueness");
    }

    [Fact]
    public async Task A_group_gains_and_loses_members_as_Entra_ID_and_Okta_say_it()
    {
        using var scim = await App.ScimAsync();
        var (ada, bob, name) = (await scim.AddAsync(), await scim.AddAsync(), $"Engines {Guid.NewGuid()}");
        var made = await (await scim.SendAsync("POST", "Groups", $$"""{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159", "displayName": "{{name}}", "meta": {"resourceType": "Group"} }""")).JsonAsync(201);
        var id = made.GetProperty("id").GetString()!;
        await (await scim.SendAsync("POST", "Groups", $$"""{"displayName": "{{name.ToUpperInvariant()}}"}""")).ShouldBeScimAsync(409, "uniqueness");
        Assert.Equal([id], await scim.IdsAsync("Groups", $"displayName eq \"{name}\"", "&excludedAttributes=members"));

        await scim.PatchAsync($"Groups/{id}", $$"""[{"op": "Add", "path": "members", "value": [{"value": "{{ada}}"}, {"value": "{{bob}}"}]}]""");
        Assert.Equal([ada, bob], await scim.MembersAsync(id));
        var listed = Assert.Single((await (await scim.GetAsync($"Users/{ada}", Ct)).JsonAsync()).GetProperty("groups").EnumerateArray());
        Assert.Equal((id, name), (listed.GetProperty("value").GetString(), listed.GetProperty("display").GetString()));
        Assert.Equal([id], await scim.IdsAsync("Groups", $"members.value eq \"{bob}\""));
        Assert.Equal([id], await scim.IdsAsync("Groups", $"id eq \"{id}\" and members eq \"{ada}\"", "&excludedAttributes=members"));

        await scim.PatchAsync($"Groups/{id}", $$"""[{"op": "Remove", "path": "members", "value": [{"value": "{{ada}}"}]}]""");
        Assert.Equal([bob], await scim.MembersAsync(id));
        await scim.PatchAsync($"Groups/{id}", $$"""[{"op": "remove", "path": "members[value eq \"{{bob}}\"]"}, {"op": "add", "path": "members", "value": [{"value": "{{ada}}", "display": "x"}]}]""");
        Assert.Equal([ada], await scim.MembersAsync(id));
        await scim.PatchAsync($"Groups/{id}", $$"""[{"op": "replace", "value": {"id": "{{id}}", "displayName": "{{name}} 2"} }]""");
        await (await scim.SendAsync("PATCH", $"Groups/{id}", $$"""{"schemas": ["{{Patch}}"], "Operations": [{"op": "add", "path": "members", "value": [{"value": "99999999"}]}]}""")).ShouldBeScimAsync(400, "invalidValue");

        // Whoever is deleted is no member any more.
        await scim.DeleteAsync($"Users/{ada}", Ct);
        Assert.Empty(await scim.MembersAsync(id));
        Assert.Equal(204, (int)(await scim.DeleteAsync($"Groups/{id}", Ct)).StatusCode);
        await App.Services.GetRequiredService<AuditTrail>().SealAsync(Ct);
        var rows = await App.Db.ListAsync<string>($"select event from users_audit where object_id = {Guid.Parse(id)} order by number", Ct);
        Assert.Equal(["group-created", "group-joined", "group-joined", "group-left", "group-left", "group-joined", "group-renamed", "group-deleted"], rows);
        var actors = await App.Db.ListAsync<Guid>($"select distinct credential_id from users_audit where object_id = {Guid.Parse(id)}", Ct);
        Assert.Equal([scim.KeyId], actors);
    }

    [Fact]
    public async Task Only_a_key_with_the_scope_comes_in()
    {
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        Assert.Equal(401, (int)(await App.Http.GetAsync("/scim/v2/Users", Ct)).StatusCode);
        Assert.Equal(403, (int)(await person.Http.GetAsync("/scim/v2/Users", Ct)).StatusCode);
        await (await admin.Http.GetAsync("/scim/v2/Users", Ct)).ShouldBeScimAsync(403, null);
        var (_, other) = (await App.Services.GetRequiredService<ApiKeys>().CreateAsync(admin.Id, new NewKey("other"), ["users:read", "users:write"], Origin.Operator, Ct))!.Value;
        using var script = App.With(other);
        Assert.Equal(403, (int)(await script.GetAsync("/scim/v2/Users", Ct)).StatusCode);
        Assert.Equal(403, (int)(await person.Http.PostAsJsonAsync("/keys", new { name = "mine", scopes = new[] { "scim" } }, Ct)).StatusCode);
    }

    [Fact]
    public async Task A_directory_does_not_become_an_administrator_and_leaves_one()
    {
        await using var app = await TestApp.StartAsync();
        using var scim = await app.ScimAsync();
        var owner = scim.OwnerId;
        var before = await app.Db.FindAsync<string>($"select email || password_hash from users_accounts where id = {owner}", Ct);
        foreach (var (member, value) in new[] { ("userName", TestUsers.NewEmail()), ("password", "another horse battery") })
            await (await scim.SendAsync("PATCH", $"Users/{owner}", $$"""{"schemas": ["{{Patch}}"], "Operations": [{"op": "replace", "path": "{{member}}", "value": "{{value}}"}]}""")).ShouldBeScimAsync(403, null);
        await (await scim.SendAsync("PATCH", $"Users/{owner}", $$"""{"schemas": ["{{Patch}}"], "Operations": [{"op": "replace", "path": "active", "value": false}]}""")).ShouldBeScimAsync(409, null);
        await (await scim.DeleteAsync($"Users/{owner}", Ct)).ShouldBeScimAsync(409, null);
        Assert.Equal(before, await app.Db.FindAsync<string>($"select email || password_hash from users_accounts where id = {owner}", Ct));
    }

    [Fact]
    public async Task Versions_decide_whether_a_change_is_made_and_an_answer_sent()
    {
        using var scim = await App.ScimAsync();
        var id = await scim.AddAsync();
        var first = await scim.GetAsync($"Users/{id}", Ct);
        var version = first.Headers.ETag!.ToString();
        Assert.Equal(version, (await first.JsonAsync()).GetProperty("meta").GetProperty("version").GetString());

        await (await scim.SendAsync("PATCH", $"Users/{id}", $$"""{"Operations": [{"op": "replace", "path": "displayName", "value": "Once"}]}""", version)).JsonAsync();
        await (await scim.SendAsync("PATCH", $"Users/{id}", $$"""{"Operations": [{"op": "replace", "path": "displayName", "value": "Twice"}]}""", version)).ShouldBeScimAsync(412, null);
        Assert.Equal("Once", (await (await scim.GetAsync($"Users/{id}", Ct)).JsonAsync()).GetProperty("displayName").GetString());
    }

    [Fact]
    public async Task It_describes_itself()
    {
        using var scim = await App.ScimAsync();
        var config = await (await scim.GetAsync("ServiceProviderConfig", Ct)).JsonAsync();
        Assert.False(config.GetProperty("bulk").GetProperty("supported").GetBoolean());
        Assert.Equal(["User", "Group"], (await (await scim.GetAsync("ResourceTypes", Ct)).JsonAsync()).GetProperty("Resources").EnumerateArray().Select(r => r.GetProperty("id").GetString()));
        var user = await (await scim.GetAsync("Schemas/urn:ietf:params:scim:schemas:core:2.0:User", Ct)).JsonAsync();
        // What is answered is what is described.
        var id = await scim.AddAsync();
        var answered = (await (await scim.GetAsync($"Users/{id}", Ct)).JsonAsync()).EnumerateObject().Select(p => p.Name).Except(["schemas", "id", "externalId", "meta"]);
        Assert.Subset(user.GetProperty("attributes").EnumerateArray().Select(a => a.GetProperty("name").GetString()!).ToHashSet(), answered.ToHashSet());
    }

    [Fact]
    public async Task A_page_of_a_list_has_what_was_asked_for()
    {
        using var scim = await App.ScimAsync();
        var mark = $"{Guid.NewGuid():n}";
        foreach (var name in (string[])["Cy", "al", "Bo"])
            await (await scim.SendAsync("POST", "Users", $$"""{"userName": "{{TestUsers.NewEmail()}}", "displayName": "{{name}}", "externalId": "{{mark}}"}""")).JsonAsync(201);

        var page = await (await scim.GetAsync($"Users?filter=externalId+eq+%22{mark}%22&sortBy=displayName&sortOrder=descending&startIndex=2&count=1&attributes=displayName,emails.value", Ct)).JsonAsync();

        Assert.Equal((3, 2, 1), (page.GetProperty("totalResults").GetInt32(), page.GetProperty("startIndex").GetInt32(), page.GetProperty("itemsPerPage").GetInt32()));
        var bo = Assert.Single(page.GetProperty("Resources").EnumerateArray());
        Assert.Equal(["schemas", "id", "displayName", "emails"], bo.EnumerateObject().Select(p => p.Name));
        Assert.Equal(["value"], bo.GetProperty("emails")[0].EnumerateObject().Select(p => p.Name));
        Assert.Equal("Bo", bo.GetProperty("displayName").GetString());
        var searched = await (await scim.SendAsync("POST", "Users/.search", $$"""{"filter": "externalId eq \"{{mark}}\"", "count": 0}""")).JsonAsync();
        Assert.Equal((3, 0), (searched.GetProperty("totalResults").GetInt32(), searched.GetProperty("itemsPerPage").GetInt32()));
    }

    [Theory]
    [InlineData("phoneNumbers eq \"1\"", "phoneNumbers")]
    [InlineData("userName", "eq, ne")]
    [InlineData("userName eq ada", "double quotes")]
    [InlineData("(userName eq \"a\"", "\")\"")]
    [InlineData("userName eq \"a", "closing quote")]
    [InlineData("userName eq \"\\ud800\"", "JSON string")]
    [InlineData("userName eq \"\\u0000\"", "U+0000")]
    [InlineData("active gt true", "active can be compared")]
    [InlineData("meta.created gt \"yesterday\"", "a time such as")]
    [InlineData("emails[type eq \"work\"", "\"]\"")]
    public async Task A_filter_that_cannot_be_answered_is_named(string filter, string said)
    {
        using var scim = await App.ScimAsync();
        Assert.Contains(said, await (await scim.GetAsync($"Users?filter={Uri.EscapeDataString(filter)}", Ct)).ShouldBeScimAsync(400, "invalidFilter"));
    }

    [Fact]
    public async Task Filters_are_bounded_in_length_depth_and_number()
    {
        Assert.Throws<ScimException>(() => ScimFilter.Parse(new string('(', 50) + "a pr" + new string(')', 50)));
        Assert.Throws<ScimException>(() => ScimFilter.Parse(string.Join(" or ", Enumerable.Repeat("a pr", 101))));
        Assert.Throws<ScimException>(() => ScimFilter.Parse($"a eq \"{new string('a', 5000)}\""));
        using var scim = await App.ScimAsync();
        await (await scim.GetAsync($"Users?filter={Uri.EscapeDataString(string.Join(" or ", Enumerable.Repeat("not (emails pr)", 100)))}", Ct)).JsonAsync();
    }

    [Fact]
    public async Task No_filter_and_no_patch_however_broken_is_a_fault_of_the_server()
    {
        using var scim = await App.ScimAsync();
        var (id, random) = (await scim.AddAsync(), new Random(20260131));
        string[] filters = ["userName eq \"a\" and not (active eq true or emails[type eq \"work\" and value co \"@x\"])", "meta.lastModified gt \"2026-01-01T00:00:00Z\" and id eq \"12\"", "groups.value eq \"0\" or name.givenName sw \"é\\u00e9\""];
        string[] patches =
        [
            """{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "a@example.com"}]}""",
            """{"Operations": [{"op": "add", "value": {"active": "True", "name": {"givenName": "A"}, "emails": [{"value": "a@example.com", "primary": true}]}}, {"op": "remove", "path": "name.familyName"}]}""",
            """{"Operations": [{"op": "remove", "path": "members[value eq \"1\"]"}, {"op": "add", "path": "members", "value": [{"value": "1"}]}]}""",
        ];
        var group = (await (await scim.SendAsync("POST", "Groups", $$"""{"displayName": "{{Guid.NewGuid()}}"}""")).JsonAsync(201)).GetProperty("id").GetString();
        var refused = 0;
        for (var i = 0; i < 900; i++)
        {
            var response = (i % 3) switch
            {
                0 => await scim.GetAsync($"Users?filter={Uri.EscapeDataString(Bend(filters[random.Next(filters.Length)]))}", Ct),
                1 => await scim.SendAsync("PATCH", $"Users/{id}", Bend(patches[random.Next(patches.Length)])),
                _ => await scim.SendAsync("PATCH", $"Groups/{group}", Bend(patches[random.Next(patches.Length)])),
            };
            Assert.True((int)response.StatusCode is 200 or (>= 400 and < 500), $"{(int)response.StatusCode}: {await response.Content.ReadAsStringAsync(Ct)}");
            if ((int)response.StatusCode == 400)
            {
                refused++;
                Assert.Equal("400", (await response.JsonAsync(400)).GetProperty("status").GetString());
            }
        }

        Assert.InRange(refused, 300, 899);

        string Bend(string text)
        {
            var bent = new StringBuilder(text);
            for (var n = random.Next(1, 4); n > 0; n--)
            {
                var at = random.Next(bent.Length);
                switch (random.Next(4))
                {
                    case 0:
                        bent.Remove(at, Math.Min(bent.Length - at, random.Next(1, 6)));
                        break;
                    case 1:
                        bent.Insert(at, """()[]".,:\0 é{}"""[random.Next(14)]);
                        break;
                    case 2:
                        bent.Insert(at, bent.ToString(at, Math.Min(bent.Length - at, random.Next(1, 12))));
                        break;
                    default:
                        bent[at] = (char)random.Next(1, 127);
                        break;
                }

                if (bent.Length == 0)
                    bent.Append('x');
            }

            return bent.ToString();
        }
    }

    [Fact]
    public async Task What_a_directory_says_is_exported_and_goes_with_the_account()
    {
        using var scim = await App.ScimAsync();
        var id = await scim.AddAsync();
        await (await scim.SendAsync("POST", "Groups", $$"""{"displayName": "Exported {{id}}", "members": [{"value": "{{id}}"}]}""")).JsonAsync(201);
        await scim.PatchAsync($"Users/{id}", """[{"op": "add", "path": "externalId", "value": "held"}, {"op": "add", "path": "emails", "value": [{"value": "held@example.com", "type": "other"}]}]""");

        var records = new List<string>();
        foreach (var holder in App.Services.GetServices<Tandem.Core.Contracts.IPersonalData>().Where(h => h.Name == "users"))
            await foreach (var record in holder.ReadAsync(long.Parse(id), Ct))
                records.Add($"{record}");

        var all = string.Join('\n', records);
        Assert.All(["held", "held@example.com", $"Exported {id}"], said => Assert.Contains(said, all));
        await scim.DeleteAsync($"Users/{id}", Ct);
        foreach (var table in (string[])["users_directory", "users_directory_emails", "users_group_members"])
            Assert.Equal(0, await App.Db.FindAsync<long>($"select count(*) from {Tandem.Core.Data.Sql.Raw(table)} where account_id = {long.Parse(id)}", Ct));
    }
}

static class ScimClient
{
    /// <summary>A directory with its key.</summary>
    public static async Task<ScimHttp> ScimAsync(this TestApp app)
    {
        var admin = await app.AdministratorAsync();
        var (key, text) = (await app.Services.GetRequiredService<ApiKeys>().CreateAsync(admin.Id, new NewKey("directory"), [ScimEndpoints.Scope], Origin.Operator, TestContext.Current.CancellationToken))!.Value;
        return new ScimHttp(admin.Id, key.Id) { BaseAddress = new Uri($"{app.Address}/scim/v2/"), DefaultRequestHeaders = { Authorization = new("Bearer", text) } };
    }

    /// <returns>The detail.</returns>
    public static async Task<string> ShouldBeScimAsync(this HttpResponseMessage response, int status, string? type)
    {
        var body = await response.JsonAsync(status);
        Assert.Equal("application/scim+json", response.Content.Headers.ContentType!.MediaType);
        Assert.Equal("urn:ietf:params:scim:api:messages:2.0:Error", body.GetProperty("schemas")[0].GetString());
        Assert.Equal($"{status}", body.GetProperty("status").GetString());
        Assert.Equal(type, body.TryGetProperty("scimType", out var found) ? found.GetString() : null);
        return body.GetProperty("detail").GetString()!;
    }
}

sealed class ScimHttp(long ownerId, Guid keyId) : HttpClient
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public long OwnerId => ownerId;

    public Guid KeyId => keyId;

    public Task<HttpResponseMessage> SendAsync(string method, string path, string json, string? ifMatch = null)
    {
        var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = new StringContent(json, Encoding.UTF8, "application/scim+json") };
        if (ifMatch is not null)
            request.Headers.TryAddWithoutValidation("If-Match", ifMatch);
        return SendAsync(request, Ct);
    }

    public async Task<JsonElement> PatchAsync(string path, string operations) =>
        await (await SendAsync("PATCH", path, $$"""{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": {{operations}} }""")).JsonAsync();

    public async Task<string[]> IdsAsync(string kind, string filter, string more = "") =>
        [.. (await (await GetAsync($"{kind}?filter={Uri.EscapeDataString(filter)}{more}", Ct)).JsonAsync()).GetProperty("Resources").EnumerateArray().Select(r => r.GetProperty("id").GetString()!)];

    public async Task<string> AddAsync() => (await (await SendAsync("POST", "Users", $$"""{"userName": "{{TestUsers.NewEmail()}}"}""")).JsonAsync(201)).GetProperty("id").GetString()!;

    public async Task<string[]> MembersAsync(string group) => (await (await GetAsync($"Groups/{group}", Ct)).JsonAsync()).TryGetProperty("members", out var members)
        ? [.. members.EnumerateArray().Select(m => m.GetProperty("value").GetString()!)] : [];
}
