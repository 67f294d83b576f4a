using System.Diagnostics.Metrics;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Deploy;

/// <summary>deploy/dashboards: every expression can be read by Prometheus, and asks for what the program measures.</summary>
public sealed class DashboardTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_alarm_says_what_to_do_about_something_that_is_measured()
    {
        var rules = (await Tools.ValidateAsync("plain", await ReadAsync("alerts.yaml"))).Single()["groups"]!.AsArray().SelectMany(g => g!["rules"]!.AsArray()).ToList();
        Assert.All(rules, r =>
        {
            Assert.NotEmpty(r!["annotations"]!["summary"]!.GetValue<string>());
            Assert.NotEmpty(r["annotations"]!["action"]!.GetValue<string>());
            Assert.Matches("^[0-9]+m$", r["for"]!.GetValue<string>());
        });
        await ShouldBeMeasuredAsync(rules.Select(r => r!["expr"]!.GetValue<string>()));
    }

    [Fact]
    public async Task Every_panel_shows_something_that_is_measured()
    {
        var panels = JsonNode.Parse(await ReadAsync("tandem.json"))!["panels"]!.AsArray();
        await ShouldBeMeasuredAsync(panels.SelectMany(p => p!["targets"]!.AsArray()).Select(t => t!["expr"]!.GetValue<string>().Replace("$__rate_interval", "5m")));
    }

    static async Task ShouldBeMeasuredAsync(IEnumerable<string> expressions)
    {
        var (code, output, error) = await Tools.CheckAsync("promql", JsonSerializer.Serialize(expressions));
        Assert.True(code == 0, error);
        var measured = await MeasuredAsync();
        // Prometheus' own, of each thing it scrapes.
        measured.Add("up");
        Assert.Empty(JsonSerializer.Deserialize<string[]>(output)!.Except(measured));
    }

    /// <summary>The names under which the instruments of a running program stand on /metrics.</summary>
    static async Task<HashSet<string>> MeasuredAsync()
    {
        await using var app = await TestApp.StartAsync(null, null, "--Realtime:Open", "true");
        // Some are made on first use: an open socket, a commit.
        await (await app.Http.PostAsJsonAsync("/users", new { email = "ada@example.com", name = "Ada", password = "12345678" }, Ct)).JsonAsync(201);
        using var socket = new System.Net.WebSockets.ClientWebSocket();
        await socket.ConnectAsync(new UriBuilder(app.Http.BaseAddress!) { Scheme = "ws", Path = "/ws/1" }.Uri, Ct);
        var names = new HashSet<string>();
        using var listener = new MeterListener { InstrumentPublished = (instrument, _) => names.UnionWith(NamesOf(instrument)) };
        listener.Start();
        return names;
    }

    static IEnumerable<string> NamesOf(Instrument instrument)
    {
        var unit = instrument.Unit switch { "s" => "_seconds", "By" => "_bytes", _ => "" };
        var type = instrument.GetType().Name;
        var name = instrument.Name.Replace('.', '_') + unit;
        if (type.StartsWith("Histogram", StringComparison.Ordinal))
            return [$"{name}_count", $"{name}_sum", $"{name}_bucket"];
        return [type.StartsWith("Counter", StringComparison.Ordinal) || type.StartsWith("ObservableCounter", StringComparison.Ordinal) ? $"{name}_total" : name];
    }

    static Task<string> ReadAsync(string file) => File.ReadAllTextAsync(Path.Combine(Repository.Root, "deploy", "dashboards", file), Ct);
}
