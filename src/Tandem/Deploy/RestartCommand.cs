using System.CommandLine;

namespace Tandem.Deploy;

/// <summary><c>tandem restart</c>: new pods for a service, at the version it runs or at another.</summary>
static class RestartCommand
{
    const string Latest = "latest";

    public static Command Make()
    {
        var service = ServiceOptions.Service("The service: its deployment's name");
        var version = ServiceOptions.Version("The tag to change to, or latest: what the deployment names, pulled again where its tag moves (default: latest)");
        var space = ServiceOptions.Namespace();
        var command = new Command("restart", "Restart a service on Kubernetes with kubectl, and wait until its new pods serve") { service, version, space };
        command.SetAction(async (parsed, ct) =>
        {
            if (parsed.GetValue(service) is not { Length: > 0 } name)
                return ServiceOptions.Refuse(parsed, "restart needs the name of a service: --service NAME");
            if (!Manifest.IsName(name))
                return ServiceOptions.Refuse(parsed, $"\"{name}\" is no name of a service: lower-case letters, digits and dashes, at most 63");
            var tag = parsed.GetValue(version) is { Length: > 0 } given ? given : Latest;
            if (!Manifest.IsVersion(tag))
                return ServiceOptions.RefuseVersion(parsed, tag);
            if (!ServiceOptions.TryReadNamespace(parsed, space, out var @namespace))
                return ServiceOptions.RefuseNamespace(parsed, @namespace);
            if (Kubectl.Find(@namespace) is not { } kubectl)
                return ServiceOptions.RefuseWithoutKubectl(parsed);

            var deployment = $"deployment/{name}";
            var change = tag == Latest ? null : await ImageAsync(parsed, kubectl, deployment, tag, ct);
            if (change is { Failed: { } failed })
                return failed;
            var code = await kubectl.RunAsync(change?.Set is { } set ? ["set", "image", deployment, set] : ["rollout", "restart", deployment], null, ct);
            return code == 0 ? await kubectl.RunAsync(["rollout", "status", deployment], null, ct) : code;
        });
        return command;
    }

    /// <summary>What to set for the deployment to run <paramref name="tag"/>; nothing when it runs it already.</summary>
    static async Task<Change> ImageAsync(ParseResult parsed, Kubectl kubectl, string deployment, string tag, CancellationToken ct)
    {
        var (code, output) = await kubectl.ReadAsync(
            ["get", deployment, "--output", "jsonpath={range .spec.template.spec.containers[*]}{.name} {.image}{\"\\n\"}{end}"], ct);
        if (code != 0)
            return new Change(code, null);
        var containers = output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Split(' ', 2)).Where(c => c.Length == 2).ToList();
        var container = containers.Count == 1 ? containers[0] : containers.FirstOrDefault(c => c[0] == Manifest.Container);
        if (container is null)
            return new Change(ServiceOptions.Refuse(parsed, $"{deployment} has no container called {Manifest.Container} but {string.Join(", ", containers.Select(c => c[0]))}; "
                + $"choose one with kubectl set image {deployment} CONTAINER=IMAGE:{tag}"), null);
        var (repository, runs) = Split(container[1]);
        return runs == tag ? new Change(null, null) : new Change(null, $"{container[0]}={repository}:{tag}");
    }

    /// <summary>The repository and the tag of an image; a digest after them pins what a new tag must not be pinned to.</summary>
    static (string Repository, string? Tag) Split(string image)
    {
        var (named, pinned) = image.Split('@', 2) is [var before, _] ? (before, true) : (image, false);
        // A colon in front of the last slash is a registry's port.
        var colon = named.IndexOf(':', named.LastIndexOf('/') + 1);
        return colon < 0 ? (named, pinned ? null : Latest) : (named[..colon], pinned ? null : named[(colon + 1)..]);
    }

    sealed record Change(int? Failed, string? Set);
}
