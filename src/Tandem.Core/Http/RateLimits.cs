using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.AspNetCore.Http;

namespace Tandem.Core.Http;

/// <summary>Counts what happens per key and says when it is too much: in this process, or over all that share a Redis. Safe under concurrency.</summary>
/// <remarks>
/// The generic cell rate algorithm (ITU-T I.371): a key holds one instant, the time at which its allowance is full again. It never lets more
/// than the limit through in any window that starts full, and refills evenly instead of all at once.
/// </remarks>
public interface IRateLimits
{
    /// <summary>Takes one from the key's allowance.</summary>
    /// <param name="rule">Which limit: <c>users/sign-up</c>.</param>
    /// <param name="key">Whose allowance: an address, an account.</param>
    /// <param name="limit">How many per <paramref name="window"/>; at least 1.</param>
    /// <param name="window">The time in which an empty allowance fills up.</param>
    ValueTask<RateLimit> TakeAsync(string rule, string key, int limit, TimeSpan window);

    /// <summary>Looks at the allowance without taking from it.</summary>
    ValueTask<RateLimit> PeekAsync(string rule, string key, int limit, TimeSpan window);

    /// <summary>Puts back one that was taken: what it was taken for did not happen after all.</summary>
    ValueTask GiveBackAsync(string rule, string key, int limit, TimeSpan window);

    /// <summary>Gives the key its whole allowance back.</summary>
    ValueTask ForgetAsync(string rule, string key);
}

/// <summary>The limits of one process; memory is bounded.</summary>
sealed class InProcessRateLimits(TimeProvider clock) : IRateLimits
{
    // 100,000 keys are about 15 MB. Above it keys with a full allowance are dropped: they say nothing that a missing key would not.
    const int MaxKeys = 100_000;

    readonly ConcurrentDictionary<(string Rule, string Key), long> _full = new();
    int _sweeping;

    public ValueTask<RateLimit> TakeAsync(string rule, string key, int limit, TimeSpan window) => new(Count(rule, key, limit, window, take: true));

    public ValueTask<RateLimit> PeekAsync(string rule, string key, int limit, TimeSpan window) => new(Count(rule, key, limit, window, take: false));

    public ValueTask GiveBackAsync(string rule, string key, int limit, TimeSpan window)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        var each = Math.Max(1, window.Ticks / limit);
        while (_full.TryGetValue((rule, key), out var stored) && !_full.TryUpdate((rule, key), stored - each, stored))
        {
        }

        return ValueTask.CompletedTask;
    }

    public ValueTask ForgetAsync(string rule, string key)
    {
        _full.TryRemove((rule, key), out _);
        return ValueTask.CompletedTask;
    }

    RateLimit Count(string rule, string key, int limit, TimeSpan window, bool take)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        var (id, now, each) = ((rule, key), clock.GetUtcNow().UtcTicks, Math.Max(1, window.Ticks / limit));
        while (true)
        {
            var known = _full.TryGetValue(id, out var stored);
            var full = Math.Max(stored, now);
            var after = full + each;
            if (after - now > window.Ticks)
                return new RateLimit(false, limit, 0, window, TimeSpan.FromTicks(after - now - window.Ticks));
            var remaining = (int)((window.Ticks - (after - now)) / each);
            if (!take)
                return new RateLimit(true, limit, remaining + 1, window, TimeSpan.Zero);
            if (known ? _full.TryUpdate(id, after, stored) : _full.TryAdd(id, after))
            {
                if (!known && _full.Count > MaxKeys)
                    Sweep(now);
                return new RateLimit(true, limit, remaining, window, TimeSpan.FromTicks(after - now));
            }
        }
    }

    void Sweep(long now)
    {
        if (Interlocked.Exchange(ref _sweeping, 1) == 1)
            return;
        foreach (var (id, full) in _full)
            if (full <= now)
                _full.TryRemove(new KeyValuePair<(string, string), long>(id, full));
        // Still too many: an attacker with many addresses. Forgetting the oldest frees memory and lets him in no faster than one key each.
        if (_full.Count > MaxKeys)
            foreach (var id in _full.OrderBy(e => e.Value).Take(MaxKeys / 10).Select(e => e.Key).ToList())
                _full.TryRemove(id, out _);
        Volatile.Write(ref _sweeping, 0);
    }
}

/// <summary>What a limit said.</summary>
/// <param name="Allowed">False: too much.</param>
/// <param name="Limit">How many per window.</param>
/// <param name="Remaining">How many more are allowed now.</param>
/// <param name="Window">The time in which an empty allowance fills up.</param>
/// <param name="Reset">Allowed: until the allowance is full again. Refused: until the next one is allowed.</param>
public readonly record struct RateLimit(bool Allowed, int Limit, int Remaining, TimeSpan Window, TimeSpan Reset)
{
    /// <summary>Writes RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-09).</summary>
    /// <param name="response">Its headers are set.</param>
    /// <param name="name">The policy's name.</param>
    public void WriteHeaders(HttpResponse response, string name)
    {
        ArgumentNullException.ThrowIfNull(response);
        response.Headers["RateLimit-Policy"] = string.Create(CultureInfo.InvariantCulture, $"\"{name}\";q={Limit};w={Math.Ceiling(Window.TotalSeconds)}");
        response.Headers["RateLimit"] = string.Create(CultureInfo.InvariantCulture, $"\"{name}\";r={Remaining};t={Math.Ceiling(Reset.TotalSeconds)}");
    }

    /// <summary>429 with Retry-After.</summary>
    public ProblemResult Refusal(string? detail = null) =>
        new(HttpProblems.TooManyRequests, detail, null) { RetryAfterSeconds = (int)Math.Max(1, Math.Ceiling(Reset.TotalSeconds)) };
}
