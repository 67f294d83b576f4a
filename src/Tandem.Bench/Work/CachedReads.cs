using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Cache;
using Tandem.Core.Http;

namespace Tandem.Bench.Work;

/// <summary>
/// One endpoint that answers out of <see cref="Cache{TKey,TValue}"/>, open to anyone, as a user would map it: a request goes through everything that stands before
/// an endpoint. The peers have the same: a small record out of a map in memory, as JSON.
/// </summary>
sealed class CachedReads : Module
{
    public const string Path = "/cached/k7", Answer = """{"key":"k7","value":"value-7"}""";

    public override string Name => "cached";

    public override void Map(IEndpointRouteBuilder routes) => routes.MapGet("/cached/{key}", Read).AllowAnonymous().NeverBlocks();

    static ValueTask<CachedEntry> Read(string key, Cache<string, CachedEntry> cache, CancellationToken ct) =>
        cache.GetOrComputeAsync(key, static (k, _) => ValueTask.FromResult(new CachedEntry(k, $"value-{k[1..]}")), cancellationToken: ct);
}

sealed record CachedEntry(string Key, string Value);
