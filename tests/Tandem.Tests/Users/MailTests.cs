using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using MimeKit;
using Tandem.Core.Configuration;
using Tandem.Core.Contracts;
using Tandem.Core.Jobs;
using Tandem.Users.Look;
using Tandem.Users.Mailing;

namespace Tandem.Tests.Users;

public sealed class MailTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static readonly Mail Greeting = new("ada@example.com", "Grüße", "Hello Ada\nhttps://example.com/a", "<p>Hello Ada</p>");

    static Task<TestApp> StartAsync(MailServer server, params string[] more) => TestApp.StartAsync(settings:
        ["--Mail:Host", "127.0.0.1", "--Mail:Port", $"{server.Port}", "--Mail:Tls", "None", "--Mail:From", "Shop <shop@example.com>", "--Jobs:RetryBase", "00:00:00.010", "--Jobs:RetryCap", "00:00:01", .. more]);

    static Task<Guid> SendAsync(TestApp app, Mail mail) => app.Db.InTransactionAsync(tx => tx.MailAsync(mail, CancellationToken.None), Ct);

    static Task<JobView?> JobAsync(TestApp app, Guid id) => app.Services.GetRequiredService<IJobQueue>().FindAsync(id, Ct);

    [Fact]
    public async Task A_mail_goes_to_the_server_when_its_transaction_commits()
    {
        MailServer.Needed();
        await using var server = await MailServer.StartAsync();
        await using var app = await StartAsync(server);
        await Assert.ThrowsAsync<InvalidOperationException>(() => app.Db.InTransactionAsync(async tx =>
        {
            await tx.MailAsync(Greeting with { To = "rolled-back@example.com" }, CancellationToken.None);
            throw new InvalidOperationException("No.");
        }, Ct));

        var id = await SendAsync(app, Greeting);

        var received = await server.ReceiveAsync();
        Assert.Equal("shop@example.com", received.GetProperty("from").GetString());
        Assert.Equal(["ada@example.com"], received.GetProperty("to").EnumerateArray().Select(t => t.GetString()));
        using var message = Parse(received.GetProperty("content").GetString()!);
        Assert.Equal(("Shop", "Grüße", $"{id:n}@example.com"), (message.From[0].Name, message.Subject, message.MessageId));
        Assert.Equal(("Hello Ada\nhttps://example.com/a", "<p>Hello Ada</p>"), (message.TextBody!.Trim().ReplaceLineEndings("\n"), message.HtmlBody!.Trim()));
        Assert.Equal("auto-generated", message.Headers[HeaderId.AutoSubmitted]);
    }

    [Fact]
    public async Task A_server_that_is_away_or_busy_is_tried_until_it_takes_the_mail()
    {
        MailServer.Needed();
        int port;
        using (var taken = new TcpListener(IPAddress.Loopback, 0))
        {
            taken.Start();
            port = ((IPEndPoint)taken.LocalEndpoint).Port;
        }

        await using var app = await TestApp.StartAsync(settings:
            ["--Mail:Host", "127.0.0.1", "--Mail:Port", $"{port}", "--Mail:Tls", "None", "--Mail:From", "shop@example.com", "--Jobs:RetryBase", "00:00:00.010", "--Jobs:RetryCap", "00:00:01"]);
        var id = await SendAsync(app, Greeting);
        await Eventually.TrueAsync(async () => (await JobAsync(app, id))!.Attempt >= 2);

        await using var server = await MailServer.StartAsync(port, busy: 2);

        Assert.Contains("Hello Ada", (await server.ReceiveAsync()).GetProperty("content").GetString());
        await Eventually.TrueAsync(async () => (await JobAsync(app, id))!.State == "completed");
    }

    [Fact]
    public async Task A_mailbox_that_is_not_there_is_tried_once()
    {
        MailServer.Needed();
        await using var server = await MailServer.StartAsync();
        await using var app = await StartAsync(server);

        var id = await SendAsync(app, Greeting with { To = "nobody@example.com" });

        await Eventually.TrueAsync(async () => (await JobAsync(app, id))!.State == "completed");
        Assert.Equal(1, (await JobAsync(app, id))!.Attempt);
    }

    [Fact]
    public async Task Nothing_goes_to_a_server_without_TLS_or_with_a_certificate_that_nobody_vouches_for()
    {
        MailServer.Needed();
        var file = Path.GetTempFileName();
        using (var key = RSA.Create(2048))
        using (var certificate = new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1)))
            await File.WriteAllTextAsync(file, certificate.ExportCertificatePem() + "\n" + key.ExportPkcs8PrivateKeyPem(), Ct);
        await using var plain = await MailServer.StartAsync();
        await using var forged = await MailServer.StartAsync(certificate: file);
        foreach (var server in new[] { plain, forged })
        {
            await using var app = await StartAsync(server, "--Mail:Tls", "StartTls", "--Mail:User", "shop", "--Mail:Password", "let me in");
            var id = await SendAsync(app, Greeting);

            await Eventually.TrueAsync(async () => (await JobAsync(app, id))!.Attempt >= 2);

            var job = await JobAsync(app, id);
            Assert.NotEqual("completed", job!.State);
            Assert.DoesNotContain("let me in", job.Error ?? "");
        }

        File.Delete(file);
    }

    [Fact]
    public async Task Without_a_server_mails_are_files_and_the_oldest_of_too_many_go()
    {
        await using var app = await TestApp.StartAsync();
        var sender = app.Services.GetRequiredService<MailSender>();
        Directory.CreateDirectory(sender.Outbox);
        for (var i = 0; i < MailSender.MaxFiles; i++)
            await File.WriteAllTextAsync(Path.Combine(sender.Outbox, $"20260101-000000-{i:000000}-x.eml"), "x", Ct);

        await SendAsync(app, Greeting);

        await Eventually.TrueAsync(() => Task.FromResult(Directory.GetFiles(sender.Outbox, "*.eml").Any(f => !f.Contains("20260101", StringComparison.Ordinal))));
        var files = Directory.GetFiles(sender.Outbox, "*.eml").Order(StringComparer.Ordinal).ToList();
        Assert.Equal(MailSender.MaxFiles, files.Count);
        Assert.DoesNotContain(files, f => f.Contains("-000000-x", StringComparison.Ordinal));
        using var message = await MimeMessage.LoadAsync(files[^1], Ct);
        Assert.Equal("Grüße", message.Subject);
    }

    [Fact]
    public async Task A_server_that_has_mailed_nothing_has_loaded_nothing_of_what_mails()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "What a process has loaded is read from /proc.");
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        await using var server = await Programs.ServeAsync(data, "--Mail:Host", "127.0.0.1", "--Mail:From", "Shop <shop@example.com>");
        await (await server.Http.GetAsync("/health", Ct)).JsonAsync();

        var loaded = await File.ReadAllTextAsync($"/proc/{server.Process.Id}/maps", Ct);

        Assert.Contains("Tandem.Users.dll", loaded);
        foreach (var library in new[] { "MailKit", "MimeKit", "BouncyCastle", "QRCoder" })
            Assert.DoesNotContain(library, loaded);
        await server.KillAsync();
        Directory.Delete(data, recursive: true);
    }

    [Fact]
    public async Task The_outbox_can_be_looked_at_from_this_machine_where_that_is_asked_for()
    {
        await using var app = await TestApp.StartAsync(settings: ["--Mail:OutboxPage", "true"]);
        Assert.Equal(0, (await (await app.Http.GetAsync("/dev/mail", Ct)).JsonAsync()).GetArrayLength());
        await SendAsync(app, Greeting with { Subject = "<b>" });
        await Eventually.TrueAsync(async () => (await (await app.Http.GetAsync("/dev/mail", Ct)).JsonAsync()).GetArrayLength() == 1);

        var listed = (await (await app.Http.GetAsync("/dev/mail", Ct)).JsonAsync())[0];
        Assert.Equal(("ada@example.com", "<b>"), (listed.GetProperty("to").GetString(), listed.GetProperty("subject").GetString()));
        var page = await GetAsync("", ("Accept", "text/html"));
        Assert.Contains("&lt;b&gt;", await page.Content.ReadAsStringAsync(Ct));
        Assert.DoesNotContain("<b>", await page.Content.ReadAsStringAsync(Ct));
        var one = await GetAsync("/" + listed.GetProperty("name").GetString(), ("Accept", "text/html"));
        Assert.Contains("<a href=\"https://example.com/a\">", await one.Content.ReadAsStringAsync(Ct));
        await (await GetAsync("/..%2Ftandem.db")).ShouldBeProblemAsync(404, "http/not-found");

        // A proxy on this machine, another site's page in a browser here, a name that was made to mean this machine.
        foreach (var header in new[] { ("X-Forwarded-For", "192.0.2.1"), ("Via", "1.1 proxy"), ("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site"), ("Host", "evil.example") })
            await (await GetAsync("", header)).ShouldBeProblemAsync(404, "http/not-found");

        async Task<HttpResponseMessage> GetAsync(string path, params (string Name, string Value)[] headers)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/dev/mail" + path);
            foreach (var (name, value) in headers)
                request.Headers.Add(name, value);
            return await app.Http.SendAsync(request, Ct);
        }
    }

    [Fact]
    public async Task Nobody_looks_into_the_outbox_where_it_was_not_asked_for_or_there_is_a_mail_server()
    {
        await using var quiet = await TestApp.StartAsync();
        await (await quiet.Http.GetAsync("/dev/mail", Ct)).ShouldBeProblemAsync(404, "http/not-found");
        await using var real = await TestApp.StartAsync(settings: ["--Mail:OutboxPage", "true", "--Mail:Host", "127.0.0.1", "--Mail:From", "shop@example.com"]);
        await (await real.Http.GetAsync("/dev/mail", Ct)).ShouldBeProblemAsync(404, "http/not-found");
    }

    [Theory]
    [InlineData("Mail:From", "--Mail:Host", "mail.example.com")]
    [InlineData("Mail:From", "--Mail:From", "nobody at all")]
    [InlineData("Mail:Password", "--Mail:User", "shop")]
    [InlineData("Mail:Tls", "--Mail:Host", "mail.example.com", "--Mail:From", "a@example.com", "--Mail:Tls", "None", "--Mail:User", "shop", "--Mail:Password", "hush")]
    [InlineData("Mail:Port", "--Mail:Port", "70000")]
    [InlineData("Mail:Texts", "--Mail:Texts", "/nowhere/at/all")]
    public async Task Settings_that_cannot_work_stop_the_start_and_are_named(string setting, params string[] settings)
    {
        var e = await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(settings: settings));
        Assert.Contains(setting, e.Message);
        Assert.DoesNotContain("hush", e.Message);
    }

    [Fact]
    public void Texts_of_ones_own_take_the_place_of_ours_and_values_are_encoded()
    {
        var folder = Directory.CreateTempSubdirectory("tandem-texts-").FullName;
        File.WriteAllText(Path.Combine(folder, "reset.txt"), "Neues Passwort für {product}\r\n\r\n{link}\r\n\r\nBis {until}, {unknown}.\r\n");
        var letters = new Letters(new MailOptions { Product = "Tom & Jerry", Texts = folder });
        var german = new Languages(new PagesOptions()).Named("de-AT");

        var mail = letters.Write("ada@example.com", german, "reset", ("link", "https://example.com/?a=1&b=2"), ("until", "<morgen>"));

        Assert.Equal("Neues Passwort für Tom & Jerry", mail.Subject);
        Assert.Equal("https://example.com/?a=1&b=2\n\nBis <morgen>, {unknown}.\n", mail.Text);
        Assert.Contains("href=\"https://example.com/?a=1&amp;b=2\"", mail.Html);
        Assert.Contains("Bis &lt;morgen&gt;, {unknown}.", mail.Html);
        var code = letters.Write("ada@example.com", german, "code", ("code", "1234 5678"), ("link", null), ("until", "soon"));
        Assert.StartsWith("1234 5678 ist Ihr Code", code.Subject);
        Assert.DoesNotContain("Link", code.Text);
        Directory.Delete(folder, recursive: true);
    }

    static MimeMessage Parse(string text) => MimeMessage.Load(new MemoryStream(System.Text.Encoding.UTF8.GetBytes(text)));
}
