namespace Tandem.Core;

/// <summary>Wakes those who wait for something new of kind <typeparamref name="TWhat"/> within this process.</summary>
/// <remarks>Other processes (a command beside the server) are noticed by the time limit of the wait.</remarks>
sealed class Signal<TWhat>
{
    long _version;
    TaskCompletionSource? _waiters;

    public void Set()
    {
        Interlocked.Increment(ref _version);
        Interlocked.Exchange(ref _waiters, null)?.TrySetResult();
    }

    /// <summary>Returns as soon as there was a <see cref="Set"/> since <paramref name="seen"/>, at the latest after <paramref name="atMost"/>.</summary>
    /// <returns>What to pass as <paramref name="seen"/> next time.</returns>
    public async Task<long> WaitAsync(long seen, TimeSpan atMost, CancellationToken ct)
    {
        var waiters = Volatile.Read(ref _waiters);
        while (waiters is null)
        {
            var made = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            waiters = Interlocked.CompareExchange(ref _waiters, made, null) ?? made;
        }

        // Looked at after joining the waiters: a Set in between either is seen here or wakes us.
        if (Interlocked.Read(ref _version) == seen)
            await Task.WhenAny(waiters.Task, Task.Delay(atMost, ct));
        ct.ThrowIfCancellationRequested();
        return Interlocked.Read(ref _version);
    }
}
