namespace Tandem.Users;

/// <summary>Work that is done again and again beside the requests.</summary>
static class Rounds
{
    /// <summary>Runs a round at each interval until it is cancelled. A failure is told once, and so is the first round that works again.</summary>
    public static async Task RunAsync(TimeSpan interval, Func<CancellationToken, Task> round, Action<Exception> failed, Action worksAgain, CancellationToken ct)
    {
        var failing = false;
        using var timer = new PeriodicTimer(interval);
        try
        {
            while (await timer.WaitForNextTickAsync(ct))
                try
                {
                    await round(ct);
                    if (failing)
                        worksAgain();
                    failing = false;
                }
                catch (Exception e)
                {
                    // What breaks because everything is being closed is no failure.
                    ct.ThrowIfCancellationRequested();
                    if (!failing)
                        failed(e);
                    failing = true;
                }
        }
        catch (OperationCanceledException) when (ct.IsCancellationRequested)
        {
            // Told to stop.
        }
    }
}
