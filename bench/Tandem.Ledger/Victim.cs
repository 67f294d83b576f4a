using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Tandem.Ledger;

/// <summary>A process or server that is killed and started again, on the same port and data.</summary>
abstract class Victim : IAsyncDisposable
{
    /// <summary>What the results are grouped by: tandem, postgres, redis, or a role.</summary>
    public abstract string Kind { get; }

    /// <summary>When it ended without having been killed.</summary>
    public ConcurrentBag<string> GaveUp { get; } = [];

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

    /// <summary>Writes what a process says into files, until it ends.</summary>
    protected static void KeepLog(Process process, string path)
    {
        _ = CopyAsync(process.StandardOutput.BaseStream, path + ".log");
        _ = CopyAsync(process.StandardError.BaseStream, path + ".err");

        static async Task CopyAsync(Stream from, string path)
        {
            await using var file = File.Create(path);
            await from.CopyToAsync(file);
        }
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

/// <summary>The program under test as a process. One that gives up by itself is started again, as systemd or Kubernetes would, and noted.</summary>
sealed class TandemProcess(string kind, string directory, IReadOnlyList<string> settings) : Victim
{
    static readonly TimeSpan RestartPause = TimeSpan.FromMilliseconds(100);

    readonly Lock _gate = new();
    Process? _process;
    bool _wanted;
    int _starts;

    public override string Kind => kind;

    public string Address { get; } = $"http://127.0.0.1:{FreePort()}";

    public override void Start()
    {
        lock (_gate)
        {
            _wanted = true;
            var start = new ProcessStartInfo(Environment.ProcessPath ?? throw new InvalidOperationException("The path of this program is not known."))
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                WorkingDirectory = directory,
            };
            foreach (var argument in (string[])["serve", "--urls", Address, "--Log:Level", "Warning", "--Users:SignUpsPerMinutePerAddress", "0", "--Users:AccessTokenLifetime", "12:00:00", .. settings])
                start.ArgumentList.Add(argument);
            _process = Process.Start(start) ?? throw new InvalidOperationException("The program did not start.");
            KeepLog(_process, Path.Combine(directory, $"{kind}-{new Uri(Address).Port}-{++_starts:000}"));
            _ = WatchAsync(_process);
        }
    }

    public override void Kill()
    {
        lock (_gate)
        {
            _wanted = false;
            _process?.Kill();
        }
    }

    public override Task GoneAsync() => _process?.WaitForExitAsync() ?? Task.CompletedTask;

    public override async Task<bool> ServesAsync(Client client, CancellationToken ct) => await client.TryGetAsync($"{Address}/health/ready", ct) is not null;

    async Task WatchAsync(Process process)
    {
        await process.WaitForExitAsync();
        if (!IsWanted())
            return;
        GaveUp.Add($"{kind} with exit code {process.ExitCode}; its log {_starts:000}");
        await Task.Delay(RestartPause);
        lock (_gate)
            if (IsWanted())
                Start();

        bool IsWanted()
        {
            lock (_gate)
                return _wanted && _process == process;
        }
    }
}

/// <summary>The run cannot go on; the message says why.</summary>
sealed class LedgerException(string message) : Exception(message);
