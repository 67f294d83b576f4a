using System.CommandLine;
using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Http;

namespace Tandem;

/// <summary>The commands of the program. Without one it serves.</summary>
static class CommandLine
{
    public static async Task<int> RunAsync(TandemApp app, Parts parts, string[] words)
    {
        try
        {
            // Serving needs no parser: it is the one command whose start is waited for.
            if (words is [] or ["serve"])
                return await ServeAsync(app);
            app.Build(serving: false);
            return await new RootCommand("").Parse(words).InvokeAsync();
        }
        catch (ConfigurationException e)
        {
            Console.Error.WriteLine($"tandem: {e.Message}");
            return 2;
        }
        catch (StoreUnavailableException e)
        {
            Console.Error.WriteLine($"tandem: {e.Message}");
            return 1;
        }
    }

    static async Task<int> ServeAsync(TandemApp app)
    {
        await using (app)
        {
            await app.StartAsync();
            await GreetAsync(app);
            await app.WaitForStopAsync();
        }

        return 0;
    }

    static async Task GreetAsync(TandemApp app)
    {
        var services = app.RunningServices;
        var address = (app.Urls.FirstOrDefault() ?? app.Server.Urls).TrimEnd('/');
        var took = DateTime.Now - Process.GetCurrentProcess().StartTime;
        Console.WriteLine($"Tandem serves on {address}  (started in {took.TotalSeconds:0.00} s; Ctrl-C stops it)");
        Console.WriteLine($"  stores   {services.GetRequiredService<Db>().Engine}, files under {services.GetRequiredService<DataDirectory>().Path}");
        Console.WriteLine($"  try it   {address}/docs");
        foreach (var notice in services.GetServices<IStartNotice>())
            if (await notice.LineAsync(address, CancellationToken.None) is { } line)
                Console.WriteLine("  " + line);
    }
}
