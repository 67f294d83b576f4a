using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Tandem.Core.Data;

namespace Tandem.Tests.Users;

public sealed class UserTests(UsersFixture fixture) : IClassFixture<UsersFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    [Fact]
    public async Task A_person_reads_itself()
    {
        using var person = await App.PersonAsync();

        var user = await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        Assert.Equal(["id", "email", "name", "created_at", "is_active"], user.EnumerateObject().Select(p => p.Name));
        Assert.Equal(person.Id, user.GetProperty("id").GetInt64());
        Assert.Equal(person.Email, user.GetProperty("email").GetString());
    }

    [Fact]
    public async Task Another_persons_id_is_403_whether_or_not_it_exists()
    {
        using var person = await App.PersonAsync();
        using var other = await App.PersonAsync();
        foreach (var id in new[] { other.Id, 999_999_999 })
        {
            await (await person.Http.GetAsync($"/users/{id}", Ct)).ShouldBeProblemAsync(403, "users/not-yours");
            await (await person.Http.PatchAsJsonAsync($"/users/{id}", new { name = "X" }, Ct)).ShouldBeProblemAsync(403, "users/not-yours");
            await (await person.Http.DeleteAsync($"/users/{id}", Ct)).ShouldBeProblemAsync(403, "users/not-yours");
        }

        await (await other.Http.GetAsync($"/users/{other.Id}", Ct)).JsonAsync();
    }

    [Fact]
    public async Task An_administrator_reads_and_changes_others_and_learns_who_is_not_there()
    {
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();

        await (await admin.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        var changed = await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { name = "Grace" }, Ct)).JsonAsync();
        Assert.Equal("Grace", changed.GetProperty("name").GetString());

        foreach (var missing in new[] { await admin.Http.GetAsync("/users/999999999", Ct), await admin.Http.PatchAsJsonAsync("/users/999999999", new { name = "X" }, Ct), await admin.Http.DeleteAsync("/users/999999999", Ct) })
            Assert.Equal("User not found", (await missing.ShouldBeProblemAsync(404, "users/not-found")).GetProperty("detail").GetString());
    }

    [Theory]
    [InlineData("GET", "/users")]
    [InlineData("GET", "/users/1")]
    [InlineData("PATCH", "/users/1")]
    [InlineData("DELETE", "/users/1")]
    public async Task Without_a_token_it_is_401(string method, string path)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = method == "PATCH" ? JsonContent.Create(new { name = "X" }) : null };

        var response = await App.Http.SendAsync(request, Ct);

        await response.ShouldBeProblemAsync(401, "http/unauthorized");
        Assert.Equal("Bearer", response.Headers.WwwAuthenticate.ToString());
    }

    [Theory]
    [InlineData("abc")]
    [InlineData("1.5")]
    [InlineData("99999999999999999999")]
    public async Task An_id_that_is_no_integer_is_422(string id)
    {
        using var person = await App.PersonAsync();

        var problem = await (await person.Http.GetAsync($"/users/{id}", Ct)).ShouldBeProblemAsync(422, "http/invalid");

        Assert.Equal("id", Assert.Single(problem.GetProperty("errors").EnumerateObject()).Name);
    }

    [Fact]
    public async Task Listing_takes_an_administrator()
    {
        using var person = await App.PersonAsync();

        await (await person.Http.GetAsync("/users", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
    }

    [Fact]
    public async Task A_list_is_a_bare_array_with_its_total_and_links_to_the_pages_around()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        for (var i = 0; i < 24; i++)
            await app.Db.ExecuteAsync($"insert into users_accounts (email, name, password_hash, created_at) values ({$"p{i}@example.com"}, {"P"}, {"-"}, {DateTime.UtcNow})", Ct);

        var first = await admin.Http.GetAsync("/users", Ct);
        var firstUsers = await first.JsonAsync();
        Assert.Equal(JsonValueKind.Array, firstUsers.ValueKind);
        Assert.Equal(10, firstUsers.GetArrayLength());
        Assert.Equal(["id", "email", "name", "created_at", "is_active"], firstUsers[0].EnumerateObject().Select(p => p.Name));
        Assert.Equal("25", first.Headers.GetValues("X-Total-Count").Single());
        Assert.Equal("</users?skip=0&limit=10>; rel=\"first\", </users?skip=10&limit=10>; rel=\"next\", </users?skip=20&limit=10>; rel=\"last\"",
            Links(first));

        var middle = await admin.Http.GetAsync("/users?skip=10&limit=10", Ct);
        Assert.Equal("</users?skip=0&limit=10>; rel=\"first\", </users?skip=0&limit=10>; rel=\"prev\", </users?skip=20&limit=10>; rel=\"next\", </users?skip=20&limit=10>; rel=\"last\"",
            Links(middle));

        var last = await admin.Http.GetAsync("/users?skip=20&limit=10", Ct);
        Assert.Equal(5, (await last.JsonAsync()).GetArrayLength());
        Assert.DoesNotContain("next", Links(last));

        var beyond = await admin.Http.GetAsync("/users?skip=1000&limit=10", Ct);
        Assert.Equal(0, (await beyond.JsonAsync()).GetArrayLength());
        Assert.Contains("</users?skip=15&limit=10>; rel=\"prev\"", Links(beyond));

        var ids = new List<long>();
        for (string? next = "/users?limit=7"; next is not null;)
        {
            var page = await admin.Http.GetAsync(next, Ct);
            ids.AddRange((await page.JsonAsync()).EnumerateArray().Select(u => u.GetProperty("id").GetInt64()));
            next = Links(page).Split(", ").SingleOrDefault(l => l.EndsWith("\"next\"", StringComparison.Ordinal))?.Split('>')[0][1..];
        }

        Assert.Equal(25, ids.Distinct().Count());
        Assert.Equal(25, ids.Count);
    }

    [Theory]
    [InlineData("skip=-1", "skip", "must be between 0 and 2147483647")]
    [InlineData("limit=0", "limit", "must be between 1 and 100")]
    [InlineData("limit=101", "limit", "must be between 1 and 100")]
    [InlineData("limit=ten", "limit", "must be an integer, not \"ten\"")]
    [InlineData("skip=1.5", "skip", "must be an integer, not \"1.5\"")]
    [InlineData("skip=99999999999", "skip", "must be an integer, not \"99999999999\"")]
    public async Task A_bad_number_in_the_query_is_422(string query, string field, string message)
    {
        using var admin = await App.AdministratorAsync();

        var problem = await (await admin.Http.GetAsync($"/users?{query}", Ct)).ShouldBeProblemAsync(422, "http/invalid");

        var error = Assert.Single(problem.GetProperty("errors").EnumerateObject());
        Assert.Equal((field, message), (error.Name, error.Value[0].GetString()));
    }

    [Fact]
    public async Task A_field_left_out_of_a_change_stays_as_it_was()
    {
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();
        var before = await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();

        var nothing = await (await person.Http.PatchAsJsonAsync($"/users/{person.Id}", new { }, Ct)).JsonAsync();
        Assert.Equal(before.ToString(), nothing.ToString());

        var renamed = await (await person.Http.PatchAsJsonAsync($"/users/{person.Id}", new { name = "Grace" }, Ct)).JsonAsync();
        Assert.Equal(before.ToString().Replace("\"Ada\"", "\"Grace\""), renamed.ToString());

        var inactive = await (await admin.Http.PatchAsJsonAsync($"/users/{person.Id}", new { is_active = false }, Ct)).JsonAsync();
        Assert.Equal("Grace", inactive.GetProperty("name").GetString());
        Assert.False(inactive.GetProperty("is_active").GetBoolean());
    }

    [Theory]
    [InlineData("name", """{"name":null}""")]
    [InlineData("name", """{"name":""}""")]
    [InlineData("name", """{"name":"  "}""")]
    [InlineData("name", """{"name":7}""")]
    [InlineData("is_active", """{"is_active":null}""")]
    [InlineData("is_active", """{"is_active":"no"}""")]
    [InlineData("body", "null")]
    [InlineData("body", "[]")]
    public async Task A_fault_in_a_change_is_422_and_changes_nothing(string field, string body)
    {
        using var admin = await App.AdministratorAsync();

        var response = await admin.Http.PatchAsync($"/users/{admin.Id}", new StringContent(body, Encoding.UTF8, "application/json"), Ct);

        var problem = await response.ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal(field, Assert.Single(problem.GetProperty("errors").EnumerateObject()).Name);
        Assert.Equal("Ada", (await (await admin.Http.GetAsync($"/users/{admin.Id}", Ct)).JsonAsync()).GetProperty("name").GetString());
    }

    [Fact]
    public async Task A_person_cannot_switch_itself_off_or_on_and_its_name_stays_with_it()
    {
        using var person = await App.PersonAsync();
        foreach (var active in new[] { true, false })
            await (await person.Http.PatchAsJsonAsync($"/users/{person.Id}", new { name = "Grace", is_active = active }, Ct)).ShouldBeProblemAsync(403, "http/forbidden");

        Assert.Equal("Ada", (await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).JsonAsync()).GetProperty("name").GetString());
    }

    [Fact]
    public async Task A_person_deletes_itself_and_is_gone()
    {
        using var admin = await App.AdministratorAsync();
        using var person = await App.PersonAsync();

        var deleted = await person.Http.DeleteAsync($"/users/{person.Id}", Ct);

        Assert.Equal(204, (int)deleted.StatusCode);
        Assert.Equal("", await deleted.Content.ReadAsStringAsync(Ct));
        await (await person.Http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await admin.Http.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(404, "users/not-found");
        await (await App.PostTokenAsync(person.Email)).ShouldBeProblemAsync(400, "users/invalid-grant");
        // The e-mail is free again, the id is not.
        Assert.True(await App.RegisterAsync(person.Email) > person.Id);
    }

    [Fact]
    public async Task The_last_administrator_cannot_be_deleted_or_deactivated()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var person = await app.PersonAsync();

        await (await admin.Http.DeleteAsync($"/users/{admin.Id}", Ct)).ShouldBeProblemAsync(409, "users/last-administrator");
        await (await admin.Http.PatchAsJsonAsync($"/users/{admin.Id}", new { is_active = false }, Ct)).ShouldBeProblemAsync(409, "users/last-administrator");
        await (await admin.Http.PatchAsJsonAsync($"/users/{admin.Id}", new { name = "Still here" }, Ct)).JsonAsync();

        using var second = await app.AdministratorAsync();
        Assert.Equal(204, (int)(await admin.Http.DeleteAsync($"/users/{admin.Id}", Ct)).StatusCode);
        await (await second.Http.DeleteAsync($"/users/{second.Id}", Ct)).ShouldBeProblemAsync(409, "users/last-administrator");
    }

    [Fact]
    public async Task Two_administrators_who_delete_each_other_at_once_leave_one()
    {
        await using var app = await TestApp.StartAsync();
        using var one = await app.AdministratorAsync();
        using var two = await app.AdministratorAsync();

        await Task.WhenAll(one.Http.DeleteAsync($"/users/{two.Id}", Ct), two.Http.DeleteAsync($"/users/{one.Id}", Ct));

        Assert.Equal(1, await app.Db.FindAsync<long>($"select count(*) from users_accounts where is_administrator", Ct));
    }

    [Fact]
    public async Task Every_change_is_an_event_of_its_transaction()
    {
        using var admin = await App.AdministratorAsync();
        var id = await App.RegisterAsync(TestUsers.NewEmail());

        await admin.Http.PatchAsJsonAsync($"/users/{id}", new { name = "Grace" }, Ct);
        await admin.Http.PatchAsJsonAsync($"/users/{id}", new { name = "Grace" }, Ct);
        await admin.Http.PatchAsJsonAsync($"/users/{id}", new { is_active = false }, Ct);
        await admin.Http.PatchAsJsonAsync($"/users/{id}", new { is_active = true, name = "Ada" }, Ct);
        await admin.Http.DeleteAsync($"/users/{id}", Ct);

        await App.SettledAsync();
        Assert.Equal(["users.user-registered", "users.user-renamed", "users.user-deactivated", "users.user-renamed", "users.user-activated", "users.user-deleted"],
            await App.Db.ListAsync<string>($"select name from events_log where key = {id.ToString()} and name like 'users.%' order by position", Ct));
    }

    [Fact]
    public async Task Renaming_beside_other_changes_loses_none_of_them()
    {
        using var admin = await App.AdministratorAsync();
        var id = await App.RegisterAsync(TestUsers.NewEmail());

        for (var round = 0; round < 10; round++)
        {
            var active = round % 2 != 0;
            var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => i == 0
                ? admin.Http.PatchAsJsonAsync($"/users/{id}", new { is_active = active }, Ct)
                : admin.Http.PatchAsJsonAsync($"/users/{id}", new { name = $"Name {round}.{i}" }, Ct)));
            Assert.All(answers, a => Assert.Equal(HttpStatusCode.OK, a.StatusCode));
            var user = await (await admin.Http.GetAsync($"/users/{id}", Ct)).JsonAsync();
            Assert.Equal(active, user.GetProperty("is_active").GetBoolean());
            Assert.StartsWith($"Name {round}.", user.GetProperty("name").GetString());
        }

        await App.SettledAsync();
        var told = await App.Db.ListAsync<string>($"select name from events_log where key = {id.ToString()} and name like 'users.%'", Ct);
        Assert.Equal((70, 10), (told.Count(n => n == "users.user-renamed"), told.Count(n => n is "users.user-activated" or "users.user-deactivated")));
    }

    [Fact]
    public async Task The_number_of_all_accounts_is_exact_while_accounts_come_and_go()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        using var enough = new CancellationTokenSource();
        var reading = Task.Run(async () =>
        {
            while (!enough.IsCancellationRequested)
            {
                // All of them fit on the page, so what is counted and what is there must be the same.
                var page = await admin.Http.GetAsync("/users?limit=100", Ct);
                Assert.Equal(page.Headers.GetValues("X-Total-Count").Single(), $"{(await page.JsonAsync()).GetArrayLength()}");
            }
        }, Ct);
        await Parallel.ForEachAsync(Enumerable.Range(0, 40), new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = Ct }, async (i, ct) =>
        {
            var id = await app.RegisterAsync(TestUsers.NewEmail());
            if (i % 2 == 0)
                Assert.Equal(HttpStatusCode.NoContent, (await admin.Http.DeleteAsync($"/users/{id}", ct)).StatusCode);
        });
        await enough.CancelAsync();
        await reading;

        // Also where somebody writes to the table by hand.
        await app.Db.ExecuteAsync($"""
            insert into users_accounts (email, name, password_hash, created_at)
            select email || '.twin', name, password_hash, created_at from users_accounts where id > 1
            """, Ct);
        Assert.Equal("41", (await admin.Http.GetAsync("/users?limit=1", Ct)).Headers.GetValues("X-Total-Count").Single());
        Assert.Equal("41", (await admin.Http.GetAsync("/users?skip=1000", Ct)).Headers.GetValues("X-Total-Count").Single());
    }

    static string Links(HttpResponseMessage response) => string.Join(", ", response.Headers.GetValues("Link"));
}
