using System.Net.Http.Headers;

namespace Tandem.Cluster.Tests;

/// <summary>Processes of one program on one database, in this process: a gateway, and behind it roles.</summary>
sealed class Cluster : IAsyncDisposable
{
    readonly SharedStore _store;
    readonly Action<TandemApp>? _configure;
    readonly List<TestApp> _apps = [];

    Cluster(SharedStore store, Action<TandemApp>? configure) => (_store, _configure) = (store, configure);

    /// <param name="configure">What every process of the program has besides the built-in modules.</param>
    public static async Task<Cluster> StartAsync(Action<TandemApp>? configure = null) => new(await SharedStore.MakeAsync(), configure);

    public SharedStore Store => _store;

    public Task<TestApp> AddAsync(string roles, params string[] settings) => AddAsync(_store.Settings, ["--roles", roles, .. settings]);

    /// <summary>Every role.</summary>
    /// <param name="database">Its way to the database; null: the straight one.</param>
    public Task<TestApp> AddWholeAsync(FlakyProxy? database = null, params string[] settings) => AddAsync(database is null ? _store.Settings : _store.Through(database), settings);

    async Task<TestApp> AddAsync(string[] store, string[] settings)
    {
        var app = TestApp.KeepData(await TestApp.StartAsync(_configure, _store.NewDataDirectory(), [.. store, .. settings]));
        _apps.Add(app);
        return app;
    }

    /// <summary>A gateway and nothing else, that knows where the others are.</summary>
    public Task<TestApp> AddGatewayAsync(TestApp others, params string[] settings) =>
        AddAsync("gateway", ["--Gateway:Roles:others:Addresses:0", others.Address, .. settings]);

    public static HttpClient With(TestApp app, string token)
    {
        var http = new HttpClient { BaseAddress = new Uri(app.Address) };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return http;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var app in Enumerable.Reverse(_apps))
            await app.DisposeAsync();
        await _store.DisposeAsync();
    }
}
