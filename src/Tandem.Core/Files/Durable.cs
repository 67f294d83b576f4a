using System.Runtime.InteropServices;

namespace Tandem.Core.Files;

/// <summary>Renames that a power cut does not undo.</summary>
static class Durable
{
    /// <summary>Gives a file that has been flushed another name, in the place of what has it.</summary>
    public static void Move(string from, string to)
    {
        File.Move(from, to, overwrite: true);
        FlushFolder(Path.GetDirectoryName(Path.GetFullPath(to))!); // a file is in one
    }

    /// <summary>Gives a file a second name.</summary>
    public static void Link(string file, string name)
    {
        if (OperatingSystem.IsWindows() || link(file, name) != 0)
            // Some file systems have no second names; a copy does the same and takes longer.
            File.Copy(file, name);
        FlushFolder(Path.GetDirectoryName(Path.GetFullPath(name))!); // a file is in one
    }

    /// <summary>A rename is in the folder, and the folder is a file of its own to be flushed; .NET opens no folders.</summary>
    public static void FlushFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
            return;
        const int ReadOnly = 0;
        // EINVAL: the file system (some network ones) has no such thing and does what it does.
        const int NotSupported = 22;
        var handle = open(folder, ReadOnly);
        if (handle < 0)
            throw new IOException($"{folder} cannot be opened: {Marshal.GetLastPInvokeErrorMessage()}");
        try
        {
            if (fsync(handle) != 0 && Marshal.GetLastPInvokeError() != NotSupported)
                throw new IOException($"{folder} cannot be flushed: {Marshal.GetLastPInvokeErrorMessage()}");
        }
        finally
        {
            _ = close(handle);
        }
    }

    [DllImport("libc", SetLastError = true)]
    static extern int open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);

    [DllImport("libc", SetLastError = true)]
    static extern int link([MarshalAs(UnmanagedType.LPUTF8Str)] string file, [MarshalAs(UnmanagedType.LPUTF8Str)] string name);

    [DllImport("libc", SetLastError = true)]
    static extern int fsync(int handle);

    [DllImport("libc", SetLastError = true)]
    static extern int close(int handle);
}
