using System.Net.WebSockets;
using System.Text;

namespace Tandem.Tests.Realtime;

public sealed class EchoTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_text_message_is_answered_with_its_echo()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a));
        using var socket = await OpenAsync(app, "ada");
        foreach (var message in new[] { "hello", "", "zwölf Boxkämpfer 🥊", new string('x', 60_000) })
        {
            await socket.SendAsync(Encoding.UTF8.GetBytes(message), WebSocketMessageType.Text, true, Ct);
            Assert.Equal("Echo: " + message, await ReadAsync(socket));
        }

        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, "", Ct);
        Assert.Equal(WebSocketCloseStatus.NormalClosure, socket.CloseStatus);
    }

    [Fact]
    public async Task A_message_in_fragments_is_one_message()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a));
        using var socket = await OpenAsync(app, "ada");
        for (var i = 0; i < 100; i++)
            await socket.SendAsync(Encoding.UTF8.GetBytes("part "), WebSocketMessageType.Text, i == 99, Ct);
        Assert.Equal("Echo: " + string.Concat(Enumerable.Repeat("part ", 100)), await ReadAsync(socket));
    }

    [Fact]
    public async Task Without_a_token_there_is_no_socket_unless_it_is_opened()
    {
        await using var app = await TestApp.StartAsync();
        var refused = await Assert.ThrowsAsync<WebSocketException>(() => OpenAsync(app, "ada", token: null));
        Assert.Contains("401", refused.Message);

        await using var open = await TestApp.StartAsync(null, null, "--Realtime:Open", "true");
        using var socket = await OpenAsync(open, "ada", token: null);
        await socket.SendAsync("hi"u8.ToArray(), WebSocketMessageType.Text, true, Ct);
        Assert.Equal("Echo: hi", await ReadAsync(socket));
    }

    [Fact]
    public async Task A_plain_request_is_told_to_upgrade()
    {
        await using var app = await TestApp.StartAsync(null, null, "--Realtime:Open", "true");
        var response = await app.Http.GetAsync("/ws/ada", Ct);
        await response.ShouldBeProblemAsync(426, "realtime/upgrade-required");
        Assert.Contains("websocket", response.Headers.Upgrade.ToString());
    }

    [Theory]
    [InlineData(WebSocketMessageType.Text, 2000, WebSocketCloseStatus.MessageTooBig)]
    [InlineData(WebSocketMessageType.Binary, 10, WebSocketCloseStatus.InvalidMessageType)]
    public async Task What_is_not_allowed_closes_the_socket_with_its_code(WebSocketMessageType type, int bytes, WebSocketCloseStatus status)
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a), null, "--Realtime:MaxMessageBytes", "1000");
        using var socket = await OpenAsync(app, "ada");
        await socket.SendAsync(new byte[bytes].Select(_ => (byte)'x').ToArray(), type, true, Ct);
        await ReadAsync(socket);
        Assert.Equal(status, socket.CloseStatus);
    }

    [Fact]
    public async Task Invalid_UTF8_ends_the_socket_and_no_other()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a));
        using var other = await OpenAsync(app, "bob");
        using var socket = await OpenAsync(app, "ada");
        await socket.SendAsync(new byte[] { 0xC3, 0x28 }, WebSocketMessageType.Text, true, Ct);
        // The framework sends 1007 and cuts the connection at once; which of the two the client sees first is chance.
        try
        {
            Assert.Equal("", await ReadAsync(socket));
            Assert.Equal(WebSocketCloseStatus.InvalidPayloadData, socket.CloseStatus);
        }
        catch (WebSocketException e)
        {
            Assert.Equal(WebSocketError.ConnectionClosedPrematurely, e.WebSocketErrorCode);
        }

        await other.SendAsync("still here"u8.ToArray(), WebSocketMessageType.Text, true, Ct);
        Assert.Equal("Echo: still here", await ReadAsync(other));
    }

    [Fact]
    public async Task A_silent_socket_is_closed_and_a_revoked_token_closes_its_sockets()
    {
        TestTokens? tokens = null;
        await using var app = await TestApp.StartAsync(a => tokens = TestTokens.Use(a), null, "--Realtime:IdleTimeout", "00:00:03");
        using var revoked = await OpenAsync(app, "eve", "person-2");
        using var silent = await OpenAsync(app, "ada");
        lock (tokens!)
            tokens.Revoked.Add("person-2");
        await ReadAsync(revoked);
        Assert.Equal(WebSocketCloseStatus.PolicyViolation, revoked.CloseStatus);
        await ReadAsync(silent);
        Assert.Equal(WebSocketCloseStatus.NormalClosure, silent.CloseStatus);
    }

    [Fact]
    public async Task A_stopping_server_says_goodbye()
    {
        ClientWebSocket socket;
        Task<string> reading;
        await using (var app = await TestApp.StartAsync(a => TestTokens.Use(a)))
        {
            socket = await OpenAsync(app, "ada");
            reading = ReadAsync(socket);
        }

        await reading;
        Assert.Equal(WebSocketCloseStatus.EndpointUnavailable, socket.CloseStatus);
        socket.Dispose();
    }

    [Fact]
    public async Task Five_hundred_sockets_talk_at_once_and_the_limit_holds()
    {
        await using var app = await TestApp.StartAsync(a => TestTokens.Use(a), null, "--Realtime:MaxConnections", "500");
        var sockets = await Task.WhenAll(Enumerable.Range(0, 500).Select(i => OpenAsync(app, "c" + i)));
        var refused = await Assert.ThrowsAsync<WebSocketException>(() => OpenAsync(app, "one more"));
        Assert.Contains("503", refused.Message);
        await Task.WhenAll(sockets.Select(async (socket, i) =>
        {
            await socket.SendAsync(Encoding.UTF8.GetBytes("m" + i), WebSocketMessageType.Text, true, Ct);
            Assert.Equal("Echo: m" + i, await ReadAsync(socket));
        }));
        sockets[0].Abort();
        await Eventually.TrueAsync(async () =>
        {
            try
            {
                (await OpenAsync(app, "again")).Dispose();
                return true;
            }
            catch (WebSocketException)
            {
                return false;
            }
        });
        foreach (var socket in sockets)
            socket.Dispose();
    }

    static async Task<ClientWebSocket> OpenAsync(TestApp app, string client, string? token = "admin")
    {
        var socket = new ClientWebSocket();
        if (token is not null)
            socket.Options.SetRequestHeader("Authorization", "Bearer " + token);
        await socket.ConnectAsync(new Uri(app.Address.Replace("http", "ws") + "/ws/" + Uri.EscapeDataString(client)), Ct);
        return socket;
    }

    static async Task<string> ReadAsync(ClientWebSocket socket)
    {
        var (text, buffer) = (new List<byte>(), new byte[4096]);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Ct);
        limit.CancelAfter(TimeSpan.FromSeconds(90));
        while (true)
        {
            var received = await socket.ReceiveAsync(buffer, limit.Token);
            if (received.MessageType == WebSocketMessageType.Close)
            {
                if (socket.State == WebSocketState.CloseReceived)
                    await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "", limit.Token);
                return "";
            }

            text.AddRange(buffer.AsSpan(0, received.Count));
            if (received.EndOfMessage)
                return Encoding.UTF8.GetString([.. text]);
        }
    }
}
