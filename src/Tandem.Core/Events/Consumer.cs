using System.Diagnostics;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Core.Events;

/// <summary>Handles events of one type; made by the container for each delivery.</summary>
public interface IConsumer<T> where T : class
{
    /// <summary>
    /// Writes the effect of an event through <paramref name="tx"/>, in the transaction that also remembers the event as done: the effect happens
    /// once. It awaits nothing but <paramref name="tx"/>; what leaves the process is a job enqueued there.
    /// </summary>
    /// <remarks>An exception undoes the effect; the event is tried again with growing pauses while other keys go on, and is parked in the end.</remarks>
    Task HandleAsync(Delivery<T> delivery, Transaction tx, CancellationToken cancellationToken);
}

/// <summary>A named consumer of the log: which events it wants and how one is handled.</summary>
sealed class Consumer(string name)
{
    readonly Dictionary<string, Func<IServiceProvider, StoredEvent, Transaction, CancellationToken, Task>> _handlers = [];

    public string Name => name;

    public IReadOnlyCollection<string> Events => _handlers.Keys;

    public bool Wants(StoredEvent e) => _handlers.ContainsKey(e.Name);

    public void On<TEvent, THandler>() where TEvent : class where THandler : class, IConsumer<TEvent> =>
        _handlers.Add(EventType.Of(typeof(TEvent)).Name, static (services, e, tx, ct) =>
        {
            var body = JsonSerializer.Deserialize<TEvent>(e.Payload, Json.Stored)
                ?? throw new JsonException($"Event {e.Id} has an empty payload.");
            var handler = ActivatorUtilities.GetServiceOrCreateInstance<THandler>(services);
            return handler.HandleAsync(new Delivery<TEvent>(e.Id, e.Position, e.Key, e.OccurredAt, body), tx, ct);
        });

    public async Task HandleAsync(IServiceProvider services, StoredEvent e, Transaction tx, CancellationToken ct)
    {
        using var activity = Telemetry.Source.StartActivity($"{name} {e.Name}", ActivityKind.Consumer, e.TraceParent);
        await _handlers[e.Name](services, e, tx, ct);
    }
}
