using System.Collections;
using Microsoft.AspNetCore.Http.Features;

namespace Tandem.Transport;

/// <summary>
/// Lets a request's code be run on the pool: after this is false, whatever it waits for on this connection goes on there and not on the loop.
/// </summary>
interface ILoopFeature
{
    bool StaysOnLoop { get; set; }
}

/// <summary>A connection's features: itself, and the few that Kestrel adds. A list, because ten thousand dictionaries are megabytes.</summary>
sealed class LoopFeatures(LoopConnection connection) : IFeatureCollection
{
    readonly List<KeyValuePair<Type, object>> _added = new(6);

    public bool IsReadOnly => false;

    public int Revision { get; private set; }

    public object? this[Type key]
    {
        get
        {
            foreach (var (type, feature) in _added)
                if (type == key)
                    return feature;
            return key.IsInstanceOfType(connection) ? connection : null;
        }
        set
        {
            Revision++;
            _added.RemoveAll(f => f.Key == key);
            if (value is not null)
                _added.Add(new(key, value));
        }
    }

    public TFeature? Get<TFeature>() => (TFeature?)this[typeof(TFeature)];

    public void Set<TFeature>(TFeature? instance) => this[typeof(TFeature)] = instance;

    public IEnumerator<KeyValuePair<Type, object>> GetEnumerator() => _added.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
