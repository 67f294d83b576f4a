using System.Diagnostics;

namespace Tandem.Cluster.Tests;

/// <summary>
/// Machines, as far as the network can tell: network namespaces of Linux on one bridge. A link that is down loses packets without a word, which no
/// proxy can show: there the system answers for those who do not.
/// </summary>
sealed class Namespaces : IAsyncDisposable
{
    const string Prefix = "tdtest";

    static int _madeSoFar;

    // Names of interfaces have fifteen characters at most. The process in it tells what a run that was killed has left behind.
    readonly string _name = $"{Prefix}{Environment.ProcessId}{(char)('a' + Interlocked.Increment(ref _madeSoFar) % 26)}";
    readonly int _net = Random.Shared.Next(1, 255);
    readonly List<string> _machines = [];

    /// <summary>This side's address on the bridge.</summary>
    public string Here => $"10.213.{_net}.1";

    /// <summary>Skips the test where the machine does not allow it.</summary>
    public static async Task<Namespaces> MakeAsync()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Network namespaces are a thing of Linux.");
        var made = new Namespaces();
        try
        {
            await SweepAsync();
            await IpAsync("link", "add", made._name, "type", "bridge");
            await IpAsync("addr", "add", $"{made.Here}/24", "dev", made._name);
            await IpAsync("link", "set", made._name, "up");
            // A bridge may be made where namespaces may not.
            await made.AddAsync();
            await RunAsync([.. made.In(0), "true"]);
        }
        catch (Exception e) when (e is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            await made.DisposeAsync();
            Assert.Skip($"This machine does not allow network namespaces: {e.Message}");
        }

        return made;
    }

    /// <summary>One more machine.</summary>
    /// <returns>Its number; the first one is 0 and is there from the start.</returns>
    public async Task<int> AddAsync()
    {
        var number = _machines.Count;
        var machine = $"{_name}-{number}";
        await IpAsync("netns", "add", machine);
        _machines.Add(machine);
        await IpAsync("link", "add", Outside(number), "type", "veth", "peer", "name", "eth0", "netns", machine);
        await IpAsync("link", "set", Outside(number), "master", _name, "up");
        await IpAsync("-n", machine, "addr", "add", $"{AddressOf(number)}/24", "dev", "eth0");
        await IpAsync("-n", machine, "link", "set", "eth0", "up");
        await IpAsync("-n", machine, "link", "set", "lo", "up");
        return number;
    }

    public string AddressOf(int number) => $"10.213.{_net}.{number + 2}";

    /// <summary>What a command is to begin with to run there.</summary>
    public string[] In(int number) => ["ip", "netns", "exec", _machines[number]];

    /// <summary>From now on nothing that is sent to it or by it arrives.</summary>
    public Task CutOffAsync(int number) => IpAsync("link", "set", Outside(number), "down");

    public Task RejoinAsync(int number) => IpAsync("link", "set", Outside(number), "up");

    string Outside(int number) => $"{_name}{number}";

    /// <summary>Takes away what runs have left that were killed.</summary>
    static async Task SweepAsync()
    {
        foreach (var (list, del) in new[] { (new[] { "netns", "list" }, "netns"), (["-br", "link", "show", "type", "bridge"], "link") })
            foreach (var line in (await RunAsync(["ip", .. list])).Split('\n'))
                if (line.Split(' ')[0] is var name && name.StartsWith(Prefix, StringComparison.Ordinal)
                    && !Directory.Exists("/proc/" + string.Concat(name[Prefix.Length..].TakeWhile(char.IsAsciiDigit))))
                    await IpAsync(del, "del", name);
    }

    static Task IpAsync(params string[] arguments) => RunAsync(["ip", .. arguments]);

    static async Task<string> RunAsync(string[] command)
    {
        using var process = Process.Start(new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true })
            ?? throw new InvalidOperationException($"{command[0]} did not start.");
        var said = process.StandardOutput.ReadToEndAsync();
        var complained = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{string.Join(' ', command)}: {complained.Trim()}");
        return await said;
    }

    public async ValueTask DisposeAsync()
    {
        List<Exception> failures = [];
        // Each by itself: what cannot be taken away must not keep the rest.
        foreach (var arguments in _machines.Select(m => new[] { "netns", "del", m }).Append(["link", "del", _name]))
            try
            {
                await IpAsync(arguments);
            }
            catch (Exception e) when (e is InvalidOperationException or System.ComponentModel.Win32Exception)
            {
                failures.Add(e);
            }

        if (_machines.Count > 0 && failures.Count > 0)
            throw new AggregateException(failures);
    }
}
