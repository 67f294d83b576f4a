namespace Tandem.Guide;

/// <summary>What a backend can be written in.</summary>
enum Language
{
    Python,
    Go,
    Tandem,
}

/// <summary>A row of the decision matrix.</summary>
/// <param name="Name">As it is said on the command line.</param>
/// <param name="Title">As it is read.</param>
/// <param name="Python">3 excellent, 2 good, 1 adequate; Python's and Go's marks are those of the published comparison.</param>
/// <param name="Go">The same for Go.</param>
/// <param name="Tandem">Ours, which a reader can check by <paramref name="Link"/>.</param>
/// <param name="Why">What earns or costs Tandem its mark.</param>
/// <param name="Link">The measurement or the feature, from the root of the repository.</param>
sealed record Scenario(string Name, string Title, int Python, int Go, int Tandem, string Why, string Link)
{
    public int Of(Language language) => language switch { Language.Python => Python, Language.Go => Go, _ => Tandem };
}

/// <summary>Which language suits which scenario: the published comparison of Python and Go, with a column for Tandem.</summary>
static class Matrix
{
    public static readonly Scenario KnowsPython = new("python-team", "a team that knows Python", 3, 1, 1,
        "the team would learn C#; what it writes is short", "docs/guide/modules.md");

    public static readonly Scenario LittleMemory = new("little-memory", "little memory", 1, 3, 1,
        "about 95 MB at rest, with everything in it; a Go server takes a dozen", "docs/benchmarks.md");

    public static readonly IReadOnlyList<Scenario> Scenarios =
    [
        new("prototyping", "rapid prototyping", 3, 1, 3, "a record of one line is an API with storage, documentation and checks", "docs/guide/first-steps.md"),
        new("ml", "ML and data science integration", 3, 1, 2, "trains and serves forests from tables with no second process; no notebooks, no deep learning", "docs/guide/ml.md"),
        new("high-throughput", "high-throughput APIs", 2, 3, 3, "half to two thirds of Gin's processor time with a token and a database, less for a cached read, durable writes in groups; nine times its memory at rest", "docs/benchmarks.md"),
        new("cpu-heavy", "CPU-heavy microservices", 1, 3, 3, "compiled code: Fibonacci(40) in Go's time", "docs/guide/bench.md"),
        new("io-heavy", "I/O-heavy microservices", 3, 3, 3, "a waiting task is a hundred-odd bytes, and nothing blocks", "docs/guide/bench.md"),
        new("real-time", "real-time systems", 1, 3, 2, "WebSockets with tokens are there; rooms and presence are not yet", "docs/guide/realtime.md"),
        new("cli", "command-line tools", 2, 3, 1, "commands live beside the server, but a program starts in a third of a second and brings a runtime", "docs/guide/first-steps.md"),
        new("devops", "DevOps and infrastructure", 2, 3, 1, "deploys and watches itself; the tools of the field are written in Go", "docs/guide/deploy.md"),
        new("scraping", "web scraping", 3, 1, 1, "jobs that survive crashes, but no library for pages comes with it", "docs/guide/modules.md"),
        new("scientific", "scientific computing", 3, 1, 1, "nothing that compares with NumPy and what stands on it", "docs/guide/ml.md"),
        new("systems", "system programming", 1, 3, 1, "a managed runtime with a garbage collector", "docs/decisions/0011-event-loops.md"),
        new("embedded", "embedded and IoT", 1, 3, 1, "needs a runtime and about 95 MB", "docs/benchmarks.md"),
        KnowsPython,
        new("long-running", "long-running services", 2, 3, 3, "two hundred kills of processes and servers, nothing acknowledged lost", "docs/guide/guarantees.md"),
        LittleMemory,
    ];
}
