namespace Tandem.Bench.Peers;

/// <summary>One program that is measured.</summary>
/// <param name="Name">Short: of cells and the command line.</param>
/// <param name="Title">For people.</param>
/// <param name="Start">
/// The start line, words separated by blanks. <c>{port}</c>, <c>{cores}</c>, <c>{workers}</c> (2 · cores + 1), <c>{data}</c> and what else the benchmark says are
/// filled in; <c>{tandem}</c> is this very program; <c>{backend}</c> is host and port of the service behind a proxy, <c>{config}</c> the file made of
/// <see cref="Config"/>.
/// </param>
/// <param name="Packages">What its version consists of, in the Debian folder; empty: it runs here and has this program's version.</param>
sealed record Peer(string Name, string Title, string Start, params string[] Packages)
{
    public const string Tandem = "tandem";

    /// <summary>The shell line that builds it, in the folder; empty: nothing to build.</summary>
    public string Build { get; init; } = "";

    /// <summary>Environment variables of the start, as the shell writes them: <c>GIN_MODE=release</c>. Filled in like the line.</summary>
    public string Environment { get; init; } = "";

    /// <summary>Name of the source that is its configuration, in the folder, with the same holes as the start line; empty: it has none.</summary>
    public string Config { get; init; } = "";

    /// <summary>Where it answers <c>{"status":"healthy"}</c>, if it serves.</summary>
    public string HealthPath { get; init; } = "/health";

    /// <summary>A bound of what the machine can do, not a way to write a backend.</summary>
    public bool IsLimit { get; init; }

    /// <summary>Answers so little that a quick run does without it.</summary>
    public bool IsSlow { get; init; }

    /// <summary>Cannot keep up with the rate of the open loop on two cores.</summary>
    public bool IsBehind { get; init; }

    /// <summary>Runs on this machine itself, not in the Debian folder.</summary>
    public bool IsHere => Packages.Length == 0;

    /// <summary>Runs here, but works on a server that is in the Debian folder.</summary>
    public bool WorksOnFolder { get; init; }

    public bool NeedsFolder => !IsHere || WorksOnFolder;

    public bool IsAheadOfTime => Start.StartsWith(WorkPeers.Ahead, StringComparison.Ordinal);

    /// <summary>As a person would type it.</summary>
    public string StartLine => (Environment + " " + Start).Trim();

    /// <summary>The words of the line, ready to run.</summary>
    public IEnumerable<string> Line(PeerFolder folder, IReadOnlyDictionary<string, string>? values = null)
    {
        var words = Start.Split(' ').SelectMany(word => word == "{tandem}" ? OurselvesLine : [Fill(word, values)]);
        string[] line = Environment.Length == 0 ? [.. words] : ["env", .. Environment.Split(' ').Select(word => Fill(word, values)), .. words];
        return IsHere ? line : folder.Line(line);
    }

    /// <summary>This program, however it was started: by its own executable or by dotnet.</summary>
    public static IReadOnlyList<string> OurselvesLine { get; } = Path.GetFileNameWithoutExtension(System.Environment.ProcessPath) == "dotnet"
        ? [System.Environment.ProcessPath!, System.Environment.GetCommandLineArgs()[0]] : [System.Environment.ProcessPath!];

    /// <summary>Puts the values in, and those that the machine says: <c>{cores}</c> and <c>{workers}</c>.</summary>
    public static string Fill(string word, IReadOnlyDictionary<string, string>? values)
    {
        var cores = System.Environment.ProcessorCount;
        word = word.Replace("{cores}", $"{cores}", StringComparison.Ordinal).Replace("{workers}", $"{2 * cores + 1}", StringComparison.Ordinal);
        return (values ?? new Dictionary<string, string>()).Aggregate(word, (w, v) => w.Replace($"{{{v.Key}}}", v.Value, StringComparison.Ordinal));
    }
}
