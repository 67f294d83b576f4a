using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using Tandem.Bench.Benchmarks;
using Tandem.Bench.Load;
using Tandem.Bench.Peers;
using Tandem.Bench.Reports;
using Tandem.Bench.Results;
using Tandem.Core;

namespace Tandem.Bench;

/// <summary><c>tandem bench</c>: measures this program side by side with its peers, on the machine it runs on.</summary>
public static class BenchCommand
{
    /// <summary>The command with its subcommands <c>list</c>, <c>run</c> and <c>report</c>.</summary>
    /// <param name="serve">Runs this very program with other arguments and one module more, for what only a program with an endpoint of its own can show.</param>
    public static Command Make(Func<string[], Module, Task<int>> serve)
    {
        ArgumentNullException.ThrowIfNull(serve);
        return new("bench", "Measure Tandem side by side with its peers, on this machine") { List(), Run(), Report(), Child(serve) };
    }

    static Command List()
    {
        var command = new Command("list", "What can be measured, and who takes part");
        command.SetAction(parsed =>
        {
            foreach (var benchmark in Benchmark.All)
            {
                parsed.InvocationConfiguration.Output.WriteLine($"{benchmark.Name,-8}{benchmark.Description}");
                foreach (var peer in benchmark.Peers)
                    parsed.InvocationConfiguration.Output.WriteLine($"        {peer.Name,-17}{peer.Title}{(peer.IsLimit ? " (a limit)" : "")}");
            }
        });
        return command;
    }

    static Command Run()
    {
        var names = new Argument<string[]>("NAMES") { HelpName = "NAMES", Description = "Which of \"bench list\"; all when none is said", Arity = ArgumentArity.ZeroOrMore };
        names.AcceptOnlyFromAmong([.. Benchmark.All.Select(b => b.Name)]);
        var quick = new Option<bool>("--quick") { Description = $"In {Benchmark.QuickMinutes} minutes instead of {Benchmark.FullMinutes}, the setting up of the peers apart: fewer cases, fewer rounds of less time, without the slowest peers" };
        var only = new Option<string[]>("--peer") { HelpName = "NAME", Description = "Only these peers of \"bench list\"; may be repeated", AllowMultipleArgumentsPerToken = true };
        only.AcceptOnlyFromAmong([.. Benchmark.All.SelectMany(b => b.Peers).Select(p => p.Name).Distinct()]);
        var target = new Option<DirectoryInfo?>("--out") { HelpName = "DIR", Description = "Where the results go; default: bench-DATE-TIME" };
        var folder = new Option<DirectoryInfo?>("--folder") { HelpName = "DIR", Description = "The Debian folder of the peers; default: in the user's cache" };
        var command = new Command("run", "Set the peers up, measure, keep every measurement as JSON") { names, quick, only, target, folder };
        command.SetAction(async (parsed, ct) =>
        {
            var error = parsed.InvocationConfiguration.Error;
            if (!OperatingSystem.IsLinux())
            {
                error.WriteLine("tandem: bench reads /proc and starts its peers in a Linux folder: run it on Linux");
                return 1;
            }

            // The parser waits after a signal only for what it has been given a task of: nothing may be started before.
            await Task.Yield();
            // A terminal that is closed stops the run as Ctrl-C does.
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(ct);
            using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
            {
                signal.Cancel = true;
                stop.Cancel();
            });
            var path = parsed.GetValue(target)?.FullName ?? Path.GetFullPath(DateTime.Now.ToString("'bench'-yyyyMMdd-HHmmss", CultureInfo.InvariantCulture));
            try
            {
                return await Runner.RunAsync(new RunOptions(
                    parsed.GetValue(names) ?? [], parsed.GetValue(only) ?? [], parsed.GetValue(quick), path, parsed.GetValue(folder)?.FullName ?? PeerFolder.DefaultPath,
                    string.Join(' ', parsed.Tokens.Select(t => t.Value).Prepend("tandem"))), error, stop.Token);
            }
            catch (BenchException e)
            {
                error.WriteLine($"tandem: {e.Message}");
                return 1;
            }
        });
        return command;
    }

    static Command Report()
    {
        var source = new Argument<DirectoryInfo>("DIR") { Description = "What \"bench run\" has written" };
        var page = new Option<FileInfo?>("--into") { HelpName = "PAGE", Description = "A Markdown page with the comments \"the comparison\" and \"end of the comparison\": a digest of the run is put between them" };
        var command = new Command("report", "Write a run's report.md and report.html beside its measurements") { source, page };
        command.SetAction(parsed =>
        {
            try
            {
                var directory = new RunDirectory(parsed.GetValue(source)!.FullName);
                var (markdown, html) = ReportFiles.Write(directory);
                parsed.InvocationConfiguration.Output.WriteLine($"{markdown}\n{html}");
                if (parsed.GetValue(page) is { } file)
                {
                    if (!file.Exists)
                        throw new BenchException($"There is no page {file.FullName}.");
                    var link = Path.GetRelativePath(file.DirectoryName!, directory.Path).Replace('\\', '/');
                    File.WriteAllText(file.FullName, Digest.Into(File.ReadAllText(file.FullName), directory, link));
                    parsed.InvocationConfiguration.Output.WriteLine(file.FullName);
                }

                return 0;
            }
            catch (BenchException e)
            {
                parsed.InvocationConfiguration.Error.WriteLine($"tandem: {e.Message}");
                return 1;
            }
        });
        return command;
    }

    /// <summary>What a run starts of this very program.</summary>
    static Command Child(Func<string[], Module, Task<int>> serve)
    {
        var words = new Argument<string[]>("WORDS") { Arity = ArgumentArity.OneOrMore };
        var command = new Command("child", "A part of a run in a process of its own") { words };
        command.Hidden = true;
        command.SetAction((parsed, ct) => parsed.GetValue(words) switch
        {
            [OpenLoopProcess.Name, .. var rest] => OpenLoopProcess.RunAsync(rest, ct),
            [ProxyPeers.Yarp, .. var rest] => Work.BareYarp.RunAsync(rest, ct),
            [HttpPeers.Cached, var port, var data] => serve(["serve", "--urls", $"http://127.0.0.1:{port}", "--data", data, "--Log:Level", "Warning"], new Work.CachedReads()),
            ["work", "ingest"] => Task.Run(() => Work.Workloads.Serve(new Work.IngestWork().Phase), ct),
            ["work", var name] => Task.Run(() => Work.Workloads.Run(name), ct),
            var other => throw new IOException($"bench has no part {string.Join(' ', other ?? [])}"),
        });
        return command;
    }
}
