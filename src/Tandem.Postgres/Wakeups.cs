using Microsoft.Extensions.Logging;
using Npgsql;
using Tandem.Core;
using Tandem.Core.Events;
using Tandem.Core.Jobs;

namespace Tandem.Postgres;

/// <summary>
/// Tells the other processes that there are new events or jobs. A NOTIFY within a writing transaction would take a lock over the whole
/// server while it commits, so notifications are sent by themselves, behind the commit, and many writes share one. A lost one costs half a
/// second: everybody looks by himself as well.
/// </summary>
sealed class Wakeups(PostgresServer server, Signal<IEventLog> events, Signal<IJobQueue> jobs, ILogger<Wakeups> logger)
{
    const string Events = "tandem_events";
    const string Jobs = "tandem_jobs";

    // What comes within this time goes out together: at most 200 notifications a second from a process, whatever it writes.
    static readonly TimeSpan Gather = TimeSpan.FromMilliseconds(5);

    readonly SemaphoreSlim _wanted = new(0, 1);
    int _events;
    int _jobs;

    /// <summary>There are new events in the log.</summary>
    public void AnnounceEvents()
    {
        events.Set();
        Want(ref _events);
    }

    /// <summary>There are new jobs in the queue.</summary>
    public void AnnounceJobs()
    {
        jobs.Set();
        Want(ref _jobs);
    }

    void Want(ref int flag)
    {
        if (Interlocked.Exchange(ref flag, 1) != 0)
            return;
        try
        {
            _wanted.Release();
        }
        catch (SemaphoreFullException)
        {
            // The speaker is awake already and looks at both flags.
        }
    }

    public async Task SpeakAsync(CancellationToken ct)
    {
        while (!ct.IsCancellationRequested)
            try
            {
                await _wanted.WaitAsync(ct);
                await Task.Delay(Gather, ct);
                // Both are taken before either is sent: one left behind by a failure would never be asked for again.
                var (saysEvents, saysJobs) = (Interlocked.Exchange(ref _events, 0) == 1, Interlocked.Exchange(ref _jobs, 0) == 1);
                if (saysEvents)
                    await NotifyAsync(Events, ct);
                if (saysJobs)
                    await NotifyAsync(Jobs, ct);
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                logger.NotNotified(e.Message);
            }
    }

    async Task NotifyAsync(string channel, CancellationToken ct)
    {
        await using var command = server.Source.CreateCommand($"notify {channel}");
        await command.ExecuteNonQueryAsync(ct);
    }

    public async Task ListenAsync(CancellationToken ct)
    {
        while (!ct.IsCancellationRequested)
            try
            {
                await using var connection = await server.Alone.OpenConnectionAsync(ct);
                connection.Notification += (_, e) => (e.Channel == Events ? (Action)events.Set : jobs.Set)();
                await using (var command = new NpgsqlCommand($"listen {Events}; listen {Jobs}", connection))
                    await command.ExecuteNonQueryAsync(ct);
                // Whatever was said while nobody listened.
                events.Set();
                jobs.Set();
                while (true)
                    await connection.WaitAsync(ct);
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                logger.NotListening(e.Message);
                await Task.Delay(TimeSpan.FromMilliseconds(500), CancellationToken.None);
            }
    }
}
