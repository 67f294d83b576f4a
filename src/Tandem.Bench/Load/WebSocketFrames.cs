using System.Net.Sockets;
using System.Text;

namespace Tandem.Bench.Load;

/// <summary>As little of RFC 6455 as an echo takes.</summary>
static class WebSocketFrames
{
    const string Message = "hello from the bench";
    const byte FinalText = 0x81, Masked = 0x80;

    public static byte[] Upgrade(string path, string host, string token) => Encoding.ASCII.GetBytes(
        $"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n");

    /// <summary>The message as a client sends it: masked, with a mask of zeros.</summary>
    public static byte[] Request { get; } = [FinalText, (byte)(Masked | Message.Length), 0, 0, 0, 0, .. Encoding.ASCII.GetBytes(Message)];

    /// <summary>What the server has to send back.</summary>
    public static byte[] Echo { get; } = [FinalText, (byte)(6 + Message.Length), .. Encoding.ASCII.GetBytes("Echo: " + Message)];

    /// <exception cref="InvalidDataException">The server does not switch.</exception>
    public static async Task UpgradeAsync(Socket socket, byte[] upgrade, CancellationToken ct)
    {
        await socket.SendAsync(upgrade, ct);
        var (buffer, length) = (new byte[4096], 0);
        while (buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8) < 0)
        {
            var received = await socket.ReceiveAsync(buffer.AsMemory(length), ct);
            if (received == 0)
                throw new InvalidDataException("The server hangs up where a WebSocket was asked for.");
            length += received;
        }

        var line = Encoding.ASCII.GetString(buffer, 0, buffer.AsSpan(0, length).IndexOf((byte)'\r'));
        if (!line.StartsWith("HTTP/1.1 101 ", StringComparison.Ordinal))
            throw new InvalidDataException($"The server answers {line} where a WebSocket was asked for.");
    }
}

/// <summary>The answer has to be these bytes.</summary>
sealed class ExactAnswer(byte[] expected) : IAnswer
{
    int _length;
    bool _isOther;

    /// <inheritdoc/>
    public int Status => _isOther ? 500 : 200;

    public void Reset() => (_length, _isOther) = (0, false);

    /// <inheritdoc/>
    /// <exception cref="InvalidDataException">More comes than was asked for.</exception>
    public bool Take(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > expected.Length - _length)
            throw new InvalidDataException("The server sends more than the echo.");
        _isOther |= !bytes.SequenceEqual(expected.AsSpan(_length, bytes.Length));
        _length += bytes.Length;
        return _length == expected.Length;
    }
}
