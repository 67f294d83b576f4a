using Microsoft.Extensions.Logging;

namespace Tandem.Kafka;

/// <summary>Every log line of the adapter: 2800–2899.</summary>
static partial class Log
{
    [LoggerMessage(2801, LogLevel.Information, "Topic {Topic} created with {Partitions} partitions")]
    public static partial void TopicCreated(this ILogger logger, string topic, int partitions);

    [LoggerMessage(2802, LogLevel.Error, "Events cannot flow through Kafka: {Reason}")]
    public static partial void TopicUnusable(this ILogger logger, string reason);

    [LoggerMessage(2803, LogLevel.Information, "This process relays the log to topic {Topic}, behind event {Sequence}")]
    public static partial void RelayStarted(this ILogger logger, string topic, long sequence);

    [LoggerMessage(2804, LogLevel.Warning, "Topic {Topic} is empty although {Sequence} events were relayed: it is another one; all events are sent again")]
    public static partial void TopicRefilled(this ILogger logger, string topic, long sequence);

    [LoggerMessage(2805, LogLevel.Error, "Relaying to Kafka failed and starts again behind the last event that was acknowledged")]
    public static partial void RelayFailed(this ILogger logger, Exception e);

    [LoggerMessage(2806, LogLevel.Information, "Consumer {Consumer} was given partitions {Partitions}")]
    public static partial void Assigned(this ILogger logger, string consumer, string partitions);

    [LoggerMessage(2807, LogLevel.Information, "Consumer {Consumer} gave up partitions {Partitions}")]
    public static partial void GivenUp(this ILogger logger, string consumer, string partitions);

    [LoggerMessage(2808, LogLevel.Error, "Record {Offset} of partition {Partition} in topic {Topic} is no event of this program and is skipped: {Reason}")]
    public static partial void ForeignRecord(this ILogger logger, string topic, int partition, long offset, string reason);

    [LoggerMessage(2809, LogLevel.Critical, "{Client}, {Facility}: {Message}")]
    public static partial void LibraryFailed(this ILogger logger, string client, string facility, string message);

    [LoggerMessage(2810, LogLevel.Debug, "{Client}, {Facility}: {Message}")]
    public static partial void LibrarySaid(this ILogger logger, string client, string facility, string message);

    [LoggerMessage(2811, LogLevel.Error, "Retention has deleted events of partition {Partition} in topic {Topic} that a consumer had not handled: those behind {After} up to {UpTo}")]
    public static partial void EventsDeleted(this ILogger logger, string topic, int partition, long after, long upTo);
}
