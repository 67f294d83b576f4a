using System.Net;
using System.Net.Sockets;
using System.Text;
using Tandem.Bench.Load;

namespace Tandem.Tests.Bench;

[Storeless("Requests are planned and sockets echo.")]
public sealed class OpenLoopTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_server_that_stalls_makes_all_late_who_would_have_asked_meanwhile()
    {
        // After a third of the requests it answers nobody for 300 ms.
        var (asked, stall) = (0, Task.CompletedTask);
        await using var server = new TestServer(async () =>
        {
            if (Interlocked.Increment(ref asked) == 300)
                stall = Task.Delay(300);
            await stall;
            return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        });

        var result = await RunAsync(server, connections: 10, rate: 1000, seconds: 1);

        Assert.Equal((1000, 1000, 1000, 0), (result.Planned, result.Answered, result.Latency.Count, result.Errors + result.Unanswered));
        // Ten connections: whoever measures from the sending would see ten late answers. Planned in the stall are 300.
        var late = result.Latency.Buckets.Where(b => b.From >= 100_000).Sum(b => b.Count);
        Assert.True(late >= 150, $"{late} answers later than 100 ms");
        Assert.True(result.Latency.Quantile(0.95) >= 200_000, $"p95 {result.Latency.Quantile(0.95)} µs");
    }

    [Fact]
    public async Task What_is_never_answered_counts_with_the_time_it_has_waited()
    {
        await using var server = new TestServer(async () =>
        {
            await Task.Delay(Timeout.Infinite, Ct);
            return "";
        });
        var result = await RunAsync(server, connections: 4, rate: 100, seconds: 0.2);
        Assert.Equal((20, 0, 20, 20), (result.Planned, result.Answered, result.Unanswered, result.Latency.Count));
        Assert.True(result.Latency.Quantile(0.01) > 1_000_000, "The client waits two seconds for the last ones.");
    }

    [Fact]
    public async Task A_server_that_closes_is_asked_over_new_connections()
    {
        await using var server = new TestServer(() => Task.FromResult("HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\n{}"), closes: true);
        var result = await RunAsync(server, connections: 5, rate: 200, seconds: 0.5);
        Assert.Equal(100, result.Answered + result.Errors);
        Assert.True(result.Answered > 50 && result.Reconnects > 50, $"{result.Answered} answers, {result.Reconnects} reconnects");
    }

    [Fact]
    public async Task Another_status_is_an_error()
    {
        await using var server = new TestServer(() => Task.FromResult("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"));
        var result = await RunAsync(server, connections: 2, rate: 100, seconds: 0.2);
        Assert.Equal((0, 20), (result.Answered, result.Errors));
    }

    [Fact]
    public void An_answer_ends_where_it_says_however_it_comes_in_pieces()
    {
        var bytes = Encoding.ASCII.GetBytes("HTTP/1.1 201 Created\r\nServer: x\r\nCONTENT-LENGTH: 5\r\n\r\nhello");
        for (var size = 1; size <= bytes.Length; size++)
        {
            var answer = new Answer();
            var ends = bytes.Chunk(size).Select(piece => answer.Take(piece)).ToList();
            Assert.True(ends[^1], $"pieces of {size}");
            Assert.DoesNotContain(true, ends[..^1]);
            Assert.Equal(201, answer.Status);
        }

        Assert.Throws<InvalidDataException>(() => new Answer().Take("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"u8));
        Assert.Throws<InvalidDataException>(() => new Answer().Take("nonsense without any status\r\n\r\n"u8));
    }

    [Fact]
    public async Task Sockets_of_the_program_echo_at_the_planned_rate()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Realtime:Open", "true"]);
        var server = new IPEndPoint(IPAddress.Loopback, new Uri(app.Address).Port);
        using var loop = new OpenLoop(new OpenLoopPlan(server, "/ws/bench", 20, 200, TimeSpan.FromSeconds(0.1), TimeSpan.FromSeconds(0.5), "nobody's"));
        await loop.ConnectAsync(Ct);

        var result = await Task.Factory.StartNew(() => loop.Run(() => { }, Ct), Ct, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        Assert.Equal((100, 100, 0, 0), (result.Planned, result.Answered, result.Errors + result.Unanswered, result.Reconnects));
    }

    [Fact]
    public async Task A_server_that_does_not_switch_to_WebSockets_is_told()
    {
        await using var server = new TestServer(() => Task.FromResult("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
        using var loop = new OpenLoop(new OpenLoopPlan(server.Address, "/ws/bench", 1, 10, TimeSpan.Zero, TimeSpan.FromSeconds(0.1), "t"));
        var failure = await Assert.ThrowsAsync<InvalidDataException>(() => loop.ConnectAsync(Ct));
        Assert.Contains("403 Forbidden", failure.Message);
    }

    [Fact]
    public void Another_echo_is_no_answer()
    {
        var answer = new ExactAnswer("Echo"u8.ToArray());
        Assert.Equal((false, true, 200), (answer.Take("Ec"u8), answer.Take("ho"u8), answer.Status));
        answer.Reset();
        Assert.Equal((true, 500), (answer.Take("Ecco"u8), answer.Status));
        answer.Reset();
        Assert.Throws<InvalidDataException>(() => answer.Take("Echo!"u8));
    }

    static async Task<OpenLoopResult> RunAsync(TestServer server, int connections, int rate, double seconds)
    {
        using var loop = new OpenLoop(new OpenLoopPlan(server.Address, "/", connections, rate, TimeSpan.FromSeconds(0.1), TimeSpan.FromSeconds(seconds)));
        await loop.ConnectAsync(Ct);
        return await Task.Factory.StartNew(() => loop.Run(() => { }, Ct), Ct, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Answers every request on every connection with what it is told to.</summary>
    sealed class TestServer : IAsyncDisposable
    {
        readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        readonly Task _accepting;

        public TestServer(Func<Task<string>> answer, bool closes = false)
        {
            _listener.Start();
            _accepting = Task.Run(async () =>
            {
                try
                {
                    while (true)
                        _ = ServeAsync(await _listener.AcceptTcpClientAsync(), answer, closes);
                }
                catch (Exception e) when (e is SocketException or InvalidOperationException)
                {
                    // Stopped while it waited, or before it waited again.
                }
            });
        }

        public IPEndPoint Address => (IPEndPoint)_listener.LocalEndpoint;

        static async Task ServeAsync(TcpClient client, Func<Task<string>> answer, bool closes)
        {
            using (client)
                try
                {
                    using var reader = new StreamReader(client.GetStream());
                    while (await reader.ReadLineAsync() is not null)
                    {
                        while (await reader.ReadLineAsync() is { Length: > 0 })
                        {
                        }

                        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(await answer()));
                        if (closes)
                            return;
                    }
                }
                catch (Exception e) when (e is IOException or OperationCanceledException)
                {
                    // The client has gone, or the test is over.
                }
        }

        public async ValueTask DisposeAsync()
        {
            _listener.Stop();
            await _accepting;
        }
    }
}
