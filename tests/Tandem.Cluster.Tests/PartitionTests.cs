using System.Diagnostics;
using System.Net.Http.Json;
using Tandem.Conformance;

namespace Tandem.Cluster.Tests;

/// <summary>Machines between which packets vanish.</summary>
public sealed class PartitionTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_machine_that_drops_off_the_network_is_replaced_and_taken_back()
    {
        await using var machines = await Namespaces.MakeAsync();
        await machines.AddAsync();
        await using var postgres = await OwnPostgres.StartAsync(machines.Here);
        var data = Stores.NewData();
        string[] settings = ["--Postgres:ConnectionString", postgres.ConnectionString, "--Postgres:MaxPoolSize", "12"];
        // The first one has the locks, and so the events, when the other comes.
        await using var lost = await RoleAsync(0);
        await using var other = await RoleAsync(1);
        await using var gateway = await Programs.ServeAsync(Path.Combine(data, "gateway"),
            [.. settings, "--roles", "gateway", "--Gateway:Roles:others:Addresses:0", lost.Address, "--Gateway:Roles:others:Addresses:1", other.Address]);
        await Split.UntilReadyAsync(gateway);
        await using var load = await Load.StartAsync(gateway, repeatsPosts: true, 503);
        await load.ChangeAsync(40);
        await CountsAsync(1);

        await machines.CutOffAsync(0);
        var cutOff = Stopwatch.GetTimestamp();
        await SignUpAsync();
        var served = Stopwatch.GetElapsedTime(cutOff);
        await CountsAsync(2);
        var moved = Stopwatch.GetElapsedTime(cutOff);
        await load.ChangeAsync(50);
        TestContext.Current.SendDiagnosticMessage($"Behind a machine that vanished: a change after {served.TotalSeconds:0.00} s, events after {moved.TotalSeconds:0.00} s, no answer took longer than {load.TakeSlowest().TotalSeconds:0.00} s");
        Assert.InRange(moved, TimeSpan.Zero, TimeSpan.FromSeconds(20));

        await machines.RejoinAsync(0);
        await Split.UntilReadyAsync(gateway);
        await SignUpAsync();
        await CountsAsync(3);
        await load.ChangeAsync(40);
        await load.StopAndCheckAsync();
        Directory.Delete(data, recursive: true);

        Task<Programs.Server> RoleAsync(int machine) => Programs.ServeByAsync(machines.In(machine), Path.Combine(data, $"{machine}"),
            [.. settings, "--roles", "users,inference,reports,realtime,items,app", "--urls", $"http://{machines.AddressOf(machine)}:8080"]);

        // Repeated until it is acknowledged, as a client would.
        async Task SignUpAsync()
        {
            var (email, key) = (TestUsers.NewEmail(), Guid.NewGuid().ToString());
            await Eventually.TrueAsync(async () =>
            {
                using var request = new HttpRequestMessage(HttpMethod.Post, "/users") { Content = JsonContent.Create(new { email, name = "Ada", password = TestUsers.Password }) };
                request.Headers.Add("Idempotency-Key", key);
                using var answer = await gateway.Http.SendAsync(request, Ct);
                Assert.Contains((int)answer.StatusCode, new[] { 201, 503 });
                return (int)answer.StatusCode == 201;
            });
        }

        // What a consumer makes of the events.
        Task CountsAsync(long people) => Eventually.TrueAsync(async () =>
        {
            using var connection = new Npgsql.NpgsqlConnection(postgres.ConnectionString + ";Pooling=false");
            await connection.OpenAsync(Ct);
            using var command = new Npgsql.NpgsqlCommand("select sum(count)::bigint from reports_signups", connection);
            var counted = await command.ExecuteScalarAsync(Ct) as long? ?? 0;
            Assert.InRange(counted, 0, people);
            return counted == people;
        });
    }
}
