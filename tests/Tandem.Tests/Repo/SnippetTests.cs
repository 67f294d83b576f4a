using System.Diagnostics;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;

namespace Tandem.Tests.Repo;

/// <summary>What README and guides show is run, or is an excerpt of what is.</summary>
public sealed partial class SnippetTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_README_does_what_it_says()
    {
        TestStores.OnlyEmbedded();
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        await using var server = await Programs.ServeAsync(data);
        var page = Read("README.md").Replace("http://127.0.0.1:8080", server.Address).Replace("./run", Path.Combine(AppContext.BaseDirectory, "Tandem.Server"));
        Assert.Equal(5, await Snippets.RunAsync(page, Repository.Root, new Dictionary<string, string> { ["TANDEM_DATA"] = data }, seconds: 120));

        await server.KillAsync();
        Directory.Delete(data, recursive: true);
    }

    [Theory]
    [InlineData("audit", 5)]
    [InlineData("sessions", 3)]
    [InlineData("organisations", 2)]
    [InlineData("api-keys", 3)]
    [InlineData("my-data", 2)]
    [InlineData("passkeys", 3)]
    [InlineData("signing-keys", 4)]
    [InlineData("scim", 3)]
    [InlineData("openid", 11)]
    [InlineData("account-pages", 2)]
    public async Task The_guide_of_accounts_does_what_it_says(string name, int blocks)
    {
        TestStores.OnlyEmbedded();
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        await using var server = await Programs.ServeAsync(data);
        var page = Read($"docs/guide/{name}.md").Replace("http://127.0.0.1:8080", server.Address).Replace("./run", Path.Combine(AppContext.BaseDirectory, "Tandem.Server"));
        Assert.Equal(blocks, await Snippets.RunAsync(page, data, new Dictionary<string, string> { ["TANDEM_DATA"] = data }, seconds: 120));

        await server.KillAsync();
        Directory.Delete(data, recursive: true);
    }

    [Theory]
    [InlineData("ways-in", 5)]
    [InlineData("passwords", 2)]
    public async Task The_guide_of_ways_in_does_what_it_says(string name, int blocks)
    {
        TestStores.OnlyEmbedded();
        var folder = Directory.CreateTempSubdirectory("tandem-guide-").FullName;
        await using var server = await Programs.ServeAsync(Path.Combine(folder, "data"), "--Mail:OutboxPage", "true");
        var page = Read($"docs/guide/{name}.md").Replace("http://127.0.0.1:8080", server.Address).Replace("./run", Path.Combine(AppContext.BaseDirectory, "Tandem.Server"));
        Assert.Equal(blocks, await Snippets.RunAsync(page, folder, new Dictionary<string, string>(), seconds: 120));

        await server.KillAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Users_come_from_everywhere_as_their_guide_says()
    {
        TestStores.OnlyEmbedded();
        var folder = Directory.CreateTempSubdirectory("tandem-guide-").FullName;
        var data = Path.Combine(folder, "data");
        await using var server = await Programs.ServeAsync(data);
        var page = Read("docs/guide/import-users.md").Replace("http://127.0.0.1:8080", server.Address).Replace("./run", Path.Combine(AppContext.BaseDirectory, "Tandem.Server"));
        Assert.Equal(13, await Snippets.RunAsync(page, folder, new Dictionary<string, string> { ["TANDEM_DATA"] = data }, seconds: 180));

        await server.KillAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task The_sample_program_runs()
    {
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        var start = new ProcessStartInfo("dotnet", ["run", "-c", Configuration, "samples/notes.cs", "--", "--urls", "http://127.0.0.1:0", "--data", data])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Repository.Root,
        };
        using var process = Process.Start(start)!;
        try
        {
            var said = new StringBuilder();
            string? address = null;
            while (address is null && await process.StandardOutput.ReadLineAsync(Ct) is { } line)
            {
                said.AppendLine(line);
                address = Serves().Match(line) is { Success: true } match ? match.Groups[1].Value : null;
            }

            if (address is null)
                Assert.Fail($"{said}{await process.StandardError.ReadToEndAsync(Ct)}");
            using var http = new HttpClient { BaseAddress = new Uri(address) };
            Assert.Equal("Hello from here", await http.GetStringAsync("/hello", Ct));
            Assert.Equal(401, (int)(await http.GetAsync("/notes", Ct)).StatusCode);
        }
        finally
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None);
        }

        Directory.Delete(data, recursive: true);
    }

    [Fact]
    public void What_the_guides_show_in_CSharp_is_an_excerpt_of_code_that_is_compiled_and_run()
    {
        var sources = Directory.EnumerateFiles(Repository.Root, "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains("/obj/", StringComparison.Ordinal) && !f.Contains("/bin/", StringComparison.Ordinal))
            .Select(f => Snippets.Spaces().Replace(File.ReadAllText(f), " ")).ToList();
        var pages = Directory.EnumerateFiles(Path.Combine(Repository.Root, "docs"), "*.md", SearchOption.AllDirectories).Append(Path.Combine(Repository.Root, "README.md"));
        foreach (var page in pages)
            foreach (var (_, text) in Snippets.Blocks(Read(page)).Where(b => b.Language == "csharp"))
                // Line by line within one file: an excerpt may leave something out.
                Assert.True(sources.Any(s => text.Split('\n').All(line => s.Contains(Snippets.Spaces().Replace(line.Trim(), " "), StringComparison.Ordinal))), $"{page} shows what is in no source file:\n{text}");
    }

    [Fact]
    public void Every_link_within_the_documentation_leads_somewhere()
    {
        foreach (var page in Directory.EnumerateFiles(Repository.Root, "*.md", SearchOption.AllDirectories).Where(f => !f.Contains("/bin/", StringComparison.Ordinal) && !f.Contains("/artifacts/", StringComparison.Ordinal)))
            foreach (Match link in Links().Matches(File.ReadAllText(page)))
            {
                var target = Path.Combine(Path.GetDirectoryName(page)!, link.Groups[1].Value);
                Assert.True(File.Exists(target) || Directory.Exists(target), $"{page} links to {link.Groups[1].Value}, which is not there.");
            }
    }

    // As this was compiled: the libraries are there, and the sample alone is to be built.
    static string Configuration => typeof(SnippetTests).Assembly.GetCustomAttribute<AssemblyConfigurationAttribute>()!.Configuration;

    static string Read(string page) => File.ReadAllText(Path.Combine(Repository.Root, page));

    [GeneratedRegex(@"\]\((?!https?:)([^)#]+)")]
    private static partial Regex Links();

    [GeneratedRegex(@"^Tandem serves on (\S+)")]
    private static partial Regex Serves();
}
