using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Tandem.Core.Http;

namespace Tandem.Conformance;

/// <summary>What an operator sees of a Redis that goes and comes back.</summary>
public sealed class RedisAwayTests
{
    [Fact]
    public async Task One_line_says_that_it_is_gone_and_one_that_it_is_back_and_a_metric_counts_what_went_without()
    {
        await using var redis = await OwnRedis.StartAsync();
        var log = new Lines();
        await using var app = await TestApp.StartAsync(a => a.Services.AddSingleton<ILoggerProvider>(log), null, [.. redis.Settings, "--Log:Level", "Information"]);
        await OwnRedis.ReadyAsync(app);
        var limits = app.Services.GetRequiredService<IRateLimits>();
        using var fallbacks = new Fallbacks("limits");

        await redis.KillAsync();
        for (var i = 0; i < 50; i++)
            Assert.True((await limits.TakeAsync("rule", "ada", 1000, TimeSpan.FromHours(1))).Allowed);
        // Tests beside this one may lose theirs at the same time.
        Assert.InRange(fallbacks.Count, 50, long.MaxValue);
        await redis.StartAgainAsync();
        await OwnRedis.ReadyAsync(app);

        // Said just behind the first use.
        await Eventually.TrueAsync(() => Task.FromResult(log.All.Any(l => l.Id == 6202)));
        Assert.Equal([6201, 6202], log.All.Select(l => l.Id).Where(id => id is >= 6200 and < 6300));
    }

    sealed class Fallbacks : IDisposable
    {
        readonly MeterListener _listener = new();
        long _count;

        public Fallbacks(string operation)
        {
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Name == "tandem.redis.fallbacks")
                    listener.EnableMeasurementEvents(instrument);
            };
            _listener.SetMeasurementEventCallback<long>((_, value, tags, _) =>
            {
                if (tags[0].Value is string what && what == operation)
                    Interlocked.Add(ref _count, value);
            });
            _listener.Start();
        }

        public long Count => Interlocked.Read(ref _count);

        public void Dispose() => _listener.Dispose();
    }
}
