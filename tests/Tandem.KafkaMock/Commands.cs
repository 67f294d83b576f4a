using System.Globalization;

namespace Tandem.KafkaMock;

/// <summary>What can be done to the cluster while it serves.</summary>
static class Commands
{
    public static string Run(nint cluster, int brokers, string[] words) => words switch
    {
        ["topic", var name, var partitions] => Answer(LibRdKafka.CreateTopic(cluster, name, Number(partitions), Math.Min(3, brokers))),
        ["delete-topic", var name] => Answer(LibRdKafka.DeleteTopic(cluster, name)),
        ["trim", var topic, var partition, var offset] =>
            Answer(LibRdKafka.DeleteRecords(cluster, topic, Number(partition), long.Parse(offset, CultureInfo.InvariantCulture))),
        ["leader", var topic, var partition, var broker] => Answer(LibRdKafka.SetLeader(cluster, topic, Number(partition), Number(broker))),
        ["coordinator", var group, var broker] => Answer(LibRdKafka.SetCoordinator(cluster, "group", group, Number(broker))),
        ["down", "all"] => All(brokers, broker => LibRdKafka.SetDown(cluster, broker)),
        ["up", "all"] => All(brokers, broker => LibRdKafka.SetUp(cluster, broker)),
        ["down", var broker] => Answer(LibRdKafka.SetDown(cluster, Number(broker))),
        ["up", var broker] => Answer(LibRdKafka.SetUp(cluster, Number(broker))),
        ["rtt", "all", var milliseconds] => All(brokers, broker => LibRdKafka.SetRoundTrip(cluster, broker, Number(milliseconds))),
        ["rtt", var broker, var milliseconds] => Answer(LibRdKafka.SetRoundTrip(cluster, Number(broker), Number(milliseconds))),
        ["errors", var api, "clear"] => Clear(cluster, Api(api)),
        ["errors", var api, var count, var code] => Push(cluster, Api(api), Number(count), Number(code)),
        _ => "error unknown command: topic, delete-topic, trim, leader, coordinator, down, up, rtt, errors",
    };

    static string Push(nint cluster, short api, int count, int code)
    {
        LibRdKafka.PushErrors(cluster, api, (nuint)count, Enumerable.Repeat(code, count).ToArray());
        return "ok";
    }

    static string Clear(nint cluster, short api)
    {
        LibRdKafka.ClearErrors(cluster, api);
        return "ok";
    }

    static string All(int brokers, Func<int, int> act) =>
        Answer(Enumerable.Range(1, brokers).Select(act).FirstOrDefault(error => error != 0));

    static string Answer(int error) => error == 0 ? "ok" : $"error {LibRdKafka.NameOf(error)}";

    static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    /// <summary>Request kinds by their names in the protocol (https://kafka.apache.org/protocol#protocol_api_keys), or by number.</summary>
    static short Api(string name) => name switch
    {
        "Produce" => 0,
        "Fetch" => 1,
        "ListOffsets" => 2,
        "Metadata" => 3,
        "OffsetCommit" => 8,
        "OffsetFetch" => 9,
        "FindCoordinator" => 10,
        "JoinGroup" => 11,
        "Heartbeat" => 12,
        "LeaveGroup" => 13,
        "SyncGroup" => 14,
        "InitProducerId" => 22,
        _ => short.Parse(name, CultureInfo.InvariantCulture),
    };
}
