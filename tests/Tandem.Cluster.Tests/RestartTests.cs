using System.Diagnostics;
using System.Net.Http.Json;

namespace Tandem.Cluster.Tests;

/// <summary>The shipped program in processes of their own: a gateway, and two of every other role.</summary>
public sealed class RestartTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_role_restarts_under_load_and_no_request_fails()
    {
        await using var store = await SharedStore.MakeAsync();
        var ports = new[] { Split.FreePort(), Split.FreePort() };
        await using var gateway = await Split.GatewayAsync(store, ports);
        var roles = new Programs.Server[2];
        try
        {
            for (var i = 0; i < 2; i++)
                roles[i] = await Split.RoleAsync(store, ports[i]);
            await Split.UntilReadyAsync(gateway);
            await using var load = await Load.StartAsync(gateway, repeatsPosts: false);
            foreach (var turn in new[] { 0, 1 })
            {
                await load.GoOnAsync(requests: 300);
                using (Process.Start("kill", $"-TERM {roles[turn].Process.Id}")!)
                    await roles[turn].Process.WaitForExitAsync(Ct);
                Assert.Equal(0, roles[turn].Process.ExitCode);
                await roles[turn].DisposeAsync();
                await load.GoOnAsync(requests: 100);
                roles[turn] = await Split.RoleAsync(store, ports[turn]);
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
        var ports = new[] { Split.FreePort(), Split.FreePort() };
        await using var gateway = await Split.GatewayAsync(store, ports);
        await using var survivor = await Split.RoleAsync(store, ports[0]);
        await using var load = await Load.StartAsync(gateway, repeatsPosts: true);
        for (var kills = 0; kills < 3; kills++)
        {
            await using var victim = await Split.RoleAsync(store, ports[1]);
            await Split.UntilReadyAsync(gateway);
            await load.GoOnAsync(requests: 200);
            await victim.KillAsync();
            await load.GoOnAsync(requests: 200);
        }

        await load.StopAndCheckAsync();
    }

    [Fact]
    public async Task The_only_process_of_a_role_restarts_and_requests_wait_for_it()
    {
        await using var store = await SharedStore.MakeAsync();
        var port = Split.FreePort();
        await using var gateway = await Split.GatewayAsync(store, [port], "--Gateway:RoleWait", "00:00:30");
        var role = await Split.RoleAsync(store, port);
        await Split.UntilReadyAsync(gateway);
        Assert.Equal(401, (int)(await gateway.Http.GetAsync("/users", Ct)).StatusCode);
        await role.KillAsync();
        await role.DisposeAsync();
        var waiting = gateway.Http.PostAsJsonAsync("/users", new { email = TestUsers.NewEmail(), name = "Ada", password = TestUsers.Password }, Ct);
        await using var back = await Split.RoleAsync(store, port);
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
            await role.Process.WaitForExitAsync(Ct).WaitAsync(TimeSpan.FromSeconds(90), Ct);
        Assert.Equal(0, role.Process.ExitCode);
    }

    [Fact]
    public async Task The_doctor_of_a_gateway_looks_at_its_roles()
    {
        await using var store = await SharedStore.MakeAsync();
        await using var role = await Split.RoleAsync(store, Split.FreePort());
        var (code, said) = await DoctorAsync(role.Address);
        Assert.Contains("1 of 1 processes are ready", said);
        Assert.Equal(0, code);
        (code, said) = await DoctorAsync("http://127.0.0.1:1");
        Assert.Contains("http://127.0.0.1:1 cannot be reached", said);
        Assert.Contains("Gateway:Roles:users:Addresses", said);
        Assert.Equal(1, code);

        async Task<(int Code, string Said)> DoctorAsync(string address)
        {
            using var process = Programs.Start(["doctor", "--data", store.NewDataDirectory(), "--urls", $"http://127.0.0.1:{Split.FreePort()}", .. store.Settings,
                "--roles", "gateway", "--Gateway:Roles:users:Addresses:0", address]);
            var said = await process.StandardOutput.ReadToEndAsync(Ct);
            await process.WaitForExitAsync(Ct);
            return (process.ExitCode, said);
        }
    }
}
