using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Tandem.Users.Audit;

/// <summary>Chains what has committed, once a second, and writes the failed sign-ins that were counted.</summary>
sealed class AuditSealer(AuditTrail trail, FailedSignIns failures, ILogger<AuditSealer> logger) : BackgroundService
{
    static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var failing = false;
        using var timer = new PeriodicTimer(Interval);
        while (await NextAsync(timer, stoppingToken))
            try
            {
                await failures.WriteAsync(all: false, stoppingToken);
                await trail.SealAsync(stoppingToken);
                if (failing)
                    logger.AuditSealedAgain();
                failing = false;
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                // Once, not every second.
                if (!failing)
                    logger.AuditNotSealed(e);
                failing = true;
            }
    }

    static async Task<bool> NextAsync(PeriodicTimer timer, CancellationToken ct)
    {
        try
        {
            return await timer.WaitForNextTickAsync(ct);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>What was counted is written before the process ends.</summary>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        try
        {
            await failures.WriteAsync(all: true, cancellationToken);
        }
        catch (Exception e)
        {
            logger.AuditNotSealed(e);
        }
    }
}
