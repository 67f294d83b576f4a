using System.Globalization;
using System.Text.Json;
using Tandem.Core.Http;

namespace Tandem.Core.Events;

/// <summary>The event of a statement that adds or changes one row.</summary>
/// <param name="Name">The wire name.</param>
/// <param name="Key">What it is about; null: the id that the statement returns, which then returns nothing else.</param>
/// <param name="Payload">The JSON object; without a key its part in front of the id.</param>
/// <param name="PayloadEnd">Without a key, the part behind the id.</param>
sealed record RowEvent(string Name, string? Key, string Payload, string PayloadEnd)
{
    /// <summary>An event that can be told before the statement runs.</summary>
    public static RowEvent Of(object @event)
    {
        var type = EventType.Of(@event.GetType());
        return new RowEvent(type.Name, type.KeyOf(@event), JsonSerializer.Serialize(@event, @event.GetType(), Json.Options), "");
    }

    /// <summary>An event about a row whose id the statement gives out.</summary>
    public static RowEvent OfNewId(string name, string payload, string payloadEnd) => new(name, null, payload, payloadEnd);

    /// <summary>Key and payload, when the row is there.</summary>
    public (string Key, string Payload) About<T>(T row)
    {
        if (Key is not null)
            return (Key, Payload);
        var id = Convert.ToString(row, CultureInfo.InvariantCulture) ?? "";
        return (id, Payload + id + PayloadEnd);
    }
}
