using System.Data.Common;
using System.Globalization;
using System.Net.Http.Json;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Tandem.Conformance.Events;

/// <summary>The shipped program with its events on Kafka is killed (SIGKILL) in the middle of sign-ups; each counts in the report once.</summary>
public sealed class KafkaKillTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_sign_up_counts_once_however_often_the_process_is_killed()
    {
        await using var kafka = await KafkaCluster.StartAsync();
        await kafka.TopicAsync(3);
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        string[] settings = [.. kafka.Settings, "--Kafka:Partitions", "3", "--Users:SignUpsPerMinutePerAddress", "0"];
        var (acknowledged, number) = (0, 0);
        for (var round = 0; round < 4; round++)
        {
            await using var server = await Programs.ServeAsync(data, settings);
            var writers = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
            {
                try
                {
                    while (true)
                    {
                        var name = $"n{Interlocked.Increment(ref number)}";
                        using var response = await server.Http.PostAsJsonAsync("/users", new { email = $"{name}@example.com", name, password = "12345678" }, Ct);
                        response.EnsureSuccessStatusCode();
                        Interlocked.Increment(ref acknowledged);
                    }
                }
                catch (Exception e) when (e is HttpRequestException { StatusCode: null } or IOException)
                {
                    // The process is gone; what was not acknowledged may be there or not.
                }
            }, Ct)).ToArray();
            var before = Volatile.Read(ref acknowledged);
            // Killed once the consumer is in the middle of it, which the next round's start must take over from.
            await Eventually.TrueAsync(async () => Volatile.Read(ref acknowledged) > before + 20
                && await ScalarAsync(data, "select coalesce(sum(count), 0) from reports_signups") > before, 60);
            await server.KillAsync();
            await Task.WhenAll(writers);
        }

        await using (await Programs.ServeAsync(data, settings))
        {
            var registered = await ScalarAsync(data, "select count(*) from users_accounts");
            Assert.InRange(registered, acknowledged, number);
            await Eventually.TrueAsync(async () => await ScalarAsync(data, "select coalesce(sum(count), 0) from reports_signups") >= registered);
            Assert.Equal(registered, await ScalarAsync(data, "select sum(count) from reports_signups"));
            Assert.Equal(0, await ScalarAsync(data, "select count(*) from events_set_aside"));
        }

        Directory.Delete(data, recursive: true);
        await TestStores.DropAsync(data);
    }

    static async Task<long> ScalarAsync(string data, string sql)
    {
        await using DbConnection database = TestStores.OnPostgres
            ? new NpgsqlConnection(TestStores.ConnectionString(data, ";Pooling=false"))
            : new SqliteConnection($"Data Source={Path.Combine(data, "tandem.db")};Mode=ReadOnly;Pooling=False");
        await database.OpenAsync(Ct);
        await using var command = database.CreateCommand();
        command.CommandText = sql;
        return Convert.ToInt64(await command.ExecuteScalarAsync(Ct), CultureInfo.InvariantCulture);
    }
}
