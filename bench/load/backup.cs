#:property PublishAot=false
#:property GenerateDocumentationFile=false
// How long writers wait while a backup is made beside them: dotnet run bench/load/backup.cs -- PROGRAM [ITEMS] [--Postgres:ConnectionString …]
// PROGRAM is the published server (artifacts/tandem/tandem). Writers, server and backup share the machine's cores.
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;

const int Writers = 16;
var program = args[0];
var items = args.Length > 1 && int.TryParse(args[1], out var given) ? given : 200_000;
string[] settings = [.. args.Skip(1).SkipWhile(a => int.TryParse(a, out _))];
var folder = Directory.CreateTempSubdirectory("tandem-backup-bench-").FullName;
var data = Path.Combine(folder, "data");
var address = "http://127.0.0.1:18093";
using var server = Start(["serve", "--data", data, "--urls", address, "--Log:Level", "Warning", .. settings]);
using var http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 64 }) { BaseAddress = new Uri(address), Timeout = TimeSpan.FromMinutes(1) };
while (true)
    try
    {
        await http.GetAsync("/health");
        break;
    }
    catch (HttpRequestException)
    {
        await Task.Delay(50);
    }

await http.PostAsJsonAsync("/users", new { email = "bench@example.com", name = "Bench", password = "correct horse" });
var tokens = await http.PostAsync("/token", new FormUrlEncodedContent(new Dictionary<string, string> { ["username"] = "bench@example.com", ["password"] = "correct horse" }));
using (var answer = JsonDocument.Parse(await tokens.Content.ReadAsStringAsync()))
    http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", answer.RootElement.GetProperty("access_token").GetString());

Console.WriteLine("| phase | writes/s | p50 | p99 | longest write | longest time without any |");
Console.WriteLine("| --- | --- | --- | --- | --- | --- |");
var (left, written) = (items, 0);
await WriteAsync("filling", 64, () => Interlocked.Decrement(ref left) > 0);
var until = Stopwatch.GetTimestamp() + 15 * Stopwatch.Frequency;
await WriteAsync("no backup", Writers, () => Stopwatch.GetTimestamp() < until);
var archive = Path.Combine(folder, "backup.tar.gz");
var (started, before) = (Stopwatch.GetTimestamp(), written);
using var backup = Start(["backup", archive, "--data", data, .. settings]);
await WriteAsync("during a backup", Writers, () => !backup.HasExited);
Console.WriteLine($"\nThe backup of {before:N0} items and as many events took {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s, {new FileInfo(archive).Length >> 20} MiB, exit code {backup.ExitCode}.");
server.Kill();
server.WaitForExit();
Directory.Delete(folder, recursive: true);

async Task WriteAsync(string phase, int writers, Func<bool> goOn)
{
    var done = new ConcurrentBag<(long At, double Took)>();
    var began = Stopwatch.GetTimestamp();
    await Task.WhenAll(Enumerable.Range(0, writers).Select(_ => Task.Run(async () =>
    {
        while (goOn())
        {
            var at = Stopwatch.GetTimestamp();
            using var answer = await http.PostAsJsonAsync("/items", new { name = "a pen of some colour", price = 1.25 });
            answer.EnsureSuccessStatusCode();
            done.Add((Stopwatch.GetTimestamp(), Stopwatch.GetElapsedTime(at).TotalMilliseconds));
        }
    })));
    written += done.Count;
    var took = done.Select(d => d.Took).Order().ToArray();
    var ends = done.Select(d => d.At).Order().ToArray();
    var gap = ends.Zip(ends.Skip(1), (a, b) => Stopwatch.GetElapsedTime(a, b).TotalMilliseconds).DefaultIfEmpty(0).Max();
    Console.WriteLine($"| {phase} | {took.Length / Stopwatch.GetElapsedTime(began).TotalSeconds:0} | {took[took.Length / 2]:0.0} ms | {took[(int)(took.Length * 0.99)]:0.0} ms | {took[^1]:0.0} ms | {gap:0.0} ms |");
}

Process Start(params string[] arguments)
{
    var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true }) ?? throw new InvalidOperationException("It did not start.");
    process.OutputDataReceived += (_, _) => { };
    process.ErrorDataReceived += (_, e) => Console.Error.WriteLine(e.Data);
    process.BeginOutputReadLine();
    process.BeginErrorReadLine();
    return process;
}
