namespace Tandem.Bench.Peers;

/// <summary>
/// One backend in three ways, each on PostgreSQL and on SQLite: users and items of the contract behind an ES256 token. Everybody has forty connections to
/// PostgreSQL and commits each request by itself; each has a database of its own.
/// </summary>
static class BackendPeers
{
    // Debian's Go libraries lie in a GOPATH.
    const string Go = "GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS=-buildvcs=false go build";
    const string Uvicorn = "--host 127.0.0.1 --port {port} --workers {cores} --loop uvloop --http httptools --no-access-log";
    const string Url = "postgres://postgres@127.0.0.1:{database_port}/{database}";

    // One token lasts the run. Sign-ins are not limited, as in the peers: whoever hangs up before the answer counts as failed, and every round ends so.
    const string Tandem = "TANDEM_USERS__ACCESSTOKENLIFETIME=1.00:00:00 TANDEM_USERS__FAILURESPERADDRESS=0 TANDEM_USERS__FAILURESPERACCOUNT=0";

    // Tandem's own number, so that nobody waits longer for a connection than the others.
    const int PoolSize = 40;

    static readonly string[] Python = ["python3", "python3-fastapi", "python3-pydantic", "uvicorn", "python3-uvloop", "python3-httptools", "python3-jwt", "python3-cryptography", "python3-websockets"];
    static readonly string[] GoLang = ["golang-go", "golang-github-gin-gonic-gin-dev", "golang-github-golang-jwt-jwt-v5-dev", "golang-github-gorilla-websocket-dev"];

    /// <summary>Does the work for those who work on PostgreSQL; every setting that is not said is its default, durability too.</summary>
    public static readonly Peer Postgres = new("postgresql", "PostgreSQL",
        "postgres -D {data} -p {database_port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300", "postgresql-17");

    public static IReadOnlyList<Peer> OnPostgres { get; } =
    [
        new("tandem-postgres", "Tandem on PostgreSQL", HttpPeers.Tandem.Start)
        {
            Environment = $"{Tandem} TANDEM_POSTGRES__CONNECTIONSTRING=Host=127.0.0.1;Port={{database_port}};Username=postgres;Database={{database}}",
            WorksOnFolder = true,
        },
        new("gin-pgx", "Go Gin + pgx", $"./gin-pgx {{port}} {Url}?pool_max_conns={PoolSize} {{data}}/key.pem", [.. GoLang, "golang-github-jackc-pgx-v4-dev"])
        { Build = $"{Go} -o gin-pgx backend_gin.go backend_gin_pgx.go", Environment = "GIN_MODE=release" },
        new("fastapi-asyncpg", "FastAPI + asyncpg", $"uvicorn backend_asyncpg:app {Uvicorn}", [.. Python, "python3-asyncpg"])
        { Environment = $"DATABASE={Url} SIGNING_KEY={{data}}/key.pem POOL_SIZE={{pool_per_core}}" },
    ];

    public static IReadOnlyList<Peer> OnSqlite { get; } =
    [
        new("tandem-sqlite", "Tandem on SQLite", HttpPeers.Tandem.Start) { Environment = Tandem },
        new("gin-sqlite", "Go Gin + go-sqlite3", "./gin-sqlite {port} {data}/backend.db {data}/key.pem", [.. GoLang, "golang-github-mattn-go-sqlite3-dev"])
        { Build = $"{Go} -tags libsqlite3 -o gin-sqlite backend_gin.go backend_gin_sqlite.go", Environment = "GIN_MODE=release" },
        new("fastapi-sqlite", "FastAPI + sqlite3", $"uvicorn backend_sqlite:app {Uvicorn}", Python)
        { Environment = "DATABASE={data}/backend.db SIGNING_KEY={data}/key.pem" },
    ];

    /// <summary>Those who predict, on SQLite too. Programs of their own: what a model takes of memory is nothing to the others.</summary>
    public static IReadOnlyList<Peer> WithModel { get; } =
    [
        OnSqlite[0] with { Name = "tandem-model", Title = "Tandem with a model" },
        new("fastapi-sklearn", "FastAPI + scikit-learn", $"uvicorn backend_predict:app {Uvicorn}", [.. Python, "python3-sklearn", "python3-pandas"])
        { Environment = "DATABASE={data}/backend.db SIGNING_KEY={data}/key.pem" },
    ];

    public static IReadOnlyList<Peer> All { get; } = [.. OnPostgres, .. OnSqlite, .. WithModel];

    /// <summary>uvicorn has a pool in each of its processes.</summary>
    public static int PoolPerCore => Math.Max(1, PoolSize / Environment.ProcessorCount);
}
