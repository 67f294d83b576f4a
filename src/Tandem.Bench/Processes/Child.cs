using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Tandem.Bench.Processes;

/// <summary>A process of ours and whatever it starts, in a session of their own: Ctrl-C in the terminal reaches them through us alone, and all end together.</summary>
sealed class Child : IAsyncDisposable
{
    const int Interrupt = 2, Kill = 9;

    // As many files as the machine allows: ten thousand connections are as many descriptors.
    const string Open = "ulimit -n \"$(ulimit -Hn)\" && exec \"$@\"";

    readonly Process _process;
    readonly string _log;
    bool _isDisposed;

    Child(Process process, string log) => (_process, _log, Id) = (process, log, process.Id);

    public int Id { get; }

    public bool HasExited => _process.HasExited;

    /// <param name="line">The program and its arguments.</param>
    /// <param name="log">A file for what it says on standard error and, unless it is talked with, on standard output.</param>
    /// <param name="talks">True: its standard input and output are ours.</param>
    /// <param name="environment">Beside our own, of which no setting of Tandem is passed on.</param>
    /// <exception cref="BenchException">The program is not there.</exception>
    public static Child Start(IEnumerable<string> line, string log, bool talks = false, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo("setsid") { RedirectStandardInput = true, RedirectStandardOutput = talks };
        foreach (var word in (string[])["sh", "-c", Open + (talks ? " 2>>\"$0\"" : " >>\"$0\" 2>&1"), log, .. line])
            start.ArgumentList.Add(word);
        foreach (var name in start.Environment.Keys.Where(k => k.StartsWith("TANDEM_", StringComparison.OrdinalIgnoreCase)).ToList())
            start.Environment.Remove(name);
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        try
        {
            var process = Process.Start(start) ?? throw new BenchException($"{line.First()} did not start.");
            if (!talks)
                process.StandardInput.Close();
            return new Child(process, log);
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new BenchException($"setsid (of util-linux) is needed to start anything: {e.Message}");
        }
    }

    /// <summary>Says a line and waits for the answering one.</summary>
    public async Task<string> AskAsync(string line, CancellationToken ct)
    {
        try
        {
            await _process.StandardInput.WriteLineAsync(line.AsMemory(), ct);
            await _process.StandardInput.FlushAsync(ct);
        }
        catch (IOException)
        {
            throw new BenchException($"It ended early: {LastWords()}");
        }

        return await HearAsync(ct);
    }

    /// <summary>Waits for a line.</summary>
    public async Task<string> HearAsync(CancellationToken ct) =>
        await _process.StandardOutput.ReadLineAsync(ct) ?? throw new BenchException($"It ended early: {LastWords()}");

    /// <summary>Waits for its end and gives all that it said.</summary>
    public async Task<string> HearAllAsync(CancellationToken ct)
    {
        var said = await _process.StandardOutput.ReadToEndAsync(ct);
        await _process.WaitForExitAsync(ct);
        return said;
    }

    /// <returns>The exit code.</returns>
    public async Task<int> WaitAsync(CancellationToken ct)
    {
        await _process.WaitForExitAsync(ct);
        return _process.ExitCode;
    }

    /// <summary>What it said last, for a message about its end.</summary>
    public string LastWords()
    {
        var lines = File.Exists(_log) ? File.ReadLines(_log).Where(l => l.Trim().Length > 0).TakeLast(3).ToList() : [];
        return lines.Count == 0 ? "it said nothing" : string.Join(" / ", lines.Select(l => l.Trim()));
    }

    /// <summary>Asks it to end by SIGINT, as Ctrl-C does.</summary>
    /// <returns>Whether it has ended in that time.</returns>
    public async Task<bool> InterruptAsync(TimeSpan patience)
    {
        if (_isDisposed)
            return true;
        if (!_process.HasExited)
            kill(Id, Interrupt);
        try
        {
            await _process.WaitForExitAsync().WaitAsync(patience);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    /// <summary>Ends it and all that it has started, at once.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_isDisposed)
            return;
        _isDisposed = true;
        // The group is there once setsid has run; until then there is but the one process.
        do
            if (kill(-Id, Kill) != 0 && !_process.HasExited)
                kill(Id, Kill);
        while (!await EndsAsync());
        // The leader may have been gone long before the others.
        kill(-Id, Kill);
        _process.Dispose();
    }

    async Task<bool> EndsAsync()
    {
        try
        {
            await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromMilliseconds(200));
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    [DllImport("libc", SetLastError = true)]
    static extern int kill(int process, int signal);
}
