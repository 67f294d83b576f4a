using System.ComponentModel.DataAnnotations;
using Tandem.Core.Configuration;

namespace Tandem.Redis;

/// <summary>Settings of Redis, section <c>Redis</c>.</summary>
public sealed class RedisOptions
{
    /// <summary>Where it is: <c>cache:6379,password=…,ssl=true</c> (the form of StackExchange.Redis), or empty to do without.</summary>
    public string? ConnectionString { get; set; }

    /// <summary>What every key and channel begins with, so that several programs share a server. Default "tandem:"; at most 100 characters.</summary>
    [Required, StringLength(100)]
    public string KeyPrefix { get; set; } = "tandem:";

    /// <summary>How long a request waits for Redis before it does without. Default 100 milliseconds; 10 milliseconds to 10 seconds.</summary>
    [TimeRange("00:00:00.010", "00:00:10")]
    public TimeSpan OperationTimeout { get; set; } = TimeSpan.FromMilliseconds(100);
}
