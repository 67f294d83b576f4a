using StackExchange.Redis;
using Tandem.Core.Http;

namespace Tandem.Redis;

/// <summary>
/// Rate limits over all processes: one script and one round trip each, by the clock of Redis. Without Redis every process counts for itself.
/// </summary>
sealed class RedisRateLimits(RedisLink link, InProcessRateLimits alone) : IRateLimits
{
    // Times are microseconds. A key is gone when its allowance is full: then it says nothing that a missing key would not.
    const string Count = """
        local now = redis.call('TIME')
        now = now[1] * 1000000 + now[2]
        local each, window, take = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
        local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
        local after = full + each
        if after - now > window then return {0, after - now - window} end
        if take then redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000)) end
        return {1, after - now}
        """;

    const string GiveBack = """
        local stored = redis.call('GET', KEYS[1])
        if stored then redis.call('SET', KEYS[1], string.format('%.0f', tonumber(stored) - tonumber(ARGV[1])), 'KEEPTTL') end
        return {1, 0}
        """;

    public ValueTask<RateLimit> TakeAsync(string rule, string key, int limit, TimeSpan window) => CountAsync(rule, key, limit, window, take: true);

    public ValueTask<RateLimit> PeekAsync(string rule, string key, int limit, TimeSpan window) => CountAsync(rule, key, limit, window, take: false);

    public async ValueTask GiveBackAsync(string rule, string key, int limit, TimeSpan window)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        if (await AskAsync(GiveBack, rule, key, [Each(limit, window)]) is (false, _))
            await alone.GiveBackAsync(rule, key, limit, window);
    }

    public async ValueTask ForgetAsync(string rule, string key)
    {
        await alone.ForgetAsync(rule, key);
        await link.TryAsync(db => db.KeyDeleteAsync(KeyOf(rule, key)), "limits");
    }

    async ValueTask<RateLimit> CountAsync(string rule, string key, int limit, TimeSpan window, bool take)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        var each = Each(limit, window);
        if (await AskAsync(Count, rule, key, [each, (long)window.TotalMicroseconds, take ? 1 : 0]) is not (true, var (allowed, time)))
            return take ? await alone.TakeAsync(rule, key, limit, window) : await alone.PeekAsync(rule, key, limit, window);
        var span = TimeSpan.FromMicroseconds(time);
        if (!allowed)
            return new RateLimit(false, limit, 0, window, span);
        var remaining = (int)(((long)window.TotalMicroseconds - time) / each);
        return take ? new RateLimit(true, limit, remaining, window, span) : new RateLimit(true, limit, remaining + 1, window, TimeSpan.Zero);
    }

    ValueTask<(bool Done, (bool Allowed, long Microseconds) Answer)> AskAsync(string script, string rule, string key, RedisValue[] arguments) => link.TryAsync(async db =>
    {
        // A script of ours always answers with two numbers.
        var answer = (long[]?)await db.ScriptEvaluateAsync(script, [KeyOf(rule, key)], arguments) ?? [1, 0];
        return (answer[0] == 1, answer[1]);
    }, "limits");

    RedisKey KeyOf(string rule, string key) => $"{link.Prefix}limit:{rule}:{key}";

    static long Each(int limit, TimeSpan window) => Math.Max(1, (long)window.TotalMicroseconds / limit);
}
