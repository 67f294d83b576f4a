using System.Reflection;
using System.Xml.Linq;
using PublicApiGenerator;

namespace Tandem.Tests.Repo;

public sealed class WallTests
{
    static readonly string[] Adapters = ["Tandem.Postgres", "Tandem.Redis", "Tandem.Kafka"];

    public static TheoryData<string> Libraries => [.. Projects().Where(p => p is not "Tandem.Server")];

    [Fact]
    public void References_form_a_star()
    {
        foreach (var project in Projects())
        {
            var allowed = project switch
            {
                // The one program that takes the adapters, as a user's own does.
                "Tandem.Server" => ["Tandem", "Tandem.Bench", .. Adapters],
                "Tandem.Core" => Array.Empty<string>(),
                "Tandem" => [.. Projects().Where(p => p is not ("Tandem" or "Tandem.Server" or "Tandem.Bench")).Except(Adapters)],
                _ => ["Tandem.Core"],
            };
            Assert.All(References(project), r => Assert.Contains(r, allowed));
        }
    }

    [Theory]
    [MemberData(nameof(Libraries))]
    public void The_public_surface_changes_only_on_purpose(string project) => Repository.ShouldSay(
        $"tests/Tandem.Tests/Repo/PublicApi/{project}.txt",
        Assembly.Load(project).GeneratePublicApi(new ApiGeneratorOptions { IncludeAssemblyAttributes = false }).ReplaceLineEndings("\n"));

    [Fact]
    public void Nothing_that_belongs_to_one_machine_is_in_the_repository()
    {
        // Spelled apart so that this file does not find itself.
        string[] traces = ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "TO" + "DO", "FIX" + "ME"];
        foreach (var file in Directory.EnumerateFiles(Repository.Root, "*", SearchOption.AllDirectories).Where(IsText))
            foreach (var (number, line) in File.ReadLines(file).Index())
                Assert.False(traces.Any(t => line.Contains(t, StringComparison.Ordinal)), $"{file}:{number + 1}: {line}");
    }

    [Fact]
    public void Packages_have_one_version_and_one_place()
    {
        foreach (var project in Directory.EnumerateFiles(Repository.Root, "*.csproj", SearchOption.AllDirectories))
            Assert.DoesNotContain("Version=", File.ReadAllText(project));
        var decided = File.ReadAllText(Path.Combine(Repository.Root, "docs/decisions/0001-packages.md"));
        foreach (var package in XDocument.Load(Path.Combine(Repository.Root, "Directory.Packages.props")).Descendants("PackageVersion"))
            Assert.Contains((string?)package.Attribute("Include") ?? "", decided);
    }

    static bool IsText(string path) => Path.GetExtension(path) is ".cs" or ".md" or ".csproj" or ".props" or ".sql" or ".json" or ".html" or ".css" or ".js" or ".sh" or ""
        && !path.Split(Path.DirectorySeparatorChar).Any(p => p is "bin" or "obj" or ".git" or "artifacts" or "data" or "TestResults");

    static IEnumerable<string> Projects() => Directory.EnumerateDirectories(Path.Combine(Repository.Root, "src")).Select(d => Path.GetFileName(d)).Order(StringComparer.Ordinal);

    static IEnumerable<string> References(string project) =>
        XDocument.Load(Path.Combine(Repository.Root, "src", project, project + ".csproj")).Descendants("ProjectReference")
            .Select(r => Path.GetFileNameWithoutExtension(((string?)r.Attribute("Include"))!.Replace('\\', '/')));
}
