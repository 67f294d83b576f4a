using System.Buffers;
using System.ComponentModel.DataAnnotations;
using System.Net.WebSockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Timeouts;
using Microsoft.AspNetCore.Routing;
using Tandem.Core.Http;

namespace Tandem.Realtime;

/// <summary>GET /ws/{client_id}: every text message M is answered with "Echo: M".</summary>
static class EchoEndpoint
{
    static ReadOnlySpan<byte> Prefix => "Echo: "u8;

    public static void MapEcho(this IEndpointRouteBuilder routes, RealtimeOptions options)
    {
        var echo = routes.MapGet("/ws/{client_id}", Echo).WithTags("Realtime")
            .WithSummary("WebSocket: each text message M is answered with \"Echo: M\"")
            .Produces(StatusCodes.Status101SwitchingProtocols)
            .Answers(RealtimeProblems.UpgradeRequired, RealtimeProblems.Full);
        echo.DisableRequestTimeout();
        if (options.Open)
            echo.AllowAnonymous();
    }

    // The token rides in the request, not in a cookie, so a foreign page cannot open a socket in somebody's name: no check of Origin is needed.
    static async Task<IResult> Echo([FromPath(Name = "client_id"), StringLength(200)] string clientId, HttpContext context, OpenSockets sockets, RealtimeOptions options)
    {
        if (!context.WebSockets.IsWebSocketRequest)
        {
            context.Response.Headers.Upgrade = "websocket";
            return Problem.Of(RealtimeProblems.UpgradeRequired);
        }

        if (!sockets.TryReserve())
            return new ProblemResult(RealtimeProblems.Full, null, null) { RetryAfterSeconds = 5 };
        try
        {
            using var webSocket = await context.WebSockets.AcceptWebSocketAsync();
            var socket = sockets.Add(clientId, webSocket, context.Features.Get<Caller>());
            try
            {
                await AnswerAsync(socket, options.MaxMessageBytes);
            }
            finally
            {
                sockets.Remove(socket);
            }
        }
        finally
        {
            sockets.Release();
        }

        return Results.Empty;
    }

    static async Task AnswerAsync(OpenSocket socket, int maxBytes)
    {
        try
        {
            while (true)
            {
                // Waits without a buffer: ten thousand silent sockets hold none.
                var received = await socket.WebSocket.ReceiveAsync(Memory<byte>.Empty, CancellationToken.None);
                var buffer = ArrayPool<byte>.Shared.Rent(4096);
                try
                {
                    Prefix.CopyTo(buffer);
                    var length = Prefix.Length;
                    while (true)
                    {
                        if (Refusal(received.MessageType, length - Prefix.Length, maxBytes) is { } refusal)
                        {
                            await socket.CloseAsync(refusal.Status, refusal.Reason);
                            // What is still on its way is read and dropped, or the peer would see a reset connection instead of the reason.
                            while (received.MessageType != WebSocketMessageType.Close)
                                received = await socket.WebSocket.ReceiveAsync(buffer.AsMemory(), CancellationToken.None);
                            return;
                        }

                        if (received.EndOfMessage)
                            break;
                        if (length == buffer.Length)
                            Grow(ref buffer, length);
                        received = await socket.WebSocket.ReceiveAsync(buffer.AsMemory(length), CancellationToken.None);
                        length += received.Count;
                    }

                    socket.Heard();
                    await socket.SendAsync(buffer.AsMemory(0, length));
                }
                finally
                {
                    ArrayPool<byte>.Shared.Return(buffer);
                }
            }
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or IOException)
        {
            // The peer is gone, spoke against the protocol (the framework has closed with the code for that), or was closed by us.
        }
    }

    static (WebSocketCloseStatus Status, string Reason)? Refusal(WebSocketMessageType type, int bytes, int maxBytes) => type switch
    {
        WebSocketMessageType.Close => (WebSocketCloseStatus.NormalClosure, ""),
        WebSocketMessageType.Binary => (WebSocketCloseStatus.InvalidMessageType, "Send text messages."),
        _ when bytes > maxBytes => (WebSocketCloseStatus.MessageTooBig, $"A message may have {maxBytes} bytes."),
        _ => null,
    };

    static void Grow(ref byte[] buffer, int length)
    {
        var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
        buffer.AsSpan(0, length).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(buffer);
        buffer = larger;
    }
}
