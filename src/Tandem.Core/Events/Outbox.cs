using System.Text.Json;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Core.Jobs;

namespace Tandem.Core.Events;

/// <summary>Where a transaction leaves its events and jobs, so that they exist exactly when the change does.</summary>
public sealed class Outbox(IEventLog log, IJobQueue jobs, TimeProvider clock)
{
    internal Task PublishAsync<T>(Transaction tx, T @event, CancellationToken ct) where T : class
    {
        ArgumentNullException.ThrowIfNull(@event);
        var type = EventType.Of(@event.GetType());
        var payload = JsonSerializer.Serialize(@event, @event.GetType(), Json.Options);
        return PublishAsync(tx, type.Name, type.KeyOf(@event), payload, ct);
    }

    internal Task PublishAsync(Transaction tx, string name, string key, string payload, CancellationToken ct) =>
        log.AppendAsync(tx, New(name, key, payload, tx.TraceParent), ct);

    /// <summary>An event of now.</summary>
    internal StoredEvent New(string name, string key, string payload, string? traceParent) =>
        new(0, Guid.CreateVersion7(), name, key, payload, clock.UtcNow(), traceParent);

    internal Task<Guid> EnqueueAsync<T>(Transaction tx, T job, JobOptions options, CancellationToken ct) where T : class
    {
        ArgumentNullException.ThrowIfNull(job);
        var type = JobType.Of(job.GetType());
        return jobs.EnqueueAsync(tx, type.Name, JsonSerializer.Serialize(job, job.GetType(), Json.Options), options, ct);
    }
}
