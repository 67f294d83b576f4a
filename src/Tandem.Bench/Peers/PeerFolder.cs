using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Tandem.Bench.Processes;

namespace Tandem.Bench.Peers;

/// <summary>
/// A Debian 13 in a folder, in which the peers are built and run: everybody's peers have the same versions, whatever the machine is. Each program runs in a
/// mount namespace of its own that ends with it, so nothing is ever left mounted.
/// </summary>
sealed class PeerFolder(string root)
{
    const string Suite = "trixie";
    const string Keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

    /// <summary>Inside: sources, built programs and data.</summary>
    public const string Work = "/opt/tandem-bench";

    static readonly string[] Packages =
    [
        "wrk", "python3", "python3-dev", "python3-fastapi", "python3-uvicorn", "uvicorn", "python3-uvloop", "python3-httptools", "gunicorn", "python3-flask",
        "python3-django", "python3-orjson", "cython3", "gcc", "g++", "libc6-dev", "libsimdjson-dev", "golang-go", "golang-github-gin-gonic-gin-dev",
        "golang-github-valyala-fasthttp-dev", "nginx-light", "haproxy", "caddy",
        // For the benchmark backend.
        "postgresql", "golang-github-jackc-pgx-v4-dev", "golang-github-mattn-go-sqlite3-dev", "golang-github-golang-jwt-jwt-v5-dev", "golang-golang-x-crypto-dev",
        "python3-asyncpg", "python3-jwt", "python3-cryptography", "python3-argon2", "python3-python-multipart", "python3-websockets",
        "golang-github-gorilla-websocket-dev", "python3-pandas", "python3-sklearn",
    ];

    // Kept apart from the line that runs in it: "$0" is the folder.
    const string Enter = """mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" """;

    readonly Dictionary<string, string> _broken = [];

    /// <summary>Where the folder is when nobody says otherwise.</summary>
    public static string DefaultPath => Path.Combine(
        Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } cache ? cache : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"),
        "tandem", "bench", Suite);

    /// <summary>A path inside as it is seen from outside.</summary>
    public string Outside(string inside) => root + inside;

    /// <summary>The line that runs <paramref name="line"/> in the folder.</summary>
    public IEnumerable<string> Line(IEnumerable<string> line) =>
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", Enter + $"/usr/bin/env -i PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 sh -c 'cd {Work} && exec \"$@\"' sh \"$@\"", root, .. line];

    /// <summary>Why a program was not built; null when it was.</summary>
    public string? Broken(Peer peer) => _broken.GetValueOrDefault(peer.Build);

    /// <summary>Brings the folder to what the peers need; a second time only what has changed.</summary>
    /// <exception cref="BenchException">It cannot be done here; the message says what is missing.</exception>
    public async Task SetUpAsync(IReadOnlyList<Peer> peers, Action<string> say, CancellationToken ct)
    {
        if (!Environment.IsPrivilegedProcess)
            throw new BenchException("the Debian folder of the peers needs root, for chroot and a mount namespace: run the same with sudo");
        Directory.CreateDirectory(Path.GetDirectoryName(root)!);
        var installed = Outside($"{Work}/.installed");
        if (!File.Exists(installed) || File.ReadAllText(installed) != string.Join(' ', Packages))
        {
            say($"Setting up a Debian {Suite} with the peers in {root} (once, some minutes and 2.5 GB) ...");
            await InstallAsync(ct);
            Directory.CreateDirectory(Outside(Work));
            File.WriteAllText(installed, string.Join(' ', Packages));
        }

        WriteSources();
        foreach (var peer in peers.Where(p => p.Build.Length > 0).DistinctBy(p => p.Build))
            await BuildAsync(peer, say, ct);
    }

    /// <summary>Name and version of each of these packages inside.</summary>
    public async Task<string> VersionsAsync(IEnumerable<string> packages, CancellationToken ct)
    {
        var said = await SayAsync(Line(["dpkg-query", "-W", "-f", "${Package} ${Version}, ", .. packages]), ct);
        return said.TrimEnd(',', ' ', '\n');
    }

    async Task InstallAsync(CancellationToken ct)
    {
        if (!IsHere("debootstrap"))
        {
            if (!IsHere("apt-get"))
                throw new BenchException("debootstrap is missing, which makes the Debian folder of the peers: install it with your package manager");
            await RunAsync(["sh", "-c", "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends debootstrap"], "installing debootstrap", ct);
        }

        if (!File.Exists(Keyring))
            throw new BenchException($"{Keyring} is missing, with which Debian's packages are checked: install debian-archive-keyring");
        if (!File.Exists(Outside("/usr/bin/apt-get")))
        {
            // Releases before 13 do not know the name yet; the script of all of them is the one for sid.
            const string Script = "/usr/share/debootstrap/scripts/sid";
            await RunAsync(["unshare", "--mount", "--propagation", "private", "debootstrap", "--variant=minbase", "--components=main", $"--keyring={Keyring}", Suite, root,
                await MirrorAsync(ct), Script], "debootstrap", ct);
        }

        foreach (var file in (string[])["/etc/resolv.conf", "/etc/hosts"])
            if (File.Exists(file))
                File.Copy(file, Outside(file), overwrite: true);
        // Packages must not start the services they bring.
        File.WriteAllText(Outside("/usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n");
        await RunAsync(["unshare", "--mount", "--propagation", "private", "sh", "-c",
            Enter + $"sh -c 'chmod 755 /usr/sbin/policy-rc.d && apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends {string.Join(' ', Packages)}'", root], "installing the peers", ct);
    }

    /// <summary>The machine's own mirror where it is a Debian, otherwise Debian's.</summary>
    static async Task<string> MirrorAsync(CancellationToken ct)
    {
        const string Debian = "http://deb.debian.org/debian";
        if (!IsHere("apt-get") || !File.ReadAllText("/etc/os-release").Contains("\nID=debian", StringComparison.Ordinal))
            return Debian;
        var said = await SayAsync(["sh", "-c", "apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v -- -security | sort -u | head -1"], ct);
        return said.Trim() is { Length: > 0 } mirror ? mirror : Debian;
    }

    /// <summary>Writes a configuration with its holes filled.</summary>
    /// <returns>Its path inside.</returns>
    public string Configure(string source, IReadOnlyDictionary<string, string> values)
    {
        var file = $"{Work}/run/{source}";
        Directory.CreateDirectory(Path.GetDirectoryName(Outside(file))!);
        File.WriteAllText(Outside(file), Peer.Fill(Source(source), values));
        return file;
    }

    /// <summary>The text of an embedded source.</summary>
    public static string Source(string name)
    {
        using var reader = new StreamReader(Assembly.GetExecutingAssembly().GetManifestResourceStream(name)
            ?? throw new ArgumentException($"There is no source {name}.", nameof(name)));
        return reader.ReadToEnd();
    }

    void WriteSources()
    {
        var assembly = Assembly.GetExecutingAssembly();
        foreach (var name in assembly.GetManifestResourceNames())
        {
            using var source = assembly.GetManifestResourceStream(name)!;
            using var file = File.Create(Outside($"{Work}/{name}"));
            source.CopyTo(file);
        }
    }

    async Task BuildAsync(Peer peer, Action<string> say, CancellationToken ct)
    {
        // Whatever source changes, all is built again: it takes a minute and happens with a new version of this program.
        var sources = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(peer.Build + string.Concat(
            Assembly.GetExecutingAssembly().GetManifestResourceNames().Order(StringComparer.Ordinal).Select(n => File.ReadAllText(Outside($"{Work}/{n}")))))));
        // By its build line: a peer of one name takes part in several benchmarks.
        var stamp = Outside($"{Work}/.built-{Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(peer.Build)))[..16]}");
        if (File.Exists(stamp) && File.ReadAllText(stamp) == sources)
            return;
        say($"Building {peer.Title} ...");
        try
        {
            await RunAsync(Line(["sh", "-c", peer.Build]), $"building {peer.Title}", ct);
            File.WriteAllText(stamp, sources);
        }
        catch (BenchException e)
        {
            _broken[peer.Build] = e.Message;
        }
    }

    async Task RunAsync(IEnumerable<string> line, string what, CancellationToken ct)
    {
        var log = Path.Combine(Path.GetDirectoryName(root)!, "setup.log");
        await using var child = Child.Start(line, log);
        if (await child.WaitAsync(ct) is not 0 and var code)
            throw new BenchException($"{what} failed with {code}: {child.LastWords()} (all of it in {log})");
    }

    static async Task<string> SayAsync(IEnumerable<string> line, CancellationToken ct)
    {
        await using var child = Child.Start(line, "/dev/null", talks: true);
        return await child.HearAllAsync(ct);
    }

    public static bool IsHere(string program) =>
        (Environment.GetEnvironmentVariable("PATH") + ":/usr/sbin:/sbin").Split(':', StringSplitOptions.RemoveEmptyEntries).Any(d => File.Exists(Path.Combine(d, program)));
}
