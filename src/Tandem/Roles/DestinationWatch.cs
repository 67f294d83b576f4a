using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Tandem.Core;
using Yarp.ReverseProxy.Forwarder;

namespace Tandem.Roles;

/// <summary>Keeps the list of each role's processes, by asking the DNS, and what is known of them, by asking themselves.</summary>
sealed class DestinationWatch : BackgroundService
{
    static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(1);
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    // In looks: whether a process can do its work is asked now and then (it writes to the database to find out), whether it is there each time.
    const int ReadyEvery = 5;
    const int ResolveEvery = 5;

    readonly IReadOnlyList<RoleDestinations> _roles;
    readonly Hop _hop;
    readonly TimeProvider _clock;
    readonly ILogger<DestinationWatch> _logger;
    readonly HashSet<string> _unresolved = [];

    public DestinationWatch(IReadOnlyList<RoleDestinations> roles, Hop hop, TimeProvider clock, ILogger<DestinationWatch> logger)
    {
        (_roles, _hop, _clock, _logger) = (roles, hop, clock, logger);
        Client = new HttpMessageInvoker(new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            AutomaticDecompression = DecompressionMethods.None,
            ActivityHeadersPropagator = new ReverseProxyPropagator(DistributedContextPropagator.Current),
            ConnectCallback = ConnectAsync,
        });
        Telemetry.Meter.CreateObservableGauge("tandem.gateway.destinations", Count, "{process}", "Processes of other roles, by role and by how fit they are");
    }

    /// <summary>Speaks to every role.</summary>
    public HttpMessageInvoker Client { get; }

    /// <summary>Knows where the roles are before the first request is answered.</summary>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await Task.WhenAll(_roles.Select(r => ResolveAsync(r, cancellationToken)));
        await base.StartAsync(cancellationToken);
    }

    /// <summary>Looks how a process is, without waiting for the next turn.</summary>
    public void LookSoon(RoleDestinations role, Destination destination) => _ = LookAsync(role, destination, "/health/ready", CancellationToken.None);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(LookEvery, _clock);
        for (var turn = 1; ; turn++)
        {
            foreach (var role in _roles)
            {
                if (turn % ResolveEvery == 0)
                    _ = ResolveAsync(role, stoppingToken);
                foreach (var destination in role.All)
                    _ = LookAsync(role, destination, turn % ReadyEvery == 0 || destination.Fitness != Fitness.Ready ? "/health/ready" : "/health", stoppingToken);
            }

            if (!await timer.WaitForNextTickAsync(stoppingToken))
                return;
        }
    }

    async Task LookAsync(RoleDestinations role, Destination destination, string path, CancellationToken ct)
    {
        if (!destination.TryBeginLook())
            return;
        try
        {
            var (fitness, _) = await AskAsync(destination, path, ct);
            // Once may be a bad moment. Twice in a row, and what waits for its answer goes to somebody who gives one.
            if (fitness == Fitness.Silent && destination.Fitness < Fitness.Away)
                fitness = Fitness.Away;
            else if (fitness >= Fitness.Away && destination.Fitness >= Fitness.Away && role.All.Any(d => d.Fitness <= Fitness.Alive))
                destination.RecallAll();
            if (fitness < Fitness.Away)
                role.Reached();
            if (fitness == destination.Fitness)
                return;
            destination.Fitness = fitness;
            _logger.DestinationChanged(fitness == Fitness.Ready ? LogLevel.Information : LogLevel.Warning, role.Role, destination.Address, fitness);
        }
        catch (OperationCanceledException) when (ct.IsCancellationRequested)
        {
        }
        finally
        {
            destination.EndLook();
        }
    }

    /// <summary>Asks a process how it is.</summary>
    /// <returns>How fit it is and, where it cannot be reached, why.</returns>
    public async Task<(Fitness Fitness, string? Why)> AskAsync(Destination destination, string path, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(Patience);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, destination.Address + path);
            request.Headers.TryAddWithoutValidation(Hop.Header, _hop.Sign(null, "http"));
            using var response = await Client.SendAsync(request, limit.Token);
            // Read to its end, so that the connection can be used again.
            await response.Content.CopyToAsync(Stream.Null, limit.Token);
            return (response.IsSuccessStatusCode && !response.Headers.Contains(Hop.StateHeader) ? Fitness.Ready : Fitness.Alive, null);
        }
        catch (Exception e) when (e is HttpRequestException or IOException || e is OperationCanceledException && !ct.IsCancellationRequested)
        {
            return e is OperationCanceledException
                ? (Fitness.Silent, $"no answer within {Patience.TotalSeconds} s")
                : (Fitness.Away, e.InnerException?.Message ?? e.Message);
        }
    }

    /// <summary>Every address behind a name is a process. What the DNS cannot say now stays as it was.</summary>
    public async Task ResolveAsync(RoleDestinations role, CancellationToken ct)
    {
        var found = new List<string>();
        foreach (var uri in role.Addresses)
            // A certificate is made out to the name; and an address needs no look-up.
            if (uri.Scheme == "https" || uri.HostNameType != UriHostNameType.Dns)
                found.Add(uri.GetLeftPart(UriPartial.Authority));
            else if (await ResolveAsync(role, uri, ct) is { } addresses)
                found.AddRange(addresses);
            else
                return;
        role.Set(found);
    }

    async Task<IEnumerable<string>?> ResolveAsync(RoleDestinations role, Uri uri, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(Patience);
        try
        {
            var all = await Dns.GetHostAddressesAsync(uri.Host, limit.Token);
            lock (_unresolved)
                _unresolved.Remove(uri.Host);
            // A process with addresses of both kinds is one process.
            var family = all.Any(a => a.AddressFamily == AddressFamily.InterNetwork) ? AddressFamily.InterNetwork : AddressFamily.InterNetworkV6;
            return all.Where(a => a.AddressFamily == family).Select(a => $"http://{new IPEndPoint(a, uri.Port)}");
        }
        catch (Exception e) when (e is SocketException || e is OperationCanceledException)
        {
            bool isNew;
            lock (_unresolved)
                isNew = !ct.IsCancellationRequested && _unresolved.Add(uri.Host);
            if (isNew)
                _logger.NameUnknown(role.Role, uri.Host, role.Setting, e.Message);
            return null;
        }
    }

    /// <summary>A connection that a vanished peer does not keep open for ever; the failure says that nothing was sent.</summary>
    static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken ct)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(Patience);
        try
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 15);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 5);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
            await socket.ConnectAsync(context.DnsEndPoint, limit.Token);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            socket.Dispose();
            // A cancelled connection would look like a request that was given up.
            throw new SocketException((int)SocketError.TimedOut);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    IEnumerable<Measurement<int>> Count() => _roles.SelectMany(r => r.All.CountBy(d => d.Fitness).Select(c => new Measurement<int>(c.Value,
        new KeyValuePair<string, object?>("role", r.Role), new KeyValuePair<string, object?>("fitness", c.Key.ToString().ToLowerInvariant()))));

    public override void Dispose()
    {
        base.Dispose();
        Client.Dispose();
    }
}
