namespace Tandem.Users.Import;

/// <summary>Files that only their owner reads (mode 0600).</summary>
static class PrivateFile
{
    /// <exception cref="IOException">With <see cref="FileMode.CreateNew"/>: it is there already.</exception>
    public static FileStream Create(string path, FileMode mode)
    {
        var options = new FileStreamOptions { Mode = mode, Access = FileAccess.Write, Share = FileShare.Read, BufferSize = 64 << 10 };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return new FileStream(path, options);
    }
}
