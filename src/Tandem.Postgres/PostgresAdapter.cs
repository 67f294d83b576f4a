using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Tandem.Core.Adapters;
using Tandem.Core.Backup;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Files;
using Tandem.Core.Jobs;

namespace Tandem.Postgres;

/// <summary>PostgreSQL in the place of SQLite: database, event log, job queue and files.</summary>
public static class PostgresHosting
{
    /// <summary>Uses PostgreSQL (14 or newer) when <c>Postgres:ConnectionString</c> is set.</summary>
    public static T UsePostgres<T>(this T app) where T : IStoreHost
    {
        app.Use(new PostgresAdapter());
        return app;
    }
}

sealed class PostgresAdapter : StoreAdapter
{
    public override string Name => "postgres";

    public override bool IsDatabase => true;

    public override bool Add(StoreBuilder store)
    {
        var options = store.Options<PostgresOptions>();
        if (options.ConnectionString is not { Length: > 0 })
            return false;
        var services = store.Services;
        var servers = new PostgresServer(options);
        services.AddSingleton(_ => servers);
        services.Replace(ServiceDescriptor.Singleton<Migrator, PostgresMigrator>());
        services.AddSingleton<PostgresDb>();
        services.AddSingleton(p => new Lazy<PostgresDb>(p.GetRequiredService<PostgresDb>));
        services.Replace(ServiceDescriptor.Singleton<Db>(p => p.GetRequiredService<PostgresDb>()));
        services.AddSingleton<PostgresLocks>();
        services.AddSingleton<Wakeups>();
        services.AddSingleton<PostgresEventLog>();
        services.Replace(ServiceDescriptor.Singleton<IEventLog>(p => p.GetRequiredService<PostgresEventLog>()));
        services.Replace(ServiceDescriptor.Singleton<IJobQueue, PostgresJobQueue>());
        services.Replace(ServiceDescriptor.Singleton<IFileStore, DatabaseFiles>());
        services.Replace(ServiceDescriptor.Singleton<StoreTables, PostgresTables>());
        services.AddHostedService<PostgresService>();
        store.Observe("Npgsql");
        return true;
    }
}

/// <summary>What has to run in a serving process: the ear for wake-ups and the sequencer.</summary>
sealed class PostgresService(PostgresServer server, Wakeups wakeups, PostgresEventLog log, IHostApplicationLifetime lifetime) : BackgroundService
{
    protected override Task ExecuteAsync(CancellationToken stoppingToken)
    {
        lifetime.ApplicationStarted.Register(server.EndStart);
        return Task.WhenAll(
            Task.Run(() => wakeups.ListenAsync(stoppingToken), stoppingToken),
            Task.Run(() => wakeups.SpeakAsync(stoppingToken), stoppingToken),
            Task.Run(() => log.SequenceAsync(stoppingToken), stoppingToken));
    }
}
