namespace Tandem.Core.Data;

/// <summary>Where an embedded Tandem keeps its files. Readable by its owner alone.</summary>
public sealed class DataDirectory
{
    /// <summary>Creates the directory when it is missing.</summary>
    /// <exception cref="IOException">It cannot be created.</exception>
    public DataDirectory(string path)
    {
        Path = System.IO.Path.GetFullPath(path);
        Directory.CreateDirectory(Path);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(Path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <summary>The absolute path.</summary>
    public string Path { get; }

    /// <summary>The database of all modules.</summary>
    public string DatabaseFile => System.IO.Path.Combine(Path, "tandem.db");

    /// <summary>A file or folder inside; its parent folder is made.</summary>
    public string Combine(params ReadOnlySpan<string> parts)
    {
        var path = System.IO.Path.Combine([Path, .. parts]);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path) ?? Path);
        return path;
    }
}
