using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;

namespace Tandem.Cluster.Tests;

/// <summary>Clients that read and write without a pause, and keep what went wrong.</summary>
sealed class Load : IAsyncDisposable
{
    const int Clients = 4;

    // Nothing may take longer, whatever is done to the network: half as long again as Http:RequestTimeout.
    static readonly TimeSpan Limit = TimeSpan.FromSeconds(45);

    readonly Programs.Server _gateway;
    readonly string _token;
    readonly bool _repeatsPosts;
    readonly int[] _tolerated;
    readonly CancellationTokenSource _stop = new();
    readonly ConcurrentBag<(string Location, string Name)> _acknowledged = [];
    Task _running = Task.CompletedTask;
    readonly long[] _answered = new long[Clients];
    long _done;
    long _changed;
    long _slowest;

    Load(Programs.Server gateway, string token, bool repeatsPosts, int[] tolerated) =>
        (_gateway, _token, _repeatsPosts, _tolerated) = (gateway, token, repeatsPosts, tolerated);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public ConcurrentQueue<string> Failures { get; } = [];

    /// <summary>How often there was an answer that says "not now", by what it said.</summary>
    public ConcurrentDictionary<string, int> Refusals { get; } = [];

    public long Created => _acknowledged.Count;

    /// <summary>The longest that an answer has taken since this was asked last.</summary>
    public TimeSpan TakeSlowest() => TimeSpan.FromMilliseconds(Interlocked.Exchange(ref _slowest, 0));

    /// <param name="repeatsPosts">Sends an Idempotency-Key, and what is refused again until it is acknowledged.</param>
    /// <param name="tolerated">Besides success: statuses of problems that are no failures.</param>
    public static async Task<Load> StartAsync(Programs.Server gateway, bool repeatsPosts, params int[] tolerated)
    {
        // A gateway that has just started may not have found its roles yet.
        var email = "";
        await Eventually.TrueAsync(async () => (await gateway.Http.PostAsJsonAsync("/users", new { email = email = TestUsers.NewEmail(), name = "Ada", password = TestUsers.Password }, Ct)).IsSuccessStatusCode);
        var tokens = await (await gateway.Http.PostAsync("/token", new FormUrlEncodedContent(new Dictionary<string, string>
        {
            ["username"] = email,
            ["password"] = TestUsers.Password,
        }), Ct)).JsonAsync();
        var load = new Load(gateway, tokens.GetProperty("access_token").GetString()!, repeatsPosts, tolerated);
        using (var http = load.Client())
            await Eventually.TrueAsync(async () => (await http.GetAsync("/items", Ct)).IsSuccessStatusCode);
        load._running = Task.WhenAll(Enumerable.Range(0, Clients).Select(load.RunAsync));
        return load;
    }

    public HttpClient Client()
    {
        var http = new HttpClient { BaseAddress = new Uri(_gateway.Address), Timeout = Limit };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", _token);
        return http;
    }

    /// <summary>Returns when so many more were answered.</summary>
    public Task GoOnAsync(int requests) => ReachAsync(() => Volatile.Read(ref _done), requests);

    /// <summary>Returns when so many more changes were acknowledged.</summary>
    /// <returns>How long the first of them took.</returns>
    public async Task<TimeSpan> ChangeAsync(int changes)
    {
        var started = Stopwatch.GetTimestamp();
        var goal = Volatile.Read(ref _changed) + changes;
        await ReachAsync(() => Volatile.Read(ref _changed), 1);
        var first = Stopwatch.GetElapsedTime(started);
        await ReachAsync(() => Volatile.Read(ref _changed), (int)Math.Max(0, goal - Volatile.Read(ref _changed)));
        return first;
    }

    /// <summary>Returns when every client was answered what it had asked, and once more: nobody is left waiting.</summary>
    public Task AnswersAllAsync()
    {
        var before = _answered.Select((_, client) => Volatile.Read(ref _answered[client])).ToArray();
        return Eventually.TrueAsync(() => Task.FromResult(before.Index().All(b => Volatile.Read(ref _answered[b.Index]) >= b.Item + 2)), seconds: 60);
    }

    static Task ReachAsync(Func<long> count, int more)
    {
        var goal = count() + more;
        return Eventually.TrueAsync(() => Task.FromResult(count() >= goal), seconds: 60);
    }

    /// <summary>Lets every client finish what it has begun.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _running;
    }

    /// <summary>Nothing failed, and what was acknowledged is there once, with nothing beside it.</summary>
    public async Task StopAndCheckAsync()
    {
        await StopAsync();
        Assert.Empty(Failures);
        Assert.True(_repeatsPosts);
        using var http = Client();
        var found = new List<(string, string)>();
        for (var skip = 0; ; skip += 100)
        {
            using var page = await http.GetAsync($"/items?limit=100&skip={skip}", Ct);
            var items = (await page.JsonAsync()).EnumerateArray().ToList();
            if (items.Count == 0)
                break;
            found.AddRange(items.Select(i => ($"/items/{i.GetProperty("id")}", i.GetProperty("name").GetString()!)));
        }

        Assert.Equal(_acknowledged.Order(), found.Order());
    }

    async Task RunAsync(int client)
    {
        using var http = Client();
        for (var n = 0; !_stop.IsCancellationRequested; n++)
        {
            var name = $"Pen {client}-{n}";
            var key = Guid.NewGuid().ToString();
            string? item;
            do
                item = await OneAsync(client, http, HttpMethod.Post, "/items", $$"""{"name":"{{name}}","price":1.5}""", 201, key);
            while (item is null && _repeatsPosts && Failures.IsEmpty);
            if (item is null)
                continue;
            _acknowledged.Add((item, name));
            await OneAsync(client, http, HttpMethod.Get, "/items?limit=3", null, 200);
            await OneAsync(client, http, HttpMethod.Put, item, $$"""{"name":"{{name}}","price":2}""", 200);
        }
    }

    /// <returns>Where the item is; null when it was refused.</returns>
    async Task<string?> OneAsync(int client, HttpClient http, HttpMethod method, string path, string? body, int expected, string? key = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
        if (key is not null && _repeatsPosts)
            request.Headers.Add("Idempotency-Key", key);
        var started = Stopwatch.GetTimestamp();
        try
        {
            using var response = await http.SendAsync(request, CancellationToken.None);
            var status = (int)response.StatusCode;
            if (status == expected)
            {
                if (method != HttpMethod.Get)
                    Interlocked.Increment(ref _changed);
                return response.Headers.Location?.ToString();
            }

            var text = await response.Content.ReadAsStringAsync();
            if (!_tolerated.Contains(status) || response.Content.Headers.ContentType?.MediaType != "application/problem+json" || status == 503 && response.Headers.RetryAfter is null)
                Failures.Enqueue($"{method} {path}: {status} {text}");
            else
                Refusals.AddOrUpdate($"{method} {JsonDocument.Parse(text).RootElement.GetProperty("type").GetString()}", 1, (_, count) => count + 1);
            return null;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
        {
            Failures.Enqueue($"{method} {path}: {e.Message}");
            return null;
        }
        finally
        {
            Interlocked.Increment(ref _done);
            Interlocked.Increment(ref _answered[client]);
            Slowest((long)Stopwatch.GetElapsedTime(started).TotalMilliseconds);
        }
    }

    void Slowest(long milliseconds)
    {
        var known = Volatile.Read(ref _slowest);
        while (milliseconds > known)
            known = Interlocked.CompareExchange(ref _slowest, milliseconds, known) is var seen && seen == known ? milliseconds : seen;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _stop.Dispose();
    }
}
