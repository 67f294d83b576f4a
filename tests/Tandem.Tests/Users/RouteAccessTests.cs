using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Jobs;
using Tandem.Tests.Users.OpenId;
using Tandem.Users;
using Tandem.Users.Audit;
using Tandem.Users.OpenId;
using Tandem.Users.Organisations;
using Tandem.Users.Tokens;
using SignIn = Tandem.Tests.Users.OpenId.SignIn;

namespace Tandem.Tests.Users;

/// <summary>
/// Who gets what where: every operation of the program's own OpenAPI document, asked by everybody there is about things that are somebody's. The
/// status that each must get is a table, and an operation that it does not name fails: no route is added without saying whose it is.
/// </summary>
public sealed class RouteAccessTests(RouteAccessTests.Program program) : IClassFixture<RouteAccessTests.Program>
{
    const string EveryScope = "users:read users:write clients:read clients:write audit:read scim";

    // What a path names belongs to the owner where it can; where it names nothing, it is about the caller's own.
    //   nobody    no token
    //   other     a person signed in, whose nothing of it is
    //   owner     whose it is
    //   key       an API key of the owner
    //   client    a client that the owner has signed in to, and that may know who that is
    //   app       a client that may use the API in the owner's name
    //   operator  an API key with every scope there is
    //   admin     an administrator
    static readonly string[] Callers = ["nobody", "other", "owner", "key", "client", "app", "operator", "admin"];

    // One status: everybody's.
    const string Table = """
        GET /                                                  200
        GET /openapi/v1.json                                   200
        GET /health                                            200
        GET /health/ready                                      200
        GET /metrics                                           401 403 403 403 401 403 403 200
        GET /.well-known/jwks                                  200
        GET /.well-known/oauth-authorization-server            200
        GET /.well-known/openid-configuration                  200
        POST /token                                            400
        GET /authorize                                         400
        POST /authorize                                        400
        GET /logout                                            200
        POST /logout                                           200
        GET /userinfo                                          401 403 403 401 200 200 401 403
        POST /userinfo                                         401 403 403 401 200 200 401 403
        POST /introspect                                       401
        POST /revoke                                           401
        POST /auth/code                                        202
        POST /auth/confirmation                                401 400 400 403 401 403 403 400
        POST /auth/email                                       401 202 202 403 401 403 403 202
        POST /auth/email/confirmation                          400
        POST /auth/email/verification                          202
        GET /auth/me                                           401 200 200 403 401 403 403 200
        POST /auth/password                                    400
        PUT /auth/password                                     401 204 204 403 401 403 403 204
        POST /auth/password/reset                              202
        POST /auth/recovery-codes                              401 404 200 403 401 403 403 404
        POST /auth/totp                                        401 200 200 403 401 403 403 200
        DELETE /auth/totp                                      401 404 204 403 401 403 403 404
        POST /auth/passkey/options                             200
        GET /auth/passkeys                                     401 200 200 403 401 403 403 200
        POST /auth/passkeys                                    401 422 422 422 401 422 422 422
        POST /auth/passkeys/options                            401 200 200 403 401 403 403 200
        PATCH /auth/passkeys/{id}                              401 404 200 403 401 403 403 404
        DELETE /auth/passkeys/{id}                             401 404 204 403 401 403 403 404
        POST /auth/upstream/{name}/link                        401 404 404 403 401 403 403 404
        GET /auth/upstreams                                    401 200 200 403 401 403 403 200
        DELETE /auth/upstreams/{id}                            401 404 204 403 401 403 403 404
        POST /par                                              400
        POST /device/code                                      400
        POST /auth/totp/confirmation                           401 400 400 403 401 403 403 400
        GET /users                                             401 403 403 403 401 403 200 200
        POST /users                                            201
        GET /users/{id}                                        401 403 200 200 401 200 200 200
        PATCH /users/{id}                                      401 403 200 200 401 200 200 200
        DELETE /users/{id}                                     401 403 204 403 401 403 204 204
        POST /users/{id}/export                                401 403 202 403 401 403 202 202
        GET /users/{id}/export                                 401 403 404 403 401 403 404 404
        POST /users/{id}/erasure                               401 403 202 403 401 403 202 202
        GET /users/{id}/keys                                   401 403 403 403 401 403 200 200
        POST /users/{id}/keys                                  401 403 403 403 401 403 403 201
        DELETE /users/{id}/keys/{key}                          401 403 403 403 401 403 204 204
        GET /users/{id}/sessions                               401 403 403 403 401 403 200 200
        POST /users/{id}/impersonation                         401 403 403 403 401 403 403 200
        DELETE /users/{id}/impersonation                       401 403 403 403 401 403 403 204
        DELETE /users/{id}/sessions                            401 403 403 403 401 403 204 204
        GET /sessions                                          401 200 200 403 401 403 403 200
        DELETE /sessions                                       401 204 204 403 401 403 403 204
        DELETE /sessions/{id}                                  401 404 204 403 401 403 403 404
        GET /keys                                              401 200 200 403 401 403 403 200
        POST /keys                                             401 201 201 403 401 403 403 201
        DELETE /keys/{id}                                      401 404 204 403 401 403 403 404
        GET /clients                                           401 403 403 403 401 403 200 200
        POST /clients                                          401 403 403 403 401 403 201 201
        GET /clients/{id}                                      401 403 403 403 401 403 200 200
        PATCH /clients/{id}                                    401 403 403 403 401 403 200 200
        DELETE /clients/{id}                                   401 403 403 403 401 403 204 204
        POST /register                                         403
        GET /register/{id}                                     401
        PUT /register/{id}                                     401
        DELETE /register/{id}                                  401
        POST /organisations                                    401 201 201 403 401 403 403 201
        GET /organisations                                     401 200 200 200 401 200 200 200
        GET /organisations/{id}                                401 404 200 200 401 200 200 200
        PATCH /organisations/{id}                              401 404 200 200 401 200 200 200
        DELETE /organisations/{id}                             401 404 204 204 401 204 204 204
        GET /organisations/{id}/members                        401 404 200 200 401 200 200 200
        PUT /organisations/{id}/members/{user}                 401 404 204 204 401 204 204 204
        DELETE /organisations/{id}/members/{user}              401 404 204 204 401 204 204 204
        POST /organisations/{id}/invitations                   401 404 201 201 401 201 201 201
        GET /organisations/{id}/invitations                    401 404 200 200 401 200 200 200
        DELETE /organisations/{id}/invitations/{invitation}    401 404 204 204 401 204 204 204
        GET /invitations                                       401 200 200 403 401 403 403 200
        POST /invitations/{id}/acceptance                      401 404 200 403 401 403 403 404
        DELETE /invitations/{id}                               401 404 204 403 401 403 403 404
        GET /audit                                             401 403 403 403 401 403 200 200
        GET /scim/v2/ServiceProviderConfig                     401 403 403 403 401 403 200 403
        GET /scim/v2/ResourceTypes                             401 403 403 403 401 403 200 403
        GET /scim/v2/ResourceTypes/{id}                        401 403 403 403 401 403 200 403
        GET /scim/v2/Schemas                                   401 403 403 403 401 403 200 403
        GET /scim/v2/Schemas/{id}                              401 403 403 403 401 403 200 403
        POST /scim/v2/Users                                    401 403 403 403 401 403 201 403
        GET /scim/v2/Users                                     401 403 403 403 401 403 200 403
        POST /scim/v2/Users/.search                            401 403 403 403 401 403 200 403
        GET /scim/v2/Users/{id}                                401 403 403 403 401 403 200 403
        PUT /scim/v2/Users/{id}                                401 403 403 403 401 403 200 403
        PATCH /scim/v2/Users/{id}                              401 403 403 403 401 403 200 403
        DELETE /scim/v2/Users/{id}                             401 403 403 403 401 403 204 403
        POST /scim/v2/Groups                                   401 403 403 403 401 403 201 403
        GET /scim/v2/Groups                                    401 403 403 403 401 403 200 403
        POST /scim/v2/Groups/.search                           401 403 403 403 401 403 200 403
        GET /scim/v2/Groups/{id}                               401 403 403 403 401 403 200 403
        PUT /scim/v2/Groups/{id}                               401 403 403 403 401 403 200 403
        PATCH /scim/v2/Groups/{id}                             401 403 403 403 401 403 200 403
        DELETE /scim/v2/Groups/{id}                            401 403 403 403 401 403 204 403
        GET /events/consumers                                  401 403 403 403 401 403 403 200
        GET /events/parked                                     401 403 403 403 401 403 403 200
        POST /events/parked/{consumer}/{event_id}/retry        401 403 403 403 401 403 403 204
        POST /events/parked/{consumer}/{event_id}/skip         401 403 403 403 401 403 403 204
        GET /jobs                                              401 403 403 403 401 403 403 200
        GET /jobs/{id}                                         401 404 200 200 401 200 404 200
        POST /jobs/{id}/cancel                                 401 404 204 204 401 204 404 204
        GET /models                                            401 200 200 200 401 200 200 200
        GET /models/{name}                                     401 404 404 404 401 404 404 404
        POST /models/{name}/predict                            401 404 404 404 401 404 404 404
        POST /predict                                          401 404 404 404 401 404 404 404
        GET /reports/signups                                   401 403 403 403 401 403 403 200
        POST /reports/signups/rebuild                          401 403 403 403 401 403 403 202
        GET /ws/{client_id}                                    401 426 426 426 401 426 426 426
        GET /items                                             401 200 200 200 401 200 200 200
        POST /items                                            401 201 201 201 401 201 201 201
        GET /items/{id}                                        401 200 200 200 401 200 200 200
        PUT /items/{id}                                        401 200 200 200 401 200 200 200
        PATCH /items/{id}                                      401 200 200 200 401 200 200 200
        DELETE /items/{id}                                     401 204 204 204 401 204 204 204
        """;

    /// <summary>What is sent where nothing would be refused for itself.</summary>
    static readonly Dictionary<string, Func<World, HttpContent>> Bodies = new()
    {
        ["POST /users"] = _ => Json(new { email = TestUsers.NewEmail(), name = "Somebody", password = TestUsers.Password }),
        ["PATCH /users/{id}"] = _ => Json(new { name = "Mallory" }),
        ["POST /users/{id}/keys"] = _ => Json(new { name = "key" }),
        ["POST /users/{id}/impersonation"] = _ => Json(new { reason = "Ticket 4711" }),
        ["PATCH /auth/passkeys/{id}"] = _ => Json(new { name = "Mallory's" }),
        ["POST /keys"] = _ => Json(new { name = "key" }),
        ["POST /clients"] = _ => Json(new { id = $"c{Guid.NewGuid():n}", name = "Shop", redirect_uris = new[] { OpenIdClients.Callback } }),
        ["PATCH /clients/{id}"] = _ => Json(new { name = "Mallory's shop" }),
        ["POST /register"] = _ => Json(new { redirect_uris = new[] { OpenIdClients.Callback } }),
        ["PUT /register/{id}"] = _ => Json(new { redirect_uris = new[] { OpenIdClients.Callback } }),
        ["POST /organisations"] = _ => Json(new { slug = $"o{Guid.NewGuid():n}", name = "The shop" }),
        ["PATCH /organisations/{id}"] = _ => Json(new { name = "Mallory's" }),
        ["PUT /organisations/{id}/members/{user}"] = _ => Json(new { role = "admin" }),
        ["POST /organisations/{id}/invitations"] = _ => Json(new { email = TestUsers.NewEmail() }),
        ["POST /scim/v2/Users"] = _ => Json(new { userName = TestUsers.NewEmail() }),
        ["POST /scim/v2/Users/.search"] = _ => Json(new { count = 1 }),
        ["PUT /scim/v2/Users/{id}"] = _ => Json(new { userName = TestUsers.NewEmail() }),
        ["PATCH /scim/v2/Users/{id}"] = _ => Json(new { Operations = new[] { new { op = "replace", path = "displayName", value = "Mallory" } } }),
        ["POST /scim/v2/Groups"] = _ => Json(new { displayName = $"{Guid.NewGuid()}" }),
        ["POST /scim/v2/Groups/.search"] = _ => Json(new { count = 1 }),
        ["PUT /scim/v2/Groups/{id}"] = _ => Json(new { displayName = $"{Guid.NewGuid()}" }),
        ["PATCH /scim/v2/Groups/{id}"] = _ => Json(new { Operations = new[] { new { op = "replace", path = "displayName", value = $"{Guid.NewGuid()}" } } }),
        ["POST /items"] = _ => Json(new { name = "Lamp", price = 1 }),
        ["PATCH /items/{id}"] = _ => Json(new { name = "Chair" }),
        ["PUT /items/{id}"] = _ => Json(new { name = "Chair", price = 2 }),
        ["POST /predict"] = _ => Json(new { sepal_length = 5.1 }),
        ["POST /models/{name}/predict"] = _ => Json(new { sepal_length = 5.1 }),
        ["POST /auth/password/reset"] = _ => Json(new { email = TestUsers.NewEmail() }),
        ["POST /auth/email/verification"] = _ => Json(new { email = TestUsers.NewEmail() }),
        ["POST /auth/code"] = _ => Json(new { email = TestUsers.NewEmail() }),
        ["POST /auth/password"] = _ => Json(new { token = "guessed", password = "another horse battery" }),
        ["POST /auth/email/confirmation"] = _ => Json(new { token = "guessed" }),
        ["PUT /auth/password"] = _ => Json(new { password = "another horse battery" }),
        ["POST /auth/email"] = _ => Json(new { email = TestUsers.NewEmail() }),
        ["POST /auth/confirmation"] = _ => Json(new { password = "not the password" }),
        ["POST /auth/totp/confirmation"] = _ => Json(new { code = "000000" }),
        // The owner's own token in somebody else's hand.
        ["POST /token"] = w => Form(("grant_type", "refresh_token"), ("refresh_token", w.OwnerToken)),
        ["POST /introspect"] = w => Form(("token", w.OwnerToken)),
        ["POST /revoke"] = w => Form(("token", w.OwnerToken)),
        ["POST /authorize"] = w => Form(("client_id", w.Shop.Id), ("action", "allow")),
        ["POST /logout"] = _ => Form(("action", "sign-out"), ("form_token", "guessed")),
    };

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Dictionary<string, int[]> Expected { get; } = Table.Split('\n').Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)).ToDictionary(
        words => $"{words[0]} {words[1]}", words => words.Length == 3 ? [.. Callers.Select(_ => int.Parse(words[2]))] : words[2..].Select(int.Parse).ToArray());

    [Fact]
    public async Task Every_route_is_in_the_table()
    {
        var operations = await OperationsAsync();
        Assert.True(operations.Count > 60, $"The document has {operations.Count} operations only.");

        var missing = operations.Except(Expected.Keys).Select(o => $"{o} is new: say in RouteAccessTests.Table which status each of {string.Join(", ", Callers)} gets, and in Bodies what to send.");
        var gone = Expected.Keys.Except(operations).Select(o => $"{o} is in RouteAccessTests.Table and is no operation of the program any more: remove its line.");

        Assert.True(!missing.Concat(gone).Any(), string.Join('\n', missing.Concat(gone)));
        Assert.All(Expected, row => Assert.Equal(Callers.Length, row.Value.Length));
        Assert.All(Bodies.Keys, operation => Assert.Contains(operation, operations));
    }

    [Fact]
    public async Task Everybody_gets_what_is_theirs_and_reads_and_changes_nothing_else()
    {
        var faults = new List<string>();
        await Parallel.ForEachAsync(await OperationsAsync(), new ParallelOptions { MaxDegreeOfParallelism = 16, CancellationToken = Ct }, async (operation, _) =>
        {
            var got = new List<int>();
            foreach (var caller in Callers)
            {
                var (status, fault) = await AskAsync(operation, caller);
                got.Add(status);
                if (fault is not null)
                    lock (faults)
                        faults.Add($"{operation} by {caller}: {fault}");
            }

            var expected = Expected.GetValueOrDefault(operation, []);
            if (!expected.SequenceEqual(got))
                lock (faults)
                    faults.Add($"{operation,-54} {string.Join(' ', got)} is what they get, and not {string.Join(' ', expected)}");
        });

        Assert.True(faults.Count == 0, string.Join('\n', faults.Order(StringComparer.Ordinal)));
    }

    async Task<(int Status, string? Fault)> AskAsync(string operation, string caller)
    {
        var world = await World.MakeAsync(program);
        var token = await world.TokenAsync(caller);
        var request = new HttpRequestMessage(new HttpMethod(operation.Split(' ')[0]), await world.FillAsync(operation)) { Content = Bodies.TryGetValue(operation, out var body) ? body(world) : null };
        if (token is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        var before = await world.StateAsync();

        using var response = await program.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Ct);
        var (status, text) = ((int)response.StatusCode, await response.Content.ReadAsStringAsync(Ct));

        // A key and a client are what the owner has given away: what they may do is its doing, what they may not must not happen.
        var mayNothing = caller is "nobody" or "other" || status >= 400;
        return (status, mayNothing && await world.StateAsync() is var after && after != before ? $"has changed {before}\nto {after}"
            : mayNothing && world.Marks.FirstOrDefault(text.Contains) is { } mark ? $"reads {mark}: {text}"
            : null);
    }

    async Task<List<string>> OperationsAsync() => [.. JsonDocument.Parse(await program.Http.GetStringAsync("/openapi/v1.json", Ct)).RootElement.GetProperty("paths").EnumerateObject()
        .SelectMany(path => path.Value.EnumerateObject().Where(o => o.Name is "get" or "put" or "post" or "delete" or "options" or "head" or "patch" or "trace")
            .Select(o => $"{o.Name.ToUpperInvariant()} {path.Name}"))];

    static JsonContent Json(object body) => JsonContent.Create(body);

    static FormUrlEncodedContent Form(params (string Name, string Value)[] fields) => new(fields.ToDictionary(f => f.Name, f => f.Value));

    /// <summary>The program as it is shipped, with the items of its first example.</summary>
    public sealed class Program : IAsyncLifetime
    {
        TestApp? _app;

        internal TestApp App => _app ?? throw new InvalidOperationException("The program has not been started yet.");

        internal HttpClient Http { get; } = new(new HttpClientHandler { AllowAutoRedirect = false, UseCookies = false });

        internal string Hash { get; private set; } = "";

        internal TestClient Shop { get; private set; } = new("", null, "");

        public async ValueTask InitializeAsync()
        {
            _app = await OpenIdFixture.StartAsync(a => a.Resource<Item>("/items"), "--Users:SignUpsPerMinutePerAddress", "0", "--Users:MailsPerAddress", "0", "--Users:FailuresPerAccount", "0",
                "--Users:FailuresPerAddress", "0", "--Users:PasskeyDomain", "example.com");
            Http.BaseAddress = new Uri(_app.Address);
            Hash = await _app.Services.GetRequiredService<Passwords>().HashAsync(TestUsers.Password, Ct);
            Shop = await _app.ClientAsync(scopes: ["openid", "profile", "email", "api"]);
        }

        public async ValueTask DisposeAsync()
        {
            Http.Dispose();
            if (_app is not null)
                await _app.DisposeAsync();
        }
    }

    public sealed record Item(string Name, decimal Price);

    /// <summary>An owner and its things, made for one question: what one answer changes no other meets.</summary>
    sealed class World
    {
        readonly Program _program;
        readonly Guid _session;
        readonly Guid _key;
        readonly string _keyText;
        readonly Guid _job = Guid.CreateVersion7();
        readonly Guid _event = Guid.CreateVersion7();
        readonly string _client = $"c{Guid.NewGuid():n}";
        readonly Person _owner;

        World(Program program, Person owner, Guid session, Guid key, string keyText) => (_program, _owner, _session, _key, _keyText) = (program, owner, session, key, keyText);

        sealed record Person(long Id, string Email, string Name, string Token);

        public string OwnerToken => _owner.Token;

        long _member;
        Guid _invitation;

        public TestClient Shop => _program.Shop;

        /// <summary>What nobody else may see.</summary>
        public string[] Marks => [_owner.Email, _owner.Name, _keyText, _key.ToString(), _session.ToString()];

        public static async Task<World> MakeAsync(Program program)
        {
            var owner = await AddAsync(program, Role.Person);
            var session = await program.App.Services.GetRequiredService<Sessions>().OpenAsync(owner.Id, null, TimeSpan.FromMinutes(5), Origin.Operator, DateTime.UtcNow, Ct);
            var (key, text) = (await program.App.Services.GetRequiredService<ApiKeys>().CreateAsync(owner.Id, new NewKey(owner.Name), null, Origin.Operator, Ct))!.Value;
            return new World(program, owner, session!.Id, key.Id, text);
        }

        static async Task<Person> AddAsync(Program program, Role role)
        {
            var (services, now) = (program.App.Services, DateTime.UtcNow);
            var (email, name) = (TestUsers.NewEmail(), $"n{Guid.NewGuid():n}");
            var account = await services.GetRequiredService<UserTable>().AddAsync(new NewUser(email, name, TestUsers.Password), program.Hash, role, now, Origin.Operator, null, Ct);
            var session = await services.GetRequiredService<Sessions>().OpenAsync(account!.Id, null, TimeSpan.FromMinutes(5), Origin.Operator, now, Ct);
            return new Person(account.Id, email, name, await services.GetRequiredService<AccessTokens>().MakeAsync(session!, now, TimeSpan.FromMinutes(5), Ct));
        }

        public async Task<string?> TokenAsync(string caller) => caller switch
        {
            "nobody" => null,
            "other" => (await AddAsync(_program, Role.Person)).Token,
            "owner" => _owner.Token,
            "key" => _keyText,
            "client" => await SignInAsync("openid profile email"),
            "app" => await SignInAsync("openid api"),
            "operator" => (await _program.App.Services.GetRequiredService<ApiKeys>().CreateAsync((await AddAsync(_program, Role.Administrator)).Id, new NewKey("operator"), EveryScope.Split(' '),
                Origin.Operator, Ct))!.Value.Text,
            "admin" => (await AddAsync(_program, Role.Administrator)).Token,
            _ => throw new ArgumentOutOfRangeException(nameof(caller)),
        };

        /// <summary>Signs the owner in to the shop, with a browser that is signed in already.</summary>
        async Task<string> SignInAsync(string scope)
        {
            var cookie = $"{Guid.NewGuid():n}{Guid.NewGuid():n}"[..43];
            await _program.App.Db.ExecuteAsync($"update users_sessions set cookie_digest = {Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(cookie)))} where id = {_session}", Ct);
            var request = new HttpRequestMessage(HttpMethod.Get, SignIn.Url(_program.Shop, scope));
            request.Headers.Add("Cookie", $"tandem={cookie}");
            var page = await TestPage.OfAsync(await _program.Http.SendAsync(request, Ct));
            return (await (await _program.App.RedeemAsync(_program.Shop, page.Answer["code"])).JsonAsync()).GetProperty("access_token").GetString()!;
        }

        /// <summary>The path with the owner's things in it; what has no owner is made for it.</summary>
        public async Task<string> FillAsync(string operation)
        {
            var path = operation.Split(' ')[1];
            var id = path.Split('/')[1] switch
            {
                "users" => $"{_owner.Id}",
                "sessions" => $"{_session}",
                "keys" => $"{_key}",
                "auth" when path.StartsWith("/auth/upstreams/", StringComparison.Ordinal) => await AddLoginAsync(),
                "auth" when path.Contains('{') => await AddPasskeyAsync(),
                "clients" or "register" when path.Contains('{') => await AddClientAsync(),
                "jobs" when path.Contains('{') => await AddJobAsync(),
                "items" when path.Contains('{') => await AddItemAsync(),
                "organisations" when path.Contains('{') => await AddOrganisationAsync(_owner.Id),
                "invitations" when path.Contains('{') => await InviteAsync(),
                "scim" when path.Contains("/Groups/{", StringComparison.Ordinal) => await AddGroupAsync(),
                "scim" when path.Contains("/Schemas/", StringComparison.Ordinal) => "urn:ietf:params:scim:schemas:core:2.0:User",
                "scim" when path.Contains("/ResourceTypes/", StringComparison.Ordinal) => "User",
                "scim" => $"{_owner.Id}",
                _ => "",
            };
            if (path.Contains("{event_id}", StringComparison.Ordinal))
                await SetAsideAsync();
            if (operation is "DELETE /auth/totp" or "POST /auth/recovery-codes")
                await AddAppAsync();
            return path.Replace("{id}", id).Replace("{key}", $"{_key}").Replace("{consumer}", "somebody").Replace("{event_id}", $"{_event}").Replace("{name}", "iris").Replace("{client_id}", "me")
                .Replace("{user}", $"{_member}").Replace("{invitation}", $"{_invitation}");
        }

        /// <summary>With a member and somebody who is invited.</summary>
        async Task<string> AddOrganisationAsync(long ownerId)
        {
            var (organisations, now) = (_program.App.Services.GetRequiredService<OrganisationTable>(), DateTime.UtcNow);
            var made = await organisations.AddAsync(new NewOrganisation($"o{Guid.NewGuid():n}", "Shop"), ownerId, Origin.Operator, now, Ct);
            _member = (await AddAsync(_program, Role.Person)).Id;
            await organisations.SetAsync(made.Id, _member, OrganisationRole.Member, null, Origin.Operator, now, Ct);
            _invitation = (await organisations.InviteAsync(made, TestUsers.NewEmail(), OrganisationRole.Member, null, Origin.Operator, now, Ct)).Id;
            return $"{made.Id}";
        }

        /// <summary>The owner, to somebody else's organisation.</summary>
        async Task<string> InviteAsync()
        {
            var (organisations, now) = (_program.App.Services.GetRequiredService<OrganisationTable>(), DateTime.UtcNow);
            var made = await organisations.AddAsync(new NewOrganisation($"o{Guid.NewGuid():n}", "Shop"), (await AddAsync(_program, Role.Person)).Id, Origin.Operator, now, Ct);
            await _program.App.Db.ExecuteAsync($"update users_accounts set email_verified_at = {now} where id = {_owner.Id}", Ct);
            return $"{(await organisations.InviteAsync(made, _owner.Email, OrganisationRole.Member, null, Origin.Operator, now, Ct)).Id}";
        }

        async Task<string> AddClientAsync()
        {
            await _program.App.Services.GetRequiredService<ClientTable>().AddAsync(new Client(_client, "Shop", null, OpenIdClients.Callback, "", "authorization_code", "openid", false, DateTime.UtcNow, false, null), Origin.Operator, Ct);
            return _client;
        }

        async Task<string> AddPasskeyAsync()
        {
            var id = Guid.CreateVersion7();
            await _program.App.Db.ExecuteAsync($"""
                insert into users_passkeys (id, account_id, user_handle, credential_id, public_key, sign_count, is_backup_eligible, is_backed_up, name, created_at)
                values ({id}, {_owner.Id}, {id.ToString()}, {id.ToByteArray()}, {id.ToByteArray()}, 0, {false}, {false}, {_owner.Name}, {DateTime.UtcNow})
                """, Ct);
            return $"{id}";
        }

        async Task<string> AddLoginAsync()
        {
            var id = Guid.CreateVersion7();
            await _program.App.Db.ExecuteAsync($"""
                insert into users_upstream_logins (id, account_id, issuer, subject, email, created_at) values ({id}, {_owner.Id}, 'https://id.example.com', {id.ToString()}, {_owner.Email}, {DateTime.UtcNow})
                """, Ct);
            return $"{id}";
        }

        async Task<string> AddJobAsync()
        {
            var now = DateTime.UtcNow;
            await _program.App.Db.ExecuteAsync($"""
                insert into jobs_queue (id, kind, payload, state, priority, run_at, max_attempts, account_id, created_at)
                values ({_job}, 'tests.nobody-runs-this', {_owner.Name}, 'available', 0, {now.AddDays(1)}, 1, {_owner.Id}, {now})
                """, Ct);
            return $"{_job}";
        }

        Task SetAsideAsync() => _program.App.Db.ExecuteAsync($"""
            insert into events_set_aside (consumer, partition, position, event_id, name, key, payload, occurred_at, state, attempts, next_attempt_at)
            values ('somebody', 0, {_owner.Id}, {_event}, 'tests.happened', 'k', {"{}"}, {DateTime.UtcNow}, 'parked', 1, {DateTime.UtcNow.AddDays(1)})
            """, Ct);

        Task AddAppAsync()
        {
            byte[] secret = [1];
            return _program.App.Db.ExecuteAsync($"""
                insert into users_totp (account_id, key_id, secret, last_step, created_at, confirmed_at) values ({_owner.Id}, 'k', {secret}, 0, {DateTime.UtcNow}, {DateTime.UtcNow})
                """, Ct);
        }

        async Task<string> AddGroupAsync()
        {
            var (id, name, now) = (Guid.CreateVersion7(), $"{_owner.Name} {Guid.NewGuid():n}", DateTime.UtcNow);
            await _program.App.Db.ExecuteAsync($"insert into users_groups (id, name_key, name, created_at, changed_at) values ({id}, {name}, {name}, {now}, {now})", Ct);
            await _program.App.Db.ExecuteAsync($"insert into users_group_members (group_id, account_id) values ({id}, {_owner.Id})", Ct);
            return $"{id}";
        }

        async Task<string> AddItemAsync()
        {
            using var http = _program.App.With(_owner.Token);
            return (await (await http.PostAsJsonAsync("/items", new { name = "Lamp", price = 1 }, Ct)).JsonAsync(201)).GetProperty("id").GetRawText();
        }

        public Task<State?> StateAsync() => _program.App.Db.FindAsync<State>($"""
            select email, name, password_hash, is_active, is_administrator, email_verified_at is not null as is_verified,
                (select count(*) from users_sessions where account_id = {_owner.Id} and ended_at is null) as sessions,
                (select count(*) from users_totp where account_id = {_owner.Id}) as apps,
                (select count(*) from users_recovery_codes where account_id = {_owner.Id}) as codes,
                (select count(*) from users_tickets where account_id = {_owner.Id}) as tickets,
                (select count(*) from users_consents where account_id = {_owner.Id}) as consents,
                (select count(*) from users_group_members where account_id = {_owner.Id}) as groups,
                (select state from jobs_queue where id = {_job}) as job,
                (select state from events_set_aside where event_id = {_event}) as event,
                (select name from users_clients where id = {_client}) as client
            from users_accounts where id = {_owner.Id}
            """, Ct);
    }

    sealed record State(string Email, string Name, string PasswordHash, bool IsActive, bool IsAdministrator, bool IsVerified, long Sessions, long Apps, long Codes, long Tickets, long Consents, long Groups, string? Job, string? Event,
        string? Client);
}
