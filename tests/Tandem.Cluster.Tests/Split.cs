namespace Tandem.Cluster.Tests;

/// <summary>The shipped program, split into processes of its own.</summary>
static class Split
{
    const string Served = "users,inference,reports,realtime,items,app";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static Task<Programs.Server> GatewayAsync(SharedStore store, int[] ports, params string[] settings) => Programs.ServeAsync(store.NewDataDirectory(),
        [.. store.Settings, "--roles", "gateway", .. settings, .. ports.Index().SelectMany(p => new[] { $"--Gateway:Roles:others:Addresses:{p.Index}", $"http://127.0.0.1:{p.Item}" })]);

    /// <summary>Everything but the gateway.</summary>
    /// <param name="database">Its way to the database; null: the straight one.</param>
    public static Task<Programs.Server> RoleAsync(SharedStore store, int port, FlakyProxy? database = null, params string[] settings) => Programs.ServeAsync(
        store.NewDataDirectory(),
        [
            .. database is null ? store.Settings : store.Through(database), "--roles", Served, "--urls", $"http://127.0.0.1:{port}",
            "--Users:SignUpsPerMinutePerAddress", "0", .. settings,
        ]);

    /// <summary>Until the gateway has heard of its roles' processes.</summary>
    public static Task UntilReadyAsync(Programs.Server gateway) => Eventually.TrueAsync(async () =>
        (await (await gateway.Http.GetAsync("/health/ready", Ct)).JsonAsync()).GetProperty("status").GetString() == "ready");

    public static int FreePort()
    {
        using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        return ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
    }
}
