using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Tandem.Users.Audit;

/// <summary>Chains what has committed, once a second, and writes the failed sign-ins that were counted.</summary>
sealed class AuditSealer(AuditTrail trail, FailedSignIns failures, ILogger<AuditSealer> logger) : BackgroundService
{
    static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Rounds.RunAsync(Interval, async ct =>
    {
        await failures.WriteAsync(all: false, ct);
        await trail.SealAsync(ct);
    }, logger.AuditNotSealed, logger.AuditSealedAgain, stoppingToken);

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
