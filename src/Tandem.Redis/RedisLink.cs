using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;
using Tandem.Core;
using Tandem.Core.Configuration;

namespace Tandem.Redis;

/// <summary>
/// The one connection of the process. Nothing here waits long for Redis, and nothing fails for it: an answer that does not come in time is
/// null, and the caller does what it does without.
/// </summary>
sealed class RedisLink : IHostedService, IAsyncDisposable
{
    // After a failure nobody asks for so long: a server that hangs must not cost every request its time-out.
    static readonly TimeSpan Rest = TimeSpan.FromSeconds(1);

    static readonly Counter<long> Fallbacks = Telemetry.Meter.CreateCounter<long>("tandem.redis.fallbacks", "{operation}", "Operations that were done without Redis, by what they were for");

    readonly ConfigurationOptions _configuration;
    readonly RedisOptions _options;
    readonly ILogger<RedisLink> _logger;
    readonly Lazy<Task<ConnectionMultiplexer>> _connection;
    long _restingSince;
    int _away;

    public RedisLink(ConfigurationOptions configuration, RedisOptions options, ILogger<RedisLink> logger)
    {
        (_configuration, _options, _logger) = (configuration, options, logger);
        _connection = new Lazy<Task<ConnectionMultiplexer>>(ConnectAsync);
        Telemetry.Meter.CreateObservableGauge("tandem.redis.connected", () => IsConnected ? 1 : 0, null, "1 while there is a connection to Redis");
    }

    public static ConfigurationOptions Read(RedisOptions options)
    {
        try
        {
            var configuration = ConfigurationOptions.Parse(options.ConnectionString ?? "");
            configuration.AbortOnConnectFail = false;
            configuration.BacklogPolicy = BacklogPolicy.FailFast;
            configuration.ClientName ??= "tandem";
            configuration.ConnectTimeout = 2000;
            configuration.AsyncTimeout = configuration.SyncTimeout = (int)options.OperationTimeout.TotalMilliseconds;
            configuration.ReconnectRetryPolicy = new LinearRetry(500);
            configuration.KeepAlive = 5;
            return configuration;
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            throw new ConfigurationException($"Redis:ConnectionString cannot be read ({e.Message}); write it like cache:6379,password=…");
        }
    }

    public string Prefix => _options.KeyPrefix;

    public bool IsConnected => _connection is { IsValueCreated: true, Value: { IsCompletedSuccessfully: true, Result.IsConnected: true } };

    /// <summary>The connection is back after it was lost.</summary>
    public event Action? Restored;

    /// <summary>Asks Redis.</summary>
    /// <param name="operation">What to do; runs on the shared connection.</param>
    /// <param name="what">The operation's purpose, for the metric.</param>
    /// <returns>Null when there was no answer in time; whether the operation was done is then not known.</returns>
    public async ValueTask<T?> TryAsync<T>(Func<IDatabase, Task<T>> operation, string what) where T : struct
    {
        var resting = Volatile.Read(ref _restingSince);
        if (resting == 0 || Stopwatch.GetElapsedTime(resting) > Rest)
            try
            {
                var connection = await _connection.Value.WaitAsync(_options.OperationTimeout);
                var result = await operation(connection.GetDatabase()).WaitAsync(_options.OperationTimeout);
                Volatile.Write(ref _restingSince, 0);
                if (Interlocked.Exchange(ref _away, 0) == 1)
                    _logger.RedisBack();
                return result;
            }
            catch (Exception e) when (e is RedisException or TimeoutException or ObjectDisposedException or System.Net.Sockets.SocketException)
            {
                Volatile.Write(ref _restingSince, Stopwatch.GetTimestamp());
                // Once, not at every request.
                if (Interlocked.Exchange(ref _away, 1) == 0)
                    _logger.RedisAway(e.Message);
            }

        Fallbacks.Add(1, new KeyValuePair<string, object?>("operation", what));
        return null;
    }

    /// <summary>Listens to a pattern of channels, again after every loss of the connection.</summary>
    public async Task SubscribeAsync(RedisChannel pattern, Action<RedisChannel, RedisValue> handler)
    {
        var connection = await _connection.Value;
        await connection.GetSubscriber().SubscribeAsync(pattern, handler, CommandFlags.FireAndForget);
    }

    // In the background: a start must not wait for Redis.
    public Task StartAsync(CancellationToken cancellationToken)
    {
        _ = _connection.Value;
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    async Task<ConnectionMultiplexer> ConnectAsync()
    {
        // Returns without a connection when there is none yet, and goes on trying by itself.
        var connection = await ConnectionMultiplexer.ConnectAsync(_configuration);
        connection.ConnectionRestored += (_, _) => Restored?.Invoke();
        return connection;
    }

    public async ValueTask DisposeAsync()
    {
        if (_connection.IsValueCreated)
            await (await _connection.Value).DisposeAsync();
    }
}
