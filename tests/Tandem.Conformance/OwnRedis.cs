using System.Diagnostics;
using System.Net.Sockets;

namespace Tandem.Conformance;

/// <summary>A Redis of a test's own on a free port, to be killed and started again; it keeps nothing.</summary>
sealed class OwnRedis : IAsyncDisposable
{
    readonly int _port = FreePort();
    Process? _process;

    public string[] Settings => ["--Redis:ConnectionString", $"127.0.0.1:{_port}"];

    public static async Task<OwnRedis> StartAsync()
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("PATH")?.Split(':').Any(d => File.Exists(Path.Combine(d, "redis-server"))) is true,
            "There is no redis-server on PATH; ./test installs one.");
        var redis = new OwnRedis();
        await redis.StartAgainAsync();
        return redis;
    }

    public async Task StartAgainAsync()
    {
        _process = Process.Start(new ProcessStartInfo("redis-server", ["--port", $"{_port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        {
            RedirectStandardOutput = true,
        }) ?? throw new InvalidOperationException("Redis did not start.");
        _ = _process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
        await Eventually.TrueAsync(async () =>
        {
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync("127.0.0.1", _port);
                return true;
            }
            catch (SocketException)
            {
                return false;
            }
        });
    }

    public async Task KillAsync()
    {
        if (_process is not { HasExited: false })
            return;
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    static int FreePort()
    {
        using var listener = new TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        return ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process?.Dispose();
    }
}
