using System.CommandLine;

namespace Tandem.Deploy;

/// <summary><c>tandem deploy</c>: makes a service's manifest and applies it.</summary>
static class DeployCommand
{
    public static Command Make(TandemApp app)
    {
        var service = ServiceOptions.Service($"Which: {string.Join(", ", Services(app))}");
        var version = ServiceOptions.Version("The tag of the image to run");
        var image = new Option<string>("--image") { Description = "The image's repository, such as registry.example.com/team/tandem", DefaultValueFactory = _ => "tandem" };
        var space = ServiceOptions.Namespace();
        var dryRun = new Option<bool>("--dry-run") { Description = "Print the manifest and call nothing" };
        var command = new Command("deploy", "Make the Kubernetes manifest of a service at a version, and apply it with kubectl") { service, version, image, space, dryRun };
        command.SetAction(async (parsed, ct) =>
        {
            var services = Services(app);
            if (parsed.GetValue(service) is not { Length: > 0 } name)
                return ServiceOptions.Refuse(parsed, $"deploy needs a service: --service NAME, one of {string.Join(", ", services)}");
            if (!services.Contains(name))
                return ServiceOptions.Refuse(parsed, $"there is no service \"{name}\" in this program; it has {string.Join(", ", services)}");
            if (parsed.GetValue(version) is not { Length: > 0 } tag)
                return ServiceOptions.Refuse(parsed, "deploy needs a version: --version V, the tag of the image");
            if (!Manifest.IsVersion(tag))
                return ServiceOptions.RefuseVersion(parsed, tag);
            if (parsed.GetValue(image) is not { } repository || !Manifest.IsImage(repository))
                return ServiceOptions.Refuse(parsed, $"\"{parsed.GetValue(image)}\" is no repository; write it like registry.example.com/team/tandem, without a tag");
            if (!ServiceOptions.TryReadNamespace(parsed, space, out var @namespace))
                return ServiceOptions.RefuseNamespace(parsed, @namespace);

            var manifest = new Manifest(name, tag, repository, @namespace, app.Roles).ToYaml();
            if (parsed.GetValue(dryRun))
            {
                await parsed.InvocationConfiguration.Output.WriteAsync(manifest);
                return 0;
            }

            return Kubectl.Find(@namespace) is { } kubectl ? await kubectl.RunAsync(["apply", "-f", "-"], manifest, ct) : ServiceOptions.RefuseWithoutKubectl(parsed);
        });
        return command;
    }

    static List<string> Services(TandemApp app) => [.. app.Roles, Manifest.Whole];
}
