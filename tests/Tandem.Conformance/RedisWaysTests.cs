using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Backplane;
using Tandem.Core.Cache;
using Tandem.Core.Http;
using Tandem.Redis;

namespace Tandem.Conformance;

/// <summary>Redis as it is run in earnest: with TLS and a password, and with Sentinels that put another server in the place of one that is gone.</summary>
public sealed class RedisWaysTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task With_TLS_a_password_and_an_authority_of_ones_own_everything_is_shared()
    {
        var keys = Directory.CreateTempSubdirectory("tandem-redis-").FullName;
        Certify(keys);
        await using var redis = await OwnRedis.SecureAsync(keys);
        await using var stranger = await TestApp.StartAsync(null, null, redis.Settings);
        Assert.False(stranger.Services.GetRequiredService<RedisLink>().Answers);
        // Read whenever a connection is made, and by nobody else.
        Environment.SetEnvironmentVariable("SERedis_IssuerCertPath", Path.Combine(keys, "authority.pem"));
        try
        {
            await using var one = await redis.AppAsync();
            await using var other = await redis.AppAsync();
            await UntilSharedAsync(one, other);
        }
        finally
        {
            Environment.SetEnvironmentVariable("SERedis_IssuerCertPath", null);
            Directory.Delete(keys, recursive: true);
        }
    }

    [Fact]
    public async Task With_Sentinels_another_server_takes_over_no_request_fails_and_everything_is_shared_again()
    {
        await using var first = await OwnRedis.StartAsync();
        await using var second = await OwnRedis.ReplicaAsync(first);
        await using var sentinel = await Sentinel.StartAsync(first);
        await sentinel.KnowsReplicaAsync();
        string[] settings = ["--Redis:ConnectionString", $"127.0.0.1:{sentinel.Port},serviceName={Sentinel.Service}", "--Gateway:RateLimit:PermitsPerMinute", "1000000"];
        await using var one = await TestApp.StartAsync(null, null, settings);
        await using var other = await TestApp.StartAsync(null, null, settings);
        foreach (var app in new[] { one, other })
            await OwnRedis.ReadyAsync(app);
        await UntilSharedAsync(one, other);

        using var stop = new CancellationTokenSource();
        var asked = new[] { one, other }.Select(app => Task.Run(async () =>
        {
            var failures = new List<string>();
            while (!stop.IsCancellationRequested)
                // Limited, and so it asks Redis.
                if ((int)(await app.Http.GetAsync("/users/1", Ct)).StatusCode is not 401 and var status)
                    failures.Add($"{status}");
            return failures;
        })).ToArray();
        await first.KillAsync();
        var killed = Stopwatch.GetTimestamp();
        foreach (var app in new[] { one, other })
            await Eventually.TrueAsync(() => Task.FromResult(!app.Services.GetRequiredService<RedisLink>().Answers));
        await UntilSharedAsync(one, other);
        TestContext.Current.SendDiagnosticMessage($"Shared again {Stopwatch.GetElapsedTime(killed).TotalSeconds:0.0} s after the server was killed");
        await stop.CancelAsync();
        Assert.All(await Task.WhenAll(asked), Assert.Empty);
    }

    [Fact]
    public async Task A_program_that_starts_before_its_Sentinels_finds_them_later()
    {
        await using var first = await OwnRedis.StartAsync();
        var port = OwnPostgres.FreePort();
        await using var app = await TestApp.StartAsync(null, null, "--Redis:ConnectionString", $"127.0.0.1:{port},serviceName={Sentinel.Service}");
        Assert.False(app.Services.GetRequiredService<RedisLink>().Answers);
        await using var sentinel = await Sentinel.StartAsync(first, port);
        await Eventually.TrueAsync(() => Task.FromResult(app.Services.GetRequiredService<RedisLink>().Answers), seconds: 30);
    }

    /// <summary>Limits are counted together, caches see each other's values, and messages arrive.</summary>
    static async Task UntilSharedAsync(TestApp one, TestApp other)
    {
        var key = 0;
        await Eventually.TrueAsync(async () =>
        {
            key++;
            await one.Services.GetRequiredService<IRateLimits>().TakeAsync("ways", $"k{key}", 1, TimeSpan.FromHours(1));
            return !(await other.Services.GetRequiredService<IRateLimits>().TakeAsync("ways", $"k{key}", 1, TimeSpan.FromHours(1))).Allowed;
        }, seconds: 60);
        var name = Guid.NewGuid().ToString();
        await Eventually.TrueAsync(async () =>
        {
            await one.Services.GetRequiredService<Cache<string, int>>().SetAsync(name, ++key, null, Ct);
            return await other.Services.GetRequiredService<Cache<string, int>>().GetAsync(name, Ct) == (true, key);
        }, seconds: 60);
        var heard = new ConcurrentQueue<string>();
        using var subscription = other.Services.GetRequiredService<IBackplane>().Subscribe("test.ways", heard.Enqueue);
        await Eventually.TrueAsync(() =>
        {
            one.Services.GetRequiredService<IBackplane>().Publish("test.ways", name);
            return Task.FromResult(heard.Contains(name));
        }, seconds: 60);
    }

    /// <summary>An authority and a certificate by it for this machine's loopback.</summary>
    static void Certify(string directory)
    {
        var (from, to) = (DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        using var authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var authority = new CertificateRequest("CN=An authority of tests", authorityKey, HashAlgorithmName.SHA256);
        authority.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using var issuer = authority.CreateSelfSigned(from, to);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=redis", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.Create(issuer, from, to, [1]);
        File.WriteAllText(Path.Combine(directory, "authority.pem"), issuer.ExportCertificatePem());
        File.WriteAllText(Path.Combine(directory, "redis.pem"), certificate.ExportCertificatePem());
        File.WriteAllText(Path.Combine(directory, "redis.key"), key.ExportPkcs8PrivateKeyPem());
    }

    /// <summary>A Sentinel that believes itself: one is enough to declare a server dead.</summary>
    sealed class Sentinel : IAsyncDisposable
    {
        public const string Service = "tandem-tests";

        readonly string _file = Path.GetTempFileName();
        Process? _process;

        public int Port { get; private init; }

        public static async Task<Sentinel> StartAsync(OwnRedis watched, int? port = null)
        {
            var sentinel = new Sentinel { Port = port ?? OwnPostgres.FreePort() };
            await File.WriteAllTextAsync(sentinel._file, $"""
                port {sentinel.Port}
                bind 127.0.0.1
                sentinel monitor {Service} 127.0.0.1 {watched.Port} 1
                sentinel down-after-milliseconds {Service} 1000
                sentinel failover-timeout {Service} 5000

                """, Ct);
            sentinel._process = Process.Start(new ProcessStartInfo("redis-server", [sentinel._file, "--sentinel"]) { RedirectStandardOutput = true })
                ?? throw new InvalidOperationException("The Sentinel did not start.");
            _ = sentinel._process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
            return sentinel;
        }

        /// <summary>It asks a server for its replicas every ten seconds, and knows of none before.</summary>
        public async Task KnowsReplicaAsync()
        {
            await using var connection = await StackExchange.Redis.ConnectionMultiplexer.ConnectAsync(
                new StackExchange.Redis.ConfigurationOptions { EndPoints = { { "127.0.0.1", Port } }, CommandMap = StackExchange.Redis.CommandMap.Sentinel, TieBreaker = "", AbortOnConnectFail = false });
            var server = connection.GetServer("127.0.0.1", Port);
            await Eventually.TrueAsync(async () => server.IsConnected
                && (await server.SentinelReplicasAsync(Service)).Any(r => r.Any(f => f.Key == "master-link-status" && f.Value == "ok")), seconds: 30);
        }

        public async ValueTask DisposeAsync()
        {
            _process!.Kill();
            await _process.WaitForExitAsync();
            _process.Dispose();
            File.Delete(_file);
        }
    }
}
