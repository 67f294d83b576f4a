using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Tandem.Transport;

/// <summary>The system calls of the transport: epoll(7), and the calls on sockets that never wait.</summary>
static unsafe partial class Libc
{
    public const uint Readable = 0x001, Writable = 0x004, Failed = 0x008, HungUp = 0x010, PeerClosed = 0x2000, Exclusive = 1u << 28, EdgeTriggered = 1u << 31;
    public const int Add = 1, Remove = 2;
    public const int Interrupted = 4, Again = 11, TooManyInSystem = 23, TooManyInProcess = 24, NoMemory = 12, NoBuffers = 105, ConnectionAborted = 103, InProgress = 115;
    const int ShutdownSend = 1, NonBlocking = 0x800, CloseOnExec = 0x80000, NoSignal = 0x4000, DontWait = 0x40;

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollControl(Descriptor epoll, int operation, SafeHandle descriptor, byte* @event);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int EpollWait(Descriptor epoll, byte* events, int count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "accept4", SetLastError = true)]
    private static partial int Accept(SafeHandle listener, byte* address, int* length, int flags);

    [LibraryImport("libc", EntryPoint = "getsockname", SetLastError = true)]
    private static partial int SocketName(SafeHandle socket, byte* address, int* length);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    private static partial nint Receive(Descriptor socket, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(Descriptor socket, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMessage(Descriptor socket, MessageHeader* message, int flags);

    [LibraryImport("libc", EntryPoint = "shutdown", SetLastError = true)]
    private static partial int Shutdown(Descriptor socket, int how);

    [LibraryImport("libc", EntryPoint = "connect", SetLastError = true)]
    private static partial int Connect(Descriptor socket, byte* address, int length);

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    private static partial int OpenSocket(int family, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    private static partial int SetOption(Descriptor socket, int level, int option, int* value, int length);

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    private static partial int Option(Descriptor socket, int level, int option, int* value, int* length);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    public static partial int Close(nint descriptor);

    public static Descriptor EpollCreate() =>
        EpollCreate(CloseOnExec) is >= 0 and var fd ? new Descriptor(fd) : throw new IOException($"epoll_create1 failed with error {Marshal.GetLastPInvokeError()}.");

    /// <returns>0, or an error number.</returns>
    public static int Control(Descriptor epoll, int operation, SafeHandle descriptor, uint events, long key)
    {
        var @event = stackalloc byte[EventSize];
        *(uint*)@event = events;
        *(long*)(@event + KeyOffset) = key;
        return EpollControl(epoll, operation, descriptor, @event) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    // struct epoll_event is packed on x86-64 and on nothing else.
    public static readonly int KeyOffset = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 4 : 8;
    public static readonly int EventSize = KeyOffset + 8;

    /// <returns>How many events were written; a signal counts as none.</returns>
    public static int Wait(Descriptor epoll, Span<byte> events)
    {
        fixed (byte* first = events)
        {
            var count = EpollWait(epoll, first, events.Length / EventSize, -1);
            return count >= 0 ? count
                : Marshal.GetLastPInvokeError() == Interrupted ? 0
                : throw new IOException($"epoll_wait failed with error {Marshal.GetLastPInvokeError()}.");
        }
    }

    /// <returns>0 with the socket and where it comes from, or an error number.</returns>
    public static int Accept(SafeHandle listener, Span<byte> address, out Descriptor? socket)
    {
        fixed (byte* first = address)
        {
            var length = address.Length;
            var fd = Accept(listener, first, &length, NonBlocking | CloseOnExec);
            socket = fd >= 0 ? new Descriptor(fd) : null;
            return fd >= 0 ? 0 : Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>A socket of TCP that never waits, neither for its peer nor to gather small pieces.</summary>
    public static Descriptor Socket(System.Net.Sockets.AddressFamily family)
    {
        const int Stream = 1, Tcp = 6, NoDelay = 1;
        var fd = OpenSocket(family == System.Net.Sockets.AddressFamily.InterNetworkV6 ? SocketAddresses.Inet6 : SocketAddresses.Inet, Stream | NonBlocking | CloseOnExec, 0);
        if (fd < 0)
            throw new IOException($"socket failed with error {Marshal.GetLastPInvokeError()}.");
        var (socket, on) = (new Descriptor(fd), 1);
        _ = SetOption(socket, Tcp, NoDelay, &on, sizeof(int)); // slower without, no more
        return socket;
    }

    /// <returns>0 when it is connected, <see cref="InProgress"/> when it will be, or an error number.</returns>
    public static int Connect(Descriptor socket, System.Net.IPEndPoint address)
    {
        Span<byte> bytes = stackalloc byte[SocketAddresses.Size];
        var length = SocketAddresses.Write(address, bytes);
        fixed (byte* first = bytes)
            return Connect(socket, first, length) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    /// <returns>What an attempt to connect has come to: 0, or an error number.</returns>
    public static int Error(Descriptor socket)
    {
        const int Level = 1, PendingError = 4;
        var (value, length) = (0, sizeof(int));
        return Option(socket, Level, PendingError, &value, &length) == 0 ? value : Marshal.GetLastPInvokeError();
    }

    public static bool TrySocketName(SafeHandle socket, Span<byte> address)
    {
        fixed (byte* first = address)
        {
            var length = address.Length;
            return SocketName(socket, first, &length) == 0;
        }
    }

    /// <returns>How many bytes were read, 0 at the end; below zero an error number.</returns>
    public static int Receive(Descriptor socket, Span<byte> into)
    {
        fixed (byte* first = into)
            while (true)
            {
                var count = (int)Receive(socket, first, (nuint)into.Length, DontWait);
                if (count >= 0)
                    return count;
                if (Marshal.GetLastPInvokeError() is not Interrupted and var error)
                    return -error;
            }
    }

    /// <returns>How many bytes the system took; below zero an error number.</returns>
    public static int Send(Descriptor socket, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* first = bytes)
            while (true)
            {
                var count = (int)Send(socket, first, (nuint)bytes.Length, DontWait | NoSignal);
                if (count >= 0)
                    return count;
                if (Marshal.GetLastPInvokeError() is not Interrupted and var error)
                    return -error;
            }
    }

    /// <summary>The same of several pieces.</summary>
    public static int Send(Descriptor socket, ReadOnlySpan<Part> parts)
    {
        fixed (Part* first = parts)
            while (true)
            {
                var message = new MessageHeader { Parts = first, Count = (nuint)parts.Length };
                var count = (int)SendMessage(socket, &message, DontWait | NoSignal);
                if (count >= 0)
                    return count;
                if (Marshal.GetLastPInvokeError() is not Interrupted and var error)
                    return -error;
            }
    }

    /// <summary>Says that nothing more will be sent.</summary>
    public static void EndSending(Descriptor socket) => _ = Shutdown(socket, ShutdownSend); // fails when the other side was faster

    /// <summary>Tells the other side by a reset that what it has is not all (connect(2) to no family dissolves the connection and leaves the socket).</summary>
    public static void Reset(Descriptor socket)
    {
        var unspecified = stackalloc byte[16];
        new Span<byte>(unspecified, 16).Clear();
        _ = Connect(socket, unspecified, 16); // fails when the other side was faster
    }

    /// <summary>struct iovec.</summary>
    public struct Part
    {
        public byte* Bytes;
        public nuint Length;
    }

    /// <summary>struct msghdr, on 64-bit systems.</summary>
    struct MessageHeader
    {
        public void* Name;
        public nuint NameLength;
        public Part* Parts;
        public nuint Count;
        public void* Control;
        public nuint ControlLength;
        public nuint Flags;
    }
}

/// <summary>A file descriptor that is closed only when no call on it is under way: its number may be another connection's a moment later.</summary>
sealed class Descriptor : SafeHandleMinusOneIsInvalid
{
    public Descriptor(int fd) : base(ownsHandle: true) => SetHandle(fd);

    /// <summary>The number, as a key: not to be used in a call.</summary>
    public int Number => (int)handle;

    protected override bool ReleaseHandle() => Libc.Close(handle) == 0;
}
