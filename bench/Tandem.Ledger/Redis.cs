using System.Diagnostics;
using System.Net.Sockets;

namespace Tandem.Ledger;

/// <summary>A Redis of its own that keeps nothing: what is in it may be lost at any time.</summary>
sealed class Redis(string directory) : Victim
{
    readonly int _port = FreePort();
    Process? _process;
    int _starts;

    public override string Kind => "redis";

    public string ConnectionString => $"127.0.0.1:{_port}";

    public override void Start()
    {
        _process = Process.Start(new ProcessStartInfo("redis-server", ["--port", $"{_port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        }) ?? throw new LedgerException("There is no redis-server on this machine: install Redis.");
        KeepLog(_process, Path.Combine(directory, $"redis-{++_starts:000}"));
    }

    public override void Kill()
    {
        if (_process is { HasExited: false })
            _process.Kill();
    }

    public override Task GoneAsync() => _process?.WaitForExitAsync() ?? Task.CompletedTask;

    public override async Task<bool> ServesAsync(Client client, CancellationToken ct)
    {
        try
        {
            using var tcp = new TcpClient();
            await tcp.ConnectAsync("127.0.0.1", _port, ct);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
