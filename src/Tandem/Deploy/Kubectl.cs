using System.ComponentModel;
using System.Diagnostics;

namespace Tandem.Deploy;

/// <summary>The kubectl of this machine, called with words rather than through a shell.</summary>
sealed class Kubectl
{
    readonly string _path;
    readonly string[] _common;

    Kubectl(string path, string? @namespace) => (_path, _common) = (path, @namespace is null ? [] : ["--namespace", @namespace]);

    /// <summary>Looks along PATH alone: a file of that name in the current directory is not what was meant.</summary>
    /// <returns>Null: there is none.</returns>
    public static Kubectl? Find(string? @namespace)
    {
        var file = OperatingSystem.IsWindows() ? "kubectl.exe" : "kubectl";
        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Where(Path.IsPathRooted)
            .Select(directory => Path.Combine(directory, file))
            .FirstOrDefault(IsExecutable);
        return path is null ? null : new Kubectl(path, @namespace);
    }

    /// <summary>Runs it with our own output and error streams.</summary>
    /// <param name="input">What it reads from standard input; null: nothing of ours.</param>
    /// <returns>Its exit code.</returns>
    public async Task<int> RunAsync(string[] words, string? input, CancellationToken ct)
    {
        using var process = Start(words, input is not null, redirectOutput: false);
        if (input is not null)
            await WriteAsync(process, input);
        return await WaitAsync(process, ct);
    }

    /// <summary>Asks for something; what it says on standard error is shown.</summary>
    /// <returns>Its exit code, and what it wrote to standard output.</returns>
    public async Task<(int Code, string Output)> ReadAsync(string[] words, CancellationToken ct)
    {
        using var process = Start(words, redirectInput: false, redirectOutput: true);
        var output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        var code = await WaitAsync(process, ct);
        return (code, await output);
    }

    Process Start(string[] words, bool redirectInput, bool redirectOutput)
    {
        var start = new ProcessStartInfo(_path, [.. _common, .. words]) { RedirectStandardInput = redirectInput, RedirectStandardOutput = redirectOutput };
        try
        {
            return Process.Start(start)!; // A new process: UseShellExecute is off.
        }
        catch (Win32Exception e)
        {
            throw new IOException($"{_path} cannot be run: {e.Message}", e);
        }
    }

    static async Task WriteAsync(Process process, string input)
    {
        try
        {
            await process.StandardInput.WriteAsync(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading all; its exit code and message say why.
        }
    }

    static async Task<int> WaitAsync(Process process, CancellationToken ct)
    {
        try
        {
            await process.WaitForExitAsync(ct);
        }
        catch (OperationCanceledException)
        {
            if (!process.HasExited)
                process.Kill();
            throw;
        }

        return process.ExitCode;
    }

    static bool IsExecutable(string path) =>
        File.Exists(path) && (OperatingSystem.IsWindows() || (File.GetUnixFileMode(path) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != 0);
}
