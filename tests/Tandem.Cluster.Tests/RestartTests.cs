using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;

namespace Tandem.Cluster.Tests;

/// <summary>The shipped program in processes of their own: a gateway, and two of every other role.</summary>
public sealed class RestartTests
{
    const string Served = "users,inference,reports,realtime,items,app";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_role_restarts_under_load_and_no_request_fails()
    {
        await using var store = await SharedStore.MakeAsync();
        var ports = new[] { FreePort(), FreePort() };
        await using var gateway = await GatewayAsync(store, ports);
        var roles = new Programs.Server[2];
        try
        {
            for (var i = 0; i < 2; i++)
                roles[i] = await RoleAsync(store, ports[i]);
            await UntilReadyAsync(gateway);
            await using var load = await Load.StartAsync(gateway, repeatsPosts: false);
            foreach (var turn in new[] { 0, 1 })
            {
                await load.GoOnAsync(requests: 300);
                using (Process.Start("kill", $"-TERM {roles[turn].Process.Id}")!)
                    await roles[turn].Process.WaitForExitAsync(Ct);
                Assert.Equal(0, roles[turn].Process.ExitCode);
                await roles[turn].DisposeAsync();
                await load.GoOnAsync(requests: 100);
                roles[turn] = await RoleAsync(store, ports[turn]);
            }

            await load.GoOnAsync(requests: 300);
            await load.StopAsync();
            Assert.Empty(load.Failures);
        }
        finally
        {
            foreach (var role in roles)
                if (role is not null)
                    await role.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_killed_process_fails_no_request_that_may_be_repeated()
    {
        await using var store = await SharedStore.MakeAsync();
        var ports = new[] { FreePort(), FreePort() };
        await using var gateway = await GatewayAsync(store, ports);
        await using var survivor = await RoleAsync(store, ports[0]);
        await using var load = await Load.StartAsync(gateway, repeatsPosts: true);
        for (var kills = 0; kills < 3; kills++)
        {
            await using var victim = await RoleAsync(store, ports[1]);
            await UntilReadyAsync(gateway);
            await load.GoOnAsync(requests: 200);
            await victim.KillAsync();
            await load.GoOnAsync(requests: 200);
        }

        await load.StopAsync();
        Assert.Empty(load.Failures);
        // Each was acknowledged once, and is there once.
        using var http = load.Client();
        var total = (await http.GetAsync("/items?limit=1", Ct)).Headers.GetValues("X-Total-Count").Single();
        Assert.Equal(load.Created.ToString(System.Globalization.CultureInfo.InvariantCulture), total);
    }

    [Fact]
    public async Task The_only_process_of_a_role_restarts_and_requests_wait_for_it()
    {
        await using var store = await SharedStore.MakeAsync();
        var port = FreePort();
        await using var gateway = await GatewayAsync(store, [port], "--Gateway:RoleWait", "00:00:30");
        var role = await RoleAsync(store, port);
        await UntilReadyAsync(gateway);
        Assert.Equal(401, (int)(await gateway.Http.GetAsync("/users", Ct)).StatusCode);
        await role.KillAsync();
        await role.DisposeAsync();
        var waiting = gateway.Http.PostAsJsonAsync("/users", new { email = TestUsers.NewEmail(), name = "Ada", password = TestUsers.Password }, Ct);
        await using var back = await RoleAsync(store, port);
        Assert.Equal(201, (int)(await waiting).StatusCode);
    }

    [Fact]
    public async Task A_process_that_is_told_to_stop_says_so_first_and_answers_meanwhile()
    {
        await using var store = await SharedStore.MakeAsync();
        await using var role = await Programs.ServeAsync(store.NewDataDirectory(), [.. store.Settings, "--roles", "users", "--Http:DrainTime", "00:01:00"]);
        using (Process.Start("kill", $"-TERM {role.Process.Id}")!)
            await Eventually.TrueAsync(async () => (int)(await role.Http.GetAsync("/health/ready", Ct)).StatusCode == 503);
        Assert.Equal("draining", (await (await role.Http.GetAsync("/health/ready", Ct)).JsonAsync(503)).GetProperty("status").GetString());
        using var alive = await role.Http.GetAsync("/health", Ct);
        Assert.Equal(200, (int)alive.StatusCode);
        Assert.True(alive.Headers.ConnectionClose);
        Assert.Equal(401, (int)(await role.Http.GetAsync("/users", Ct)).StatusCode);
        // Whoever asks again does not want to wait.
        using (Process.Start("kill", $"-TERM {role.Process.Id}")!)
            await role.Process.WaitForExitAsync(Ct).WaitAsync(TimeSpan.FromSeconds(30), Ct);
        Assert.Equal(0, role.Process.ExitCode);
    }

    [Fact]
    public async Task The_doctor_of_a_gateway_looks_at_its_roles()
    {
        await using var store = await SharedStore.MakeAsync();
        await using var role = await RoleAsync(store, FreePort());
        var (code, said) = await DoctorAsync(role.Address);
        Assert.Contains("1 of 1 processes are ready", said);
        Assert.Equal(0, code);
        (code, said) = await DoctorAsync("http://127.0.0.1:1");
        Assert.Contains("http://127.0.0.1:1 cannot be reached", said);
        Assert.Contains("Gateway:Roles:users:Addresses", said);
        Assert.Equal(1, code);

        async Task<(int Code, string Said)> DoctorAsync(string address)
        {
            using var process = Programs.Start(["doctor", "--data", store.NewDataDirectory(), "--urls", $"http://127.0.0.1:{FreePort()}", .. store.Settings,
                "--roles", "gateway", "--Gateway:Roles:users:Addresses:0", address]);
            var said = await process.StandardOutput.ReadToEndAsync(Ct);
            await process.WaitForExitAsync(Ct);
            return (process.ExitCode, said);
        }
    }

    static Task<Programs.Server> GatewayAsync(SharedStore store, int[] ports, params string[] settings) => Programs.ServeAsync(store.NewDataDirectory(),
        [.. store.Settings, "--roles", "gateway", .. settings, .. ports.Index().SelectMany(p => new[] { $"--Gateway:Roles:others:Addresses:{p.Index}", $"http://127.0.0.1:{p.Item}" })]);

    static Task<Programs.Server> RoleAsync(SharedStore store, int port) =>
        Programs.ServeAsync(store.NewDataDirectory(), [.. store.Settings, "--roles", Served, "--urls", $"http://127.0.0.1:{port}", "--Users:SignUpsPerMinutePerAddress", "0"]);

    /// <summary>Until the gateway has heard of its roles' processes.</summary>
    static Task UntilReadyAsync(Programs.Server gateway) => Eventually.TrueAsync(async () =>
        (await (await gateway.Http.GetAsync("/health/ready", Ct)).JsonAsync()).GetProperty("status").GetString() == "ready");

    static int FreePort()
    {
        using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        return ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Clients that read and write without a pause, and keep what went wrong.</summary>
    sealed class Load : IAsyncDisposable
    {
        const int Clients = 4;

        readonly Programs.Server _gateway;
        readonly string _token;
        readonly bool _repeatsPosts;
        readonly CancellationTokenSource _stop = new();
        Task _running = Task.CompletedTask;
        long _done;
        long _created;

        Load(Programs.Server gateway, string token, bool repeatsPosts) => (_gateway, _token, _repeatsPosts) = (gateway, token, repeatsPosts);

        public ConcurrentQueue<string> Failures { get; } = [];

        public long Created => Volatile.Read(ref _created);

        public static async Task<Load> StartAsync(Programs.Server gateway, bool repeatsPosts)
        {
            var email = TestUsers.NewEmail();
            (await gateway.Http.PostAsJsonAsync("/users", new { email, name = "Ada", password = TestUsers.Password }, Ct)).EnsureSuccessStatusCode();
            var tokens = await (await gateway.Http.PostAsync("/token", new FormUrlEncodedContent(new Dictionary<string, string>
            {
                ["username"] = email,
                ["password"] = TestUsers.Password,
            }), Ct)).JsonAsync();
            var load = new Load(gateway, tokens.GetProperty("access_token").GetString()!, repeatsPosts);
            using (var http = load.Client())
                await Eventually.TrueAsync(async () => (await http.GetAsync("/items", Ct)).IsSuccessStatusCode);
            load._running = Task.WhenAll(Enumerable.Range(0, Clients).Select(load.RunAsync));
            return load;
        }

        public HttpClient Client()
        {
            var http = new HttpClient { BaseAddress = new Uri(_gateway.Address) };
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", _token);
            return http;
        }

        /// <summary>Returns when so many more were answered.</summary>
        public Task GoOnAsync(int requests)
        {
            var goal = Volatile.Read(ref _done) + requests;
            return Eventually.TrueAsync(() => Task.FromResult(Volatile.Read(ref _done) >= goal), seconds: 60);
        }

        public async Task StopAsync()
        {
            await _stop.CancelAsync();
            await _running;
        }

        async Task RunAsync(int client)
        {
            using var http = Client();
            for (var n = 0; !_stop.IsCancellationRequested; n++)
            {
                if (await OneAsync(http, HttpMethod.Post, "/items", $$"""{"name":"Pen {{client}}-{{n}}","price":1.5}""", 201) is not { } item)
                    continue;
                await OneAsync(http, HttpMethod.Get, "/items?limit=3", null, 200);
                await OneAsync(http, HttpMethod.Put, item, """{"name":"Pencil","price":2}""", 200);
            }
        }

        /// <returns>Where what was made is.</returns>
        async Task<string?> OneAsync(HttpClient http, HttpMethod method, string path, string? body, int expected)
        {
            using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
            if (method == HttpMethod.Post && _repeatsPosts)
                request.Headers.Add("Idempotency-Key", Guid.NewGuid().ToString());
            try
            {
                using var response = await http.SendAsync(request, CancellationToken.None);
                if ((int)response.StatusCode != expected)
                    Failures.Enqueue($"{method} {path}: {(int)response.StatusCode} {await response.Content.ReadAsStringAsync()}");
                else if (method == HttpMethod.Post)
                    Interlocked.Increment(ref _created);
                return response.Headers.Location?.ToString();
            }
            catch (HttpRequestException e)
            {
                Failures.Enqueue($"{method} {path}: {e.Message}");
                return null;
            }
            finally
            {
                Interlocked.Increment(ref _done);
            }
        }

        public async ValueTask DisposeAsync()
        {
            await StopAsync();
            _stop.Dispose();
        }
    }
}
