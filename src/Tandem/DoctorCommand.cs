using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Http;
using Tandem.Roles;

namespace Tandem;

/// <summary><c>tandem doctor</c>: looks at what a server needs and says what to do about what is wrong.</summary>
static class DoctorCommand
{
    // A gibibyte is a few million items; below it a busy log or a backup fills the disk within hours.
    const long EnoughDisk = 1L << 30;

    // Each open connection is an open file; the published comparison opens 10,000.
    const long EnoughFiles = 10_000;

    public static Command Make(TandemApp app, ICommandHost host)
    {
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("doctor", "Check port, disk, permissions, clock and stores; exit code 1 when something is wrong") { json };
        command.SetAction(async (parsed, ct) =>
        {
            var findings = new List<Finding> { Permissions(app), Disk(app), await PortAsync(app, ct), FilesLimit() };
            findings.AddRange(await Stores(app, host, ct));
            if (parsed.GetValue(json))
                Console.WriteLine(JsonSerializer.Serialize(findings, new JsonSerializerOptions(Json.Options) { WriteIndented = true }));
            else
                foreach (var finding in findings)
                    Console.WriteLine($"{(finding.Ok ? "ok  " : "FAIL")}  {finding.What,-16}  {finding.Says}");
            return findings.All(f => f.Ok) ? 0 : 1;
        });
        return command;
    }

    static async Task<Finding> PortAsync(TandemApp app, CancellationToken ct)
    {
        var url = new Uri(app.Server.Urls.Split(';')[0].Replace("//*", "//0.0.0.0").Replace("//+", "//0.0.0.0"));
        var running = ServerRuns(app);
        try
        {
            var address = url.HostNameType is UriHostNameType.IPv4 or UriHostNameType.IPv6 ? IPAddress.Parse(url.Host.Trim('[', ']')) : IPAddress.Loopback;
            using var listener = new TcpListener(address, url.Port);
            listener.Start();
            return new("port", true, $"{url.Port} is free{(running ? "; a server on this data directory listens elsewhere" : "")}");
        }
        catch (SocketException) when (running)
        {
            return new("port", true, $"{url.Port} is in use, and a server runs on this data directory");
        }
        catch (SocketException e)
        {
            // On a shared database no data directory says whether its server runs; the one that has the port does.
            return app.Parts.SharesDatabase && await IsAliveAsync(url, ct)
                ? new("port", true, $"{url.Port} is in use by a server of this program, which is alive")
                : new("port", false, $"{url.Port} cannot be used ({e.Message}): stop what listens there, or choose another with --urls http://127.0.0.1:PORT");
        }
    }

    static async Task<bool> IsAliveAsync(Uri url, CancellationToken ct)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(2) };
        var asked = new UriBuilder(url) { Path = "/health" };
        asked.Host = asked.Host is "0.0.0.0" or "[::]" ? "localhost" : asked.Host;
        try
        {
            return await http.GetStringAsync(asked.Uri, ct) == Encoding.UTF8.GetString(Health.Alive);
        }
        catch (Exception e) when (e is HttpRequestException || e is TaskCanceledException && !ct.IsCancellationRequested)
        {
            return false;
        }
    }

    static bool ServerRuns(TandemApp app)
    {
        try
        {
            using var _ = new FileStream(Path.Combine(app.Server.Data, "serve.lock"), FileMode.Open, FileAccess.ReadWrite, FileShare.None);
            return false;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }

    static Finding Disk(TandemApp app)
    {
        if (!Directory.Exists(app.Server.Data))
            return new("disk", false, $"{Path.GetFullPath(app.Server.Data)} does not exist");
        var free = new DriveInfo(Path.GetFullPath(app.Server.Data)).AvailableFreeSpace;
        var says = string.Create(CultureInfo.InvariantCulture, $"{free / (double)(1 << 30):0.0} GiB free at {Path.GetFullPath(app.Server.Data)}");
        return free >= EnoughDisk ? new("disk", true, says) : new("disk", false, says + ": make room, or move the data with --data DIR");
    }

    static Finding Permissions(TandemApp app)
    {
        try
        {
            var data = new DataDirectory(app.Server.Data);
            var probe = data.Combine($"doctor-{Guid.NewGuid():n}");
            File.WriteAllText(probe, "");
            File.Delete(probe);
            if (!OperatingSystem.IsWindows() && File.Exists(data.DatabaseFile)
                && (File.GetUnixFileMode(data.DatabaseFile) & (UnixFileMode.GroupRead | UnixFileMode.OtherRead)) != 0)
                return new("permissions", false, $"others can read {data.DatabaseFile}: chmod 600 it");
            return new("permissions", true, "the data directory can be written, and is closed to others");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new("permissions", false, $"the data directory cannot be written ({e.Message}): give this user the right, or choose another with --data DIR");
        }
    }

    static Finding FilesLimit()
    {
        return Transport.OpenFiles.Limit is not { } limit ? new("open files", true, "no limit is known on this system")
            : limit >= EnoughFiles ? new("open files", true, $"limit {limit}")
            : new("open files", false, $"limit {limit}: raise it (ulimit -n {2 * EnoughFiles}) before serving many connections");
    }

    static async Task<List<Finding>> Stores(TandemApp app, ICommandHost host, CancellationToken ct)
    {
        var findings = new List<Finding>();
        try
        {
            await host.RunAsync(async (services, token) =>
            {
                var db = services.GetRequiredService<Db>();
                var checks = new List<(string Name, Func<IServiceProvider, CancellationToken, Task> Check)> { (db.Engine, (_, c) => db.CheckAsync(c)) };
                checks.AddRange(app.Parts.Checks);
                foreach (var (name, check) in checks)
                {
                    findings.Add(await AskAsync(async () =>
                    {
                        var result = await Health.CheckAsync(name, check, services, token);
                        return new($"store {name}", result.Reason is null, result.Reason ?? string.Create(CultureInfo.InvariantCulture, $"answers in {result.Milliseconds} ms"));
                    }, token));
                }

                var roles = services.GetService<IReadOnlyList<RoleDestinations>>() ?? [];
                if (roles.Count > 0)
                    await services.GetRequiredService<Hop>().StartAsync(token);
                foreach (var role in roles.Where(r => r.Addresses.Count > 0))
                    findings.Add(await AskAsync(() => RoleAsync(role, services.GetRequiredService<DestinationWatch>(), token), token));
                findings.Add(await ClockAsync(db, services.GetRequiredService<TimeProvider>(), token));
                return 0;
            }, ct);
        }
        catch (Exception e) when (e is StoreUnavailableException or IOException or InvalidOperationException or Microsoft.Data.Sqlite.SqliteException)
        {
            findings.Add(new("stores", false, e.Message));
        }

        return findings;
    }

    /// <summary>Asks up to three times: on a busy machine this program, which has only begun, may be what was slow.</summary>
    static async Task<Finding> AskAsync(Func<Task<Finding>> ask, CancellationToken ct)
    {
        var finding = await ask();
        for (var again = 0; !finding.Ok && again < 2; again++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(500), ct);
            finding = await ask();
        }

        return finding;
    }

    static async Task<Finding> RoleAsync(RoleDestinations role, DestinationWatch watch, CancellationToken ct)
    {
        await watch.ResolveAsync(role, ct);
        var looks = await Task.WhenAll(role.All.Select(async d => (d.Address, State: await watch.AskAsync(d, "/health/ready", ct))));
        var bad = looks.Where(l => l.State.Fitness != Fitness.Ready).Select(l => $"{l.Address} {(l.State.Why is { } why ? $"cannot be reached ({why})" : "says that it is not ready")}").ToList();
        var what = $"role {role.Role}";
        return looks.Length == 0 ? new(what, false, $"{string.Join(", ", role.Addresses.Select(a => a.Host))} cannot be resolved: correct {role.Setting}, or start the role")
            : bad.Count == 0 ? new(what, true, $"{looks.Length} of {looks.Length} processes are ready")
            : new(what, false, $"{string.Join(", ", bad)}: start it, or correct {role.Setting}");
    }

    /// <summary>A clock that was set back makes new tokens look expired and old ones valid.</summary>
    static async Task<Finding> ClockAsync(Db db, TimeProvider clock, CancellationToken ct)
    {
        var now = clock.UtcNow();
        var newest = (await db.ListAsync<Newest>($"select occurred_at from events_log order by position desc limit 1", ct)).FirstOrDefault()?.OccurredAt;
        return newest > now + TimeSpan.FromMinutes(1)
            ? new("clock", false, $"it is {now:u} here, but the newest event is of {newest:u}: set the clock, best by NTP")
            : new("clock", true, $"{now:u}, not behind the newest event");
    }

    sealed record Newest(DateTime OccurredAt);

    sealed record Finding(string What, bool Ok, string Says);
}
