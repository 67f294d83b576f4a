using System.Diagnostics;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Deploy;

/// <summary><c>tandem deploy</c> and <c>tandem restart</c>, with the real kubectl in front of a server that plays Kubernetes.</summary>
public sealed partial class DeployCommandTests
{
    static readonly string Nowhere = Path.Combine(Path.GetTempPath(), "tandem-tests-empty");

    [Theory]
    [InlineData("restart", "restart needs the name of a service: --service NAME")]
    [InlineData("restart --service", "restart needs the name of a service: --service NAME")]
    [InlineData("restart --service=", "restart needs the name of a service: --service NAME")]
    [InlineData("restart --service Users", "\"Users\" is no name of a service")]
    [InlineData("restart --service a/b", "\"a/b\" is no name of a service")]
    [InlineData("restart --service -x", "\"-x\" is no name of a service")]
    [InlineData("restart --service users --version 1:2", "\"1:2\" is no version")]
    [InlineData("restart --service users --namespace a.b", "\"a.b\" is no name of a namespace")]
    [InlineData("restart --service users", "kubectl is not installed")]
    [InlineData("deploy", "deploy needs a service: --service NAME, one of gateway, users, inference, reports, realtime, items, tandem")]
    [InlineData("deploy --service billing --version 1", "there is no service \"billing\" in this program; it has gateway, users")]
    [InlineData("deploy --service users", "deploy needs a version: --version V")]
    [InlineData("deploy --service users --version 1.0\" --dry-run", "is no version")]
    [InlineData("deploy --service users --version 1 --image x:y --dry-run", "\"x:y\" is no repository")]
    [InlineData("deploy --service users --version 1 --image UPPER --dry-run", "\"UPPER\" is no repository")]
    [InlineData("deploy --service users --version 1 --namespace a\nb --dry-run", "is no name of a namespace")]
    [InlineData("deploy --service users --version 1", "kubectl is not installed")]
    public async Task What_cannot_be_done_is_said_on_standard_error_and_ends_with_1(string words, string says)
    {
        var (code, output, error) = await RunAsync(Nowhere, "/dev/null", words.Split(' '));
        Assert.Equal((1, ""), (code, output));
        Assert.Contains(says, error);
        Assert.StartsWith("tandem: ", error);
        Assert.Single(error.TrimEnd().Split(".\n"));
    }

    [Theory]
    [InlineData("tandem")]
    [InlineData("registry.example.com:5000/team/tandem")]
    [InlineData("localhost/tandem__x/y-z.w")]
    public async Task A_dry_run_prints_the_manifest_and_needs_no_kubectl(string image)
    {
        var (code, output, error) = await RunAsync(Nowhere, "/dev/null", "deploy", "--service", "users", "--version", "1.0", "--image", image, "--namespace", "shop", "--dry-run");
        Assert.True(code == 0, error);
        var documents = await Tools.ValidateAsync("kubernetes", output);
        Assert.All(documents, d => Assert.Equal("shop", d["metadata"]!["namespace"]!.GetValue<string>()));
        var pod = documents.Single(d => d["kind"]!.GetValue<string>() == "Deployment")["spec"]!["template"]!;
        Assert.Equal($"{image}:1.0", pod["spec"]!["containers"]![0]!["image"]!.GetValue<string>());
        Assert.Equal("1.0", pod["metadata"]!["labels"]!["app.kubernetes.io/version"]!.GetValue<string>());
    }

    [Fact]
    public async Task Deploy_makes_every_object_of_the_service_and_shows_what_kubectl_says()
    {
        await using var server = await KubernetesServer.StartAsync();
        var (code, output, error) = await RunAsync(Tools.KubectlDirectory, server.Configuration, "deploy", "--service", "users", "--version", "1.2.3", "--namespace", "live");
        Assert.True(code == 0, output + error);
        Assert.Equal(
        [
            "/api/v1/namespaces/live/serviceaccounts/users",
            "/api/v1/namespaces/live/services/users",
            "/apis/apps/v1/namespaces/live/deployments/users",
            "/apis/autoscaling/v2/namespaces/live/horizontalpodautoscalers/users",
            "/apis/networking.k8s.io/v1/namespaces/live/networkpolicies/users",
            "/apis/policy/v1/namespaces/live/poddisruptionbudgets/users",
        ], server.Objects.Keys.Order(StringComparer.Ordinal));
        Assert.Equal(GuideBlock("$ ./run deploy --service users --version 0.1.0 --image registry.example.com/team/tandem --namespace tandem\n"), output);
        Assert.All(server.Validations, v => Assert.Equal("Strict", v));
        Assert.Equal("tandem:1.2.3", ContainerOf(server.Objects["/apis/apps/v1/namespaces/live/deployments/users"])["image"]!.GetValue<string>());
    }

    [Fact]
    public async Task What_Kubernetes_refuses_comes_through_with_kubectls_exit_code()
    {
        await using var server = await KubernetesServer.StartAsync();
        server.AddDeployment("shop", "users", ("tandem", "tandem:1"));
        server.Forbids = true;
        var (code, _, error) = await RunAsync(Tools.KubectlDirectory, server.Configuration, "deploy", "--service", "items", "--version", "1");
        Assert.Equal(1, code);
        Assert.Contains("changes are not allowed to this user", error);
        (code, _, error) = await RunAsync(Tools.KubectlDirectory, server.Configuration, "restart", "--service", "users");
        Assert.Equal(1, code);
        Assert.Contains("changes are not allowed to this user", error);
    }

    [Theory]
    [InlineData("restart --service users")]
    [InlineData("restart --service users --version latest")]
    [InlineData("restart --service users --version 1.0")]
    public async Task Restart_starts_the_pods_anew_and_waits_for_them(string words)
    {
        await using var server = await KubernetesServer.StartAsync();
        server.AddDeployment("shop", "users", ("tandem", "tandem:1.0"));
        var (code, output, error) = await RunAsync(Tools.KubectlDirectory, server.Configuration, words.Split(' '));
        Assert.True(code == 0, output + error);
        Assert.Equal(["deployment.apps/users restarted", "deployment \"users\" successfully rolled out"], output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        var (path, patch) = Assert.Single(server.Patches);
        Assert.Equal("/apis/apps/v1/namespaces/shop/deployments/users", path);
        var at = patch["spec"]!["template"]!["metadata"]!["annotations"]!["kubectl.kubernetes.io/restartedAt"]!.GetValue<string>();
        Assert.InRange(DateTimeOffset.Parse(at), DateTimeOffset.Now.AddMinutes(-5), DateTimeOffset.Now.AddMinutes(5));
    }

    [Theory]
    [InlineData("registry.example.com:5000/team/tandem:1.0", "registry.example.com:5000/team/tandem:2.0")]
    [InlineData("registry.example.com:5000/team/tandem", "registry.example.com:5000/team/tandem:2.0")]
    [InlineData("tandem:2.0@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "tandem:2.0")]
    public async Task Restart_at_another_version_changes_the_image_of_our_container_alone(string runs, string becomes)
    {
        await using var server = await KubernetesServer.StartAsync();
        server.AddDeployment("live", "users", ("sidecar", "proxy:7"), ("tandem", runs));
        var (code, output, error) = await RunAsync(Tools.KubectlDirectory, server.Configuration, "restart", "--service", "users", "--version", "2.0", "--namespace", "live");
        Assert.True(code == 0, output + error);
        Assert.Equal(["deployment.apps/users image updated", "deployment \"users\" successfully rolled out"], output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        var changed = Assert.Single(Assert.Single(server.Patches).Patch["spec"]!["template"]!["spec"]!["containers"]!.AsArray())!;
        Assert.Equal(("tandem", becomes), (changed["name"]!.GetValue<string>(), changed["image"]!.GetValue<string>()));
    }

    [Fact]
    public async Task Restart_does_not_guess_which_container_a_version_is_for()
    {
        await using var server = await KubernetesServer.StartAsync();
        server.AddDeployment("shop", "other", ("a", "x:1"), ("b", "y:1"));
        var (code, _, error) = await RunAsync(Tools.KubectlDirectory, server.Configuration, "restart", "--service", "other", "--version", "2.0");
        Assert.Equal(1, code);
        Assert.Contains("no container called tandem but a, b", error);
        Assert.Empty(server.Patches);
    }

    [Theory]
    [InlineData("restart --service nobody")]
    [InlineData("restart --service nobody --version 2.0")]
    public async Task Restart_of_a_service_that_is_not_there_says_what_kubectl_says(string words)
    {
        await using var server = await KubernetesServer.StartAsync();
        var (code, output, error) = await RunAsync(Tools.KubectlDirectory, server.Configuration, words.Split(' '));
        Assert.Equal((1, ""), (code, output));
        Assert.Contains("NotFound", error);
        Assert.Contains("\"nobody\" not found", error);
    }

    [Fact]
    public async Task Any_exit_code_of_kubectl_comes_through_and_a_file_of_that_name_in_the_current_directory_is_left_alone()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-in for kubectl is a shell script.");
        var directory = Directory.CreateTempSubdirectory("tandem-tests-").FullName;
        try
        {
            var kubectl = Path.Combine(directory, "bin", "kubectl");
            foreach (var (file, says) in new[] { (kubectl, "echo meant \"$@\"; echo why >&2; exit 7"), (Path.Combine(directory, "kubectl"), "echo wrong") })
            {
                Directory.CreateDirectory(Path.GetDirectoryName(file)!);
                await File.WriteAllTextAsync(file, $"#!/bin/sh\n{says}\n", TestContext.Current.CancellationToken);
                Tools.MakeExecutable(file);
            }

            var said = await RunInAsync(directory, Path.GetDirectoryName(kubectl)!, "/dev/null", "restart", "--service", "users", "--namespace", "live");
            Assert.Equal((7, "meant --namespace live rollout restart deployment/users\n", "why\n"), said);
            Assert.Contains("kubectl is not installed", (await RunInAsync(directory, ".", "/dev/null", "restart", "--service", "users")).Error);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Health_says_whether_a_server_is_ready()
    {
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        await using var running = await Programs.ServeAsync(data);
        var (code, output, error) = await RunAsync(Nowhere, "/dev/null", "health", "--urls", Port().Replace(running.Address, "http://*:$1"));
        Assert.True(code == 0, error);
        Assert.Equal("ready", JsonNode.Parse(output)!["status"]!.GetValue<string>());
        Assert.Equal(1, (await RunAsync(Nowhere, "/dev/null", "health", "--url", running.Address + "/nothing")).Code);
        await running.KillAsync();
        Directory.Delete(data, recursive: true);
        await TestStores.DropAsync(data);
        (code, output, error) = await RunAsync(Nowhere, "/dev/null", "health", "--url", running.Address + "/health");
        Assert.Equal((1, ""), (code, output));
        Assert.StartsWith($"tandem: {running.Address}/health does not answer", error);
        Assert.Equal(2, (await RunAsync(Nowhere, "/dev/null", "health", "--url", "nonsense")).Code);
    }

    [Fact]
    public async Task The_guide_shows_what_a_dry_run_prints()
    {
        const string Command = "deploy --service users --version 0.1.0 --image registry.example.com/team/tandem --namespace tandem --dry-run";
        var (_, output, _) = await RunAsync(Nowhere, "/dev/null", Command.Split(' '));
        // … stands for lines left out.
        var pattern = string.Join("(.*\n)?", GuideBlock($"$ ./run {Command}\n").Split("…\n").Select(Regex.Escape));
        Assert.Matches(new Regex($"^{pattern}$", RegexOptions.Singleline), output);
    }

    /// <summary>What the guide shows below a command.</summary>
    static string GuideBlock(string command)
    {
        var guide = File.ReadAllText(Path.Combine(Repository.Root, "docs", "guide", "deploy.md"));
        var start = guide.IndexOf(command, StringComparison.Ordinal);
        Assert.True(start >= 0, $"docs/guide/deploy.md does not show {command}");
        return guide[(start + command.Length)..guide.IndexOf("```", start, StringComparison.Ordinal)];
    }

    static JsonNode ContainerOf(JsonObject deployment) => deployment["spec"]!["template"]!["spec"]!["containers"]![0]!;

    static Task<(int Code, string Output, string Error)> RunAsync(string path, string kubeconfig, params string[] words) => RunInAsync(Path.GetTempPath(), path, kubeconfig, words);

    /// <summary>The program with nothing but <paramref name="path"/> to find kubectl in, and no cluster but that of <paramref name="kubeconfig"/>.</summary>
    static Task<(int Code, string Output, string Error)> RunInAsync(string directory, string path, string kubeconfig, params string[] words)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "Tandem.Server"), words) { WorkingDirectory = directory };
        start.Environment["PATH"] = path;
        start.Environment["KUBECONFIG"] = kubeconfig;
        start.Environment["KUBECACHEDIR"] = Path.Combine(Path.GetDirectoryName(kubeconfig)!, "cache");
        start.Environment["HOME"] = Nowhere;
        return Tools.RunAsync(start, "");
    }

    [GeneratedRegex(@"^http://127\.0\.0\.1:(\d+)$")]
    private static partial Regex Port();
}
