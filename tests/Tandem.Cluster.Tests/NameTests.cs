using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Tandem.Cluster.Tests;

/// <summary>Processes of a role behind one name, as behind a headless service of Kubernetes: each address is one, and they come and go.</summary>
public sealed class NameTests
{
    // The gateway asks for the name every five seconds and looks at a process every second; the rest is for a busy machine.
    static readonly TimeSpan SeenWithin = TimeSpan.FromSeconds(12);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Requests_go_to_every_address_of_a_name_and_none_fails_while_addresses_come_and_go()
    {
        await using var names = await Names.MakeAsync();
        await using var store = await SharedStore.MakeAsync();
        var port = Split.FreePort();
        await using var one = await RoleAsync(1);
        await using var two = await RoleAsync(2);
        names.Say(1, 2);
        await using var gateway = await Programs.ServeByAsync(names.In, store.NewDataDirectory(),
            [.. store.Settings, "--roles", "gateway", "--Gateway:Roles:others:Addresses:0", $"http://{Names.Name}:{port}"]);
        await Split.UntilReadyAsync(gateway);
        await using var load = await Load.StartAsync(gateway, repeatsPosts: true);
        await UntilServesAsync(one);
        await UntilServesAsync(two);

        // One comes.
        await using var three = await RoleAsync(3);
        names.Say(1, 2, 3);
        var said = Stopwatch.GetTimestamp();
        await UntilServesAsync(three);
        var joined = Stopwatch.GetElapsedTime(said);

        // One is taken from the name and is there all the same: it gets no more.
        names.Say(1, 3);
        said = Stopwatch.GetTimestamp();
        await Eventually.TrueAsync(async () => await ServesAsync(two) is var before && await LaterAsync(two) == before, seconds: 60);
        var left = Stopwatch.GetElapsedTime(said);
        TestContext.Current.SendDiagnosticMessage($"Joined after {joined.TotalSeconds:0.0} s, left after {left.TotalSeconds:0.0} s");
        Assert.InRange(joined, TimeSpan.Zero, SeenWithin);

        // One dies before its name knows, and another comes in its place.
        await one.KillAsync();
        await load.GoOnAsync(200);
        names.Say(2, 3);
        var served = await ServesAsync(two);
        await Eventually.TrueAsync(async () => await ServesAsync(two) > served);

        // A name that is not known for a moment changes nothing.
        names.Say();
        await load.GoOnAsync(2000);
        await load.StopAndCheckAsync();

        Task<Programs.Server> RoleAsync(int number) =>
            Split.RoleAsync(store, port, null, "--urls", $"http://{Names.AddressOf(number)}:{port}", "--Telemetry:OpenMetrics", "true");

        Task UntilServesAsync(Programs.Server role) => Eventually.TrueAsync(async () => await ServesAsync(role) > 0, seconds: 60);

        async Task<double> LaterAsync(Programs.Server role)
        {
            // Long enough for the exporter, too, which answers from its cache for a moment.
            await load.GoOnAsync(1000);
            return await ServesAsync(role);
        }
    }

    /// <summary>How many requests for items it has answered.</summary>
    static async Task<double> ServesAsync(Programs.Server role) =>
        Regex.Matches(await role.Http.GetStringAsync("/metrics", Ct), """^http_server_request_duration_seconds_count\{[^}]*http_route="/items[^}]*\} ([0-9.]+)""", RegexOptions.Multiline)
            .Sum(m => double.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture));
}

/// <summary>Names of one's own: a mount namespace of Linux in which /etc/hosts is another file.</summary>
sealed class Names : IAsyncDisposable
{
    public const string Name = "tandem-role";

    readonly string _file = Path.GetTempFileName();

    /// <summary>What a command is to begin with to know them.</summary>
    public string[] In => ["unshare", "--mount", "--propagation", "private", "sh", "-c", $"mount --bind {_file} /etc/hosts && exec \"$@\"", "sh"];

    /// <summary>Of this machine, which has 127.0.0.0/8.</summary>
    public static string AddressOf(int number) => $"127.0.83.{number}";

    /// <summary>Skips the test where the machine does not allow it.</summary>
    public static async Task<Names> MakeAsync()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Mount namespaces are a thing of Linux.");
        var made = new Names();
        made.Say(1, 2);
        var (code, output) = await RunAsync([.. made.In, "getent", "ahosts", Name]);
        if (code == 0 && output.Contains(AddressOf(2), StringComparison.Ordinal))
            return made;
        await made.DisposeAsync();
        Assert.Skip($"This machine does not allow mount namespaces: {output.Trim()}");
        return made;
    }

    /// <summary>From now on the name has these addresses; with none it is not known.</summary>
    public void Say(params int[] numbers) =>
        // In place: a mount is of the file, not of its name.
        File.WriteAllText(_file, "127.0.0.1 localhost\n" + string.Concat(numbers.Select(n => $"{AddressOf(n)} {Name}\n")));

    static async Task<(int Code, string Output)> RunAsync(string[] command)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true })
                ?? throw new InvalidOperationException($"{command[0]} did not start.");
            var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
            await process.WaitForExitAsync();
            return (process.ExitCode, await output + await error);
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return (-1, e.Message);
        }
    }

    public ValueTask DisposeAsync()
    {
        File.Delete(_file);
        return ValueTask.CompletedTask;
    }
}
