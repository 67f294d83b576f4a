using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Tandem.Tests.Gateway;

/// <summary>A service that says exactly what it is told: each connection is a script.</summary>
sealed class RawService : IAsyncDisposable
{
    readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    readonly List<RawConnection> _connections = [];
    readonly List<Exception> _failures = [];
    readonly Task _serving;

    /// <param name="script">What a connection does; counted from 0. It is closed when the script ends.</param>
    public RawService(Func<RawConnection, int, Task> script)
    {
        _listener.Start();
        _serving = Task.Run(async () =>
        {
            while (true)
            {
                Socket socket;
                try
                {
                    socket = await _listener.AcceptSocketAsync();
                }
                catch (Exception e) when (e is SocketException or InvalidOperationException)
                {
                    // Stopped while it waited, or before it waited again.
                    return;
                }

                var connection = new RawConnection(socket);
                int number;
                lock (_connections)
                {
                    number = _connections.Count;
                    _connections.Add(connection);
                }

                _ = Task.Run(async () =>
                {
                    try
                    {
                        await script(connection, number);
                        await connection.EndAsync();
                    }
                    catch (Exception e) when (e is not (IOException or SocketException or ObjectDisposedException))
                    {
                        lock (_connections)
                            _failures.Add(e);
                    }
                });
            }
        });
    }

    public string Address => $"http://{_listener.LocalEndpoint}";

    public int Connections
    {
        get
        {
            lock (_connections)
                return _connections.Count;
        }
    }

    /// <summary>Answers every request of every connection with the same.</summary>
    public static RawService Always(string answer) => new(async (connection, _) =>
    {
        while (await connection.HearAsync() is not null)
            await connection.SayAsync(answer);
    });

    public async ValueTask DisposeAsync()
    {
        _listener.Stop();
        await _serving;
        lock (_connections)
        {
            _connections.ForEach(c => c.Dispose());
            Assert.Empty(_failures);
        }
    }
}

sealed class RawConnection(Socket socket) : IDisposable
{
    readonly byte[] _buffer = new byte[16 * 1024];
    string _heard = "";

    /// <returns>A request's head; null at the end of the connection.</returns>
    public async Task<string?> HearAsync()
    {
        int end;
        while ((end = _heard.IndexOf("\r\n\r\n", StringComparison.Ordinal)) < 0)
            if (!await MoreAsync())
                return null;
        (var head, _heard) = (_heard[..(end + 4)], _heard[(end + 4)..]);
        return head;
    }

    /// <returns>So much of a body.</returns>
    public async Task<string> HearBodyAsync(int length)
    {
        while (_heard.Length < length)
            Assert.True(await MoreAsync());
        (var body, _heard) = (_heard[..length], _heard[length..]);
        return body;
    }

    public async Task SayAsync(string text)
    {
        for (var rest = Encoding.Latin1.GetBytes(text).AsMemory(); rest.Length > 0;)
            rest = rest[await socket.SendAsync(rest)..];
    }

    /// <summary>Says that nothing more comes.</summary>
    public void EndSending() => socket.Shutdown(SocketShutdown.Send);

    /// <summary>Ends it as a program does that has said all: a socket that is closed at once takes what is not yet read along.</summary>
    public async Task EndAsync()
    {
        EndSending();
        while (await socket.ReceiveAsync(_buffer) > 0)
        {
        }

        socket.Dispose();
    }

    public void Dispose() => socket.Dispose();

    async Task<bool> MoreAsync()
    {
        var count = await socket.ReceiveAsync(_buffer);
        _heard += Encoding.Latin1.GetString(_buffer, 0, count);
        return count > 0;
    }
}
