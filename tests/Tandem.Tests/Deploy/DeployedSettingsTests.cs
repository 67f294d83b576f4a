using System.Text.RegularExpressions;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Deploy;

/// <summary>The settings that deploy/ sets are settings of the program, which an unknown one would stop.</summary>
public sealed partial class DeployedSettingsTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("compose.yaml")]
    [InlineData("Dockerfile")]
    [InlineData("kubernetes/gateway.yaml")]
    [InlineData("kubernetes/users.yaml")]
    [InlineData("kubernetes/examples/secret.yaml")]
    [InlineData("kubernetes/examples/settings.yaml")]
    [InlineData("systemd/tandem.service")]
    [InlineData("systemd/tandem@.service")]
    [InlineData("systemd/tandem.env.example")]
    public async Task The_program_knows_every_setting(string file)
    {
        var text = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "deploy", file), Ct);
        var keys = Variable().Matches(text).Select(m => m.Groups[1].Value.Replace("__", ":")).Distinct().ToList();
        Assert.NotEmpty(keys);
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        using var process = Programs.Start(["config", "--data", data, .. keys.Where(k => k != "DATA").SelectMany(k => new[] { $"--{k}", ValueOf(k) })]);
        process.StandardInput.Close();
        var (output, error) = (process.StandardOutput.ReadToEndAsync(Ct), process.StandardError.ReadToEndAsync(Ct));
        await process.WaitForExitAsync(Ct);
        await output;
        Assert.True(process.ExitCode == 0, await error);
    }

    /// <summary>Something that the setting can be; what it is for is in the file, with variables and secrets in it.</summary>
    static string ValueOf(string key) => key switch
    {
        "URLS" => "http://*:8080",
        "ROLES" => "users",
        "POSTGRES:CONNECTIONSTRING" => "Host=127.0.0.1",
        _ when key.Contains("MAXPOOLSIZE", StringComparison.Ordinal) => "20",
        _ when key.Contains("TRUSTEDPROXIES", StringComparison.Ordinal) => "10.0.0.0/8",
        _ when key.Contains("ADDRESSES", StringComparison.Ordinal) || key.Contains("ENDPOINT", StringComparison.Ordinal) => "http://127.0.0.1:8081",
        _ => "127.0.0.1:1",
    };

    [GeneratedRegex(@"\bTANDEM_([A-Z0-9_-]*[A-Z0-9])\s*[:=\n]")]
    private static partial Regex Variable();
}
