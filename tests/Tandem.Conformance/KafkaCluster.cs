using System.Diagnostics;
using Confluent.Kafka;

namespace Tandem.Conformance;

/// <summary>
/// Kafka for one test: a mock cluster of its own (see tests/Tandem.KafkaMock), or the brokers that TANDEM_TEST_KAFKA names, with a topic prefix of
/// its own.
/// </summary>
sealed class KafkaCluster : IAsyncDisposable
{
    readonly Process? _mock;

    KafkaCluster(string bootstrapServers, Process? mock) => (BootstrapServers, _mock) = (bootstrapServers, mock);

    public string BootstrapServers { get; }

    public string Prefix { get; } = $"tandem-test-{Guid.NewGuid():n}";

    public string Topic => $"{Prefix}.events";

    /// <summary>False on real brokers, which the suite neither stops nor disturbs.</summary>
    public bool TakesCommands => _mock is not null;

    /// <summary>What a program needs to use it. The mock takes a second less than the session for every rebalance, and answers a fetch late or not at all.</summary>
    public string[] Settings =>
    [
        "--Kafka:BootstrapServers", BootstrapServers, "--Kafka:TopicPrefix", Prefix,
        .. TakesCommands ? ["--Kafka:Client:session.timeout.ms", "2000", "--Kafka:Client:heartbeat.interval.ms", "500", "--Kafka:Client:fetch.wait.max.ms", "50"] : Array.Empty<string>(),
    ];

    public static async Task<KafkaCluster> StartAsync()
    {
        if (Environment.GetEnvironmentVariable("TANDEM_TEST_KAFKA") is { Length: > 0 } brokers)
            return new KafkaCluster(brokers, null);
        var mock = Process.Start(new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "Tandem.KafkaMock"))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        }) ?? throw new InvalidOperationException("The mock cluster did not start.");
        var address = await mock.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)
            ?? throw new InvalidOperationException("The mock cluster ended without an address.");
        return new KafkaCluster(address, mock);
    }

    /// <summary>Brokers create the topic when the program asks; the mock must be told.</summary>
    public Task TopicAsync(int partitions, string? name = null) => TakesCommands ? TellAsync($"topic {name ?? Topic} {partitions}") : Task.CompletedTask;

    /// <summary>A command of the mock; a test that needs one is skipped on real brokers.</summary>
    public async Task TellAsync(string command)
    {
        if (_mock is null)
        {
            Assert.Skip($"Real brokers are not told to {command}.");
            return;
        }

        await _mock.StandardInput.WriteLineAsync(command);
        await _mock.StandardInput.FlushAsync(TestContext.Current.CancellationToken);
        Assert.Equal("ok", await _mock.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken));
    }

    public async ValueTask DisposeAsync()
    {
        if (_mock is null)
        {
            await SweepAsync();
            return;
        }

        _mock.StandardInput.Close();
        await _mock.WaitForExitAsync();
        _mock.Dispose();
    }

    /// <summary>Leaves nothing on real brokers.</summary>
    async Task SweepAsync()
    {
        using var admin = new AdminClientBuilder(new AdminClientConfig { BootstrapServers = BootstrapServers }).Build();
        var mine = admin.GetMetadata(TimeSpan.FromSeconds(10)).Topics.Select(t => t.Topic).Where(t => t.StartsWith(Prefix, StringComparison.Ordinal)).ToList();
        if (mine.Count > 0)
            await admin.DeleteTopicsAsync(mine);
    }
}
