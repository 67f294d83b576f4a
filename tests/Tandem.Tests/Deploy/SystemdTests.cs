using System.Diagnostics;
using System.Globalization;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Deploy;

/// <summary>deploy/systemd, as systemd itself judges it.</summary>
public sealed class SystemdTests : IDisposable
{
    /// <summary>Tenths of systemd's exposure level, 0 to 100. 14 as written; what remains is that the program may use the network.</summary>
    const int Exposure = 20;

    static readonly string[] Units = ["tandem.service", "tandem@.service"];

    readonly string _directory = Directory.CreateTempSubdirectory("tandem-tests-").FullName;

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData("tandem.service")]
    [InlineData("tandem@users.service")]
    public async Task Units_are_valid_and_closed_in(string unit)
    {
        Assert.SkipUnless(File.Exists("/usr/bin/systemd-analyze"), "systemd-analyze is not on this machine.");
        // The program is not where it will be installed.
        foreach (var file in Units)
            await File.WriteAllTextAsync(Path.Combine(_directory, file), (await ReadAsync(file)).Replace("/opt/tandem/tandem", Path.Combine(AppContext.BaseDirectory, "Tandem.Server")), Ct);
        var (code, output, error) = await AnalyzeAsync("verify", "--man=no", Path.Combine(_directory, unit));
        Assert.Equal((0, ""), (code, output + error));
        (code, output, error) = await AnalyzeAsync("security", "--offline=true", string.Create(CultureInfo.InvariantCulture, $"--threshold={Exposure}"), Path.Combine(_directory, unit));
        Assert.True(code == 0, output + error);
    }

    [Fact]
    public async Task A_role_is_closed_in_as_the_whole_is()
    {
        // From the first line of hardening on they are the same.
        static string Closed(string text) => text[text.IndexOf("NoNewPrivileges=", StringComparison.Ordinal)..];
        Assert.Equal(Closed(await ReadAsync(Units[0])), Closed(await ReadAsync(Units[1])));
    }

    static Task<(int Code, string Output, string Error)> AnalyzeAsync(params string[] words) => Tools.RunAsync(new ProcessStartInfo("/usr/bin/systemd-analyze", words), "");

    static Task<string> ReadAsync(string file) => File.ReadAllTextAsync(Path.Combine(Repository.Root, "deploy", "systemd", file), Ct);
}
