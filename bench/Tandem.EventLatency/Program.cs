using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Tandem;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Kafka;
using Tandem.Postgres;

// How long from the commit of a change to the effect of its event, and how many a second: Tandem.EventLatency [SETTINGS], such as --Postgres:ConnectionString.
// On shared stores the change is made by one program and the effect by another, which hear of each other through the stores alone.
var settings = args;
var shared = settings.Contains("--Postgres:ConnectionString");
var data = Path.Combine(Path.GetTempPath(), "tandem-event-latency", Guid.NewGuid().ToString("n"));
await using var here = await StartAsync("here", shared ? "users" : "users,bench");
await using var there = shared ? await StartAsync("there", "users,bench") : null;
var db = here.Find<Db>();

Console.WriteLine($"stores: {db.Engine}, {here.Find<IEventLog>().GetType().Name}; effect in {(shared ? "another program" : "the same program")}");
Console.WriteLine("| changes/s asked | changes/s made | effects/s | commit to effect p50 | p99 | max |");
Console.WriteLine("| --- | --- | --- | --- | --- | --- |");
await MeasureAsync(rate: 200, seconds: 5, print: false);
foreach (var rate in new[] { 100, 1000, int.MaxValue })
    await MeasureAsync(rate, seconds: 10, print: true);
if (Directory.Exists(data))
    Directory.Delete(data, recursive: true);
return 0;

async Task<Running> StartAsync(string name, string roles)
{
    var app = TandemApp.Create(["--urls", "http://127.0.0.1:0", "--data", Path.Combine(data, name), "--Log:Level", "Error", "--roles", roles, .. settings]);
    IServiceProvider? services = null;
    app.UsePostgres();
    app.UseKafka();
    app.Add<BenchModule>();
    app.Services.AddSingleton(p => new Marker(services = p));
    app.Services.AddHostedService<MarkerService>();
    await app.StartAsync();
    return new Running(app, services ?? throw new InvalidOperationException("The program has no services."));
}

async Task MeasureAsync(int rate, int seconds, bool print)
{
    BenchModule.Committed.Clear();
    BenchModule.Handled.Clear();
    var (started, made) = (Stopwatch.GetTimestamp(), 0);
    const int Writers = 32;
    await Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(async () =>
    {
        for (var i = 0; Stopwatch.GetElapsedTime(started).TotalSeconds < seconds; i++)
        {
            // An open loop: what comes late does not make the next one later.
            if (rate < int.MaxValue && TimeSpan.FromSeconds((i + writer / (double)Writers) * Writers / rate) - Stopwatch.GetElapsedTime(started) is { Ticks: > 0 } wait)
                await Task.Delay(wait);
            var id = Guid.NewGuid();
            await db.InTransactionAsync(tx => tx.PublishAsync(new Measured($"k{writer}", id)));
            BenchModule.Committed[id] = Stopwatch.GetTimestamp();
            Interlocked.Increment(ref made);
        }
    })));
    var writing = Stopwatch.GetElapsedTime(started).TotalSeconds;
    while (BenchModule.Handled.Count < made && Stopwatch.GetElapsedTime(started).TotalSeconds < seconds + 120)
        await Task.Delay(5);
    var all = Stopwatch.GetElapsedTime(started).TotalSeconds;
    if (!print)
        return;
    var latencies = BenchModule.Committed.Where(c => BenchModule.Handled.ContainsKey(c.Key))
        .Select(c => Math.Max(0, Stopwatch.GetElapsedTime(c.Value, BenchModule.Handled[c.Key]).TotalMilliseconds)).Order().ToArray();
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $"| {(rate == int.MaxValue ? "as many as go" : rate)} | {made / writing:0} | {latencies.Length / all:0} | {At(0.5):0.0} ms | {At(0.99):0.0} ms | {latencies[^1]:0.0} ms |"));

    double At(double share) => latencies[(int)(share * (latencies.Length - 1))];
}

/// <summary>An event of the measurement.</summary>
[Event("bench.measured", Key = nameof(Key))]
public sealed record Measured(string Key, Guid Id);

/// <summary>Remembers when each change was committed and when its effect was.</summary>
public sealed class BenchModule : Module
{
    internal static readonly ConcurrentDictionary<Guid, long> Committed = new();
    internal static readonly ConcurrentDictionary<Guid, long> Handled = new();

    public override string Name => "bench";

    public override void Add(ModuleBuilder module) => module.Consume<Measured, Handler>();

    sealed class Handler : IConsumer<Measured>
    {
        public Task HandleAsync(Delivery<Measured> delivery, Transaction tx, CancellationToken cancellationToken)
        {
            // The effect is there when its transaction is.
            tx.OnCommitted(() => Handled[delivery.Event.Id] = Stopwatch.GetTimestamp());
            return Task.CompletedTask;
        }
    }
}

sealed record Marker(IServiceProvider Services);

sealed class MarkerService(Marker marker) : Microsoft.Extensions.Hosting.BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.FromResult(marker);
}

sealed record Running(TandemApp App, IServiceProvider Services) : IAsyncDisposable
{
    public T Find<T>() where T : notnull => Services.GetRequiredService<T>();

    public async ValueTask DisposeAsync()
    {
        await App.StopAsync();
        await App.DisposeAsync();
    }
}
