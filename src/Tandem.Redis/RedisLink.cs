using System.Diagnostics.Metrics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;
using Tandem.Core;
using Tandem.Core.Configuration;

namespace Tandem.Redis;

/// <summary>
/// The one connection of the process. Nothing here waits long for Redis and nothing fails for it: what gets no answer in time gets none, and the
/// caller does what it does without. From then on nobody asks until Redis answers a probe, so a server that hangs costs few requests its time-out.
/// </summary>
sealed class RedisLink : IHostedService, IAsyncDisposable
{
    static readonly TimeSpan ProbeInterval = TimeSpan.FromMilliseconds(250);

    // A server that starts gives Redis so long; then it serves without.
    static readonly TimeSpan StartTime = TimeSpan.FromSeconds(1);

    static readonly Counter<long> Fallbacks =
        Telemetry.Meter.CreateCounter<long>("tandem.redis.fallbacks", "{operation}", "Operations that were done without Redis, by what they were for");

    readonly ConfigurationOptions _configuration;
    readonly RedisOptions _options;
    readonly ILogger<RedisLink> _logger;
    readonly CancellationTokenSource _stop = new();
    readonly Lazy<Task> _watching;
    readonly TaskCompletionSource<ConnectionMultiplexer> _connection = new(TaskCreationOptions.RunContinuationsAsynchronously);
    readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    readonly SemaphoreSlim _lost = new(0);
    int _answers;
    bool _away;
    bool _disposed;

    public RedisLink(ConfigurationOptions configuration, RedisOptions options, ILogger<RedisLink> logger)
    {
        (_configuration, _options, _logger) = (configuration, options, logger);
        _watching = new Lazy<Task>(() => Task.Run(() => WatchAsync(_stop.Token)));
        Telemetry.Meter.CreateObservableGauge("tandem.redis.connected", () => Answers ? 1 : 0, null, "1 while Redis answers, 0 while this process does without");
    }

    /// <exception cref="ConfigurationException">The connection string cannot be read.</exception>
    public static ConfigurationOptions Read(RedisOptions options)
    {
        try
        {
            var configuration = ConfigurationOptions.Parse(options.ConnectionString ?? "");
            configuration.ClientName ??= "tandem";
            // Goes on trying by itself for ever, and refuses at once what cannot be sent now.
            configuration.AbortOnConnectFail = false;
            configuration.BacklogPolicy = BacklogPolicy.FailFast;
            configuration.ConnectRetry = 1;
            configuration.ConnectTimeout = 2000;
            configuration.ReconnectRetryPolicy = new LinearRetry(500);
            configuration.HeartbeatInterval = TimeSpan.FromMilliseconds(500);
            // Finds out within ten seconds that the other side is gone without a word.
            configuration.KeepAlive = 5;
            return configuration;
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            throw new ConfigurationException($"Redis:ConnectionString cannot be read ({e.Message}); write it like cache:6379,password=…");
        }
    }

    /// <summary>The pattern of everything that begins so.</summary>
    public static string Pattern(string prefix) => string.Concat(prefix.Select(c => "*?[]^\\".Contains(c) ? $"\\{c}" : $"{c}")) + "*";

    public string Prefix => _options.KeyPrefix;

    /// <summary>False: everything is done without Redis.</summary>
    public bool Answers => Volatile.Read(ref _answers) == 1;

    /// <summary>Redis answers again and nobody asks it yet: what was written without it is to be made good. What it throws has Redis stay away.</summary>
    public event Func<IDatabase, Task>? Returning;

    /// <summary>Redis is used, for the first time or again.</summary>
    public event Action? Returned;

    /// <summary>The connection, whether or not there is a server behind it.</summary>
    public Task<ConnectionMultiplexer> Connection => _connection.Task;

    /// <summary>Asks Redis.</summary>
    /// <param name="operation">What to do; runs on the shared connection.</param>
    /// <param name="what">What it is for, as the metric says it.</param>
    /// <returns>Done false: no answer in time; whether Redis did it is not known.</returns>
    public async ValueTask<(bool Done, T? Result)> TryAsync<T>(Func<IDatabase, Task<T>> operation, string what)
    {
        if (Answers)
            try
            {
                return (true, await operation(_connection.Task.Result.GetDatabase()).WaitAsync(_options.OperationTimeout));
            }
            catch (Exception e) when (IsAway(e))
            {
                Lose(e.Message);
            }

        Fallbacks.Add(1, new KeyValuePair<string, object?>("operation", what));
        return (false, default);
    }

    /// <summary>Returns when Redis answers, or false after a second.</summary>
    public async Task<bool> ReachAsync(CancellationToken ct)
    {
        _ = _watching.Value;
        try
        {
            await _answered.Task.WaitAsync(StartTime, ct);
        }
        catch (TimeoutException)
        {
            Tell("there is no connection");
        }

        return Answers;
    }

    public Task StartAsync(CancellationToken cancellationToken) => ReachAsync(cancellationToken);

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    static bool IsAway(Exception e) => e is RedisException or TimeoutException or ObjectDisposedException or OperationCanceledException or IOException;

    void Lose(string reason)
    {
        if (Interlocked.Exchange(ref _answers, 0) == 0)
            return;
        Tell(reason);
        _lost.Release();
    }

    // One line when it goes and one when it is back, however many requests meet it.
    void Tell(string reason)
    {
        if (!Interlocked.Exchange(ref _away, true) && !_stop.IsCancellationRequested)
            _logger.RedisAway(reason);
    }

    async Task WatchAsync(CancellationToken ct)
    {
        if (await ConnectAsync(ct) is not { } connection)
            return;
        connection.ConnectionFailed += (_, e) => Lose($"the connection to {e.EndPoint} is lost ({e.FailureType})");
        _connection.SetResult(connection);
        while (!ct.IsCancellationRequested)
            try
            {
                if (await AnswersAsync(connection.GetDatabase()))
                    await _lost.WaitAsync(ct);
                await Task.Delay(ProbeInterval, ct);
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
            }
    }

    /// <summary>Goes on for ever where one server is named, and fails where Sentinels are and none knows the server: that is tried again here.</summary>
    /// <returns>Null when the program ends.</returns>
    async Task<ConnectionMultiplexer?> ConnectAsync(CancellationToken ct)
    {
        while (!ct.IsCancellationRequested)
            try
            {
                return await ConnectionMultiplexer.ConnectAsync(_configuration);
            }
            catch (Exception e) when (IsAway(e))
            {
                Tell(e.Message);
                await Task.Delay(ProbeInterval, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

        return null;
    }

    /// <summary>A write, since a server that only reads, or has no memory left, is of no use.</summary>
    async Task<bool> AnswersAsync(IDatabase database)
    {
        try
        {
            await database.StringSetAsync(Prefix + "probe", 1, TimeSpan.FromMinutes(1)).WaitAsync(_options.OperationTimeout);
            foreach (var returning in Returning?.GetInvocationList().Cast<Func<IDatabase, Task>>() ?? [])
                await returning(database);
        }
        catch (Exception e) when (IsAway(e))
        {
            Tell(e.Message);
            return false;
        }

        Volatile.Write(ref _answers, 1);
        if (Interlocked.Exchange(ref _away, false))
            _logger.RedisBack();
        _answered.TrySetResult();
        Returned?.Invoke();
        return true;
    }

    public async ValueTask DisposeAsync()
    {
        // Registered under two types, so disposed twice.
        if (Interlocked.Exchange(ref _disposed, true))
            return;
        await _stop.CancelAsync();
        Volatile.Write(ref _answers, 0);
        if (_watching.IsValueCreated)
        {
            await _watching.Value;
            if (_connection.Task.IsCompletedSuccessfully)
                await _connection.Task.Result.DisposeAsync();
        }

        _connection.TrySetCanceled();
        _stop.Dispose();
        _lost.Dispose();
    }
}
