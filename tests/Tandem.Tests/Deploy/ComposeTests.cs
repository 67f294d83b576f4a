using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Deploy;

/// <summary>deploy/compose.yaml and the Dockerfile it builds.</summary>
public sealed partial class ComposeTests
{
    static readonly string[] Roles = ["gateway", "users", "inference", "reports", "realtime", "items"];
    static readonly string[] Stores = ["postgres", "redis", "kafka"];

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_container_is_hardened_and_watched()
    {
        var services = await ServicesAsync();
        Assert.Equal([.. Roles, .. Stores], services.Select(s => s.Key));
        foreach (var (name, service) in services)
        {
            Assert.True(service!["read_only"]!.GetValue<bool>(), name);
            Assert.Equal("""["ALL"]""", service["cap_drop"]!.ToJsonString());
            Assert.Null(service["cap_add"] ?? service["privileged"]);
            Assert.Equal("""["no-new-privileges:true"]""", service["security_opt"]!.ToJsonString());
            // apache/kafka names a user of its own.
            Assert.True(name == "kafka" || service["user"]?.GetValue<string>() is "1654:1654" or "postgres" or "redis", name);
            // The roles' check is in their image.
            Assert.True(Roles.Contains(name) || service["healthcheck"]!["test"] is not null, name);
            Assert.Contains(":", service["image"]!.GetValue<string>());
        }
    }

    [Fact]
    public async Task Only_the_gateway_is_published_and_only_it_is_on_an_open_network()
    {
        var compose = await ComposeAsync();
        var services = compose["services"]!.AsObject();
        Assert.Equal(["gateway"], services.Where(s => s.Value!["ports"] is not null).Select(s => s.Key));
        Assert.Equal(["gateway"], services.Where(s => s.Value!["networks"]!.AsArray().Any(n => n!.GetValue<string>() != "inside")).Select(s => s.Key));
        Assert.True(compose["networks"]!["inside"]!["internal"]!.GetValue<bool>());
        Assert.DoesNotContain(services, s => s.Value!["network_mode"] is not null);
    }

    [Fact]
    public async Task Each_role_runs_alone_on_the_shared_servers_and_the_gateway_knows_them_all()
    {
        var services = await ServicesAsync();
        foreach (var role in Roles)
        {
            var set = services[role]!["environment"]!;
            Assert.Equal(role, set["TANDEM_ROLES"]!.GetValue<string>());
            Assert.Contains("Host=postgres", set["TANDEM_POSTGRES__CONNECTIONSTRING"]!.GetValue<string>());
            Assert.StartsWith("redis:6379", set["TANDEM_REDIS__CONNECTIONSTRING"]!.GetValue<string>());
            Assert.Equal("kafka:9092", set["TANDEM_KAFKA__BOOTSTRAPSERVERS"]!.GetValue<string>());
            Assert.All(Stores, s => Assert.Equal("service_healthy", services[role]!["depends_on"]![s]!["condition"]!.GetValue<string>()));
            if (role != "gateway")
                Assert.Equal($"http://{role}:8080", services["gateway"]!["environment"]![$"TANDEM_GATEWAY__ROLES__{role.ToUpperInvariant()}__ADDRESSES__0"]!.GetValue<string>());
        }
    }

    [Fact]
    public async Task PostgreSQL_allows_all_the_connections_that_the_roles_may_open()
    {
        var services = await ServicesAsync();
        var allowed = int.Parse(services["postgres"]!["command"]!.AsArray().Select(w => w!.GetValue<string>()).Single(w => w.StartsWith("max_connections=", StringComparison.Ordinal)).Split('=')[1]);
        // Two beside the pool for each process, and some for people.
        Assert.True(Roles.Sum(r => services[r]!["environment"]!["TANDEM_POSTGRES__MAXPOOLSIZE"]!.GetValue<int>() + 2) + 10 <= allowed);
    }

    [Fact]
    public async Task No_password_stands_in_the_file_and_every_variable_is_in_the_example()
    {
        var text = await ReadAsync("deploy/compose.yaml");
        var known = (await ReadAsync("deploy/.env.example")).Split('\n').Where(l => l.Contains('=') && l[0] != '#').Select(l => l.Split('=')[0]).ToHashSet();
        var used = Variable().Matches(text).Select(m => m.Groups[1].Value).ToHashSet();
        Assert.Equal(known.Order(), used.Order());
        // Without these compose stops, rather than start with an empty password.
        Assert.All(Variable().Matches(text).Where(m => m.Groups[1].Value.EndsWith("PASSWORD", StringComparison.Ordinal)), m => Assert.Equal(":?", m.Groups[2].Value));
    }

    [Fact]
    public async Task The_image_runs_as_nobody_in_particular_and_checks_itself()
    {
        var lines = (await ReadAsync("deploy/Dockerfile")).Split('\n');
        var last = lines[Array.FindLastIndex(lines, l => l.StartsWith("FROM ", StringComparison.Ordinal))..];
        Assert.Contains("USER 1654:1654", last);
        Assert.Contains("VOLUME /data", last);
        Assert.Contains(last, l => l.StartsWith("HEALTHCHECK", StringComparison.Ordinal) && l.EndsWith("""CMD ["tandem", "health"]""", StringComparison.Ordinal));
        Assert.All(lines.Where(l => l.StartsWith("FROM ", StringComparison.Ordinal)), l => Assert.Matches(@":10\.0-", l));
        // The image is published as ./run does it.
        Assert.Contains("dotnet publish src/Tandem.Server -c Release -o /app --nologo -v quiet -p:Runnable=true", string.Join('\n', lines));
        Assert.Contains("""dotnet publish src/Tandem.Server -c Release -o "$out" --nologo -v quiet -p:Runnable=true""", await ReadAsync("run"));
    }

    static async Task<JsonObject> ComposeAsync() => (await Tools.ValidateAsync("compose", await ReadAsync("deploy/compose.yaml"))).Single().AsObject();

    static async Task<JsonObject> ServicesAsync() => (await ComposeAsync())["services"]!.AsObject();

    static Task<string> ReadAsync(string path) => File.ReadAllTextAsync(Path.Combine(Repository.Root, path), Ct);

    [GeneratedRegex(@"\$\{(\w+)(:?[?-])?[^}]*\}")]
    private static partial Regex Variable();
}
