using System.Diagnostics.Metrics;
using System.Net.Http.Json;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Postgres;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Deploy;

/// <summary>deploy/dashboards: every expression can be read by Prometheus, and asks for what the program measures.</summary>
public sealed partial class DashboardTests
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

    [Fact]
    public async Task Every_alarm_and_every_check_is_explained_in_the_guide()
    {
        var guide = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "docs", "guide", "operations.md"), Ct);
        var alarms = Alarms().Matches(await ReadAsync("alerts.yaml")).Select(m => m.Groups[1].Value).ToList();
        Assert.Equal(alarms, Headings().Matches(guide).Select(m => m.Groups[1].Value).Where(h => h.StartsWith("Tandem", StringComparison.Ordinal)));
        await using var app = await TestApp.StartAsync(null, null, "--Redis:ConnectionString", "127.0.0.1:1", "--Kafka:BootstrapServers", "127.0.0.1:1");
        foreach (var check in app.Services.GetRequiredService<Parts>().Checks.Select(c => c.Name).Concat(["sqlite", "postgres", "role NAME"]))
            Assert.Contains($"\n| `{check}` |", guide);
    }

    [Fact]
    public async Task Every_metric_that_a_guide_names_is_measured()
    {
        var measured = await MeasuredAsync();
        foreach (var page in Directory.EnumerateFiles(Path.Combine(Repository.Root, "docs", "guide"), "*.md"))
            foreach (Match name in Names().Matches(await File.ReadAllTextAsync(page, Ct)))
                Assert.True(measured.Any(m => m == name.Value || m.StartsWith(name.Value + "_", StringComparison.Ordinal)), $"{page} names {name.Value}, which nothing measures.");
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

    /// <summary>The names under which the instruments of running programs stand on /metrics.</summary>
    static async Task<HashSet<string>> MeasuredAsync()
    {
        // Nobody is there: the instruments of what is to speak to them are.
        await using var app = await TestApp.StartAsync(null, null, "--Realtime:Open", "true", "--Redis:ConnectionString", "127.0.0.1:1", "--Kafka:BootstrapServers", "127.0.0.1:1");
        await using var gateway = await TestApp.StartAsync(null, null, "--roles", "gateway", "--Gateway:Roles:others:Addresses:0", app.Address);
        await using var pool = Npgsql.NpgsqlDataSource.Create("Host=127.0.0.1;Port=1");
        // A counter in a static field is made when something is first counted.
        foreach (var type in AppDomain.CurrentDomain.GetAssemblies().Where(a => a.GetName().Name!.StartsWith("Tandem", StringComparison.Ordinal)).SelectMany(a => a.GetTypes()))
            if (!type.ContainsGenericParameters && type.GetFields(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public).Any(f => f.FieldType.IsSubclassOf(typeof(Instrument))))
                RuntimeHelpers.RunClassConstructor(type.TypeHandle);
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

    [GeneratedRegex(@"- alert: (\w+)")]
    private static partial Regex Alarms();

    [GeneratedRegex(@"^### (\w+)", RegexOptions.Multiline)]
    private static partial Regex Headings();

    // The meters that are collected: a name of theirs, whatever follows it in braces.
    [GeneratedRegex(@"\b(tandem_(core|gateway|redis|kafka|realtime|postgres)|db_client|kestrel|http_server)_[a-z_]+[a-z]")]
    private static partial Regex Names();
}
