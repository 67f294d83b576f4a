using System.Net;
using System.Net.Http;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Tandem.Core.Jobs;
using Tandem.Users.Tokens;

namespace Tandem.Users.OpenId;

/// <summary>Tells a client that a session of its has ended. Written with that, so that it is told exactly when it has.</summary>
[Job("users.logout-notice")]
sealed record LogoutNotice(Guid SessionId, long AccountId, string ClientId)
{
    /// <summary>A client that is away is tried again for some hours.</summary>
    public static JobOptions Delivery { get; } = new() { MaxAttempts = 50 };
}

/// <summary>Sends logout tokens (OpenID Connect Back-Channel Logout 1.0).</summary>
sealed class LogoutNotices(ClientTable clients, AccessTokens tokens, BackChannel channel, TimeProvider clock, ILogger<LogoutNotices> logger) : IJobHandler<LogoutNotice>
{
    // 2.4: short, so that a token that was copied ends nothing later.
    static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(2);

    static readonly JsonElement Events = JsonSerializer.SerializeToElement(new Dictionary<string, object> { ["http://schemas.openid.net/event/backchannel-logout"] = new object() });

    public async Task RunAsync(JobRun<LogoutNotice> run, CancellationToken cancellationToken)
    {
        var notice = run.Job;
        if (await clients.FindAsync(notice.ClientId, cancellationToken) is not { BackchannelLogoutUri: { } uri } client)
            return;
        // The same jti for each try: a client that has had it knows it again.
        var token = await tokens.SignAsync("logout+jwt", client.IdTokenSignedResponseAlg, notice.ClientId, notice.AccountId, notice.SessionId, run.Id, clock.UtcNow(), Lifetime,
            new() { ["events"] = Events }, cancellationToken);
        int status;
        try
        {
            status = await channel.PostAsync(uri, [KeyValuePair.Create("logout_token", token)], cancellationToken);
        }
        catch (HttpRequestException e) when (e.InnerException is RefusedAddressException)
        {
            logger.LogoutNotSent(notice.ClientId, notice.SessionId, e.InnerException.Message);
            return;
        }

        // 2.8: 400 is a no that stays one. What a server does not manage, or has no time for, it may manage later.
        if (status is >= 500 or 408 or 425 or 429)
            throw new IOException($"The client {notice.ClientId} answered {status} to a logout token.");
        if (status >= 300)
            logger.LogoutNotSent(notice.ClientId, notice.SessionId, $"it answered {status}");
    }
}

/// <summary>
/// Calls clients. Whoever may register one says where: so that this server is nobody's way to what stands beside it, the address that is connected to is looked at, after the name was looked up and
/// not before. No redirect is followed, no proxy asked, and nothing of an answer is read but its status.
/// </summary>
sealed class BackChannel(UsersOptions options) : IDisposable
{
    static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    // Made for the first who wants it: most programs have no such client.
    readonly Lazy<HttpClient> _http = new(() => new HttpClient(Handler(_ => options.CallPrivateAddresses)) { Timeout = System.Threading.Timeout.InfiniteTimeSpan });

    /// <returns>HTTP status.</returns>
    /// <exception cref="HttpRequestException">It cannot be reached, or is at an address that is not called (<see cref="RefusedAddressException"/>).</exception>
    /// <exception cref="TimeoutException">It did not answer in time.</exception>
    public async Task<int> PostAsync(string uri, IEnumerable<KeyValuePair<string, string>> form, CancellationToken ct)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, uri) { Content = new FormUrlEncodedContent(form) };
        using var late = CancellationTokenSource.CreateLinkedTokenSource(ct);
        late.CancelAfter(Timeout);
        try
        {
            using var response = await _http.Value.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, late.Token);
            return (int)response.StatusCode;
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            throw new TimeoutException($"{new Uri(uri).Host} did not answer within {Timeout.TotalSeconds:0} seconds.");
        }
    }

    /// <summary>For whoever calls an address that somebody else has said.</summary>
    /// <param name="isPrivateCalled">May a host be one of the own network or machine?</param>
    public static SocketsHttpHandler Handler(Func<string, bool> isPrivateCalled) => new()
    {
        AllowAutoRedirect = false,
        UseCookies = false,
        UseProxy = false,
        MaxResponseHeadersLength = 16,
        // A name may lead elsewhere by then.
        PooledConnectionLifetime = TimeSpan.FromMinutes(2),
        ConnectCallback = async (context, ct) =>
        {
            var host = context.DnsEndPoint.Host;
            var addresses = await Dns.GetHostAddressesAsync(host, ct);
            var allowed = Array.FindAll(addresses, a => IsCalled(a, isPrivateCalled(host)));
            if (allowed.Length == 0)
                throw new RefusedAddressException($"{host} is at {string.Join(", ", addresses.AsEnumerable())}, which is not called; see Users:CallPrivateAddresses");
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(allowed, context.DnsEndPoint.Port, ct);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        },
    };

    /// <summary>May this address be called?</summary>
    /// <param name="address">IPv4 or IPv6.</param>
    /// <param name="isPrivateCalled">Also those of the own network and machine. The link's own are never: there are the credentials of machines in a cloud (169.254.169.254).</param>
    public static bool IsCalled(IPAddress address, bool isPrivateCalled)
    {
        if (address.IsIPv4MappedToIPv6)
            address = address.MapToIPv4();
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out var length);
        if (length == 4)
            return bytes[0] switch
            {
                0 or >= 224 => false,
                169 when bytes[1] == 254 => false,
                10 or 127 => isPrivateCalled,
                172 when bytes[1] is >= 16 and < 32 => isPrivateCalled,
                192 when bytes[1] == 168 => isPrivateCalled,
                100 when bytes[1] is >= 64 and < 128 => isPrivateCalled,
                // For documents, benchmarks and relays that are no more (RFC 6890).
                192 when bytes[1] == 0 && bytes[2] is 0 or 2 || bytes[1] == 88 && bytes[2] == 99 => false,
                198 when bytes[1] is 18 or 19 || bytes[1] == 51 && bytes[2] == 100 => false,
                203 when bytes[1] == 0 && bytes[2] == 113 => false,
                _ => true,
            };
        // What is translated to IPv4 on its way (RFC 6052) is what it is translated to.
        if (bytes[..12].SequenceEqual((ReadOnlySpan<byte>)[0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]))
            return IsCalled(new IPAddress(bytes[12..]), isPrivateCalled);
        if (IPAddress.IsLoopback(address) || (bytes[0] & 0xfe) == 0xfc)
            return isPrivateCalled;
        // 2000::/3 is what is routed; of it 2001::/23, 2001:db8::/32 and 2002::/16 lead to no host, or to another one.
        return (bytes[0] & 0xe0) == 0x20 && !(bytes[0] == 0x20 && (bytes[1] == 0x02 || bytes[1] == 0x01 && (bytes[2] < 2 || bytes[2] == 0x0d && bytes[3] == 0xb8)));
    }

    public void Dispose()
    {
        if (_http.IsValueCreated)
            _http.Value.Dispose();
    }
}

/// <summary>A name leads only to addresses that are not called.</summary>
sealed class RefusedAddressException(string message) : IOException(message);
