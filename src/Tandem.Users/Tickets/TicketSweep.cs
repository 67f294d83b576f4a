using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Tandem.Users.Tickets;

/// <summary>Deletes the tickets that have expired, once a minute.</summary>
sealed class TicketSweep(TicketTable tickets, ILogger<TicketSweep> logger) : BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Rounds.RunAsync(TimeSpan.FromMinutes(1), tickets.SweepAsync, logger.TicketsNotSwept, logger.TicketsSweptAgain, stoppingToken);
}
