using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace Tandem.Cluster.Tests;

/// <summary>
/// A network between two processes that does what networks do: a TCP proxy that passes, delays, holds or cuts what goes through it, and changes
/// its mind while connections are open.
/// </summary>
sealed class FlakyProxy : IAsyncDisposable
{
    readonly IPEndPoint _target;
    readonly IPEndPoint _address;
    // Bound and never listening: while nobody listens connections are refused, and nobody else gets the port.
    readonly Socket _holder;
    readonly ConcurrentDictionary<Link, byte> _links = new();
    Socket? _listener;
    Task _accepting = Task.CompletedTask;
    volatile TaskCompletionSource? _frozen;
    long _delayTicks;
    volatile Cutting? _cutting;

    FlakyProxy(IPEndPoint target, IPAddress? address)
    {
        _target = target;
        _holder = NewSocket();
        _holder.Bind(new IPEndPoint(address ?? IPAddress.Loopback, 0));
        _address = (IPEndPoint)_holder.LocalEndPoint!;
        Listen();
    }

    /// <param name="port">Of the target, on this machine.</param>
    public static FlakyProxy To(int port) => new(new IPEndPoint(IPAddress.Loopback, port), null);

    /// <summary>To the PostgreSQL server of the tests.</summary>
    public static FlakyProxy ToPostgres(string connectionString)
    {
        var server = new Npgsql.NpgsqlConnectionStringBuilder(connectionString);
        return new FlakyProxy(new IPEndPoint(Dns.GetHostAddresses(server.Host!)[0], server.Port), null);
    }

    public int Port => _address.Port;

    /// <summary>Everything goes through at once; what was held until now too.</summary>
    public void Pass()
    {
        Volatile.Write(ref _delayTicks, 0);
        Interlocked.Exchange(ref _frozen, null)?.SetResult();
        if (_listener is null)
            Listen();
    }

    /// <summary>What goes in comes out so much later, in each direction.</summary>
    public void Slow(TimeSpan delay)
    {
        Pass();
        Volatile.Write(ref _delayTicks, delay.Ticks);
    }

    /// <summary>A black hole: connections stay and are taken, nothing comes out, and nobody is told. <see cref="Pass"/> delivers what was held.</summary>
    public void Freeze() => _frozen ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Resets every connection, drops what was held, and refuses new ones.</summary>
    public void Cut()
    {
        StopListening();
        foreach (var link in _links.Keys)
            link.Reset();
        Interlocked.Exchange(ref _frozen, null)?.SetResult();
    }

    /// <summary>Resets, once, the connection on which these characters go to the target.</summary>
    /// <param name="isDelivered">True: they arrive and are worked on, and the answer is lost. False: they do not arrive.</param>
    /// <param name="later">So many messages of the same connection later.</param>
    /// <returns>Ends when that has happened.</returns>
    public Task CutAt(string characters, bool isDelivered, int later = 0)
    {
        var cutting = new Cutting(System.Text.Encoding.UTF8.GetBytes(characters), isDelivered, later);
        _cutting = cutting;
        return cutting.Done.Task;
    }

    static Socket NewSocket()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        return socket;
    }

    void Listen()
    {
        var listener = NewSocket();
        listener.Bind(_address);
        listener.Listen(512);
        _listener = listener;
        _accepting = AcceptAsync(listener);
    }

    void StopListening()
    {
        Interlocked.Exchange(ref _listener, null)?.Dispose();
    }

    async Task AcceptAsync(Socket listener)
    {
        while (true)
            try
            {
                var client = await listener.AcceptAsync();
                client.NoDelay = true;
                _ = new Link(this, client).RunAsync();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }
    }

    public async ValueTask DisposeAsync()
    {
        Cut();
        await _accepting;
        _holder.Dispose();
    }

    sealed class Cutting(byte[] characters, bool isDelivered, int later)
    {
        public int Left { get; set; } = later;
        public byte[] Characters => characters;
        public bool IsDelivered => isDelivered;
        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>A connection of a client, and the one to the target that belongs to it.</summary>
    sealed class Link(FlakyProxy proxy, Socket client)
    {
        readonly Socket _target = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        volatile Cutting? _answerless;
        Cutting? _met;

        public async Task RunAsync()
        {
            proxy._links.TryAdd(this, 0);
            try
            {
                await ThawedAsync();
                await _target.ConnectAsync(proxy._target);
                await Task.WhenAll(PumpAsync(client, _target, up: true), PumpAsync(_target, client, up: false));
                client.Dispose();
                _target.Dispose();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // A black hole lets no reset through either.
                await ThawedAsync();
                Reset();
            }
            finally
            {
                proxy._links.TryRemove(this, out _);
            }
        }

        /// <summary>The other ends see a reset, not an end.</summary>
        public void Reset()
        {
            foreach (var socket in new[] { client, _target })
                try
                {
                    socket.LingerState = new LingerOption(true, 0);
                    socket.Dispose();
                }
                catch (Exception e) when (e is SocketException or ObjectDisposedException)
                {
                    // It is closed already.
                }
        }

        async Task ThawedAsync()
        {
            while (proxy._frozen is { } frozen)
                await frozen.Task;
        }

        /// <summary>Reading goes on while earlier bytes are still on their way: delay costs time, not bandwidth.</summary>
        async Task PumpAsync(Socket from, Socket to, bool up)
        {
            var underway = Channel.CreateBounded<(byte[] Bytes, long Due)>(256);
            var writing = WriteAsync(underway, to, up);
            var buffer = new byte[64 * 1024];
            try
            {
                while (await from.ReceiveAsync(buffer, SocketFlags.None) is > 0 and var count)
                    await underway.Writer.WriteAsync((buffer[..count], Environment.TickCount64 + Volatile.Read(ref proxy._delayTicks) / TimeSpan.TicksPerMillisecond));
                underway.Writer.Complete();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or ChannelClosedException)
            {
                underway.Writer.TryComplete(e);
                // The other direction reads for ever otherwise.
                await ThawedAsync();
                Reset();
            }

            await writing;
        }

        async Task WriteAsync(Channel<(byte[] Bytes, long Due)> underway, Socket to, bool up)
        {
            try
            {
                await foreach (var (bytes, due) in underway.Reader.ReadAllAsync())
                {
                    if (due - Environment.TickCount64 is > 0 and var early)
                        await Task.Delay(TimeSpan.FromMilliseconds(early));
                    await ThawedAsync();
                    if (_answerless is { } swallowed && !up || IsToBeCut(bytes, up, out swallowed))
                    {
                        Reset();
                        swallowed.Done.TrySetResult();
                        return;
                    }

                    for (var sent = 0; sent < bytes.Length;)
                        sent += await to.SendAsync(bytes.AsMemory(sent), SocketFlags.None);
                }

                await ThawedAsync();
                to.Shutdown(SocketShutdown.Send);
            }
            finally
            {
                // Whoever still reads for this direction has nobody to read for.
                underway.Writer.TryComplete();
            }
        }

        /// <returns>True: now. False, for bytes whose answer is to be lost: with the answer.</returns>
        bool IsToBeCut(byte[] bytes, bool up, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Cutting? cutting)
        {
            cutting = null;
            if (!up)
                return false;
            if (_met is null && proxy._cutting is { } asked && bytes.AsSpan().IndexOf(asked.Characters) >= 0 && Interlocked.CompareExchange(ref proxy._cutting, null, asked) == asked)
                _met = asked;
            if (_met is null || _met.Left-- > 0)
                return false;
            (cutting, _met) = (_met, null);
            if (cutting.IsDelivered)
                _answerless = cutting;
            return !cutting.IsDelivered;
        }
    }
}
