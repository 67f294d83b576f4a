using System.CommandLine;
using System.CommandLine.Help;
using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Backup;
using Tandem.Core;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Deploy;
using Tandem.Guide;

namespace Tandem;

/// <summary>The commands of the program. Without one it serves.</summary>
static class CommandLine
{
    const string Description = """
        Tandem: the whole backend in one program. Without a command it serves.

        Settings go with every command: --urls http://127.0.0.1:8080, --data DIR, --roles users,gateway, where the servers are (--postgres, --redis,
        --kafka), and any other as --Section:Key VALUE; "config" lists them all. They are also read from tandem.json and from the environment (TANDEM_SECTION__KEY).
        """;

    /// <summary>What a command has begun is put in order after Ctrl-C or SIGTERM; two seconds, the parser's default, are too few on a busy machine.</summary>
    static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(15);

    /// <summary>As the program is called. RootCommand would take the assembly's name, which is another for the shipped program.</summary>
    static string ProgramName => Path.GetFileName(Environment.ProcessPath) is { Length: > 0 } name and not ("dotnet" or "dotnet.exe") ? name : RootCommand.ExecutableName;

    public static async Task<int> RunAsync(TandemApp app, string[] words)
    {
        try
        {
            // Serving needs no parser: it is the one command whose start is waited for.
            return words is [] or ["serve"] ? await ServeAsync(app) : await ParseAsync(app, words);
        }
        catch (Exception e) when (e is ConfigurationException or StoreUnavailableException or ProblemException or IOException)
        {
            Console.Error.WriteLine($"tandem: {e.Message}");
            return e is ConfigurationException ? 2 : 1;
        }
    }

    static async Task<int> ParseAsync(TandemApp app, string[] words)
    {
        var http = app.Register();
        var host = new CommandHost(app, http);
        var root = new Command(ProgramName, Description)
        {
            new HelpOption(),
            new VersionOption(),
            new Command("serve", "Serve until stopped (Ctrl-C or SIGTERM)"),
        };
        foreach (var make in app.Parts.Commands)
            Merge(root, make(host));
        root.Add(ConfigCommand.Make(app));
        root.Add(DoctorCommand.Make(app, host));
        root.Add(HealthCommand.Make(app));
        root.Add(BackupCommand.Make(app, http));
        root.Add(RestoreCommand.Make(app, http));
        root.Add(GrowCommand.Make(app, http));
        root.Add(DeployCommand.Make(app));
        root.Add(RestartCommand.Make());
        root.Add(GuideCommand.Make());

        var parsed = root.Parse(words);
        var code = await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = StopTimeout });
        return parsed.Errors.Count > 0 ? 2 : code;
    }

    /// <summary>Two modules may add to one command: <c>user</c> from both has the subcommands of both.</summary>
    static void Merge(Command into, Command command)
    {
        if (into.Subcommands.FirstOrDefault(c => c.Name == command.Name) is not { } known)
            into.Add(command);
        else
            foreach (var sub in command.Subcommands.ToList())
                Merge(known, sub);
    }

    static async Task<int> ServeAsync(TandemApp app)
    {
        await using (app)
        {
            try
            {
                await app.StartAsync();
            }
            catch (OperationCanceledException)
            {
                // Told to stop before it served: there is nothing to finish.
                return 0;
            }

            await GreetAsync(app);
            GiveBack(app.RunningServices);
            await app.WaitForStopAsync();
        }

        return 0;
    }

    /// <summary>What the start alone needed: so little is allocated at rest that no collection would come to it for hours.</summary>
    static void GiveBack(IServiceProvider services)
    {
        // The last that is made, behind the first request's back.
        services.GetRequiredService<Metrics>().Start();
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
    }

    static async Task GreetAsync(TandemApp app)
    {
        var services = app.RunningServices;
        var address = (app.Urls.FirstOrDefault() ?? app.Server.Urls).TrimEnd('/');
        // ./run may have built first, in this very process: it says when it went over to the program.
        var took = DateTimeOffset.Now - (double.TryParse(Environment.GetEnvironmentVariable("RUN_STARTED_AT"), CultureInfo.InvariantCulture, out var seconds)
            ? DateTimeOffset.UnixEpoch.AddSeconds(seconds)
            : Process.GetCurrentProcess().StartTime);
        Console.WriteLine($"Tandem serves on {address}  (started in {took.TotalSeconds:0.00} s; Ctrl-C stops it)");
        Console.WriteLine($"  stores   {string.Join(", ", app.StoreNames)}, files under {services.GetRequiredService<DataDirectory>().Path}");
        Console.WriteLine($"  try it   {address}/docs");
        foreach (var notice in services.GetServices<IStartNotice>())
            if (await LineAsync(notice, address) is { } line)
                Console.WriteLine("  " + line);

        // A store that has just gone away is no reason to end: requests are answered with that, too.
        static async Task<string?> LineAsync(IStartNotice notice, string address)
        {
            try
            {
                return await notice.LineAsync(address, CancellationToken.None);
            }
            catch (StoreUnavailableException e)
            {
                return e.Message;
            }
        }
    }

    sealed class CommandHost(TandemApp app, HttpOptions http) : ICommandHost
    {
        public async Task<int> RunAsync(Func<IServiceProvider, CancellationToken, Task<int>> work, CancellationToken cancellationToken = default)
        {
            await using (app)
            {
                if (!app.Parts.SharesDatabase)
                    GrownMark.Refuse(app.Server.Data);
                return await work(app.Build(http, serving: false).Services, cancellationToken);
            }
        }
    }
}
