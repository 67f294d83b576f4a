using System.Text.Json.Nodes;
using Tandem.Core.Http;
using Tandem.Deploy;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Deploy;

/// <summary>deploy/kubernetes: made by the code that <c>tandem deploy</c> uses, held against the published schemas, and hardened.</summary>
public sealed class ManifestTests
{
    const string Version = "0.1.0";

    static readonly string[] Roles = ["gateway", "users", "inference", "reports", "realtime", "items"];

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public static TheoryData<string> Services => [.. Roles, Manifest.Whole];

    [Fact]
    public void The_files_are_what_deploy_prints()
    {
        foreach (var role in Roles)
            Repository.ShouldSay($"deploy/kubernetes/{role}.yaml", Of(role).ToYaml());
    }

    [Fact]
    public async Task Kustomize_builds_the_whole_of_it_in_a_namespace_of_its_own()
    {
        var (code, output, error) = await Tools.KubectlAsync("kustomize", Path.Combine(Repository.Root, "deploy", "kubernetes"));
        Assert.True(code == 0, error);
        var documents = await Tools.ValidateAsync("kubernetes", output);
        Assert.Equal(Roles.Order(), documents.Where(d => Kind(d) == "Deployment").Select(Name).Order());
        Assert.All(documents.Where(d => Kind(d) != "Namespace"), d => Assert.Equal("tandem", d["metadata"]!["namespace"]!.GetValue<string>()));
        var deny = documents.Single(d => Kind(d) == "NetworkPolicy" && Name(d) == "default-deny")["spec"]!;
        Assert.Empty(deny["podSelector"]!.AsObject());
        Assert.Equal("""["Ingress","Egress"]""", deny["policyTypes"]!.ToJsonString());
        Assert.Null(deny["ingress"] ?? deny["egress"]);
    }

    [Theory]
    [InlineData("secret")]
    [InlineData("settings")]
    [InlineData("ingress")]
    public async Task The_examples_meet_the_schemas(string example) =>
        await Tools.ValidateAsync("kubernetes", await File.ReadAllTextAsync(Path.Combine(Repository.Root, "deploy", "kubernetes", "examples", example + ".yaml"), Ct));

    [Fact]
    public async Task A_property_that_Kubernetes_does_not_have_is_found()
    {
        var broken = Of("users").ToYaml().Replace("readOnlyRootFilesystem", "readonlyRootFilesystem").Replace("periodSeconds: 10", "periodSeconds: ten");
        var (code, _, error) = await Tools.CheckAsync("kubernetes", broken);
        Assert.Equal(1, code);
        Assert.Contains("Deployment users: /spec/template/spec/containers/0/securityContext/readonlyRootFilesystem is unknown", error);
        Assert.Contains("/livenessProbe/periodSeconds type", error);
    }

    [Theory]
    [MemberData(nameof(Services))]
    public async Task A_service_runs_without_rights_and_drains_before_it_stops(string service)
    {
        var documents = await Tools.ValidateAsync("kubernetes", Of(service).ToYaml());
        Assert.Equal(["Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"], documents.Select(Kind).Order(StringComparer.Ordinal));
        var pod = One(documents, "Deployment")["spec"]!["template"]!["spec"]!;
        var container = pod["containers"]!.AsArray().Single()!;
        Assert.Equal("""{"runAsNonRoot":true,"runAsUser":1654,"runAsGroup":1654,"fsGroup":1654,"seccompProfile":{"type":"RuntimeDefault"}}""", pod["securityContext"]!.ToJsonString());
        Assert.Equal("""{"allowPrivilegeEscalation":false,"readOnlyRootFilesystem":true,"capabilities":{"drop":["ALL"]}}""", container["securityContext"]!.ToJsonString());
        Assert.False(pod["automountServiceAccountToken"]!.GetValue<bool>());
        // Otherwise a service called tandem sets TANDEM_PORT in every pod, and an unknown setting stops the program.
        Assert.False(pod["enableServiceLinks"]!.GetValue<bool>());
        Assert.Equal(("/health", "/health/ready"), (Path(container, "livenessProbe"), Path(container, "readinessProbe")));
        var http = new HttpOptions();
        var drain = container["lifecycle"]!["preStop"]!["sleep"]!["seconds"]!.GetValue<int>();
        Assert.True(pod["terminationGracePeriodSeconds"]!.GetValue<int>() > drain + http.ShutdownTimeout.TotalSeconds + 5);
        var postgres = container["env"]!.AsArray().Single(e => e!["name"]!.GetValue<string>() == "TANDEM_POSTGRES__CONNECTIONSTRING")!["valueFrom"]!["secretKeyRef"]!;
        Assert.Null(postgres["optional"]);

        static string Path(JsonNode container, string probe) => container[probe]!["httpGet"]!["path"]!.GetValue<string>();
    }

    [Theory]
    [MemberData(nameof(Services))]
    public async Task Every_selector_finds_the_pods_of_its_service_and_no_others(string service)
    {
        var documents = await Tools.ValidateAsync("kubernetes", Of(service).ToYaml());
        var expected = $$"""{"app.kubernetes.io/name":"tandem","app.kubernetes.io/component":"{{service}}"}""";
        Assert.Equal(expected, One(documents, "Deployment")["spec"]!["selector"]!["matchLabels"]!.ToJsonString());
        Assert.Equal(expected, One(documents, "PodDisruptionBudget")["spec"]!["selector"]!["matchLabels"]!.ToJsonString());
        Assert.Equal(expected, One(documents, "NetworkPolicy")["spec"]!["podSelector"]!["matchLabels"]!.ToJsonString());
        Assert.Equal(expected, One(documents, "Service")["spec"]!["selector"]!.ToJsonString());
        Assert.Equal(service, One(documents, "HorizontalPodAutoscaler")["spec"]!["scaleTargetRef"]!["name"]!.GetValue<string>());
        var labels = One(documents, "Deployment")["spec"]!["template"]!["metadata"]!["labels"]!;
        Assert.Equal(("tandem", service), (labels["app.kubernetes.io/name"]!.GetValue<string>(), labels["app.kubernetes.io/component"]!.GetValue<string>()));
    }

    [Theory]
    [MemberData(nameof(Services))]
    public async Task Only_the_gateway_and_the_whole_are_reached_from_outside(string service)
    {
        var documents = await Tools.ValidateAsync("kubernetes", Of(service).ToYaml());
        var isDoor = service is "gateway" or Manifest.Whole;
        var first = One(documents, "NetworkPolicy")["spec"]!["ingress"]![0]!;
        Assert.Equal(isDoor ? null : "gateway", first["from"]?[0]!["podSelector"]!["matchLabels"]!["app.kubernetes.io/component"]!.GetValue<string>());
        // Without an address of its own its name stands for every pod that is ready.
        Assert.Equal(isDoor ? null : "None", One(documents, "Service")["spec"]!["clusterIP"]?.GetValue<string>());
    }

    [Fact]
    public async Task The_gateway_is_told_where_every_other_role_is()
    {
        var documents = await Tools.ValidateAsync("kubernetes", Of("gateway").ToYaml());
        var set = Settings(One(documents, "Deployment"));
        foreach (var role in Roles.Except(["gateway"]))
            Assert.Equal($"http://{role}:8080", set[$"TANDEM_GATEWAY__ROLES__{role.ToUpperInvariant()}__ADDRESSES__0"]);
        Assert.Equal("gateway", set["TANDEM_ROLES"]);
        Assert.DoesNotContain("TANDEM_ROLES", Settings(One(await Tools.ValidateAsync("kubernetes", Of(Manifest.Whole).ToYaml()), "Deployment")));
    }

    [Theory]
    [InlineData("on")]
    [InlineData("null")]
    [InlineData("12")]
    [InlineData("1e3")]
    [InlineData("order-lines")]
    public async Task A_name_stays_text_whatever_YAML_would_make_of_it(string name)
    {
        var documents = await Tools.ValidateAsync("kubernetes", new Manifest(name, "1.0", "tandem", name, [name]).ToYaml());
        Assert.All(documents, d => Assert.Equal((name, name), (Name(d), d["metadata"]!["namespace"]!.GetValue<string>())));
        Assert.Equal(name, Settings(One(documents, "Deployment"))["TANDEM_ROLES"]);
    }

    static Manifest Of(string service) => new(service, Version, "tandem", null, Roles);

    static string Kind(JsonNode document) => document["kind"]!.GetValue<string>();

    static string Name(JsonNode document) => document["metadata"]!["name"]!.GetValue<string>();

    static JsonNode One(List<JsonNode> documents, string kind) => documents.Single(d => Kind(d) == kind);

    static Dictionary<string, string> Settings(JsonNode deployment) => deployment["spec"]!["template"]!["spec"]!["containers"]![0]!["env"]!.AsArray()
        .Where(e => e!["value"] is not null).ToDictionary(e => e!["name"]!.GetValue<string>(), e => e!["value"]!.GetValue<string>());
}
