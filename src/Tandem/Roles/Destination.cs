namespace Tandem.Roles;

/// <summary>How fit a process is to be sent a request; the lower the better.</summary>
enum Fitness
{
    /// <summary>It says that it can do its work.</summary>
    Ready,

    /// <summary>It answers, but cannot do its work just now, or is about to stop.</summary>
    Alive,

    /// <summary>Nobody has looked yet.</summary>
    Unknown,

    /// <summary>It did not answer.</summary>
    Away,

    /// <summary>It takes what is sent and has not answered for seconds: whatever it is sent waits for nothing.</summary>
    Silent,
}

/// <summary>One process of a role, as a gateway sees it.</summary>
/// <param name="address">Without a slash at the end: <c>http://10.0.0.7:8080</c>.</param>
sealed class Destination(string address)
{
    volatile Fitness _fitness = Fitness.Unknown;
    volatile CancellationTokenSource _recall = new();
    int _inFlight;
    int _looking;

    public string Address => address;

    public Fitness Fitness
    {
        get => _fitness;
        set => _fitness = value;
    }

    /// <summary>Requests it works on for this gateway.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    public void Begin() => Interlocked.Increment(ref _inFlight);

    public void End() => Interlocked.Decrement(ref _inFlight);

    /// <summary>Cancelled when requests that wait for its answer had better go to another process.</summary>
    public CancellationToken Recall => _recall.Token;

    public void RecallAll()
    {
        var recall = _recall;
        _recall = new CancellationTokenSource();
        _ = recall.CancelAsync();
    }

    /// <summary>False while somebody else is looking how it is.</summary>
    public bool TryBeginLook() => Interlocked.CompareExchange(ref _looking, 1, 0) == 0;

    public void EndLook() => Volatile.Write(ref _looking, 0);
}

/// <summary>The processes of one role.</summary>
sealed class RoleDestinations
{
    readonly TimeProvider _clock;
    volatile Destination[] _all = [];
    long _reachedAt;

    /// <param name="role">Its name.</param>
    /// <param name="setting">The key that names the addresses.</param>
    /// <param name="addresses">As configured; empty: none are.</param>
    public RoleDestinations(string role, string setting, IReadOnlyList<Uri> addresses, TimeProvider clock)
    {
        (Role, Setting, Addresses, _clock) = (role, setting, addresses, clock);
        // Whoever starts together is waited for as well.
        Reached();
    }

    public string Role { get; }

    public string Setting { get; }

    public IReadOnlyList<Uri> Addresses { get; }

    public IReadOnlyList<Destination> All => _all;

    /// <summary>False for a module that only handles events and jobs: nobody misses its processes here.</summary>
    public bool HasEndpoints { get; set; }

    /// <summary>How long nothing has been heard of any of them.</summary>
    public TimeSpan Silence => _clock.GetElapsedTime(Volatile.Read(ref _reachedAt));

    public void Reached() => Volatile.Write(ref _reachedAt, _clock.GetTimestamp());

    /// <summary>These there are now. Whom we know keeps what we know of it.</summary>
    public void Set(IEnumerable<string> addresses)
    {
        var known = _all.ToDictionary(d => d.Address);
        _all = [.. addresses.Distinct().Select(a => known.GetValueOrDefault(a) ?? new Destination(a))];
    }

    /// <summary>One of the fittest: of two taken at random the one with less to do, which spreads load better than turns do and needs no queue lengths of others.</summary>
    /// <param name="tried">These are not asked again; null: none were.</param>
    /// <returns>Null when all were tried, or are silent.</returns>
    public Destination? Choose(List<Destination>? tried)
    {
        var all = _all;
        var (best, count) = (Fitness.Away, 0);
        foreach (var destination in all)
            if (tried?.Contains(destination) != true && destination.Fitness is var fitness && fitness <= best)
                (best, count) = (fitness, fitness < best ? 1 : count + 1);
        if (count == 0)
            return null;
        var index = Random.Shared.Next(count);
        var first = Pick(all, tried, best, index);
        if (count == 1)
            return first;
        var second = Pick(all, tried, best, (index + 1 + Random.Shared.Next(count - 1)) % count);
        return first.InFlight <= second.InFlight ? first : second;
    }

    /// <summary>One that is not as fit any more as a moment ago is taken all the same, rather than none.</summary>
    static Destination Pick(Destination[] all, List<Destination>? tried, Fitness fitness, int index)
    {
        Destination? last = null;
        foreach (var destination in all)
            if (tried?.Contains(destination) != true)
            {
                last = destination;
                if (destination.Fitness == fitness && index-- == 0)
                    break;
            }

        return last!; // the caller has counted at least one that was not tried
    }
}
