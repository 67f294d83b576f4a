using System.Diagnostics;
using System.Diagnostics.Metrics;
using Confluent.Kafka;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Kafka;

/// <summary>
/// Sends the database's log to the topic, in order, and remembers how far all of it is acknowledged. One process does it at a time. After a crash
/// some is sent again; consumers drop it by its sequence, and why that is right is in docs/decisions/0009-events-on-kafka.md.
/// </summary>
sealed class EventRelay(
    Db db, KafkaEventLog log, EventTopic topic, KafkaClients clients, Signal<IEventLog> signal, TimeProvider clock, ILogger<EventRelay> logger) : BackgroundService
{
    // As much as one request to a broker takes, roughly; the position is stored once for all of them.
    const int BatchSize = 1000;

    // What another process commits sets no signal here.
    static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(500);
    static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    static readonly Counter<long> Relayed = Telemetry.Meter.CreateCounter<long>("tandem.kafka.relayed", "{event}", "Events that Kafka has acknowledged");
    static readonly Histogram<double> Duration =
        Telemetry.Meter.CreateHistogram<double>("tandem.kafka.acknowledge.duration", "s", "How long Kafka took to acknowledge a batch of events");

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
            try
            {
                await db.RunAloneAsync("tandem kafka relay", RelayAsync, stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                logger.RelayFailed(e);
                await Task.Delay(Pause, clock, CancellationToken.None);
            }
    }

    async Task RelayAsync(CancellationToken ct)
    {
        var identity = await topic.ReadyAsync(ct);
        var position = await log.Positions.OpenAsync(identity, ct);
        logger.RelayStarted(topic.Name, position);
        using var producer = clients.Producer();
        var sent = new long[topic.Partitions];
        var seen = 0L;
        while (true)
        {
            var events = await log.BehindAsync(position, BatchSize, ct);
            if (events.Count == 0)
            {
                seen = await signal.WaitAsync(seen, LookInterval, ct);
                continue;
            }

            var started = Stopwatch.GetTimestamp();
            await SendAsync(producer, events, sent, ct);
            Duration.Record(Stopwatch.GetElapsedTime(started).TotalSeconds);
            await log.Positions.AdvanceAsync(position, events[^1].Position, identity, ct);
            position = events[^1].Position;
            Relayed.Add(events.Count);
        }
    }

    /// <summary>Returns when every event is acknowledged by all replicas in sync.</summary>
    /// <exception cref="KafkaException">One was refused. What was sent behind it may be in the topic: the producer must not be used again.</exception>
    async Task SendAsync(IProducer<string, byte[]> producer, List<StoredEvent> events, long[] sent, CancellationToken ct)
    {
        var acknowledged = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var missing = events.Count;
        foreach (var e in events)
        {
            var partition = KeyPartition.Of(e.Key, topic.Partitions);
            producer.Produce(new TopicPartition(topic.Name, partition), EventRecord.Of(e, sent[partition]), report =>
            {
                if (report.Error.IsError)
                    acknowledged.TrySetException(new KafkaException(report.Error));
                else if (Interlocked.Decrement(ref missing) == 0)
                    acknowledged.TrySetResult();
            });
            sent[partition] = e.Position;
        }

        await acknowledged.Task.WaitAsync(ct);
    }
}
