using System.Runtime.InteropServices;

namespace Tandem.KafkaMock;

/// <summary>The functions of librdkafka's mock cluster that this program uses; the library is the one Confluent.Kafka brings.</summary>
/// <seealso href="https://github.com/confluentinc/librdkafka/blob/v2.16.0/src/rdkafka_mock.h">rdkafka_mock.h</seealso>
static unsafe partial class LibRdKafka
{
    const string Library = "librdkafka";
    const int Producer = 0;

    // The package brings builds for several systems; the first needs libsasl2.so.3, which Debian does not have. Confluent.Kafka looks for them
    // in the same order.
    static readonly string[] Builds = ["librdkafka", "centos8-librdkafka", "alpine-librdkafka"];

    static LibRdKafka() => NativeLibrary.SetDllImportResolver(typeof(LibRdKafka).Assembly, static (_, assembly, path) =>
    {
        foreach (var build in Builds)
            if (NativeLibrary.TryLoad(build, assembly, path, out var handle))
                return handle;
        throw new DllNotFoundException($"None of {string.Join(", ", Builds)} can be loaded here.");
    });

    /// <summary>A cluster listens on 127.0.0.1 for as long as the client that owns it lives.</summary>
    public static nint NewCluster(int brokers)
    {
        const int ErrorLength = 512;
        var error = stackalloc byte[ErrorLength];
        var conf = rd_kafka_conf_new();
        // Only errors: the client that owns the cluster connects to nothing and would complain about it.
        rd_kafka_conf_set(conf, "log_level", "3", error, ErrorLength);
        var client = rd_kafka_new(Producer, conf, error, ErrorLength);
        if (client == 0)
            throw new InvalidOperationException($"librdkafka refuses to start: {Marshal.PtrToStringUTF8((nint)error)}");
        var cluster = rd_kafka_mock_cluster_new(client, brokers);
        return cluster != 0 ? cluster : throw new InvalidOperationException("librdkafka could not start its mock cluster.");
    }

    public static string Bootstraps(nint cluster) =>
        Marshal.PtrToStringUTF8(rd_kafka_mock_cluster_bootstraps(cluster)) ?? throw new InvalidOperationException("The mock cluster has no address.");

    public static string NameOf(int error) => Marshal.PtrToStringUTF8(rd_kafka_err2name(error)) ?? "unknown";

    [LibraryImport(Library)]
    private static partial nint rd_kafka_conf_new();

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int rd_kafka_conf_set(nint conf, string name, string value, byte* error, nuint errorLength);

    [LibraryImport(Library)]
    private static partial nint rd_kafka_new(int type, nint conf, byte* error, nuint errorLength);

    [LibraryImport(Library)]
    private static partial nint rd_kafka_err2name(int error);

    [LibraryImport(Library)]
    private static partial nint rd_kafka_mock_cluster_new(nint client, int brokers);

    [LibraryImport(Library)]
    private static partial nint rd_kafka_mock_cluster_bootstraps(nint cluster);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_topic_create", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int CreateTopic(nint cluster, string topic, int partitions, int replicationFactor);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_topic_delete", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int DeleteTopic(nint cluster, string topic);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_partition_delete_records", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int DeleteRecords(nint cluster, string topic, int partition, long beforeOffset);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_partition_set_leader", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int SetLeader(nint cluster, string topic, int partition, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_coordinator_set", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int SetCoordinator(nint cluster, string keyType, string key, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_broker_set_down")]
    public static partial int SetDown(nint cluster, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_broker_set_up")]
    public static partial int SetUp(nint cluster, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_broker_set_rtt")]
    public static partial int SetRoundTrip(nint cluster, int broker, int milliseconds);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_set_controller_id")]
    public static partial void SetController(nint cluster, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_group_initial_rebalance_delay_ms")]
    public static partial void SetRebalanceDelay(nint cluster, int milliseconds);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_push_request_errors_array")]
    public static partial void PushErrors(nint cluster, short api, nuint count, ReadOnlySpan<int> errors);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_clear_request_errors")]
    public static partial void ClearErrors(nint cluster, short api);
}
