using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Tandem.Bench.Backend;
using Tandem.Bench.Benchmarks;

namespace Tandem.Tests.Bench;

[Storeless("The one program that it starts is on embedded stores.")]
public sealed class CurveTests : IDisposable
{
    readonly string _data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        if (Directory.Exists(_data))
            Directory.Delete(_data, recursive: true);
    }

    [Fact]
    public async Task A_table_that_was_filled_past_the_program_is_served_by_it()
    {
        TestStores.OnlyEmbedded();
        await using (var first = TestApp.KeepData(await StartAsync()))
            Assert.Equal(HttpStatusCode.OK, (await first.Http.GetAsync("/health", Ct)).StatusCode);

        await CurveBenchmark.AddUsersAsync(Path.Combine(_data, "tandem.db"), 1_000, Ct);

        await using var app = await StartAsync();
        using var form = new FormUrlEncodedContent(new Dictionary<string, string> { ["username"] = Seed.Administrator, ["password"] = Seed.Password });
        using var signedIn = await app.Http.PostAsync("/token", form, Ct);
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", (await signedIn.Content.ReadFromJsonAsync<JsonElement>(Ct)).GetProperty("access_token").GetString());
        using var answer = await app.Http.GetAsync("/users?skip=1&limit=2", Ct);
        Assert.Equal("1001", answer.Headers.GetValues("X-Total-Count").Single());
        Assert.Equal(["user00000001@example.com", "user00000002@example.com"], (await answer.Content.ReadFromJsonAsync<JsonElement>(Ct)).EnumerateArray().Select(u => u.GetProperty("email").GetString()));
    }

    Task<TestApp> StartAsync() => TestApp.StartAsync(_ => { }, _data, "--Admin:Email", Seed.Administrator, "--Admin:Password", Seed.Password);
}
