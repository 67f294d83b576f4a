using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Kafka;
using Tandem.Postgres;
using Tandem.Redis;

namespace Tandem.Tests;

/// <summary>The real program in this process, on a free port and a data directory of its own.</summary>
public sealed class TestApp : IAsyncDisposable
{
    readonly TandemApp _app;
    bool _keepData;

    TestApp(TandemApp app, string data)
    {
        _app = app;
        Data = data;
        Http = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };
    }

    public string Data { get; }

    /// <summary>A client without a token.</summary>
    public HttpClient Http { get; }

    public string Address => Http.BaseAddress!.ToString().TrimEnd('/');

    public IServiceProvider Services => _app.RunningServices;

    internal Db Db => Services.GetRequiredService<Db>();

    /// <param name="configure">Adds resources, endpoints and modules of the test's own.</param>
    /// <param name="data">A data directory that stays; default: one of its own.</param>
    /// <param name="settings">As on the command line: <c>--Users:SignUp</c>, <c>false</c>, …</param>
    public static async Task<TestApp> StartAsync(Action<TandemApp>? configure = null, string? data = null, params string[] settings)
    {
        var directory = data ?? Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        // Tests delete it in the end; on PostgreSQL nothing may have been put there.
        Directory.CreateDirectory(directory);
        var app = TandemApp.Create(
            ["--urls", "http://127.0.0.1:0", "--data", directory, "--Log:Level", "Error", .. await TestStores.SettingsAsync(directory), .. settings]);
        app.UsePostgres();
        app.UseRedis();
        app.UseKafka();
        configure?.Invoke(app);
        await app.StartAsync();
        return new TestApp(app, directory);
    }

    /// <summary>Returns when every committed event is in the log.</summary>
    public Task SettledAsync() => Services.GetRequiredService<IEventLog>().HeadAsync(0, [], TestContext.Current.CancellationToken);

    /// <summary>Leaves the data directory for another start; the test deletes it.</summary>
    public static TestApp KeepData(TestApp app)
    {
        app._keepData = true;
        return app;
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        if (_keepData)
            return;
        if (Directory.Exists(Data))
            Directory.Delete(Data, recursive: true);
        await TestStores.DropAsync(Data);
    }
}

static class ResponseExtensions
{
    /// <summary>The response must be an RFC 9457 problem with this status and code.</summary>
    /// <returns>Its members.</returns>
    public static async Task<JsonElement> ShouldBeProblemAsync(this HttpResponseMessage response, int status, string code)
    {
        var text = await response.Content.ReadAsStringAsync();
        Assert.True((int)response.StatusCode == status, $"expected {status} {code}, got {(int)response.StatusCode}: {text}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        var problem = JsonDocument.Parse(text).RootElement;
        Assert.Equal(code, problem.GetProperty("type").GetString());
        Assert.Equal(status, problem.GetProperty("status").GetInt32());
        Assert.False(string.IsNullOrWhiteSpace(problem.GetProperty("detail").GetString()));
        return problem;
    }

    public static async Task<JsonElement> JsonAsync(this HttpResponseMessage response, int status = 200)
    {
        var text = await response.Content.ReadAsStringAsync();
        Assert.True((int)response.StatusCode == status, $"expected {status}, got {(int)response.StatusCode}: {text}");
        return JsonDocument.Parse(text).RootElement;
    }

    /// <summary>The response must have this status and no body.</summary>
    public static async Task JsonlessAsync(this HttpResponseMessage response, int status)
    {
        var text = await response.Content.ReadAsStringAsync();
        Assert.True((int)response.StatusCode == status && text.Length == 0, $"expected {status} without a body, got {(int)response.StatusCode}: {text}");
    }
}
