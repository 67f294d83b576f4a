using Tandem.Bench.Results;

namespace Tandem.Bench.Processes;

/// <summary>Looks at the memory of a process tree again and again while something else goes on.</summary>
sealed class MemoryWatch : IAsyncDisposable
{
    // Often enough to see a peak, rarely enough not to be one: a look at a big process costs milliseconds.
    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    readonly CancellationTokenSource _stop = new();
    readonly List<double> _seen = [];
    readonly Task _watching;
    readonly int _root;

    public MemoryWatch(int root)
    {
        _root = root;
        _watching = Task.Run(WatchAsync);
    }

    async Task WatchAsync()
    {
        using var timer = new PeriodicTimer(Pause);
        try
        {
            do
                _seen.Add(ProcessTree.Proportional(_root));
            while (await timer.WaitForNextTickAsync(_stop.Token));
        }
        catch (OperationCanceledException)
        {
            // Seen enough.
        }

        _seen.Add(ProcessTree.Proportional(_root));
    }

    /// <summary>Stops looking.</summary>
    /// <param name="rest">What the tree had before.</param>
    public async Task<Memory> StopAsync(long rest)
    {
        await _stop.CancelAsync();
        await _watching;
        var spread = Spread.Of(_seen);
        var shared = ProcessTree.SharedWithUs(_root);
        return new Memory(rest, (long)spread.Median + shared, (long)spread.Max + shared);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _watching;
        _stop.Dispose();
    }
}
