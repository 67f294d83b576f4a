using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Confluent.Kafka;
using Confluent.Kafka.Admin;
using Microsoft.Extensions.Logging;
using Tandem.Core.Data;

namespace Tandem.Kafka;

/// <summary>The topic of all events: made when it is missing, and looked at before it is used.</summary>
sealed class EventTopic(KafkaOptions options, KafkaClients clients, TimeProvider clock, ILogger<EventTopic> logger)
{
    // Probes give up after two seconds; the sentence must be there before.
    static readonly TimeSpan AnswerTime = TimeSpan.FromMilliseconds(1500);
    static readonly TimeSpan CreateTime = TimeSpan.FromSeconds(10);
    static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(1);

    readonly SemaphoreSlim _one = new(1);
    string? _problem;

    public string Name { get; } = $"{options.TopicPrefix}.events";

    public int Partitions => options.Partitions;

    /// <summary>Returns when the topic can be used, however long that takes.</summary>
    /// <returns>Which topic it is, and in how many partitions: another number when it was deleted and made again.</returns>
    public async Task<long> ReadyAsync(CancellationToken ct)
    {
        while (true)
        {
            try
            {
                return await LookAsync(ct);
            }
            catch (StoreUnavailableException e)
            {
                if (Interlocked.Exchange(ref _problem, e.Message) != e.Message)
                    logger.TopicUnusable(e.Message);
            }

            await Task.Delay(LookInterval, clock, ct);
        }
    }

    /// <summary>For readiness. Without Kafka requests are answered and events wait, so the worst is that.</summary>
    /// <exception cref="DegradedException">Events do not flow; the message says why and what to do.</exception>
    public async Task CheckAsync(CancellationToken ct)
    {
        if (Volatile.Read(ref _problem) is { } problem)
            throw new DegradedException(problem);
        try
        {
            // Not only what the loop above found: in a command beside the server there is no loop.
            CheckPartitions(await DescribeAsync(AnswerTime, ct)
                ?? throw Unavailable($"Topic {Name} is missing: a server makes it as it starts, where it may. Or let somebody run: {CreateCommand}"));
        }
        catch (StoreUnavailableException e)
        {
            throw new DegradedException(e.Message, e);
        }
    }

    /// <returns>Per partition the offset that the next record will have, which is the position of the last one.</returns>
    public async Task<long[]> EndsAsync(CancellationToken ct)
    {
        var specs = Enumerable.Range(0, Partitions).Select(p => new TopicPartitionOffsetSpec { TopicPartition = new(Name, p), OffsetSpec = OffsetSpec.Latest() });
        var result = await AskAsync(() => clients.Admin.ListOffsetsAsync(specs, new ListOffsetsOptions { RequestTimeout = AnswerTime }), ct);
        var ends = new long[Partitions];
        foreach (var info in result.ResultInfos)
            ends[info.TopicPartitionOffsetError.Partition.Value] = info.TopicPartitionOffsetError.Offset.Value;
        return ends;
    }

    /// <summary>The number of partitions in what <see cref="ReadyAsync"/> returned.</summary>
    public static int PartitionsIn(long identity) => (int)(identity & 1023);

    async Task<long> LookAsync(CancellationToken ct)
    {
        // One at a time: of many consumers that start together the first makes the topic.
        await _one.WaitAsync(ct);
        try
        {
            var topic = await DescribeAsync(CreateTime, ct);
            if (topic is null)
            {
                await CreateAsync(ct);
                topic = await DescribeAsync(CreateTime, ct) ?? throw Unavailable($"Topic {Name} was just created and is not known to all brokers yet.");
            }

            CheckPartitions(topic);
            _problem = null;
            return await IdentityAsync(topic, ct);
        }
        finally
        {
            _one.Release();
        }
    }

    void CheckPartitions(TopicDescription topic)
    {
        if (topic.Partitions.Count != Partitions)
            throw Unavailable($"Topic {Name} has {topic.Partitions.Count} partitions and Kafka:Partitions is {Partitions}: make the setting the same, or choose another Kafka:TopicPrefix.");
    }

    async Task<TopicDescription?> DescribeAsync(TimeSpan patience, CancellationToken ct)
    {
        try
        {
            var described = await AskAsync(() => clients.Admin.DescribeTopicsAsync(TopicCollection.OfTopicNames([Name]), new DescribeTopicsOptions { RequestTimeout = patience }), ct);
            return described.TopicDescriptions[0];
        }
        catch (DescribeTopicsException e) when (e.Results.TopicDescriptions[0].Error is { } error)
        {
            return error.Code == ErrorCode.UnknownTopicOrPart ? null : throw Unavailable($"Topic {Name} cannot be used: {error.Reason}.", e);
        }
    }

    Dictionary<string, string> Configs
    {
        get
        {
            var configs = new Dictionary<string, string> { ["cleanup.policy"] = "delete", ["retention.ms"] = "-1", ["retention.bytes"] = "-1" };
            // An acknowledged event is then on two brokers, and one of three may be away while events flow.
            if (options.ReplicationFactor >= 3)
                configs["min.insync.replicas"] = "2";
            return configs;
        }
    }

    string CreateCommand =>
        $"kafka-topics.sh --bootstrap-server {options.BootstrapServers} --create --topic {Name} --partitions {Partitions}"
        + (options.ReplicationFactor == 0 ? "" : $" --replication-factor {options.ReplicationFactor}")
        + string.Concat(Configs.Select(c => $" --config {c.Key}={c.Value}"));

    async Task CreateAsync(CancellationToken ct)
    {
        try
        {
            await clients.Admin.CreateTopicsAsync(
                [new TopicSpecification { Name = Name, NumPartitions = Partitions, ReplicationFactor = options.ReplicationFactor == 0 ? (short)-1 : (short)options.ReplicationFactor, Configs = Configs }],
                new CreateTopicsOptions { RequestTimeout = CreateTime, OperationTimeout = CreateTime }).WaitAsync(ct);
            logger.TopicCreated(Name, Partitions);
        }
        catch (CreateTopicsException e) when (e.Results[0].Error.Code == ErrorCode.TopicAlreadyExists)
        {
            // Another process was faster.
        }
        catch (KafkaException e)
        {
            var reason = (e as CreateTopicsException)?.Results[0].Error.Reason ?? e.Error.Reason;
            throw Unavailable($"Topic {Name} is missing and could not be created ({reason}). Let somebody who may run: {CreateCommand}", e);
        }
    }

    /// <summary>53 bits of a digest of the topic's id (before Kafka 2.8: the cluster's id and the name), then 10 bits with the number of partitions.</summary>
    async Task<long> IdentityAsync(TopicDescription topic, CancellationToken ct)
    {
        var id = topic.TopicId is { } given && (given.MostSignificantBits, given.LeastSignificantBits) != (0, 0)
            ? given.ToString()
            : (await AskAsync(() => clients.Admin.DescribeClusterAsync(new DescribeClusterOptions { RequestTimeout = CreateTime }), ct)).ClusterId + '/' + Name;
        var digest = BinaryPrimitives.ReadUInt64BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes(id)));
        return (long)(digest >> 11 << 10) | (long)Partitions;
    }

    async Task<T> AskAsync<T>(Func<Task<T>> ask, CancellationToken ct)
    {
        try
        {
            return await ask().WaitAsync(ct);
        }
        catch (KafkaException e) when (e is not DescribeTopicsException)
        {
            throw Unavailable($"No Kafka broker at {options.BootstrapServers} answers ({e.Error.Reason}). Changes are kept and their events wait in the database; "
                + "start the brokers or correct Kafka:BootstrapServers.", e);
        }
    }

    static StoreUnavailableException Unavailable(string sentence, Exception? inner = null) => new("kafka", sentence, inner);
}
