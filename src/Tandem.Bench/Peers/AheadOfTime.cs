using System.Reflection;
using Tandem.Bench.Processes;

namespace Tandem.Bench.Peers;

/// <summary>The C# side built by Native AOT on this machine, where the .NET SDK and a linker are. Not the shipped program, which is no AOT program.</summary>
sealed class AheadOfTime(string directory)
{
    static readonly string[] Sources = ["ahead.csproj", "ahead.cs", "Workloads.cs", "JsonWork.cs"];

    /// <summary>The built program; null until it is there.</summary>
    public string? Program { get; set; }

    /// <summary>Why it is not there.</summary>
    public string Missing { get; private set; } = "it was not built";

    public async Task BuildAsync(Action<string> say, CancellationToken ct)
    {
        var linker = new[] { "clang", "gcc" }.FirstOrDefault(PeerFolder.IsHere);
        if (!PeerFolder.IsHere("dotnet") || linker is null)
        {
            Missing = "C# Native AOT is built on this machine: it needs the .NET SDK (dotnet) and clang or gcc, with the headers of zlib";
            return;
        }

        Directory.CreateDirectory(directory);
        var assembly = Assembly.GetExecutingAssembly();
        var isNew = false;
        foreach (var name in Sources)
        {
            using var source = new StreamReader(assembly.GetManifestResourceStream(name)!);
            var (text, file) = (await source.ReadToEndAsync(ct), Path.Combine(directory, name));
            if (File.Exists(file) && await File.ReadAllTextAsync(file, ct) == text)
                continue;
            await File.WriteAllTextAsync(file, text, ct);
            isNew = true;
        }

        var program = Path.Combine(directory, "out", "ahead");
        if (isNew || !File.Exists(program))
        {
            say("Building C# Native AOT ...");
            var log = Path.Combine(directory, "build.log");
            await using var build = Child.Start(
                ["dotnet", "publish", Path.Combine(directory, "ahead.csproj"), "--nologo", "-v", "quiet", "--use-current-runtime", "-o", Path.Combine(directory, "out"),
                    $"-p:CppCompilerAndLinker={linker}"], log);
            if (await build.WaitAsync(ct) != 0 || !File.Exists(program))
            {
                Missing = $"C# Native AOT could not be built: {build.LastWords()} (all of it in {log})";
                return;
            }
        }

        Program = program;
    }
}
