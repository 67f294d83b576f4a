using System.Diagnostics;
using Npgsql;

namespace Tandem.Ledger;

/// <summary>A PostgreSQL server of its own: killed, it is gone with every child at once, as by a power switch but for the caches of the system.</summary>
sealed class Postgres : Victim
{
    // It does not run as root; Debian's packages make this account.
    const string Account = "postgres";

    readonly string _directory;
    readonly int _port = FreePort();
    Process? _process;
    int _starts;
    List<int> _children = [];

    public Postgres(string directory)
    {
        _directory = Path.Combine(directory, "postgres");
        Directory.CreateDirectory(_directory);
        if (Environment.IsPrivilegedProcess)
            Run("chown", Account, _directory);
        RunAs(Program("initdb"), "--pgdata", _directory, "--username", "tandem", "--auth", "trust", "--encoding", "UTF8", "--locale", "C");
    }

    public override string Kind => "postgres";

    public string ConnectionString => $"Host=127.0.0.1;Port={_port};Database=postgres;Username=tandem";

    public override void Start()
    {
        _process = Process.Start(As(Program("postgres"), "-D", _directory, "-p", $"{_port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200"))
            ?? throw new InvalidOperationException("PostgreSQL did not start.");
        KeepLog(_process, Path.Combine(Path.GetDirectoryName(_directory)!, $"postgres-{++_starts:000}"));
    }

    public override void Kill()
    {
        if (_process is not { HasExited: false } postmaster)
            return;
        _children = [.. ChildrenOf(postmaster.Id)];
        postmaster.Kill(entireProcessTree: true);
    }

    public override async Task GoneAsync()
    {
        if (_process is null)
            return;
        await _process.WaitForExitAsync();
        // It does not start while a child still has its shared memory.
        while (_children.Any(c => Directory.Exists($"/proc/{c}")))
            await Task.Delay(1);
    }

    public override async Task<bool> ServesAsync(Client client, CancellationToken ct)
    {
        if (_process is { HasExited: true })
            throw new LedgerException($"PostgreSQL stopped by itself with exit code {_process.ExitCode}; its log is beside {_directory}.");
        try
        {
            await using var connection = new NpgsqlConnection(ConnectionString + ";Pooling=false;Timeout=2");
            await connection.OpenAsync(ct);
            return true;
        }
        catch (NpgsqlException)
        {
            return false;
        }
    }

    static IEnumerable<int> ChildrenOf(int id) => File.ReadAllText($"/proc/{id}/task/{id}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse);

    /// <summary>On the path, or where Debian puts the newest one.</summary>
    static string Program(string name) => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':')
        .Concat(Directory.Exists("/usr/lib/postgresql") ? Directory.GetDirectories("/usr/lib/postgresql").OrderByDescending(d => d, StringComparer.Ordinal).Select(d => d + "/bin") : [])
        .Select(d => Path.Combine(d, name)).FirstOrDefault(File.Exists) ?? throw new LedgerException($"There is no {name} on this machine: install PostgreSQL.");

    static ProcessStartInfo As(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = "/" };
        if (Environment.IsPrivilegedProcess)
            start.UserName = Account;
        return start;
    }

    static void RunAs(string program, params string[] arguments) => Finish(As(program, arguments));

    static void Run(string program, params string[] arguments) => Finish(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true });

    static void Finish(ProcessStartInfo start)
    {
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{start.FileName} did not start.");
        process.OutputDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        var errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new LedgerException($"{start.FileName} failed: {errors}");
    }
}
