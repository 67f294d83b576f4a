using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Tandem.Core.Adapters;
using Tandem.Core.Backplane;
using Tandem.Core.Cache;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem.Redis;

/// <summary>Redis between the processes of one program: what each of them knows, the others know in milliseconds.</summary>
public static class RedisHosting
{
    /// <summary>Uses Redis (6.0 or newer) when <c>Redis:ConnectionString</c> is set. While it is away every process goes on by itself.</summary>
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
        services.AddSingleton<InProcessBackplane>();
        services.AddSingleton<RedisBackplane>();
        services.Replace(ServiceDescriptor.Singleton<IBackplane>(p => p.GetRequiredService<RedisBackplane>()));
        services.AddSingleton<InProcessRateLimits>();
        services.Replace(ServiceDescriptor.Singleton<IRateLimits, RedisRateLimits>());
        // HybridCache finds it and keeps its second level there.
        services.AddSingleton<IDistributedCache, RedisCache>();
        services.Replace(ServiceDescriptor.Singleton<CachePeers, RedisCachePeers>());
        services.AddHostedService(p => p.GetRequiredService<RedisLink>());
        store.Ready(Name, async (p, ct) =>
        {
            if (!await p.GetRequiredService<RedisLink>().ReachAsync(ct))
                throw new DegradedException("Redis does not answer: every process counts rate limits and keeps caches by itself, and hears of ended sessions "
                    + "from the database, within a second. Look at the server and at Redis:ConnectionString.");
        });
        return true;
    }
}
