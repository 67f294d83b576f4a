using System.Runtime.InteropServices;

namespace Tandem.Transport;

/// <summary>Something that is told when its descriptor is ready, on the loop's thread: it must not wait there for anything.</summary>
interface IReadyHandler
{
    void Ready(uint events);
}

/// <summary>
/// A thread that waits for sockets to become ready (epoll, edge-triggered for connections) and runs what waits for them. There is one for each
/// core, for as long as the process lives, whatever the number of servers in it.
/// </summary>
sealed class EventLoop
{
    const int EventsAtOnce = 256;

    static readonly Lazy<EventLoop[]> Shared = new(() => [.. Enumerable.Range(0, Environment.ProcessorCount).Select(n => new EventLoop(n))]);

    [ThreadStatic]
    static EventLoop? _current;

    readonly Descriptor _epoll = Libc.EpollCreate();
    readonly Lock _lock = new();
    // By descriptor number. An event of a descriptor that was closed a moment ago may reach its successor: being told for nothing must do no harm.
    IReadyHandler?[] _handlers = new IReadyHandler?[1024];

    EventLoop(int number) => new Thread(Run) { IsBackground = true, Name = $"tandem loop {number}" }.Start();

    public static EventLoop[] All => Shared.Value;

    /// <summary>Whether the calling thread is a loop's: whoever waits there makes all its connections wait.</summary>
    public static bool IsCurrent => _current is not null;

    /// <summary>The loop whose thread this is; null on any other.</summary>
    public static EventLoop? Current => _current;

    /// <param name="number">The descriptor's number, the key of its events.</param>
    /// <returns>0, or an error number.</returns>
    public int Add(SafeHandle descriptor, int number, IReadyHandler handler, uint events)
    {
        lock (_lock)
        {
            if (number >= _handlers.Length)
            {
                var more = new IReadyHandler?[Math.Max(number + 1, _handlers.Length * 2)];
                _handlers.CopyTo(more, 0);
                Volatile.Write(ref _handlers, more);
            }

            Volatile.Write(ref _handlers[number], handler);
        }

        return Libc.Control(_epoll, Libc.Add, descriptor, events, number);
    }

    /// <summary>To be called before the descriptor is closed.</summary>
    public void Remove(SafeHandle descriptor, int number, IReadyHandler handler)
    {
        lock (_lock)
            if (_handlers[number] == handler)
                Volatile.Write(ref _handlers[number], null);
        _ = Libc.Control(_epoll, Libc.Remove, descriptor, 0, number); // an error says that it was not there any more
    }

    void Run()
    {
        _current = this;
        Span<byte> events = new byte[EventsAtOnce * Libc.EventSize];
        while (true)
        {
            var count = Libc.Wait(_epoll, events);
            for (var i = 0; i < count; i++)
            {
                var @event = events[(i * Libc.EventSize)..];
                var number = MemoryMarshal.Read<long>(@event[Libc.KeyOffset..]);
                Volatile.Read(ref Volatile.Read(ref _handlers)[number])?.Ready(MemoryMarshal.Read<uint>(@event));
            }
        }
    }
}
