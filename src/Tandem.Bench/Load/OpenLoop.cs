using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Tandem.Bench.Results;

namespace Tandem.Bench.Load;

/// <param name="Connections">All stay open the whole time, and take turns.</param>
/// <param name="Rate">Requests per second over all connections.</param>
/// <param name="WarmUp">Before anything counts, at the same rate.</param>
/// <param name="Time">How long requests are planned that count.</param>
/// <param name="EchoToken">The token with which each connection becomes a WebSocket, over which messages are sent for requests; null: HTTP.</param>
sealed record OpenLoopPlan(IPEndPoint Server, string Path, int Connections, int Rate, TimeSpan WarmUp, TimeSpan Time, string? EchoToken = null);

/// <param name="Planned">Requests that count.</param>
/// <param name="Answered">Of those, with 2xx.</param>
/// <param name="Unanswered">Of those, without an answer when the client gave up; they are in the latency with the time they had waited by then.</param>
/// <param name="Errors">Of those, with another status or a broken connection.</param>
/// <param name="Reconnects">Connections that the server closed and the client opened again.</param>
/// <param name="Latency">From the planned instant to the last byte of the answer.</param>
/// <param name="Lag">From the planned instant to the sending, of requests whose connection was free: what the client itself adds.</param>
sealed record OpenLoopResult(long Planned, long Answered, long Unanswered, long Errors, long Reconnects, double Seconds, Histogram Latency, Histogram Lag);

/// <summary>
/// Asks at a fixed rate whatever the server does. Request k is planned for the instant k / rate on connection k mod n; where the one before it on that
/// connection is still out it waits, and its latency counts from the planned instant all the same: a server that stalls cannot hide it by not being asked.
/// </summary>
sealed class OpenLoop : IDisposable
{
    /// <summary>Connections being opened at the same time: fewer than any usual backlog holds, so that no handshake is dropped and waits a second.</summary>
    const int Opening = 500;

    static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    readonly OpenLoopPlan _plan;
    readonly Tally _tally = new();
    readonly Connection[] _connections;

    public OpenLoop(OpenLoopPlan plan)
    {
        _plan = plan;
        var request = System.Text.Encoding.ASCII.GetBytes($"GET {plan.Path} HTTP/1.1\r\nHost: {plan.Server}\r\n\r\n");
        var upgrade = plan.EchoToken is { } token ? WebSocketFrames.Upgrade(plan.Path, plan.Server.ToString(), token) : null;
        _connections = [.. Enumerable.Range(0, plan.Connections).Select(_ => upgrade is null
            ? new Connection(plan.Server, request, null, new Answer(), _tally)
            : new Connection(plan.Server, WebSocketFrames.Request, upgrade, new ExactAnswer(WebSocketFrames.Echo), _tally))];
    }

    /// <returns>How long it took to open all connections.</returns>
    public async Task<TimeSpan> ConnectAsync(CancellationToken ct)
    {
        var began = Stopwatch.GetTimestamp();
        await Parallel.ForEachAsync(_connections, new ParallelOptions { MaxDegreeOfParallelism = Opening, CancellationToken = ct }, async (c, t) => await c.OpenAsync(t));
        return Stopwatch.GetElapsedTime(began);
    }

    /// <param name="isWarm">Called when the warm-up is over.</param>
    /// <param name="ct">Ends it early.</param>
    public OpenLoopResult Run(Action isWarm, CancellationToken ct)
    {
        Nap.BePunctual();
        var interval = (double)Stopwatch.Frequency / _plan.Rate;
        var warm = (long)(_plan.WarmUp.TotalSeconds * _plan.Rate);
        var all = warm + (long)(_plan.Time.TotalSeconds * _plan.Rate);
        var began = Stopwatch.GetTimestamp();
        var counts = began + (long)(warm * interval);
        foreach (var connection in _connections)
            connection.CountFrom = counts;
        for (var k = 0L; k < all && !ct.IsCancellationRequested; k++)
        {
            if (k == warm)
                isWarm();
            var planned = began + (long)(k * interval);
            while (Stopwatch.GetTimestamp() is var now && now < planned)
                Nap.For(planned - now);
            _connections[k % _connections.Length].Plan(planned);
        }

        var ended = Stopwatch.GetTimestamp();
        // The last requests get some time as well, then what is still out has failed.
        SpinWait.SpinUntil(() => ct.IsCancellationRequested || _connections.All(c => c.IsIdle) || Stopwatch.GetElapsedTime(ended) > Patience);
        foreach (var connection in _connections)
            connection.GiveUp(Stopwatch.GetTimestamp());
        return new OpenLoopResult(
            all - warm, _tally.Answered, _tally.Unanswered, _tally.Errors, _tally.Reconnects, Stopwatch.GetElapsedTime(counts, ended).TotalSeconds, _tally.Latency, _tally.Lag);
    }

    public void Dispose()
    {
        foreach (var connection in _connections)
            connection.Dispose();
    }

    /// <summary>Sleeps for less than the millisecond that Thread.Sleep knows.</summary>
    static class Nap
    {
        const int SetTimerSlack = 29;

        [StructLayout(LayoutKind.Sequential)]
        struct TimeSpec
        {
            public long Seconds, Nanoseconds;
        }

        /// <summary>
        /// Has the kernel wake this thread when it asked for it, not up to 50 µs later, and before others that would run: a client on another machine would
        /// not wait for the server's threads either. Without the right to it the thread is as any other, and its lateness is seen in the lag.
        /// </summary>
        public static void BePunctual()
        {
            _ = prctl(SetTimerSlack, 1, 0, 0, 0);
            _ = setpriority(0, 0, -10);
        }

        public static void For(long ticks)
        {
            var nanoseconds = ticks * 1_000_000_000L / Stopwatch.Frequency;
            var time = new TimeSpec { Seconds = nanoseconds / 1_000_000_000, Nanoseconds = nanoseconds % 1_000_000_000 };
            // Woken early by a signal, the caller looks at the clock again.
            _ = nanosleep(in time, IntPtr.Zero);
        }

        [DllImport("libc")]
        static extern int prctl(int option, nuint a, nuint b, nuint c, nuint d);

        [DllImport("libc")]
        static extern int setpriority(int which, int who, int priority);

        [DllImport("libc")]
        static extern int nanosleep(in TimeSpec time, IntPtr rest);
    }
}

/// <summary>What the connections have counted. One for all of them: ten thousand histograms would be collected as garbage in the middle of a run.</summary>
sealed class Tally
{
    readonly Lock _gate = new();

    public long Answered, Unanswered, Errors, Reconnects;
    public readonly Histogram Latency = new(), Lag = new();

    public void Count(ref long outcome, long microseconds)
    {
        lock (_gate)
        {
            outcome++;
            Latency.Add(microseconds);
        }
    }

    public void CountLag(long microseconds)
    {
        lock (_gate)
            Lag.Add(microseconds);
    }

    public void CountReconnect() => Interlocked.Increment(ref Reconnects);
}
