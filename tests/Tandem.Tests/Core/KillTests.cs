using System.Collections.Concurrent;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using Microsoft.Data.Sqlite;

namespace Tandem.Tests.Core;

/// <summary>The process is killed (SIGKILL) in the middle of concurrent writes; what was acknowledged must be there, once, with its event and its effect.</summary>
public sealed class KillTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Nothing_acknowledged_is_lost_or_doubled_when_the_process_is_killed()
    {
        TestStores.OnlyEmbedded();
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        var (items, users, attempts) = (new ConcurrentDictionary<long, string>(), new ConcurrentDictionary<long, string>(), 0);
        string? token = null;
        for (var round = 0; round < 4; round++)
        {
            await using var server = await Programs.ServeAsync(data, "--Users:SignUpsPerMinutePerAddress", "0");
            token ??= await SignInAsync(server.Http);
            server.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
            var writers = Enumerable.Range(0, 24).Select(w => Task.Run(async () =>
            {
                try
                {
                    while (true)
                    {
                        var name = $"n{Interlocked.Increment(ref attempts)}";
                        if (w < 4)
                            users.TryAdd(await CreateAsync(server.Http, "/users", new { email = name + "@example.com", name, password = "12345678" }), name);
                        else
                            items.TryAdd(await CreateAsync(server.Http, "/items", new { name, price = 1.25m }), name);
                    }
                }
                catch (Exception e) when (e is HttpRequestException or IOException)
                {
                    // The process is gone; what was not acknowledged may be there or not.
                }
            }, Ct)).ToArray();
            var (itemsBefore, usersBefore) = (items.Count, users.Count);
            await Eventually.TrueAsync(() => Task.FromResult(items.Count > itemsBefore + 300 && users.Count > usersBefore + 5), 60);
            await server.KillAsync();
            await Task.WhenAll(writers);
        }

        await using (var server = await Programs.ServeAsync(data))
        {
            server.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
            foreach (var (id, name) in items.Take(50))
                Assert.Equal(name, (await (await server.Http.GetAsync($"/items/{id}", Ct)).JsonAsync()).GetProperty("name").GetString());

            await using var file = new SqliteConnection($"Data Source={Path.Combine(data, "tandem.db")};Mode=ReadOnly;Pooling=False");
            await file.OpenAsync(Ct);
            Assert.Equal("ok", await ScalarAsync<string>(file, "pragma integrity_check"));
            await HoldsAsync(file, "select id, name from resources_items", items);
            await HoldsAsync(file, "select id, name from users_accounts where name <> 'first'", users);
            // Every row has its event and every event its row: neither without the other, and none twice.
            foreach (var (table, @event) in new[] { ("resources_items", "items.created"), ("users_accounts", "users.user-registered") })
            {
                var rows = await ScalarAsync<long>(file, $"select count(*) from {table}");
                Assert.Equal(rows, await ScalarAsync<long>(file, $"select count(*) from events_log where name = '{@event}'"));
                Assert.Equal(rows, await ScalarAsync<long>(file, $"select count(distinct t.id) from {table} t join events_log e on e.name = '{@event}' and e.key = cast(t.id as text)"));
            }

            // And every sign-up its effect in the report, once.
            var registered = await ScalarAsync<long>(file, "select count(*) from users_accounts");
            await Eventually.TrueAsync(async () => await ScalarAsync<long>(file, "select coalesce(sum(count), 0) from reports_signups") == registered);
        }

        Directory.Delete(data, recursive: true);
    }

    static async Task HoldsAsync(SqliteConnection file, string sql, ConcurrentDictionary<long, string> acknowledged)
    {
        var stored = new Dictionary<long, string>();
        await using var command = file.CreateCommand();
        command.CommandText = sql;
        await using var reader = await command.ExecuteReaderAsync(Ct);
        while (await reader.ReadAsync(Ct))
            stored.Add(reader.GetInt64(0), reader.GetString(1));
        Assert.All(acknowledged, a => Assert.Equal(a.Value, stored.GetValueOrDefault(a.Key)));
        Assert.Equal(stored.Count, stored.Values.Distinct().Count());
    }

    static async Task<string> SignInAsync(HttpClient http)
    {
        await CreateAsync(http, "/users", new { email = "first@example.com", name = "first", password = "12345678" });
        var answer = await http.PostAsync("/token", new FormUrlEncodedContent(new Dictionary<string, string> { ["username"] = "first@example.com", ["password"] = "12345678" }), Ct);
        return (await answer.JsonAsync()).GetProperty("access_token").GetString()!;
    }

    static async Task<long> CreateAsync(HttpClient http, string path, object body)
    {
        var answer = await http.PostAsJsonAsync(path, body, Ct);
        return (await answer.JsonAsync(201)).GetProperty("id").GetInt64();
    }

    static async Task<T> ScalarAsync<T>(SqliteConnection file, string sql)
    {
        await using var command = file.CreateCommand();
        command.CommandText = sql;
        return (T)(await command.ExecuteScalarAsync(Ct))!;
    }
}
