using Confluent.Kafka;
using Microsoft.Extensions.Logging;
using Tandem.Core.Configuration;

namespace Tandem.Kafka;

/// <summary>Makes the clients with the settings that order and delivery depend on.</summary>
sealed class KafkaClients(KafkaOptions options, ILogger<KafkaClients> logger) : IDisposable
{
    // What a setting here could break is decided below; see docs/decisions/0009-events-on-kafka.md.
    static readonly string[] Decided =
    [
        "enable.idempotence", "acks", "request.required.acks", "max.in.flight", "max.in.flight.requests.per.connection", "message.timeout.ms",
        "delivery.timeout.ms", "enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "partition.assignment.strategy", "group.id",
        "group.protocol", "transactional.id", "allow.auto.create.topics", "bootstrap.servers", "metadata.broker.list",
    ];

    readonly Lazy<IAdminClient> _admin = new(() => new AdminClientBuilder(Common(options, new AdminClientConfig()))
        .SetLogHandler((_, m) => Say(logger, m)).Build());

    /// <summary>For questions and for creating the topic; one a process.</summary>
    public IAdminClient Admin => _admin.Value;

    /// <summary>
    /// One request at a time to each broker and no time limit on a record: what is sent for a partition arrives in the order of the log or not at
    /// all, whatever fails between. Records are batched, so one request at a time is not slow.
    /// </summary>
    public IProducer<string, byte[]> Producer() =>
        new ProducerBuilder<string, byte[]>(Common(options, new ProducerConfig
        {
            EnableIdempotence = true,
            Acks = Acks.All,
            MaxInFlight = 1,
            MessageTimeoutMs = 0,
            LingerMs = 0,
            CompressionType = CompressionType.Lz4,
        })).SetLogHandler((_, m) => Say(logger, m)).Build();

    /// <param name="group">The group id.</param>
    /// <param name="configure">Adds the handlers of rebalances.</param>
    public IConsumer<string, byte[]> Consumer(string group, Action<ConsumerBuilder<string, byte[]>> configure)
    {
        var builder = new ConsumerBuilder<string, byte[]>(Common(options, new ConsumerConfig
        {
            GroupId = group,
            PartitionAssignmentStrategy = PartitionAssignmentStrategy.CooperativeSticky,
            // Commits now and then what the loop has marked as done, behind the effect. Nothing here depends on it: it shows Kafka's own tools the lag.
            EnableAutoCommit = true,
            AutoCommitIntervalMs = 1000,
            EnableAutoOffsetStore = false,
            AutoOffsetReset = AutoOffsetReset.Earliest,
            AllowAutoCreateTopics = false,
            // The least that brokers allow by default: so long does a partition wait for the process that died with it.
            SessionTimeoutMs = 6000,
            HeartbeatIntervalMs = 2000,
            // Read ahead a little: each consumer of each process has a queue of its own.
            QueuedMinMessages = 1000,
            QueuedMaxMessagesKbytes = 8192,
            FetchErrorBackoffMs = 100,
        })).SetLogHandler((_, m) => Say(logger, m));
        configure(builder);
        return builder.Build();
    }

    public static void Check(KafkaOptions options)
    {
        foreach (var name in options.Client.Keys)
            if (Decided.Contains(name, StringComparer.OrdinalIgnoreCase))
                throw new ConfigurationException($"Kafka:Client:{name} cannot be set: the delivery of events depends on it.");
        if (options.SecurityProtocol.StartsWith("Sasl", StringComparison.Ordinal) && options.SaslMechanism is null)
            throw new ConfigurationException($"Kafka:SecurityProtocol is {options.SecurityProtocol}: say which Kafka:SaslMechanism (Plain, ScramSha256, ScramSha512).");
    }

    static T Common<T>(KafkaOptions options, T config) where T : ClientConfig
    {
        config.BootstrapServers = options.BootstrapServers;
        config.ClientId = options.TopicPrefix;
        config.SecurityProtocol = Enum.Parse<SecurityProtocol>(options.SecurityProtocol);
        config.SaslMechanism = options.SaslMechanism is { } mechanism ? Enum.Parse<SaslMechanism>(mechanism) : null;
        config.SaslUsername = options.SaslUsername;
        config.SaslPassword = options.SaslPassword;
        config.SslCaLocation = options.SslCaLocation;
        config.SslCertificateLocation = options.SslCertificateLocation;
        config.SslKeyLocation = options.SslKeyLocation;
        config.SslKeyPassword = options.SslKeyPassword;
        // By default a client waits up to ten seconds before it looks again whether a broker is back.
        config.ReconnectBackoffMs = 50;
        config.ReconnectBackoffMaxMs = 1000;
        foreach (var (name, value) in options.Client)
            config.Set(name, value);
        return config;
    }

    // A lost connection is said by readiness and by the loops that feel it; the library would repeat it for every broker and client.
    static void Say(ILogger logger, LogMessage m)
    {
        if (m.Level <= SyslogLevel.Critical)
            logger.LibraryFailed(m.Name, m.Facility, m.Message);
        else if (logger.IsEnabled(LogLevel.Debug))
            logger.LibrarySaid(m.Name, m.Facility, m.Message);
    }

    public void Dispose()
    {
        if (_admin.IsValueCreated)
            _admin.Value.Dispose();
    }
}
