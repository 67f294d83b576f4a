using System.Net.Http.Json;
using System.Text.Json;

namespace Tandem.Tests.Users.OpenId;

public sealed class ClientTests(UsersFixture fixture) : IClassFixture<UsersFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Fact]
    public async Task An_administrator_registers_lists_and_removes_clients_and_sees_a_secret_once()
    {
        using var admin = await App.AdministratorAsync();
        var id = $"shop-{Guid.NewGuid():n}";
        var response = await admin.Http.PostAsJsonAsync("/clients", new { id, name = "Shop", redirect_uris = new[] { "https://shop.example.com/cb" } }, Ct);
        var made = await response.JsonAsync(201);
        Assert.Equal($"/clients/{id}", response.Headers.Location?.ToString());
        Assert.True(response.Headers.CacheControl?.NoStore);
        Assert.Equal(43, made.GetProperty("secret").GetString()!.Length);
        Assert.Equal(["authorization_code", "refresh_token"], made.GetProperty("client").GetProperty("grant_types").EnumerateArray().Select(g => g.GetString()));
        await (await admin.Http.PostAsJsonAsync("/clients", new { id, redirect_uris = new[] { "https://other.example.com/cb" } }, Ct)).ShouldBeProblemAsync(409, "users/client-id-taken");

        var one = await (await admin.Http.GetAsync($"/clients/{id}", Ct)).JsonAsync();
        Assert.DoesNotContain("secret", one.GetRawText());
        var list = await admin.Http.GetAsync("/clients?limit=100", Ct);
        Assert.Contains((await list.JsonAsync()).EnumerateArray(), c => c.GetProperty("id").GetString() == id);
        Assert.True(list.Headers.Contains("X-Total-Count"));
        Assert.NotEqual(made.GetProperty("secret").GetString(), await App.Db.FindAsync<string>($"select secret_hash from users_clients where id = {id}", Ct));

        Assert.Equal(204, (int)(await admin.Http.DeleteAsync($"/clients/{id}", Ct)).StatusCode);
        await (await admin.Http.DeleteAsync($"/clients/{id}", Ct)).ShouldBeProblemAsync(404, "users/client-not-found");
        await (await admin.Http.GetAsync($"/clients/{id}", Ct)).ShouldBeProblemAsync(404, "users/client-not-found");
        await (await admin.Http.PatchAsJsonAsync($"/clients/{id}", new { name = "Shop" }, Ct)).ShouldBeProblemAsync(404, "users/client-not-found");
        await App.SettledAsync();
        Assert.Equal(["users.client-registered", "users.client-removed"], await App.Db.ListAsync<string>($"select name from events_log where key = {id} order by position", Ct));
    }

    [Fact]
    public async Task A_client_is_changed_by_what_is_sent()
    {
        using var admin = await App.AdministratorAsync();
        var client = await App.ClientAsync();
        var before = await (await admin.Http.GetAsync($"/clients/{client.Id}", Ct)).JsonAsync();

        var after = await (await PatchAsync(admin, client, new { name = "The better shop", redirect_uris = new[] { "https://shop.example.com/cb" }, is_trusted = false })).JsonAsync();

        Assert.Equal(("The better shop", "https://shop.example.com/cb", false),
            (after.GetProperty("name").GetString(), Assert.Single(after.GetProperty("redirect_uris").EnumerateArray()).GetString(), after.GetProperty("is_trusted").GetBoolean()));
        foreach (var same in new[] { "id", "is_public", "grant_types", "scopes", "post_logout_redirect_uris", "created_at" })
            Assert.Equal(before.GetProperty(same).GetRawText(), after.GetProperty(same).GetRawText());
        Assert.Equal(after.GetRawText(), (await (await admin.Http.GetAsync($"/clients/{client.Id}", Ct)).JsonAsync()).GetRawText());
        // Nothing changes by nothing, and its secret is what it was.
        await (await PatchAsync(admin, client, new { })).JsonAsync();
        await (await App.TokenAsync(client, new() { ["grant_type"] = "authorization_code", ["code"] = "x", ["redirect_uri"] = client.Redirect, ["code_verifier"] = SignIn.Verifier }))
            .ShouldBeProblemAsync(400, "users/invalid-code");
        await App.SettledAsync();
        Assert.Equal(["users.client-registered", "users.client-changed"], await App.Db.ListAsync<string>($"select name from events_log where key = {client.Id} order by position", Ct));
        var row = Assert.Single((await (await admin.Http.GetAsync($"/audit?event=client-changed&actor={admin.Id}", Ct)).JsonAsync()).EnumerateArray());
        Assert.Equal(client.Id, row.GetProperty("reason").GetString());
    }

    [Theory]
    [InlineData("""{"name": " "}""", "name")]
    [InlineData("""{"name": null}""", "name")]
    [InlineData("""{"redirect_uris": []}""", "redirect_uris")]
    [InlineData("""{"redirect_uris": ["http://a.example/cb"]}""", "redirect_uris")]
    [InlineData("""{"grant_types": ["client_credentials"]}""", "redirect_uris")]
    [InlineData("""{"scopes": ["a b"]}""", "scopes")]
    public async Task What_would_make_no_client_changes_none(string body, string field)
    {
        using var admin = await App.AdministratorAsync();
        var client = await App.ClientAsync();
        var before = await admin.Http.GetStringAsync($"/clients/{client.Id}", Ct);

        var problem = await (await admin.Http.PatchAsync($"/clients/{client.Id}", new StringContent(body, System.Text.Encoding.UTF8, "application/json"), Ct)).ShouldBeProblemAsync(422, "http/invalid");

        Assert.True(problem.GetProperty("errors").TryGetProperty(field, out _), problem.GetRawText());
        Assert.Equal(before, await admin.Http.GetStringAsync($"/clients/{client.Id}", Ct));
    }

    [Fact]
    public async Task A_client_with_less_than_before_loses_its_sessions_and_one_with_more_keeps_them()
    {
        using var admin = await App.AdministratorAsync();
        var client = await App.ClientAsync(grants: ["client_credentials"], scopes: ["users:read"]);
        using var http = App.With((await (await App.TokenAsync(client, new() { ["grant_type"] = "client_credentials" })).JsonAsync()).GetProperty("access_token").GetString()!);

        await (await PatchAsync(admin, client, new { scopes = new[] { "users:read", "users:write" } })).JsonAsync();
        await (await http.GetAsync("/users", Ct)).JsonAsync();
        await (await PatchAsync(admin, client, new { scopes = new[] { "users:write" } })).JsonAsync();

        await (await http.GetAsync("/users", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    static Task<HttpResponseMessage> PatchAsync(Person admin, TestClient client, object change) => admin.Http.PatchAsJsonAsync($"/clients/{client.Id}", change, Ct);

    [Fact]
    public async Task Nobody_else_does()
    {
        using var person = await App.PersonAsync();
        await (await person.Http.PatchAsJsonAsync("/clients/shop", new { name = "Mine" }, Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await person.Http.GetAsync("/clients", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await person.Http.PostAsJsonAsync("/clients", new { id = "mine" }, Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await App.Http.GetAsync("/clients", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Theory]
    [InlineData("""{"id": "7", "redirect_uris": ["https://a.example/cb"]}""", "id")]
    [InlineData("""{"id": "Shop", "redirect_uris": ["https://a.example/cb"]}""", "id")]
    [InlineData("""{"id": "shop", "name": " ", "redirect_uris": ["https://a.example/cb"]}""", "name")]
    [InlineData("""{"id": "shop", "redirect_uris": ["http://a.example/cb"]}""", "redirect_uris")]
    [InlineData("""{"id": "shop", "redirect_uris": ["https://*.a.example/cb"]}""", "redirect_uris")]
    [InlineData("""{"id": "shop", "redirect_uris": ["https://a.example/cb#x"]}""", "redirect_uris")]
    [InlineData("""{"id": "shop", "redirect_uris": ["https://a@b.example/cb"]}""", "redirect_uris")]
    [InlineData("""{"id": "shop", "redirect_uris": ["/cb"]}""", "redirect_uris")]
    [InlineData("""{"id": "shop", "redirect_uris": ["https://a.example/c b"]}""", "redirect_uris")]
    [InlineData("""{"id": "shop", "redirect_uris": [null]}""", "redirect_uris")]
    [InlineData("""{"id": "shop", "redirect_uris": ["https://a.example/cb"], "scopes": ["a b"]}""", "scopes")]
    [InlineData("""{"id": "shop", "redirect_uris": ["https://a.example/cb"], "grant_types": ["implicit"]}""", "grant_types")]
    [InlineData("""{"id": "shop", "grant_types": ["authorization_code"]}""", "redirect_uris")]
    [InlineData("""{"id": "shop", "is_public": true}""", "grant_types")]
    public async Task What_is_wrong_with_a_client_is_said_by_its_field(string body, string field)
    {
        using var admin = await App.AdministratorAsync();

        var problem = await (await admin.Http.PostAsync("/clients", new StringContent(body, System.Text.Encoding.UTF8, "application/json"), Ct)).ShouldBeProblemAsync(422, "http/invalid");

        Assert.True(problem.GetProperty("errors").TryGetProperty(field, out _), problem.GetRawText());
    }

    [Fact]
    public async Task The_command_registers_lists_and_removes_beside_a_running_server()
    {
        await using var app = await TestApp.StartAsync();
        var (code, output, error) = await Programs.RunAsync("--data", app.Data, "client", "create", "--id", "shop", "--redirect", "https://a.example/cb", "http://127.0.0.1/cb", "--trusted", "--scope", "openid", "email");
        Assert.Equal((0, ""), (code, error));
        Assert.Matches(@"^Client shop made; its secret, shown this once: [\w-]{43}\n$", output);
        Assert.Equal((0, "Client spa made; it is public and has no secret\n", ""),
            await Programs.RunAsync("--data", app.Data, "client", "create", "--id", "spa", "--redirect", "https://a.example/spa", "--public"));

        var listed = JsonDocument.Parse((await Programs.RunAsync("--data", app.Data, "client", "list", "--json")).Output).RootElement;
        Assert.Equal(["shop", "spa"], listed.EnumerateArray().Select(c => c.GetProperty("id").GetString()));
        Assert.Contains("openid email", (await Programs.RunAsync("--data", app.Data, "client", "list")).Output);
        var spa = new TestClient("spa", null, "https://a.example/spa");
        Assert.Equal(400, (int)(await app.TokenAsync(spa, new() { ["grant_type"] = "authorization_code", ["code"] = "x", ["redirect_uri"] = spa.Redirect, ["code_verifier"] = SignIn.Verifier })).StatusCode);

        Assert.Equal((0, "Client spa is removed and its sessions have ended\n", ""), await Programs.RunAsync("--data", app.Data, "client", "remove", "spa"));
        Assert.Equal(1, (await Programs.RunAsync("--data", app.Data, "client", "remove", "spa")).Code);
        var (wrong, _, said) = await Programs.RunAsync("--data", app.Data, "client", "create", "--id", "x", "--redirect", "http://a.example/cb");
        Assert.Equal(2, wrong);
        Assert.Contains("redirect_uris must be https", said);
        Assert.Equal(1, (await Programs.RunAsync("--data", app.Data, "client", "create", "--id", "shop", "--redirect", "https://a.example/cb")).Code);
    }
}
