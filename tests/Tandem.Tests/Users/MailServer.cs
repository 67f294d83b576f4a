using System.Diagnostics;
using System.Text.Json;

namespace Tandem.Tests.Users;

/// <summary>A real SMTP server: aiosmtpd of Debian, which ./test installs, in a process of its own.</summary>
sealed class MailServer : IAsyncDisposable
{
    const string Python = "/usr/bin/python3";

    // Refuses for good whom it is told to, and for now as often as it is told to; prints what it took.
    const string Script = """
        import asyncio, json, ssl, sys
        from aiosmtpd.smtp import SMTP, AuthResult
        options = json.loads(sys.argv[1])
        tls = None
        if options["certificate"]:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(options["certificate"])
        busy = options["busy"]
        class Handler:
            async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
                global busy
                if address.startswith("nobody"):
                    return "550 5.1.1 no such mailbox"
                if busy > 0:
                    busy -= 1
                    return "451 4.3.0 try again later"
                envelope.rcpt_tos.append(address)
                return "250 OK"
            async def handle_DATA(self, server, session, envelope):
                print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None,
                    "user": session.auth_data.login.decode() if session.auth_data else None, "content": envelope.content.decode("utf-8", "replace")}), flush=True)
                return "250 OK"
        def authenticate(server, session, envelope, mechanism, data):
            return AuthResult(success=data.password == b"let me in", auth_data=data)
        async def main():
            server = await asyncio.get_running_loop().create_server(lambda: SMTP(Handler(), tls_context=tls, require_starttls=tls is not None,
                authenticator=authenticate, auth_require_tls=tls is not None, hostname="mail.example"), "127.0.0.1", options["port"])
            print(server.sockets[0].getsockname()[1], flush=True)
            await server.serve_forever()
        asyncio.run(main())
        """;

    readonly Process _process;

    MailServer(Process process, int port) => (_process, Port) = (process, port);

    public int Port { get; }

    /// <summary>Skips a test where the server is not installed.</summary>
    public static void Needed()
    {
        using var process = File.Exists(Python) ? Process.Start(new ProcessStartInfo(Python, ["-c", "import aiosmtpd"]) { RedirectStandardError = true }) : null;
        process?.WaitForExit();
        Assert.SkipUnless(process?.ExitCode == 0, "There is no python3-aiosmtpd; ./test installs it.");
    }

    /// <param name="port">0: a free one.</param>
    /// <param name="busy">How many recipients it refuses for now.</param>
    /// <param name="certificate">A PEM file; with it the server wants STARTTLS and a sign-in.</param>
    public static async Task<MailServer> StartAsync(int port = 0, int busy = 0, string? certificate = null)
    {
        var start = new ProcessStartInfo(Python, ["-W", "ignore", "-c", Script, JsonSerializer.Serialize(new { port, busy, certificate })]) { RedirectStandardOutput = true };
        var process = Process.Start(start)!;
        var line = await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        return new MailServer(process, int.Parse(line ?? throw new InvalidOperationException("The mail server did not start.")));
    }

    /// <summary>The next mail, when it comes.</summary>
    public async Task<JsonElement> ReceiveAsync()
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(60));
        return JsonDocument.Parse(await _process.StandardOutput.ReadLineAsync(limit.Token) ?? throw new InvalidOperationException("The mail server has stopped.")).RootElement;
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }
}
