using System.Buffers.Text;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Data;

namespace Tandem.Roles;

/// <summary>
/// What a gateway tells a role of the client behind a forwarded request: its address and scheme, signed with a key that lies in the database.
/// Who has no access to the database can say nothing here. It says nothing about identity: the token travels along and is checked again.
/// </summary>
sealed class Hop(Db db, TimeProvider clock, ILogger<Hop> logger) : IHostedService
{
    public const string Header = "X-Tandem-Hop";

    /// <summary>In answers of a role to its gateway.</summary>
    public const string StateHeader = "X-Tandem-State";
    public const string Draining = "draining";

    // How far the clocks of two machines may be apart. Whoever read the header on the way could use it that long, and would have the token then, too.
    static readonly TimeSpan Skew = TimeSpan.FromMinutes(1);

    const string Purpose = "hop";
    const int MaxLength = 200;

    byte[] _key = [];
    long _warnedAt = long.MinValue;

    /// <summary>Makes the key or finds the one another process has made, before the first request.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await db.ExecuteAsync($"""
            insert into core_secrets (purpose, secret, created_at) values ({Purpose}, {RandomNumberGenerator.GetBytes(32)}, {clock.UtcNow()})
            on conflict (purpose) do nothing
            """, cancellationToken);
        var row = await db.FindAsync<Row>($"select secret from core_secrets where purpose = {Purpose}", cancellationToken);
        _key = row?.Secret ?? throw new InvalidOperationException("The key for forwarded requests was deleted while the program started; start it again.");
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <param name="address">Of the client; null where there is none, as on a Unix socket.</param>
    /// <param name="scheme">http or https, as the client spoke it.</param>
    public string Sign(IPAddress? address, string scheme)
    {
        var said = string.Create(CultureInfo.InvariantCulture, $"{clock.GetUtcNow().ToUnixTimeMilliseconds()} {address?.ToString() ?? "-"} {scheme}");
        return $"{said} {Base64Url.EncodeToString(Mac(said))}";
    }

    /// <returns>False for anything that no gateway of this database has signed just now.</returns>
    public bool TryRead(string header, out IPAddress? address, out string scheme)
    {
        (address, scheme) = (null, "");
        if (header.Length > MaxLength || !Ascii.IsValid(header) || header.LastIndexOf(' ') is not (> 0 and var end))
            return false;
        var said = header[..end];
        // Compared as text: there is one way only to write a signature.
        if (!CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(header[(end + 1)..]), Encoding.ASCII.GetBytes(Base64Url.EncodeToString(Mac(said)))))
            return false;
        if (said.Split(' ') is not [var at, var client, var spoken] || !long.TryParse(at, CultureInfo.InvariantCulture, out var milliseconds))
            return false;
        var age = clock.GetUtcNow() - DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);
        if (age.Duration() > Skew)
        {
            WarnOfClock(age);
            return false;
        }

        _ = IPAddress.TryParse(client, out address);
        scheme = spoken;
        return true;
    }

    byte[] Mac(string said) => HMACSHA256.HashData(_key, Encoding.ASCII.GetBytes(said));

    /// <summary>Once a minute: it would else be said for every request.</summary>
    void WarnOfClock(TimeSpan age)
    {
        var (now, last) = (clock.GetUtcNow().UtcTicks, Volatile.Read(ref _warnedAt));
        if (now - last > TimeSpan.TicksPerMinute && Interlocked.CompareExchange(ref _warnedAt, now, last) == last)
            logger.ClocksApart(age);
    }

    sealed record Row(byte[] Secret);
}

/// <summary>In front of everything: who is the client, and does this process want to be left?</summary>
/// <remarks>
/// The header is taken away in every process, so that no handler can give it out. One that runs the gateway believes nobody: it is what the
/// outside talks to.
/// </remarks>
sealed class Entrance(RequestDelegate next, Hop hop, Drain drain, ServerOptions server)
{
    readonly bool _isGateway = server.Runs("gateway");

    public Task InvokeAsync(HttpContext context)
    {
        var request = context.Request;
        var isForwarded = false;
        if (request.Headers.TryGetValue(Hop.Header, out var said))
        {
            request.Headers.Remove(Hop.Header);
            if (!_isGateway && said is [{ } header] && hop.TryRead(header, out var address, out var scheme))
            {
                context.Connection.RemoteIpAddress = address;
                request.Scheme = scheme;
                drain.Forwarded();
                isForwarded = true;
            }
        }

        if (drain.HasBegun)
        {
            // This connection's last answer: who holds it goes elsewhere with the next request.
            if (request.Protocol is "HTTP/1.1" or "HTTP/1.0")
                context.Response.Headers.Connection = "close";
            if (isForwarded)
                context.Response.Headers[Hop.StateHeader] = Hop.Draining;
        }

        return next(context);
    }
}
