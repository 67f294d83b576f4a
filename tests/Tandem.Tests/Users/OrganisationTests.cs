using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Tandem.Core.Data;
using Tandem.Tests.Modules;

namespace Tandem.Tests.Users;

public sealed class OrganisationTests(UsersFixture fixture) : IClassFixture<UsersFixture>
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    TestApp App => fixture.App;

    static string NewSlug() => $"o{Guid.NewGuid():n}";

    static async Task<string> AddAsync(Person owner, string? slug = null) =>
        (await (await owner.Http.PostAsJsonAsync("/organisations", new { slug = slug ?? NewSlug(), name = "Engines" }, Ct)).JsonAsync(201)).GetProperty("id").GetString()!;

    static async Task ConfirmAsync(TestApp app, params Person[] people)
    {
        foreach (var person in people)
            await app.Db.ExecuteAsync($"update users_accounts set email_verified_at = {DateTime.UtcNow} where id = {person.Id}", Ct);
    }

    static Task<HttpResponseMessage> InviteAsync(Person by, string id, string email, string role = "member") => by.Http.PostAsJsonAsync($"/organisations/{id}/invitations", new { email, role }, Ct);

    static async Task JoinAsync(TestApp app, Person owner, string id, Person person, string role = "member")
    {
        await ConfirmAsync(app, person);
        var invitation = (await (await InviteAsync(owner, id, person.Email, role)).JsonAsync(201)).GetProperty("id").GetString();
        await (await person.Http.PostAsync($"/invitations/{invitation}/acceptance", null, Ct)).JsonAsync();
    }

    static Task<HttpResponseMessage> SetAsync(Person by, string id, Person whom, string role) => by.Http.PutAsJsonAsync($"/organisations/{id}/members/{whom.Id}", new { role }, Ct);

    static Task<HttpResponseMessage> PutOutAsync(Person by, string id, Person whom) => by.Http.DeleteAsync($"/organisations/{id}/members/{whom.Id}", Ct);

    static async Task<Dictionary<long, string>> MembersAsync(Person by, string id) =>
        (await (await by.Http.GetAsync($"/organisations/{id}/members?limit=100", Ct)).JsonAsync()).EnumerateArray().ToDictionary(m => m.GetProperty("user_id").GetInt64(), m => m.GetProperty("role").GetString()!);

    [Fact]
    public async Task Whoever_is_invited_is_mailed_and_joins_with_the_role_that_he_was_invited_to()
    {
        using var owner = await App.PersonAsync();
        using var invited = await App.PersonAsync();
        var slug = NewSlug();
        var id = await AddAsync(owner, slug);

        var answer = await (await InviteAsync(owner, slug, invited.Email.ToUpperInvariant(), "admin")).JsonAsync(201);

        Assert.Equal(["id", "organisation_id", "organisation", "email", "role", "expires_at"], answer.EnumerateObject().Select(p => p.Name));
        Assert.Contains("Engines", (await App.MailAsync(invited.Email, "You are invited to Engines")).Text);
        // Before the e-mail is confirmed it may be somebody else's.
        Assert.Empty((await (await invited.Http.GetAsync("/invitations", Ct)).JsonAsync()).EnumerateArray());
        var acceptance = $"/invitations/{answer.GetProperty("id").GetString()}/acceptance";
        await (await invited.Http.PostAsync(acceptance, null, Ct)).ShouldBeProblemAsync(403, "users/email-unconfirmed");
        await ConfirmAsync(App, invited);
        Assert.Equal("Engines", Assert.Single((await (await invited.Http.GetAsync("/invitations", Ct)).JsonAsync()).EnumerateArray()).GetProperty("organisation").GetString());
        var joined = await (await invited.Http.PostAsync(acceptance, null, Ct)).JsonAsync();
        Assert.Equal((slug, "admin"), (joined.GetProperty("slug").GetString(), joined.GetProperty("role").GetString()));
        await (await invited.Http.PostAsync(acceptance, null, Ct)).ShouldBeProblemAsync(404, "users/invitation-not-found");
        Assert.Equal(new() { [owner.Id] = "owner", [invited.Id] = "admin" }, await MembersAsync(invited, id));
        Assert.Equal(id, Assert.Single((await (await invited.Http.GetAsync("/organisations", Ct)).JsonAsync()).EnumerateArray()).GetProperty("id").GetString());
        await (await InviteAsync(owner, id, invited.Email)).ShouldBeProblemAsync(409, "users/already-a-member");
    }

    [Fact]
    public async Task Nobody_else_takes_an_invitation_and_one_that_is_taken_back_declined_or_late_is_none()
    {
        var clock = new FakeTimeProvider(new DateTimeOffset(2026, 1, 31, 12, 0, 0, TimeSpan.Zero));
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<TimeProvider>(clock), settings: ["--Users:InvitationLifetime", "01:00:00"]);
        using var owner = await app.PersonAsync();
        using var invited = await app.PersonAsync();
        using var other = await app.PersonAsync();
        await ConfirmAsync(app, invited, other);
        var id = await AddAsync(owner);
        async Task<string> NewAsync() => (await (await InviteAsync(owner, id, invited.Email)).JsonAsync(201)).GetProperty("id").GetString()!;

        var first = await NewAsync();
        await (await other.Http.PostAsync($"/invitations/{first}/acceptance", null, Ct)).ShouldBeProblemAsync(404, "users/invitation-not-found");
        await (await other.Http.DeleteAsync($"/invitations/{first}", Ct)).ShouldBeProblemAsync(404, "users/invitation-not-found");
        var second = await NewAsync();
        await (await invited.Http.PostAsync($"/invitations/{first}/acceptance", null, Ct)).ShouldBeProblemAsync(404, "users/invitation-not-found");
        await (await owner.Http.DeleteAsync($"/organisations/{id}/invitations/{second}", Ct)).JsonlessAsync(204);
        await (await invited.Http.PostAsync($"/invitations/{second}/acceptance", null, Ct)).ShouldBeProblemAsync(404, "users/invitation-not-found");
        var third = await NewAsync();
        await (await invited.Http.DeleteAsync($"/invitations/{third}", Ct)).JsonlessAsync(204);
        Assert.Empty((await (await owner.Http.GetAsync($"/organisations/{id}/invitations", Ct)).JsonAsync()).EnumerateArray());
        var late = await NewAsync();
        clock.Advance(TimeSpan.FromHours(1));
        using var again = app.With((await app.SignInAsync(invited.Email)).GetProperty("access_token").GetString()!);
        await (await again.PostAsync($"/invitations/{late}/acceptance", null, Ct)).ShouldBeProblemAsync(404, "users/invitation-not-found");
    }

    [Fact]
    public async Task Nobody_gives_or_takes_a_role_above_his_own()
    {
        using var owner = await App.PersonAsync();
        using var admin = await App.PersonAsync();
        using var member = await App.PersonAsync();
        using var stranger = await App.PersonAsync();
        var id = await AddAsync(owner);
        await JoinAsync(App, owner, id, admin, "admin");
        await JoinAsync(App, owner, id, member);

        foreach (var refused in new[]
        {
            await SetAsync(member, id, admin, "member"), await SetAsync(member, id, member, "admin"), await PutOutAsync(member, id, admin), await InviteAsync(member, id, TestUsers.NewEmail()),
            await SetAsync(admin, id, admin, "owner"), await SetAsync(admin, id, owner, "member"), await PutOutAsync(admin, id, owner), await InviteAsync(admin, id, TestUsers.NewEmail(), "owner"),
            await admin.Http.DeleteAsync($"/organisations/{id}", Ct), await member.Http.PatchAsJsonAsync($"/organisations/{id}", new { name = "Mine" }, Ct), await member.Http.GetAsync($"/organisations/{id}/invitations", Ct),
        })
            await refused.ShouldBeProblemAsync(403, "users/role-not-held");
        foreach (var refused in new[]
        {
            await SetAsync(stranger, id, member, "admin"), await PutOutAsync(stranger, id, member), await InviteAsync(stranger, id, TestUsers.NewEmail()), await stranger.Http.GetAsync($"/organisations/{id}", Ct),
            await stranger.Http.GetAsync($"/organisations/{id}/members", Ct), await stranger.Http.DeleteAsync($"/organisations/{id}", Ct),
        })
            await refused.ShouldBeProblemAsync(404, "users/organisation-not-found");
        await (await SetAsync(owner, id, stranger, "member")).ShouldBeProblemAsync(404, "users/not-a-member");

        await (await SetAsync(admin, id, member, "admin")).JsonlessAsync(204);
        await (await PutOutAsync(admin, id, member)).JsonlessAsync(204);
        await (await SetAsync(owner, id, admin, "owner")).JsonlessAsync(204);
        await (await PutOutAsync(owner, id, owner)).JsonlessAsync(204);
        Assert.Equal(new() { [admin.Id] = "owner" }, await MembersAsync(admin, id));
        await (await owner.Http.GetAsync($"/organisations/{id}", Ct)).ShouldBeProblemAsync(404, "users/organisation-not-found");
    }

    [Fact]
    public async Task Of_owners_who_leave_at_once_one_stays()
    {
        using var one = await App.PersonAsync();
        using var two = await App.PersonAsync();
        using var three = await App.PersonAsync();
        for (var round = 0; round < 5; round++)
        {
            var id = await AddAsync(one);
            await JoinAsync(App, one, id, two, "owner");
            await JoinAsync(App, one, id, three, "owner");

            var answers = await Task.WhenAll(PutOutAsync(one, id, one), SetAsync(two, id, two, "admin"), PutOutAsync(three, id, three));

            Assert.Equal(1, answers.Count(a => (int)a.StatusCode == 409));
            await answers.Single(a => (int)a.StatusCode == 409).ShouldBeProblemAsync(409, "users/last-owner");
            Assert.Equal(1, await App.Db.FindAsync<long>($"select count(*) from users_members where organisation_id = {Guid.Parse(id)} and role = 'owner'", Ct));
        }
    }

    [Fact]
    public async Task The_last_owner_among_others_is_not_deleted_and_what_is_his_alone_goes_with_him()
    {
        using var owner = await App.PersonAsync();
        using var member = await App.PersonAsync();
        using var admin = await App.AdministratorAsync();
        var (shared, alone) = (await AddAsync(owner), await AddAsync(owner));
        await JoinAsync(App, owner, shared, member);

        var refused = await (await owner.Http.DeleteAsync($"/users/{owner.Id}", Ct)).ShouldBeProblemAsync(409, "users/last-owner");
        Assert.Contains(shared, refused.GetProperty("detail").GetString());
        await (await owner.Http.PostAsync($"/users/{owner.Id}/erasure", null, Ct)).ShouldBeProblemAsync(409, "users/last-owner");
        await (await admin.Http.DeleteAsync($"/users/{owner.Id}", Ct)).ShouldBeProblemAsync(409, "users/last-owner");
        await (await SetAsync(admin, shared, member, "owner")).JsonlessAsync(204);
        await (await owner.Http.DeleteAsync($"/users/{owner.Id}", Ct)).JsonlessAsync(204);

        Assert.Equal(new() { [member.Id] = "owner" }, await MembersAsync(member, shared));
        await (await admin.Http.GetAsync($"/organisations/{alone}", Ct)).ShouldBeProblemAsync(404, "users/organisation-not-found");
        Assert.Equal(0, await App.Db.FindAsync<long>($"select count(*) from users_members where account_id = {owner.Id}", Ct));
    }

    [Fact]
    public async Task Bad_input_and_full_organisations_are_refused_precisely()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:OrganisationsPerAccount", "2", "--Users:MembersPerOrganisation", "2", "--Users:InvitationsPerOrganisation", "2"]);
        using var owner = await app.PersonAsync();
        using var second = await app.PersonAsync();
        using var third = await app.PersonAsync();
        var (slug, id) = (NewSlug(), await AddAsync(owner));
        foreach (var body in new object[] { new { slug = "A", name = "x" }, new { slug = "a", name = "x" }, new { slug = "1a", name = "x" }, new { slug = "a-", name = "x" }, new { slug = new string('a', 41), name = "x" }, new { slug, name = " " }, new { slug } })
            Assert.Equal(422, (int)(await owner.Http.PostAsJsonAsync("/organisations", body, Ct)).StatusCode);
        foreach (var body in new object[] { new { email = "x", role = "member" }, new { email = TestUsers.NewEmail(), role = "boss" }, new { role = "member" } })
            Assert.Equal(422, (int)(await owner.Http.PostAsJsonAsync($"/organisations/{id}/invitations", body, Ct)).StatusCode);

        await AddAsync(owner, slug);
        await (await owner.Http.PostAsJsonAsync("/organisations", new { slug = NewSlug(), name = "x" }, Ct)).ShouldBeProblemAsync(409, "users/too-many-organisations");
        await (await second.Http.PostAsJsonAsync("/organisations", new { slug, name = "x" }, Ct)).ShouldBeProblemAsync(409, "users/organisation-taken");
        await (await owner.Http.PatchAsJsonAsync($"/organisations/{id}", new { slug }, Ct)).ShouldBeProblemAsync(409, "users/organisation-taken");
        await JoinAsync(app, owner, id, second);
        await ConfirmAsync(app, third);
        var invitation = (await (await InviteAsync(owner, id, third.Email)).JsonAsync(201)).GetProperty("id").GetString();
        await (await third.Http.PostAsync($"/invitations/{invitation}/acceptance", null, Ct)).ShouldBeProblemAsync(409, "users/too-many-members");
        await (await InviteAsync(owner, id, TestUsers.NewEmail())).JsonAsync(201);
        await (await InviteAsync(owner, id, TestUsers.NewEmail())).ShouldBeProblemAsync(409, "users/too-many-invitations");
    }

    [Fact]
    public async Task What_a_module_keeps_for_an_organisation_is_for_those_who_have_the_role()
    {
        await using var app = await TestApp.StartAsync(a => a.Add<InvoicesModule>());
        using var owner = await app.PersonAsync();
        using var member = await app.PersonAsync();
        using var stranger = await app.PersonAsync();
        var id = await AddAsync(owner);
        await JoinAsync(app, owner, id, member);

        Assert.Equal(id, (await (await owner.Http.GetAsync($"/invoices/limits/{id}", Ct)).JsonAsync()).GetProperty("organisation_id").GetString());
        await (await member.Http.GetAsync($"/invoices/limits/{id}", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        await (await stranger.Http.GetAsync($"/invoices/limits/{id}", Ct)).ShouldBeProblemAsync(404, "http/not-found");
        // Without another token.
        await (await SetAsync(owner, id, member, "admin")).JsonlessAsync(204);
        await (await member.Http.GetAsync($"/invoices/limits/{id}", Ct)).JsonAsync();
        await (await PutOutAsync(owner, id, member)).JsonlessAsync(204);
        await (await member.Http.GetAsync($"/invoices/limits/{id}", Ct)).ShouldBeProblemAsync(404, "http/not-found");
    }

    [Fact]
    public async Task Each_change_is_in_the_trail_and_memberships_are_in_the_persons_data()
    {
        await using var app = await TestApp.StartAsync();
        using var owner = await app.PersonAsync();
        using var member = await app.PersonAsync();
        using var admin = await app.AdministratorAsync();
        var id = await AddAsync(owner);
        await JoinAsync(app, owner, id, member);
        await (await SetAsync(owner, id, member, "admin")).JsonlessAsync(204);
        await (await PutOutAsync(owner, id, member)).JsonlessAsync(204);
        await (await owner.Http.DeleteAsync($"/organisations/{id}", Ct)).JsonlessAsync(204);

        var rows = (await (await admin.Http.GetAsync("/audit?limit=100", Ct)).JsonAsync()).EnumerateArray().Where(r => r.GetProperty("object_id").GetString() == id).Select(r => r.GetProperty("event").GetString()).Reverse();
        Assert.Equal(["organisation-created", "member-added", "member-invited", "member-added", "member-role-changed", "member-removed", "organisation-deleted"], rows);

        await AddAsync(owner);
        var held = new List<string>();
        foreach (var source in app.Services.GetServices<Tandem.Core.Contracts.IPersonalData>())
            await foreach (var record in source.ReadAsync(owner.Id, Ct))
                held.Add(record.Kind);
        Assert.Contains("organisations", held);
    }
}
