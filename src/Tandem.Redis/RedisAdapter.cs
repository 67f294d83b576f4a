using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Tandem.Core.Adapters;
using Tandem.Core.Backplane;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Redis;

/// <summary>Redis behind caches, rate limits and the backplane.</summary>
public static class RedisHosting
{
    /// <summary>Shares caches, rate limits and news of ended sessions over all processes when <c>Redis:ConnectionString</c> is set.</summary>
    public static T UseRedis<T>(this T app) where T : IStoreHost
    {
        app.Use(new RedisAdapter());
        return app;
    }
}

sealed class RedisAdapter : StoreAdapter
{
    public override string Name => "redis";

    public override bool Add(StoreBuilder store)
    {
        var options = store.Options<RedisOptions>();
        if (string.IsNullOrWhiteSpace(options.ConnectionString))
            return false;
        var configuration = RedisLink.Read(options);
        var services = store.Services;
        services.AddSingleton(p => ActivatorUtilities.CreateInstance<RedisLink>(p, configuration));
        services.AddSingleton<InProcessRateLimits>();
        services.Replace(ServiceDescriptor.Singleton<IRateLimits, RedisRateLimits>());
        services.Replace(ServiceDescriptor.Singleton<IBackplane, RedisBackplane>());
        // HybridCache finds it and keeps its second level there.
        services.AddSingleton<IDistributedCache, RedisCache>();
        services.AddHostedService(p => p.GetRequiredService<RedisLink>());
        store.Ready(Name, async (p, ct) =>
        {
            if (await p.GetRequiredService<RedisLink>().TryAsync(async db => (await db.PingAsync()).TotalMilliseconds, "check") is null)
                throw new DegradedException("Redis does not answer: rate limits and caches hold for each process by itself, and ended sessions are heard of within a second.");
        });
        return true;
    }
}
