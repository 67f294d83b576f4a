using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Tandem.Core.Data;

namespace Tandem.Inference.Models;

/// <summary>Model files in the data directory, each under the SHA-256 of its bytes: whole or not there, and never changed.</summary>
sealed class ModelFiles(DataDirectory data, TimeProvider clock)
{
    // A writer that died leaves its temporary file; an hour is longer than any writing takes.
    static readonly TimeSpan Abandoned = TimeSpan.FromHours(1);

    /// <summary>Stores the file; when it returns, a power cut cannot take it away.</summary>
    /// <returns>The digest it is found under, 64 lower-case hexadecimal digits.</returns>
    public string Save(byte[] bytes)
    {
        var digest = Convert.ToHexStringLower(SHA256.HashData(bytes));
        var path = PathOf(digest);
        var folder = Path.GetDirectoryName(path)!; // it has one: the data directory
        foreach (var old in Directory.EnumerateFiles(folder, "*.tmp"))
            if (File.GetLastWriteTimeUtc(old) < clock.GetUtcNow().UtcDateTime - Abandoned)
                File.Delete(old);

        // Never written in place, and a file already there is written anew: it may have been damaged since.
        var temporary = Path.Combine(folder, $"{digest}.{Guid.NewGuid():n}.tmp");
        try
        {
            using (var file = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0))
            {
                file.Write(bytes);
                file.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        FlushFolder(folder);
        return digest;
    }

    /// <summary>Reads a model and proves its golden rows.</summary>
    /// <exception cref="UnusableModelException">The file is missing, is not what it was, or does not do what it did.</exception>
    public Model Load(string digest)
    {
        var path = PathOf(digest);
        try
        {
            if (new FileInfo(path).Length > ModelFile.MaxBytes)
                throw new UnusableModelException($"its file {path} is larger than any model");
            var bytes = File.ReadAllBytes(path);
            if (Convert.ToHexStringLower(SHA256.HashData(bytes)) != digest)
                throw new UnusableModelException($"its file {path} was changed since it was written");
            return ModelFile.Read(bytes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UnusableModelException($"its file cannot be read: {e.Message}", e);
        }
    }

    string PathOf(string digest) => data.Combine("models", digest + ".model");

    /// <summary>A rename is in the folder, and the folder is a file of its own to be flushed; .NET opens no folders.</summary>
    static void FlushFolder(string folder)
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
    static extern int fsync(int handle);

    [DllImport("libc", SetLastError = true)]
    static extern int close(int handle);
}
