using System.Runtime.InteropServices;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Http;

namespace Tandem.Roles;

/// <summary>
/// The time between the wish to stop and the stop: requests are answered as ever, but <c>/health/ready</c> and every answer say that this
/// process wants to be left. When it then closes its connections, nobody is about to use one.
/// </summary>
sealed class Drain(HttpOptions options, TimeProvider clock, ILogger<Drain> logger)
{
    // Gateways look every second and give up a look after two; one that looks less often is not worth waiting for.
    static readonly TimeSpan Default = TimeSpan.FromSeconds(3);
    static readonly TimeSpan Remembered = TimeSpan.FromSeconds(15);

    long _forwardedAt;
    volatile bool _hasBegun;

    public bool HasBegun => _hasBegun;

    /// <summary>A gateway sends here.</summary>
    public void Forwarded() => Volatile.Write(ref _forwardedAt, clock.GetTimestamp());

    /// <summary>Returns when the process may stop.</summary>
    /// <param name="ct">Ends the wait: whoever asks twice is in a hurry.</param>
    public async Task RunAsync(CancellationToken ct)
    {
        if (_hasBegun || Time() is not { Ticks: > 0 } time)
            return;
        _hasBegun = true;
        logger.Draining(time);
        try
        {
            await Task.Delay(time, clock, ct);
        }
        catch (OperationCanceledException)
        {
        }
    }

    TimeSpan Time() => options.DrainTime
        ?? (Volatile.Read(ref _forwardedAt) is not 0 and var at && clock.GetElapsedTime(at) < Remembered ? Default : TimeSpan.Zero);
}

/// <summary>SIGTERM, SIGINT and SIGQUIT stop the program behind its drain; the second one stops it at once.</summary>
sealed class StopSignals(Drain drain, IHostApplicationLifetime lifetime) : IHostLifetime, IDisposable
{
    readonly CancellationTokenSource _hurry = new();
    readonly List<PosixSignalRegistration> _registrations = [];
    int _asked;

    public Task WaitForStartAsync(CancellationToken cancellationToken)
    {
        foreach (var signal in (PosixSignal[])[PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGQUIT])
            _registrations.Add(PosixSignalRegistration.Create(signal, Stop));
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    void Stop(PosixSignalContext context)
    {
        // Otherwise the runtime ends the process when this returns.
        context.Cancel = true;
        if (Interlocked.Increment(ref _asked) == 1)
            _ = Task.Run(StopAsync);
        else
            _hurry.Cancel();
    }

    async Task StopAsync()
    {
        await drain.RunAsync(_hurry.Token);
        lifetime.StopApplication();
    }

    public void Dispose()
    {
        _registrations.ForEach(r => r.Dispose());
        _hurry.Dispose();
    }
}
