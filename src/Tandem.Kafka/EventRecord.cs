using System.Globalization;
using System.Text;
using Confluent.Kafka;
using Tandem.Core.Events;

namespace Tandem.Kafka;

/// <summary>
/// An event as a record: the key is what it is about, the value its JSON, and the headers <c>id</c>, <c>name</c>, <c>occurred_at</c>,
/// <c>traceparent</c>, <c>sequence</c> and <c>previous</c> are text.
/// </summary>
static class EventRecord
{
    // Brokers refuse records above 1,048,588 bytes by default, and one refused record would stop the relay. Where the JSON is longer the header
    // "payload" says "log": it is read from the database's log.
    public const int MaxPayloadBytes = 900_000;

    /// <param name="e">The event; its position in the database's log is the sequence.</param>
    /// <param name="previous">The sequence of the event that the same relay sent to the same partition before; 0 for its first.</param>
    public static Message<string, byte[]> Of(StoredEvent e, long previous)
    {
        var payload = Encoding.UTF8.GetBytes(e.Payload);
        var headers = new Headers
        {
            { "id", Text(e.Id.ToString()) },
            { "name", Text(e.Name) },
            { "occurred_at", Text(e.OccurredAt.ToString("O", CultureInfo.InvariantCulture)) },
            { "sequence", Text(e.Position.ToString(CultureInfo.InvariantCulture)) },
        };
        if (e.TraceParent is not null)
            headers.Add("traceparent", Text(e.TraceParent));
        if (previous > 0)
            headers.Add("previous", Text(previous.ToString(CultureInfo.InvariantCulture)));
        if (payload.Length > MaxPayloadBytes)
            headers.Add("payload", Text("log"));
        return new Message<string, byte[]>
        {
            Key = e.Key,
            Value = payload.Length > MaxPayloadBytes ? [] : payload,
            Headers = headers,
            Timestamp = new Timestamp(e.OccurredAt, TimestampType.CreateTime),
        };
    }

    /// <summary>The event of a record; its position is the offset plus one.</summary>
    /// <exception cref="FormatException">The record is not one of ours; the message says what is missing.</exception>
    public static StoredEvent Read(ConsumeResult<string, byte[]> record)
    {
        var headers = record.Message.Headers;
        return new StoredEvent(
            record.Offset.Value + 1,
            Guid.Parse(Needed(headers, "id")),
            Needed(headers, "name"),
            record.Message.Key ?? "",
            Encoding.UTF8.GetString(record.Message.Value ?? []),
            DateTime.Parse(Needed(headers, "occurred_at"), CultureInfo.InvariantCulture, DateTimeStyles.RoundtripKind),
            Find(headers, "traceparent"))
        {
            Sequence = long.Parse(Needed(headers, "sequence"), CultureInfo.InvariantCulture),
        };
    }

    public static long Previous(ConsumeResult<string, byte[]> record) =>
        Find(record.Message.Headers, "previous") is { } text ? long.Parse(text, CultureInfo.InvariantCulture) : 0;

    public static bool IsInLog(ConsumeResult<string, byte[]> record) => Find(record.Message.Headers, "payload") == "log";

    static string Needed(Headers headers, string name) => Find(headers, name) ?? throw new FormatException($"it has no header {name}");

    static string? Find(Headers headers, string name) => headers.TryGetLastBytes(name, out var bytes) ? Encoding.UTF8.GetString(bytes) : null;

    static byte[] Text(string text) => Encoding.UTF8.GetBytes(text);
}
