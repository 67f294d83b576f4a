using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Conformance.Events;

/// <summary>A store under test with the witnesses on it; the program can be started on it again and again.</summary>
class EventStage : IAsyncDisposable
{
    string[] _settings;

    public EventStage(params string[] settings) => _settings = settings;

    /// <summary>The same with changes in PostgreSQL.</summary>
    public async Task<EventStage> OnPostgresAsync()
    {
        StoreSettings = await TestStores.PostgresAsync(Data);
        _settings = [.. _settings, .. StoreSettings];
        return this;
    }

    /// <summary>Where changes are; nothing of where events go.</summary>
    public string[] StoreSettings { get; private set; } = [];

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public string Data { get; } = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));

    public Task<TestApp> StartAsync(params string[] more) => StartOnAsync([.. _settings, .. more]);

    /// <summary>With other settings than the stage's own.</summary>
    public async Task<TestApp> StartOnAsync(params string[] settings) => TestApp.KeepData(
        await TestApp.StartAsync(app => app.Add<WitnessModule>(), Data, settings));

    /// <summary>The shipped program's command, which knows nothing of the witnesses.</summary>
    public Task<(int Code, string Output, string Error)> GrowAsync(string how) => Programs.RunAsync(["grow", how, "--data", Data, .. StoreSettings]);

    /// <summary>Keys k0, k1, … each told the numbers from <paramref name="first"/> on, key by key at the same time, so that they interleave.</summary>
    public static Task TellAsync(TestApp app, int keys, int first, int count) =>
        Parallel.ForEachAsync(Enumerable.Range(0, keys), Ct, async (key, ct) =>
        {
            for (var number = first; number < first + count; number++)
                await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Told($"k{key}", number, false), ct), ct);
        });

    public static Task UntilAsync(TestApp app, string witness, long count, int seconds = 90) => Eventually.TrueAsync(async () =>
        await app.Db.FindAsync<long>($"select count(*) from witness_told where witness = {witness}", Ct) >= count, seconds);

    /// <summary>Every key has each number from 0 to so many once, and in this order.</summary>
    public static async Task HasAllAsync(TestApp app, string witness, int keys, int count)
    {
        for (var key = 0; key < keys; key++)
            Assert.Equal(Enumerable.Range(0, count).Select(n => (long)n),
                await app.Db.ListAsync<long>($"select number from witness_told where witness = {witness} and key = {"k" + key} order by place", Ct));
    }

    /// <summary>Another process with the same consumers, as far as the log can tell.</summary>
    public static async Task<IHostedService> JoinAsync(TestApp app)
    {
        var services = app.Services;
        var member = new EventDispatcher(
            services.GetRequiredService<Db>(), services.GetRequiredService<IEventLog>(), services.GetRequiredService<ConsumerRegistry>(), services,
            services.GetRequiredService<EventOptions>(), TimeProvider.System, services.GetRequiredService<ILogger<EventDispatcher>>());
        await member.StartAsync(Ct);
        return member;
    }

    public virtual async ValueTask DisposeAsync()
    {
        WitnessModule.Dead.TryRemove(Data, out _);
        WitnessModule.Cured.TryRemove(Data, out _);
        if (Directory.Exists(Data))
            Directory.Delete(Data, recursive: true);
        await TestStores.DropAsync(Data);
    }
}

/// <summary>The same with events going through Kafka, in four partitions.</summary>
sealed class KafkaStage : EventStage
{
    public const int Partitions = 4;

    KafkaStage(KafkaCluster cluster)
        : base([.. cluster.Settings, "--Kafka:Partitions", $"{Partitions}"]) =>
        Cluster = cluster;

    public KafkaCluster Cluster { get; }

    /// <param name="topic">False: the topic is missing, as far as the suite can have it so.</param>
    public static async Task<KafkaStage> MakeAsync(bool topic = true)
    {
        var stage = new KafkaStage(await KafkaCluster.StartAsync());
        if (topic)
            await stage.Cluster.TopicAsync(Partitions);
        return stage;
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await Cluster.DisposeAsync();
    }
}
