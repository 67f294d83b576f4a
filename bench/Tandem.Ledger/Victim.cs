using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Tandem.Ledger;

/// <summary>A process or server that is killed and started again, on the same port and data.</summary>
abstract class Victim : IAsyncDisposable
{
    /// <summary>What the results are grouped by: tandem, postgres, redis, or a role.</summary>
    public abstract string Kind { get; }

    /// <summary>Starts it; does not wait until it serves.</summary>
    public abstract void Start();

    /// <summary>SIGKILL, and nothing before it.</summary>
    public abstract void Kill();

    /// <summary>Returns when nothing of it runs any more.</summary>
    public abstract Task GoneAsync();

    /// <summary>True when it serves.</summary>
    public abstract Task<bool> ServesAsync(Client client, CancellationToken ct);

    public async Task ServingAsync(Client client, CancellationToken ct)
    {
        while (!await ServesAsync(client, ct))
            await Task.Delay(10, ct);
    }

    public async ValueTask DisposeAsync()
    {
        Kill();
        await GoneAsync();
    }

    /// <summary>A port nobody listens on, below those that outgoing connections are given.</summary>
    public static int FreePort()
    {
        while (true)
        {
            var port = Random.Shared.Next(20_000, 30_000);
            try
            {
                using var listener = new TcpListener(IPAddress.Loopback, port);
                listener.Start();
                return port;
            }
            catch (SocketException)
            {
                // Taken.
            }
        }
    }
}

/// <summary>The program under test as a process.</summary>
sealed class TandemProcess(string kind, string directory, IReadOnlyList<string> settings) : Victim
{
    Process? _process;
    int _starts;

    public override string Kind => kind;

    public string Address { get; } = $"http://127.0.0.1:{FreePort()}";

    public override void Start()
    {
        var start = new ProcessStartInfo(Environment.ProcessPath ?? throw new InvalidOperationException("The path of this program is not known."))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = directory,
        };
        foreach (var argument in (string[])["serve", "--urls", Address, "--Log:Level", "Warning", "--Users:SignUpsPerMinutePerAddress", "0", "--Users:AccessTokenLifetime", "12:00:00", .. settings])
            start.ArgumentList.Add(argument);
        _process = Process.Start(start) ?? throw new InvalidOperationException("The program did not start.");
        var log = Path.Combine(directory, $"{kind}-{new Uri(Address).Port}-{++_starts:000}");
        _ = CopyAsync(_process.StandardOutput.BaseStream, log + ".log");
        _ = CopyAsync(_process.StandardError.BaseStream, log + ".err");
    }

    public override void Kill() => _process?.Kill();

    public override Task GoneAsync() => _process?.WaitForExitAsync() ?? Task.CompletedTask;

    public override async Task<bool> ServesAsync(Client client, CancellationToken ct)
    {
        if (_process is { HasExited: true })
            throw new LedgerException($"A {kind} process stopped by itself with exit code {_process.ExitCode}; its log is in {directory}.");
        return await client.TryGetAsync($"{Address}/health/ready", ct) is not null;
    }

    static async Task CopyAsync(Stream from, string path)
    {
        await using var file = File.Create(path);
        await from.CopyToAsync(file);
    }
}

/// <summary>The run cannot go on; the message says why.</summary>
sealed class LedgerException(string message) : Exception(message);
