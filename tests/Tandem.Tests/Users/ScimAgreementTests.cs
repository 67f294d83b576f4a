using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Tandem.Tests.Deploy;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Users;

/// <summary>Filters and patches beside scim2-parse-filter and scim-patch, libraries of SCIM that others wrote.</summary>
public sealed class ScimAgreementTests(UsersFixture fixture) : IClassFixture<UsersFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <summary>
    /// They compare case, and find no attribute that is absent unlike anything; so the texts are in small letters, and ne is asked of what everybody has.
    /// </summary>
    [Fact]
    public async Task The_same_filters_select_the_same_users()
    {
        SkipUnlessInstalled();
        using var scim = await fixture.App.ScimAsync();
        var (random, mark) = (new Random(20260131), $"{Guid.NewGuid():n}");
        string[] names = ["ada", "bob", "cy", "dora", "o'neil", "é_%"];
        for (var i = 0; i < 40; i++)
        {
            var user = new JsonObject { ["userName"] = $"{names[i % 4]}{i}-{mark}@example.com", ["externalId"] = $"{mark}-{i}", ["displayName"] = names[random.Next(names.Length)], ["active"] = random.Next(3) > 0 };
            if (random.Next(2) == 0)
                user["name"] = new JsonObject { ["givenName"] = names[random.Next(names.Length)], ["familyName"] = names[random.Next(names.Length)] };
            user["emails"] = new JsonArray([.. Enumerable.Range(0, random.Next(1, 4)).Select(n => (JsonNode)new JsonObject { ["value"] = $"{names[random.Next(4)]}{n}@{"xyz"[random.Next(3)]}.example.com", ["type"] = random.Next(2) == 0 ? "work" : "home", ["primary"] = n == 0 })]);
            await (await scim.SendAsync("POST", "Users", user.ToJsonString())).JsonAsync(201);
        }

        var all = (await (await scim.GetAsync($"Users?count=200&filter=externalId+sw+%22{mark}%22", Ct)).JsonAsync()).GetProperty("Resources");
        Assert.Equal(40, all.GetArrayLength());
        List<string> filters = [.. Enumerable.Range(0, 400).Select(_ => Make(3))];

        var theirs = (await OthersAsync(new JsonObject { ["resources"] = JsonNode.Parse(all.GetRawText()), ["filters"] = new JsonArray([.. filters.Select(f => (JsonNode)f)]), ["patches"] = new JsonArray() }))["filters"]!.AsArray();

        var selected = 0;
        foreach (var (i, filter) in filters.Index())
        {
            var ours = await scim.IdsAsync("Users", $"externalId sw \"{mark}\" and ({filter})", "&count=200&attributes=id");
            Assert.True(theirs[i] is not null, $"There it cannot be read: {filter}");
            Assert.True(ours.SequenceEqual(theirs[i]!.AsArray().Select(n => (string)n!)), $"{filter}: {string.Join(' ', ours)} here, {theirs[i]} there");
            selected += ours.Length is > 0 and < 40 ? 1 : 0;
        }

        Assert.True(selected > 200, $"Only {selected} of the filters tell users apart.");

        string Make(int depth) => (depth == 0 ? 0 : random.Next(5)) switch
        {
            1 => $"{Make(depth - 1)} and {Make(depth - 1)}",
            2 => $"{Make(depth - 1)} or {Make(depth - 1)}",
            3 => $"not ({Make(depth - 1)})",
            4 => $"({Make(depth - 1)}) and ({Make(depth - 1)})",
            _ => Leaf(),
        };

        string Leaf() => random.Next(9) switch
        {
            0 => $"active eq {(random.Next(2) == 0 ? "true" : "false")}",
            1 => $"name.{(random.Next(2) == 0 ? "givenName" : "familyName")} pr",
            2 => $"emails[type eq \"{(random.Next(2) == 0 ? "work" : "home")}\" and value {Operator()} \"{Value()}\"]",
            3 => $"emails[primary eq true and not (value co \"{"xyz"[random.Next(3)]}.ex\")]",
            4 => $"emails.value {Operator()} \"{Value()}\"",
            5 => $"name.givenName {Operator()} \"{Value()}\"",
            6 => $"displayName {(random.Next(4) == 0 ? "ne" : Operator())} \"{Value()}\"",
            7 => $"userName {Operator()} \"{Value()}\"",
            _ => $"DISPLAYNAME sw \"{Value()[..1]}\"",
        };

        string Operator() => ((string[])["eq", "co", "sw", "ew", "gt", "ge", "lt", "le"])[random.Next(8)];

        string Value() => ((string[])[.. names, "a", "o", "y", "example.com", "ada0@x.example.com", "_"])[random.Next(names.Length + 6)];
    }

    [Fact]
    public async Task The_same_patches_make_the_same_of_a_user()
    {
        SkipUnlessInstalled();
        using var scim = await fixture.App.ScimAsync();
        var (random, id, email) = (new Random(20260201), await scim.AddAsync(), TestUsers.NewEmail());
        var start = $$"""
            {"userName": "{{email}}", "displayName": "Ada", "externalId": "e-1", "active": true, "name": {"formatted": "Ada King", "givenName": "Ada", "familyName": "King"},
             "emails": [{"value": "w@example.com", "type": "work", "primary": true}, {"value": "h@example.com", "type": "home", "primary": false}]}
            """;
        string[] operations =
        [
            """{"op": "replace", "path": "displayName", "value": "Ada L."}""",
            """{"op": "Replace", "path": "name.givenName", "value": "Augusta"}""",
            """{"op": "add", "path": "name.familyName", "value": "Lovelace"}""",
            """{"op": "add", "path": "urn:ietf:params:scim:schemas:core:2.0:User:externalId", "value": "e-2"}""",
            """{"op": "remove", "path": "name.formatted"}""",
            """{"op": "remove", "path": "externalId"}""",
            """{"op": "replace", "path": "name", "value": {"familyName": "Byron"}}""",
            """{"op": "add", "value": {"displayName": "Countess", "externalId": "e-3"}}""",
            """{"op": "replace", "value": {"active": false}}""",
            """{"op": "Replace", "path": "active", "value": true}""",
            """{"op": "replace", "path": "emails[type eq \"work\"].value", "value": "w2@example.com"}""",
            """{"op": "Add", "path": "emails[type eq \"other\"].value", "value": "o@example.com"}""",
            """{"op": "replace", "path": "emails[type eq \"other\"].value", "value": "o2@example.com"}""",
            """{"op": "replace", "path": "emails[value eq \"h@example.com\"]", "value": {"value": "h2@example.com"}}""",
            """{"op": "remove", "path": "emails[type eq \"home\"]"}""",
            """{"op": "remove", "path": "emails[type eq \"home\" and value co \"2\"]"}""",
            """{"op": "add", "path": "emails", "value": [{"value": "n@example.com", "type": "new", "primary": false}]}""",
            """{"op": "replace", "path": "emails", "value": [{"value": "only@example.com", "type": "work", "primary": true}]}""",
            """{"op": "remove", "path": "emails"}""",
            """{"op": "frobnicate", "path": "displayName", "value": "x"}""",
            """{"op": "remove"}""",
        ];
        var (cases, ours) = (new JsonArray(), new List<string?>());
        for (var i = 0; i < 250; i++)
        {
            var patch = $"[{string.Join(',', Enumerable.Range(0, random.Next(1, 5)).Select(_ => operations[random.Next(operations.Length)]))}]";
            var before = await (await scim.SendAsync("PUT", $"Users/{id}", start)).JsonAsync();
            cases.Add(new JsonObject { ["resource"] = JsonNode.Parse(before.GetRawText()), ["operations"] = JsonNode.Parse(patch) });
            var response = await scim.SendAsync("PATCH", $"Users/{id}", $$"""{"Operations": {{patch}} }""");
            ours.Add((int)response.StatusCode == 400 ? null : Told(JsonNode.Parse((await response.JsonAsync()).GetRawText())!));
        }

        var asked = cases.Select(c => c!["operations"]!.ToJsonString()).ToList();
        var theirs = (await OthersAsync(new JsonObject { ["resources"] = new JsonArray(), ["filters"] = new JsonArray(), ["patches"] = cases }))["patches"]!.AsArray();

        var unlike = asked.Index().Where(a => !MayDiffer(a.Item, ours[a.Index], theirs[a.Index]) && ours[a.Index] != (theirs[a.Index] is { } there ? Told(there) : null)).Select(a => $"{a.Item}:\n  {ours[a.Index]} here\n  {(theirs[a.Index] is { } there ? Told(there) : null)} there").ToList();
        Assert.True(unlike.Count == 0, $"{unlike.Count}\n{string.Join('\n', unlike.Take(8))}");
        Assert.InRange(ours.Count(o => o is null), 20, 150);

        // To remove from a list that is gone already is refused there; directories repeat themselves, and here it is done.
        static bool MayDiffer(string patch, string? ours, JsonNode? theirs) => ours is not null && theirs is null && patch.Contains("\"remove\",\"path\":\"emails\"") && patch.Contains("\"remove\",\"path\":\"emails[");

        // Without e-mails of the directory's our answer has the account's own, and theirs none.
        string Told(JsonNode user)
        {
            var emails = (user["emails"]?.AsArray() ?? []).Where(e => (string?)e!["value"] != email).Select(e => $"{e!["value"]} {e["type"]} {(bool?)e["primary"] ?? false}");
            return $"{user["displayName"]}|{user["externalId"]}|{user["active"]}|{user["name"]?["formatted"]}|{user["name"]?["givenName"]}|{user["name"]?["familyName"]}|{string.Join(',', emails)}";
        }
    }

    static void SkipUnlessInstalled() =>
        Assert.SkipUnless(Directory.Exists(Path.Combine(Repository.Root, "artifacts", "tools", "node_modules", "scim-patch")), "What tests/tools names is not installed; ./test does that.");

    static async Task<JsonNode> OthersAsync(JsonObject asked)
    {
        var (code, said, error) = await Tools.RunAsync(new ProcessStartInfo("node", [Path.Combine(Repository.Root, "tests", "tools", "scim.mjs")]), asked.ToJsonString());
        Assert.True(code == 0, error);
        return JsonNode.Parse(said)!; // it prints an object
    }
}
