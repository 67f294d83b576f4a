using System.Diagnostics;

namespace Tandem.Ledger;

/// <summary>
/// One broker of librdkafka's mock cluster, which keeps its log in memory: killing the cluster would lose what a real one keeps. So a broker is
/// cut off and comes back, which clients see as the death of a broker; what they do about it is what is tested.
/// </summary>
sealed class KafkaBroker(KafkaCluster cluster, int number) : Victim
{
    public override string Kind => "kafka";

    public override void Start() => cluster.Tell($"up {number}");

    public override void Kill() => cluster.Tell($"down {number}");

    public override Task GoneAsync() => Task.CompletedTask;

    public override Task<bool> ServesAsync(Client client, CancellationToken ct) => Task.FromResult(true);
}

/// <summary>The mock cluster as a process of its own; it ends with the ledger.</summary>
sealed class KafkaCluster : IDisposable
{
    const int Brokers = 3;

    readonly Lock _gate = new();
    readonly Process _process;

    public KafkaCluster()
    {
        _process = Process.Start(new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "Tandem.KafkaMock"), [$"{Brokers}"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        }) ?? throw new InvalidOperationException("The mock cluster did not start.");
        BootstrapServers = _process.StandardOutput.ReadLine() ?? throw new LedgerException("The mock cluster says nothing.");
        // It cannot make topics by request.
        Tell("topic tandem.events 12");
    }

    public string BootstrapServers { get; }

    /// <summary>
    /// What puts a process on it. A killed consumer's partitions wait for its session to run out: six seconds are the least that real brokers
    /// allow unless told otherwise (<c>group.min.session.timeout.ms</c>), and here each rebalance takes a second less than that besides.
    /// </summary>
    public string[] Settings =>
    [
        "--Kafka:BootstrapServers", BootstrapServers, "--Kafka:Client:session.timeout.ms", "2000", "--Kafka:Client:heartbeat.interval.ms", "500",
        "--Kafka:Client:fetch.wait.max.ms", "50",
    ];

    public IEnumerable<Victim> Victims => Enumerable.Range(1, Brokers).Select(n => new KafkaBroker(this, n));

    public void Tell(string command)
    {
        lock (_gate)
        {
            _process.StandardInput.WriteLine(command);
            if (_process.StandardOutput.ReadLine() is not "ok" and var answer)
                throw new LedgerException($"The mock cluster answered \"{command}\" with \"{answer}\".");
        }
    }

    public void Dispose()
    {
        _process.Kill();
        _process.Dispose();
    }
}
