using System.Globalization;

namespace Tandem.Bench.Processes;

/// <summary>What a process and all its descendants have used, from <c>/proc</c> (proc(5)).</summary>
static class ProcessTree
{
    /// <summary>USER_HZ: Linux counts a process's time in hundredths of a second wherever .NET runs.</summary>
    const double TicksPerSecond = 100;

    /// <summary>The root and its living descendants; empty when the root is gone.</summary>
    public static IReadOnlyList<int> Members(int root)
    {
        var children = new Dictionary<int, List<int>>();
        foreach (var directory in Directory.EnumerateDirectories("/proc"))
            if (int.TryParse(Path.GetFileName(directory), CultureInfo.InvariantCulture, out var id) && Stat(id) is { } stat)
            {
                var parent = int.Parse(stat[ParentField], CultureInfo.InvariantCulture);
                if (!children.TryGetValue(parent, out var list))
                    children[parent] = list = [];
                list.Add(id);
            }

        var members = new List<int>();
        if (Stat(root) is not null)
            members.Add(root);
        for (var i = 0; i < members.Count; i++)
            members.AddRange(children.GetValueOrDefault(members[i]) ?? []);
        return members;
    }

    /// <summary>User and system time in seconds, that of descendants which ended and were waited for included.</summary>
    public static double CpuSeconds(int root) =>
        Members(root).Sum(id => Stat(id) is { } s ? s[UserTimeField..(UserTimeField + 4)].Sum(t => long.Parse(t, CultureInfo.InvariantCulture)) : 0) / TicksPerSecond;

    /// <summary>Proportional memory in bytes: a page that n processes share counts as 1/n for each.</summary>
    public static long Proportional(int root) => Members(root).Sum(id => Kilobytes($"/proc/{id}/smaps_rollup", "Pss:")) * 1024;

    // The program's own directory and that of the runtime: shared/Microsoft.NETCore.App/VERSION is three levels down.
    static readonly string[] Own = [AppContext.BaseDirectory, Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."))];

    /// <summary>
    /// What <see cref="Proportional"/> leaves out, in bytes, because this very process has mapped the same files of the program and of its runtime: the program that is
    /// measured would have these pages to itself if no bench ran beside it. Reads every mapping, which takes milliseconds: not for looking again and again.
    /// </summary>
    public static long SharedWithUs(int root)
    {
        var ours = Mappings(Environment.ProcessId).Where(m => Own.Any(d => m.Path.StartsWith(d, StringComparison.Ordinal))).Select(m => m.File).ToHashSet(StringComparer.Ordinal);
        return Members(root).SelectMany(Mappings).Where(m => ours.Contains(m.File)).Sum(m => m.Resident - m.Proportional) * 1024;
    }

    /// <summary>A process's mappings of files, each named by device and inode, in kilobytes (proc_pid_smaps(5)).</summary>
    static IEnumerable<(string File, string Path, long Resident, long Proportional)> Mappings(int id)
    {
        var (file, path, resident) = ("", "", 0L);
        foreach (var line in (Read($"/proc/{id}/smaps") ?? "").Split('\n'))
        {
            // 7f2c40000000-7f2c40021000 r-xp 00001000 fe:00 4711 /usr/lib/libc.so.6; all other lines begin with a capital letter.
            if (line.Length > 0 && (char.IsAsciiDigit(line[0]) || line[0] is >= 'a' and <= 'f'))
            {
                var words = line.Split(' ', 6, StringSplitOptions.RemoveEmptyEntries);
                (file, path) = words is [_, _, _, var device, var inode, var name] && inode != "0" ? ($"{device} {inode}", name.Trim()) : ("", "");
            }
            else if (file.Length > 0 && line.StartsWith("Rss:", StringComparison.Ordinal))
            {
                resident = Number(line);
            }
            else if (file.Length > 0 && line.StartsWith("Pss:", StringComparison.Ordinal))
            {
                yield return (file, path, resident, Number(line));
            }
        }

        static long Number(string line) => long.Parse(line["Rss:".Length..].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture);
    }

    /// <summary>The sum of each living process's own peak of resident memory, in bytes.</summary>
    public static long PeakResident(int root) => Members(root).Sum(id => Kilobytes($"/proc/{id}/status", "VmHWM:")) * 1024;

    // The numbers of proc_pid_stat(5), less the two in front of the state.
    const int ParentField = 4 - 3, UserTimeField = 14 - 3;

    static string[]? Stat(int id)
    {
        // The name may hold blanks and parentheses: the fields begin after the last one.
        return Read($"/proc/{id}/stat") is { Length: > 0 } stat ? stat[(stat.LastIndexOf(')') + 2)..].Split(' ') : null;
    }

    static long Kilobytes(string file, string field) =>
        Read(file)?.Split('\n').FirstOrDefault(l => l.StartsWith(field, StringComparison.Ordinal)) is { } line
            ? long.Parse(line[field.Length..].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture) : 0;

    static string? Read(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It ended while it was looked at, or belongs to somebody else and so not to the tree.
            return null;
        }
    }
}
