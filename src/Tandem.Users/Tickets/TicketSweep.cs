using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Users.Passkeys;

namespace Tandem.Users.Tickets;

/// <summary>Deletes the tickets that have expired, once a minute, and forgets which questions for a passkey were answered when they have.</summary>
sealed class TicketSweep(TicketTable tickets, PasskeyTable passkeys, ILogger<TicketSweep> logger) : BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Rounds.RunAsync(TimeSpan.FromMinutes(1), async ct =>
        {
            await tickets.SweepAsync(ct);
            await passkeys.SweepAsync(ct);
        }, logger.TicketsNotSwept, logger.TicketsSweptAgain, stoppingToken);
}
