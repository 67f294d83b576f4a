using System.Globalization;
using System.Runtime.InteropServices;

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

    /// <summary>
    /// What <see cref="Proportional"/> leaves out, in bytes, because this very process has mapped the same files, those of the program and its runtime above all: the program that is measured
    /// would have these pages to itself if no bench ran beside it. Looks at every page, which takes milliseconds: not for looking again and again.
    /// </summary>
    public static long SharedWithUs(int root)
    {
        var ours = Mappings(Environment.ProcessId).Select(m => m.File).ToHashSet(StringComparer.Ordinal);
        // The runtime maps some pages of a file twice: each is one page of memory.
        var pages = new HashSet<(string File, long Page)>();
        var counted = 0L;
        foreach (var id in Members(root))
            foreach (var mapping in Mappings(id).Where(m => ours.Contains(m.File)))
            {
                counted += mapping.OfFile * 1024;
                pages.UnionWith(PagesOfFile(id, mapping).Select(page => (mapping.File, page)));
            }

        return pages.Count * Environment.SystemPageSize - counted;
    }

    /// <summary>A part of a file that a process has mapped; the file is named by device and inode, <see cref="OfFile"/> is its proportional memory in kilobytes without the pages the process has written to.</summary>
    readonly record struct Mapping(string File, long Start, long End, long Offset, long OfFile);

    /// <summary>A process's mappings of files (proc_pid_smaps(5)).</summary>
    static IEnumerable<Mapping> Mappings(int id)
    {
        var (mapping, proportional) = (default(Mapping), 0L);
        foreach (var line in (Read($"/proc/{id}/smaps") ?? "").Split('\n'))
        {
            // 7f2c40000000-7f2c40021000 r-xp 00001000 fe:00 4711 /usr/lib/libc.so.6; all other lines begin with a capital letter.
            if (line.Length > 0 && (char.IsAsciiDigit(line[0]) || line[0] is >= 'a' and <= 'f'))
            {
                var words = line.Split(' ', 6, StringSplitOptions.RemoveEmptyEntries);
                var range = words[0].Split('-');
                mapping = words is [_, _, var offset, var device, var inode, _] && inode != "0" ? new($"{device} {inode}", Hex(range[0]), Hex(range[1]), Hex(offset), 0) : default;
            }
            else if (line.StartsWith("Pss:", StringComparison.Ordinal))
            {
                proportional = Number(line);
            }
            else if (mapping.File is not null && line.StartsWith("Anonymous:", StringComparison.Ordinal))
            {
                yield return mapping with { OfFile = proportional - Number(line) };
            }
        }

        static long Hex(string text) => long.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        static long Number(string line) => long.Parse(line[(line.IndexOf(':') + 1)..].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture);
    }

    /// <summary>The pages of the file, by their number in it, that are in the process's memory as the file has them: bits 63 and 61 of proc_pid_pagemap(5).</summary>
    static List<long> PagesOfFile(int id, Mapping mapping)
    {
        const ulong PresentOfFile = 1UL << 63 | 1UL << 61;
        var size = Environment.SystemPageSize;
        var entries = new byte[(mapping.End - mapping.Start) / size * sizeof(ulong)];
        var pages = new List<long>();
        try
        {
            using var file = File.OpenHandle($"/proc/{id}/pagemap");
            var read = RandomAccess.Read(file, entries, mapping.Start / size * sizeof(ulong));
            var words = MemoryMarshal.Cast<byte, ulong>(entries.AsSpan(0, read));
            for (var i = 0; i < words.Length; i++)
                if ((words[i] & PresentOfFile) == PresentOfFile)
                    pages.Add(mapping.Offset / size + i);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // As below: it ended, or is not ours.
        }

        return pages;
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
