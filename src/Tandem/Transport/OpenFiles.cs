using System.Globalization;

namespace Tandem.Transport;

/// <summary>The file descriptors of this process, on Linux.</summary>
static class OpenFiles
{
    public static int Count => Directory.GetFileSystemEntries("/proc/self/fd").Length;

    /// <summary>How many it may have; null where no limit is known.</summary>
    /// <remarks>The hard limit: the runtime raises its own to it as it starts.</remarks>
    public static long? Limit
    {
        get
        {
            const string Limits = "/proc/self/limits", Line = "Max open files";
            if (!File.Exists(Limits))
                return null;
            var words = File.ReadLines(Limits).First(l => l.StartsWith(Line, StringComparison.Ordinal))[Line.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            return long.TryParse(words[1], CultureInfo.InvariantCulture, out var limit) ? limit : null;
        }
    }
}
