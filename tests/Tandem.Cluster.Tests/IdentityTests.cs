using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Roles;
using Tandem.Users.Audit;

namespace Tandem.Cluster.Tests;

public sealed class IdentityTests
{
    const string Served = "users,inference,reports,realtime,items,app";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_role_checks_the_token_again_and_believes_nothing_that_is_said_around_it()
    {
        await using var cluster = await Cluster.StartAsync(ForwardingTests.Program);
        var role = await cluster.AddAsync(Served);
        var gateway = await cluster.AddGatewayAsync(role);
        using var person = await gateway.PersonInClusterAsync(role);
        foreach (var app in new[] { gateway, role })
        {
            using var forged = new HttpRequestMessage(HttpMethod.Get, $"/users/{person.Id}");
            forged.Headers.Add("X-Tandem-Account", person.Id.ToString(CultureInfo.InvariantCulture));
            forged.Headers.Add("X-Tandem-Roles", "administrator");
            forged.Headers.Add("X-Tandem-Hop", "1 203.0.113.9 https x");
            await (await app.Http.SendAsync(forged, Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
            using var made = new HttpRequestMessage(HttpMethod.Get, $"/users/{person.Id}");
            made.Headers.Authorization = new AuthenticationHeaderValue("Bearer", person.AccessToken[..^6] + "AAAAAA");
            await (await app.Http.SendAsync(made, Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        }

        // A person who is put out at one process is out at all of them.
        using var deleted = await person.Http.DeleteAsync($"/users/{person.Id}", Ct);
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        using var there = Cluster.With(role, person.AccessToken);
        foreach (var http in new[] { person.Http, there })
            await Eventually.TrueAsync(async () => (await http.GetAsync($"/users/{person.Id}", Ct)).StatusCode == HttpStatusCode.Unauthorized);
    }

    [Fact]
    public async Task An_API_key_goes_through_the_gateway_and_is_worth_nothing_in_any_process_once_it_is_revoked()
    {
        await using var cluster = await Cluster.StartAsync(ForwardingTests.Program);
        var role = await cluster.AddAsync(Served);
        var gateway = await cluster.AddGatewayAsync(role);
        using var person = await gateway.PersonInClusterAsync(role);
        var made = await (await person.Http.PostAsJsonAsync("/keys", new { name = "script" }, Ct)).JsonAsync(201);
        var key = made.GetProperty("key").GetString()!;
        using var there = Cluster.With(role, key);
        using var script = Cluster.With(gateway, key);
        await (await script.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        await (await there.GetAsync($"/users/{person.Id}", Ct)).JsonAsync();
        using var wrong = Cluster.With(gateway, key[..^1] + (key[^1] == 'a' ? 'b' : 'a'));
        await (await wrong.GetAsync($"/users/{person.Id}", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");

        using var revoked = await person.Http.DeleteAsync($"/keys/{made.GetProperty("id").GetString()}", Ct);
        Assert.Equal(HttpStatusCode.NoContent, revoked.StatusCode);

        foreach (var http in new[] { script, there })
            await Eventually.TrueAsync(async () => (await http.GetAsync($"/users/{person.Id}", Ct)).StatusCode == HttpStatusCode.Unauthorized);
        // Both processes met it for the first time, and it was its first use once.
        var trail = role.Services.GetRequiredService<AuditTrail>();
        await trail.SealAsync(Ct);
        var told = await trail.FindAsync(new AuditFilter(Subject: person.Id), null, 100, Ct);
        Assert.Equal(["key-revoked", "key-first-used", "key-created"], told.Take(3).Select(e => e.Event));
        Assert.Null((await trail.VerifyAsync(null, Ct)).Broken);
    }

    [Fact]
    public async Task A_role_knows_the_client_and_not_the_gateway_and_handlers_never_see_how()
    {
        await using var cluster = await Cluster.StartAsync(ForwardingTests.Program);
        var role = await cluster.AddAsync(Served);
        var gateway = await cluster.AddGatewayAsync(role, "--Gateway:TrustedProxies:0", "127.0.0.0/8");
        using var request = Request(("X-Forwarded-For", "198.51.100.7, 203.0.113.2"), ("X-Forwarded-Proto", "https"), ("X-Tandem-Account", "1"), ("Forwarded", "for=192.0.2.1"));
        request.Headers.Host = "api.example.com";
        var seen = await (await gateway.Http.SendAsync(request, Ct)).JsonAsync();
        Assert.Equal("203.0.113.2", Text(seen, "address"));
        Assert.Equal("203.0.113.2", Text(seen, "forwarded"));
        Assert.Equal("https", Text(seen, "scheme"));
        Assert.Equal("api.example.com", Text(seen, "host"));
        Assert.Equal("", Text(seen, "hop"));
        Assert.Equal("", Text(seen, "account"));

        // Without a proxy that it trusts the gateway believes the connection, and so does the role.
        var plain = await cluster.AddGatewayAsync(role);
        using var claimed = Request(("X-Forwarded-For", "203.0.113.2"));
        Assert.Equal("127.0.0.1", Text(await (await plain.Http.SendAsync(claimed, Ct)).JsonAsync(), "address"));
        using var direct = Request(("X-Forwarded-For", "203.0.113.2"));
        Assert.Equal("127.0.0.1", Text(await (await role.Http.SendAsync(direct, Ct)).JsonAsync(), "address"));
    }

    [Fact]
    public async Task What_a_gateway_says_of_the_client_cannot_be_made_up()
    {
        await using var cluster = await Cluster.StartAsync(ForwardingTests.Program);
        var role = await cluster.AddAsync(Served);
        var gateway = await cluster.AddGatewayAsync(role);
        var hop = gateway.Services.GetRequiredService<Hop>();
        var right = hop.Sign(IPAddress.Parse("203.0.113.9"), "https");
        Assert.Equal("203.0.113.9", await SaidAsync(role, right));

        var parts = right.Split(' ');
        var old = new Hop(gateway.Db, new Past(), Microsoft.Extensions.Logging.Abstractions.NullLogger<Hop>.Instance);
        await old.StartAsync(Ct);
        string[] wrong =
        [
            "", " ", "x", parts[0], right[..^1], right + "A", right.ToUpperInvariant(),
            $"{parts[0]} 198.51.100.1 {parts[2]} {parts[3]}",
            $"{parts[0]} {parts[1]} http {parts[3]}",
            $"{long.Parse(parts[0]) + 1} {parts[1]} {parts[2]} {parts[3]}",
            $"{parts[0]} {parts[1]} {parts[2]} {new string('A', parts[3].Length)}",
            old.Sign(IPAddress.Parse("203.0.113.9"), "https"),
            new string('9', 10_000),
        ];
        foreach (var forged in wrong)
            Assert.Equal("127.0.0.1", await SaidAsync(role, forged));
        // What the outside talks to believes nobody, not even with the right signature.
        Assert.Equal("127.0.0.1", await SaidAsync(gateway, right));
    }

    [Fact]
    public async Task Limits_count_the_client_at_the_gateway_once_and_at_the_role_by_its_own_address()
    {
        await using var cluster = await Cluster.StartAsync(ForwardingTests.Program);
        var role = await cluster.AddAsync(Served, "--Users:SignUpsPerMinutePerAddress", "1", "--Gateway:RateLimit:PermitsPerMinute", "1");
        var gateway = await cluster.AddGatewayAsync(role, "--Gateway:TrustedProxies:0", "127.0.0.0/8", "--Gateway:RateLimit:PermitsPerMinute", "3");
        Assert.Equal(HttpStatusCode.Created, (await SignUpAsync("203.0.113.1")).StatusCode);
        Assert.Equal(HttpStatusCode.Created, (await SignUpAsync("203.0.113.2")).StatusCode);
        var second = await SignUpAsync("203.0.113.1");
        Assert.StartsWith("\"sign-up\"", second.Headers.GetValues("RateLimit").Single());
        await second.ShouldBeProblemAsync(429, "http/too-many-requests");
        Assert.Equal(429, (int)(await SignUpAsync("203.0.113.1")).StatusCode);
        var fourth = await SignUpAsync("203.0.113.1");
        Assert.StartsWith("\"gateway\"", fourth.Headers.GetValues("RateLimit").Single());

        Task<HttpResponseMessage> SignUpAsync(string address)
        {
            var request = new HttpRequestMessage(HttpMethod.Post, "/users")
            {
                Content = JsonContent.Create(new { email = TestUsers.NewEmail(), name = "Ada", password = TestUsers.Password }),
            };
            request.Headers.Add("X-Forwarded-For", address);
            return gateway.Http.SendAsync(request, Ct);
        }
    }

    [Fact]
    public async Task The_link_of_a_first_start_works_whichever_process_printed_it_and_whichever_is_asked()
    {
        await using var cluster = await Cluster.StartAsync(ForwardingTests.Program);
        var (one, two) = (await cluster.AddAsync("users"), await cluster.AddAsync("users"));
        var gateway = await cluster.AddAsync("gateway", "--Gateway:Roles:users:Addresses:0", two.Address);
        foreach (var printer in new[] { one, two, gateway })
        {
            var line = await printer.Services.GetServices<IStartNotice>().Single().LineAsync(printer.Address, Ct);
            Assert.NotNull(line);
            Assert.StartsWith($"first    {printer.Address}/setup?token=", line);
            var page = line[line.IndexOf("/setup", StringComparison.Ordinal)..].Split(' ')[0];
            foreach (var asked in new[] { one, two, gateway })
                Assert.Equal(HttpStatusCode.OK, (await asked.Http.GetAsync(page, Ct)).StatusCode);
        }

        Assert.Empty((await cluster.AddAsync("inference")).Services.GetServices<IStartNotice>());
    }

    static async Task<string?> SaidAsync(TestApp app, string hop)
    {
        using var request = Request(("X-Tandem-Hop", hop));
        return Text(await (await app.Http.SendAsync(request, Ct)).JsonAsync(), "address");
    }

    static HttpRequestMessage Request(params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, "/client");
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        return request;
    }

    static string? Text(JsonElement json, string name) => json.GetProperty(name).GetString();

    sealed class Past : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => System.GetUtcNow() - TimeSpan.FromMinutes(2);
    }
}
