using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;
using Tandem.Core.Http;

namespace Tandem.Ledger;

/// <param name="Shape">One of <see cref="Cluster.Shapes"/>.</param>
/// <param name="Kills">How many.</param>
/// <param name="Time">No more kills after it.</param>
/// <param name="Writers">Clients at the same time.</param>
/// <param name="Within">Everything must be moving again in this time after a kill.</param>
/// <param name="Seed">Of victims and pauses.</param>
/// <param name="Json">A file for the results.</param>
/// <param name="Keep">A directory for data and logs; null: a temporary one, deleted when all went well.</param>
sealed record LedgerOptions(string Shape, int Kills, TimeSpan Time, int Writers, TimeSpan Within, int Seed, string? Json, string? Keep);

/// <summary>Start, write and kill, compare, tell.</summary>
static class LedgerRun
{
    static readonly TimeSpan LastAnswers = TimeSpan.FromSeconds(60);

    public static async Task<int> RunAsync(LedgerOptions options, CancellationToken ct)
    {
        var directory = options.Keep ?? Path.Combine(Path.GetTempPath(), $"tandem-ledger-{Guid.NewGuid():n}");
        Directory.CreateDirectory(directory);
        LedgerResults results;
        try
        {
            results = await RunAsync(options, directory, ct);
        }
        catch (LedgerException e)
        {
            await Console.Error.WriteLineAsync($"ledger: {e.Message} Data and logs: {directory}");
            return 1;
        }

        Console.WriteLine(results.Table());
        if (options.Json is not null)
            await File.WriteAllTextAsync(options.Json, results.ToJson(), ct);
        if (results.Kept && options.Keep is null)
            Directory.Delete(directory, recursive: true);
        else
            await Console.Error.WriteLineAsync($"Data, logs and acknowledgements: {directory}");
        return results.Kept ? 0 : 1;
    }

    static async Task<LedgerResults> RunAsync(LedgerOptions options, string directory, CancellationToken ct)
    {
        var random = new Random(options.Seed);
        var file = Path.Combine(directory, "acknowledged.ndjson");
        var asked = new ConcurrentDictionary<string, long>();
        var progress = new Progress(options.Writers);
        await using var cluster = Cluster.Make(options.Shape, directory);
        using var client = new Client(cluster.Addresses);
        using var acknowledgements = new Acknowledgements(file);
        var writers = Enumerable.Range(0, options.Writers).Select(n => new Writer(n, client, acknowledgements, progress, asked, new Random(random.Next()))).ToList();
        var killer = new Killer(cluster, client, progress, options, random);
        await cluster.StartAsync(client, ct);
        await Task.WhenAll(writers.Select(w => w.SignInAsync(ct)));

        var began = Stopwatch.GetTimestamp();
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(ct);
        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(giveUp.Token);
        var writing = Task.WhenAll(writers.Select(w => Task.Run(() => w.RunAsync(stopping.Token, giveUp.Token), giveUp.Token)));
        var killing = killer.RunAsync(giveUp.Token);
        var unanswered = false;
        try
        {
            // A writer that stops before the killer has failed.
            await await Task.WhenAny(killing, writing);
            await stopping.CancelAsync();
            giveUp.CancelAfter(LastAnswers);
            await writing;
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            unanswered = true;
        }
        finally
        {
            await giveUp.CancelAsync();
            await Task.WhenAll(killing, writing).ContinueWith(_ => { }, TaskScheduler.Default);
        }

        var took = Stopwatch.GetElapsedTime(began);
        await CaughtUpAsync(client, ct);
        await cluster.RestartAsync(client, ct);
        await CaughtUpAsync(client, ct);
        var stored = new Stored(
            await AllAsync<StoredItem>(client, "items", i => i.Id, ct), await AllAsync<StoredAccount>(client, "accounts", a => a.Id, ct),
            await EventsAsync(client, ct), await AllAsync<StoredEffect>(client, "effects", e => e.Seq, ct));
        var verdict = Verdict.Of(Acknowledgements.Read(file), asked, stored);
        var damage = await client.SendAsync(() => new HttpRequestMessage(HttpMethod.Get, "/ledger/damage"), [200], ct);
        verdict.Lost.AddRange(damage.Json.EnumerateArray().Select(line => $"damaged: {line.GetString()}"));
        verdict.Lost.AddRange(writers.SelectMany(w => w.Lost));
        if (unanswered)
            verdict.Lost.Add($"{LastAnswers.TotalSeconds:0} s after the last kill there were requests without an answer");
        return new LedgerResults(options, killer.Kills, took, progress.Count, client.Repeated, [.. cluster.Victims.SelectMany(v => v.GaveUp)], client.Unexpected, stored, verdict);
    }

    static async Task CaughtUpAsync(Client client, CancellationToken ct)
    {
        var began = Stopwatch.GetTimestamp();
        while (!(await client.SendAsync(() => new HttpRequestMessage(HttpMethod.Get, "/ledger/caught-up"), [200], ct)).Json.GetBoolean())
            if (Stopwatch.GetElapsedTime(began) > LastAnswers)
                throw new LedgerException($"The consumer has not caught up in {LastAnswers.TotalSeconds:0} s.");
    }

    static async Task<List<LoggedEvent>> EventsAsync(Client client, CancellationToken ct)
    {
        var partitions = (await client.SendAsync(() => new HttpRequestMessage(HttpMethod.Get, "/ledger/partitions"), [200], ct)).Json.GetInt32();
        var events = new List<LoggedEvent>();
        for (var partition = 0; partition < partitions; partition++)
            events.AddRange(await AllAsync<LoggedEvent>(client, $"events/{partition}", e => e.Position, ct));
        return events;
    }

    static async Task<List<T>> AllAsync<T>(Client client, string what, Func<T, long> position, CancellationToken ct)
    {
        var (all, after) = (new List<T>(), 0L);
        while (true)
        {
            var body = (await client.SendAsync(() => new HttpRequestMessage(HttpMethod.Get, $"/ledger/{what}?after={after}"), [200], ct)).Body;
            var page = JsonSerializer.Deserialize<List<T>>(body, Core.Http.Json.Stored) ?? [];
            if (page.Count == 0)
                return all;
            all.AddRange(page);
            after = position(page[^1]);
        }
    }
}
