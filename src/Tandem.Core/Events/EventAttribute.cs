using System.Collections.Concurrent;
using System.Reflection;
using Tandem.Core.Http;

namespace Tandem.Core.Events;

/// <summary>Gives an event its fixed wire name and says what it is about.</summary>
/// <param name="name">Lower case, module first: <c>users.user-registered</c>. Never changed once released.</param>
[AttributeUsage(AttributeTargets.Class)]
public sealed class EventAttribute(string name) : Attribute
{
    /// <summary>The wire name.</summary>
    public string Name { get; } = name;

    /// <summary>The property whose value is the key: events of one key are handled in order. Default: the record's first property.</summary>
    public string? Key { get; init; }
}

/// <summary>One event on its way to one consumer.</summary>
/// <param name="Id">The event's id, the same at every delivery.</param>
/// <param name="Position">Its place in the log.</param>
/// <param name="Key">What it is about.</param>
/// <param name="OccurredAt">UTC.</param>
/// <param name="Event">The event itself.</param>
public sealed record Delivery<T>(Guid Id, long Position, string Key, DateTime OccurredAt, T Event) where T : class;

/// <summary>Name, key and JSON form of one event type, worked out once.</summary>
sealed class EventType
{
    static readonly ConcurrentDictionary<Type, EventType> Known = new();

    readonly PropertyInfo _key;

    EventType(Type type)
    {
        var attribute = type.GetCustomAttribute<EventAttribute>()
            ?? throw new InvalidOperationException($"{type.Name} is no event: give it [Event(\"module.what-happened\")].");
        Name = attribute.Name;
        _key = (attribute.Key is null ? type.GetProperties().FirstOrDefault() : type.GetProperty(attribute.Key))
            ?? throw new InvalidOperationException($"Event {type.Name} has no property {attribute.Key} to be its key.");
    }

    public string Name { get; }

    public static EventType Of(Type type) => Known.GetOrAdd(type, static t => new EventType(t));

    public string KeyOf(object @event) => Convert.ToString(_key.GetValue(@event), System.Globalization.CultureInfo.InvariantCulture) ?? "";
}
