namespace Tandem.Ledger;

/// <summary>What the writers have achieved, for whoever waits for it.</summary>
sealed class Progress(int writers)
{
    volatile Recovery? _watched;
    long _acknowledged;

    public long Count => Interlocked.Read(ref _acknowledged);

    public void Acknowledged(int writer, Change change, long sentAt)
    {
        Interlocked.Increment(ref _acknowledged);
        _watched?.Acknowledged(writer, change, sentAt);
    }

    /// <summary>Watches for what is sent after <paramref name="since"/> (a timestamp).</summary>
    public Recovery Watch(long since) => _watched = new Recovery(since, writers);
}

/// <summary>How the writers come back after a kill.</summary>
sealed class Recovery(long since, int writers)
{
    readonly Lock _gate = new();
    readonly HashSet<int> _moving = [];
    readonly TaskCompletionSource<Change> _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
    readonly TaskCompletionSource _all = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The first change that was sent after the kill and acknowledged.</summary>
    public Task<Change> First => _first.Task;

    /// <summary>Done when every writer has had one.</summary>
    public Task All => _all.Task;

    public void Acknowledged(int writer, Change change, long sentAt)
    {
        if (sentAt < since || _all.Task.IsCompleted)
            return;
        lock (_gate)
        {
            _moving.Add(writer);
            if (_moving.Count == writers)
                _all.TrySetResult();
        }

        _first.TrySetResult(change);
    }
}
