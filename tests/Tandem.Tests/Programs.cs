using System.Diagnostics;

namespace Tandem.Tests;

/// <summary>The shipped program as a process of its own.</summary>
static class Programs
{
    public static Process Start(params string[] args) => StartBy([], args);

    /// <param name="by">A command that starts another one, and what it is to begin with.</param>
    public static Process StartBy(string[] by, string[] args)
    {
        string[] command = [.. by, Path.Combine(AppContext.BaseDirectory, "Tandem.Server")];
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        foreach (var arg in args)
            start.ArgumentList.Add(arg);
        if (Array.IndexOf(args, "--data") is >= 0 and var at && at + 1 < args.Length && !args.Contains("--Postgres:ConnectionString"))
            foreach (var arg in TestStores.SettingsAsync(args[at + 1]).GetAwaiter().GetResult())
                start.ArgumentList.Add(arg);
        return Process.Start(start) ?? throw new InvalidOperationException("The program did not start.");
    }

    /// <summary>A command, to its end.</summary>
    public static async Task<(int Code, string Output, string Error)> RunAsync(params string[] args)
    {
        using var process = Start(args);
        process.StandardInput.Close();
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, await error);
    }

    /// <summary>A server on a free port; returns when it says that it serves.</summary>
    public static Task<Server> ServeAsync(string data, params string[] args) => ServeByAsync([], data, args);

    /// <summary>The same, started by another command, such as one that gives it a network of its own.</summary>
    public static async Task<Server> ServeByAsync(string[] by, string data, params string[] args)
    {
        var process = StartBy(by, ["serve", "--data", data, "--urls", "http://127.0.0.1:0", "--Log:Level", "Warning", .. args]);
        var said = new List<string>();
        while (await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) is { } line)
        {
            said.Add(line);
            if (line.StartsWith("Tandem serves on ", StringComparison.Ordinal))
                return new Server(process, line["Tandem serves on ".Length..].Split(' ')[0]);
        }

        throw new InvalidOperationException($"The server did not start: {string.Join('\n', said)} {await process.StandardError.ReadToEndAsync()}");
    }

    public sealed class Server : IAsyncDisposable
    {
        public Server(Process process, string address)
        {
            (Process, Address) = (process, address);
            Http = new HttpClient { BaseAddress = new Uri(address) };
            // Unread output would fill the pipe and stop the server's log.
            _ = process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
            _ = process.StandardError.BaseStream.CopyToAsync(Stream.Null);
        }

        public Process Process { get; }
        public string Address { get; }
        public HttpClient Http { get; }

        /// <summary>kill -9: the process gets no chance to tidy up.</summary>
        public async Task KillAsync()
        {
            Process.Kill();
            await Process.WaitForExitAsync();
        }

        public async ValueTask DisposeAsync()
        {
            Http.Dispose();
            if (!Process.HasExited)
                await KillAsync();
            Process.Dispose();
        }
    }
}
