using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Tandem.Transport;

namespace Tandem.Tests.Host;

/// <summary>Bytes between sockets and Kestrel, on the event loops.</summary>
[Storeless("Bytes between sockets and Kestrel.")]
public sealed class TransportTests
{
    static readonly int Many = 4 * Environment.ProcessorCount;
    // Those that block take the pool's threads, which it makes a few more of in a second, for all tests that run beside this one.
    static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <summary>Each of these blocks its thread where code of a team's own may run; were one of them on a loop, that loop's connections would not be answered.</summary>
    [Theory]
    [InlineData("at once")]
    [InlineData("after a body that came late")]
    [InlineData("after a message of a WebSocket")]
    [InlineData("in a middleware of a module")]
    public async Task A_neighbour_that_blocks_its_thread_makes_nobody_wait(string when)
    {
        using var gate = new ManualResetEventSlim();
        using var reading = new SemaphoreSlim(0);
        using var blocked = new SemaphoreSlim(0);
        void Block()
        {
            Assert.False(EventLoop.IsCurrent);
            blocked.Release();
            gate.Wait(Ct);
        }

        await using var app = await TestApp.StartAsync(a =>
        {
            a.MapPost("/block", async (HttpContext context) =>
            {
                var body = new byte[2];
                await context.Request.Body.ReadExactlyAsync(body.AsMemory(0, 1), context.RequestAborted);
                reading.Release();
                await context.Request.Body.ReadExactlyAsync(body.AsMemory(1), context.RequestAborted);
                Block();
            }).AllowAnonymous();
            a.MapGet("/socket", async (HttpContext context) =>
            {
                using var socket = await context.WebSockets.AcceptWebSocketAsync();
                await socket.ReceiveAsync(new byte[10], Ct);
                Block();
                await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Ct);
            }).AllowAnonymous();
            a.Add(new BlockingModule(Block));
        });
        var neighbours = await Task.WhenAll(Enumerable.Range(0, Many).Select(_ => ConnectAsync(app)));
        foreach (var neighbour in neighbours)
            Assert.Contains("healthy", await neighbour.AskAsync("GET /health HTTP/1.1\r\nHost: a\r\n\r\n"));

        var slow = Enumerable.Range(0, Many).Select(_ => Task.Run(async () =>
        {
            if (when == "after a message of a WebSocket")
            {
                using var socket = new ClientWebSocket();
                await socket.ConnectAsync(new Uri(app.Address.Replace("http", "ws", StringComparison.Ordinal) + "/socket"), Ct);
                await socket.SendAsync(new byte[1], WebSocketMessageType.Binary, true, Ct);
                await socket.ReceiveAsync(new byte[10], Ct);
                return;
            }

            using var connection = await ConnectAsync(app);
            var path = when == "in a middleware of a module" ? "/module" : "/block";
            await connection.SendAsync($"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\n{(when == "at once" ? "ab" : "a")}");
            if (when == "after a body that came late")
            {
                await reading.WaitAsync(Ct);
                await connection.SendAsync("b");
            }

            Assert.StartsWith("HTTP/1.1 200", await connection.ReadAsync("\r\n\r\n"));
        }, Ct)).ToList();
        for (var n = 0; n < Many; n++)
            Assert.True(await blocked.WaitAsync(Patience, Ct));
        foreach (var neighbour in neighbours)
            Assert.Contains("healthy", await neighbour.AskAsync("GET /health HTTP/1.1\r\nHost: a\r\n\r\n"));
        gate.Set();
        await Task.WhenAll(slow);
        foreach (var neighbour in neighbours)
            neighbour.Dispose();
    }

    [Fact]
    public async Task Requests_in_one_packet_are_answered_in_their_order_and_those_in_pieces_too()
    {
        await using var app = await TestApp.StartAsync(a => a.MapGet("/n/{n}", (int n) => n.ToString(CultureInfo.InvariantCulture)).AllowAnonymous());
        using var connection = await ConnectAsync(app);
        // Some stay on the loop, some leave it, and more than a buffer of them.
        var paths = Enumerable.Range(0, 300).Select(n => n % 3 == 0 ? "/health" : $"/n/{n}").ToList();
        var all = string.Concat(paths.Select(p => $"GET {p} HTTP/1.1\r\nHost: a\r\n\r\n"));
        await connection.SendAsync(all);
        foreach (var path in paths)
            await ExpectAsync(connection, path);

        foreach (var piece in all[..2000].Chunk(7))
        {
            await connection.SendAsync(new string(piece));
            await Task.Yield();
        }

        await connection.SendAsync(all[2000..]);
        foreach (var path in paths)
            await ExpectAsync(connection, path);

        static async Task ExpectAsync(Wire connection, string path)
        {
            var answer = await connection.AnswerAsync();
            Assert.Equal(path == "/health" ? """{"status":"healthy"}""" : path[3..], answer);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4096)]
    [InlineData(5_000_000)]
    public async Task What_is_sent_and_what_is_answered_arrives_whole(int length)
    {
        var bytes = RandomNumberGenerator.GetBytes(length);
        await using var app = await TestApp.StartAsync(a => a.MapPost("/digest", async (HttpContext context) =>
        {
            var digest = Convert.ToHexString(await SHA256.HashDataAsync(context.Request.Body, context.RequestAborted));
            context.Response.Headers["Digest"] = digest;
            // In pieces of many sizes, flushed or not.
            for (var (at, piece) = (0, 1); at < bytes.Length; at += piece, piece = Math.Min(piece * 3, bytes.Length - at))
            {
                await context.Response.Body.WriteAsync(bytes.AsMemory(at, piece));
                if (piece % 2 == 0)
                    await context.Response.Body.FlushAsync();
                if (at + piece == bytes.Length)
                    break;
            }
        }).AllowAnonymous(), settings: ["--Http:MaxBodyBytes", "6000000"]);
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            using var response = await app.Http.PostAsync("/digest", new ByteArrayContent(bytes), Ct);
            Assert.Equal(Convert.ToHexString(SHA256.HashData(bytes)), response.Headers.GetValues("Digest").Single());
            return await response.Content.ReadAsByteArrayAsync(Ct);
        }));
        Assert.All(answers, a => Assert.Equal(bytes, a));
    }

    [Fact]
    public async Task An_answer_waits_for_a_client_that_reads_late_and_ends_when_the_client_is_gone()
    {
        var written = new TaskCompletionSource();
        var aborted = new TaskCompletionSource();
        await using var app = await TestApp.StartAsync(a => a.MapGet("/long", async (HttpContext context) =>
        {
            var block = new byte[1 << 20];
            try
            {
                for (var n = 0; n < 100; n++)
                {
                    await context.Response.Body.WriteAsync(block, context.RequestAborted);
                    if (n == 20)
                        written.TrySetResult();
                }

                // Writing to nobody does no harm and says nothing.
                await Task.Delay(Timeout.Infinite, context.RequestAborted);
            }
            catch (OperationCanceledException)
            {
                aborted.SetResult();
            }
        }).AllowAnonymous());
        using var connection = await ConnectAsync(app);
        await connection.SendAsync("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
        await connection.ReadAsync("\r\n\r\n");
        // So much does not fit into the system's buffers: unless it is read, the handler stands still.
        Assert.NotEqual(written.Task, await Task.WhenAny(written.Task, Task.Delay(300, Ct)));
        await connection.SkipAsync(30 << 20);
        await written.Task.WaitAsync(TimeSpan.FromSeconds(90), Ct);
        connection.Dispose();
        await aborted.Task.WaitAsync(TimeSpan.FromSeconds(90), Ct);
        Assert.Contains("healthy", await app.Http.GetStringAsync("/health", Ct));
    }

    [Fact]
    public async Task A_handler_learns_that_its_client_is_gone()
    {
        var (begun, aborted) = (new SemaphoreSlim(0), new SemaphoreSlim(0));
        await using var app = await TestApp.StartAsync(a => a.MapGet("/wait", async (HttpContext context) =>
        {
            begun.Release();
            await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => aborted.Release(), TaskScheduler.Default);
        }).AllowAnonymous());
        foreach (var isReset in new[] { true, false })
        {
            using var connection = await ConnectAsync(app);
            await connection.SendAsync("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
            Assert.True(await begun.WaitAsync(TimeSpan.FromSeconds(90), Ct));
            connection.Close(isReset);
            Assert.True(await aborted.WaitAsync(TimeSpan.FromSeconds(90), Ct));
        }
    }

    /// <summary>An end would pass for that of a body that ends with its connection, and a client would take half for all; clients also repeat what merely ended.</summary>
    [Fact]
    public async Task An_answer_that_is_given_up_ends_with_a_reset_and_not_as_if_it_were_whole()
    {
        var half = new SemaphoreSlim(0);
        await using var app = await TestApp.StartAsync(a => a.MapGet("/half", async (HttpContext context) =>
        {
            await context.Response.WriteAsync("half");
            await context.Response.Body.FlushAsync();
            Assert.True(await half.WaitAsync(TimeSpan.FromSeconds(90), Ct));
            context.Abort();
        }).AllowAnonymous());
        using var connection = await ConnectAsync(app);
        await connection.SendAsync("GET /half HTTP/1.0\r\nHost: a\r\n\r\n");
        await connection.ReadAsync("half");
        half.Release();
        var e = await Assert.ThrowsAsync<SocketException>(() => connection.ReadAsync("more"));
        Assert.Equal(SocketError.ConnectionReset, e.SocketErrorCode);
    }

    [Fact]
    public async Task A_refusal_reaches_a_client_that_is_still_sending()
    {
        await using var app = await TestApp.StartAsync();
        using var connection = await ConnectAsync(app);
        await connection.SendAsync("POST /users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 200000000\r\n\r\n" + new string('x', 100_000));
        Assert.StartsWith("HTTP/1.1 413", await connection.ReadAsync("\r\n\r\n"));
    }

    [Fact]
    public async Task Connections_that_come_all_at_once_are_all_answered()
    {
        await using var app = await TestApp.StartAsync();
        var connections = await Task.WhenAll(Enumerable.Range(0, 1000).Select(_ => ConnectAsync(app)));
        var answers = await Task.WhenAll(connections.Select(c => c.AskAsync("GET /health HTTP/1.1\r\nHost: a\r\n\r\n")));
        Assert.All(answers, a => Assert.Contains("healthy", a));
        foreach (var connection in connections)
            connection.Dispose();
    }

    [Fact]
    public async Task Without_descriptors_connections_wait_and_are_served_when_some_are_free()
    {
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        await using (var server = await Programs.ServeByAsync(["prlimit", "--nofile=600"], data))
            await AskManyAsync(server);
        Directory.Delete(data, recursive: true);
    }

    static async Task AskManyAsync(Programs.Server server)
    {
        var address = new Uri(server.Address);
        // What is in use from then on is loaded.
        using (var http = new HttpClient())
            await http.GetStringAsync(server.Address + "/health", Ct);
        var connections = await Task.WhenAll(Enumerable.Range(0, 500).Select(_ => Wire.ConnectAsync(address.Port)));
        await Task.WhenAll(connections.Select(c => c.SendAsync("GET /health HTTP/1.1\r\nHost: a\r\n\r\n")));
        // Those who are served leave, and make room for the others.
        await Task.WhenAll(connections.Select(async c =>
        {
            Assert.Equal("""{"status":"healthy"}""", await c.AnswerAsync());
            c.Dispose();
        }));
    }

    static Task<Wire> ConnectAsync(TestApp app) => Wire.ConnectAsync(new Uri(app.Address).Port);

    sealed class BlockingModule(Action block) : Tandem.Core.Module
    {
        public override string Name => "blocking";

        public override void Use(IApplicationBuilder app) => app.Use((context, next) =>
        {
            if (context.Request.Path == "/module")
            {
                block();
                return Task.CompletedTask;
            }

            return next(context);
        });
    }

    /// <summary>A connection that says exactly what it is told.</summary>
    sealed class Wire : IDisposable
    {
        readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        readonly byte[] _buffer = new byte[64 * 1024];
        string _read = "";

        public static async Task<Wire> ConnectAsync(int port)
        {
            var wire = new Wire();
            await wire._socket.ConnectAsync(IPAddress.Loopback, port, Ct);
            return wire;
        }

        public async Task SendAsync(string text)
        {
            for (var rest = Encoding.ASCII.GetBytes(text).AsMemory(); rest.Length > 0;)
                rest = rest[await _socket.SendAsync(rest, Ct)..];
        }

        /// <summary>Up to and with an end.</summary>
        public async Task<string> ReadAsync(string end)
        {
            int at;
            while ((at = _read.IndexOf(end, StringComparison.Ordinal)) < 0)
                await MoreAsync();
            at += end.Length;
            (var text, _read) = (_read[..at], _read[at..]);
            return text;
        }

        public async Task<string> AskAsync(string request)
        {
            await SendAsync(request);
            return await AnswerAsync();
        }

        /// <summary>The body of an answer that says how long it is, or comes in one chunk.</summary>
        public async Task<string> AnswerAsync()
        {
            var head = await ReadAsync("\r\n\r\n");
            Assert.StartsWith("HTTP/1.1 200", head);
            const string Length = "Content-Length: ";
            if (head.IndexOf(Length, StringComparison.Ordinal) is < 0)
            {
                await ReadAsync("\r\n");
                var chunk = await ReadAsync("\r\n0\r\n\r\n");
                return chunk[..^7];
            }

            var length = int.Parse(head[(head.IndexOf(Length, StringComparison.Ordinal) + Length.Length)..].Split('\r')[0], CultureInfo.InvariantCulture);
            while (_read.Length < length)
                await MoreAsync();
            (var body, _read) = (_read[..length], _read[length..]);
            return body;
        }

        public async Task SkipAsync(long bytes)
        {
            while (bytes > 0)
            {
                var count = await _socket.ReceiveAsync(_buffer, Ct).AsTask().WaitAsync(TimeSpan.FromSeconds(90), Ct);
                Assert.NotEqual(0, count);
                bytes -= count;
            }
        }

        /// <param name="isReset">True: without a word for what is under way.</param>
        public void Close(bool isReset)
        {
            if (isReset)
                _socket.LingerState = new LingerOption(true, 0);
            _socket.Dispose();
        }

        public void Dispose() => _socket.Dispose();

        async Task MoreAsync()
        {
            var count = await _socket.ReceiveAsync(_buffer, Ct).AsTask().WaitAsync(TimeSpan.FromSeconds(90), Ct);
            Assert.True(count > 0, $"The connection ended after: {_read}");
            _read += Encoding.Latin1.GetString(_buffer, 0, count);
        }
    }
}
