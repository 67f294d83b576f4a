namespace Tandem.Bench.Peers;

/// <summary>Servers that answer <c>GET /health</c> with <c>{"status":"healthy"}</c>, each started as its own documentation recommends for production.</summary>
static class HttpPeers
{
    // Debian's Go libraries lie in a GOPATH.
    const string Go = "GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS=-buildvcs=false go build -o";

    // The others write no access log either.
    public static readonly Peer Tandem = new(Peer.Tandem, "Tandem", "{tandem} serve --urls http://127.0.0.1:{port} --data {data} --Log:Level Warning");

    /// <summary>The same program with one endpoint more, that answers out of a <c>Cache</c>: what a user maps, with all that stands before it.</summary>
    public static readonly Peer TandemCached = new("tandem-cached", "Tandem, the cached read", $"{{tandem}} bench child {Cached} {{port}} {{data}}");

    /// <summary>The part of this program that is Tandem with the cached read.</summary>
    public const string Cached = "cached";

    public static readonly Peer NetHttp = new("net-http", "Go net/http", "./net-http {port}", "golang-go") { Build = $"{Go} net-http net-http.go cached.go" };

    public static readonly Peer FastHttp = new("fasthttp", "Go fasthttp (for Fiber)", "./fasthttp {port}", "golang-go", "golang-github-valyala-fasthttp-dev")
    { Build = $"{Go} fasthttp fasthttp.go cached.go" };

    public static IReadOnlyList<Peer> All { get; } =
    [
        Tandem,
        NetHttp,
        new("gin", "Go Gin", "./gin {port}", "golang-go", "golang-github-gin-gonic-gin-dev") { Build = $"{Go} gin gin.go cached.go", Environment = "GIN_MODE=release" },
        FastHttp,
        new("fastapi", "FastAPI (uvicorn)", "uvicorn app_fastapi:app --host 127.0.0.1 --port {port} --workers {cores} --loop uvloop --http httptools --no-access-log",
            "python3", "python3-fastapi", "uvicorn", "python3-uvloop", "python3-httptools") { IsBehind = true },
        // Threads, because a sync worker of gunicorn would wait for one idle connection while thousands have something to ask; room for 10,000 connections.
        new("flask", "Flask (gunicorn)", "gunicorn --bind 127.0.0.1:{port} --workers {workers} --worker-class gthread --threads 4 --worker-connections 4000 app_flask:app",
            "python3", "python3-flask", "gunicorn") { IsSlow = true, IsBehind = true },
        new("django", "Django (gunicorn)", "gunicorn --bind 127.0.0.1:{port} --workers {workers} --worker-class gthread --threads 4 --worker-connections 4000 app_django:application",
            "python3", "python3-django", "gunicorn") { IsSlow = true, IsBehind = true },
    ];
}
