using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Users.OpenId;
using Tandem.Users.Organisations;
using Tandem.Users.Passkeys;
using Tandem.Users.Upstream;

namespace Tandem.Users.Tickets;

/// <summary>Deletes what waited for somebody and has expired, once a minute.</summary>
sealed class TicketSweep(TicketTable tickets, PasskeyTable passkeys, PushedRequests pushed, DeviceCodes devices, OrganisationTable organisations, UpstreamLogins upstream, TimeProvider clock, ILogger<TicketSweep> logger) : BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Rounds.RunAsync(TimeSpan.FromMinutes(1), SweepAsync, logger.TicketsNotSwept, logger.TicketsSweptAgain, stoppingToken);

    async Task SweepAsync(CancellationToken ct)
    {
        await tickets.SweepAsync(ct);
        await passkeys.SweepAsync(ct);
        await pushed.SweepAsync(ct);
        await devices.SweepAsync(ct);
        await organisations.SweepAsync(clock.UtcNow(), ct);
        await upstream.SweepAsync(ct);
    }
}
