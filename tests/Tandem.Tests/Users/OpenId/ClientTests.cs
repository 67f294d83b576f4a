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
        await App.SettledAsync();
        Assert.Equal(["users.client-registered", "users.client-removed"], await App.Db.ListAsync<string>($"select name from events_log where key = {id} order by position", Ct));
    }

    [Fact]
    public async Task Nobody_else_does()
    {
        using var person = await App.PersonAsync();
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
