namespace Tandem.Core.Cache;

/// <summary>The other processes that have the same cache. This one says there are none; an adapter that knows some stands in for it.</summary>
public class CachePeers
{
    internal CachePeers()
    {
    }

    /// <summary>How long a copy in this process may be used, at most: what others change is told, but nobody promises that it is heard.</summary>
    internal virtual TimeSpan LocalLimit => TimeSpan.MaxValue;

    /// <summary>True when there may be somebody.</summary>
    internal virtual bool AreThere => false;

    /// <summary>Has the others forget their copies.</summary>
    internal virtual void Changed(string key)
    {
    }

    /// <summary>Asks to compute a value.</summary>
    /// <returns>False, when somebody else was at it: he is done now, and his value may be there.</returns>
    internal virtual ValueTask<bool> TakeTurnAsync(string key, CancellationToken ct) => new(true);

    /// <summary>To be called after every turn that was taken.</summary>
    /// <param name="key">Which.</param>
    /// <param name="stored">True when the value is being stored: then the others wait until it is.</param>
    internal virtual ValueTask EndTurnAsync(string key, bool stored) => default;
}
