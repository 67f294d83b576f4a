namespace Tandem.Bench.Backend;

/// <summary>One kind of request: how it is made in load, and what is compared before.</summary>
/// <param name="Name">In the cells.</param>
/// <param name="Load">What wrk asks.</param>
/// <param name="Checks">Good and bad requests with the answers that the contract has for them.</param>
sealed record BackendWork(string Name, LoadRequest Load, params Check[] Checks)
{
    /// <summary>What it costs is the hash of a password, whatever the database: it is measured on PostgreSQL alone, and not in a quick run.</summary>
    public bool IsHash { get; init; }

    /// <summary>Each answer says that an item is stored: they are counted.</summary>
    public bool IsItem { get; init; }

    // Drawn numbers of equal length.
    static readonly (int, int) EightDigits = (10_000_000, 99_999_999), TwoDigits = (10, 99);
    static readonly (int, int) SomeUser = (2, Seed.Users);

    const string UserTwo = """{"id":2,"email":"user2@example.com","name":"User 2","created_at":"2026-01-01T00:00:00Z","is_active":true}""";

    const string Token = "Tandem remembers the token that it has checked and looks whether its session has ended; the peers check its signature each time, as their libraries do.";

    /// <summary>What one of them does more than the others, for the report; docs/guide/bench.md says how the work is kept equal.</summary>
    public static string Note(string name) => name switch
    {
        "get-user" => Token,
        "list-users" => $"{Token} It also says how many users there are, in `X-Total-Count` and `Link`; the peers do not.",
        "patch-user" or "post-item" => $"{Token} It also writes an event into its outbox, in the same transaction; the peers do not.",
        "token" or "sign-up" => "Nearly all of it is the password's Argon2id, with the same parameters for everybody.",
        WebSocket => "Each socket says something once a second. Where a program has little to do, what it costs to wake it up weighs most.",
        _ => "",
    };

    /// <summary>For people.</summary>
    public static string Describe(string name) => name == WebSocket ? "WebSocket echo" : All.Append(Predict).FirstOrDefault(w => w.Name == name)?.Load is { } load
        ? $"{load.Method} {load.Path.Replace("%d", "{id}", StringComparison.Ordinal)}" : name;

    // One digit behind the point, as in the file.
    static readonly (int, int) Whole = (1, 7), Tenth = (0, 9);

    /// <summary>One record, one answer of a random forest. Only rows that no forest doubts are compared: no two forests are the same.</summary>
    public static readonly BackendWork Predict = new("predict",
        new("POST", "/predict", """{"sepal_length":%d.%d,"sepal_width":%d.%d,"petal_length":%d.%d,"petal_width":%d.%d}""", Whole, Tenth, Whole, Tenth, Whole, Tenth, Whole, Tenth),
        new("POST", "/predict", """{"sepal_length":5.0,"sepal_width":3.4,"petal_length":1.5,"petal_width":0.2}""", 200, """{"prediction":["setosa"]}"""),
        new("POST", "/predict", """{"petal_width":1.3,"petal_length":4.3,"sepal_width":2.8,"sepal_length":5.9}""", 200, """{"prediction":["versicolor"]}"""),
        new("POST", "/predict", """{"sepal_length":6.7,"sepal_width":3.0,"petal_length":5.8,"petal_width":2.2}""", 200, """{"prediction":["virginica"]}"""),
        new("POST", "/predict", """{"sepal_length":5.0,"sepal_width":3.4,"petal_length":1.5}""", Check.Refused),
        new("POST", "/predict", """{"sepal_length":"5.0","sepal_width":3.4,"petal_length":1.5,"petal_width":0.2}""", Check.Refused),
        new("POST", "/predict", "[]", Check.Refused),
        new("POST", "/predict", "{}", 401, HasToken: false));

    /// <summary>The work that is no request after request, but messages over sockets that stay open.</summary>
    public const string WebSocket = "websocket";

    public static IReadOnlyList<BackendWork> All { get; } =
    [
        new("get-user", new("GET", "/users/%d", null, SomeUser),
            new("GET", "/users/2", null, 200, UserTwo),
            new("GET", "/users/1000000", null, 404),
            new("GET", "/users/two", null, Check.Refused),
            new("GET", "/users/2", null, 401, HasToken: false)),
        new("list-users", new("GET", "/users?limit=10", null),
            new("GET", "/users?limit=2", null, 200,
                $$"""[{"id":1,"email":"{{Seed.Administrator}}","name":"Administrator","created_at":"2026-01-01T00:00:00Z","is_active":true},{{UserTwo}}]"""),
            new("GET", "/users?skip=1&limit=1", null, 200, $"[{UserTwo}]"),
            new("GET", "/users?limit=0", null, Check.Refused),
            new("GET", "/users?limit=101", null, Check.Refused),
            new("GET", "/users?skip=-1", null, Check.Refused),
            new("GET", "/users?limit=ten", null, Check.Refused),
            new("GET", "/users?limit=10", null, 401, HasToken: false)),
        new("patch-user", new("PATCH", "/users/%d", """{"name":"Name %d"}""", SomeUser, EightDigits),
            new("PATCH", "/users/3", """{"name":"Somebody else"}""", 200, """{"id":3,"email":"user3@example.com","name":"Somebody else","created_at":"2026-01-01T00:00:00Z","is_active":true}"""),
            new("PATCH", "/users/3", "{}", 200, """{"id":3,"email":"user3@example.com","name":"Somebody else","created_at":"2026-01-01T00:00:00Z","is_active":true}"""),
            new("PATCH", "/users/3", """{"name":""}""", Check.Refused),
            new("PATCH", "/users/3", """{"name":"   "}""", Check.Refused),
            new("PATCH", "/users/3", $$"""{"name":"{{new string('x', 201)}}"}""", Check.Refused),
            new("PATCH", "/users/3", """{"name":3}""", Check.Refused),
            new("PATCH", "/users/3", """{"is_active":"yes"}""", Check.Refused),
            new("PATCH", "/users/3", """{"name":""", Check.Refused),
            new("PATCH", "/users/1000000", """{"name":"Nobody"}""", 404),
            new("PATCH", "/users/3", """{"name":"Nobody"}""", 401, HasToken: false)),
        new("post-item", new("POST", "/items", """{"name":"Item %d","price":%d.5}""", EightDigits, TwoDigits),
            new("POST", "/items", """{"name":"Tea","price":12.5}""", 201, """{"id":"*","name":"Tea","price":12.5}"""),
            new("POST", "/items", """{"name":"Water","price":0}""", 201, """{"id":"*","name":"Water","price":0}"""),
            new("POST", "/items", """{"name":"Tea"}""", Check.Refused),
            new("POST", "/items", """{"price":12.5}""", Check.Refused),
            new("POST", "/items", """{"name":null,"price":12.5}""", Check.Refused),
            new("POST", "/items", """{"name":"Tea","price":"12.5"}""", Check.Refused),
            new("POST", "/items", """{"name":7,"price":12.5}""", Check.Refused),
            new("POST", "/items", "", Check.Refused),
            new("POST", "/items", "[]", Check.Refused),
            new("POST", "/items", """{"name":"Tea","price":12.5}""", 401, HasToken: false))
        { IsItem = true },
        new("token", new("POST", "/token", $"username=user%d@example.com&password={Seed.Password}", (100, 999)) { IsForm = true },
            new("POST", "/token", $"username=USER4@example.com&password={Seed.Password}", 200,
                """{"access_token":"*","token_type":"bearer","expires_in":86400,"refresh_token":"*"}""", HasToken: false) { IsForm = true },
            new("POST", "/token", "username=user4@example.com&password=something-else", Check.Refused, HasToken: false) { IsForm = true },
            new("POST", "/token", $"username=nobody@example.com&password={Seed.Password}", Check.Refused, HasToken: false) { IsForm = true })
        { IsHash = true },
        // With the administrator's token, which lifts Tandem's limit of sign-ups from one address. Two numbers: nobody is drawn twice.
        new("sign-up", new("POST", "/users", $$"""{"email":"New%d.%d@example.com","name":"New","password":"{{Seed.Password}}"}""", EightDigits, EightDigits),
            new("POST", "/users", """{"email":"Ada@example.com","name":"Ada","password":"12345678"}""", 201, """{"id":"*","email":"ada@example.com","name":"Ada","created_at":"*","is_active":true}"""),
            new("POST", "/users", """{"email":"ADA@example.com","name":"Ada","password":"12345678"}""", 400),
            new("POST", "/users", """{"email":"ada","name":"Ada","password":"12345678"}""", Check.Refused),
            new("POST", "/users", """{"email":"eve@example.com","name":" ","password":"12345678"}""", Check.Refused),
            new("POST", "/users", """{"email":"eve@example.com","name":"Eve","password":"1234567"}""", Check.Refused),
            new("POST", "/users", """{"email":"eve@example.com","name":"Eve"}""", Check.Refused))
        { IsHash = true },
    ];
}
