using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using StackExchange.Redis;
using Tandem.Redis;

namespace Tandem.Conformance;

/// <summary>A Redis server of a test's own, on a free port and without a disk: what is killed comes back empty.</summary>
sealed class OwnRedis : IAsyncDisposable
{
    readonly string[] _arguments;
    Process? _server;

    OwnRedis(int port, string[] arguments) => (Port, _arguments) = (port, arguments);

    public int Port { get; }

    /// <summary>What programs write besides its address.</summary>
    public string More { get; init; } = "";

    /// <summary>What a program needs to use it. The machine of a test may be busy; only what is killed should count as away.</summary>
    public string[] Settings => ["--Redis:ConnectionString", $"127.0.0.1:{Port}{More}", "--Redis:OperationTimeout", "00:00:05"];

    public static async Task<OwnRedis> StartAsync()
    {
        var port = OwnPostgres.FreePort();
        return await StartAsync(new OwnRedis(port, ["--port", $"{port}"]));
    }

    /// <summary>Another one with the same content.</summary>
    public static async Task<OwnRedis> ReplicaAsync(OwnRedis of)
    {
        var port = OwnPostgres.FreePort();
        return await StartAsync(new OwnRedis(port, ["--port", $"{port}", "--replicaof", "127.0.0.1", $"{of.Port}", "--repl-diskless-sync-delay", "0"]));
    }

    /// <summary>One that speaks TLS and nothing else, and lets nobody in without a password.</summary>
    /// <param name="keys">A directory with what it is to show: <c>redis.pem</c> and <c>redis.key</c>.</param>
    public static async Task<OwnRedis> SecureAsync(string keys)
    {
        var port = OwnPostgres.FreePort();
        return await StartAsync(new OwnRedis(port,
        [
            "--port", "0", "--tls-port", $"{port}", "--tls-cert-file", Path.Combine(keys, "redis.pem"), "--tls-key-file", Path.Combine(keys, "redis.key"),
            "--tls-auth-clients", "no", "--requirepass", "let me in",
        ])
        { More = ",ssl=true,password=let me in" });
    }

    static async Task<OwnRedis> StartAsync(OwnRedis redis)
    {
        Assert.SkipUnless(IsInstalled(), "redis-server is not installed; ./test installs it.");
        await redis.StartAgainAsync();
        return redis;
    }

    public async Task StartAgainAsync()
    {
        _server = Process.Start(new ProcessStartInfo("redis-server", [.. _arguments, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetTempPath(),
        }) ?? throw new InvalidOperationException("Redis did not start.");
        while (await _server.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) is { } line)
            if (line.Contains("Ready to accept connections", StringComparison.Ordinal))
            {
                _ = _server.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
                _ = _server.StandardError.BaseStream.CopyToAsync(Stream.Null);
                return;
            }

        throw new InvalidOperationException("Redis ended before it was ready.");
    }

    /// <summary>SIGKILL.</summary>
    public async Task KillAsync()
    {
        if (_server is not { HasExited: false })
            return;
        _server.Kill();
        await _server.WaitForExitAsync();
    }

    /// <summary>SIGSTOP: connections stay, answers do not come.</summary>
    public Task FreezeAsync() => SignalAsync("STOP");

    public Task ThawAsync() => SignalAsync("CONT");

    /// <summary>A client beside the programs.</summary>
    public Task<ConnectionMultiplexer> ConnectAsync() => ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{Port}");

    /// <summary>A program on it, which hears the others.</summary>
    public async Task<TestApp> AppAsync(params string[] more)
    {
        var app = await TestApp.StartAsync(null, null, [.. Settings, .. more]);
        await ReadyAsync(app);
        return app;
    }

    /// <summary>Returns when the program uses Redis and hears the others.</summary>
    public static async Task ReadyAsync(TestApp app)
    {
        await Eventually.TrueAsync(() => Task.FromResult(app.Services.GetRequiredService<RedisLink>().Answers));
        await app.Services.GetRequiredService<RedisBackplane>().Listening.WaitAsync(TestContext.Current.CancellationToken);
    }

    async Task SignalAsync(string signal)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{_server!.Id}"]);
        await kill.WaitForExitAsync();
        Assert.Equal(0, kill.ExitCode);
    }

    static bool IsInstalled() => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(d => File.Exists(Path.Combine(d, "redis-server")));

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _server?.Dispose();
    }
}

/// <summary>Two processes of one program, as far as a seam can tell: embedded there is only one, which stands for both.</summary>
sealed class Pair(OwnRedis? redis, TestApp one, TestApp other) : IAsyncDisposable
{
    public TestApp One => one;

    public TestApp Other => other;

    public (T One, T Other) Both<T>() where T : notnull => (one.Services.GetRequiredService<T>(), other.Services.GetRequiredService<T>());

    public static async Task<Pair> EmbeddedAsync(params string[] settings)
    {
        var app = await TestApp.StartAsync(null, null, settings);
        return new Pair(null, app, app);
    }

    public static async Task<Pair> OnRedisAsync(params string[] settings)
    {
        var redis = await OwnRedis.StartAsync();
        return new Pair(redis, await redis.AppAsync(settings), await redis.AppAsync(settings));
    }

    public OwnRedis Redis => redis ?? throw new InvalidOperationException("Embedded, there is no Redis.");

    /// <summary>Both see that Redis is gone.</summary>
    public async Task KillAsync()
    {
        await Redis.KillAsync();
        foreach (var app in new[] { one, other })
            await Eventually.TrueAsync(() => Task.FromResult(!app.Services.GetRequiredService<RedisLink>().Answers));
    }

    /// <summary>Redis is back and both use it.</summary>
    public async Task ReviveAsync()
    {
        await Redis.StartAgainAsync();
        foreach (var app in new[] { one, other })
            await OwnRedis.ReadyAsync(app);
    }

    public async ValueTask DisposeAsync()
    {
        await using var last = redis;
        await using var first = one;
        if (other != one)
            await other.DisposeAsync();
    }
}
