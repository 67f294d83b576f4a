using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Tandem.Core.Adapters;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Kafka;

/// <summary>Kafka in the place of the embedded event log.</summary>
public static class KafkaHosting
{
    /// <summary>Lets events go through Kafka when <c>Kafka:BootstrapServers</c> is set; changes write them to the database first.</summary>
    public static T UseKafka<T>(this T app) where T : IStoreHost
    {
        app.Use(new KafkaAdapter());
        return app;
    }
}

sealed class KafkaAdapter : StoreAdapter
{
    public override string Name => "kafka";

    public override bool Add(StoreBuilder store)
    {
        // Whoever has left Kafka has no brokers to name any more.
        store.Services.AddSingleton<IEventsBack, EventsBack>();
        var options = store.Options<KafkaOptions>();
        if (string.IsNullOrWhiteSpace(options.BootstrapServers))
            return false;
        KafkaClients.Check(options);
        var services = store.Services;
        var inner = services.Last(s => s.ServiceType == typeof(IEventLog));
        services.AddSingleton<KafkaClients>();
        services.AddSingleton<EventTopic>();
        services.AddSingleton<RelayPosition>();
        services.AddSingleton(p => new KafkaEventLog(
            Make(p, inner), p.GetRequiredService<Lazy<Db>>(), p.GetRequiredService<EventTopic>(), p.GetRequiredService<RelayPosition>(),
            p.GetRequiredService<KafkaClients>(), options, p.GetRequiredService<ILoggerFactory>()));
        services.AddSingleton<IEventLog>(p => p.GetRequiredService<KafkaEventLog>());
        services.AddHostedService<EventRelay>();
        store.Ready(Name, (p, ct) => p.GetRequiredService<EventTopic>().CheckAsync(ct));
        return true;
    }

    static IEventLog Make(IServiceProvider services, ServiceDescriptor log) => (IEventLog)(
        log.ImplementationInstance
        ?? log.ImplementationFactory?.Invoke(services)
        ?? ActivatorUtilities.CreateInstance(services, log.ImplementationType!)); // one of the three is always set
}
