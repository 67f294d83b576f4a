using System.Diagnostics.Metrics;
using Microsoft.Extensions.Hosting;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem;

/// <summary>What waits in the stores, as metrics: events behind, events set aside, jobs.</summary>
/// <remarks>Read every few seconds rather than by the scrape, which must not wait for a store.</remarks>
sealed class StoreGauges : BackgroundService
{
    static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

    readonly Db _db;
    readonly ConsumerProgress _progress;
    readonly TimeProvider _clock;
    volatile Row[] _lag = [];
    volatile Row[] _setAside = [];
    volatile Row[] _jobs = [];

    public StoreGauges(Db db, ConsumerProgress progress, TimeProvider clock)
    {
        (_db, _progress, _clock) = (db, progress, clock);
        Telemetry.Meter.CreateObservableGauge("tandem.core.events.lag", () => Read(_lag, "consumer"), "{event}", "Events that a consumer has not dealt with yet");
        Telemetry.Meter.CreateObservableGauge("tandem.core.events.set_aside", () => Read(_setAside, "consumer"), "{event}", "Events that failed, and those that wait behind them");
        Telemetry.Meter.CreateObservableGauge("tandem.core.jobs", () => Read(_jobs, "state"), "{job}", "Jobs that wait or run");
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Every, _clock);
        while (await timer.WaitForNextTickAsync(stoppingToken))
            try
            {
                var consumers = await _progress.ListAsync(stoppingToken);
                _lag = [.. consumers.Select(c => new Row(c.Consumer, c.Lag))];
                _setAside = [.. consumers.Select(c => new Row(c.Consumer, c.SetAside))];
                _jobs = [.. await _db.ListAsync<Row>($"""
                    select state as name, count(*) as count from jobs_queue where state in ('available', 'running') group by state
                    """, stoppingToken)];
            }
            catch (StoreUnavailableException)
            {
                // Readiness and the log say so; the gauges keep their last reading.
            }
    }

    static IEnumerable<Measurement<long>> Read(Row[] rows, string label) => rows.Select(r => new Measurement<long>(r.Count, new KeyValuePair<string, object?>(label, r.Name)));

    sealed record Row(string Name, long Count);
}
