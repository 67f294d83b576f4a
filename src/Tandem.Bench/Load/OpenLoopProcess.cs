using System.Globalization;
using System.Net;
using System.Text.Json;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;
using Tandem.Bench.Processes;
using Tandem.Bench.Results;

namespace Tandem.Bench.Load;

/// <summary>The open loop in a process of its own, so that its time and memory are nobody else's.</summary>
static class OpenLoopProcess
{
    /// <summary>The word after which <c>tandem bench child</c> is this client.</summary>
    public const string Name = "open-loop";

    /// <summary>A server that has not taken all connections by then cannot be asked over them.</summary>
    static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(6), UpgradeTimeout = TimeSpan.FromSeconds(12);

    // Completions run where the socket was seen to be ready: no thread has to be woken to take the time.
    static readonly Dictionary<string, string> Environment = new() { ["DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS"] = "1" };

    /// <param name="echoToken">The token with which each connection becomes a WebSocket that echoes; null: <paramref name="path"/> is asked for by HTTP.</param>
    public static async Task<Cell> MeasureAsync(
        Session session, Server server, Cell cell, string path, int connections, int rate, double warmUp, double seconds, CancellationToken ct, string? echoToken = null)
    {
        server.MustRun();
        string Say(double value) => value.ToString(CultureInfo.InvariantCulture);
        await using var watch = new MemoryWatch(server.Id);
        await using var client = Child.Start(
            [.. Peer.OurselvesLine, "bench", "child", Name, $"{server.Port}", path, $"{connections}", $"{rate}", Say(warmUp), Say(seconds), .. echoToken is null ? Array.Empty<string>() : [echoToken]],
            Path.Combine(session.Temporary, "open-loop.log"), talks: true, Environment);
        var connected = double.Parse((await client.HearAsync(ct)).Split(' ')[1], CultureInfo.InvariantCulture);
        if (connected < 0)
            throw new BenchException($"It did not take {connections} connections within {Patience(echoToken).TotalSeconds:0} s.");
        if (await client.AskAsync("warm up", ct) != "warm")
            throw new BenchException($"The open loop's client is lost: {client.LastWords()}");
        var before = ProcessTree.CpuSeconds(server.Id);
        var result = JsonSerializer.Deserialize<OpenLoopResult>(await client.HearAsync(ct)) ?? throw new BenchException("The open loop's client said nothing.");
        var cpu = ProcessTree.CpuSeconds(server.Id) - before;
        var memory = await watch.StopAsync(server.RestBytes);
        server.MustRun();
        return cell with
        {
            Requests = result.Answered,
            Errors = result.Errors + result.Unanswered,
            Seconds = result.Seconds,
            CpuSeconds = cpu,
            Memory = memory,
            Quantiles = Quantiles.Of(result.Latency),
            Latency = result.Latency,
            Figures = new SortedDictionary<string, double>
            {
                ["connect_seconds"] = connected,
                ["planned"] = result.Planned,
                ["reconnects"] = result.Reconnects,
                ["client_lag_p99_us"] = result.Lag.Quantile(0.99),
            },
        };
    }

    static TimeSpan Patience(string? echoToken) => echoToken is null ? ConnectTimeout : UpgradeTimeout;

    /// <summary>What the process does.</summary>
    /// <param name="words">Port, path, connections, rate, seconds of warm-up, seconds, and for WebSockets the token.</param>
    public static async Task<int> RunAsync(string[] words, CancellationToken ct)
    {
        double Seconds(string word) => double.Parse(word, CultureInfo.InvariantCulture);
        int Whole(string word) => int.Parse(word, CultureInfo.InvariantCulture);
        var plan = new OpenLoopPlan(new IPEndPoint(IPAddress.Loopback, Whole(words[0])), words[1], Whole(words[2]), Whole(words[3]),
            TimeSpan.FromSeconds(Seconds(words[4])), TimeSpan.FromSeconds(Seconds(words[5])), words.ElementAtOrDefault(6));
        using var loop = new OpenLoop(plan);
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(ct);
        timeout.CancelAfter(Patience(plan.EchoToken));
        try
        {
            var took = await loop.ConnectAsync(timeout.Token);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"connected {took.TotalSeconds:0.0000}"));
        }
        catch (Exception e) when (e is OperationCanceledException or System.Net.Sockets.SocketException)
        {
            Console.WriteLine("connected -1");
            return 1;
        }

        if (await Console.In.ReadLineAsync(ct) is null)
            return 1;
        // On a thread of its own: this one may be that which sockets complete on, and has to stay free for them.
        var result = await Task.Factory.StartNew(() => loop.Run(() => Console.WriteLine("warm"), ct), ct, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Console.WriteLine(JsonSerializer.Serialize(result));
        return 0;
    }
}
