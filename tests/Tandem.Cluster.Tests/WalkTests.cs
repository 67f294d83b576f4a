using System.Text.RegularExpressions;
using Npgsql;
using Tandem.Conformance;
using Tandem.Tests.Deploy;
using Tandem.Tests.Repo;

namespace Tandem.Cluster.Tests;

/// <summary>docs/guide/three-servers.md, walked from its first command to its last.</summary>
public sealed partial class WalkTests : IDisposable
{
    const string Kubernetes = "## Kubernetes";

    static readonly string Page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "guide", "three-servers.md"));

    readonly string _shop = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));

    [Fact]
    public async Task From_a_laptop_to_three_servers()
    {
        TestStores.NeedsPostgres();
        await using var redis = await OwnRedis.StartAsync();
        Prepare();
        File.Copy(Path.Combine(Repository.Root, "samples", "iris.csv"), Path.Combine(_shop, "iris.csv"));
        var database = TestStores.NameOf(_shop);
        await TestStores.RunAsync("postgres", $"create database {database}");
        try
        {
            var server = new NpgsqlConnectionStringBuilder(TestStores.ConnectionString(_shop));
            var walk = Page[..Page.IndexOf(Kubernetes, StringComparison.Ordinal)]
                .Replace("127.0.0.1:6379", $"127.0.0.1:{redis.Port}")
                .Replace("Host=127.0.0.1;Port=5432;Database=tandem;Username=tandem;", $"Host={server.Host};Port={server.Port};Database={database};Username={server.Username};")
                .Replace("127.0.0.1:5432/tandem", $"{server.Host}:{server.Port}/{database}");
            var ports = new[] { OwnPostgres.FreePort(), OwnPostgres.FreePort(), OwnPostgres.FreePort() };
            walk = Ports().Replace(walk, m => $"{ports[m.Value[^1] - '0']}");
            Assert.True(await Snippets.RunAsync(walk, _shop, PathWith(), seconds: 300) >= 12);
        }
        finally
        {
            await TestStores.RunAsync("postgres", $"drop database if exists {database} with (force)");
        }
    }

    [Fact]
    public async Task On_to_Kubernetes_as_far_as_it_goes_without_a_cluster()
    {
        Prepare();
        Directory.CreateDirectory(Path.Combine(_shop, "deploy"));
        Directory.CreateSymbolicLink(Path.Combine(_shop, "deploy", "kubernetes"), Path.Combine(Repository.Root, "deploy", "kubernetes"));
        Assert.True(await Snippets.RunAsync(Page[Page.IndexOf(Kubernetes, StringComparison.Ordinal)..], _shop, PathWith(Tools.KubectlDirectory), seconds: 60) >= 2);
    }

    /// <summary>A directory, and the program in it under the name that the page calls it by.</summary>
    void Prepare()
    {
        Directory.CreateDirectory(Path.Combine(_shop, "bin"));
        File.CreateSymbolicLink(Path.Combine(_shop, "bin", "tandem"), Path.Combine(AppContext.BaseDirectory, "Tandem.Server"));
    }

    Dictionary<string, string> PathWith(params string[] more) => new()
    {
        ["PATH"] = string.Join(Path.PathSeparator, [Path.Combine(_shop, "bin"), .. more, Environment.GetEnvironmentVariable("PATH")]),
        ["KUBECONFIG"] = "/dev/null",
    };

    [GeneratedRegex(@"\b808[0-2]\b")]
    private static partial Regex Ports();

    public void Dispose() => Directory.Delete(_shop, recursive: true);
}
